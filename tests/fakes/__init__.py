"""Loopback servers that stand in for the outside world, speaking its real protocols."""
