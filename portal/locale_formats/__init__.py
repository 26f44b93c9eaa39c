"""How Django writes dates where a template names no format of its own, as in the admin: ``FORMAT_MODULE_PATH``."""
