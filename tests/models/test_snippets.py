"""The lines of code on a model's card are valid, whatever its kind."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from apps.models.models import Model
from apps.models.snippets import snippets_for
from apps.models.types import ModelKind


@pytest.mark.parametrize("kind", ModelKind.values)
def test_the_lines_of_code_can_be_read_and_name_the_model(kind: str) -> None:
    by_label = {each["label"]: each["code"] for each in snippets_for(Model(slug="acme/model:1", kind=kind))}
    ast.parse(by_label["Python"])
    words = shlex.split(by_label["curl"])
    assert words[0] == "curl"
    if "-d" in words:
        assert json.loads(words[words.index("-d") + 1])["model"] == "acme/model:1"
    assert all("acme/model:1" in code for code in by_label.values())
