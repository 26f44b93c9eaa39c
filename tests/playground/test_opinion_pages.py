"""The pages around the playground: the example store, feedback and its triage, votes, what works here."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.playground import selectors, services
from apps.playground.models import Answer, Feedback, SavedExample, Vote
from apps.playground.reports import feedback_trend, standings
from apps.playground.types import Column
from tests.cast import Cast
from tests.playground.test_conversations import begin, finish
from tests.test_isolation import BACKEND

PAIR = [Column(model="writer"), Column(model="drafter", system="Be terse.")]
HTMX = {"HX-Request": "true"}


def client_of(cast: Cast, part: str = "developer") -> Client:
    client = Client()
    client.force_login(cast[part], backend=BACKEND)
    return client


def answered(cast: Cast, text: str = "Hello, **Ada**", *, blind: bool = False, use_case: str = "draft") -> list[Answer]:
    begun = begin(cast, "Write to Ada", columns=PAIR, blind=blind, use_case=use_case)
    for answer in begun.answers:
        finish(answer, text)
        services.save_figures(answer.pk, input_tokens=3, output_tokens=2, cost_picousd=1_000_000)
    return list(Answer.objects.unscoped("test").filter(turn=begun.turn).order_by("column"))


def test_an_example_is_shared_found_rated_and_gone_on_from(cast: Cast) -> None:
    author, reader = client_of(cast), client_of(cast, "scientist")
    answer = answered(cast)[1]
    share = reverse("playground:example-share", args=[answer.pk])
    assert "Write to Ada" in author.get(share).content.decode()  # the conversation's title, to begin with
    refused = author.post(share, {"title": "", "use_case": "draft"}, headers=HTMX)
    assert refused.status_code == 422
    assert (
        "Shared."
        in author.post(
            share, {"title": "A short letter", "use_case": "draft", "tags": "Letters, terse"}, headers=HTMX
        ).content.decode()
    )
    example = SavedExample.objects.for_tenant(cast.claims).get()
    listed = reader.get(reverse("playground:example-list"), {"q": "terse", "use_case": "draft"}).content.decode()
    assert "A short letter" in listed
    page = reverse("playground:example-detail", args=[example.public_id])
    shown = reader.get(page).content.decode()
    assert "<strong>Ada</strong>" in shown
    assert "Be terse." in shown
    stars = reader.post(reverse("playground:example-rate", args=[example.public_id]), {"stars": "4"}, headers=HTMX)
    assert "4.0" in stars.content.decode()
    forked = reader.post(reverse("playground:example-fork", args=[example.public_id]), {"project": "triage"})
    conversation = selectors.conversations_for(cast.actor("scientist"), cast.claims).get()
    assert conversation.public_id in forked.headers["Location"]
    reader.post(reverse("playground:example-remove", args=[example.public_id]))
    assert SavedExample.objects.for_tenant(cast.claims).exists()  # it is not theirs to remove
    author.post(reverse("playground:example-remove", args=[example.public_id]))
    assert not SavedExample.objects.for_tenant(cast.claims).exists()


@pytest.mark.parametrize("stars", ["", "0", "6", "4.5", "four"])
def test_a_rating_is_one_to_five(cast: Cast, stars: str) -> None:
    answer = answered(cast)[0]
    example = services.share_example(actor=cast.actor("developer"), answer=answer, title="T", use_case="draft")
    rate = reverse("playground:example-rate", args=[example.public_id])
    assert client_of(cast).post(rate, {"stars": stars}, headers=HTMX).status_code == 422


def test_a_hostile_example_is_shown_as_text(cast: Cast) -> None:
    answer = answered(cast, "<script>alert(1)</script> ![x](https://evil.example/x)")[0]
    actor = cast.actor("developer")
    example = services.share_example(actor=actor, answer=answer, title="<b onx=1>T", use_case="draft", tags=["a b"])
    shown = client_of(cast).get(reverse("playground:example-detail", args=[example.public_id])).content.decode()
    assert "<script>alert" not in shown
    assert "<b onx" not in shown
    assert "<img" not in shown  # a link, which nobody follows by reading


def test_a_thumb_asks_why_and_can_be_taken_back(cast: Cast) -> None:
    answer = answered(cast)[0]
    client, url = client_of(cast), reverse("playground:feedback", args=[answer.pk])
    assert "What is wrong" in client.post(url, {"verdict": "down"}, headers=HTMX).content.decode()
    sent = {"verdict": "down", "details": "1", "reasons": ["fabricated", "too_long"], "note": "No such Ada."}
    assert "Thank you" in client.post(url, {**sent, "correction": "Dear Eve"}, headers=HTMX).content.decode()
    row = Feedback.objects.for_tenant(cast.claims).get()
    assert (row.reasons, row.note, row.correction) == (["fabricated", "too_long"], "No such Ada.", "Dear Eve")
    assert client.post(url, {"verdict": "down", "reasons": ["ugly"]}, headers=HTMX).status_code == 422
    client.post(url, {"verdict": ""}, headers=HTMX)
    assert not Feedback.objects.for_tenant(cast.claims).exists()


def test_feedback_is_triaged_and_its_trend_shows_on_the_card(cast: Cast) -> None:
    answers = answered(cast)
    for answer, verdict in zip(answers, ("down", "up"), strict=True):
        services.give_feedback(
            actor=cast.actor("developer"),
            answer=answer,
            verdict=verdict,
            reasons=["wrong"] if verdict == "down" else [],
            note="It is not so",
        )
    row = Feedback.objects.for_tenant(cast.claims).get(verdict="down")
    triager = client_of(cast, "scientist")
    page = triager.get(reverse("playground:feedback-list"), {"reason": "wrong", "status": "open"}).content.decode()
    assert page.count('data-testid="feedback-row"') == 1
    assert "It is not so" in page
    changed = triager.post(
        reverse("playground:feedback-triage", args=[row.pk]), {"status": "confirmed"}, headers=HTMX
    ).content.decode()
    assert '<option value="confirmed" selected>' in changed
    assert "Scientist" in changed
    assert client_of(cast).get(reverse("playground:feedback-list")).status_code == 403
    trend = feedback_trend(selectors.feedback_for(cast.actor("owner"), cast.claims), timezone.now())
    assert (trend.liked, trend.disliked, trend.waiting) == (1, 1, 0)
    assert [(name, count) for name, _, count in trend.reasons] == [("wrong", 1)]
    assert [series["values"][-1] for series in trend.chart["series"]] == [1, 1]


def test_old_feedback_is_no_trend(cast: Cast) -> None:
    answer = answered(cast)[0]
    row = services.give_feedback(actor=cast.actor("developer"), answer=answer, verdict="down")
    Feedback.objects.for_tenant(cast.claims).update(created_at=timezone.now() - timedelta(weeks=30))
    trend = feedback_trend(selectors.feedback_for(cast.actor("owner"), cast.claims), timezone.now())
    assert (trend.total, trend.waiting) == (0, 0)
    assert row.pk


def test_a_vote_answers_with_the_names(cast: Cast) -> None:
    first = answered(cast, blind=True)
    response = client_of(cast).post(reverse("playground:vote", args=[first[0].turn_id]), {"winner": "b"}, headers=HTMX)
    revealed = json.loads(response.headers["HX-Trigger"])["playground:revealed"]
    assert [each["model"] for each in revealed["columns"]] == [answer.model_slug for answer in first]
    assert Vote.objects.for_tenant(cast.claims).get().winner == "b"
    again = client_of(cast).post(reverse("playground:vote", args=[first[0].turn_id]), {"winner": "a"}, headers=HTMX)
    assert again.status_code == 409


def test_what_works_here_counts_votes_thumbs_and_cost(cast: Cast) -> None:
    actor = cast.actor("developer")
    for _ in range(3):
        pair = answered(cast, blind=True)
        better = next(letter for letter, each in zip("ab", pair, strict=True) if each.model_slug == "writer")
        services.cast_vote(actor=actor, turn=selectors.get_turn_for(actor, pair[0].turn_id), winner=better)
    seen = answered(cast)
    services.give_feedback(actor=actor, answer=seen[0], verdict="up")
    services.give_feedback(actor=actor, answer=seen[1], verdict="down")
    services.share_example(actor=actor, answer=seen[0], title="A letter", use_case="draft")
    answered(cast, use_case="code")  # another use case does not count
    best, other = standings(cast.actor("viewer"), cast.claims, "draft")
    assert (best.model_slug, best.wins, best.losses, best.liked, best.answers) == ("writer", 3, 0, 1, 4)
    assert (other.model_slug, other.wins, other.losses, other.disliked) == ("drafter", 0, 3, 1)
    assert (best.quality, other.quality, best.is_thin) == (1.0, 0.0, True)
    assert best.rating is not None
    assert other.rating is not None
    # Three wins and half a drawn game that every two are given: odds of 3.25 to 0.25.
    assert best.rating - other.rating == pytest.approx(400 * math.log10(13))
    assert best.rating + other.rating == pytest.approx(2000)
    assert best.cost_picousd == 1_000_000
    assert best.example is not None
    page = client_of(cast, "viewer").get(reverse("playground:recommendations"), {"use_case": "draft"}).content.decode()
    assert page.index("writer") < page.index("drafter")
    assert "1,223 <span" in page
    assert not standings(cast.actor("outsider"), cast.claims, "draft")


def test_to_beat_the_best_counts_more_than_to_beat_the_worst(cast: Cast) -> None:
    actor = cast.actor("developer")
    for winner, loser in [("first", "second"), ("second", "last"), ("other", "last")] * 3:
        turn = selectors.get_turn_for(actor, answered(cast, blind=True)[0].turn_id)
        vote = services.cast_vote(actor=actor, turn=turn, winner="a")
        Vote.objects.for_tenant(cast.claims).filter(pk=vote.pk).update(model_a=winner, model_b=loser)
    found = {each.model_slug: each for each in standings(actor, cast.claims, "draft") if each.wins or each.losses}
    assert found["first"].quality == found["other"].quality == 1.0
    assert list(found) == ["first", "other", "second", "last"]


def test_answers_that_are_both_bad_speak_for_neither(cast: Cast) -> None:
    actor = cast.actor("developer")
    turn = selectors.get_turn_for(actor, answered(cast, blind=True)[0].turn_id)
    services.cast_vote(actor=actor, turn=turn, winner="both_bad")
    for each in standings(actor, cast.claims, "draft"):
        assert (each.losses, each.quality) == (1, 0.0)
        assert each.rank == pytest.approx(1 / 3)
