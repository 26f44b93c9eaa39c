"""What can go wrong in the registry.

DomainError (apps/tenants/errors.py)
 +- Invalid                    422
 |   +- UrlRefused             a provider's URL that Lobby must not call
 |   +- PriceInexact           a price that whole picodollars per token cannot express
 +- CredentialError
 |   +- CredentialInvalid 422  a secret, or a variable's name, that cannot be a credential
 |   +- CredentialNeeded  422  the server changed: its credential must be entered anew
 |   +- CredentialUnavailable 503  there should be a credential, and there is none that can be used
 +- DiscoveryFailed       502  a provider's list of models could not be read
"""

from __future__ import annotations

from apps.tenants.errors import DomainError, Invalid


class UrlRefused(Invalid):
    default_code = "url_refused"

    def __init__(self, message: str) -> None:
        super().__init__(message, field="base_url")


class CredentialError(DomainError):
    """No message of these ever holds the secret."""

    default_code = "credential_error"


class CredentialInvalid(CredentialError):
    default_code = "credential_invalid"
    status = 422

    def __init__(self, message: str) -> None:
        super().__init__(message, field="credential")


class CredentialNeeded(CredentialError):
    default_code = "credential_needed"
    status = 422

    def __init__(self, message: str) -> None:
        super().__init__(message, field="credential")


class PriceInexact(Invalid):
    default_code = "price_inexact"


class CredentialUnavailable(CredentialError):
    default_code = "credential_unavailable"
    status = 503


class DiscoveryFailed(DomainError):
    default_code = "discovery_failed"
    status = 502
