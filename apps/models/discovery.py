"""Finding what can be called: providers in the operator's environment, and the models that a provider lists.

``register_from_environment`` runs at each start (the supervisor, ``manage.py providers discover``) and is idempotent;
``discover_due`` runs every minute in the worker. Neither ever fails a start: a provider that does not answer keeps the
models that were known of it, and is asked again later.

Network reads happen outside of transactions, in threads that a deadline leaves behind; everything that touches the
database happens in the caller's thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.models import sandbox_models
from apps.models.credentials import credential_of
from apps.models.errors import CredentialError, DiscoveryFailed, UrlRefused
from apps.models.models import Endpoint, Model, Price, Provider
from apps.models.prices import PACKAGE, Figures, Listing, find_listing, package_version
from apps.models.services import add_price, seed_list_prices
from apps.models.services.models import clean_model
from apps.models.types import CredentialSource, Lifecycle, ProviderKind
from apps.models.upstream_listing import (
    CONNECT_TIMEOUT_S,
    ListedModel,
    UpstreamListing,
    guess_capabilities,
    read_listing,
)
from apps.models.urls_guard import check_url, operator_allowlist
from apps.tenants import audit
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.services.changes import apply_changes

START_DEADLINE_S: Final = 3.0
LOCAL_CONNECT_TIMEOUT_S: Final = 0.3
REDISCOVER_AFTER: Final = timedelta(hours=1)
SELF_HOSTED: Final = "Self-hosted: no price per token"
_NO_OWNERS: Final = frozenset({"system", "library", "vllm", "openai-internal", "organization_owner", "user"})
_AUDITED_NAMES: Final = 100

logger = structlog.get_logger(__name__)


class FoundStatus(StrEnum):
    READY = "ready"
    UNREACHABLE = "unreachable"
    DISABLED = "disabled"
    GONE = "gone"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that the environment offers, for the banner. ``models`` counts those callable through it now."""

    name: str
    status: FoundStatus
    models: int = 0
    message: str = ""

    @property
    def line(self) -> str:
        count = f"{self.models} model{'' if self.models == 1 else 's'}"
        match self.status:
            case FoundStatus.READY:
                return f"{self.name}: {count}{f' ({self.message})' if self.message else ''}"
            case FoundStatus.UNREACHABLE:
                kept = (
                    f"keeping the {count} known"
                    if self.models
                    else "no models known yet; it is asked again each minute"
                )
                return f"{self.name}: {self.message.rstrip('.')}; {kept}"
        return f"{self.name}: {self.message.rstrip('.')}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one reading of a provider's list changed: names of models."""

    added: tuple[str, ...]
    returned: tuple[str, ...]
    vanished: tuple[str, ...]
    skipped: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    slug: str
    name: str
    base_url: str
    credential_env: str = ""
    # A guess that nobody asked for: when nothing answers there, there is nothing to report.
    is_probe: bool = False


