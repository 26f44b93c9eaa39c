"""Who may serve, and in which order: properties of the strategies, and what no candidate may ever be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.gateway.errors import AccessEnded, LicenceNotAccepted, ModelNotFound
from apps.gateway.exchange import nothing_to_ask
from apps.gateway.routing.facts import RequestFacts
from apps.gateway.routing.health import Health, Leave
from apps.gateway.routing.plans import Candidate, Plan, make_plan
from apps.gateway.routing.strategies import Asking, Selection, fallbacks, select
from apps.gateway.types import Purpose, Strategy
from apps.models.providers.base import ProviderError
from tests.gateway.routing.making import TENANT, endpoint, grant, model, principal, route, snapshot, target

STRATEGIES = st.sampled_from(list(Strategy))


def serves(candidate: Candidate) -> bool:
    return True


def plan_of(*models: Any, targets: Any = None, tenant: Any = TENANT, grants: Any = None, **facts: Any) -> Plan:
    chosen = targets or [target(number, each.slug) for number, each in enumerate(models, 1)]
    return make_plan(snapshot(*models, routes=(route(*chosen, **facts),), grants=grants), principal(tenant), "r")


def asking(seed: str = "a", **facts: Any) -> Asking:
    return Asking(seed, 100.0, RequestFacts(**facts), 1_000, 100)


def ids(selection: Selection) -> list[int]:
    return [candidate.endpoint.id for candidate in selection.order]


@settings(deadline=None, max_examples=40)
@given(STRATEGIES, st.lists(st.integers(0, 5), min_size=1, max_size=8), st.booleans(), st.text(max_size=9))
def test_every_fit_candidate_is_asked_once_whatever_the_strategy(
    strategy: Strategy, weights: list[int], sticky: bool, seed: str
) -> None:
    models = [model(n, endpoint(n, price=n)) for n in range(1, len(weights) + 1)]
    targets = [target(n, f"m{n}", weight=weight) for n, weight in enumerate(weights, 1)]
    plan = plan_of(*models, targets=targets, strategy=strategy, sticky=sticky)
    selection = select(plan, Health(), serves, asking(seed))
    assert sorted(ids(selection)) == list(range(1, len(weights) + 1))
    assert selection == select(plan, Health(), serves, asking(seed)), "the same request, the same order"
    assert not selection.left_out


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_weights_are_shares(weights: list[int]) -> None:
    models = [model(n, endpoint(n)) for n in range(1, len(weights) + 1)]
    targets = [target(n, f"m{n}", weight=weight) for n, weight in enumerate(weights, 1)]
    plan = plan_of(*models, targets=targets, strategy=Strategy.WEIGHTED)
    runs = 3_000
    first = Counter(ids(select(plan, Health(), serves, asking(f"request {n}")))[0] for n in range(runs))
    for number, weight in enumerate(weights, 1):
        assert first[number] / runs == pytest.approx(weight / sum(weights), abs=0.05)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(0, 7))
def test_a_target_that_leaves_moves_only_its_own_conversations(count: int, gone: int) -> None:
    models = [model(n, endpoint(n)) for n in range(1, count + 1)]
    targets = [target(n, f"m{n}") for n in range(1, count + 1)]
    without = [each for each in targets if each.id != gone % count + 1]
    before = plan_of(*models, targets=targets, strategy=Strategy.WEIGHTED, sticky=True)
    after = plan_of(*models, targets=without, strategy=Strategy.WEIGHTED, sticky=True)
    for n in range(50):
        was = ids(select(before, Health(), serves, asking(f"conversation {n}")))
        now = ids(select(after, Health(), serves, asking(f"conversation {n}")))
        assert now == [each for each in was if each != gone % count + 1]


def test_priority_is_by_position_then_by_the_models_own_order() -> None:
    targets = [target(1, "m1", position=5), target(2, "m2", position=1)]
    plan = plan_of(model(1, endpoint(1)), model(2, endpoint(3), endpoint(2)), targets=targets)
    assert ids(select(plan, Health(), serves, asking())) == [2, 3, 1]


def test_weight_zero_comes_after_all_others() -> None:
    targets = [target(1, "m1", weight=0), target(2, "m2", weight=1)]
    plan = plan_of(model(1, endpoint(1)), model(2, endpoint(2)), targets=targets, strategy=Strategy.WEIGHTED)
    assert all(ids(select(plan, Health(), serves, asking(str(n)))) == [2, 1] for n in range(50))


def test_least_busy_asks_whom_has_the_fewest_for_its_weight() -> None:
    targets = [target(1, "m1", weight=1), target(2, "m2", weight=3)]
    plan = plan_of(model(1, endpoint(1)), model(2, endpoint(2)), targets=targets, strategy=Strategy.LEAST_BUSY)
    health = Health()
    chosen = []
    for n in range(8):
        first = ids(select(plan, health, serves, asking(str(n))))[0]
        assert health.begin(first) is Leave.YES
        chosen.append(first)
    assert Counter(chosen) == {2: 6, 1: 2}


def test_latency_asks_the_quickest_and_tries_the_unmeasured() -> None:
    plan = plan_of(*[model(n, endpoint(n)) for n in (1, 2, 3)], strategy=Strategy.LATENCY)
    health = Health()
    for number, ms in ((1, 900), (2, 100)):
        health.ok(number, health.begin(number), ms=ms, first_ms=None, output_tokens=1)
    assert ids(select(plan, health, serves, asking())) == [3, 2, 1]
    health.ok(3, health.begin(3), ms=500, first_ms=None, output_tokens=1)
    assert ids(select(plan, health, serves, asking())) == [2, 3, 1]


def test_cost_asks_the_cheapest_for_this_request() -> None:
    plan = plan_of(model(1, endpoint(1, price=9)), model(2, endpoint(2, price=3)), strategy=Strategy.COST)
    selection = select(plan, Health(), serves, asking())
    assert ids(selection) == [2, 1]
    assert dict(selection.scores) == {"e2 at p2": 3 * 1_100, "e1 at p1": 9 * 1_100}


def test_conditions_come_before_those_without_one() -> None:
    targets = [target(1, "m1"), target(2, "m2", condition="tokens > 5"), target(3, "m3", condition="tokens > 9000")]
    models = [model(n, endpoint(n)) for n in (1, 2, 3)]
    plan = plan_of(*models, targets=targets, strategy=Strategy.CONDITIONS)
    selection = select(plan, Health(), serves, asking(tokens=100))
    assert ids(selection) == [2, 1]
    assert selection.left_out == (("e3 at p3", "its condition does not hold"),)


@settings(deadline=None, max_examples=40)
@given(STRATEGIES, st.booleans(), st.sets(st.integers(1, 4)))
def test_what_is_not_well_is_not_asked(strategy: Strategy, sticky: bool, ill: set[int]) -> None:
    plan = plan_of(*[model(n, endpoint(n)) for n in (1, 2, 3, 4)], strategy=strategy, sticky=sticky)
    health = Health()
    for number in ill:
        health.failed(number, health.begin(number), ProviderError("timeout", "No", phase="connect"))
    selection = select(plan, health, serves, asking())
    assert set(ids(selection)) == {1, 2, 3, 4} - ill
    assert len(selection.left_out) == len(selection.blocked) == len(ill)


@settings(deadline=None, max_examples=40)
@given(STRATEGIES, st.sampled_from(list(Purpose)), st.lists(st.sampled_from(["eu", "us", ""]), min_size=1, max_size=6))
def test_data_stays_where_it_may_go_fallbacks_and_shadows_included(
    strategy: Strategy, purpose: Purpose, regions: list[str]
) -> None:
    tenant = replace(TENANT, regions=frozenset({"eu"}))
    models = [model(n, endpoint(n, region=region)) for n, region in enumerate(regions, 1)]
    models.append(model(99, endpoint(99, region="eu")))
    targets = [target(n, f"m{n}", purpose=purpose) for n in range(1, len(regions) + 1)]
    targets.append(target(99, "m99"))
    plan = plan_of(*models, targets=targets, tenant=tenant, strategy=strategy)
    every = [*plan.candidates, *(each for rows in plan.fallbacks.values() for each in rows)]
    assert {each.endpoint.region for each in every} == {"eu"}
    assert len(plan.left_out) == sum(region != "eu" for region in regions)
    for chain in (Purpose.FALLBACK_CONTEXT, Purpose.FALLBACK_POLICY):
        assert all(each.endpoint.region == "eu" for each in fallbacks(plan, chain, Health(), serves, asking()).order)


@pytest.mark.parametrize(
    ("endpoints", "error"),
    [
        ((endpoint(1, region="us"), endpoint(2)), (403, "residency")),
        (
            (endpoint(1, region="us"), replace(endpoint(2, region="eu"), is_enabled=False, why_off="off; allowed: eu")),
            (503, "no_endpoint"),
        ),
        ((), (503, "no_endpoint")),
    ],
)
@pytest.mark.parametrize("slug", ["m1", "r"])
def test_regions_that_leave_nobody_are_a_refusal_and_no_outage(
    endpoints: Any, error: tuple[int, str], slug: str
) -> None:
    facts = snapshot(model(1, *endpoints), routes=(route(target(1, "m1")),))
    plan = make_plan(facts, principal(replace(TENANT, regions=frozenset({"eu"}))), slug)
    refused = nothing_to_ask(plan, select(plan, Health(), serves, asking()))
    assert (refused.status, refused.code) == error
    assert "it has none" in refused.message or "allowed: eu" in refused.message


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_model_without_its_grant_or_licence_is_nowhere(purpose: Purpose) -> None:
    models = [
        model(1, endpoint(1)),
        model(2, endpoint(2), is_open=False),
        model(3, endpoint(3), is_open=False, licence_needs_acceptance=True),
        model(4, endpoint(4), is_callable=False),
    ]
    targets = [target(1, "m1"), *(target(n, f"m{n}", purpose=purpose) for n in (2, 3, 4))]
    plan = plan_of(*models, targets=targets, grants={3: grant(accepted=False), 2: grant(tenant_id=2)})
    every = [*plan.candidates, *(each for rows in plan.fallbacks.values() for each in rows)]
    assert [each.model.slug for each in every] == ["m1"]
    assert plan.left_out == (
        ("target 2", "not approved, or not granted to the caller"),
        ("m3", "its licence has not been accepted"),
        ("target 4", "not approved, or not granted to the caller"),
    )


def test_a_route_to_nothing_that_one_may_call_does_not_exist() -> None:
    with pytest.raises(ModelNotFound):
        plan_of(model(1, endpoint(1), is_open=False))
    with pytest.raises(LicenceNotAccepted):
        plan_of(model(1, endpoint(1), is_open=False, licence_needs_acceptance=True), grants={1: grant(accepted=False)})


def test_a_grant_that_ends_takes_its_candidates_along() -> None:
    models = [model(1, endpoint(1), is_open=False), model(2, endpoint(2))]
    plan = plan_of(*models, grants={1: grant(expires_at=100.0)})
    assert ids(select(plan, Health(), serves, Asking("a", 99.0))) == [1, 2]
    assert ids(select(plan, Health(), serves, Asking("a", 100.0))) == [2]


def test_a_route_whose_every_grant_has_ended_is_a_refusal_that_says_so_and_no_outage() -> None:
    models = [model(n, endpoint(n), is_open=False) for n in (1, 2)]
    routes = (route(target(1, "m1"), target(2, "m2")),)
    known = snapshot(*models, routes=routes, grants={1: grant(expires_at=86_400.0), 2: grant(expires_at=200_000.0)})
    assert known.plan(principal(), "r", 199_999.0).slug == "r"
    with pytest.raises(AccessEnded, match=r"has ended \(m1 on 1970-01-02, m2 on 1970-01-03\)") as refused:
        known.plan(principal(), "r", 200_000.0)
    assert (refused.value.status, refused.value.code) == (403, "no_access")
    assert [plan.slug for plan in known.callable_plans(principal(), 200_000.0)] == []
    off = model(2, replace(endpoint(2), is_enabled=False))
    waits = snapshot(models[0], off, routes=routes, grants={1: grant(expires_at=1.0)})
    assert waits.plan(principal(), "r", 2.0).slug == "r", "who is switched off may come back"


def test_each_endpoint_has_a_label_with_its_models_name() -> None:
    plain = endpoint(1)
    assert replace(plain, name="Writer").label == f"Writer at {plain.provider}"


def test_a_key_that_names_the_route_may_call_what_it_serves() -> None:
    known = snapshot(model(1, endpoint(1)), model(2, endpoint(2)), routes=(route(target(1, "m1"), target(2, "m2")),))
    assert len(make_plan(known, principal(models=frozenset({"r"})), "r").candidates) == 2
    assert len(make_plan(known, principal(models=frozenset({"m2"})), "r").candidates) == 1
    with pytest.raises(ModelNotFound):
        make_plan(known, principal(models=frozenset({"m9"})), "r")


def test_a_tenants_own_route_goes_before_the_platforms_and_nobody_elses_does() -> None:
    models = [model(n, endpoint(n)) for n in (1, 2, 3)]
    routes = [route(target(n, f"m{n}"), tenant_id=tenant) for n, tenant in ((1, 0), (2, 1), (3, 2))]
    for tenant_id, expected in ((1, "m2"), (2, "m3"), (3, "m1")):
        plan = make_plan(snapshot(*models, routes=tuple(routes)), principal(replace(TENANT, id=tenant_id)), "r")
        assert plan.model.slug == expected


def test_capabilities_count_where_they_are_known() -> None:
    blind, seeing = frozenset({"streaming"}), frozenset({"vision", "tools"})
    models = [
        model(1, endpoint(1, capabilities=blind)),
        model(2, endpoint(2, capabilities=seeing)),
        model(3, endpoint(3)),
    ]
    plan = plan_of(*models)
    assert ids(select(plan, Health(), serves, asking(has_images=True))) == [2, 3]
    assert ids(select(plan, Health(), serves, asking(has_tools=True))) == [2, 3]
    assert ids(select(plan, Health(), lambda each: each.endpoint.id != 2, asking())) == [1, 3]


def test_a_plain_model_makes_nothing_anew_while_all_is_well() -> None:
    plan = make_plan(snapshot(model(1, endpoint(2), endpoint(1))), principal(), "m1")
    selection = select(plan, Health(), serves, Asking("", 0.0))
    assert selection.order is plan.candidates
    assert ids(selection) == [1, 2]
