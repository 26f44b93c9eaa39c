"""Routes as an application meets them, with a real server in front of a fake upstream."""

from __future__ import annotations

import json
import socketserver
import statistics
import threading
import time
from typing import Any

import httpx
import pytest

from tests.gateway.routing.live import RoutedWorld
from tests.gateway.world import bearer, chat


def test_a_route_is_called_like_a_model_and_tells_why(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "", "b": ""}, targets={"b": {"arm": "candidate"}}, strategy="priority")
    listed = routed.world.openai().models.list()
    assert slug in {model.id for model in listed}
    answer = routed.ask(slug)
    assert answer.status_code == 200, answer.text
    why = routed.why(answer)
    assert why["route"]["slug"] == slug
    assert why["route"]["strategy"] == "priority"
    assert len(why["candidates"]) == 2
    assert [attempt["model"] for attempt in why["attempts"]] == [f"{slug}-a"]
    assert routed.line(answer.headers["x-lobby-request-id"])["model_slug"] == f"{slug}-a"


def test_one_of_two_endpoints_fails_and_no_caller_notices(routed: RoutedWorld) -> None:
    slug = routed.route({"bad": "fail=503", "good": ""})
    for number in range(30):
        answer = routed.ask(slug, stream=bool(number % 2))
        assert answer.status_code == 200, answer.text
    served = routed.served(slug)
    assert served["good"] == 30
    assert served["bad"] <= 7, "the breaker spares the callers"


@pytest.mark.parametrize("fault", ["fail=error_event at=0", "fail=close_mid at=0", "fail=cut_event at=0"])
def test_a_stream_that_fails_before_its_first_output_is_had_elsewhere(routed: RoutedWorld, fault: str) -> None:
    slug = routed.route({"bad": f"{fault} each", "good": ""})
    answer = routed.ask(slug, stream=True)
    assert answer.status_code == 200
    assert "w7" in answer.text
    assert "error" not in answer.text
    assert answer.text.count('"role":"assistant"') == 1, "nothing of the first attempt leaked"
    assert routed.served(slug) == {"bad": 1, "good": 1}


@pytest.mark.parametrize(
    ("fault", "stream", "charged"),
    [
        ("fail=error_200", False, False),
        ("fail=error_200", True, False),
        ("fail=empty", False, True),
        ("fail=empty", True, True),
        ("fail=malformed_json", False, True),
        ("gzip=1", False, True),
        ("gzip=1", True, True),
        ("content_type=text/html", True, True),
        ("content_type=application/json", True, True),
    ],
)
def test_what_is_no_answer_is_had_elsewhere(routed: RoutedWorld, fault: str, stream: bool, charged: bool) -> None:
    """An error is free; where nobody can say what was had, the input may be billed, and is charged as an estimate."""
    slug = routed.route({"bad": fault, "good": ""})
    answer = routed.ask(slug, stream=stream)
    assert answer.status_code == 200, answer.text
    assert "w7" in answer.text
    first, second = routed.why(answer)["attempts"]
    assert (first["outcome"], second["outcome"]) == ("upstream_error", "ok")
    assert first["usage"] == ("estimated" if charged else "measured")
    alone = routed.ask(f"{slug}-bad", stream=stream)
    assert alone.status_code in (502, 503), alone.text
    assert alone.json()["error"]["message"]


def test_after_output_there_is_no_second_attempt(routed: RoutedWorld) -> None:
    slug = routed.route({"bad": "chunks=9 fail=close_mid at=3 each", "good": ""})
    assert "error" in routed.ask(slug, stream=True).text
    assert routed.served(slug) == {"bad": 1}


def test_a_stream_that_probes_lets_others_go_on_once_it_has_begun(routed: RoutedWorld) -> None:
    """However long the probe's own answer takes, the breaker is closed by its beginning."""
    slug = routed.route({"only": "fail=503 first=5 key=long-probe"})
    for _ in range(5):
        routed.ask(slug)
    body = {**chat("Hello [[chunks=400 delay_ms=20]]", stream=True), "model": slug}
    url = routed.world.lobby.base_url + "/chat/completions"
    deadline, refused = time.monotonic() + 10, 0
    while True:
        with httpx.stream("POST", url, json=body, headers=bearer(routed.world.key), timeout=30) as probe:
            if probe.status_code != 200:
                assert json.loads(probe.read())["error"]["code"] == "endpoints_unhealthy"
                assert time.monotonic() < deadline, "the breaker never let a probe out"
                refused += 1
                continue
            lines = probe.iter_lines()
            while '"content":"w3' not in next(lines):
                continue
            other = routed.ask(slug)
            break
    assert refused, "the breaker was never open"
    assert other.status_code == 200, other.text


