"""Converse between two sides that both speak it: what passes is the caller's; the endpoint's guardrail and Lobby's cap
are put in."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from apps.models.providers.base import Answer, ProviderError, Target, UpstreamCall
from apps.models.providers.dialects.chat.passing import OWN_FIELDS
from apps.models.providers.dialects.converse.request import guardrail
from apps.models.providers.dialects.converse.wire import TokenUsage


class _Answer(msgspec.Struct):
    output: Raw
    usage: TokenUsage | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_MORE = "additionalModelRequestFields"


def request_body(target: Target, call: UpstreamCall) -> bytes:
    fields: dict[str, Any] = {name: raw for name, raw in call.fields.items() if name not in OWN_FIELDS}
    if call.max_output_tokens is not None:
        config = _decode_fields(fields.get("inferenceConfig") or b"{}")
        fields["inferenceConfig"] = {**config, "maxTokens": call.max_output_tokens}
    if _MORE in fields and b'"lobby"' in bytes(fields[_MORE]):
        more = _decode_fields(fields[_MORE])
        more.pop("lobby", None)
        fields[_MORE] = more
    # The guardrail that the platform set is not the caller's to change.
    return _encode({**fields, **guardrail(target)})


def passed(body: bytes) -> Answer:
    try:
        usage = _decode(body).usage
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProviderError("malformed", f"The upstream's answer is not what its API promises: {error}") from None
    return Answer(body, usage.normalised() if usage is not None else None)
