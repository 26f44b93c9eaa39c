"""Providers: the servers that answer, and the credential that Lobby shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef

from apps.models.credentials import check_environment_name, check_secret, check_secret_name, keyring, origin_of
from apps.models.errors import CredentialInvalid, CredentialNeeded, CredentialUnavailable
from apps.models.models import Provider
from apps.models.provider_settings import KINDS, address_of, clean_provider_settings
from apps.models.types import AWS_KINDS, SANDBOX_URL, CredentialSource, ProviderKind
from apps.models.urls_guard import check_new_url
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.services.changes import apply_changes

# What the audit trail calls the fields whose own names it takes for secrets and blots out.
_AUDIT_NAMES = {
    "credential_source": "key_source",
    "credential_env": "key_variable",
    "credential_secret": "kept_as",
    "credential_secret_key": "kept_under",
}
# Where what is kept is a secret access key and nothing else.
_SECRET_KEY_ALONE = frozenset({CredentialSource.DATABASE, CredentialSource.ENVIRONMENT})
_TEXTS = {"credential_env": 100, "credential_secret": 512, "credential_secret_key": 100}


class ProviderChanges(TypedDict, total=False):
    name: str
    base_url: str
    settings: dict[str, str]
    credential_source: str
    credential_env: str
    credential_secret: str
    credential_secret_key: str
    auto_discover: bool


@transaction.atomic
def create_provider(
    *,
    actor: Actor,
    slug: str,
    kind: str = ProviderKind.OPENAI_COMPATIBLE,
    secret: str = "",
    **facts: Unpack[ProviderChanges],
) -> Provider:
    """``secret`` goes with the source ``database`` and with no other; without ``base_url`` the kind's own is taken."""
    _require(actor)
    provider, values = draft_provider(slug=slug, kind=kind, secret=secret, **facts)
    try:
        with transaction.atomic():
            provider.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"There is a provider {slug!r} already.", code="slug_taken", field="slug") from None
    if secret:
        _seal(provider, secret)
    audit.record(actor, "provider.created", provider, {"slug": provider.slug, **_for_audit(values)})
    control_plane_changed()
    return provider


def draft_provider(
    *, slug: str, kind: str, secret: str = "", **facts: Unpack[ProviderChanges]
) -> tuple[Provider, dict[str, Any]]:
    """A provider as ``create_provider`` would make it, checked and not saved, with its clean values."""
    provider = Provider(
        slug=validation.clean_slug(slug), kind=validation.clean_choice(kind, ProviderKind, field="kind")
    )
    facts.setdefault("settings", {})
    facts.setdefault("base_url", "")
    facts.setdefault("credential_source", CredentialSource.NONE)
    values = _clean(provider, facts)
    for field, value in values.items():
        setattr(provider, field, value)
    _check_credential(provider, has_secret=bool(secret))
    return provider, values


@transaction.atomic
def update_provider(
    *, actor: Actor, provider: Provider, secret: str = "", **changes: Unpack[ProviderChanges]
) -> Provider:
    """Another server (scheme, host or port) never inherits the credential: ``secret``, or the name of the variable or
    of the kept secret, must be given again in the same act. Raises CredentialNeeded otherwise.
    """
    _require(actor)
    provider = Provider.objects.select_for_update().get(pk=provider.pk)
    values = _clean(provider, changes)
    if provider.from_environment and set(values) - {"name"}:
        fixed = {field for field in values if field != "name" and values[field] != getattr(provider, field)}
        if "settings" in fixed and _differ_by_region_alone(provider, values["settings"]):
            fixed.discard("settings")  # where it runs is in no variable
        if fixed or secret:
            raise Conflict(
                f"{provider.name} is registered from the environment.",
                code="from_environment",
                remedy="Change the environment variable and restart.",
            )
    old_origin, old_source = origin_of(provider.base_url), provider.credential_source
    old_region = provider.settings.get("region", "")
    changed = apply_changes(provider, values)
    moved = origin_of(provider.base_url) != old_origin
    source = provider.credential_source
    if moved and source == CredentialSource.ENVIRONMENT and "credential_env" not in changes:
        raise CredentialNeeded("The server has changed: name the credential's environment variable again.")
    if moved and source == CredentialSource.SECRETS_MANAGER and "credential_secret" not in changes:
        raise CredentialNeeded("The server has changed: name the credential's secret again.")
    kept = source == old_source == CredentialSource.DATABASE and not moved and bool(provider.credential_encrypted)
    _check_credential(provider, has_secret=bool(secret) or kept)
    if secret:
        _seal(provider, secret)
    elif source != CredentialSource.DATABASE and provider.credential_encrypted:
        apply_changes(provider, {"credential_encrypted": ""})
    if changed or secret:
        facts = {**_for_audit(changed), "new_key": bool(secret)}
        if moved_endpoints := _move_endpoints(provider, old_region):
            facts["endpoints_moved"] = moved_endpoints
        audit.record(actor, "provider.updated", provider, facts)
        control_plane_changed()
    return provider


