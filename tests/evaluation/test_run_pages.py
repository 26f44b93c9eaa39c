"""The page of a run: what its figures count."""

from __future__ import annotations

import re
from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.evaluation.models import Evaluation, EvaluationItem
from apps.evaluation.selectors.runs import progress_of
from tests.cast import Cast
from tests.evaluation.gating import dataset, finish, model, run_of, scorer


def test_answers_that_a_scorer_could_not_score_are_told_apart_from_items_without_an_answer(
    client: Client, cast: Cast
) -> None:
    run = run_of(cast, dataset(cast, 5), "Rated", scorer(cast))
    finish(run, [1.0, None, None, None, None])
    client.force_login(cast["viewer"])
    page = client.get(reverse("evaluation:run-detail", args=[run.public_id])).content.decode()
    counts = dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>(\d+)</dd>", page))
    assert counts["Items answered"] == "5"
    assert counts["Items failed"] == "0"
    assert counts["Scores failed"] == "4"
    assert ">Errors<" not in page.partition('id="item-list"')[0].partition('name="show"')[0]
    words = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert "1 score, 4 answers without" in words


def test_the_way_to_mlflow_opens_the_run_that_one_looks_at_and_elsewhere_the_experiments(
    client: Client, cast: Cast
) -> None:
    run = run_of(cast, dataset(cast, 2), "Logged", scorer(cast))
    finish(run, [1.0, 0.0])
    Evaluation.objects.unscoped("test").filter(pk=run.pk).update(mlflow_experiment_id="7", mlflow_run_id="abc")

    def ways(who: str, path: str) -> set[str]:
        client.force_login(cast[who])
        return set(re.findall(r'href="(/mlflow/[^"]*)"', client.get(path).content.decode()))

    page = reverse("evaluation:run-detail", args=[run.public_id])
    assert ways("service_admin", page) == {"/mlflow/#/experiments/7/runs/abc"}
    assert ways("service_admin", reverse("evaluation:run-list")) == {"/mlflow/#/experiments"}
    assert ways("owner", page) == set(), "MLflow knows no tenants"


def test_a_run_that_paused_at_its_budget_is_resumed_with_a_larger_one(client: Client, cast: Cast) -> None:
    model(cast)
    run = run_of(cast, dataset(cast, 5), "Dear", scorer(cast))
    rows = Evaluation.objects.unscoped("test").filter(pk=run.pk)

    def paused() -> None:
        rows.update(status="paused", budget_picousd=10**12, spent_picousd=10**12)

    paused()
    page, act = (reverse(f"evaluation:run-{name}", args=[run.public_id]) for name in ("detail", "act"))
    client.force_login(cast["viewer"])
    assert 'name="budget"' not in client.get(page).content.decode()
    client.force_login(cast["scientist"])
    assert 'name="budget"' in client.get(page).content.decode()
    for said, left in (("2.5", ("queued", 2_500_000_000_000)), ("", ("queued", 10**12)), ("-1", ("paused", 10**12))):
        paused()
        assert client.post(act, {"act": "resume", "budget": said}).status_code == 302
        assert rows.values_list("status", "budget_picousd").get() == left
    paused()
    key = {"Authorization": f"Bearer {cast.keys['management']}"}
    address = f"/api/evaluations/{run.public_id}/resume"
    wrong = Client(headers=key).post(address, {"budget_usd": "0"}, content_type="application/json")
    assert wrong.status_code == 422
    resumed = Client(headers=key).post(address, {"budget_usd": "3"}, content_type="application/json")
    assert (resumed.status_code, resumed.json()["status"], resumed.json()["budget_usd"]) == (200, "queued", "3")
    paused()
    assert Client(headers=key).generic("POST", address).json()["budget_usd"] == "1", "without a body the old one stays"


def test_the_time_that_is_left_is_told_by_the_pace_since_it_was_resumed(cast: Cast) -> None:
    run = run_of(cast, dataset(cast, 30), "Resumed", scorer(cast))
    finish(run, [1.0] * 30)
    now = timezone.now()
    rows = Evaluation.objects.unscoped("test").filter(pk=run.pk)
    rows.update(status="running", started_at=now - timedelta(seconds=10))
    items = EvaluationItem.objects.unscoped("test").filter(evaluation=run)
    items.update(finished_at=now - timedelta(hours=1))
    items.filter(position__lt=20).update(status="pending", finished_at=None)
    assert progress_of([rows.get()])[run.pk].seconds_left is None, "nothing ended since"
    items.filter(position__lt=5).update(status="done", finished_at=now)
    left = progress_of([rows.get()])[run.pk].seconds_left
    assert left is not None
    assert 30 <= left <= 40, "15 items at 2 seconds each"
