"""Columns that ask with a prompt of the catalog, or through a route: what is offered, checked, sent and kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.evaluation.models import Evaluation, InboxItem
from apps.gateway.models import Route, RouteTarget
from apps.gateway.types import Purpose
from apps.models import services as registry
from apps.models.models import Endpoint, Price, Provider
from apps.playground import selectors, services
from apps.playground.errors import ColumnInvalid
from apps.playground.page_data import wanted_prompt
from apps.playground.reports import standings, used_cases
from apps.playground.types import Column, Parameters, PromptChoice
from apps.prompts import services as prompts
from apps.prompts.models import Prompt
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.services import create_project
from portal.templatetags.scores import metric_value
from tests.cast import Cast
from tests.evaluation import gating
from tests.playground.test_conversations import asked, begin, finish

VARIABLES: dict[str, Any] = {
    "claim": {"type": "string"},
    "amount": {"type": "integer", "minimum": 1, "examples": [250]},
    "tone": {"enum": ["warm", "cool"], "default": "warm"},
}


@pytest.fixture
def triage(cast: Cast) -> Prompt:
    """Two versions; the first is ``live`` in the project's environment."""
    actor = cast.actor("developer")
    prompt = prompts.create_prompt(actor=actor, tenant=cast.claims, slug="triage", name="Claims triage")
    for text in ("Sort {{claim}} of {{amount}}", "Sort {{claim}} of {{amount}}, {{tone}}"):
        named = {name: schema for name, schema in VARIABLES.items() if f"{{{{{name}}}}}" in text}
        content = {"messages": [{"role": "user", "content": text}], "variables": named, "model": "writer"}
        prompts.save_version(actor=actor, prompt=prompt, content=content)
    prompts.release_versions(
        actor=actor, prompt=prompt, environment=cast.triage.environment, label="live", weights={1: 100}
    )
    return prompt


def column(values: dict[str, Any] | None = None, **choice: Any) -> Column:
    return Column(prompt=PromptChoice("triage", variables=values or {"claim": "hail", "amount": 3}, **choice))


def test_a_prompt_says_it_all_on_its_own_model(cast: Cast, triage: Prompt) -> None:
    begun = begin(cast, "", columns=[column(), column(version=2)])
    assert begun.conversation.title == "Claims triage"
    assert [(each.model_slug, each.prompt_slug) for each in begun.answers] == [("writer", "triage")] * 2
    sent = asked(begun)
    assert "model" not in sent
    assert sent["prompt"] == {"id": "triage", "variables": {"claim": "hail", "amount": 3}}
    assert sent["messages"] == []
    assert asked(begun, 1)["prompt"]["version"] == 2


def test_a_conversation_goes_on_after_a_prompts_words(cast: Cast, triage: Prompt) -> None:
    begun = begin(cast, "", columns=[column()])
    finish(begun.answers[0], "Urgent", prompt_version=1)
    given: dict[str, Any] = {"conversation": begun.conversation, "parent": begun.turn.pk}
    following = begin(cast, "Why?", columns=[column()], **given)
    assert [each["content"] for each in asked(following)["messages"]] == ["Urgent", "Why?"]
    # Its beginning is the prompt's: nothing else can answer to it.
    for columns, message, code in (([Column("writer")], "Why?", "prompt_needed"), ([column()], "", "empty_message")):
        with pytest.raises(DomainError) as refused:
            begin(cast, message, columns=columns, **given)
        assert refused.value.code == code


def test_a_message_of_ones_own_follows_the_prompt_and_the_columns_word_stands(cast: Cast, triage: Prompt) -> None:
    chosen = column(label="live")
    begun = begin(
        cast, "In short.", columns=[Column("drafter", prompt=chosen.prompt, parameters=Parameters(temperature=0))]
    )
    sent = asked(begun)
    assert (sent["model"], sent["temperature"], sent["prompt"]["label"]) == ("drafter", 0, "live")
    assert sent["messages"] == [{"role": "user", "content": "In short."}]
    assert begun.answers[0].model_slug == "drafter"


