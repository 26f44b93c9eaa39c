"""The registry in the admin."""

from apps.models.admin import models, providers

__all__ = ["models", "providers"]
