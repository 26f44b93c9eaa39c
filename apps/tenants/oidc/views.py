"""The two ends of a single sign-on: leaving for the identity provider, and coming back."""

from __future__ import annotations

import hmac
from typing import Any

import requests
import structlog
from allauth.account.internal.decorators import login_not_required
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from apps.tenants.oidc.tokens import TokenError, check_id_token, nonce_for

logger = structlog.get_logger(__name__)


class Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """Talks to the identity provider. What does not fit raises ``OAuth2Error``: allauth's "login failed" page."""

    _code_verifier = ""

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's own description, which must be of the issuer that was configured."""
        config: dict[str, Any] = super().openid_config
        expected = self.get_provider().app.settings["server_url"]
        if str(config.get("issuer", "")).rstrip("/") != expected.rstrip("/"):
            raise self._refusal(f"the provider says it is {config.get('issuer')!r}, not {expected!r}")
        return config

    def get_access_token_data(
        self, request: HttpRequest, app: SocialApp, client: Any, pkce_code_verifier: str | None = None
    ) -> dict[str, Any]:
        if not pkce_code_verifier:
            raise self._refusal("the login was begun without PKCE")
        self._code_verifier = pkce_code_verifier
        data: dict[str, Any] = super().get_access_token_data(request, app, client, pkce_code_verifier)
        return data

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        id_token = kwargs["response"].get("id_token")
        if not isinstance(id_token, str):
            raise self._refusal("the answer holds no ID token")
        try:
            claims = check_id_token(
                id_token,
                keys=self._published_keys(),
                issuer=self.openid_config["issuer"],
                client_id=app.client_id,
                nonce=nonce_for(self._code_verifier),
            )
        except TokenError as error:
            raise self._refusal(str(error)) from error
        data = {"id_token": claims}
        if "email" not in claims and self.openid_config.get("userinfo_endpoint"):
            userinfo = self._fetch_user_info(token.token)
            # Core 1.0, 5.3.2: the two must speak of one person, or the answer is not used.
            if not hmac.compare_digest(str(userinfo.get("sub", "")).encode(), claims["sub"].encode()):
                raise self._refusal("userinfo speaks of another subject than the ID token")
            data["userinfo"] = userinfo
        return self.get_provider().sociallogin_from_response(request, data)

    def _published_keys(self) -> dict[str, Any]:
        with get_adapter().get_requests_session() as session:
            response = session.get(self.openid_config["jwks_uri"])
            response.raise_for_status()
            keys: dict[str, Any] = response.json()
        return keys

    def _refusal(self, why: str) -> OAuth2Error:
        logger.warning("sso_refused", why=why)
        return OAuth2Error(why)


@login_not_required  # type: ignore[untyped-decorator]
@never_cache
def login(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Off to the provider, by way of a page that goes on by itself.

    Not by a redirect: the button is a form, and a browser holds what a form leads to, redirects included, to the
    page's ``form-action 'self'``. Where the provider's sign-in page lives is only known once it was asked.
    """
    answer = _answer(OAuth2LoginView, request, provider_id)
    if isinstance(answer, HttpResponseRedirect):
        return render(request, "socialaccount/leaving.html", {"url": answer.url})
    return answer


@login_not_required  # type: ignore[untyped-decorator]
def callback(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    return _answer(OAuth2CallbackView, request, provider_id)


def _answer(view: Any, request: HttpRequest, provider_id: str) -> HttpResponseBase:
    adapter = Adapter(request, provider_id)
    try:
        response: HttpResponseBase = view.adapter_view(adapter)(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    except (OAuth2Error, requests.RequestException) as error:
        # Already on the way there, when its description cannot be had or is of another issuer.
        logger.warning("sso_unavailable", error=type(error).__name__)
        page: HttpResponseBase = render_authentication_error(request, adapter.get_provider(), exception=error)
        return page
    return response
