"""How much JavaScript the playground brings."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from posixpath import join, normpath

from django.contrib.staticfiles import finders
from django.test import Client

from tests.cast import Cast

MOST_BYTES = 120_000
_SCRIPT = re.compile(r'<script[^>]* src="/static/([^"]+)"')
_IMPORT = re.compile(r'(?:from|import)\s*\(?"(\.[^"]+)"')


def _source(name: str) -> str:
    path = finders.find(name)
    assert path is not None, name
    return Path(path).read_text()


def test_all_of_the_pages_scripts_together_are_small(cast: Cast, client: Client) -> None:
    client.force_login(cast["developer"])
    todo = set(_SCRIPT.findall(client.get("/playground/").content.decode()))
    assert "js/playground/main.js" in todo
    sizes: dict[str, int] = {}
    while todo:
        name = todo.pop()
        source = _source(name)
        sizes[name] = len(gzip.compress(source.encode()))
        found = {normpath(join(name, "..", each)) for each in _IMPORT.findall(source)}
        todo |= found - set(sizes)
    assert "js/playground/variables.js" in sizes
    assert sum(sizes.values()) < MOST_BYTES, sizes
