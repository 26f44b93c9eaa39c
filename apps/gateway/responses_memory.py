"""The Responses API's memory beside an exchange: what was said before is read in, what was answered is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
import structlog
from django.conf import settings
from msgspec import Raw

from apps.gateway import database
from apps.gateway.errors import InvalidRequest, Unavailable
from apps.gateway.fronts.base import Parsed
from apps.gateway.fronts.responses import ResponsesRequest, input_items, with_input
from apps.gateway.services import stored_responses
from apps.gateway.snapshot import Principal

log = structlog.get_logger(__name__)

T = TypeVar("T")


class _Response(msgspec.Struct):
    id: str
    output: list[Raw] = []


class _Ended(msgspec.Struct):
    response: Raw


_decode = msgspec.json.Decoder(_Response).decode
_decode_ended = msgspec.json.Decoder(_Ended).decode


def goes_on(parsed: Parsed) -> bool:
    """Whether the request names a previous response."""
    return isinstance(parsed.request, ResponsesRequest) and parsed.request.previous_response_id is not None


async def go_on(principal: Principal, parsed: Parsed) -> Parsed:
    """The request with what was said before it, where it names a previous response.

    Raises ``InvalidRequest`` (404) where the project has none of that id, ``Unavailable`` while it cannot be read.
    """
    request = parsed.request
    if not isinstance(request, ResponsesRequest) or request.previous_response_id is None:
        return parsed
    items = await _asked(stored_responses.recall, principal, request.previous_response_id)
    if items is None:
        raise no_response(request.previous_response_id, param="previous_response_id")
    parsed = with_input(parsed, items)
    if len(bytes(parsed.fields["input"])) > settings.GATEWAY_MAX_BODY_BYTES:
        raise InvalidRequest(
            "The conversation has become larger than a body may be: begin another, with what matters of this one.",
            status=413,
            param="previous_response_id",
            code="request_too_large",
        )
    return parsed


async def read(principal: Principal, response_id: str) -> bytes:
    """A response as it was answered. Raises as ``go_on`` does."""
    found = await _asked(stored_responses.read, principal, response_id)
    if found is None:
        raise no_response(response_id)
    return found


async def forget(principal: Principal, response_id: str) -> None:
    """Raises as ``go_on`` does."""
    if not await _asked(stored_responses.forget, principal, response_id):
        raise no_response(response_id)


async def _asked(act: Callable[[Principal, str], T], principal: Principal, response_id: str) -> T:
    try:
        return await database.ask(act, principal, response_id)
    except database.DatabaseAway:
        raise Unavailable(
            "What was said before cannot be read right now. Try again in a moment.", retry_after=2.0
        ) from None


def no_response(response_id: str, *, param: str | None = None) -> InvalidRequest:
    shown = "".join(character for character in response_id if character.isprintable())[:100]
    return InvalidRequest(
        f"There is no response '{shown}' in this project; it may have expired, or was not stored.",
        status=404,
        param=param,
        code="response_not_found",
    )


async def keep(principal: Principal, parsed: Parsed, answered: bytes) -> None:
    """Keep an answer, unless the caller said ``"store": false``. ``answered`` is the whole body, or a stream's last
    events. An answer is not held up, nor lost, because it could not be kept."""
    request = parsed.request
    if not isinstance(request, ResponsesRequest) or request.store is False:
        return
    body = response_of(answered, streamed=request.streams)
    if body is None:
        return
    try:
        response = _decode(body)
        items = [*input_items(parsed), *response.output]
        await database.ask(stored_responses.remember, principal, response.id, items, body)
    except (database.DatabaseAway, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("response_not_kept", error=repr(error.__cause__ or error)[:200])


def response_of(answered: bytes, *, streamed: bool) -> bytes | None:
    """The response itself; None where the stream did not end with one."""
    if not streamed:
        return answered
    for event in reversed(answered.replace(b"\r\n", b"\n").split(b"\n\n")):
        data = event[event.find(b"data:") + 5 :].strip()
        if b'"response.completed"' in event or b'"response.incomplete"' in event:
            try:
                return bytes(_decode_ended(data).response)
            except msgspec.MsgspecError:
                return None
    return None
