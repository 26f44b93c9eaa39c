"""What the web process leaves alone, so that it starts at once and stays small."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.benchmarks.subjects import NEVER_IN_WEB
from tests.live import ROOT

# Redis's client is for those who have a Redis; it brings OpenTelemetry along.
NOT_BY_ITSELF = {*NEVER_IN_WEB, "numpy", "statsmodels", "redis", "opentelemetry"}


def test_neither_the_gateway_nor_the_pages_load_anything_heavy() -> None:
    source = "import sys, portal.asgi, apps.gateway.runtime, portal.urls; print(*sys.modules)"
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings"}
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, env=env, capture_output=True, text=True)
    assert "apps.evaluation.views.runs" in done.stdout.split(), done.stderr
    assert not NOT_BY_ITSELF.intersection(name.partition(".")[0] for name in done.stdout.split())