class _Reading:
    """A list of models being read in a thread of its own."""

    def __init__(self, base_url: str, credential: str | None, connect_timeout: float) -> None:
        self.listing: UpstreamListing | None = None
        self.error = "It did not answer in time."
        self._thread = threading.Thread(
            target=self._read, args=(base_url, credential, connect_timeout), name="model-discovery", daemon=True
        )
        self._thread.start()

    def _read(self, base_url: str, credential: str | None, connect_timeout: float) -> None:
        try:
            self.listing = read_listing(base_url, credential, connect_timeout=connect_timeout)
        except (DiscoveryFailed, UrlRefused) as error:
            self.error = error.message

    def wait(self, deadline: float) -> UpstreamListing:
        """Raises DiscoveryFailed."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self.listing is None:
            raise DiscoveryFailed(self.error)
        return self.listing


def register_from_environment() -> list[Found]:
    """Register what the environment offers, and say what that is. Takes at most about ``START_DEADLINE_S``."""
    operator_allowlist()  # raises ImproperlyConfigured: a malformed setting is told at the start, not at the first call
    environ = os.environ
    actor = Actor.system("start-up")
    deadline = time.monotonic() + START_DEADLINE_S
    found: list[Found] = []
    kept: set[str] = set()
    if settings.SANDBOX_ENABLED:
        provider = sandbox_models.register(actor=actor)
        kept.add(provider.slug)
        found.append(_standing(provider, "labelled as such everywhere, bills nothing"))
    readings: list[tuple[_Candidate, Provider | None, _Reading]] = []
    for candidate in _candidates(environ):
        known = Provider.objects.filter(slug=candidate.slug).first()
        if known is not None:
            kept.add(known.slug)
        try:
            check_url(candidate.base_url)
            if known is None and candidate.is_probe:
                credential = environ.get(candidate.credential_env, "").strip() or None
            else:
                known = _register(actor, candidate, known)
                kept.add(known.slug)
                if not known.is_enabled:
                    found.append(Found(known.name, FoundStatus.DISABLED, message="disabled by the platform's staff"))
                    continue
                credential = credential_of(known)
        except (UrlRefused, CredentialError) as error:
            found.append(Found(candidate.name, FoundStatus.UNREACHABLE, message=error.message))
            continue
        timeout = LOCAL_CONNECT_TIMEOUT_S if candidate.is_probe else CONNECT_TIMEOUT_S
        readings.append((candidate, known, _Reading(candidate.base_url, credential, timeout)))
    for candidate, known, reading in readings:
        try:
            listing = reading.wait(deadline)
        except DiscoveryFailed as error:
            if known is not None:
                _note_failure(known, error.message)
                found.append(_standing(known, error.message, FoundStatus.UNREACHABLE))
            continue
        provider = known or _register(actor, candidate, None)
        kept.add(provider.slug)
        found.append(_apply(actor, provider, listing))
    found += _retire_missing(actor, kept)
    found += _recognised(environ)
    return found


def discover_provider(*, actor: Actor, provider: Provider) -> Discovery:
    """Read the provider's list of models and register them. Raises DiscoveryFailed, CredentialError, UrlRefused."""
    require(actor, "registry.manage", what="discover models")
    if provider.kind != ProviderKind.OPENAI_COMPATIBLE:
        raise DiscoveryFailed(f"{provider.name} has no list of models to read.")
    try:
        listing = read_listing(provider.base_url, credential_of(provider))
    except (DiscoveryFailed, CredentialError, UrlRefused) as error:
        _note_failure(provider, error.message)
        raise
    return record_listing(actor=actor, provider=provider, listing=listing)


def discover_due(now: datetime | None = None) -> list[str]:
    """Ask the providers that are due: every time while none of their models is known, else each hour. Their slugs."""
    now = timezone.now() if now is None else now
    actor = Actor.system("model discovery")
    asked = []
    for provider in Provider.objects.filter(auto_discover=True, is_enabled=True).order_by("pk"):
        known = Endpoint.objects.filter(provider=provider, from_discovery=True, is_enabled=True).exists()
        if known and provider.last_seen_at is not None and provider.last_seen_at > now - REDISCOVER_AFTER:
            continue
        asked.append(provider.slug)
        try:
            discover_provider(actor=actor, provider=provider)
        except (DiscoveryFailed, CredentialError, UrlRefused) as error:
            logger.info("discovery_failed", provider=provider.slug, reason=error.message)
    return asked


@transaction.atomic
def record_listing(*, actor: Actor, provider: Provider, listing: UpstreamListing) -> Discovery:
    """Make the registry agree with the provider's list. What it no longer lists is disabled, not deleted.

    Raises DiscoveryFailed for an empty list: a server that has just started must not switch off everything it serves.
    """
    require(actor, "registry.manage", what="discover models")
    if not listing.models:
        raise DiscoveryFailed("It lists no model that Lobby could serve.")
    provider = Provider.objects.select_for_update().get(pk=provider.pk)
    now = timezone.now()
    known = {
        endpoint.upstream_model: endpoint
        for endpoint in Endpoint.objects.filter(provider=provider).select_related("model", "provider")
    }
    added: list[str] = []
    returned: list[str] = []
    skipped = listing.skipped
    unpriced = _unpriced(provider)
    for listed in listing.models:
        endpoint = known.get(listed.upstream_model)
        if endpoint is None:
            endpoint = _add(provider, listed)
            if endpoint is None:
                skipped += 1
                continue
            added.append(listed.upstream_model)
            _price(actor, endpoint, now)
            continue
        if endpoint.missing_since is not None:
            apply_changes(endpoint, {"is_enabled": True, "missing_since": None})
            returned.append(listed.upstream_model)
        if endpoint.from_discovery and endpoint.pk in unpriced:
            _price(actor, endpoint, now)
    names = {listed.upstream_model for listed in listing.models}
    vanished = [
        endpoint
        for endpoint in known.values()
        if endpoint.from_discovery and endpoint.is_enabled and endpoint.upstream_model not in names
    ]
    for endpoint in vanished:
        apply_changes(endpoint, {"is_enabled": False, "missing_since": now})
    apply_changes(provider, {"last_seen_at": now, "last_error": ""})
    discovery = Discovery(
        tuple(added), tuple(returned), tuple(endpoint.upstream_model for endpoint in vanished), skipped
    )
    if added or returned or vanished:
        facts = {
            "added": list(discovery.added[:_AUDITED_NAMES]),
            "returned": list(discovery.returned[:_AUDITED_NAMES]),
            "vanished": list(discovery.vanished[:_AUDITED_NAMES]),
            "counts": [len(added), len(returned), len(vanished)],
        }
        audit.record(actor, "provider.models_discovered", provider, facts)
        control_plane_changed()
    return discovery


