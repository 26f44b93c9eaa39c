"""What a project kept of the Responses API, on both databases."""

from __future__ import annotations

import pytest

from apps.gateway.services import stored_responses
from tests.gateway.routing.making import principal

pytestmark = [pytest.mark.backends, pytest.mark.django_db]


def test_an_id_that_no_database_can_hold_is_a_missing_one() -> None:
    assert stored_responses.recall(principal(), "resp_\0") is None
    assert stored_responses.read(principal(), "\0") is None
    assert stored_responses.forget(principal(), "\0") is False
