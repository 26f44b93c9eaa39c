"""A simulation says what really happens: the same order, the same arm, the same reasons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gateway.routing.live import RoutedWorld
from tests.gateway.world import bearer

SCOPES = ["inference", "management:read", "management:write"]


@pytest.fixture(scope="module")
def key(routed: RoutedWorld) -> str:
    return routed.world.project(scopes=SCOPES)


def simulate(routed: RoutedWorld, slug: str, by: str, project: str, /, **request: Any) -> dict[str, Any]:
    base, headers = routed.world.lobby.base_url.removesuffix("/v1") + "/api", bearer(by)
    [found] = httpx.get(f"{base}/routes?search={slug}&page_size=100", headers=headers).json()["results"][:1]
    answer = httpx.post(
        f"{base}/routes/{found['id']}/simulate", json={"project": project, **request}, headers=headers, timeout=30
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["strategy"] == found["strategy"]
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("strategy", ["priority", "weighted", "cost", "conditions"])
@pytest.mark.parametrize("sticky", [False, True])
def test_it_equals_what_happens(routed: RoutedWorld, key: str, strategy: str, sticky: bool) -> None:
    targets: dict[str, Any] = {
        "a": {"weight": 2, "price": 9_000, "arm": "red", "condition": "stream"},
        "b": {"weight": 1, "price": 3_000, "arm": "blue", "condition": 'header["x-tier"] == "gold"'},
        "c": {"weight": 3, "price": 6_000, "arm": "green"},
        "d": {"weight": 3, "price": 1_000, "condition": 'tag["purpose"] == "audit"'},
    }
    slug = routed.route(dict.fromkeys(targets, ""), targets=targets, strategy=strategy, sticky=sticky)
    for number in range(6):
        headers = {"x-tier": "gold"} if number % 2 else {}
        tags = {"purpose": "audit"} if number % 3 == 0 else {}
        conversation = f"talk {number}"
        answer = routed.ask(
            slug, stream=number % 2 == 0, headers=headers, metadata=tags, key=key, lobby={"conversation": conversation}
        )
        why = routed.why(answer)
        told = simulate(
            routed, slug, key, why["project"],
            request_id=answer.headers["x-lobby-request-id"], stream=number % 2 == 0, headers=headers, tags=tags,
            conversation=conversation,
        )  # fmt: skip
        assert [each["endpoint"] for each in told["order"]] == why["candidates"]
        assert told["arm"] == why["route"].get("arm", "")
        assert told["left_out"] == why.get("left_out", [])


def test_it_knows_who_was_quick_and_who_is_busy(routed: RoutedWorld, key: str) -> None:
    """What these two strategies go by, nothing but the traffic tells: it is known as the processes publish it."""
    by_speed = routed.route({"slow": "headers_ms=300", "quick": "headers_ms=30"}, strategy="latency")
    by_load = routed.route({"a": "headers_ms=8000", "b": "headers_ms=8000"}, strategy="least_busy")
    answers = [routed.ask(by_speed, key=key) for _ in range(4)]
    project = routed.why(answers[0])["project"]

    def ranks(slug: str) -> list[tuple[str, float]]:
        return [(each["model"], each["score"]) for each in simulate(routed, slug, key, project)["order"]]

    def speed_is_known() -> bool:
        (first, least), (_, most) = ranks(by_speed)
        return first == f"{by_speed}-quick" and 0 < least < most

    routed.world.eventually(speed_is_known, within=20)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(routed.ask, by_load, key=key)
        found: list[str] = []

        def load_is_known() -> bool:
            found[:] = [model for model, score in ranks(by_load) if score == 1.0]
            return bool(found)

        routed.world.eventually(load_is_known, within=20)
        assert ranks(by_load)[-1] == (found[0], 1.0)
        answer = running.result()
    assert [f"{by_load}-{name}" for name in routed.served(by_load)] == found
    assert answer.status_code == 200


def test_it_knows_what_is_not_well_and_calls_nobody(routed: RoutedWorld, key: str) -> None:
    slug = routed.route({"busy": "fail=429 retry_after=300", "free": ""})
    project = routed.why(routed.ask(slug, key=key))["project"]
    served = routed.served(slug)

    def is_told() -> bool:
        left_out = simulate(routed, slug, key, project)["left_out"]
        return any("limits us" in each["why"] for each in left_out)

    routed.world.eventually(is_told, within=20)  # as the process publishes it, every second
    assert routed.served(slug) == served


def test_a_key_narrows_it(routed: RoutedWorld, key: str) -> None:
    slug = routed.route({"a": "", "b": ""})
    project = routed.why(routed.ask(slug, key=key))["project"]
    other = routed.world.shell.run(
        """
project = Project.objects.unscoped("test").get(slug=slug)
result = services.create_api_key(actor=actor, project=project, name="narrow", allowed_models=models).api_key.prefix
""",
        slug=project.partition("/")[2],
        models=[f"{slug}-b"],
    )
    told = simulate(routed, slug, key, project, key=other)
    assert [each["model"] for each in told["order"]] == [f"{slug}-b"]
