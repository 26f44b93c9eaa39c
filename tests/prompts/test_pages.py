"""The catalog's pages: a prompt is made, written, published, and forked by another line of business."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from apps.prompts import services
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.snippets import prompt_snippets
from tests.cast import Cast


def client(cast: Cast, who: str) -> Client:
    made = Client()
    made.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
    return made


def prompt_of(slug: str) -> Prompt:
    return Prompt.objects.unscoped("test").select_related("tenant").get(slug=slug)


def test_a_prompts_id_is_made_of_its_name_where_it_is_left_empty(cast: Cast) -> None:
    developer, new = client(cast, "developer"), reverse("prompts:create")
    answer = developer.post(new, {"name": "Claims: Triage!", "slug": "", "tags": "intake, triage"})
    assert answer["Location"] == reverse("prompts:version-create", args=["claims", "claims-triage"])
    assert prompt_of("claims-triage").tags == ["intake", "triage"]
    again = developer.post(new, {"name": "Claims Triage", "slug": ""})
    assert (again.status_code, "already" in again.content.decode()) == (422, True)
    answer = developer.post(new, {"name": "要約", "slug": ""})
    assert (answer.status_code, "cannot be a short name" in answer.content.decode()) == (422, True)
    assert developer.post(new, {"name": "要約", "slug": "summary"}).status_code == 302


def test_what_a_tenant_publishes_another_one_forks_and_is_told_where_from(cast: Cast) -> None:
    developer = client(cast, "developer")
    developer.post(reverse("prompts:create"), {"name": "House style"})
    version = {"role": "user", "content": "Say it plainly: {{text}}", "message": "First"}
    saved = developer.post(reverse("prompts:version-create", args=["claims", "house-style"]), version)
    assert saved["Location"] == reverse("prompts:version-detail", args=["claims", "house-style", 1])
    outsider = client(cast, "outsider")
    shared = reverse("prompts:shared-list")
    assert "House style" not in outsider.get(shared).content.decode()
    publish = reverse("prompts:version-publish", args=["claims", "house-style", 1])
    assert developer.post(publish).status_code == 403, "for tenant admins"
    assert client(cast, "owner").post(publish, {"note": "Plain words."}).status_code == 302
    assert "House style" in outsider.get(shared).content.decode()
    publication = prompt_of("house-style").versions.get().publication
    fork = reverse("prompts:shared-fork", args=[publication.pk])
    made = outsider.post(fork, {"name": "Our style", "slug": "our-style"})
    assert made["Location"] == reverse("prompts:detail", args=["lending", "our-style"])
    page = outsider.get(made["Location"]).content.decode()
    assert "Forked from" in page
    assert "Say it plainly:" in page
    assert outsider.get(reverse("prompts:detail", args=["claims", "house-style"])).status_code == 404


def test_an_archived_prompt_is_restored_on_its_page(
    cast: Cast, prompt: Prompt, save: Callable[..., PromptVersion]
) -> None:
    save("Sort {{ticket}}.")
    services.archive_prompt(actor=cast.actor("developer"), prompt=prompt)
    page, archive = (reverse(f"prompts:{name}", args=["claims", "triage"]) for name in ("detail", "archive"))
    form = f'<form method="post" action="{archive}">'
    assert form in client(cast, "developer").get(page).content.decode()
    assert form not in client(cast, "viewer").get(page).content.decode()
    assert client(cast, "developer").post(archive, {"restore": "1"})["Location"] == page
    assert form not in client(cast, "developer").get(page).content.decode()
    assert not prompt_of("triage").is_archived


@pytest.mark.parametrize("model", ["", "acme/writer:8b"])
def test_the_code_that_calls_a_prompt_names_a_model_where_the_prompt_does_not(model: str) -> None:
    reference = {"id": "triage", "variables": {"ticket": "It's broken"}}
    curl, python, script = (each["code"] for each in prompt_snippets(base_url="", reference=reference, model=model))
    wanted = {"prompt": reference} if model else {"model": "MODEL", "prompt": reference}
    body = re.search(r"-d '(.*)'$", curl, re.DOTALL)
    assert body is not None
    assert json.loads(body[1].replace("'\\''", "'")) == wanted
    body = re.search(r"JSON.stringify\((.*)\),\n", script, re.DOTALL)
    assert body is not None
    assert json.loads(body[1]) == wanted
    assert f'model="{model or "MODEL"}"' in python


def test_versions_that_cannot_be_are_not_found(cast: Cast, prompt: Prompt, save: Callable[..., PromptVersion]) -> None:
    save("Sort {{ticket}}.")
    for number in ("9" * 5_000, "٣", "-1", "x"):
        for name, query in (("compare", "to"), ("compare", "from"), ("version-create", "from")):
            page = reverse(f"prompts:{name}", args=["claims", "triage"])
            assert client(cast, "developer").get(page, {query: number}).status_code == 404


def test_values_are_shown_as_they_stand_in_a_text(
    cast: Cast, prompt: Prompt, save: Callable[..., PromptVersion]
) -> None:
    variables = {
        "tags": {"type": "array", "default": ["größe", "b"]},
        "note": {"type": ["string", "null"], "default": None},
        "flag": {"type": "boolean", "examples": [False]},
        "count": {"type": "integer", "examples": [0], "maxLength": 0},
        "level": {"enum": [1, None, True]},
        "tone": {"type": "string", "default": ""},
    }
    version = save(
        " ".join(f"{{{{{name}}}}}" for name in variables), variables=variables, parameters={"stop": ["\n\n", "END"]}
    )
    publication = services.publish_version(actor=cast.actor("owner"), version=version)
    own = reverse("prompts:detail", args=["claims", "triage"])
    for page in (reverse("prompts:shared-detail", args=[publication.pk]), own):
        html = unescape(client(cast, "developer").get(page).content.decode())
        rows = [re.sub(r"<br>", " | ", row) for row in re.findall(r"<tr>\s*(<td>.*?)</tr>", html, re.DOTALL)]
        cells = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row)] for row in rows]
        assert [row for row in cells if len(row) == 4 and row[0].split()[0] in variables] == [
            ["tags", "array", '["größe", "b"]', "–"],
            ["note", "string or null", "null", "–"],
            ["flag needed", "boolean", "–", "false"],
            ["count needed", "integer | at most 0 characters", "–", "0"],
            ["level needed", "any | 1, null, true", "–", "–"],
            ["tone", "string", '""', "–"],
        ]
    html = unescape(
        client(cast, "developer").get(reverse("prompts:detail", args=["claims", "triage"])).content.decode()
    )
    assert '["\\n\\n", "END"]' in html


def test_a_version_that_is_refused_says_which_field_in_words(cast: Cast, prompt: Prompt) -> None:
    new = reverse("prompts:version-create", args=["claims", "triage"])
    good = {"role": "user", "content": "Sort {{ticket}}."}
    for wrong, told in (
        ({"temperature": "3"}, "Temperature: Expected a number of at most 2.0."),
        ({"top_p": "much"}, "Top p: 'much' is no number."),
        ({"output_schema": "[]"}, "JSON schema of the answer: This has to be a JSON object."),
        ({"model": "no model!"}, "Default model: "),
    ):
        answer = client(cast, "developer").post(new, good | wrong)
        assert answer.status_code == 422
        assert told in unescape(answer.content.decode())
