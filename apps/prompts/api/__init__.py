"""The catalog at the management API."""
