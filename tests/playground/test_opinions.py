"""Blind votes, feedback and its triage, the example store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.playground import selectors, services
from apps.playground.models import Conversation, Feedback, Vote
from apps.playground.types import Column
from apps.tenants.errors import Conflict, DomainError, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry
from tests.cast import Cast
from tests.playground.test_conversations import ONE, begin, finish

PAIR = [Column(model="writer"), Column(model="drafter")]


def answered(cast: Cast, *, blind: bool = False, by: str = "developer") -> services.Begun:
    begun = begin(cast, "Compare", columns=PAIR, blind=blind, by=by)
    for answer in begun.answers:
        finish(answer, f"by {answer.model_slug}")
    return begun


def test_the_server_shuffles_and_keeps_its_order(cast: Cast) -> None:
    orders = {tuple(answer.model_slug for answer in answered(cast, blind=True).answers) for _ in range(40)}
    assert orders == {("writer", "drafter"), ("drafter", "writer")}
    begun = answered(cast, blind=True)
    # Whatever columns the page sends next, the places stay as they were.
    following = begin(
        cast, "More", columns=PAIR[::-1], conversation=begun.conversation, parent=begun.turn.pk, blind=True
    )
    assert [each.model_slug for each in following.answers] == [each.model_slug for each in begun.answers]


def test_a_vote_keeps_the_pair_and_reveals_the_names(cast: Cast) -> None:
    begun = answered(cast, blind=True)
    actor = cast.actor("developer")
    turn = selectors.get_turn_for(actor, begun.turn.pk)
    vote = services.cast_vote(actor=actor, turn=turn, winner="b")
    assert (vote.model_a, vote.model_b) == tuple(answer.model_slug for answer in begun.answers)
    assert not Conversation.objects.unscoped("test").get().is_blind
    with pytest.raises(Conflict):
        services.cast_vote(actor=actor, turn=selectors.get_turn_for(actor, begun.turn.pk), winner="a")
    assert Vote.objects.for_tenant(cast.claims).count() == 1


def test_a_vote_needs_two_answers_and_closed_eyes(cast: Cast) -> None:
    actor = cast.actor("developer")
    running = begin(cast, "Compare", columns=PAIR, blind=True)
    with pytest.raises(Conflict, match="Wait until both"):
        services.cast_vote(actor=actor, turn=selectors.get_turn_for(actor, running.turn.pk), winner="a")
    seen = answered(cast)
    with pytest.raises(Conflict, match="known already"):
        services.cast_vote(actor=actor, turn=selectors.get_turn_for(actor, seen.turn.pk), winner="a")
    for part in ("scientist", "outsider"):
        with pytest.raises(NotFound):
            services.cast_vote(actor=cast.actor(part), turn=running.turn, winner="a")


def test_nothing_tells_a_blind_model_before_the_vote(cast: Cast) -> None:
    begun = answered(cast, blind=True)
    actor, conversation = cast.actor("developer"), begun.conversation
    answer = selectors.get_answer_for(actor, begun.answers[0].pk)
    acts: list[Callable[[], object]] = [
        lambda: services.share_conversation(actor=actor, conversation=conversation),
        lambda: services.give_feedback(actor=actor, answer=answer, verdict="up"),
        lambda: services.share_example(actor=actor, answer=answer, title="T", use_case="draft"),
        lambda: services.fork_conversation(actor=actor, conversation=conversation, project=cast.triage),
    ]
    for act in acts:
        with pytest.raises(Conflict) as raised:
            act()
        assert raised.value.code == "still_blind"


def test_feedback_is_one_per_reader_and_can_be_triaged(cast: Cast) -> None:
    begun = answered(cast)
    actor = cast.actor("developer")
    answer = selectors.get_answer_for(actor, begun.answers[0].pk)
    services.give_feedback(actor=actor, answer=answer, verdict="up")
    row = services.give_feedback(
        actor=actor,
        answer=answer,
        verdict="down",
        reasons=["wrong", "wrong", "too_long"],
        note=" No. ",
        correction="42",
    )
    assert Feedback.objects.unscoped("test").count() == 1
    assert (row.verdict, row.reasons, row.note, row.model_slug) == ("down", ["wrong", "too_long"], "No.", "writer")
    with pytest.raises(PermissionDenied):
        services.triage_feedback(actor=actor, feedback=row, status="confirmed")
    services.triage_feedback(actor=cast.actor("scientist"), feedback=row, status="confirmed")
    assert AuditEntry.objects.for_tenant(cast.claims).filter(action="feedback.triaged").count() == 1
    assert [each.pk for each in selectors.feedback_for(cast.actor("owner"), cast.claims, "writer")] == [row.pk]
    assert not selectors.feedback_for(cast.actor("outsider")).exists()
    for bad in ({"verdict": "meh"}, {"verdict": "up", "reasons": ["ugly"]}, {"verdict": "up", "note": "x" * 5_000}):
        with pytest.raises(DomainError):
            services.give_feedback(actor=actor, answer=answer, **bad)
    services.withdraw_feedback(actor=actor, answer=answer)
    assert not Feedback.objects.unscoped("test").exists()


def test_feedback_on_what_one_may_not_read_is_missing(cast: Cast) -> None:
    begun = answered(cast)
    for part in ("owner", "outsider", "service_admin"):
        with pytest.raises(NotFound):
            services.give_feedback(actor=cast.actor(part), answer=begun.answers[0], verdict="up")
    services.share_conversation(actor=cast.actor("developer"), conversation=begun.conversation)
    services.give_feedback(actor=cast.actor("viewer"), answer=begun.answers[0], verdict="up")
    with pytest.raises(NotFound):
        services.give_feedback(actor=cast.actor("outsider"), answer=begun.answers[0], verdict="up")


def test_an_example_is_a_copy_that_others_find_rate_and_fork(cast: Cast) -> None:
    root = begin(cast, "Summarise this", columns=[Column(model="writer", system="Be terse.")])
    finish(root.answers[0], "Short.")
    actor = cast.actor("developer")
    answer = selectors.get_answer_for(actor, root.answers[0].pk)
    example = services.share_example(
        actor=actor, answer=answer, title="A terse summary", use_case="summarise", tags=["Claims", "claims", "Terse"]
    )
    assert example.tags == ["claims", "terse"]
    assert [message["content"] for message in example.messages] == ["Be terse.", "Summarise this"]
    services.delete_conversation(actor=actor, conversation=root.conversation)
    viewer = cast.actor("viewer")
    found = selectors.examples_for(viewer, cast.claims, "terse", "summarise")
    assert [row.title for row in found] == ["A terse summary"]
    services.rate_example(actor=viewer, example=found[0], stars=5)
    services.rate_example(actor=cast.actor("owner"), example=found[0], stars=4)
    services.rate_example(actor=viewer, example=found[0], stars=4)
    again = selectors.get_example_for(viewer, example.public_id)
    assert (getattr(again, "stars"), getattr(again, "raters")) == (4.0, 2)  # noqa: B009
    copy = services.fork_example(actor=cast.actor("scientist"), example=again, project=cast.triage)
    turns = selectors.turns_of(copy)
    assert [(turn.message, turn.answers.all()[0].text) for turn in turns] == [("Summarise this", "Short.")]
    with pytest.raises(NotFound):
        selectors.get_example_for(cast.actor("outsider"), example.public_id)
    with pytest.raises(NotFound):
        services.rate_example(actor=cast.actor("outsider"), example=again, stars=1)


def test_an_example_is_removed_by_its_author_or_an_admin(cast: Cast) -> None:
    for remover, allowed in (("scientist", False), ("outsider", False), ("developer", True), ("owner", True)):
        begun = begin(cast, "Good", columns=ONE)
        finish(begun.answers[0])
        actor = cast.actor("developer")
        answer = selectors.get_answer_for(actor, begun.answers[0].pk)
        example = services.share_example(actor=actor, answer=answer, title="T", use_case="draft")
        if allowed:
            services.remove_example(actor=cast.actor(remover), example=example)
        else:
            with pytest.raises(DomainError):
                services.remove_example(actor=cast.actor(remover), example=example)
