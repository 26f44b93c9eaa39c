"""A scorer's parameters as fields of their types: sent again they are the same, and errors stand at their field."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any, ClassVar

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from apps.evaluation.forms.scorers import ScorerChangesForm
from apps.evaluation.models import Scorer
from apps.evaluation.scorers import Scorer as Kind
from apps.evaluation.scorers import registry
from apps.evaluation.services import scorers
from tests.cast import Cast

MODELS = {"chat-model": [("m", "M")], "embedding-model": [("e", "E")], "scorer": [("contains", "Contains")]}
GIVEN: dict[str, Any] = {
    "pattern": " ^yes$ ",
    "labels": ["home", "a car"],
    "schema": {"type": "object", "required": ["a"]},
    "model": "m",
    "criteria": "Short.\nAnd polite.",
    "persona": "Somebody in a hurry.",
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("contains", {"texts": ["no", " yes"], "mode": "none", "case_sensitive": True}),
    ("contains", {"texts": ["two\nlines"]}),  # no field of lines can show it
    ("normalised-match", {"ignore": ["articles", "case"]}),
    ("normalised-match", {"ignore": []}),
    ("numeric-match", {"absolute": 1, "relative": 0.5}),
    ("length", {"least": 3, "unit": "tokens"}),
    ("json-schema", {"schema": True, "fenced": False}),
    ("json-schema", {"schema": {}}),
    ("robustness", {"metric": {"scorer": "contains", "parameters": {"texts": ["yes"]}}, "model": "m"}),
    ("robustness", {"metric": {"scorer": "contains", "parameters": {}}}),
    ("bias-screen", {"metric": {"scorer": "exact-match"}}),
    ("judge-rubric", {"model": "gone", "criteria": "c", "temperature": None}),
    ("judge-rubric", {"model": "m", "criteria": "c", "anchors": [{"value": n, "meaning": "x"} for n in range(11)]}),
    ("judge-rubric", {"model": "m", "criteria": "c", "anchors": [{"value": n, "meaning": "a\nb"} for n in range(2)]}),
]


class Sent(HTMLParser):
    """What a browser sends of a form that nobody touched."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.values: dict[str, list[str]] = {}
        self._area = self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        name = told.get("name") or ""
        if tag == "input" and (told.get("type") not in ("checkbox", "radio") or "checked" in told):
            self._add(name, told.get("value") or ("on" if told.get("type") == "checkbox" else ""))
        elif tag == "textarea":
            self._area = name
            self._add(name, "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in told:
            self._add(self._select, told.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            text = self.values[self._area][-1].removeprefix("\n")
            self.values[self._area][-1] = text.replace("\n", "\r\n")
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area][-1] += data

    def _add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)


def sent_again(kind: type[Kind], values: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": kind, "values": values, "choices": MODELS}
    shown = ScorerChangesForm(initial={"name": "n"}, **told)
    page = "".join(str(field) for field in shown)
    data = QueryDict(mutable=True)
    for name, each in Sent(page).values.items():
        data.setlist(name, each)
    form = ScorerChangesForm(data, **told)
    assert form.is_valid(), form.errors
    parameters: dict[str, Any] = form.facts()["parameters"]
    return parameters


WHOLE = [
    (slug, {n: GIVEN[n] for n, s in k.parameters_schema.items() if "default" not in s})
    for slug, k in registry.registry().scorers.items()
]


@pytest.mark.parametrize(("slug", "given"), [*WHOLE, *OTHERS])
def test_what_is_shown_and_sent_again_is_the_same_version(slug: str, given: dict[str, Any]) -> None:
    kind = registry.get(slug)
    made = kind(given)
    again = kind(sent_again(kind, dict(made.parameters)))
    assert json.dumps(again.parameters, sort_keys=True) == json.dumps(made.parameters, sort_keys=True)
    assert again.version == made.version


class Strange(Kind):
    """What a package may bring: shapes for which there is no field."""

    slug = "strange"
    title = description = "Strange"
    parameters_schema: ClassVar[dict[str, dict[str, Any]]] = {
        "name": {"type": "string", "title": "The <name>", "default": "x", "description": "<b>Bold</b>"},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}], "default": 3},
        "pairs": {"type": "object", "default": {"a": [1, None]}},
        "level": {"enum": [1, 2, None], "default": 2},
        "maybe": {"type": ["boolean", "null"], "default": None},
        "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.5},
    }


def test_a_shape_that_has_no_field_is_json() -> None:
    now = dict(Strange({}).parameters)
    assert sent_again(Strange, now) == now
    form = ScorerChangesForm(kind=Strange, values=now, choices={})
    assert form["parameter-name"].help_text == "&lt;b&gt;Bold&lt;/b&gt;"
    assert form["parameter-weight"].help_text == "Above 0 and at most 1. By default 0.5."
    assert form["name"].value() is None, "a parameter's name is none of the form's own"


def test_a_scorer_is_made_by_fields_and_refused_at_them(client: Client, cast: Cast) -> None:
    client.force_login(cast["scientist"])
    page = reverse("evaluation:scorer-create")
    assert "?kind=judge-rubric" in client.get(page).content.decode()
    shown = client.get(page, {"kind": "length"}).content.decode()
    assert 'type="number" name="parameter-least"' in shown
    assert "By default" not in shown.partition("parameter-unit")[0]

    def post(**sent: Any) -> Any:
        return client.post(page, sent)

    refused = post(kind="length", **{"parameter-unit": "words", "parameter-least": "9", "parameter-most": "many"})
    assert refused.status_code == 422
    assert list(refused.context["form"].errors) == ["parameter-most"]
    refused = post(kind="length", **{"parameter-unit": "words", "parameter-least": "9", "parameter-most": "3"})
    assert refused.context["form"].errors["parameter-least"] == ["The parameter 'least' of length is 9, above 'most'."]
    assert 'value="9"' in refused.content.decode()
    assert post(kind="choice-match", **{"parameter-labels": "yes\r\n"}).context["form"].errors.keys() == {
        "parameter-labels"
    }
    assert post(kind="nothing").status_code == 422
    assert not Scorer.objects.unscoped("test").exists()
    made = post(
        kind="length", name="Short", **{"parameter-unit": "words", "parameter-least": "", "parameter-most": "3"}
    )
    assert made.status_code == 302
    version = Scorer.objects.unscoped("test").get().versions.get()
    assert version.parameters == {"unit": "words", "least": None, "most": 3}


def test_a_name_is_changed_without_a_version_and_a_field_makes_one(client: Client, cast: Cast) -> None:
    client.force_login(cast["scientist"])
    parameters = {"schema": {"type": "object"}}
    made = scorers.create_scorer(
        actor=cast.actor("scientist"), tenant=cast.claims, kind="json-schema", parameters=parameters
    )
    page = reverse("evaluation:scorer-detail", args=["claims", made.slug])
    same = {"name": "Shape", "parameter-schema": '{"type": "object"}', "parameter-fenced": "on"}
    assert client.post(page, same).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.versions.count()) == ("Shape", 1)
    refused = client.post(page, {**same, "parameter-schema": "{"})
    assert "This is no JSON" in refused.context["form"].errors["parameter-schema"][0]
    refused = client.post(page, {**same, "parameter-schema": '{"type": "thing"}'})
    assert "is no schema" in refused.context["form"].errors["parameter-schema"][0]
    assert client.post(page, {**same, "parameter-fenced": ""}).status_code == 302
    assert made.versions.count() == 2
