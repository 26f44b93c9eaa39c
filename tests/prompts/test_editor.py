"""The editor changes what a person changed, and nothing that it does not show."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.urls import reverse

from apps.prompts import services
from apps.prompts.models import PromptVersion
from apps.prompts.types import plain
from tests.cast import Cast
from tests.prompts.conftest import said
from tests.prompts.test_pages import client

ODD: dict[str, dict[str, Any]] = {
    "text": {
        "type": "string",
        "examples": ["Dear all,\nit leaks.", "Second", "Third"],
        "description": "A letter\nor two",
    },
    "tone": {"type": "string", "default": ""},
    "quoted": {"type": "string", "default": '""', "enum": ['""', "", " padded ", "a\nb", '"Yes"']},
    "note": {"type": ["string", "null"], "default": None, "examples": ["null", "12"]},
    "level": {"enum": [1, 2, "3", "", None, True], "default": 2},
    "fixed": {"const": 7, "examples": [7]},
    "single": {"type": ["integer"], "minimum": 2, "maximum": 9},
    "share": {"type": "number", "default": 1.0, "examples": [0.5, 0]},
    "rows": {"type": "array", "items": {"type": "string"}, "default": ["a", "ß"], "examples": [[]]},
    "nothing": {"type": "null"},
}
PARAMETERS: dict[str, Any] = {
    "temperature": 0.2,
    "max_tokens": 30,
    "stop": ["\n\n", "\nUser:", " END", '"'],
    "reasoning_effort": "low",
}


class Sent(HTMLParser):
    """What a browser sends of the editor, untouched."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.values: dict[str, list[str]] = {}
        self._field = self._tag = ""
        self._template = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "template":
            self._template = True
        elif not self._template:
            self._start(tag, told)

    def _start(self, tag: str, told: dict[str, str]) -> None:
        if tag == "input":
            self._add(told.get("name", ""), told.get("value", "").replace("\n", "").replace("\r", ""))
        elif tag in ("textarea", "select"):
            self._field, self._tag = told["name"], tag
            self._add(self._field, "")
        elif tag == "option" and "selected" in told:
            self._tag = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._template = False
        elif tag == "textarea" and self._field:
            text = self.values[self._field][-1].removeprefix("\n")
            self.values[self._field][-1] = text.replace("\n", "\r\n")
        if tag == self._tag:
            self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag in ("textarea", "option"):
            self.values[self._field][-1] += data

    def _add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)


@pytest.fixture
def form(cast: Cast) -> Callable[[PromptVersion], dict[str, list[str]]]:
    def sent(version: PromptVersion) -> dict[str, list[str]]:
        page = client(cast, "developer").get(_editor(version), {"from": version.number}).content.decode()
        html = page[page.index('id="prompt-editor"') :]
        return Sent(html[html.index(">") + 1 : html.index("</form>")]).values

    return sent


def _editor(version: PromptVersion) -> str:
    return reverse("prompts:version-create", args=["claims", version.prompt.slug])


def post(cast: Cast, version: PromptVersion, values: dict[str, list[str]]) -> PromptVersion:
    """What is saved."""
    answer = client(cast, "developer").post(_editor(version), values)
    assert answer.status_code == 302, answer.content.decode()
    return PromptVersion.objects.unscoped("test").get(
        prompt=version.prompt, number=int(answer["Location"].split("/")[-2])
    )


@pytest.fixture
def odd(save: Callable[..., PromptVersion]) -> PromptVersion:
    texts = "\nBe kind.", " ".join(f"{{{{{name}}}}}" for name in ODD)
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    return save(*texts, variables=ODD, parameters=PARAMETERS, tools=tools, output_schema={}, model="acme/writer:8b")


def test_a_version_that_is_saved_untouched_is_the_same(cast: Cast, odd: PromptVersion, form: Any) -> None:
    assert post(cast, odd, form(odd)) == odd


def test_what_is_changed_leaves_the_rest_as_it_is(cast: Cast, odd: PromptVersion, form: Any) -> None:
    values = form(odd)

    def write(field: str, name: str, text: str) -> None:
        values[f"variable_{field}"][list(ODD).index(name)] = text

    write("example", "text", "Another")
    write("choices", "level", values["variable_choices"][list(ODD).index("level")] + "\r\n4")
    write("description", "tone", "How it sounds")
    write("default", "note", '""')
    write("type", "single", "string")
    values["stop"] = [values["stop"][0].replace(" END", "STOP")]
    saved = post(cast, odd, values)
    assert saved.variables == {
        **ODD,
        "text": ODD["text"] | {"examples": ["Another", "Second", "Third"]},
        "level": ODD["level"] | {"enum": [*ODD["level"]["enum"], 4]},
        "tone": ODD["tone"] | {"description": "How it sounds"},
        "note": ODD["note"] | {"default": ""},
        "single": {"type": "string", "minimum": 2, "maximum": 9},
    }
    assert saved.parameters == PARAMETERS | {"stop": ["\n\n", "\nUser:", "STOP", '"']}
    assert plain(saved.content.messages) == plain(odd.content.messages)


def test_an_optional_variable_becomes_needed_only_by_hand(
    cast: Cast, save: Callable[..., PromptVersion], form: Any
) -> None:
    version = save("{{tone}}", variables={"tone": {"type": "string", "default": "", "maxLength": 9}})
    values = form(version)
    assert values["variable_default"] == ['""']
    values["variable_default"] = [""]
    assert post(cast, version, values).variables == {"tone": {"type": "string", "maxLength": 9}}


def test_what_a_version_says_of_an_included_prompts_variables_is_kept(
    cast: Cast, save: Callable[..., PromptVersion], form: Any
) -> None:
    actor = cast.actor("developer")
    style = services.create_prompt(actor=actor, tenant=cast.claims, slug="style", name="Style")

    def restyle(text: str, **variables: Any) -> None:
        services.save_version(actor=actor, prompt=style, content=said(text, variables=variables))

    needed, optional = {"type": "string"}, {"type": "string", "default": "plain"}
    restyle("As {{brand}}, {{tone}}.", brand=needed, tone=needed)
    ours = {"type": "string", "default": "Lobby"}
    version = save("{{> style}}", "{{text}}", variables={"brand": ours})
    restyle("As {{brand}}, be {{tone}}.", brand=needed, tone=optional)
    values = form(version)
    assert values["variable_name"] == ["text"]
    saved = post(cast, version, values)
    assert saved.variables == {"brand": ours, "tone": optional, "text": needed}, "tone is the style's own affair"
    without = form(saved) | {"content": ["Plainly.", "{{text}}"]}
    assert set(post(cast, saved, without).variables) == {"text"}


def test_what_nobody_can_read_is_told_and_no_error_of_the_server(cast: Cast) -> None:
    preview = reverse("prompts:preview")
    for text, kind, declared in (
        ("[" * 100_000, "array", '{"type": "array"}'),
        ("[" * 100_000, "string", "[" * 100_000),
        (' "\\ud800"', "any", "{}"),
        ("1", "string or nothing", '{"examples": 5}'),
    ):
        row = {
            "variable_name": "a",
            "variable_type": kind,
            "variable_description": "",
            "variable_choices": "",
            "variable_default": text,
            "variable_example": "",
            "variable_declared": declared,
        }
        answer = client(cast, "developer").post(preview, {"role": "user", "content": "{{a}}", **row})
        assert answer.status_code == 200
