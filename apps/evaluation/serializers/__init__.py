"""The shapes of evaluation at the management API: ``…Out`` is shown, ``New…`` creates, ``…Changes`` changes."""
