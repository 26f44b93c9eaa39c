"""The page of what works with which provider is true."""

from __future__ import annotations

from typing import get_args

from apps.models.providers.base import Operation
from apps.models.types import ProviderKind
from tests.models.providers.conformance import matrix


def test_the_page_says_what_the_adapters_do() -> None:
    remedy = "docs/compatibility.md is stale: python -m tests.models.providers.conformance.matrix"
    assert matrix.PAGE.read_text() == matrix.render(), remedy


def test_every_kind_of_provider_has_a_column_and_every_operation_a_row() -> None:
    assert {kind for _, kind, _ in matrix.PROVIDERS} == set(ProviderKind.values)
    assert {operation for _, operation, _ in matrix.FRONTS} == set(get_args(Operation))
