"""What can be done to providers, models, endpoints, prices and grants.

Every function takes ``actor`` and only keyword arguments, checks what the actor may do, validates, writes narrowly,
records the act in the audit trail and tells the gateway, all in one transaction. They raise ``DomainError``s.
"""

from apps.models.services.endpoints import create_endpoint, disable_endpoint, enable_endpoint, update_endpoint
from apps.models.services.grants import accept_licence, grant_access, revoke_access
from apps.models.services.models import create_model, set_lifecycle, update_model
from apps.models.services.prices import add_price, seed_list_prices
from apps.models.services.providers import (
    create_provider,
    disable_provider,
    enable_provider,
    rotate_credentials,
    set_credential,
    update_provider,
)

__all__ = [
    "accept_licence",
    "add_price",
    "create_endpoint",
    "create_model",
    "create_provider",
    "disable_endpoint",
    "disable_provider",
    "enable_endpoint",
    "enable_provider",
    "grant_access",
    "revoke_access",
    "rotate_credentials",
    "seed_list_prices",
    "set_credential",
    "set_lifecycle",
    "update_endpoint",
    "update_model",
    "update_provider",
]
