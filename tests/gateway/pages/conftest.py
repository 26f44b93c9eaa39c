from __future__ import annotations

from pathlib import Path

import pytest

from tests.cast import Cast, assemble
from tests.gateway.pages.usage import Usage


@pytest.fixture
def cast(db: None) -> Cast:
    return assemble()


@pytest.fixture
def usage(cast: Cast, tmp_path: Path) -> Usage:
    return Usage(tmp_path / "spool", cast)
