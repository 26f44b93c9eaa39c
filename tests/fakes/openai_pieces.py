"""What the fake OpenAI upstream says to the rest of its API: rerank, images, sound, moderations.

Deterministic like the rest: a rerank is one search, an image is drawn as asked, a transcription lasts as long as the
uploaded WAV file, speech is one byte per character in a made-up format. ``usage=missing`` and the faults of plain
answers work as everywhere.
"""

from __future__ import annotations

import base64
import email
import email.policy
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.openai_wire import Event, Plan, behaviour_of, encode, read_json, refused


def rerank_plan(body: bytes, mode: str = "") -> Plan:
    request = read_json(body)
    documents, query = request.get("documents"), request.get("query")
    if not isinstance(documents, list) or not documents or not isinstance(query, str):
        raise refused(400, "'query' and 'documents' are needed", param="documents")
    behaviour = behaviour_of(request, [query], mode)
    wanted = set(query.lower().split())
    scores = [len(wanted & set(str(each).lower().split())) / max(len(wanted), 1) for each in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[: request.get("top_n") or len(documents)]
    answer: dict[str, Any] = {
        "id": "rerank-fake",
        "model": request["model"],
        "results": [{"index": index, "relevance_score": scores[index]} for index in order],
    }
    if behaviour.usage != "missing":
        answer["meta"] = {"billed_units": {"search_units": -(-len(documents) // 100)}}
    return Plan(request["model"], False, behaviour, 0, 0, encode(answer), (), behaviour.usage != "missing")


def images_plan(body: bytes, mode: str = "") -> Plan:
    request = read_json(body)
    prompt = request.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise refused(400, "'prompt' is needed", param="prompt")
    behaviour = behaviour_of(request, [prompt], mode)
    count, tokens = request.get("n") or 1, len(prompt.split())
    drawn = base64.b64encode(b"\x89PNG fake").decode()
    usage = {
        "input_tokens": tokens,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        "output_tokens": 100 * count,
        "total_tokens": tokens + 100 * count,
    }
    told = {"usage": usage} if behaviour.usage != "missing" else {}
    sent = bool(told)
    if request.get("stream"):
        partial = {"type": "image_generation.partial_image", "b64_json": drawn, "partial_image_index": 0}
        done = {"type": "image_generation.completed", "b64_json": drawn, **told}
        events = tuple(Event(encode(each), 0, -1, str(each["type"]).encode()) for each in (partial, done))
        return Plan(request["model"], True, behaviour, tokens, 100, b"", events, sent)
    answer = {"created": 1_700_000_000, "data": [{"b64_json": drawn}] * count, **told}
    return Plan(request["model"], False, behaviour, tokens, 100 * count, encode(answer), (), sent)


def transcriptions_plan(body: bytes, mode: str = "") -> Plan:
    fields, sound = _form(body)
    if not fields.get("model") or sound is None:
        raise refused(400, "'model' and 'file' are needed", param="file")
    request = {"model": fields["model"]}
    behaviour = behaviour_of(request, [fields.get("prompt", "")], mode)
    rate = int.from_bytes(sound[28:32], "little") if sound.startswith(b"RIFF") else 16_000
    seconds = -(-(len(sound) - 44) // max(rate, 1))
    text = "".join(f"w{index} " for index in range(behaviour.chunks)).strip()
    told = {"usage": {"type": "duration", "seconds": seconds}} if behaviour.usage != "missing" else {}
    if fields.get("stream") == "true":
        events = [
            Event(encode({"type": "transcript.text.delta", "delta": word}), 1, index, b"transcript.text.delta")
            for index, word in enumerate(text.split())
        ]
        done = {"type": "transcript.text.done", "text": text, **told}
        events.append(Event(encode(done), 0, -1, b"transcript.text.done"))
        return Plan(fields["model"], True, behaviour, 0, behaviour.chunks, b"", tuple(events), bool(told))
    if fields.get("response_format") == "text":
        plain = (text + "\n").encode()
        return Plan(fields["model"], False, behaviour, 0, 0, plain, (), False, "text/plain; charset=utf-8")
    return Plan(fields["model"], False, behaviour, 0, 0, encode({"text": text, **told}), (), bool(told))


def speech_plan(body: bytes, mode: str = "") -> Plan:
    request = read_json(body)
    text = request.get("input")
    if not isinstance(text, str) or not request.get("voice"):
        raise refused(400, "'input' and 'voice' are needed", param="voice")
    behaviour = behaviour_of(request, [text], mode)
    if request.get("stream_format") == "sse":
        sound = base64.b64encode(b"\xff" * len(text)).decode()
        usage = {"input_tokens": len(text.split()), "output_tokens": len(text), "total_tokens": len(text)}
        delta: dict[str, Any] = {"type": "speech.audio.delta", "audio": sound}
        done: dict[str, Any] = {"type": "speech.audio.done", "usage": usage}
        events = tuple(Event(encode(each), 0, -1, str(each["type"]).encode()) for each in (delta, done))
        return Plan(request["model"], True, behaviour, 0, 0, b"", events, True)
    return Plan(request["model"], False, behaviour, 0, 0, b"\xff" * len(text), (), False, "audio/mpeg")


def moderations_plan(body: bytes, mode: str = "") -> Plan:
    request = read_json(body)
    given = request.get("input")
    inputs = given if isinstance(given, list) else [given]
    texts = [each if isinstance(each, str) else str(each) for each in inputs]
    behaviour = behaviour_of(request, texts, mode)
    results = [
        {
            "flagged": "violence" in text,
            "categories": {"violence": "violence" in text},
            "category_scores": {"violence": float("violence" in text)},
            "category_applied_input_types": {"violence": ["text"]},
        }
        for text in texts
    ]
    answer = {"id": "modr-fake", "model": request["model"], "results": results}
    return Plan(request["model"], False, behaviour, 0, 0, encode(answer), (), False)


def _form(body: bytes) -> tuple[dict[str, str], bytes | None]:
    """The fields and the file of a form, whose first line is its boundary; read by the standard library."""
    boundary = body[2 : body.find(b"\r\n")].decode("latin-1")
    head = f'Content-Type: multipart/form-data; boundary="{boundary}"\r\n\r\n'.encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    fields: dict[str, str] = {}
    sound: bytes | None = None
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if name == "file":
            sound = payload
        elif isinstance(name, str):
            fields[name] = payload.decode()
    return fields, sound


PLANS: Mapping[str, Callable[[bytes, str], Plan]] = {
    "/v1/rerank": rerank_plan,
    "/v1/images/generations": images_plan,
    "/v1/audio/transcriptions": transcriptions_plan,
    "/v1/audio/speech": speech_plan,
    "/v1/moderations": moderations_plan,
}
