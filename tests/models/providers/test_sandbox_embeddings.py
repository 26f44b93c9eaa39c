"""The sandbox's embeddings."""

from __future__ import annotations

import base64
import math
import struct
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from apps.models.providers.sandbox import SandboxTransport
from apps.models.providers.sandbox.embedding import embed
from tests.models.providers.sandbox_client import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def nearness(one: str, other: str) -> float:
    return (
        math.sumprod(embed(one), embed(other))
        if hasattr(math, "sumprod")
        else sum(a * b for a, b in zip(embed(one), embed(other), strict=True))
    )


@pytest.mark.parametrize("text", ["The cost of a request", "漢字", "!?", "\ud800 odd", "x" * 10_000, "the of and"])
@pytest.mark.parametrize("dimensions", [1, 64, 384])
def test_vectors_have_length_one_and_the_dimensions_asked_for(text: str, dimensions: int) -> None:
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-9)
    assert vector == embed(text, dimensions)


def test_texts_alike_lie_closer_than_texts_unlike() -> None:
    near = nearness("How do I revoke an API key?", "Revoking API keys that leaked")
    far = nearness("How do I revoke an API key?", "Bananas ripen faster in a warm kitchen")
    assert near > 0.4 > 0.2 > abs(far)
    assert nearness("monthly budgets", "the budget of a month") > nearness("monthly budgets", "streaming answers")
    assert nearness("tokenization", "tokenize") > 0.2  # by their pieces, though no word is shared


async def test_the_answer_is_in_openai_s_shape(sandbox: Sandbox) -> None:
    answer = await sandbox.post(
        "/embeddings", {"model": "sandbox-embed", "input": ["one two", "three"], "dimensions": 8}
    )
    assert [entry["index"] for entry in answer["data"]] == [0, 1]
    assert answer["data"][0]["embedding"] == embed("one two", 8)
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert answer["model"] == "sandbox-embed"


async def test_base64_carries_the_same_numbers(sandbox: Sandbox) -> None:
    body = {"model": "sandbox-embed", "input": "one two", "encoding_format": "base64"}
    answer = await sandbox.post("/embeddings", body)
    numbers = struct.unpack("<384f", base64.b64decode(answer["data"][0]["embedding"]))
    assert numbers == pytest.approx(embed("one two"), abs=1e-6)


async def test_token_numbers_are_taken_too(sandbox: Sandbox) -> None:
    async def vectors(given: Any) -> list[Any]:
        answer = await sandbox.post("/embeddings", {"model": "sandbox-embed", "input": given})
        return [entry["embedding"] for entry in answer["data"]]

    assert await vectors([1, 22, 333]) == await vectors([[1, 22, 333]])
    assert len(await vectors([[1], [2]])) == 2


@pytest.mark.parametrize("given", ["", [], ["fine", ""], ["x"] * 2_049, None, 7])
async def test_nothing_to_embed_is_refused(sandbox: Sandbox, given: Any) -> None:
    status, error = await sandbox.refused("/embeddings", {"model": "sandbox-embed", "input": given})
    assert (status, error["param"]) == (400, "input")


async def test_a_chat_model_does_not_embed_and_the_other_way_round(sandbox: Sandbox) -> None:
    assert (await sandbox.refused("/embeddings", {"model": "sandbox-chat", "input": "x"}))[0] == 404
    chat = {"model": "sandbox-embed", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await sandbox.refused("/chat/completions", chat))[0] == 404


async def test_the_official_client_decodes_it(tmp_path: Path) -> None:
    transport = SandboxTransport(first_token_seconds=0, docs=tmp_path)
    http_client: Any = httpx.AsyncClient(transport=transport)
    async with openai.AsyncOpenAI(api_key="none", base_url="http://sandbox/v1", http_client=http_client) as client:
        answer = await client.embeddings.create(model="sandbox-embed", input=["one two"])
    assert answer.data[0].embedding == pytest.approx(embed("one two"), abs=1e-6)
