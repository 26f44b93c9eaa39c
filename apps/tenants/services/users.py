"""Users: people with an account, and their roles across the platform."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import F

from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.models import User
from apps.tenants.types import PlatformRole


@transaction.atomic
def create_user(
    *,
    actor: Actor,
    email: str,
    name: str = "",
    password: str | None = None,
    platform_role: str = PlatformRole.NONE,
) -> User:
    """An account with a password, or without one (then only single sign-on or a password reset leads in)."""
    require(actor, "user.manage", what="manage users")
    platform_role = validation.clean_choice(platform_role, PlatformRole, field="platform_role")
    user = _make_user(email, name, password, platform_role)
    audit.record(actor, "user.created", user, {"email": user.email, "platform_role": platform_role})
    return user


@transaction.atomic
def invite_user(*, actor: Actor, email: str, name: str = "") -> User:
    """An account without a password, and a mail that says how to come in."""
    require(actor, "user.manage", what="manage users")
    return make_invited_user(actor, email, name)


@transaction.atomic
def update_user(*, actor: Actor, user: User, name: str) -> User:
    """People may change their own name; service admins anybody's."""
    if actor.user != user or actor.api_key_id is not None:
        require(actor, "user.manage", what="manage users")
    name = validation.clean_text(name, field="name", maximum=200)
    if user.name != name:
        before, user.name = user.name, name
        user.save(update_fields=["name"])
        audit.record(actor, "user.updated", user, {"name": [before, name]})
    return user


@transaction.atomic
def set_password(*, actor: Actor, user: User, password: str) -> User:
    """Ends the user's sessions, as every change of password does."""
    require(actor, "user.manage", what="manage users")
    _check_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    audit.record(actor, "user.password_set", user)
    return user


@transaction.atomic
def set_platform_role(*, actor: Actor, user: User, platform_role: str) -> User:
    """Who may open the admin, and with what rights, follows from the platform role alone."""
    require(actor, "user.manage", what="manage users")
    platform_role = validation.clean_choice(platform_role, PlatformRole, field="platform_role")
    user = _locked(user)
    if user.platform_role == platform_role:
        return user
    _refuse_to_leave_without_service_admin(actor, user)
    before = user.platform_role
    user.platform_role = platform_role
    user.is_staff, user.is_superuser = _admin_flags(platform_role)
    user.session_epoch += 1
    user.save(update_fields=["platform_role", "is_staff", "is_superuser", "session_epoch"])
    audit.record(actor, "user.platform_role_changed", user, {"platform_role": [before, platform_role]})
    control_plane_changed()
    return user


@transaction.atomic
def deactivate_user(*, actor: Actor, user: User) -> User:
    """Their sessions end and their keys lose management rights. Keys that call models are the project's and go on."""
    require(actor, "user.manage", what="manage users")
    user = _locked(user)
    if not user.is_active:
        return user
    _refuse_to_leave_without_service_admin(actor, user)
    user.is_active = False
    user.session_epoch += 1
    user.save(update_fields=["is_active", "session_epoch"])
    audit.record(actor, "user.deactivated", user)
    control_plane_changed()
    return user


@transaction.atomic
def reactivate_user(*, actor: Actor, user: User) -> User:
    require(actor, "user.manage", what="manage users")
    user = _locked(user)
    if not user.is_active:
        user.is_active = True
        user.save(update_fields=["is_active"])
        audit.record(actor, "user.reactivated", user)
        control_plane_changed()
    return user


def make_invited_user(actor: Actor, email: str, name: str) -> User:
    """The part of an invitation after its permission was checked; tenant admins come here through ``invite_member``."""
    user = _make_user(email, name, None, PlatformRole.NONE)
    audit.record(actor, "user.invited", user, {"email": user.email})
    transaction.on_commit(lambda: _send_invitation(user), robust=True)
    return user


def _make_user(email: str, name: str, password: str | None, platform_role: str) -> User:
    email = validation.clean_email(email)
    name = validation.clean_text(name, field="name", maximum=200)
    is_staff, is_superuser = _admin_flags(platform_role)
    if password is not None:
        _check_password(password, User(email=email, name=name))
    try:
        with transaction.atomic():
            return User.objects.create_user(
                email,
                password,
                name=name,
                platform_role=platform_role,
                is_staff=is_staff,
                is_superuser=is_superuser,
            )
    except IntegrityError:
        raise Conflict(f"There is an account for {email} already.", code="email_taken", field="email") from None


def _admin_flags(platform_role: str) -> tuple[bool, bool]:
    return platform_role != PlatformRole.NONE, platform_role == PlatformRole.SERVICE_ADMIN


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password", code="weak_password") from None


def _send_invitation(user: User) -> None:
    send_mail(
        subject="You have been invited to Lobby",
        message=(
            f"Hello {user.name or user.email},\n\n"
            f"you can now use Lobby: {settings.PORTAL_URL}\n\n"
            "Sign in with single sign-on where your company has it. Otherwise choose your password here:\n"
            f"{settings.PORTAL_URL}/accounts/password/reset/\n"
        ),
        from_email=None,
        recipient_list=[user.email],
    )


def _refuse_to_leave_without_service_admin(actor: Actor, user: User) -> None:
    if actor.is_system or user.platform_role != PlatformRole.SERVICE_ADMIN or not user.is_active:
        return
    admins = User.objects.filter(platform_role=PlatformRole.SERVICE_ADMIN, is_active=True)
    if not admins.exclude(pk=user.pk).exists():
        raise Conflict(
            f"{user} is the last service admin.",
            code="last_admin",
            remedy="Make somebody else a service admin first.",
        )


def _locked(user: User) -> User:
    # The service admins too, in one order: two of them who demote each other at once must not both succeed.
    admins = User.objects.filter(platform_role=PlatformRole.SERVICE_ADMIN).order_by("pk")
    list(admins.select_for_update().values_list("pk"))
    return User.objects.select_for_update().get(pk=user.pk)


def end_sessions(user: User) -> None:
    """Every session of ``user`` is over at its next request: the epoch is a part of the sessions' hash."""
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)


@transaction.atomic
def create_sso_user(*, actor: Actor, email: str, name: str, identity: str) -> User:
    """Somebody's first single sign-on. ``identity`` is issuer + subject. They belong to no tenant yet."""
    require(actor, "user.manage", what="manage users")
    user = _make_user(email, name, None, PlatformRole.NONE)
    audit.record(actor, "user.created", user, {"email": user.email, "identity": identity})
    return user


@transaction.atomic
def record_sso_link(*, actor: Actor, user: User, identity: str) -> None:
    """allauth has connected ``identity`` (issuer + subject) with this account."""
    audit.record(actor, "user.sso_connected", user, {"identity": identity})
