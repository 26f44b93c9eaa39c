"""The API's types. Input is taken as JSON means it: no text that looks like a number, no 1 that means true.

Money is exact: decimal texts of US dollars outside, whole picodollars inside. Times are ISO 8601 with their offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty

from apps.tenants.money import to_picousd, to_usd

MONEY_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,12})?$"


def parse_moment(text: str) -> datetime:
    """A moment in UTC. Raises ValueError for what is none, has no offset, or lies outside the calendar."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{text[:40]!r} is no time; write it as 2026-03-01T12:00:00Z.")
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone; end it with Z, or with an offset such as +02:00.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text[:40]!r} lies outside the calendar.") from None


def write_moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def write_decimal(value: Decimal) -> str:
    """Every digit that counts, and never an exponent: ``0.0000015``."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Text(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        # The refusal says it again: half a surrogate pair cannot be written.
        return super().to_internal_value(data.encode("utf-8", "replace").decode())


class Texts(serializers.ListField):
    """A list of texts."""

    def __init__(self, *, most: int = 100, longest: int = 200, **options: Any) -> None:
        super().__init__(child=Text(max_length=longest), max_length=most, **options)


class Moment(serializers.DateTimeField):
    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError("Write a time as a text such as 2026-03-01T12:00:00Z.", code="invalid")
        try:
            return parse_moment(value)
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from None

    def to_representation(self, value: datetime) -> str:
        return write_moment(value)


@extend_schema_field(
    {"type": "string", "pattern": MONEY_PATTERN, "examples": ["12.5"], "description": "US dollars, exactly."}
)
class Usd(serializers.Field[int, str, str, Any]):
    """Picodollars inside, for example ``12500000000000``; outside a decimal text of dollars, ``"12.5"``."""

    def to_internal_value(self, data: str) -> int:
        try:
            if not isinstance(data, str):
                raise ValueError("Money is a text, so that no digit is lost.")
            if len(data) > 25 or not data.replace(".", "", 1).isascii() or not data.replace(".", "", 1).isdigit():
                raise ValueError(f"{data[:40]!r} is no amount.")
            return to_picousd(data)
        except ValueError as error:
            raise ValidationError(
                f'{error} Write US dollars with at most 12 decimals, as "12.50".', code="invalid"
            ) from None

    def to_representation(self, value: int) -> str:
        return write_decimal(to_usd(value))


@extend_schema_field({"type": "string", "description": "US dollars, exactly; a correction may be below zero."})
class UsdOut(Usd):
    """Money that is only ever shown."""


class Output(serializers.Serializer[Any]):
    """What is shown: every field named, none of them ever written from."""


class Input(serializers.Serializer[Any]):
    """What may be sent: the fields that stand in it, and nothing else. An unknown one is an error, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(self.fields) or "none"
                message = ErrorDetail(f"There is no such field. Fields: {known}.", code="unknown_field")
                raise ValidationError({name[:100]: [message] for name in unknown[:20]})
        return super().to_internal_value(data)

    def run_validation(self, data: Any = empty) -> Any:
        if data is empty or data is None:
            data = {}
        return super().run_validation(data)
