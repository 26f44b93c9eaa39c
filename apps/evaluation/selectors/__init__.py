"""Reads of datasets, always for an actor."""
