"""Sweeps: several versions, models and parameters at once, each with each, side by side."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.evaluation.errors import RunRefused
from apps.evaluation.models import Evaluation, Score
from apps.evaluation.running.summaries import summarise
from apps.evaluation.services.runs import MetricChoice, RunPlan
from apps.evaluation.services.sweeps import Axes, plans_of
from apps.models import services as registry
from apps.tenants.access import Actor
from tests.cast import Cast
from tests.evaluation.gating import MODEL, Gated, finish, gated, right, version_of

OTHER = "acme/other:1b"


@pytest.fixture
def world(cast: Cast) -> Gated:
    made = gated(cast)
    made.save("Sort well.")
    system = Actor.system("test")
    other = registry.create_model(actor=system, slug=OTHER, name="Acme Other", lifecycle="approved")
    provider = registry.create_provider(
        actor=system, slug="other", name="Other", base_url="https://192.0.43.7/v1", credential_source="none"
    )
    registry.create_endpoint(actor=system, model=other, provider=provider, upstream_model="other")
    registry.grant_access(actor=system, tenant=cast.claims, project=None, model=other)
    return made


def plan_of(world: Gated) -> RunPlan:
    return RunPlan(
        project=world.cast.triage,
        dataset_version=world.data,
        metrics=[MetricChoice(version_of(world.scorer))],
        prompt_version=world.prompt.versions.select_related("prompt__tenant").get(number=1),
        parameters={"max_tokens": 50},
    )


def test_each_is_tried_with_each_and_named_after_what_it_tries(world: Gated) -> None:
    versions = list(world.prompt.versions.select_related("prompt__tenant").order_by("number"))
    axes = Axes(versions, [MODEL, OTHER], {"temperature": [0, 0.7], "top_p": [0.5]})
    plans = plans_of(plan_of(world), axes)
    assert len(plans) == 8
    assert plans[0].name == f"Claims triage v1 on Golden v1: v1, {MODEL}, temperature 0"
    assert plans[-1].name == f"Claims triage v2 on Golden v1: v2, {OTHER}, temperature 0.7"
    assert plans[-1].parameters == {"max_tokens": 50, "temperature": 0.7, "top_p": 0.5}
    (alone,) = plans_of(plan_of(world), Axes(parameters={"temperature": [1]}))
    assert (alone.name, alone.parameters) == ("", {"max_tokens": 50, "temperature": 1})
    with pytest.raises(RunRefused, match="at most 24 runs; these are 30"):
        plans_of(plan_of(world), Axes(models=[MODEL, OTHER], parameters={"seed": list(range(15))}))
    with pytest.raises(RunRefused, match="each value once"):
        plans_of(plan_of(world), Axes(parameters={"temperature": [1, 1]}))


def client(cast: Cast, who: str) -> Client:
    made = Client()
    made.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
    return made


def form(world: Gated, **more: Any) -> dict[str, Any]:
    return {
        "prompt_version": "triage@1",
        "dataset_version": "golden@1",
        "scorers": version_of(world.scorer).pk,
        "project": "triage",
        "repetitions": 1,
        "parameters": "temperature: 0, 0.7\n",
        **more,
    }


def test_the_form_starts_all_of_them_and_their_table_says_which_is_best(world: Gated) -> None:
    """What is wrong with one of them starts none."""
    cast = world.cast
    at = client(cast, "scientist")
    for wrong, told in (
        ({"parameters": "temperature 0"}, "a colon"),
        ({"parameters": "temperature: 0, 9"}, "temperature"),
        ({"also_versions": "7"}, "no version 7"),
        ({"also_versions": "two"}, "Write numbers"),
    ):
        refused = at.post(reverse("evaluation:run-create"), form(world, **wrong))
        assert refused.status_code == 422
        assert told in refused.content.decode()
    assert not Evaluation.objects.unscoped("test").exists()

    estimated = at.post(reverse("evaluation:run-estimate"), form(world, also_models=OTHER))
    assert "4 runs of" in estimated.content.decode()
    assert "240 items in all" in estimated.content.decode()
    started = at.post(reverse("evaluation:run-create"), form(world, also_models=OTHER))
    runs = list(Evaluation.objects.unscoped("test").order_by("pk"))
    assert [(run.model, run.parameters) for run in runs] == [
        (model, {"temperature": value}) for model in (MODEL, OTHER) for value in (0, 0.7)
    ]
    assert started.headers["Location"] == reverse("evaluation:sweep-detail", args=[runs[0].sweep])
    for run, share in zip(runs, (0.5, 0.8, 0.6, 0.6), strict=True):
        finish(run, right(share))
        summarise(run)
    page = at.get(started.headers["Location"]).content.decode()
    assert "differs from the others by model and temperature" in page
    assert page.count("(best)") == 1
    assert page.index("80%") < page.index("(best)") < page.index("60%")
    assert page.count(f"baseline={runs[0].public_id}&amp;candidate=") == 3
    # Where no mean is outside of the best one's interval, or all are the same, none is marked.
    for share in (0.78, 0.0):
        for run in runs:
            rows = Score.objects.unscoped("test").filter(item__evaluation=run).order_by("item__position")
            for value, score in zip(right(share), rows, strict=True):
                Score.objects.unscoped("test").filter(pk=score.pk).update(value=value)
            summarise(run)
        assert "(best)" not in at.get(started.headers["Location"]).content.decode()
    # The same at the API; a run says which sweep it is of.
    told = at.get(f"/api/evaluations/sweeps/{runs[0].sweep}").json()
    assert told["axes"] == ["model", "temperature"]
    assert [row["tried"] for row in told["rows"]] == [[run.model, f"{run.parameters['temperature']:g}"] for run in runs]
    assert told["is_live"] is False
    assert at.get(f"/api/evaluations/{runs[3].public_id}").json()["sweep"] == runs[0].sweep
    # The platform's staff, who may open MLflow, are led to its table.
    Evaluation.objects.unscoped("test").update(mlflow_experiment_id="7", mlflow_run_id="abc")
    link = "#/experiments/7/runs?workflowType=machine_learning"
    assert link not in at.get(started.headers["Location"]).content.decode()
    assert link in client(cast, "service_engineer").get(started.headers["Location"]).content.decode()
    assert client(cast, "outsider").get(started.headers["Location"]).status_code == 404


def test_at_the_api_all_start_or_none(world: Gated) -> None:
    at = client(world.cast, "scientist")
    plan = {
        "tenant": "claims",
        "project": "triage",
        "prompt": "triage",
        "dataset": "golden",
        "scorers": [{"scorer": world.scorer.slug}],
        "prompt_versions": [1, 2],
        "parameter_values": {"temperature": [0, 0.5]},
    }

    def post(**more: Any) -> Any:
        return at.post("/api/evaluations/sweeps", plan | more, content_type="application/json")

    for wrong in (
        {"parameter_values": {"temperature": 0}},
        {"parameter_values": {"temperature": [0, 9]}},
        {"parameter_values": {"height": [1, 2]}},
        {"prompt_versions": [1, 9]},
        {"models": [MODEL, "nobody/has:it"]},
    ):
        assert post(**wrong).status_code == 422, wrong
    assert not Evaluation.objects.unscoped("test").exists()
    made = post()
    assert made.status_code == 201, made.content
    assert made.json()["axes"] == ["prompt", "temperature"]
    assert [row["run"]["prompt_version"] for row in made.json()["rows"]] == [1, 1, 2, 2]
    assert len({row["run"]["sweep"] for row in made.json()["rows"]}) == 1
