"""allauth's entry for the provider: the parameters of the request, the reading of the claims."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.providers.oauth2.utils import generate_code_challenge
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from django.conf import settings
from django.http import HttpRequest

from apps.tenants.oidc.tokens import identity, nonce_for
from apps.tenants.oidc.views import Adapter


class Provider(OpenIDConnectProvider):  # type: ignore[misc]
    package = "apps.tenants.oidc"
    oauth2_adapter_class = Adapter
    supports_token_authentication = False

    def get_pkce_params(self) -> dict[str, str]:
        """The PKCE pair, and the nonce that goes with it."""
        parameters: dict[str, str] = generate_code_challenge()
        return {**parameters, "nonce": nonce_for(parameters["code_verifier"])}

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, str]:
        """The operator's parameters alone: a link must not be able to add or replace any."""
        parameters: dict[str, str] = self.get_auth_params()
        return parameters

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        scope: list[str] = self.get_scope()
        return scope

    def extract_uid(self, data: dict[str, Any]) -> str:
        return identity(data["id_token"]["iss"], data["id_token"]["sub"])

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        claims = _person(data)
        return {"email": claims.get("email"), "name": claims.get("name")}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[EmailAddress]:
        claims = _person(data)
        email = claims.get("email")
        if not isinstance(email, str) or not email:
            return []
        verified = settings.OIDC_TRUST_EMAIL or claims.get("email_verified") in (True, "true")
        return [EmailAddress(email=email, verified=verified, primary=True)]


def _person(data: dict[str, Any]) -> dict[str, Any]:
    # Address and its verification from one place: never the address of one beside the "verified" of the other.
    claims: dict[str, Any] = data["id_token"] if "email" in data["id_token"] else data.get("userinfo", data["id_token"])
    return claims


provider_classes = [Provider]