def test_a_callers_mistake_is_not_retried_and_opens_no_breaker(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "", "b": ""})
    for _ in range(12):
        assert routed.ask(f"{slug}", "Hello [[fail=400]]").status_code == 400
    assert routed.ask(slug).status_code == 200
    assert routed.served(slug) == {"a": 13}


def test_retry_after_is_honoured(routed: RoutedWorld) -> None:
    slug = routed.route({"busy": "fail=429 retry_after=30", "free": ""})
    for _ in range(5):
        assert routed.ask(slug).status_code == 200
    assert routed.served(slug) == {"busy": 1, "free": 5}
    alone = routed.route({"busy": "fail=429 retry_after=30"})
    first, second = routed.ask(alone), routed.ask(alone)
    assert (first.status_code, second.status_code) == (429, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 30
    assert routed.served(alone) == {"busy": 1}


def test_what_passes_is_asked_again_after_a_while(routed: RoutedWorld) -> None:
    slug = routed.route({"only": "fail=503 first=1 key=again"})
    answer = routed.ask(slug)
    assert answer.status_code == 200
    attempts = routed.why(answer)["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["upstream_error", "ok"]


@pytest.mark.parametrize(
    ("code", "purpose"),
    [("context_length_exceeded", "fallback_context"), ("content_policy_violation", "fallback_policy")],
)
def test_a_refusal_goes_to_its_own_chain(routed: RoutedWorld, code: str, purpose: str) -> None:
    slug = routed.route(
        {"small": f"fail=400 code={code}", "next": "", "large": ""}, targets={"large": {"purpose": purpose}}
    )
    answer = routed.ask(slug)
    assert answer.status_code == 200, answer.text
    assert routed.served(slug) == {"small": 1, "large": 1}
    assert routed.why(answer)["route"]["fallback"] == purpose


def test_a_hedge_answers_when_the_first_is_silent(routed: RoutedWorld) -> None:
    slug = routed.route({"slow": "headers_ms=20000", "quick": ""}, hedge_after_ms=150)
    for stream in (False, True):
        answer = routed.ask(slug, stream=stream)
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() < 10
        attempts = routed.why(answer)["attempts"]
        assert sorted(attempt["outcome"] for attempt in attempts) == ["cancelled", "ok"]
        assert [attempt.get("hedged", False) for attempt in attempts if attempt["outcome"] == "cancelled"] == [True]
    assert routed.served(slug) == {"slow": 2, "quick": 2}


def test_a_quick_answer_is_not_hedged(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "", "b": ""}, hedge_after_ms=20_000)
    assert routed.ask(slug).status_code == 200
    assert routed.ask(slug, stream=True).status_code == 200
    assert routed.served(slug) == {"a": 2}


def test_conversations_stay_where_they_began_and_arms_are_recorded(routed: RoutedWorld) -> None:
    targets = {"a": {"arm": "red"}, "b": {"arm": "blue"}}
    slug = routed.route({"a": "", "b": ""}, targets=targets, strategy="weighted", sticky=True)
    arms: dict[str, set[str]] = {}
    for number in range(24):
        conversation = f"talk {number % 8}"
        ways: list[dict[str, Any]] = [
            {"headers": {"x-lobby-conversation": conversation}},
            {"lobby": {"conversation": conversation}},
            {"prompt_cache_key": conversation},
        ]
        why = routed.why(routed.ask(slug, **ways[number // 8]))
        assert why["route"]["arm"] == why["attempts"][0]["arm"]
        arms.setdefault(conversation, set()).add(why["route"]["arm"])
    assert all(len(found) == 1 for found in arms.values()), "one arm a conversation, however it is named"
    assert set().union(*arms.values()) == {"red", "blue"}


def test_conditions_ask_for_facts(routed: RoutedWorld) -> None:
    targets = {
        "gold": {"condition": 'header["x-tier"] == "gold"'},
        "long": {"condition": "tokens > 500"},
        "audit": {"condition": 'tag["purpose"] == "audit"'},
        "german": {"condition": 'country == "DE"'},
    }
    slug = routed.route({**dict.fromkeys(targets, ""), "usual": ""}, targets=targets, strategy="conditions")
    routed.ask(slug, headers={"x-tier": "gold"})
    routed.ask(slug, "word " * 1_000)
    routed.ask(slug, metadata={"purpose": "audit"})
    routed.ask(slug, headers={"x-country": "de"})
    routed.ask(slug, headers={"x-country": "nonsense"})
    routed.ask(slug)
    assert routed.served(slug) == {"gold": 1, "long": 1, "audit": 1, "german": 1, "usual": 2}


def test_a_key_without_the_model_does_not_find_the_route(routed: RoutedWorld) -> None:
    slug = routed.route({"a": ""})
    key = routed.world.project(allowed_models=["fake-chat"])
    assert routed.ask(slug, key=key).status_code == 404
    assert routed.ask(slug, key=routed.world.project(allowed_models=[slug])).status_code == 200


def test_no_stream_is_dropped_when_its_route_goes(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "chunks=60 delay_ms=50", "b": ""})
    body = {"model": slug, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    url = routed.world.lobby.base_url + "/chat/completions"
    with httpx.stream("POST", url, json=body, headers=bearer(routed.world.key), timeout=30) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        routed.change(slug, is_enabled=False)
        routed.wait_known(slug, known=False)
        assert routed.ask(slug).status_code == 404
        rest = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert rest[-1]["choices"][0]["finish_reason"] == "stop" or rest[-2]["choices"][0]["finish_reason"] == "stop"


def test_a_change_is_in_force_within_a_second(routed: RoutedWorld) -> None:
    """Five times; the median, because the machine may be busy with something else now and then."""
    slug = routed.route({"a": ""})
    url = f"{routed.world.lobby.base_url}/models/{slug}"
    took = []
    with httpx.Client(headers=bearer(routed.world.key)) as client:
        for wanted in (404, 200, 404, 200, 404):
            routed.change(slug, is_enabled=wanted == 200)
            changed = time.monotonic()
            while client.get(url).status_code != wanted:
                assert time.monotonic() - changed < 20, "not in force at all"
            took.append(time.monotonic() - changed)
    assert statistics.median(took) < 1.0, took


def test_what_failed_attempts_are_charged_stays_within_the_budget(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "fail=close", "b": "fail=close", "c": ""})
    text = "word " * 2_000
    answer = routed.ask(slug, text, max_completion_tokens=1, key=routed.world.project(budget="10"))
    assert answer.status_code == 200, answer.text
    why = routed.why(answer)
    assert [attempt["outcome"] for attempt in why["attempts"]] == ["upstream_error", "upstream_error", "ok"]
    # Room for one that serves beside one that failed, and not for one beside two: each is charged a quarter of a hold.
    budget = why["held"]["cost_picousd"] * 13 // 10
    answer = routed.ask(slug, text, max_completion_tokens=1, key=routed.world.project(budget=f"{budget / 10**12:.12f}"))
    assert answer.status_code >= 500
    assert routed.served(slug) == {"a": 2, "b": 2, "c": 1}
    line = routed.line(answer.headers["x-lobby-request-id"])
    assert "leaves no room" in line["why"]["left_out"][-1]["why"]
    assert 0 < line["cost_picousd"] <= budget


def test_the_dearest_candidate_is_held(routed: RoutedWorld) -> None:
    targets = {"cheap": {"price": 1_000}, "dear": {"price": 1_000_000}}
    slug = routed.route({"cheap": "", "dear": ""}, targets=targets)
    key = routed.world.project(budget="10")
    held = routed.why(routed.ask(slug, key=key))["held"]
    assert held["cost_picousd"] == held["tokens"] * 1_000_000


def test_an_answer_cut_to_a_budget_is_held_at_what_every_model_costs(routed: RoutedWorld) -> None:
    """One model is dear to read by, the other to write by: a shorter answer saves nothing at the first."""
    targets = {"reads": {"price": (1_000_000, 1)}, "writes": {"price": (1, 1_000_000)}}
    slug = routed.route({"reads": "prompt_tokens=4000", "writes": ""}, targets=targets)
    text = "x" * 4_000
    held = routed.why(routed.ask(slug, text, key=routed.world.project(budget="1")))["held"]["cost_picousd"]
    budget = held - 300 * 1_000_000
    answer = routed.ask(slug, text, key=routed.world.project(budget=f"{budget / 10**12:.12f}"))
    if answer.status_code == 200:
        assert routed.line(answer.headers["x-lobby-request-id"])["cost_picousd"] <= budget
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "budget_exceeded")


def test_a_models_own_limit_counts_what_it_serves_and_nothing_else(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "", "b": ""})
    limits = [{"metric": "requests", "limit": 3, "window_seconds": 3_600, "model": f"{slug}-a"}]
    key = routed.world.project(limits=limits)
    answers = [routed.ask(slug, key=key) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5, "beyond it the other model serves"
    assert routed.served(slug) == {"a": 3, "b": 2}
    assert any("over a limit of its model" in each["why"] for each in routed.why(answers[-1])["left_out"])
    # The model by its own name is under the same limit, which the other model's calls have not touched.
    assert routed.ask(f"{slug}-a", key=key).status_code == 429
    only = [{"metric": "requests", "limit": 1, "window_seconds": 3_600, "model": f"{slug}-{name}"} for name in "ab"]
    key = routed.world.project(limits=only)
    assert [routed.ask(slug, key=key).status_code for _ in range(3)] == [200, 200, 429]


def test_the_tokens_of_a_models_own_limit_are_shared_by_all_choices(routed: RoutedWorld) -> None:
    slug = routed.route({"a": "", "b": ""})
    limits = [{"metric": "tokens", "limit": 1_000, "window_seconds": 3_600, "model": f"{slug}-a"}]
    answer = routed.ask(slug, n=4, key=routed.world.project(limits=limits))
    assert answer.status_code == 200, answer.text
    sent = json.loads(routed.world.fake.requests()[-1]["body"])
    assert 0 < 4 * sent["max_tokens"] <= 1_000


def test_a_shadow_is_mirrored_metered_and_never_answers(routed: RoutedWorld) -> None:
    shadow = {"shadow": {"purpose": "shadow"}}
    slug = routed.route({"real": "chunks=3", "shadow": "chunks=5"}, targets=shadow, shadow_percent=100)
    answer = routed.ask(slug)
    assert answer.json()["usage"]["completion_tokens"] == 3
    request_id = answer.headers["x-lobby-request-id"]
    found: list[dict[str, Any]] = []

    def mirrored() -> bool:
        found[:] = [line for line in routed.world.all_lines() if line.get("why", {}).get("shadow_of") == request_id]
        return bool(found)

    routed.world.eventually(mirrored, within=10)
    assert (found[0]["model_slug"], found[0]["output_tokens"], found[0]["outcome"]) == (f"{slug}-shadow", 5, "ok")
    assert routed.line(request_id)["output_tokens"] == 3
    settled = [line for line in routed.world.spool_lines(found[0]["request_id"]) if line["line"] == "settlement"]
    assert [line["output_tokens"] for line in settled] == [5]
    assert routed.served(slug) == {"real": 1, "shadow": 1}


def test_a_shadow_that_fails_or_may_not_be_called_is_nobodys_trouble(routed: RoutedWorld) -> None:
    shadow = {"shadow": {"purpose": "shadow"}}
    slug = routed.route({"real": "", "shadow": "fail=503"}, targets=shadow, shadow_percent=100)
    assert all(routed.ask(slug, stream=stream).status_code == 200 for stream in (False, True))
    over = [{"metric": "requests", "limit": 1, "window_seconds": 3_600, "model": f"{slug}-shadow"}]
    key = routed.world.project(limits=over)
    assert all(routed.ask(slug, key=key).status_code == 200 for _ in range(3))
    without = routed.route({"real": "", "shadow": ""}, targets=shadow, shadow_percent=0)
    assert routed.ask(without).status_code == 200
    assert routed.served(without) == {"real": 1}


def test_a_shadow_of_a_response_that_goes_on_is_asked_the_same(routed: RoutedWorld) -> None:
    slug = routed.route({"real": "", "shadow": ""}, targets={"shadow": {"purpose": "shadow"}}, shadow_percent=100)
    first = routed.world.post({"model": slug, "input": "My name is Ada."}, path="/responses")
    assert first.status_code == 200, first.text
    more = {"model": slug, "input": "Who am I?", "previous_response_id": first.json()["id"]}
    assert routed.world.post(more, path="/responses").status_code == 200
    sent: dict[str, list[str]] = {}

    def mirrored() -> bool:
        bodies = [each["body"] for each in routed.world.fake.requests() if "Who am I?" in each["body"]]
        sent.clear()
        for name in ("real", "shadow"):
            sent[name] = [body for body in bodies if f"{slug}-{name}@" in body]
        return all(sent.values())

    routed.world.eventually(mirrored, within=10)
    assert [body.count("My name is Ada.") for bodies in sent.values() for body in bodies] == [1, 1]


def test_an_endpoint_is_as_quick_as_its_answer_whatever_comes_after_it(routed: RoutedWorld) -> None:
    """A server that leaves its connection open behind the answer's end is no slower for it."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            self.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
            self.wfile.write(b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n')
            self.wfile.write(b"data: [DONE]\n\n")
            self.rfile.read(1)  # until the gateway hangs up

    world = routed.world
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        model = world.model(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1")
        answer = routed.ask(model, stream=True)
        assert "Hi" in answer.text
        request_id = answer.headers["x-lobby-request-id"]
        [endpoint_id] = [line["endpoint_id"] for line in world.spool_lines(request_id) if line["line"] == "intent"]
        found: list[dict[str, Any]] = []

        def published() -> bool:
            for path in (world.lobby.data_dir / "health").glob("*.json"):
                reports = json.loads(path.read_bytes())["endpoints"]
                found[:] = [each for each in reports if each["id"] == endpoint_id and each.get("duration_ms")]
            return bool(found)

        world.eventually(published, within=10)
        server.shutdown()
    assert found[0]["duration_ms"][0] < 800