def _candidates(environ: Mapping[str, str]) -> list[_Candidate]:
    """In the order of their priority where two offer the same model."""
    candidates = []
    if environ.get("OPENAI_API_KEY", "").strip():
        base_url = settings.OPENAI_BASE_URL.rstrip("/")
        host = base_url.partition("://")[2].partition("/")[0]
        name = "OpenAI" if host == "api.openai.com" else f"OpenAI-compatible ({host})"
        candidates.append(_Candidate("openai", name, base_url, credential_env="OPENAI_API_KEY"))
    if settings.OLLAMA_BASE_URL:
        candidates.append(_Candidate("ollama", "Ollama", settings.OLLAMA_BASE_URL.rstrip("/"), is_probe=True))
    if settings.VLLM_BASE_URL:
        key = "VLLM_API_KEY" if environ.get("VLLM_API_KEY", "").strip() else ""
        candidates.append(
            _Candidate("vllm", "vLLM", settings.VLLM_BASE_URL.rstrip("/"), credential_env=key, is_probe=True)
        )
    return candidates


@transaction.atomic
def _register(actor: Actor, candidate: _Candidate, known: Provider | None) -> Provider:
    source = CredentialSource.ENVIRONMENT if candidate.credential_env else CredentialSource.NONE
    values: dict[str, Any] = {
        "base_url": candidate.base_url,
        "credential_source": source.value,
        "credential_env": candidate.credential_env,
    }
    facts = {"base_url": candidate.base_url, "key_variable": candidate.credential_env}
    if known is None:
        provider = Provider.objects.create(
            slug=candidate.slug,
            name=candidate.name,
            kind=ProviderKind.OPENAI_COMPATIBLE,
            from_environment=True,
            auto_discover=True,
            **values,
        )
        audit.record(actor, "provider.registered", provider, facts)
        control_plane_changed()
        return provider
    provider = Provider.objects.select_for_update().get(pk=known.pk)
    if not provider.from_environment:
        return provider  # somebody's own provider has the name; what they entered stands
    if provider.missing_since is not None:
        values |= {"is_enabled": True, "missing_since": None}
    if apply_changes(provider, values):
        audit.record(actor, "provider.registered", provider, facts)
        control_plane_changed()
    return provider


def _apply(actor: Actor, provider: Provider, listing: UpstreamListing) -> Found:
    try:
        discovery = record_listing(actor=actor, provider=provider, listing=listing)
    except DiscoveryFailed as error:
        _note_failure(provider, error.message)
        return _standing(provider, error.message, FoundStatus.UNREACHABLE)
    parts = []
    if discovery.vanished:
        parts.append(f"{len(discovery.vanished)} no longer listed, disabled")
    if discovery.skipped:
        parts.append(f"{discovery.skipped} of other kinds left out")
    return _standing(provider, ", ".join(parts))


def _standing(provider: Provider, message: str, status: FoundStatus = FoundStatus.READY) -> Found:
    if not provider.is_enabled:
        return Found(provider.name, FoundStatus.DISABLED, message="disabled by the platform's staff")
    live = Endpoint.objects.filter(provider=provider, is_enabled=True).count()
    return Found(provider.name, status, live, message)


def _note_failure(provider: Provider, message: str) -> None:
    Provider.objects.filter(pk=provider.pk).update(last_error=message[:300])


