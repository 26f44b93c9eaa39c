"""What a list can be narrowed by. A parameter that a list does not know, or cannot take, is an error, never ignored.

A list's filters are a subclass of ``Filters``: django-filter's filters as attributes, ``orderings`` (the columns one
may order by; the first is the default), and ``search_in``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import Any, ClassVar

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from rest_framework.request import Request

from apps.tenants.models import AuditHead
from apps.tenants.rest.errors import InvalidQuery
from apps.tenants.rest.fields import parse_moment
from apps.tenants.rest.pagination import DEFAULT_SIZE, LARGEST_SIZE

MOST_WORDS = 8
LONGEST_TEXT = 200
LONGEST_CURSOR = 2000


class MomentField(forms.CharField):
    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            # A '+' that was not percent-encoded arrives as a space.
            return parse_moment(text.replace(" ", "+") if "T" in text else text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class TextFilter(django_filters.CharFilter):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_length=options.pop("max_length", LONGEST_TEXT), **options)


class MomentFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = MomentField


class ChoiceFilter(django_filters.ChoiceFilter):  # type: ignore[misc]
    pass


class NumberFilter(django_filters.Filter):  # type: ignore[misc]
    """An identifier."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, min_value=0, max_value=2**63 - 1, **options)


class FlagFilter(django_filters.TypedChoiceFilter):  # type: ignore[misc]
    """``true`` or ``false``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(*args, choices=choices, coerce=lambda value: value == "true", **options)


class Filters(django_filters.FilterSet):  # type: ignore[misc]
    orderings: ClassVar[Sequence[str]] = ("pk",)
    default_ordering: ClassVar[str] = ""
    search_in: ClassVar[Sequence[str]] = ()

    @classmethod
    def ordering_choices(cls) -> list[str]:
        return [sign + column for column in cls.orderings for sign in ("", "-")]

    @classmethod
    def in_order(cls) -> str:
        return cls.default_ordering or cls.orderings[0]


def narrowed(rows: QuerySet[Any], filters: type[Filters], request: Request) -> QuerySet[Any]:
    """``rows`` as the query's filters and search leave them. Raises InvalidQuery naming the parameter."""
    given = check_parameters(request, filters)
    rows = _checked(filters(request.query_params, queryset=rows)).qs
    text = given.get("search", "")
    if len(text) > LONGEST_TEXT or "\x00" in text:
        raise InvalidQuery(f"search: at most {LONGEST_TEXT} characters, none of them NUL.", field="search")
    for word in text.split()[:MOST_WORDS]:
        rows = rows.filter(reduce(operator.or_, (Q(**{f"{column}__icontains": word}) for column in filters.search_in)))
    return rows


def cleaned(request: Request, filters: type[Filters]) -> dict[str, Any]:
    """The query's values, for a view that hands them to a selector itself. Raises InvalidQuery."""
    check_parameters(request, filters, paged=False)
    values: dict[str, Any] = _checked(
        filters(request.query_params, queryset=AuditHead.objects.none())
    ).form.cleaned_data
    return values


def _checked(filled: Filters) -> Filters:
    if not filled.is_valid():
        name, errors = next(iter(filled.errors.items()))
        choices = filled.base_filters[name].extra.get("choices")
        remedy = f"Use one of: {', '.join(str(value) for value, _ in choices if value)}." if choices else ""
        raise InvalidQuery(f"{name}: {errors[0]}", field=name, remedy=remedy)
    return filled


def check_parameters(request: Request, filters: type[Filters], *, paged: bool = True) -> dict[str, str]:
    """The query's parameters, each given once and known here."""
    known = set(filters.base_filters)
    if paged:
        known |= {"page_size", "cursor", "ordering"}
    if filters.search_in:
        known.add("search")
    for name, values in request.query_params.lists():
        if name not in known:
            raise InvalidQuery(
                f"There is no parameter {name[:60]!r} here.",
                field=name[:60],
                code="unknown_parameter",
                remedy=f"Parameters: {', '.join(sorted(known))}.",
            )
        if len(values) > 1:
            raise InvalidQuery(f"{name} is given {len(values)} times.", field=name)
    return request.query_params.dict()


def wanted_page(request: Request, filters: type[Filters]) -> tuple[str, int, str]:
    """(ordering, size, cursor) of the query. Raises InvalidQuery."""
    query = request.query_params
    ordering = query.get("ordering") or filters.in_order()
    if ordering not in filters.ordering_choices():
        raise InvalidQuery(
            f"ordering: {ordering[:60]!r} is not one.",
            field="ordering",
            remedy=f"Use one of: {', '.join(filters.ordering_choices())}.",
        )
    text = query.get("page_size") or str(DEFAULT_SIZE)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LARGEST_SIZE):
        raise InvalidQuery(f"page_size: a whole number from 1 to {LARGEST_SIZE}.", field="page_size")
    cursor = query.get("cursor", "")
    if len(cursor) > LONGEST_CURSOR:
        raise InvalidQuery("cursor: too long.", field="cursor", code="invalid_cursor")
    return ordering, int(text), cursor
