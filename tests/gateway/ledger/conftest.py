from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest


@pytest.fixture
def count_allocated() -> Callable[[Callable[[], object]], int]:
    """Run something; the most memory (bytes) that it held at once."""

    def count(act: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            act()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return count
