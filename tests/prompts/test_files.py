"""Prompts as files: what is written is read back exactly, and written again to the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobby.api import Failed
from lobby.prompt_files import PromptFile, read, write

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=120)
awkward = st.sampled_from(
    [
        "",
        "\n",
        "--- user ---",
        "\\--- user ---",
        "a\n--- system ---\nb",
        "---",
        " x ",
        "x\n\n",
        "é: {{x}}",
        "# no\n- yes",
    ]
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts | awkward
settings = st.dictionaries(texts, st.recursive(plain, lambda e: st.lists(e, max_size=3) | st.dictionaries(texts, e)))
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": texts | awkward}),
    min_size=1,
    max_size=4,
)


@given(messages, settings, texts)
def test_a_file_is_read_back_as_it_was_written(said: list[Any], variables: dict[str, Any], description: str) -> None:
    content = {"messages": said, "variables": variables, "parameters": {"temperature": 0.5}}
    text = write(PromptFile({"id": "a", "name": "A", "description": description}, content))
    back = read(text)
    assert back.content["messages"] == said
    assert back.content.get("variables", {}) == variables
    assert back.facts.get("description", "") == description
    assert write(back) == text


def test_it_reads_well() -> None:
    content = {
        "messages": [{"role": "system", "content": "Sort."}, {"role": "user", "content": "{{claim}}"}],
        "model": "m",
        "variables": {"claim": {"type": "string"}},
        "tools": [],
        "output_schema": None,
    }
    assert write(PromptFile({"id": "triage", "name": "Triage", "tags": ["a"]}, content)) == (
        "---\nid: triage\nname: Triage\ntags:\n  - a\nmodel: m\nvariables:\n  claim:\n    type: string\n---\n"
        "--- system ---\nSort.\n--- user ---\n{{claim}}\n"
    )


def test_a_date_is_a_text() -> None:
    for day in ("2024-02-20", "2024-02-30", "2024-02-20T10:00:00Z"):
        file = read(f"---\nid: a\nvariables: {{x: {{examples: [{day}]}}}}\n---\n--- user ---\nx\n")
        assert file.content["variables"] == {"x": {"examples": [day]}}
        assert read(write(file)) == file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "begins with"),
        ("---\nid: a\n", "begins with"),
        ("---\nid: [\n---\n--- user ---\nx\n", "no YAML"),
        ("---\nname: x\n---\n--- user ---\nx\n", "need an id"),
        ("---\nid: a\nmodle: x\n---\n--- user ---\nx\n", "no setting 'modle'"),
        ("---\nid: a\nparameters: {temperature: .nan}\n---\n--- user ---\nx\n", "as JSON"),
        ("---\nid: a\nvariables: {x: !!binary aGk=}\n---\n--- user ---\nx\n", "as JSON"),
        ("---\nid: a\nvariables: {x: !!int one}\n---\n--- user ---\nx\n", "as JSON"),
        ("---\nid: a\nvariables: [claim]\n---\n--- user ---\nx\n", "variables is a mapping"),
        ("---\nid: a\n---\nhello\n", "line 4"),
        ("---\nid: a\n---\n", "no message"),
        ("---\nid: !!python/object/apply:os.system [id]\n---\n--- user ---\nx\n", "no YAML"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(text: str, told: str) -> None:
    with pytest.raises(Failed) as raised:
        read(text, "f.prompt")
    assert told in raised.value.message
    assert "f.prompt" in raised.value.message
