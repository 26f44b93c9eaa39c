"""Suites: sets of scorers that a run or a gate may be asked with, set up where the tenant lacks them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.evaluation.models import Evaluation, EvaluationMetric, GateDecision, Scorer
from apps.evaluation.scorers.suites import SUITES
from apps.evaluation.services import scorers
from apps.evaluation.services.suites import ensure_suite
from apps.tenants.errors import Invalid, PermissionDenied
from tests.cast import Cast
from tests.evaluation.gating import MODEL, Gated, dataset, gated, model

STANDARD = {
    "normalised-match", "contains", "rouge-l", "edit-similarity", "robustness-rouge-l",
    "toxicity-screen", "refusal", "bias-screen", "bias-screen-refusal",
}  # fmt: skip


def slugs(cast: Cast) -> set[str]:
    return set(Scorer.objects.for_tenant(cast.claims).values_list("slug", flat=True))


def metrics() -> dict[str, str]:
    """Role by the scorer's slug, of the newest run."""
    run = Evaluation.objects.unscoped("test").latest("pk")
    rows = EvaluationMetric.objects.unscoped("test").filter(evaluation=run)
    return dict(rows.values_list("scorer_version__scorer__slug", "role"))


def client(cast: Cast, who: str) -> Client:
    made = Client()
    made.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
    return made


def post(cast: Cast, path: str, body: dict[str, Any]) -> Any:
    key = {"Authorization": f"Bearer {cast.keys['management']}"}
    return Client(headers=key).post(path, body, content_type="application/json")


def test_a_suite_is_set_up_once_and_takes_what_is_there(cast: Cast) -> None:
    actor = cast.actor("scientist")
    mine = scorers.create_scorer(actor=actor, tenant=cast.claims, kind="contains", slug="holds")
    # Equal by name alone: other parameters measure something else.
    scorers.create_scorer(actor=actor, tenant=cast.claims, kind="rouge-l", parameters={"stem": True})
    first = ensure_suite(actor=actor, tenant=cast.claims, suite="standard")
    assert [each.version.pk for each in ensure_suite(actor=actor, tenant=cast.claims, suite="standard")] == [
        each.version.pk for each in first
    ]
    assert mine in [each.scorer for each in first]
    assert slugs(cast) == (STANDARD - {"contains"}) | {"holds", "rouge-l-2"}
    primary = [each.scorer.slug for each in first if each.role == "primary"]
    assert primary == ["normalised-match", "holds", "rouge-l-2", "edit-similarity"]
    assert {each.role for each in ensure_suite(actor=actor, tenant=cast.claims, suite="toxicity")} == {"primary"}
    with pytest.raises(Invalid, match="no suite 'nosuch'"):
        ensure_suite(actor=actor, tenant=cast.claims, suite="nosuch")
    with pytest.raises(PermissionDenied):
        ensure_suite(actor=cast.actor("viewer"), tenant=cast.claims, suite="standard")


def test_a_suite_in_the_form_of_a_run(cast: Cast) -> None:
    model(cast)
    dataset(cast)
    here = client(cast, "scientist")
    address = reverse("evaluation:run-create")
    page = here.get(address).content.decode()
    assert '<option value="standard" selected>' in page, "a tenant without scorers begins with it"
    form = {"model": MODEL, "dataset_version": "golden@1", "project": "triage", "repetitions": "1", "reuse": "on"}
    assert "Choose a suite, or at least one scorer." in here.post(address, form).content.decode()
    told = here.post(reverse("evaluation:run-estimate"), form | {"suite": "standard"}).content.decode()
    assert "60 items" in told
    assert slugs(cast) == set(), "who only asks what it costs sets nothing up"
    assert here.post(address, form | {"suite": "standard", "split": "dev"}).status_code == 422
    assert slugs(cast) == set(), "nor does a run that is refused"
    assert here.post(address, form | {"suite": "standard"}).status_code == 302
    assert slugs(cast) == STANDARD == set(metrics())
    assert '<option value="" selected>' in here.get(address).content.decode()
    # With a scorer beside it that the suite has, too.
    chosen = str(Scorer.objects.for_tenant(cast.claims).get(slug="refusal").versions.get().pk)
    assert here.post(address, form | {"suite": "toxicity", "scorers": chosen}).status_code == 302
    assert set(metrics()) == {"toxicity-screen", "refusal"}


def test_half_a_surrogate_pair_is_an_error_of_its_field(cast: Cast) -> None:
    model(cast)
    dataset(cast)
    body = {"tenant": "claims", "project": "triage", "dataset": "golden", "model": MODEL}
    for wrong in ({"suite": "\ud800"}, {"suite": "standard", "parameters": {"stop": ["\ud800"]}}):
        assert post(cast, "/api/evaluations", body | wrong).status_code == 422


def test_a_suite_at_the_api(cast: Cast) -> None:
    model(cast)
    dataset(cast)
    body = {"tenant": "claims", "project": "triage", "dataset": "golden", "model": MODEL}
    assert post(cast, "/api/evaluations", body).json()["code"] == "run_refused"
    estimate = post(cast, "/api/evaluations/estimate", body | {"suite": "standard"})
    assert (estimate.status_code, estimate.json()["items"], slugs(cast)) == (200, 60, set())
    started = post(cast, "/api/evaluations", body | {"suite": "standard"})
    assert started.status_code == 201, started.content
    assert {each["scorer"] for each in started.json()["metrics"]} == STANDARD
    for name in SUITES:
        assert post(cast, "/api/evaluations", body | {"suite": name}).status_code == 201
    assert post(cast, "/api/evaluations", body | {"suite": "nosuch"}).status_code == 422


@pytest.fixture
def world(cast: Cast) -> Gated:
    return gated(cast)


def test_a_gate_by_a_suite_is_advice_on_the_plans_dataset(world: Gated) -> None:
    cast = world.cast
    version = world.save("Sort well.")
    asked = {"tenant": "claims", "prompt": "triage", "version": version.number, "suite": "standard"}
    refused = post(cast, "/api/gates", asked)
    assert (refused.status_code, refused.json()["code"]) == (422, "no_plan")
    assert "bias-screen" not in slugs(cast)
    world.plan(policy="automatic")
    opened = post(cast, "/api/gates", asked)
    assert opened.status_code == 201, opened.content
    policy = opened.json()["policy"]
    assert (policy["policy"], policy["dataset"]) == ("advice", "golden")
    roles = {each["scorer"]: each["role"] for each in policy["metrics"]}
    assert {slug for slug, role in roles.items() if role == "primary"} == {
        "normalised-match", "contains", "rouge-l", "edit-similarity"
    }  # fmt: skip
    assert set(roles) == STANDARD == set(metrics())
    assert post(cast, "/api/gates", asked).json()["id"] == opened.json()["id"]
    more = asked | {"dataset": "golden", "suite": "accuracy", "scorers": ["refusal"]}
    assert post(cast, "/api/gates", more).status_code == 201
    assert GateDecision.objects.unscoped("test").count() == 2
