"""The sandbox's chat: what it says, how it counts, how it streams."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from apps.models.providers.dialects.chat.passing import PassingStream
from apps.models.providers.sandbox import SandboxTransport, tokens
from apps.models.providers.sandbox.library import unwrapped
from tests.models.providers.sandbox_client import Sandbox, joined, write_docs


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(write_docs(tmp_path))


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


async def test_a_question_about_lobby_is_answered_from_the_section_that_fits_and_cites_it(sandbox: Sandbox) -> None:
    answer = await sandbox.say("How can concurrent requests not overspend, what is held?")
    assert "holds an upper bound of its cost" in answer
    assert "`docs/budgets.md`, section “Budgets: Holds”" in answer
    assert "hold = price * tokens\n```" in answer
    other = await sandbox.say("How do I start it quickly?")
    assert "`README.md`" in other
    assert "make run" in other


async def test_what_lobby_is_is_answered_by_how_its_documentation_begins(sandbox: Sandbox) -> None:
    for question in ("What is Lobby?", "lobby"):
        answer = await sandbox.say(question)
        assert "Lobby is the front door." in answer
        assert "<" not in answer
        assert "`README.md`" in answer


async def test_more_goes_on_with_the_next_section_until_there_is_none(sandbox: Sandbox) -> None:
    talk = ["What does a request hold, to not overspend?"]
    talk.append(await sandbox.say(*talk))
    assert "section “Budgets: Holds”" in talk[-1]
    for follow_up, section in (("Tell me more", "Thresholds"), ("ok, go on please.", "Periods")):
        talk.append(follow_up)
        talk.append(await sandbox.say(*talk))
        assert f"section “Budgets: {section}”" in talk[-1]
    for _ in range(6):
        talk.append("continue")
        talk.append(await sandbox.say(*talk))
    assert talk[-1] == "That is all that the documentation has on it."


async def test_a_short_follow_up_is_understood_with_the_question_before_it(sandbox: Sandbox) -> None:
    answer = await sandbox.say("What is a threshold of a budget?", "…", "And in Rome?")
    assert "docs/budgets.md" in answer


async def test_the_last_user_message_is_what_is_answered(sandbox: Sandbox) -> None:
    answer = await sandbox.say("What does a request hold?", "Its cost.", "How do I revoke a key that leaks?")
    assert "docs/keys.md" in answer
    assert "holds" not in answer


@pytest.mark.parametrize("talk", ["Hello!", "thanks a lot", "How are you?", "who are you", "Tell me a joke"])
async def test_small_talk_gets_a_friendly_answer(sandbox: Sandbox, talk: str) -> None:
    answer = await sandbox.say(talk)
    assert "documentation says" not in answer
    assert len(answer) > 20


@pytest.mark.parametrize("talk", ["Hello!", "who are you", "What is the capital of France?", "What can you do?"])
async def test_it_says_that_it_is_simulated(sandbox: Sandbox, talk: str) -> None:
    assert "simulate" in await sandbox.say(talk)


async def test_what_it_does_not_know_is_said_and_not_made_up(sandbox: Sandbox, tmp_path: Path) -> None:
    assert "found nothing" in await sandbox.say("What is the capital of France?")
    (tmp_path / "empty").mkdir()
    assert "found nothing" in await Sandbox(tmp_path / "empty").say("How do budgets work?")


async def test_it_says_what_it_is_told_to_say(sandbox: Sandbox) -> None:
    assert await sandbox.say('Say "ping 42"') == "ping 42"
    assert await sandbox.say("Please reply only with: OK") == "OK"


async def test_it_summarises_by_the_text_s_own_sentences(sandbox: Sandbox) -> None:
    text = " ".join(
        f"Sentence {number} talks of boats and the sea." if number % 3 else f"Unrelated filler goes here {number}."
        for number in range(12)
    )
    answer = await sandbox.say(f"Summarise this: {text}")
    bullets = [line[2:] for line in answer.splitlines() if line.startswith("- ")]
    assert len(bullets) == 3
    assert all(bullet in text and "boats" in bullet for bullet in bullets)


async def test_the_same_request_gets_the_same_answer(sandbox: Sandbox) -> None:
    question = "What is a budget?"
    assert await sandbox.say(question) == await sandbox.say(question)
    for options in ({"temperature": 0}, {"temperature": 1.5, "seed": 7}):
        answers = {await sandbox.say(question, **options) for _ in range(8)}
        assert len(answers) == 1


async def test_temperature_without_a_seed_varies_the_wording(sandbox: Sandbox) -> None:
    answers = {await sandbox.say("Hello!", temperature=1.0) for _ in range(40)}
    assert len(answers) > 1


async def test_n_choices_are_counted_together(sandbox: Sandbox) -> None:
    one, three = await sandbox.chat("Hello!"), await sandbox.chat("Hello!", n=3)
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    sizes = [tokens.count(choice["message"]["content"]) for choice in three["choices"]]
    assert three["usage"]["completion_tokens"] == sum(sizes)
    assert three["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]


async def test_it_stops_before_a_stop_sequence(sandbox: Sandbox) -> None:
    answer = await sandbox.chat("Say one two three four", stop=["four", " three"])
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_it_stops_at_the_maximum_of_tokens(sandbox: Sandbox, field: str) -> None:
    def most(size: int) -> dict[str, Any]:
        return {field: size}

    whole = await sandbox.say("What is a budget?")
    cut = await sandbox.chat("What is a budget?", **most(7))
    choice = cut["choices"][0]
    assert choice["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 7
    assert whole.startswith(choice["message"]["content"])
    exact = await sandbox.chat("What is a budget?", **most(tokens.count(whole)))
    assert exact["choices"][0]["finish_reason"] == "stop"


async def test_the_reasoner_thinks_before_it_answers_and_counts_it(sandbox: Sandbox) -> None:
    answer = await sandbox.chat("What is a budget?", model="sandbox-reasoner")
    message = answer["choices"][0]["message"]
    assert "budget" in message["reasoning_content"]
    reasoning = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning == tokens.count(message["reasoning_content"])
    assert answer["usage"]["completion_tokens"] == reasoning + tokens.count(message["content"])

    events = await sandbox.stream("What is a budget?", model="sandbox-reasoner")
    kinds = [
        "reasoning" if "reasoning_content" in choice["delta"] else "text"
        for event in events
        for choice in event["choices"]
        if choice["delta"].get("content") or "reasoning_content" in choice["delta"]
    ]
    assert kinds == sorted(kinds)
    assert joined(events, "reasoning_content") == message["reasoning_content"]

    plain = await sandbox.chat("What is a budget?")
    assert "reasoning_content" not in plain["choices"][0]["message"]
    effort = await sandbox.chat("What is a budget?", reasoning_effort="low")
    assert effort["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


async def test_a_maximum_that_reasoning_uses_up_leaves_no_answer(sandbox: Sandbox) -> None:
    answer = await sandbox.chat("What is a budget?", model="sandbox-reasoner", max_completion_tokens=5)
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


async def test_a_stream_carries_the_same_answer_one_token_a_chunk(sandbox: Sandbox) -> None:
    whole = await sandbox.say("What is a budget?")
    events = await sandbox.stream("What is a budget?", n=2)
    assert joined(events, index=0) == whole
    assert joined(events, index=1)
    first = events[0]["choices"][0]["delta"]
    assert first == {"role": "assistant", "content": ""}
    pieces = [
        event["choices"][0]["delta"]["content"] for event in events if event["choices"][0]["delta"].get("content")
    ]
    assert all(tokens.count(piece) == 1 for piece in pieces)
    assert [event["choices"][0]["finish_reason"] for event in events].count("stop") == 2
    assert "usage" not in events[0]
    assert {event["id"] for event in events} == {events[0]["id"]}
    assert all(event["object"] == "chat.completion.chunk" for event in events)
    assert all(event["system_fingerprint"] == "fp_sandbox_1" for event in events)


async def test_a_stream_ends_with_usage_when_asked_to(sandbox: Sandbox) -> None:
    plain = await sandbox.chat("What is a budget?")
    events = await sandbox.stream("What is a budget?", stream_options={"include_usage": True})
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"]
    assert all(event["usage"] is None for event in events[:-1])


async def test_usage_counts_messages_tools_and_images(sandbox: Sandbox) -> None:
    async def prompt(*messages: Any, **options: Any) -> int:
        size = (await sandbox.chat(*messages, **options))["usage"]["prompt_tokens"]
        assert isinstance(size, int)
        return size

    assert await prompt("one two three") == 3 + tokens.PER_MESSAGE + tokens.PER_REPLY
    longer = await prompt({"role": "system", "content": "four"}, {"role": "user", "content": "one two three"})
    assert longer == 4 + 2 * tokens.PER_MESSAGE + tokens.PER_REPLY
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert await prompt("one two three", tools=[tool], tool_choice="none") > await prompt("one two three")
    seen = await prompt(user({"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://x/"}}))
    assert seen == 1 + tokens.PER_MESSAGE + tokens.PER_REPLY + tokens.PER_IMAGE


async def test_a_repeated_beginning_of_a_prompt_is_cached(sandbox: Sandbox) -> None:
    async def cached(*messages: Any, **options: Any) -> int:
        usage = (await sandbox.chat(*messages, **options))["usage"]
        return int(usage["prompt_tokens_details"]["cached_tokens"])

    system = {"role": "system", "content": "word " * 100}
    assert await cached(system, {"role": "user", "content": "Hello!"}) == 0
    again = await cached(system, {"role": "user", "content": "What is a budget?"})
    assert again == tokens.count(system["content"]) + tokens.PER_MESSAGE
    assert await cached(system, {"role": "user", "content": "Hello!"}) > again
    assert await cached(system, {"role": "user", "content": "Hello!"}, model="sandbox-reasoner") == 0
    assert await cached("Hello!") == await cached("Hello!") == 0  # too short to be worth it


def test_tokens_joined_are_the_text_again() -> None:
    for text in ("", "  \n", "Hallo, Wörld!  internationalisation 漢字漢字漢字漢字漢字 a_b\t\r\n 😀 ", "x" * 100):
        assert "".join(tokens.split(text)) == text
        assert tokens.count(text) == len(tokens.split(text))


async def test_log_probabilities_cover_the_answer_s_bytes(sandbox: Sandbox) -> None:
    answer = await sandbox.chat("Say naïve 😀!", logprobs=True, top_logprobs=2)
    content = answer["choices"][0]["logprobs"]["content"]
    assert bytes(byte for entry in content for byte in entry["bytes"]).decode() == "naïve 😀!"
    assert all(entry["logprob"] < 0 and len(entry["top_logprobs"]) == 2 for entry in content)
    assert (await sandbox.chat("Say hi"))["choices"][0]["logprobs"] is None
    events = await sandbox.stream("Say hi", logprobs=True)
    assert [event["choices"][0]["logprobs"]["content"][0]["token"] for event in events if joined([event])] == ["hi"]


async def test_images_are_acknowledged_with_type_and_size(sandbox: Sandbox) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + bytes(20)
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    images = [{"type": "image_url", "image_url": {"url": one}} for one in (url, "https://example.com/cat.jpg")]
    answer = await sandbox.say(user({"type": "text", "text": "What is a budget?"}, *images))
    assert f"2 images: image/png, 640 × 480 pixels, {len(png)} bytes; one at an address" in answer
    assert "docs/budgets.md" in answer
    alone = await sandbox.say(user(images[0]))
    assert "1 image: image/png" in alone
    assert "not valid base64" in await sandbox.say(
        user({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}})
    )


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": "x"}, "messages"),
        ({"n": 0}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "sometimes"}, "tools"),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            "tools",
        ),
        ({"response_format": {"type": "json_schema"}}, None),
    ],
)
async def test_a_wrong_field_is_named(sandbox: Sandbox, change: dict[str, Any], param: str | None) -> None:
    body = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "Hi"}], **change}
    if param is None:
        assert (await sandbox.send("/chat/completions", body)).status_code == 200  # a schema is optional here
        return
    status, error = await sandbox.refused("/chat/completions", body)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"]


async def test_what_is_not_there_is_a_404_and_what_is_not_json_a_400(sandbox: Sandbox) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    status, error = await sandbox.refused("/chat/completions", body)
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert (await sandbox.refused("/rerank", {}))[0] == 404
    assert (await sandbox.send("/chat/completions", {}, method="GET")).status_code == 404
    for broken in (b"", b"{", b"\xff", b"[]", b'{"model":' + b"[" * 5_000):
        assert (await sandbox.refused("/chat/completions", broken))[0] == 400


async def test_its_models_are_listed(sandbox: Sandbox) -> None:
    listed = json.loads(await (await sandbox.send("/models", method="GET")).aread())
    names = [model["id"] for model in listed["data"]]
    assert names == ["sandbox-chat", "sandbox-reasoner", "sandbox-judge", "sandbox-embed"]
    assert all("sandbox" in model["owned_by"] for model in listed["data"])


def official_client(tmp_path: Path) -> openai.AsyncOpenAI:
    transport = SandboxTransport(first_token_seconds=0, tokens_per_second=math.inf, docs=write_docs(tmp_path))
    http_client: Any = httpx.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(api_key="none", base_url="http://sandbox/v1", http_client=http_client, max_retries=0)


async def test_the_official_client_understands_it(tmp_path: Path) -> None:
    async with official_client(tmp_path) as client:
        models = [model.id async for model in client.models.list()]
        assert "sandbox-chat" in models
        messages: Any = [{"role": "user", "content": "What is a budget?"}]
        answer = await client.chat.completions.create(model="sandbox-chat", messages=messages)
        async with client.chat.completions.stream(model="sandbox-chat", messages=messages) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == answer.choices[0].message.content
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="gpt-4o", messages=messages)


async def test_the_adapter_s_decoder_reads_its_streams(sandbox: Sandbox) -> None:
    decoder = PassingStream(wants_usage=True)
    body = {
        "model": "sandbox-reasoner",
        "messages": [{"role": "user", "content": "What is a budget?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    response = await sandbox.send("/chat/completions", body)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for block in response.stream:
        decoder.feed(block)
    assert decoder.finished
    assert decoder.usage is not None
    assert decoder.usage.reasoning_tokens > 0
    assert decoder.output_tokens == decoder.usage.output_tokens  # so an estimate of a cut stream is exact here


def test_a_sources_line_breaks_are_none_of_an_answers() -> None:
    kept = "\n\n| a |\n| b |\n\n    code\n    more\n\n```\nx\ny\n```\nend  \nbreak"
    assert (
        unwrapped(f"One\ntwo.\n\n- an item\n  goes on\n- another{kept}")
        == f"One two.\n\n- an item goes on\n- another{kept}"
    )
