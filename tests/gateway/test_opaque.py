"""Rerank, images, sound and moderations: passed on as they are, metered in their own units, and priced by them."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import pytest

from tests.gateway.world import World, bearer

MODELS = {
    "sorter": ("rerank", "search", 2_000_000_000),
    "painter": ("image", "image", 40_000_000_000),
    "listener": ("transcription", "second", 100_000_000),
    "speaker": ("speech", "character", 15_000_000),
    "guard": ("moderation", "", 0),
}


@pytest.fixture(scope="module")
def served(world: World) -> World:
    world.shell.run(
        """
fake = Provider.objects.exclude(kind="sandbox").earliest("pk")
for slug, (kind, unit, price) in models.items():
    model = registry.create_model(actor=actor, slug=slug, name=slug, lifecycle="approved", kind=kind, is_open=True)
    registry.create_endpoint(actor=actor, model=model, provider=fake, upstream_model=f"fake-{slug}", **fast)
    registry.add_price(actor=actor, model=model, figures=Figures(unit=unit, unit_picousd=price))
""",
        models=MODELS,
        fast={"idle_timeout_ms": 900},
    )
    known = f"{world.lobby.base_url}/models/guard"
    world.eventually(lambda: httpx.get(known, headers=bearer(world.key)).status_code == 200, within=10)
    return world


def wav(seconds: int, rate: int = 8_000) -> bytes:
    """Silence: mono, eight bits."""
    size = seconds * rate
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate, 1, 8, b"data", size
    )
    return head + b"\x80" * size


def settled(world: World, request_id: str) -> dict[str, Any]:
    [line] = [each for each in world.spool_lines(request_id) if each["line"] == "settlement"]
    return line


def test_a_rerank_is_metered_in_searches(served: World) -> None:
    body = {"model": "sorter", "query": "blue car", "documents": ["red", "a blue car", "car"], "top_n": 2, "lobby": {}}
    response = served.post(body, path="/rerank")
    assert [each["index"] for each in response.json()["results"]] == [1, 2]
    line = settled(served, response.headers["x-lobby-request-id"])
    assert (line["units"], line["cost_picousd"], line["status"]) == (1, 2_000_000_000, "measured")
    sent = json.loads(served.fake.requests()[-1]["body"])
    assert sent == {key: value for key, value in body.items() if key != "lobby"} | {"model": "fake-sorter"}


def test_images_are_metered_by_the_piece_and_by_tokens(served: World) -> None:
    answer = served.openai().images.with_raw_response.generate(model="painter", prompt="a blue car", n=2)
    assert len(answer.parse().data or []) == 2
    line = settled(served, answer.headers["x-lobby-request-id"])
    assert (line["units"], line["cost_picousd"]) == (2, 80_000_000_000)
    assert (line["input_tokens"], line["output_tokens"], line["image_output_tokens"]) == (3, 200, 200)


def test_an_image_streams_and_is_metered(served: World) -> None:
    stream = served.openai().images.generate(model="painter", prompt="a car", stream=True, partial_images=1)
    assert [event.type for event in stream] == ["image_generation.partial_image", "image_generation.completed"]
    line = [each for each in served.all_lines() if each["line"] == "settlement"][-1]
    assert (line["units"], line["streamed"], line["output_tokens"]) == (1, True, 100)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_transcription_is_metered_in_seconds_and_its_file_arrives_as_it_was(served: World, form: Any) -> None:
    sound = wav(7)
    answer = served.openai().audio.transcriptions.with_raw_response.create(
        model="listener", file=("speech.wav", sound), prompt="[[chunks=3]]", response_format=form
    )
    assert "w0 w1 w2" in answer.text
    line = settled(served, answer.headers["x-lobby-request-id"])
    assert (line["units"], line["cost_picousd"], line["status"]) == (7, 700_000_000, "measured")
    [sent] = [each for each in served.fake.requests()[-1:] if each["path"] == "/v1/audio/transcriptions"]
    assert 'name="model"\r\n\r\nfake-listener\r\n' in sent["body"]
    assert sound[44:60].decode("utf-8", "replace") in sent["body"]


def test_a_transcription_streams(served: World) -> None:
    stream = served.openai().audio.transcriptions.create(
        model="listener", file=("speech.wav", wav(3)), prompt="[[chunks=2]]", stream=True
    )
    assert [event.type for event in stream] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    line = [each for each in served.all_lines() if each["line"] == "settlement"][-1]
    assert (line["units"], line["streamed"]) == (3, True)


def test_speech_is_metered_in_characters_and_its_bytes_pass(served: World) -> None:
    answer = served.openai().audio.speech.with_raw_response.create(model="speaker", input="Grüezi!", voice="alloy")
    assert answer.content == b"\xff" * 7
    assert answer.headers["content-type"] == "audio/mpeg"
    line = settled(served, answer.headers["x-lobby-request-id"])
    assert (line["units"], line["cost_picousd"]) == (7, 105_000_000)


def spoken(world: World, text: str) -> tuple[bytes, bool, str]:
    """The sound that came, whether it was whole, and the request's id."""
    heard, whole = b"", True
    body = {"model": "speaker", "input": text, "voice": "alloy"}
    url = world.lobby.base_url + "/audio/speech"
    with httpx.stream("POST", url, json=body, headers=bearer(world.key), timeout=30) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
        try:
            for piece in answer.iter_raw():
                heard += piece
        except httpx.RemoteProtocolError:
            whole = False
    return heard, whole, answer.headers["x-lobby-request-id"]