@transaction.atomic
def set_credential(*, actor: Actor, provider: Provider, secret: str) -> Provider:
    """Store the provider's credential, encrypted; it replaces whatever the provider had."""
    _require(actor)
    provider = Provider.objects.select_for_update().get(pk=provider.pk)
    if provider.from_environment:
        raise Conflict(
            f"{provider.name} takes its credential from the environment.",
            code="from_environment",
            remedy="Change the environment variable and restart.",
        )
    if CredentialSource.DATABASE not in KINDS[provider.kind].sources:
        raise CredentialInvalid(f"{provider.get_kind_display()} needs no credential.")
    elsewhere = dict.fromkeys(_TEXTS, "")
    apply_changes(provider, {"credential_source": CredentialSource.DATABASE, **elsewhere})
    _check_credential(provider, has_secret=True)
    _seal(provider, secret)
    audit.record(actor, "provider.key_set", provider, {"server": origin_of(provider.base_url)})
    control_plane_changed()
    return provider


@transaction.atomic
def enable_provider(*, actor: Actor, provider: Provider) -> Provider:
    return _set_enabled(actor, provider, True, "provider.enabled")


@transaction.atomic
def disable_provider(*, actor: Actor, provider: Provider) -> Provider:
    """Nothing is sent to it any more; its endpoints and history stay."""
    return _set_enabled(actor, provider, False, "provider.disabled")


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many stored credentials were made anew, were new already, and (by provider) could not be opened."""

    renewed: int
    current: int
    failed: dict[str, str]


@transaction.atomic
def rotate_credentials(*, actor: Actor) -> Rotation:
    """Encrypt every stored credential with the present CREDENTIALS_KEY. What cannot be opened is left as it is."""
    _require(actor)
    ring = keyring()
    renewed = current = 0
    failed: dict[str, str] = {}
    for provider in Provider.objects.exclude(credential_encrypted="").order_by("pk").select_for_update():
        try:
            secret = ring.decrypt(provider.credential_encrypted, provider_id=provider.pk, base_url=provider.base_url)
        except CredentialUnavailable as error:
            failed[provider.slug] = error.message
            continue
        if ring.is_current(provider.credential_encrypted):
            current += 1
            continue
        provider.credential_encrypted = ring.encrypt(secret, provider_id=provider.pk, base_url=provider.base_url)
        provider.save(update_fields=["credential_encrypted"])
        audit.record(actor, "provider.key_reencrypted", provider, {})
        renewed += 1
    if renewed:
        control_plane_changed()
    return Rotation(renewed, current, failed)


def _require(actor: Actor) -> None:
    require(actor, "registry.manage", what="change providers")


def _set_enabled(actor: Actor, provider: Provider, value: bool, action: str) -> Provider:
    _require(actor)
    provider = Provider.objects.select_for_update().get(pk=provider.pk)
    # What somebody decided is no longer what start-up found missing.
    if apply_changes(provider, {"is_enabled": value, "missing_since": None}):
        audit.record(actor, action, provider, {})
        control_plane_changed()
    return provider


def _differ_by_region_alone(provider: Provider, settings: dict[str, str]) -> bool:
    """Never of AWS, whose region is an address."""
    old, new = ({**each, "region": ""} for each in (provider.settings, settings))
    return provider.kind not in AWS_KINDS and old == new


def _move_endpoints(provider: Provider, old_region: str) -> int:
    """Those in the provider's old region follow it, save where there is such an endpoint in the new one already."""
    region = provider.settings.get("region", "")
    if region == old_region:
        return 0
    twins = provider.endpoints.filter(model=OuterRef("model"), upstream_model=OuterRef("upstream_model"), region=region)
    staying = list(provider.endpoints.filter(Exists(twins), region=old_region).values_list("pk", flat=True))
    return provider.endpoints.filter(region=old_region).exclude(pk__in=staying).update(region=region)


