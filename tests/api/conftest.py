from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.api.client import Api
from tests.cast import Cast


@pytest.fixture
def api(cast: Cast) -> Api:
    cache.clear()  # Throttles count across tests.
    return Api(cast)
