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
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.models import sandbox_models
from apps.models.credentials import credential_of
from apps.models.environment import Candidate, Found, FoundStatus, candidates_of, half_there
from apps.models.errors import CredentialError, DiscoveryFailed, UrlRefused
from apps.models.models import Endpoint, Model, Price, Provider
from apps.models.prices import PACKAGE, Figures, Listing, find_listing, package_version
from apps.models.provider_settings import KINDS
from apps.models.services import add_price, seed_list_prices
from apps.models.services.models import clean_model
from apps.models.types import CredentialSource, Lifecycle, ProviderKind
from apps.models.upstream_listing import (
    CONNECT_TIMEOUT_S,
    ListedModel,
    Place,
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
AUDITED_NAMES: Final = 100

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one reading of a provider's list changed: names of models."""

    added: tuple[str, ...]
    returned: tuple[str, ...]
    vanished: tuple[str, ...]
    skipped: int


class _Reading:
    """A list of models being read in a thread of its own, its credential (which AWS may keep) included."""

    def __init__(self, place: Callable[[], Place]) -> None:
        self.listing: UpstreamListing | None = None
        self.error = "It did not answer in time."
        self._thread = threading.Thread(target=self._read, args=(place,), name="model-discovery", daemon=True)
        self._thread.start()

    def _read(self, place: Callable[[], Place]) -> None:
        try:
            self.listing = read_listing(place())
        except (DiscoveryFailed, CredentialError, UrlRefused) as error:
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
    readings: list[tuple[Candidate, Provider | None, _Reading]] = []
    for candidate in candidates_of(environ):
        known = Provider.objects.filter(slug=candidate.slug).first()
        if known is not None:
            kept.add(known.slug)
        try:
            check_url(candidate.base_url)
            timeout = LOCAL_CONNECT_TIMEOUT_S if candidate.is_probe else CONNECT_TIMEOUT_S
            if known is None and candidate.is_probe:
                credential = environ.get(candidate.credential_env, "").strip() or None
                place = partial(Place, candidate.kind, candidate.base_url, credential, connect_timeout=timeout)
            else:
                known = _register(actor, candidate, known)
                kept.add(known.slug)
                if not known.is_enabled:
                    found.append(Found(known.name, FoundStatus.DISABLED, message="disabled by the platform's staff"))
                    continue
                if not candidate.from_aws:
                    credential_of(known)  # what is wrong with it is said at once
                place = partial(place_of, known, connect_timeout=timeout)
        except (UrlRefused, CredentialError) as error:
            found.append(Found(candidate.name, FoundStatus.UNREACHABLE, message=error.message))
            continue
        readings.append((candidate, known, _Reading(place)))
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
    found += half_there(environ)
    return found


def discover_provider(*, actor: Actor, provider: Provider) -> Discovery:
    """Read the provider's list of models and register them. Raises DiscoveryFailed, CredentialError, UrlRefused."""
    require(actor, "registry.manage", what="discover models")
    try:
        listing = list_models(provider)
    except (DiscoveryFailed, CredentialError, UrlRefused) as error:
        _note_failure(provider, error.message)
        raise
    return record_listing(actor=actor, provider=provider, listing=listing)


def place_of(provider: Provider, *, connect_timeout: float = CONNECT_TIMEOUT_S) -> Place:
    """Raises CredentialError. What AWS keeps is read now, which blocks."""
    return Place(provider.kind, provider.base_url, credential_of(provider), provider.settings, connect_timeout)


def list_models(provider: Provider) -> UpstreamListing:
    """The provider's list, read now. Raises DiscoveryFailed, CredentialError, UrlRefused."""
    if not KINDS[provider.kind].lists_models:
        raise DiscoveryFailed(f"{provider.name} has no list of models to read.")
    return read_listing(place_of(provider))


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
            endpoint = add_listed(provider, listed)
            if endpoint is None:
                skipped += 1
                continue
            added.append(listed.upstream_model)
            price_listed(actor, endpoint, listed, now)
            continue
        if endpoint.missing_since is not None:
            apply_changes(endpoint, {"is_enabled": True, "missing_since": None})
            returned.append(listed.upstream_model)
        if endpoint.from_discovery and endpoint.pk in unpriced:
            price_listed(actor, endpoint, listed, now)
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
            "added": list(discovery.added[:AUDITED_NAMES]),
            "returned": list(discovery.returned[:AUDITED_NAMES]),
            "vanished": list(discovery.vanished[:AUDITED_NAMES]),
            "counts": [len(added), len(returned), len(vanished)],
        }
        audit.record(actor, "provider.models_discovered", provider, facts)
        control_plane_changed()
    return discovery