@pytest.mark.parametrize(
    ("wrong", "code", "names"),
    [
        (column({"claim": "hail"}), "variables_invalid", {"amount": "is missing"}),
        (column({"claim": "hail", "amount": 0, "tone": "warm"}), "variables_invalid", {"amount", "tone"}),
        (column({"claim": "hail", "amount": "3"}), "variables_invalid", {"amount"}),
        (column({"claim": "x" * 200_001, "amount": 3}), "too_long", set()),
        (column(version=9), "not_found", set()),
        (column(label="canary"), "prompt_label_not_found", set()),
        (Column(prompt=PromptChoice("nowhere")), "not_found", set()),
        (Column(prompt=PromptChoice("triage"), system="Be terse."), "two_systems", set()),
        (Column(), "no_model", set()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_names_its_column_and_its_variable(
    cast: Cast, triage: Prompt, wrong: Column, code: str, names: Any
) -> None:
    with pytest.raises(ColumnInvalid) as refused:
        begin(cast, "Hello", columns=[Column("writer"), wrong])
    assert (refused.value.column, refused.value.code) == (1, code)
    assert set(refused.value.problems) == set(names)
    assert "hail" not in str(refused.value)


def test_a_foreign_prompt_is_no_prompt_here(cast: Cast, triage: Prompt) -> None:
    with pytest.raises(ColumnInvalid) as refused:
        begin(cast, "Hello", by="outsider", project=cast.loans, columns=[column()])
    assert refused.value.code == "not_found"


def test_tool_results_go_to_the_version_that_asked_for_them(cast: Cast, triage: Prompt) -> None:
    begun = begin(cast, "", columns=[column(label="live")])
    call = {"id": "c1", "name": "look", "arguments": "{}"}
    finish(begun.answers[0], "", tool_calls=[call], prompt_version=1)
    answer = selectors.get_answer_for(cast.actor("developer"), begun.answers[0].pk)
    following = services.continue_answer(actor=cast.actor("developer"), answer=answer, results={"c1": "x"})
    (body,) = following.bodies.values()
    prompt = json.loads(body)["prompt"]
    assert (prompt["version"], "label" in prompt) == (1, False)


def test_a_blind_comparison_of_two_versions_tells_neither(cast: Cast, triage: Prompt) -> None:
    begun = begin(cast, "Go", columns=[column(version=1), column(version=2)], blind=True)
    assert begun.conversation.is_blind
    prompts.archive_prompt(actor=cast.actor("owner"), prompt=triage)
    with pytest.raises(DomainError) as refused:
        begin(cast, "On", columns=[Column("hidden")] * 2, conversation=begun.conversation, parent=begun.turn.pk)
    assert refused.value.code == "blind_columns"
    assert "triage" not in str(refused.value).lower()


def test_an_example_keeps_its_prompt_and_can_be_gone_on_from(cast: Cast, triage: Prompt) -> None:
    begun = begin(cast, "", columns=[column()])
    finish(begun.answers[0], "Urgent", prompt_version=1)
    actor = cast.actor("developer")
    answer = selectors.get_answer_for(actor, begun.answers[0].pk)
    example = services.share_example(actor=actor, answer=answer, title="Sorted", use_case="classify")
    assert (example.prompt_slug, example.prompt_version) == ("triage", 1)
    forked = services.fork_example(actor=actor, example=example, project=cast.triage)
    (turn,) = selectors.turns_of(forked)
    assert turn.message == ""
    assert [(each.text, each.prompt_version) for each in turn.answers.all()] == [("Urgent", 1)]
    following = begin(cast, "Why?", columns=[column()], conversation=forked, parent=turn.pk)
    assert [each["content"] for each in asked(following)["messages"]] == ["Urgent", "Why?"]


def test_what_works_here_counts_a_model_with_each_prompt_apart(cast: Cast, client: Client, triage: Prompt) -> None:
    begun = begin(cast, "Go", columns=[column(), Column("writer")], blind=True, use_case="classify")
    for answer in begun.answers:
        finish(answer, "Urgent", prompt_version=1 if answer.prompt_slug else None)
    with_prompt = next(answer.column for answer in begun.answers if answer.prompt_slug)
    actor = cast.actor("developer")
    turn = selectors.get_turn_for(actor, begun.turn.pk)
    services.cast_vote(actor=actor, turn=turn, winner="ab"[with_prompt])
    best, other = standings(actor, cast.claims, "classify")
    assert [(each.model_slug, each.prompt_slug, each.wins) for each in (best, other)] == [
        ("writer", "triage", 1), ("writer", "", 0),
    ]  # fmt: skip
    client.force_login(cast["developer"])
    assert "Claims triage</a>" in client.get("/playground/recommendations/?use_case=classify").content.decode()


def test_what_works_here_says_what_the_newest_evaluation_measured(cast: Cast, client: Client) -> None:
    made = gating.gated(cast)
    Prompt.objects.unscoped("test").filter(pk=made.prompt.pk).update(use_case="classify")
    for share in (0.5, 0.75):
        run = gating.run_of(cast, made.data, f"{share:.0%}", made.scorer)
        Evaluation.objects.unscoped("test").filter(pk=run.pk).update(
            prompt_version=made.prompt.versions.get(number=1), model="writer"
        )
        gating.finish(run, gating.right(share))
    (standing,) = standings(cast.actor("developer"), cast.claims, "classify")
    assert (standing.model_slug, standing.prompt_slug, standing.opinions) == ("writer", "triage", 0)
    assert standing.measured is not None
    assert standing.measured.summary["mean"] == 0.75
    assert not standings(cast.actor("outsider"), cast.claims, "classify")
    # Nobody has voted or shared anything: the use case is one to choose by its evaluation alone.
    assert [value for value, _ in used_cases(cast.actor("developer"), cast.claims)] == ["classify"]
    assert used_cases(cast.actor("outsider"), cast.claims) == []
    client.force_login(cast["developer"])
    page = client.get("/playground/recommendations/?use_case=classify").content.decode()
    measured = f'/evaluations/runs/{standing.measured.evaluation.public_id}/">{metric_value(standing.measured)}</a>'
    assert measured in page


def test_an_answer_becomes_a_prompt_with_all_that_led_to_it(cast: Cast, triage: Prompt) -> None:
    actor = cast.actor("developer")
    tool = {"name": "look_up", "parameters": {"type": "object"}, "color": "red"}
    plain = Column("writer", system="Be {{tone}}.", parameters=Parameters(temperature=0.5), tools=[tool])
    begun = begin(cast, "Hello", columns=[plain, column()])
    contents = []
    for at, answer in enumerate(begun.answers):
        finish(answer, "Hi", prompt_version=1 if at else None)
        mine = selectors.get_answer_for(actor, answer.pk)
        version = services.save_as_prompt(actor=actor, answer=mine, name=f"New {at}", slug=f"new-{at}")
        contents.append(version.content)
    first, second = contents
    assert [(each.role, each.content) for each in first.messages] == [("system", "Be {{tone}}."), ("user", "Hello")]
    assert (first.model, first.parameters.temperature) == ("writer", 0.5)
    assert [each.function.name for each in first.tools] == ["look_up"]
    # Of a prompt's column: that prompt's words and variables, then one's own.
    assert [each.content for each in second.messages] == ["Sort {{claim}} of {{amount}}", "Hello"]
    assert second.variables["amount"]["minimum"] == 1


def test_an_answer_goes_to_the_inbox_with_what_was_said_of_it(cast: Cast, triage: Prompt) -> None:
    actor = cast.actor("developer")
    begun = begin(cast, "", columns=[column()])
    finish(begun.answers[0], "Urgent, says ada@example.com", prompt_version=1)
    following = begin(cast, "Why?", columns=[column()], conversation=begun.conversation, parent=begun.turn.pk)
    finish(following.answers[0], "So.", prompt_version=1)
    first, second = (selectors.get_answer_for(actor, each.answers[0].pk) for each in (begun, following))
    services.give_feedback(
        actor=actor, answer=first, verdict="down", reasons=["wrong"], note="Not urgent", correction="Can wait"
    )
    for _ in range(2):  # offered again, it is the same item
        item = services.offer_answer(actor=actor, answer=first)
    assert (item.input, item.expected) == ({"claim": "hail", "amount": 3}, "Can wait")
    assert (item.prompt, item.reasons, item.note) == (triage, ["wrong"], "Not urgent")
    assert "ada@example.com" not in item.output
    item = services.offer_answer(actor=actor, answer=second)
    assert [each["content"] for each in item.input["messages"]] == [
        "Sort hail of 3", "Urgent, says [e-mail 1]", "Why?",
    ]  # fmt: skip
    assert InboxItem.objects.for_tenant(cast.claims).count() == 2


@pytest.mark.parametrize(
    ("address", "choice"),
    [
        ("claims", {"id": "claims", "label": ""}),
        ("claims@3", {"id": "claims", "version": 3}),
        ("claims@next", {"id": "claims", "label": "next"}),
    ],
)
def test_an_address_names_a_prompt(address: str, choice: dict[str, Any]) -> None:
    assert wanted_prompt(address) == choice


def test_the_page_offers_routes_and_prompts_and_a_version_comes_as_a_form(
    cast: Cast, client: Client, triage: Prompt
) -> None:
    system = Actor.system("test")
    provider = Provider.objects.create(slug="up", name="Up", kind="sandbox")
    facts: dict[str, Any] = {"lifecycle": "approved", "is_open": True}
    model = registry.create_model(actor=system, slug="m", name="Model", **facts)
    Endpoint.objects.create(model=model, provider=provider, upstream_model="x")
    own = Route.objects.create(tenant=cast.claims, slug="best", name="Best of both")
    hidden = Route.objects.create(slug="best", name="The platform's own")
    off = Route.objects.create(tenant=cast.claims, slug="off", name="Off", is_enabled=False)
    foreign = Route.objects.create(tenant=cast.lending, slug="theirs", name="Theirs")
    for route in (own, hidden, off, foreign):
        RouteTarget.objects.create(route=route, model=model)
    Route.objects.create(tenant=cast.claims, slug="empty", name="Sends nowhere")
    client.force_login(cast["developer"])
    offered = client.get(f"/playground/models/?project={cast.triage.slug}").json()
    assert offered["routes"] == [{"slug": "best", "name": "Best of both", "platform": False, "prices": []}]
    priced = registry.create_model(actor=system, slug="priced", name="Priced", **facts)
    endpoint = Endpoint.objects.create(model=priced, provider=provider, upstream_model="y")
    Price.objects.create(model=priced, input_picousd=3, output_picousd=5, request_picousd=7)
    RouteTarget.objects.create(route=own, endpoint=endpoint)
    RouteTarget.objects.create(route=own, model=priced, purpose=Purpose.SHADOW)
    (route,) = client.get(f"/playground/models/?project={cast.triage.slug}").json()["routes"]
    assert route["prices"] == [[3, 5, 7]]
    (shown,) = offered["prompts"]
    assert shown["labels"] == [{"name": "live", "version": 1, "split": False}]
    assert (shown["id"], shown["newest"]) == ("triage", 2)
    path = f"/playground/prompts/triage/?project={cast.triage.slug}"
    version = client.get(f"{path}&version=2").json()["prompt"]
    assert [(each["name"], each["required"], each.get("begin")) for each in version["variables"]] == [
        ("claim", True, None), ("amount", True, 250), ("tone", False, "warm"),
    ]  # fmt: skip
    assert version["messages"][0]["pieces"][1] == ["variable", "{{claim}}"]
    assert client.get(f"{path}&label=live").json()["prompt"]["version"] == 1
    elsewhere = create_project(actor=cast.actor("owner"), tenant=cast.claims, slug="prod", name="P", environment="prod")
    assert client.get(f"/playground/prompts/triage/?project={elsewhere.slug}").status_code == 404
    client.force_login(cast["outsider"])
    assert client.get("/playground/prompts/triage/?version=1").status_code == 404
