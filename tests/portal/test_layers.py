"""What import-linter cannot see of the layers: which parts of Django and DRF a layer may know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ROOT / "apps"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(*patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in APPS.glob(pattern) if "migrations" not in path.parts})


def offences(paths: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imported(path)
        if any(name == word or name.startswith(f"{word}.") for word in forbidden)
    ]


def test_services_and_selectors_know_neither_requests_nor_the_api() -> None:
    paths = modules("*/services.py", "*/services/*.py", "*/selectors.py", "*/selectors/*.py")
    assert len(paths) > 10
    assert offences(paths, "django.http", "django.shortcuts", "rest_framework", "django.contrib.messages") == []


def test_provider_adapters_know_no_orm_and_do_no_io() -> None:
    paths = modules("models/providers/*.py")
    assert len(paths) >= 3
    assert offences(paths, "django.db", "apps.models.models", "socket", "aiohttp", "requests", "urllib.request") == []


def test_models_know_no_requests() -> None:
    assert offences(modules("*/models.py", "*/models/*.py", "*/types.py"), "django.http", "rest_framework") == []


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "common.py"])
def test_a_module_is_named_after_its_topic(name: str) -> None:
    assert [str(path) for top in ("apps", "portal", "tests") for path in (ROOT / top).rglob(name)] == []


def test_the_gateways_path_knows_no_orm() -> None:
    """What runs for each request: control plane and ledger reach the database in threads and processes of their own."""
    path = [APPS / "gateway" / name for name in ("asgi.py", "auth.py", "exchange.py", "relay.py", "snapshot.py")]
    path += modules("gateway/fronts/*.py", "models/providers/**/*.py")
    assert offences(path, "django.db", "apps.gateway.models", "apps.models.models", "apps.tenants.models") == []