@pytest.mark.parametrize("fault", ["stall=mid", "fail=close_mid", "fail=reset_mid"])
def test_speech_is_heard_while_it_is_made_and_cut_short_where_it_breaks_off(served: World, fault: str) -> None:
    text = f"Hello [[{fault}]]"
    heard, whole, request_id = spoken(served, text)
    assert (heard, whole) == (b"\xff" * (len(text) // 2), False)
    served.eventually(lambda: len(served.spool_lines(request_id)) == 3, within=5)
    line = settled(served, request_id)
    assert (line["outcome"], line["units"], line["cost_picousd"]) == (
        "upstream_error",
        len(text),
        15_000_000 * len(text),
    )


def test_speech_streams_as_events(served: World) -> None:
    body = {"model": "speaker", "input": "Hello", "voice": "alloy", "stream_format": "sse"}
    response = served.post(body, path="/audio/speech")
    assert "speech.audio.done" in response.text
    line = settled(served, response.headers["x-lobby-request-id"])
    assert (line["units"], line["output_tokens"], line["audio_output_tokens"]) == (5, 5, 5)


def test_moderations_pass_and_cost_nothing(served: World) -> None:
    answer = served.openai().moderations.with_raw_response.create(model="guard", input=["violence", "peace"])
    assert [each.flagged for each in answer.parse().results] == [True, False]
    line = settled(served, answer.headers["x-lobby-request-id"])
    assert (line.get("cost_picousd", 0), line["status"]) == (0, "measured")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/rerank", {"model": "sorter", "query": "x"}, "documents"),
        ("/rerank", {"model": "sorter", "query": "x", "documents": []}, "documents"),
        ("/images/generations", {"model": "painter"}, "prompt"),
        ("/images/generations", {"model": "painter", "prompt": "x", "n": 99}, "n"),
        ("/audio/speech", {"model": "speaker", "input": ""}, "input"),
        ("/moderations", {"model": "guard"}, "input"),
    ],
)
def test_a_wrong_request_is_told_which_field(served: World, path: str, body: dict[str, Any], param: str) -> None:
    response = served.post(body, path=path)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_model_of_another_kind_says_so(served: World) -> None:
    response = served.post({"model": "guard", "query": "x", "documents": ["y"]}, path="/rerank")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "wrong_model_kind")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "named"),
    [
        ("application/json", b"{}", 415, None),
        ("multipart/form-data", b"--x--", 400, None),
        ("multipart/form-data; boundary=x", b"--x\r\nno end", 400, None),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400, "model"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nlistener\r\n--x--\r\n',
            400,
            "file",
        ),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(
    served: World, content_type: str, body: bytes, status: int, named: str | None
) -> None:
    headers = {"content-type": content_type}
    response = served.post(body, path="/audio/transcriptions", headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (status, named)


def test_a_budget_holds_what_the_sound_may_cost(served: World) -> None:
    key = served.project(budget="0.0001")
    form: dict[str, Any] = {"file": ("speech.wav", wav(60)), "model": (None, "listener")}
    url = f"{served.lobby.base_url}/audio/transcriptions"
    response = httpx.post(url, files=form, headers=bearer(key), timeout=30)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "budget_exceeded")


def test_a_failing_upstream_is_told_in_openais_words_and_costs_nothing(served: World) -> None:
    response = served.post({"model": "painter", "prompt": "a [[fail=503]] car"}, path="/images/generations")
    assert response.status_code == 503
    line = settled(served, response.headers["x-lobby-request-id"])
    assert (line.get("units", 0), line.get("cost_picousd", 0)) == (0, 0)


@pytest.mark.parametrize(
    ("path", "body", "units"),
    [
        ("/images/generations", {"model": "painter", "prompt": "[[stall=mid]]", "n": 2}, 2),
        ("/rerank", {"model": "sorter", "query": "[[stall=mid]]", "documents": ["red", "blue"]}, 1),
    ],
)
def test_what_an_upstream_fell_silent_over_is_estimated_from_the_request(
    served: World, path: str, body: dict[str, Any], units: int
) -> None:
    response = served.post(body, path=path)
    assert response.status_code == 504
    line = settled(served, response.headers["x-lobby-request-id"])
    assert (line["status"], line["units"]) == ("estimated", units)
    assert line["cost_picousd"] == units * MODELS[body["model"]][2]


def test_a_form_whose_type_is_no_ascii_is_refused(served: World) -> None:
    headers = {"content-type": "multipart/form-data; boundary=é".encode("latin-1")}
    body = '--é\r\ncontent-disposition: form-data; name="model"\r\n\r\nlistener\r\n'.encode("latin-1")
    body += b'--\xe9\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nsound\r\n--\xe9--\r\n'
    response = served.post(body, path="/audio/transcriptions", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_form")
