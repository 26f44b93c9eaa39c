"""Evaluation at the management API."""
