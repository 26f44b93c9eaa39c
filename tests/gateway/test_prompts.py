"""Prompts of the catalog in a call: rendered before it is admitted, on every front, told in the answer and the log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx
import pytest

from apps.gateway.prompts import choose
from tests.gateway.world import World, bearer

_SEED = """
from apps.prompts import services as prompts
acme = Tenant.objects.unscoped("test").get(slug="acme")
prompt = prompts.create_prompt(actor=actor, tenant=acme, slug="triage", name="Triage")
for text in ("You sort claims.", "You sort claims in {{language}}."):
    saved = prompts.save_version(actor=actor, prompt=prompt, content={
        "messages": [{"role": "system", "content": text}, {"role": "user", "content": "Claim: {{claim}} [[chunks=3]]"}],
        "variables": {"claim": {"type": "string", "maxLength": 200}} | (
            {"language": {"enum": ["English", "French"], "default": "English"}} if "language" in text else {}),
        "parameters": {"temperature": 0.25, "max_tokens": 77, "seed": 7, "stop": ["END"]},
        "model": model,
        "tools": [{"function": {"name": "look_up", "parameters": {"type": "object"}}}] if "language" in text else [],
    })
prompts.release_versions(actor=actor, prompt=prompt, environment="dev", label="live", weights={2: 100})
prompts.release_versions(actor=actor, prompt=prompt, environment="dev", label="split", weights={1: 50, 2: 50})
prompts.release_versions(actor=actor, prompt=prompt, environment="prod", label="stable", weights={1: 100})
other = services.create_tenant(actor=actor, slug="other", name="Other")
theirs = prompts.create_prompt(actor=actor, tenant=other, slug="secret", name="Secret")
prompts.save_version(actor=actor, prompt=theirs, content={"messages": [{"role": "user", "content": "Secret."}]})
prompts.release_versions(actor=actor, prompt=theirs, environment="dev", label="live", weights={1: 100})
result = prompt.pk
"""


HEADER = "x-lobby-prompt-version"


@pytest.fixture(scope="module")
def model(world: World) -> str:
    return world.model()


@pytest.fixture(scope="module")
def prompted(world: World, model: str) -> World:
    """``world`` with the prompt ``triage``, whose model is ``model``."""
    world.shell.run(_SEED, model=model)
    world.eventually(lambda: ask(world, version=1).status_code == 200, within=10)
    return world


def ask(
    world: World, path: str = "/chat/completions", body: dict[str, Any] | None = None, **prompt: Any
) -> httpx.Response:
    reference = {"id": "triage", "variables": {"claim": "hail"}, **prompt}
    return world.post({"prompt": reference, **(body or {})}, path=path)


def sent(world: World) -> dict[str, Any]:
    """What the upstream was sent last."""
    body: dict[str, Any] = json.loads(world.fake.requests()[-1]["body"])
    return body


def test_a_prompt_is_rendered_with_its_model_parameters_and_tools(prompted: World) -> None:
    answer = ask(prompted)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lobby-prompt-version"] == "2"
    body = sent(prompted)
    assert body["messages"] == [
        {"role": "system", "content": "You sort claims in English."},
        {"role": "user", "content": "Claim: hail [[chunks=3]]"},
    ]
    assert (body["temperature"], body["max_completion_tokens"], body["seed"]) == (0.25, 77, 7)
    assert "x-lobby-dropped-params" not in answer.headers
    assert body["tools"][0]["function"]["name"] == "look_up"
    assert "prompt" not in body


def test_what_the_caller_says_itself_stands_and_their_messages_follow(prompted: World) -> None:
    more = {
        "messages": [{"role": "user", "content": "And quickly."}],
        "temperature": 1.5,
        "max_tokens": 5,
        "tools": None,
    }
    answer = ask(prompted, body=more, variables={"claim": "{{language}}", "language": "French"})
    assert answer.status_code == 200, answer.text
    body = sent(prompted)
    assert [each["content"] for each in body["messages"]] == [
        "You sort claims in French.",
        "Claim: {{language}} [[chunks=3]]",
        "And quickly.",
    ]
    assert (body["temperature"], body["max_tokens"], "max_completion_tokens" in body) == (1.5, 5, False)


def test_the_same_prompt_in_the_words_of_the_messages_api(prompted: World) -> None:
    answer = ask(prompted, "/messages", {"system": "Be kind."})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lobby-prompt-version"] == "2"
    assert answer.json()["type"] == "message"
    assert "x-lobby-dropped-params" not in answer.headers
    assert sent(prompted)["seed"] == 7, "which the caller's API has no word for, and the upstream's has"
    contents = [each["content"] for each in sent(prompted)["messages"]]
    assert contents[-1] == "Claim: hail [[chunks=3]]"
    assert "You sort claims in English." in str(contents[0])
    assert "Be kind." in str(contents)


def test_the_same_prompt_in_the_words_of_the_responses_api(prompted: World) -> None:
    answer = ask(prompted, "/responses", {"input": "And quickly.", "instructions": "Be kind."})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lobby-prompt-version"] == "2"
    body = sent(prompted)
    told = str(body)
    assert "You sort claims in English." in told
    assert told.index("Claim: hail") < told.index("And quickly.")
    assert "Be kind." in told
    assert body["temperature"] == 0.25
    assert (body["stop"], body["seed"]) == (["END"], 7), (
        "which the caller's API has no word for, and the upstream's has"
    )
    assert "x-lobby-dropped-params" not in answer.headers
    assert ask(prompted, "/responses", {"lobby": {"strict": True}}).status_code == 200


def test_the_same_prompt_in_a_body_of_invoke_model(prompted: World, model: str) -> None:
    reference = {"id": "triage", "variables": {"claim": "hail"}}
    answer = httpx.post(
        f"{prompted.lobby.url}/model/{model}/invoke",
        json={"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "prompt": reference},
        headers=bearer(prompted.key),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lobby-prompt-version"] == "2"
    body = sent(prompted)
    assert "You sort claims in English." in str(body["messages"][0])
    assert (body["messages"][-1]["content"], body["temperature"]) == ("Claim: hail [[chunks=3]]", 0.25)


def test_the_same_prompt_in_the_words_of_converse(prompted: World, model: str) -> None:
    said = {"inferenceConfig": {"maxTokens": 5}, "messages": [{"role": "user", "content": [{"text": "And quickly."}]}]}
    reference = {"id": "triage", "variables": {"claim": "hail"}}
    answer = httpx.post(
        f"{prompted.lobby.url}/model/{model}/converse",
        json={"prompt": reference, **said},
        headers=bearer(prompted.key),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lobby-prompt-version"] == "2"
    body = sent(prompted)
    assert "You sort claims in English." in str(body["messages"][0])
    assert "And quickly." in str(body["messages"][-1])
    assert (body["temperature"], body.get("max_tokens", body.get("max_completion_tokens"))) == (0.25, 5)


def test_a_stream_tells_the_version_too_and_the_log_keeps_it(prompted: World) -> None:
    answer = ask(prompted, body={"stream": True}, version="1")
    assert answer.headers["x-lobby-prompt-version"] == "1"
    request_id = answer.headers["x-lobby-request-id"]
    found: list[dict[str, Any]] = []

    def logged() -> bool:
        found[:] = [line for line in prompted.spool_lines(request_id) if line["line"] == "request"]
        return bool(found)

    prompted.eventually(logged, within=5)
    assert found[0]["prompt_version"] == 1
    assert found[0]["prompt_id"] > 0
    assert found[0]["why"]["prompt"]["id"] == "triage"
    assert "hail" not in str(found[0])


@pytest.mark.parametrize(
    ("prompt", "status", "code", "param", "named"),
    [
        ({"variables": {}}, 400, "prompt_variables_invalid", "prompt.variables.claim", ["'claim' is missing"]),
        (
            {"variables": {"claim": 7, "mood": "x"}},
            400,
            "prompt_variables_invalid",
            "prompt.variables.mood",
            ["'mood' is no variable", "'claim' must be of the type string, not integer"],
        ),
        (
            {"variables": {"claim": "x" * 201}},
            400,
            "prompt_variables_invalid",
            "prompt.variables.claim",
            ["more than 200"],
        ),
        ({"variables": "x"}, 400, "invalid_value", "prompt.variables", []),
        ({"id": 5}, 400, "invalid_value", "prompt.id", []),
        ({"version": 9}, 404, "prompt_version_not_found", "prompt.version", []),
        ({"version": -1}, 404, "prompt_version_not_found", "prompt.version", []),
        ({"label": "stable"}, 404, "prompt_label_not_found", "prompt.label", ["live, split"]),
        ({"label": "live", "version": 1}, 400, "invalid_value", "prompt.label", []),
        ({"id": "nosuch"}, 404, "prompt_not_found", "prompt.id", []),
    ],
)
def test_what_is_wrong_is_named(
    prompted: World, prompt: dict[str, Any], status: int, code: str, param: str, named: list[str]
) -> None:
    answer = ask(prompted, **prompt)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    for words in named:
        assert words in error["message"]


def test_another_tenants_prompt_is_answered_as_one_that_does_not_exist(prompted: World) -> None:
    foreign, missing = ask(prompted, id="secret"), ask(prompted, id="absent")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.text.replace("secret", "…") == missing.text.replace("absent", "…")


def test_an_escaped_key_is_no_way_around(prompted: World) -> None:
    body = rb'{"pr\u006fmpt": {"id": "triage", "version": 1, "variables": {"claim": "hail"}}}'
    answer = httpx.post(
        f"{prompted.lobby.base_url}/chat/completions",
        content=body,
        headers={"content-type": "application/json", **bearer(prompted.key)},
        timeout=30,
    )
    assert answer.headers["x-lobby-prompt-version"] == "1"


def test_a_split_label_stays_with_its_user(prompted: World) -> None:
    versions = {
        user: {ask(prompted, body={"user": user}, label="split").headers["x-lobby-prompt-version"] for _ in range(3)}
        for user in ("ann", "bob", "cho", "dee", "eve", "fay", "gil", "hal")
    }
    assert all(len(seen) == 1 for seen in versions.values())
    assert {each for seen in versions.values() for each in seen} == {"1", "2"}


@pytest.mark.parametrize("path", ["messages", "responses", "converse"])
def test_a_split_label_stays_with_its_user_in_the_words_of_each_api(prompted: World, model: str, path: str) -> None:
    """Streamed, so that each way of streaming tells the version, too."""

    def version(user: str) -> str:
        body: dict[str, Any] = {"prompt": {"id": "triage", "label": "split", "variables": {"claim": "hail"}}}
        match path:
            case "converse":
                address = f"{prompted.lobby.url}/model/{model}/converse-stream"
                body |= {"requestMetadata": {"user_id": user}}
            case "messages":
                address = f"{prompted.lobby.base_url}/messages"
                body |= {"metadata": {"user_id": user}, "stream": True}
            case _:
                address = f"{prompted.lobby.base_url}/responses"
                body |= {"safety_identifier": user, "stream": True}
        answer = httpx.post(address, json=body, headers=bearer(prompted.key), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-lobby-prompt-version"]

    versions = {user: {version(user) for _ in range(2)} for user in ("ann", "bob", "cho", "dee", "eve", "fay")}
    assert all(len(seen) == 1 for seen in versions.values())
    assert {each for seen in versions.values() for each in seen} == {"1", "2"}


@pytest.mark.parametrize("named_by", ["header", "lobby", "conversation", "sticky"])
def test_the_turns_of_a_conversation_have_one_version(prompted: World, named_by: str) -> None:
    def version(name: str) -> str:
        prompt = {"id": "triage", "label": "split", "variables": {"claim": "hail"}}
        body: dict[str, Any] = {"prompt": prompt, "user": "someone"}
        headers = bearer(prompted.key)
        match named_by:
            case "header":
                headers |= {"x-lobby-conversation": name}
            case "lobby":
                body |= {"lobby": {"conversation": name}}
            case "conversation":
                body |= {"conversation": name}
            case _:
                prompt |= {"sticky": name}
        answer = httpx.post(f"{prompted.lobby.base_url}/chat/completions", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.headers[HEADER]

    seen = [{version(f"c-{n}") for _ in range(2)} for n in range(8)]
    assert all(len(each) == 1 for each in seen)
    assert set().union(*seen) == {"1", "2"}


@pytest.mark.parametrize("path", ["/embeddings", "/messages/count_tokens", "/rerank", "/moderations"])
def test_an_api_that_takes_no_prompt_says_so(prompted: World, model: str, path: str) -> None:
    body = {
        "model": model,
        "input": "x",
        "query": "x",
        "documents": ["x"],
        "messages": [{"role": "user", "content": "x"}],
    }
    answer = ask(prompted, path, body)
    error = answer.json()["error"]
    assert (answer.status_code, "takes no prompt of the catalog" in error["message"]) == (400, True)


def test_shares_are_as_weighted_and_a_growing_canary_keeps_whom_it_has() -> None:
    people = [f"1:live:user-{number}" for number in range(4000)]
    small = {who: choose(((1, 90), (2, 10)), who)[0] for who in people}
    large = {who: choose(((1, 70), (2, 30)), who)[0] for who in people}
    assert 320 < Counter(small.values())[2] < 480
    assert 1080 < Counter(large.values())[2] < 1320
    assert all(large[who] == 2 for who in people if small[who] == 2)


def test_a_release_is_in_force_within_a_second(prompted: World) -> None:
    prompted.shell.run(
        """
from apps.prompts import services as prompts
from apps.prompts.models import Prompt
prompt = Prompt.objects.unscoped("test").get(slug="triage")
prompts.release_versions(actor=actor, prompt=prompt, environment="dev", label="moving", weights={1: 100})
"""
    )
    prompted.eventually(lambda: ask(prompted, label="moving").status_code == 200, within=2)
