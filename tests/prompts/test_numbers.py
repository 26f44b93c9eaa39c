"""Versions saved at the same time: every number once, none left out, and one version for one content."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.prompts import selectors, services
from apps.prompts.models import Prompt
from tests.cast import Cast
from tests.prompts.conftest import said

pytestmark = [pytest.mark.backends, pytest.mark.django_db(transaction=True)]
WRITERS = 6


def _together(acts: list[Callable[[], int]]) -> list[int]:
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], int]) -> int:
        try:
            start.wait(30)
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_numbers_have_no_gaps_and_no_twins(cast: Cast, prompt: Prompt) -> None:
    actor = cast.actor("developer")

    def save(text: str) -> Callable[[], int]:
        return lambda: services.save_version(actor=actor, prompt=prompt, content=said(text)).version.number

    numbers = _together([save(f"Text {at}.") for at in range(WRITERS)])
    assert sorted(numbers) == list(range(1, WRITERS + 1))
    same = _together([save("The same.") for _ in range(WRITERS)])
    assert set(same) == {WRITERS + 1}
    assert prompt.versions.count() == WRITERS + 1


def test_what_is_stored_is_what_was_hashed(cast: Cast, prompt: Prompt) -> None:
    """PostgreSQL keeps neither the order of keys nor how a number was written."""
    content = said(
        "{{zz}} {{a}}",
        variables={"zz": {"type": "number", "maximum": 1e3, "examples": [2.0]}, "a": {"enum": [1, 2.5, "ü"]}},
        parameters={"temperature": 1},
        output_schema={"b": 1.0, "aa": [1e-7, {"y": None, "x": 0}]},
    )
    saved = services.save_version(actor=cast.actor("developer"), prompt=prompt, content=content)
    stored = selectors.get_version_for(cast.actor("viewer"), "claims", "triage", 1)
    fork = services.fork_version(actor=cast.actor("owner"), version=stored, tenant=cast.claims, slug="copy")
    assert fork.versions.get().content_hash == saved.version.content_hash
