"""allauth's hooks: local sign-up is closed; people arrive by invitation or by single sign-on.

Who may come in by single sign-on:

- issuer + subject known: that account, whatever address the provider names now;
- unknown, and nobody has the address: a new account, which belongs to no tenant until somebody adds it;
- unknown, and an account has the address: linked only where the provider vouches for the address and the account
  has never been used (invited: no password, no other sign-on). Otherwise the address proves nothing, and the owner
  connects the two from within, signed in with the password.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.http import HttpRequest
from django.shortcuts import render

from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.models import User
from apps.tenants.services.users import create_sso_user, record_sso_link


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.is_existing or sociallogin.state.get("process") != AuthProcess.LOGIN:
            return
        address = next(iter(sociallogin.email_addresses), None)
        if address is None:
            raise _refused(request, "no_email")
        if not address.verified:
            raise _refused(request, "unverified_email", address.email)
        user = User.objects.filter(email__iexact=address.email).first()
        if user is None:
            return
        if user.has_usable_password() or SocialAccount.objects.filter(user=user).exists() or not user.is_active:
            raise _refused(request, "address_taken", address.email)
        sociallogin.connect(request, user)

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = sociallogin.user
        user.email = (data.get("email") or "")[:254]
        user.name = str(data.get("name") or "")[:200]
        return user

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: object = None) -> User:
        draft: User = sociallogin.user
        try:
            user = create_sso_user(
                actor=Actor.system("single sign-on"),
                email=draft.email,
                name=draft.name,
                identity=sociallogin.account.uid,
            )
        except DomainError:
            # Somebody else took the address since pre_social_login looked.
            raise _refused(request, "address_taken", draft.email) from None
        sociallogin.user = user
        sociallogin.save(request)
        return user

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Called when an account was connected: the moment for the audit trail; the mail itself is of no use here."""
        template, user = args[0], args[1]
        if template.endswith("account_connected"):
            account = kwargs["context"]["account"]
            record_sso_link(actor=Actor.of_user(user), user=user, identity=account.uid)


def _refused(request: HttpRequest, reason: str, email: str = "") -> ImmediateHttpResponse:
    context = {"reason": reason, "email": email}
    return ImmediateHttpResponse(render(request, "socialaccount/sso_refused.html", context, status=403))
