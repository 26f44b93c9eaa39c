"""Pages by cursor: as quick at the end of ten million rows as at their beginning, and stable while rows are added.

A page is ordered by one column and then by primary key, so that every row has one place; a cursor names the row at a
page's edge. Columns to order by must be concrete and never null.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q

from apps.tenants.rest.errors import InvalidQuery

DEFAULT_SIZE = 50
LARGEST_SIZE = 200
_LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """``next`` and ``previous`` are cursors, empty where there is no such page."""

    rows: list[Any]
    next: str
    previous: str


@dataclass(frozen=True, slots=True)
class _Edge:
    backwards: bool
    value: Any
    pk: Any


def paginate(rows: models.QuerySet[Any], *, ordering: str, size: int, cursor: str = "") -> Page:
    """The page of ``rows`` at ``cursor``, in ``ordering`` (a column, with ``-`` for descending).

    Raises:
        InvalidQuery: A cursor that this list in this order never gave.
    """
    descending, column = ordering.startswith("-"), ordering.lstrip("-")
    edge = _decode(cursor, rows.model, ordering, column) if cursor else None
    backwards = edge is not None and edge.backwards
    falling = descending != backwards
    if edge is not None:
        step = "lt" if falling else "gt"
        if column == "pk":
            rows = rows.filter(**{f"pk__{step}": edge.pk})
        else:
            rows = rows.filter(
                Q(**{f"{column}__{step}": edge.value}) | Q(**{column: edge.value, f"pk__{step}": edge.pk})
            )
    sign = "-" if falling else ""
    keys = [f"{sign}pk"] if column == "pk" else [f"{sign}{column}", f"{sign}pk"]
    found = list(rows.order_by(*keys)[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Page([], "", "")
    has_next, has_previous = (True, more) if backwards else (more, edge is not None)
    return Page(
        found,
        _encode(ordering, column, found[-1], backwards=False) if has_next else "",
        _encode(ordering, column, found[0], backwards=True) if has_previous else "",
    )


def _encode(ordering: str, column: str, row: Any, *, backwards: bool) -> str:
    value = None if column == "pk" else row._meta.get_field(column).value_to_string(row)
    text = json.dumps([ordering, backwards, value, row.pk], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, model: type[models.Model], ordering: str, column: str) -> _Edge:
    try:
        if not cursor.isascii():
            raise ValueError("not base64")
        given, backwards, value, pk = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if given != ordering or not isinstance(backwards, bool):
            raise ValueError("another order's")
        pk = _checked(model._meta.pk.to_python(pk))
        if column != "pk":
            value = _checked(_field(model, column).to_python(value))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error, ValidationError):
        raise InvalidQuery(
            "This cursor is not one of this list in this order.",
            field="cursor",
            code="invalid_cursor",
            remedy="Begin again without a cursor, and follow 'next' as it is.",
        ) from None
    return _Edge(backwards, value, pk)


def _field(model: type[models.Model], column: str) -> models.Field[Any, Any]:
    field = model._meta.get_field(column)
    if not isinstance(field, models.Field):
        raise FieldDoesNotExist(column)
    return field


def _checked(value: Any) -> Any:
    """``value`` as a database will take it, or ValueError: cursors come from outside."""
    if value is None:
        raise ValueError("null")
    if isinstance(value, str):
        value.encode()
        if "\x00" in value:
            raise ValueError("NUL")
    elif isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise ValueError("out of range")
    elif isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("naive")
        value = value.astimezone(UTC)
    return value
