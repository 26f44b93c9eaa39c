"""Conversations as a tree of turns: begun, read on, branched, forked, shared, deleted; foreign equals missing."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.models import services as registry
from apps.playground import selectors, services
from apps.playground.models import Answer, Attachment, Conversation, Turn
from apps.playground.types import Attached, Column, Parameters
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry, Tenant
from apps.tenants.services import suspend_tenant
from tests.cast import Cast

ONE = [Column(model="writer")]
TWO = [Column(model="writer", system="Be terse."), Column(model="drafter", parameters=Parameters(temperature=0.5))]
PIXEL = base64.b64encode(b"\x89PNG pixel").decode()


def begin(cast: Cast, message: str = "Hello", *, by: str = "developer", **options: Any) -> services.Begun:
    given = {"columns": ONE, "project": cast.triage, **options}
    return services.begin_turn(actor=cast.actor(by), message=message, **given)


def finish(answer: Answer, text: str = "Hi there", **facts: Any) -> None:
    services.finish_answer(
        answer.pk,
        **{
            "status": "done", "text": text, "reasoning": "", "tool_calls": [], "error": {}, "request_id": "r" * 32,
            "input_tokens": 3, "output_tokens": 2, "first_token_ms": 40, "duration_ms": 90, **facts,
        },
    )  # fmt: skip


def asked(begun: services.Begun, at: int = 0) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(begun.bodies[begun.answers[at].pk])
    return request


def test_a_first_turn_makes_the_conversation_and_an_answer_per_column(cast: Cast) -> None:
    begun = begin(cast, "  Write a letter\nto Ada ", columns=TWO)
    assert begun.conversation.title == "Write a letter"
    assert [answer.model_slug for answer in begun.answers] == ["writer", "drafter"]
    first, second = asked(begun), asked(begun, 1)
    assert first["messages"] == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Write a letter\nto Ada"},
    ]
    assert first["stream_options"] == {"include_usage": True}
    assert second["temperature"] == 0.5
    assert len(second["messages"]) == 1


def test_each_column_reads_on_from_its_own_answers(cast: Cast) -> None:
    begun = begin(cast, "One", columns=TWO)
    finish(begun.answers[0], "from A")
    finish(begun.answers[1], "", status="failed", error={"code": "x", "message": "no"})
    following = begin(cast, "Two", columns=TWO, conversation=begun.conversation, parent=begun.turn.pk)
    assert [each["content"] for each in asked(following)["messages"]] == ["Be terse.", "One", "from A", "Two"]
    # What got no answer is not asked again.
    assert [each["content"] for each in asked(following, 1)["messages"]] == ["Two"]


def test_a_branch_leaves_the_other_branch_alone(cast: Cast) -> None:
    root = begin(cast, "One")
    finish(root.answers[0], "first")
    left = begin(cast, "Left", conversation=root.conversation, parent=root.turn.pk)
    finish(left.answers[0], "left answer")
    right = begin(cast, "Right", conversation=root.conversation, parent=root.turn.pk)
    assert [each["content"] for each in asked(right)["messages"]] == ["One", "first", "Right"]
    other_start = begin(cast, "Anew", conversation=root.conversation)
    assert [each["content"] for each in asked(other_start)["messages"]] == ["Anew"]
    turns = selectors.turns_of(root.conversation)
    assert [turn.message for turn in selectors.chain_to(turns, left.turn.pk)] == ["One", "Left"]


def test_tool_results_go_on_in_the_same_turn(cast: Cast) -> None:
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    begun = begin(cast, "Weather?", columns=[Column(model="writer", tools=[tool])])
    assert asked(begun)["tools"] == [{"type": "function", "function": tool}]
    call = {"id": "c1", "name": "weather", "arguments": "{}"}
    finish(begun.answers[0], "", tool_calls=[call])
    answer = selectors.get_answer_for(cast.actor("developer"), begun.answers[0].pk)
    with pytest.raises(Invalid, match="one result for each"):
        services.continue_answer(actor=cast.actor("developer"), answer=answer, results={})
    following = services.continue_answer(actor=cast.actor("developer"), answer=answer, results={"c1": "Sunny"})
    roles = [each["role"] for each in asked(following)["messages"]]
    assert roles == ["user", "assistant", "tool"]
    assert following.answers[0].step == 1
    with pytest.raises(Conflict, match="went on already"):
        services.continue_answer(actor=cast.actor("developer"), answer=answer, results={"c1": "Rain"})


def test_a_schema_and_files_are_asked_for_as_the_api_takes_them(cast: Cast) -> None:
    schema = {"title": "A person!", "type": "object", "properties": {"name": {"type": "string"}}}
    files = [Attached("a.png", "image/png", PIXEL), Attached("notes.md", "text/markdown", "# Notes")]
    begun = begin(cast, "Read", columns=[Column(model="writer", schema=schema)], attachments=files)
    request = asked(begun)
    assert request["response_format"]["json_schema"]["name"] == "A_person"
    kinds = [part["type"] for part in request["messages"][0]["content"]]
    assert kinds == ["image_url", "text", "text"]
    assert request["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert Attachment.objects.unscoped("test").get(name="notes.md").content == "# Notes"


def test_files_of_the_conversation_go_with_a_message_again(cast: Cast) -> None:
    files = [Attached("a.png", "image/png", PIXEL), Attached("notes.md", "text/markdown", "# Notes")]
    first = begin(cast, "Read", attachments=files)
    assert [(each["name"], each["image"]) for each in first.files] == [("a.png", True), ("notes.md", False)]
    elsewhere = begin(cast, "Other", attachments=files)
    notes = first.files[1]["id"]
    again = begin(cast, "Read this", conversation=first.conversation, kept=[notes], attachments=files[:1])
    parts = asked(again)["messages"][0]["content"]
    assert [part.get("text") for part in parts] == ["The file notes.md:\n\n# Notes", None, "Read this"]
    assert again.files[0]["id"] != notes, "a copy: each turn has its own"
    for kept in ([elsewhere.files[0]["id"]], [notes, notes], [999_999]):
        with pytest.raises(NotFound):
            begin(cast, "Foreign", conversation=first.conversation, kept=kept)
    with pytest.raises(NotFound):
        begin(cast, "New", kept=[notes])
    with pytest.raises(Invalid):
        begin(cast, "Many", conversation=first.conversation, kept=[notes], attachments=files * 4)


def test_a_key_begins_one_turn_and_tells_only_its_member_of_it(cast: Cast) -> None:
    begun = begin(cast, "Once", key="k" * 8, attachments=[Attached("a.txt", "text/plain", "x")])
    with pytest.raises(Conflict) as raised:
        begin(cast, "Twice", key="k" * 8)
    assert raised.value.code == "begun_already"
    assert [turn.message for turn in Turn.objects.for_tenant(cast.claims)] == ["Once"]
    before = services.begun_before(actor=cast.actor("developer"), tenant=cast.claims, key="k" * 8)
    assert before is not None
    assert (before.turn, before.answers, before.bodies) == (begun.turn, begun.answers, {})
    assert before.files == begun.files
    assert services.begun_before(actor=cast.actor("developer"), tenant=cast.claims, key="") is None
    for who in ("owner", "outsider"):
        assert services.begun_before(actor=cast.actor(who), tenant=cast.claims, key="k" * 8) is None


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"message": "  "}, "empty_message"),
        ({"message": "x" * 200_001}, "too_long"),
        ({"columns": []}, "columns"),
        ({"columns": ONE * 5}, "columns"),
        ({"columns": ONE, "blind": True}, "blind_columns"),
        ({"columns": ONE * 2, "blind": True}, "blind_columns"),
        ({"attachments": [Attached("a.svg", "image/svg+xml", PIXEL)]}, "image_type"),
        ({"attachments": [Attached("a.png", "image/png", "!!")]}, "image_data"),
        ({"attachments": [Attached("a.txt", "text/plain", "x")] * 9}, "too_many_files"),
        ({"attachments": [Attached("a.txt", "text/plain", "x" * 9_000_000)]}, "files_too_large"),
        ({"parent": 999_999}, "not_found"),
        ({"use_case": "nonsense"}, "invalid"),
    ],
)
def test_what_cannot_be_run_says_why(cast: Cast, options: dict[str, Any], code: str) -> None:
    with pytest.raises(DomainError) as raised:
        begin(cast, **options)
    assert raised.value.code == code
    assert not Conversation.objects.unscoped("test").exists()


def test_a_model_that_takes_no_images_or_tools_says_so(cast: Cast) -> None:
    operator = Actor.system("test")
    provider = registry.create_provider(
        actor=operator, slug="up", name="Up", base_url="https://192.0.43.7/v1", credential_source="none"
    )
    model = registry.create_model(
        actor=operator, slug="writer", name="Writer", lifecycle="approved", is_open=True, capabilities=["streaming"]
    )
    registry.create_endpoint(actor=operator, model=model, provider=provider, upstream_model="w")
    for options, said in (
        ({"attachments": [Attached("a.png", "image/png", PIXEL)]}, "takes no images"),
        ({"columns": [Column(model="writer", tools=[{"name": "t"}])]}, "calls no tools"),
        ({"columns": [Column(model="writer", schema={"type": "object"})]}, "no JSON schema"),
    ):
        with pytest.raises(Invalid, match=said):
            begin(cast, **options)


def test_who_may_not_call_models_runs_nothing(cast: Cast) -> None:
    for part in ("viewer", "reviewer", "service_engineer"):
        with pytest.raises(PermissionDenied):
            begin(cast, by=part)
    with pytest.raises(NotFound):
        begin(cast, by="outsider")
    suspend_tenant(actor=cast.actor("service_admin"), tenant=cast.claims, reason="unpaid")
    with pytest.raises(PermissionDenied):
        begin(cast)


def test_a_conversation_is_its_owners_alone(cast: Cast) -> None:
    begun = begin(cast, "Secret plans")
    conversation = begun.conversation
    for part in ("owner", "scientist", "viewer", "outsider", "service_admin"):
        actor = cast.actor(part)
        assert not selectors.conversations_for(actor, cast.claims).exists()
        for attempt in (
            lambda actor=actor: selectors.get_conversation_for(actor, conversation.public_id),
            lambda actor=actor: selectors.get_answer_for(actor, begun.answers[0].pk),
            lambda actor=actor: selectors.get_readable_answer_for(actor, begun.answers[0].pk),
            lambda actor=actor: selectors.get_turn_for(actor, begun.turn.pk),
            lambda actor=actor: services.rename_conversation(actor=actor, conversation=conversation, title="x"),
            lambda actor=actor: services.share_conversation(actor=actor, conversation=conversation),
            lambda actor=actor: services.delete_conversation(actor=actor, conversation=conversation),
            lambda actor=actor: begin_in(cast, actor, conversation),
        ):
            with pytest.raises((NotFound, PermissionDenied)):
                attempt()


def begin_in(cast: Cast, actor: Actor, conversation: Conversation) -> None:
    services.begin_turn(actor=actor, project=cast.triage, columns=ONE, message="Hi", conversation=conversation)


def test_search_finds_titles_messages_and_answers_of_ones_own(cast: Cast) -> None:
    begun = begin(cast, "About Lisbon")
    finish(begun.answers[0], "A city on the Tagus")
    begin(cast, "About Porto")
    actor = cast.actor("developer")
    assert selectors.conversations_for(actor, cast.claims).count() == 2
    for query in ("lisbon", "tagus city", "About tagus"):
        assert [row.title for row in selectors.conversations_for(actor, cast.claims, query)] == ["About Lisbon"], query
    assert not selectors.conversations_for(cast.actor("scientist"), cast.claims, "lisbon").exists()


def test_a_permalink_reads_inside_the_tenant_until_it_is_taken_back(cast: Cast) -> None:
    begun = begin(cast, "Share me")
    finish(begun.answers[0])
    actor = cast.actor("developer")
    token = services.share_conversation(actor=actor, conversation=begun.conversation).share_token or ""
    assert selectors.get_shared_for(cast.actor("viewer"), token).title == "Share me"
    assert selectors.get_readable_answer_for(cast.actor("viewer"), begun.answers[0].pk).text == "Hi there"
    with pytest.raises(NotFound):
        selectors.get_shared_for(cast.actor("outsider"), token)
    with pytest.raises(NotFound):
        selectors.get_readable_answer_for(cast.actor("outsider"), begun.answers[0].pk)
    services.unshare_conversation(actor=actor, conversation=begun.conversation)
    with pytest.raises(NotFound):
        selectors.get_shared_for(cast.actor("viewer"), token)
    again = services.share_conversation(actor=actor, conversation=begun.conversation).share_token
    assert again != token
    told = AuditEntry.objects.for_tenant(cast.claims).filter(action__startswith="conversation.")
    assert [entry.action for entry in told.order_by("sequence")] == [
        "conversation.shared", "conversation.unshared", "conversation.shared",
    ]  # fmt: skip


def test_a_fork_is_a_copy_of_one_branch(cast: Cast) -> None:
    root = begin(cast, "One", attachments=[Attached("n.txt", "text/plain", "note")])
    finish(root.answers[0], "first")
    left = begin(cast, "Left", conversation=root.conversation, parent=root.turn.pk)
    finish(left.answers[0], "left")
    begin(cast, "Right", conversation=root.conversation, parent=root.turn.pk)
    services.share_conversation(actor=cast.actor("developer"), conversation=root.conversation)
    copy = services.fork_conversation(
        actor=cast.actor("scientist"), conversation=root.conversation, project=cast.triage, last_turn=left.turn.pk
    )
    turns = selectors.turns_of(copy, with_content=True)
    assert [(turn.message, [answer.text for answer in turn.answers.all()]) for turn in turns] == [
        ("One", ["first"]), ("Left", ["left"]),
    ]  # fmt: skip
    assert [each.content for each in turns[0].attachments.all()] == ["note"]
    assert copy.share_token is None
    assert copy.owner == cast["scientist"]
    services.delete_conversation(actor=cast.actor("developer"), conversation=root.conversation)
    assert selectors.turns_of(copy)
    with pytest.raises(PermissionDenied):
        services.fork_conversation(actor=cast.actor("viewer"), conversation=copy, project=cast.triage)
    with pytest.raises(NotFound):
        services.fork_conversation(actor=cast.actor("scientist"), conversation=copy, project=cast.loans)


def test_deleted_is_gone_for_good_and_the_trail_tells_no_content(cast: Cast) -> None:
    begun = begin(cast, "Zanzibar", attachments=[Attached("n.txt", "text/plain", "Zanzibar")])
    finish(begun.answers[0], "Zanzibar")
    services.delete_conversation(actor=cast.actor("developer"), conversation=begun.conversation)
    for model in (Conversation, Turn, Answer, Attachment):
        assert not model.objects.unscoped("test").exists(), model
    entry = AuditEntry.objects.for_tenant(cast.claims).get(action="conversation.deleted")
    assert entry.data == {"turns": 1}
    assert "Zanzibar" not in f"{entry.target_label} {entry.data}"


def test_conversations_are_kept_as_long_as_their_tenant_says(cast: Cast) -> None:
    Tenant.objects.for_tenant(cast.claims).update(retention_days=10)
    old, recent = begin(cast, "Old"), begin(cast, "Recent")
    theirs = begin(cast, "Theirs", by="outsider", project=cast.loans)
    now = timezone.now()
    for begun, days in ((old, 11), (recent, 9), (theirs, 11)):
        rows = Conversation.objects.unscoped("test").filter(pk=begun.conversation.pk)
        rows.update(updated_at=now - timedelta(days=days))
    assert services.delete_expired(now) == 1
    left = Conversation.objects.unscoped("test").order_by("pk").values_list("title", flat=True)
    assert list(left) == ["Recent", "Theirs"]


def test_an_answer_ends_once(cast: Cast) -> None:
    begun = begin(cast)
    answer = begun.answers[0]
    services.save_progress(answer.pk, text="Hal\x00f", reasoning="")
    answer.refresh_from_db()
    assert answer.text == "Half"
    finish(answer, "Whole")
    services.save_progress(answer.pk, text="Late", reasoning="")
    assert services.interrupt_answers([answer.pk]) == 0
    answer.refresh_from_db()
    assert (answer.text, answer.status) == ("Whole", "done")
    lost = begin(cast).answers[0]
    Answer.objects.unscoped("test").filter(pk=lost.pk).update(created_at=timezone.now() - timedelta(hours=1))
    assert services.interrupt_answers() == 1