@transaction.atomic
def _retire_missing(actor: Actor, kept: set[str]) -> list[Found]:
    """Disable providers that an earlier start registered and that the environment no longer names."""
    gone = []
    for provider in Provider.objects.select_for_update().filter(from_environment=True).exclude(slug__in=kept):
        message = "no longer in the environment, disabled"
        if provider.is_enabled:
            apply_changes(provider, {"is_enabled": False, "missing_since": timezone.now()})
            audit.record(actor, "provider.disabled", provider, {"reason": message})
            control_plane_changed()
            gone.append(Found(provider.name, FoundStatus.GONE, message=message))
    return gone


def _recognised(environ: Mapping[str, str]) -> list[Found]:
    """Credentials of providers whose adapters come with a later release."""
    found = []
    message = "found, not used yet by this release"
    if environ.get("ANTHROPIC_API_KEY", "").strip():
        found.append(Found("Anthropic (ANTHROPIC_API_KEY)", FoundStatus.UNUSED, message=message))
    aws = [
        name
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_WEB_IDENTITY_TOKEN_FILE")
        if environ.get(name, "").strip()
    ]
    if aws:
        found.append(Found(f"AWS ({aws[0]})", FoundStatus.UNUSED, message=message))
    return found


def _add(provider: Provider, listed: ListedModel) -> Endpoint | None:
    """The endpoint of a newly listed model; None where the name belongs to something else already."""
    is_open = settings.DISCOVERED_MODELS_OPEN
    model = Model.objects.filter(slug=listed.upstream_model).first()
    is_new = model is None
    if model is None:
        listing = _listing(provider, listed.upstream_model)
        model = Model.objects.create(slug=listed.upstream_model, **_described(listed, listing), is_open=is_open)
    elif model.kind != listed.kind or model.endpoints.filter(provider__kind=ProviderKind.SANDBOX).exists():
        return None
    return Endpoint.objects.create(
        model=model,
        provider=provider,
        upstream_model=listed.upstream_model,
        priority=Endpoint.objects.filter(model=model).count(),
        from_discovery=True,
        # Where models are approved by people, an approved one gets no further place to send data to by itself.
        is_enabled=is_new or is_open,
    )


def _described(listed: ListedModel, listing: Listing | None) -> dict[str, Any]:
    owner = "" if listed.owner.lower() in _NO_OWNERS else listed.owner
    name = listed.upstream_model
    # The package's name where it is this very model's (several share one) and somebody spelled it with care.
    if listing is not None and _letters(listing.name) == _letters(name) and not listing.name.islower():
        name = listing.name
    values = clean_model(
        {
            "name": name,
            "kind": listed.kind,
            "publisher": listing.publisher if listing else owner,
            "description": listing.description[:4000] if listing else "",
            "context_tokens": listed.context_tokens or (listing.context_tokens if listing else None),
            "capabilities": guess_capabilities(listed.upstream_model, listed.kind),
        }
    )
    if not settings.DISCOVERED_MODELS_OPEN:
        values["lifecycle"] = Lifecycle.PROPOSED.value
    elif listing is not None and listing.is_deprecated:
        values["lifecycle"] = Lifecycle.DEPRECATED.value
    else:
        values["lifecycle"] = Lifecycle.APPROVED.value
    return values


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _listing(provider: Provider, upstream_model: str) -> Listing | None:
    sold_as = "openai" if provider.credential_env == "OPENAI_API_KEY" else ""
    return find_listing(upstream_model, provider.base_url, sold_as)


def _unpriced(provider: Provider) -> set[int]:
    """Endpoints whose list price was not looked up with this version of the package."""
    looked_up = f"{PACKAGE} {package_version()}"
    priced = Price.objects.filter(endpoint__provider=provider, source__startswith=looked_up)
    return set(
        Endpoint.objects.filter(provider=provider)
        .exclude(pk__in=priced.values("endpoint_id"))
        .values_list("pk", flat=True)
    )


def _price(actor: Actor, endpoint: Endpoint, now: datetime) -> None:
    if endpoint.provider.slug in {"ollama", "vllm"} and endpoint.provider.from_environment:
        if not Price.objects.filter(model=endpoint.model).exists():
            add_price(actor=actor, model=endpoint.model, endpoint=endpoint, figures=Figures(0, 0), source=SELF_HOSTED)
        return
    listing = _listing(endpoint.provider, endpoint.upstream_model)
    if listing is not None:
        seed_list_prices(actor=actor, endpoint=endpoint, listing=listing, now=now)