def _clean(provider: Provider, changes: ProviderChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = validation.clean_name(changes["name"], maximum=100)
    settings = provider.settings
    if "settings" in changes:
        settings = values["settings"] = clean_provider_settings(provider.kind, changes["settings"])
    # An address that is the kind's own follows the settings (the region above all).
    is_own = bool(provider.base_url) and provider.base_url == address_of(provider.kind, provider.settings)
    if "base_url" in changes or is_own:
        given = changes.get("base_url", "").strip()
        if is_own and given == provider.base_url:
            given = ""
        values["base_url"] = _clean_base_url(provider, given or address_of(provider.kind, settings))
    if "credential_source" in changes:
        values["credential_source"] = validation.clean_choice(
            changes["credential_source"], CredentialSource, field="credential_source"
        )
    for field, text in changes.items():
        if field in _TEXTS:
            values[field] = validation.clean_text(str(text), field=field, maximum=_TEXTS[field])
    if "auto_discover" in changes:
        values["auto_discover"] = bool(changes["auto_discover"]) and KINDS[provider.kind].lists_models
    if unknown := set(changes) - set(values):
        raise Invalid(f"{', '.join(sorted(unknown))} cannot be changed here.", field=min(unknown))
    return values


def _clean_base_url(provider: Provider, value: str) -> str:
    if not value:
        raise Invalid("The server's address is needed.", field="base_url", remedy=KINDS[provider.kind].address_help)
    if provider.kind == ProviderKind.SANDBOX:
        if value != SANDBOX_URL:
            raise Invalid(f"The sandbox is no server: its URL is {SANDBOX_URL!r}.", field="base_url")
        return value
    if provider.pk and value.rstrip("/") == provider.base_url:
        return provider.base_url  # as it was: no name is looked up for it
    return check_new_url(value).url


def _check_credential(provider: Provider, *, has_secret: bool) -> None:
    """Source, variable and secret fit together. Raises CredentialInvalid, CredentialNeeded."""
    source, facts = provider.credential_source, KINDS[provider.kind]
    if source not in facts.sources:
        wanted = ", ".join(facts.sources)
        raise Invalid(
            f"{facts.kind.label} takes no credential from the source {source!r}.",
            field="credential_source",
            remedy=f"Use one of: {wanted}.",
        )
    if source == CredentialSource.ENVIRONMENT:
        check_environment_name(provider.credential_env, provider.base_url)
    elif provider.credential_env:
        raise CredentialInvalid("An environment variable goes with the source 'environment' only.")
    if source == CredentialSource.SECRETS_MANAGER:
        check_secret_name(provider.credential_secret)
    elif provider.credential_secret or provider.credential_secret_key:
        raise CredentialInvalid("A secret's name goes with the source 'secretsmanager' only.")
    needs_id = provider.kind == ProviderKind.SAGEMAKER and source in _SECRET_KEY_ALONE
    if needs_id and not provider.settings.get("access_key_id"):
        raise Invalid("The secret access key's own id is needed.", field="settings/access_key_id")
    if source == CredentialSource.DATABASE:
        if not has_secret:
            raise CredentialNeeded(f"Enter the credential for {origin_of(provider.base_url)}.")
    elif has_secret:
        raise CredentialInvalid("A credential is stored with the source 'database' only.")


def _seal(provider: Provider, secret: str) -> None:
    secret = check_secret(secret)
    provider.credential_encrypted = keyring().encrypt(secret, provider_id=provider.pk, base_url=provider.base_url)
    provider.save(update_fields=["credential_encrypted"])


def _for_audit(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_AUDIT_NAMES.get(field, field): value for field, value in values.items()}
