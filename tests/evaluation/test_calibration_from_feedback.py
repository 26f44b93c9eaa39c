"""A judge is measured on what people said in the playground, with a model behind the gateway as the judge."""

from __future__ import annotations

from typing import Any

from tests.evaluation.world import RunsWorld

# What people said of each answer, and what the fake model will: `choice` is the place in the judge's scale.
SAID = """
from apps.playground.models import Answer, Conversation, Feedback, Turn, Vote
from apps.playground.services import allow_rating_sets, make_rating_set
from apps.evaluation.services import calibration
from django.utils import timezone

def answered(text, other=""):
    turn = Turn.objects.create(conversation=talk, message="How high is the deductible?")
    texts = [text, other] if other else [text]
    return turn, [
        Answer.objects.create(turn=turn, column=at, model_slug="fake-chat", text=each, status="done")
        for at, each in enumerate(texts)
    ]

def talk_of(user):
    return Conversation.objects.create(
        tenant=tenant, project=project, owner=user, use_case="answer", updated_at=timezone.now()
    )

def measured(kind, judge, parameters):
    made = make_rating_set(actor=ada, tenant=tenant, kind=kind)
    scorer = scorers.create_scorer(actor=ada, tenant=tenant, kind=judge, parameters=parameters)
    version = scorer.versions.select_related("scorer__tenant").get()
    plan = RunPlan(
        project=project, dataset_version=made.version, metrics=[MetricChoice(version)], model="recorded"
    )
    run = runs.start_run(actor=ada, plan=plan)
    assert Worker(store.find_run(run.public_id)).work(60.0).value == "ended"
    run.refresh_from_db()
    ratings = calibration.ratings_of_run(run, version)
    scorers.archive_scorer(actor=ada, scorer=scorer)  # the world is other tests', too
    row = calibration.calibrate_judge(actor=ada, version=version, ratings=ratings, source="Feedback")
    return {
        "kappa": row.kappa, "pairs": row.pairs, "sources": row.sources, "sufficient": row.is_sufficient,
        "slices": sorted(row.by_slice), "told": row.sources_told,
        "errors": sum(each.judge is None for each in ratings),
    }

talk = talk_of(member)
allow_rating_sets(actor=actor, tenant=tenant, is_allowed=True)
"""


def measured(world: RunsWorld, source: str) -> dict[str, Any]:
    found: dict[str, Any] = world.run(SAID + source)
    return found


def test_kappa_of_a_judge_and_of_peoples_thumbs(runs_world: RunsWorld) -> None:
    found = measured(
        runs_world,
        """
# 40 answers, half of them good. The judge gives 5 to 18 of the good ones and to 3 of the bad ones, else 1.
for n in range(40):
    liked, judged = n < 20, n < 18 or n >= 37
    _, [answer] = answered(f"It is {n}. [[choice={4 if judged else 0}]]")
    Feedback.objects.create(
        tenant=tenant, answer=answer, user=member, model_slug="fake-chat", use_case="answer",
        verdict="up" if liked else "down",
    )
result = measured("thumbs", "judge-rubric", {"model": "fake-chat", "criteria": "It is right."})
""",
    )
    # 35 of 40 alike; by chance 20 of 40 would be: (0.875 - 0.5) / (1 - 0.5).
    assert (found["kappa"], found["pairs"], found["errors"]) == (0.75, 40, 0)
    assert found["sources"] == {"feedback": 40}
    assert found["told"] == [["from playground feedback", 40]]
    assert (found["slices"], found["sufficient"]) == (["answer"], True)


def test_a_judge_that_compares_is_measured_on_blind_votes(runs_world: RunsWorld) -> None:
    found = measured(
        runs_world,
        """
# The fake follows the last answer that it reads: it is asked twice, with the places exchanged.
for winner, ours, theirs in (("a", 1, 0), ("b", 0, 1), ("tie", 2, 2), ("both_bad", 2, 2)):
    turn, [left, right] = answered(f"Left. [[choice={ours}]]", f"Right. [[choice={theirs}]]")
    Vote.objects.create(
        tenant=tenant, turn=turn, user=member, answer_a=left, answer_b=right, model_a="m", model_b="n",
        use_case="answer", winner=winner,
    )
result = measured("votes", "judge-pairwise", {"model": "fake-chat", "criteria": "It is right."})
""",
    )
    assert (found["kappa"], found["pairs"], found["sufficient"]) == (1.0, 4, False)
    assert found["sources"] == {"feedback": 4}
