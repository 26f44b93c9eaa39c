"""Rating sets: what people said of answers as a dataset for judges, where the tenant allows it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.evaluation.models import Dataset, ExampleRevision
from apps.evaluation.services import add_example, archive_dataset
from apps.evaluation.services.scorers import create_scorer
from apps.playground import services
from apps.playground.models import Answer, Feedback
from apps.playground.services.ratings import RatingSet
from apps.playground.types import Attached, Column, PromptChoice
from apps.prompts import services as prompts
from apps.tenants.errors import Conflict, DomainError, PermissionDenied
from apps.tenants.models import AuditEntry, Tenant
from tests.cast import Cast
from tests.playground.test_conversations import PIXEL, begin, finish
from tests.test_isolation import BACKEND

PAIR = [Column(model="writer"), Column(model="drafter", system="Be terse.")]


def answered(cast: Cast, asked: str, *texts: str, **options: Any) -> list[Answer]:
    columns = PAIR if len(texts) == 2 else PAIR[:1]
    begun = begin(cast, asked, **{"columns": columns, "use_case": "draft", **options})
    for answer, text in zip(begun.answers, texts, strict=True):
        finish(answer, text)
    return list(Answer.objects.unscoped("test").filter(turn=begun.turn).order_by("column"))


def say(cast: Cast, answer: Answer, verdict: str, *, by: str = "developer", **more: Any) -> None:
    if by != "developer":
        services.share_conversation(actor=cast.actor("developer"), conversation=answer.turn.conversation)
    services.give_feedback(actor=cast.actor(by), answer=answer, verdict=verdict, **more)


def voted(cast: Cast, asked: str, left: str, right: str, winner: str) -> None:
    answer = answered(cast, asked, left, right, blind=True)[0]
    services.cast_vote(actor=cast.actor("developer"), turn=answer.turn, winner=winner)


@pytest.fixture
def allowed(cast: Cast) -> None:
    services.allow_rating_sets(actor=cast.actor("owner"), tenant=cast.claims, is_allowed=True)


def made(cast: Cast, kind: str = "thumbs", by: str = "scientist") -> RatingSet:
    return services.make_rating_set(actor=cast.actor(by), tenant=cast.claims, kind=kind)


def rows(found: RatingSet) -> dict[str, ExampleRevision]:
    """Of the version, by key."""
    members = found.version.members.select_related("revision__example")
    return {each.revision.example.key: each.revision for each in members}


@pytest.mark.usefixtures("allowed")
def test_thumbs_become_ratings_by_most_with_reasons_reference_and_no_personal_data(cast: Cast) -> None:
    [good] = answered(cast, "Write to ada@bank.test", "Dear Ada, call +49 30 1234567")
    [bad] = answered(cast, "What is the deductible?", "100 euros")
    [split] = answered(cast, "Who wins?", "Nobody")
    [empty] = answered(cast, "Nothing", "")
    begun = begin(cast, "Look", attachments=[Attached("pixel.png", "image/png", PIXEL)])
    finish(begun.answers[0], "A pixel")
    say(cast, good, "up")
    say(cast, begun.answers[0], "up")
    Feedback.objects.create(
        tenant=cast.claims, answer=empty, user=cast["developer"], model_slug="writer", verdict="down"
    )
    for who, verdict in (("developer", "down"), ("scientist", "down"), ("owner", "up")):
        correction = "250 euros, says eve@bank.test" if who == "scientist" else ""
        say(cast, bad, verdict, by=who, reasons=["wrong"] if verdict == "down" else [], correction=correction)
    for who, verdict in (("developer", "down"), ("viewer", "up")):
        say(cast, split, verdict, by=who)

    found = made(cast)
    assert (found.created, found.version.number, found.left_out) == (True, 1, 0)
    ratings = rows(found)
    assert set(ratings) == {f"answer-{good.pk}", f"answer-{bad.pk}"}
    first, second = ratings[f"answer-{good.pk}"], ratings[f"answer-{bad.pk}"]
    assert first.input == {
        "messages": [{"role": "user", "content": "Write to [e-mail 1]"}],
        "answer": "Dear Ada, call [phone number 1]",
    }
    assert first.expected == {"rating": "up"}
    assert second.expected == {"rating": "down", "reference": "250 euros, says [e-mail 1]"}
    assert (second.tags, second.slice, second.split, second.source) == (["wrong"], "draft", "dev", "feedback")
    assert [each.scrub for each in (first, second)] == ["redacted", "redacted"]
    assert {each.created_by for each in ratings.values()} == {cast["scientist"]}, "not who rated"
    entry = AuditEntry.objects.unscoped("test").filter(action="feedback.rating_set_made").get()
    assert (entry.data["ratings"], entry.data["left_out"]) == (2, 0)


@pytest.mark.usefixtures("allowed")
def test_blind_votes_become_pairs(cast: Cast) -> None:
    for winner in ("a", "b", "tie", "both_bad"):
        voted(cast, f"Compare {winner}", f"left of {winner}", f"right of {winner}", winner)
    found = sorted(rows(made(cast, "votes")).values(), key=lambda row: row.pk)
    assert [row.expected for row in found] == [{"rating": points} for points in (1.0, 0.0, 0.5, 0.5)]
    assert found[0].input["messages"] == [{"role": "user", "content": "Compare a"}]
    assert {found[0].input["answer"], found[0].input["baseline_answer"]} == {"left of a", "right of a"}


@pytest.mark.usefixtures("allowed")
def test_a_prompt_of_the_catalog_is_part_of_what_was_asked(cast: Cast) -> None:
    actor = cast.actor("developer")
    prompt = prompts.create_prompt(actor=actor, tenant=cast.claims, slug="sort", name="Sort")
    content = {"messages": [{"role": "user", "content": "Sort {{claim}}"}], "model": "writer"}
    version = prompts.save_version(actor=actor, prompt=prompt, content=content).version
    choice = PromptChoice(id="sort", version=version.number, variables={"claim": "hail"})
    [answer] = answered(cast, "", "storm", columns=[Column(prompt=choice)])
    Answer.objects.unscoped("test").filter(pk=answer.pk).update(prompt_slug="sort", prompt_version=version.number)
    say(cast, answer, "up")
    [row] = rows(made(cast)).values()
    assert row.input["messages"] == [{"role": "user", "content": "Sort hail"}]
    # Where the version is gone nobody knows what was asked.
    Answer.objects.unscoped("test").filter(pk=answer.pk).update(prompt_version=9)
    [other] = answered(cast, "Hello", "Hi")
    say(cast, other, "up")
    again = made(cast)
    assert (set(rows(again)), again.left_out) == ({f"answer-{other.pk}"}, 1)


@pytest.mark.usefixtures("allowed")
def test_the_set_is_brought_up_to_date_and_forgets_what_was_taken_back(cast: Cast) -> None:
    [first] = answered(cast, "One", "1")
    [second] = answered(cast, "Two", "3")
    say(cast, first, "up")
    say(cast, second, "down")
    found = made(cast)
    assert not made(cast).created
    add_example(actor=cast.actor("scientist"), dataset=found.dataset, input={"q": "By hand"}, key="mine")
    services.withdraw_feedback(actor=cast.actor("developer"), answer=first)
    again = made(cast)
    assert (again.version.number, set(rows(again))) == (2, {f"answer-{second.pk}", "mine"})
    assert set(rows(found)) == {f"answer-{first.pk}", f"answer-{second.pk}"}, "what was frozen stays"
    say(cast, first, "down")
    assert rows(made(cast))[f"answer-{first.pk}"].expected == {"rating": "down"}
    archive_dataset(actor=cast.actor("scientist"), dataset=found.dataset)
    with pytest.raises(Conflict, match="is archived"):
        made(cast)


def test_it_takes_the_tenants_word_and_those_who_triage_and_edit_datasets(cast: Cast) -> None:
    [answer] = answered(cast, "One", "1")
    say(cast, answer, "up")
    with pytest.raises(Conflict) as refused:
        made(cast)
    assert refused.value.code == "feedback_not_copied"
    for who in ("developer", "scientist", "reviewer", "viewer", "service_engineer", "outsider"):
        with pytest.raises(DomainError) as denied:
            services.allow_rating_sets(actor=cast.actor(who), tenant=cast.claims, is_allowed=True)
        assert denied.value.status in (403, 404)
    services.allow_rating_sets(actor=cast.actor("owner"), tenant=cast.claims, is_allowed=True)
    for who in ("developer", "reviewer", "viewer", "service_engineer", "outsider"):
        with pytest.raises((PermissionDenied, DomainError)) as denied:
            made(cast, by=who)
        assert denied.value.status in (403, 404)
    assert not Dataset.objects.unscoped("test").exists()
    with pytest.raises(Conflict, match="Nobody has rated"):
        made(cast, "votes")
    assert made(cast, by="owner").created


def test_the_page_says_what_would_be_copied_and_who_decides(cast: Cast) -> None:
    def client(who: str) -> Client:
        made = Client()
        made.force_login(cast[who], backend=BACKEND)
        return made

    page, make = reverse("playground:rating-sets"), reverse("playground:rating-set-make")
    scientist, owner = client("scientist"), client("owner")
    shown = scientist.get(page).content.decode()
    assert "No rating yet" in shown
    assert "No vote yet" in shown
    assert "Ask one." in shown
    assert "Make a rating set for judges" in scientist.get(reverse("playground:feedback-list")).content.decode()
    [answer] = answered(cast, "One", "1")
    say(cast, answer, "up")
    assert "disabled" in scientist.get(page).content.decode()
    assert "copied into datasets" in scientist.post(make, {"kind": "thumbs"}, follow=True).content.decode()
    allow = reverse("playground:rating-set-allow")
    assert scientist.post(allow, {"allowed": "1"}).status_code == 403
    assert owner.post(allow, {"allowed": "1"}).status_code == 302
    assert "Stop copying" in owner.get(page).content.decode()
    assert "Copy 1 rating?" in scientist.get(page).content.decode()
    done = scientist.post(make, {"kind": "thumbs"}, follow=True).content.decode()
    assert "Version 1 of Playground ratings is frozen: 1 rating." in done
    assert "?kind=judge-rubric" in done
    parameters = {"model": "writer", "criteria": "It is right."}
    create_scorer(actor=cast.actor("scientist"), tenant=cast.claims, kind="judge-rubric", parameters=parameters)
    assert "?dataset=playground-ratings@1&amp;model=recorded" in scientist.get(page).content.decode()
    form = scientist.get(reverse("evaluation:run-create"), {"dataset": "playground-ratings@1", "model": "recorded"})
    assert '<option value="playground-ratings@1" selected>' in form.content.decode()
    assert '<option value="recorded" selected>' in form.content.decode()
    assert "Nothing has changed" in scientist.post(make, {"kind": "thumbs"}, follow=True).content.decode()
    owner.post(allow)
    assert not Tenant.objects.unscoped("test").get(pk=cast.claims.pk).copies_feedback


@pytest.mark.usefixtures("allowed")
def test_rating_sets_at_the_api(cast: Cast) -> None:
    [answer] = answered(cast, "One", "1")
    say(cast, answer, "up")
    scientist = Client()
    scientist.force_login(cast["scientist"], backend=BACKEND)
    path = "/api/tenants/claims/rating-sets"
    counts = {"good": 1, "bad": 0, "even": 0, "unfit": 0, "usable": 1}
    told = scientist.get(path).json()
    assert told["is_allowed"] is True
    assert told["rated"][0] == {"kind": "thumbs", **counts}
    assert told["rated"][1] == {"kind": "votes", **dict.fromkeys(counts, 0)}
    answer_to = scientist.post(path, {"kind": "thumbs"}, content_type="application/json")
    assert (answer_to.status_code, answer_to.json()) == (
        201,
        {"dataset": "playground-ratings", "version": 1, "ratings": 1, "created": True, "left_out": 0},
    )
    key = Client(headers={"Authorization": f"Bearer {cast.keys['management']}"})
    assert key.post(path, {"kind": "thumbs"}, content_type="application/json").status_code == 403
    empty = scientist.post(path, {"kind": "votes"}, content_type="application/json")
    assert (empty.status_code, empty.json()["code"]) == (409, "nothing_rated")
