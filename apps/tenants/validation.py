"""Checks that several services share: each returns the clean value or raises ``Invalid`` naming the field."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Iterable
from datetime import datetime
from functools import cache

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils import timezone

from apps.tenants.errors import Invalid

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_REGION = re.compile(r"[a-z0-9-]{2,30}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def clean_name(value: str, *, field: str = "name", maximum: int = 200) -> str:
    value = value.strip()
    if not value:
        raise Invalid("A name is needed.", field=field)
    if len(value) > maximum:
        raise Invalid(f"The name has {len(value)} characters; at most {maximum} fit.", field=field)
    if _CONTROL.search(value):
        raise Invalid("The name holds control characters.", field=field)
    return value


def clean_text(value: str, *, field: str, maximum: int) -> str:
    value = value.strip()
    if len(value) > maximum:
        raise Invalid(f"The text has {len(value)} characters; at most {maximum} fit.", field=field)
    if "\x00" in value or re.search("[\ud800-\udfff]", value):
        raise Invalid("The text holds characters that cannot be stored.", field=field)
    return value


def clean_slug(value: str, *, field: str = "slug") -> str:
    value = value.strip()
    if len(value) > 50 or not _SLUG.fullmatch(value):
        raise Invalid(
            f"{value[:60]!r} cannot be a short name.",
            field=field,
            remedy="Use lower-case letters, digits and hyphens, at most 50, for example claims-triage.",
        )
    return value


def slug_of(name: str) -> str:
    """A short name made of a longer one; empty where nothing of it can be in a short name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].rstrip("-")


def clean_email(value: str) -> str:
    value = value.strip()
    try:
        validate_email(value)
    except ValidationError:
        raise Invalid(f"{value[:100]!r} is not an e-mail address.", field="email") from None
    if len(value) > 254:
        raise Invalid("The e-mail address is too long.", field="email")
    local, _, domain = value.rpartition("@")
    return f"{local}@{domain.lower()}"


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def clean_time_zone(value: str) -> str:
    if value not in _zones():
        raise Invalid(
            f"{value[:60]!r} is no time zone.", field="time_zone", remedy="Use an IANA name such as Europe/Paris."
        )
    return value


def clean_color(value: str) -> str:
    if value and not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise Invalid(f"{value[:20]!r} is no colour.", field="brand_color", remedy="Write it as #4f46e5.")
    return value.lower()


def clean_regions(values: Iterable[str]) -> list[str]:
    regions = _unique(values)
    for region in regions:
        if not _REGION.fullmatch(region):
            raise Invalid(f"{region[:40]!r} is no region.", field="residency", remedy="Write it as eu-central-1.")
    return regions


def clean_model_names(values: Iterable[str], *, field: str = "allowed_models") -> list[str]:
    names = _unique(values)
    for name in names:
        if len(name) > 200 or not _MODEL_NAME.fullmatch(name):
            raise Invalid(f"{name[:60]!r} is no model name.", field=field)
    return names


def clean_cidrs(values: Iterable[str]) -> list[str]:
    """Networks in their canonical form; a single address becomes a network of one."""
    networks = []
    for value in _unique(values):
        try:
            networks.append(str(ipaddress.ip_network(value)))
        except ValueError:
            raise Invalid(
                f"{value[:60]!r} is no network.", field="cidrs", remedy="Write it as 10.20.0.0/16 or 192.0.2.7."
            ) from None
    return networks


def clean_expiry(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if timezone.is_naive(value):
        raise Invalid("The expiry has no time zone.", field="expires_at")
    if value <= timezone.now():
        raise Invalid("The expiry lies in the past.", field="expires_at")
    return value


def clean_choice(value: str, choices: type[models.TextChoices], *, field: str) -> str:
    if value not in choices.values:
        wanted = ", ".join(str(choice) for choice in choices.values if choice)
        raise Invalid(f"{str(value)[:60]!r} is not known.", field=field, remedy=f"Use one of: {wanted}.")
    return str(value)


def clean_number(value: int, *, field: str, minimum: int, maximum: int) -> int:
    if type(value) is not int or not minimum <= value <= maximum:  # A bool is an int, but no number.
        raise Invalid(f"{value!r} is not a whole number from {minimum:,} to {maximum:,}.", field=field)
    return value


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(stripped for value in values if (stripped := value.strip())))