@transaction.atomic
def _register(actor: Actor, candidate: Candidate, known: Provider | None) -> Provider:
    source = CredentialSource.ENVIRONMENT if candidate.credential_env else CredentialSource.NONE
    if candidate.from_aws:
        source = CredentialSource.AWS
    values: dict[str, Any] = {
        "kind": candidate.kind,  # which the address tells: OpenAI's own, or another server's
        "base_url": candidate.base_url,
        "settings": dict(candidate.settings),
        "credential_source": source.value,
        "credential_env": candidate.credential_env,
    }
    facts = {"base_url": candidate.base_url, "key_variable": candidate.credential_env}
    if known is None:
        provider = Provider.objects.create(
            slug=candidate.slug,
            name=candidate.name,
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
    if provider.kind == candidate.kind and (region := provider.settings.get("region")):
        values["settings"] = {"region": region, **candidate.settings}  # no variable tells where it runs, save AWS's
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


def add_listed(provider: Provider, listed: ListedModel) -> Endpoint | None:
    """The endpoint of a newly listed model; None where the name belongs to something else already."""
    is_open = settings.DISCOVERED_MODELS_OPEN
    model = Model.objects.filter(slug=listed.upstream_model).first()
    is_new = model is None
    if model is None:
        listing = listing_of(provider, listed)
        model = Model.objects.create(slug=listed.upstream_model, **_described(listed, listing), is_open=is_open)
    elif model.kind != listed.kind or model.endpoints.filter(provider__kind=ProviderKind.SANDBOX).exists():
        return None
    return Endpoint.objects.create(
        model=model,
        provider=provider,
        upstream_model=listed.upstream_model,
        priority=Endpoint.objects.filter(model=model).count(),
        from_discovery=True,
        region=provider.settings.get("region", ""),
        # Where models are approved by people, an approved one gets no further place to send data to by itself.
        is_enabled=is_new or is_open,
    )


def _described(listed: ListedModel, listing: Listing | None) -> dict[str, Any]:
    owner = "" if listed.owner.lower() in _NO_OWNERS else listed.owner
    name = listed.name or listed.upstream_model
    # The package's name where it is this very model's (several share one) and somebody spelled it with care.
    if (
        not listed.name
        and listing is not None
        and _letters(listing.name) == _letters(name)
        and not listing.name.islower()
    ):
        name = listing.name
    values = clean_model(
        {
            "name": name,
            "kind": listed.kind,
            "publisher": owner if listed.name else listing.publisher if listing else owner,
            "description": listing.description[:4000] if listing else "",
            "context_tokens": listed.context_tokens or (listing.context_tokens if listing else None),
            "max_output_tokens": listed.max_output_tokens,
            "capabilities": list(listed.capabilities) or guess_capabilities(listed.upstream_model, listed.kind),
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


def listing_of(provider: Provider, listed: ListedModel) -> Listing | None:
    """What the price package knows of it."""
    sold_as = "openai" if provider.credential_env == "OPENAI_API_KEY" else KINDS[provider.kind].list_prices
    return find_listing(listed.priced_as or listed.upstream_model, provider.base_url, sold_as)


def _unpriced(provider: Provider) -> set[int]:
    """Endpoints whose list price was not looked up with this version of the package."""
    looked_up = f"{PACKAGE} {package_version()}"
    priced = Price.objects.filter(endpoint__provider=provider, source__startswith=looked_up)
    return set(
        Endpoint.objects.filter(provider=provider)
        .exclude(pk__in=priced.values("endpoint_id"))
        .values_list("pk", flat=True)
    )


def price_listed(actor: Actor, endpoint: Endpoint, listed: ListedModel, now: datetime) -> None:
    if endpoint.provider.slug in {"ollama", "vllm"} and endpoint.provider.from_environment:
        if not Price.objects.filter(model=endpoint.model).exists():
            add_price(actor=actor, model=endpoint.model, endpoint=endpoint, figures=Figures(0, 0), source=SELF_HOSTED)
        return
    listing = listing_of(endpoint.provider, listed)
    if listing is not None:
        seed_list_prices(actor=actor, endpoint=endpoint, listing=listing, now=now)
