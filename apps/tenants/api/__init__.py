"""The tenants' wing of the management API. Views parse, call one service or selector, and render."""
