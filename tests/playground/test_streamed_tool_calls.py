"""A tool call that comes in thousands of pieces: the page is sent it as it is, not as it ever was."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from apps.gateway.snapshot import Principal
from apps.playground.run import Run

PIECES = 2_000


def test_a_long_call_in_pieces_is_kept_and_sent_once() -> None:
    run = Run(1, cast(Principal, None), b"")  # nothing is called: what would come is handed to it

    async def stream() -> list[int]:
        await run._send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(PIECES):
            call = {
                "index": 0,
                "id": "call_1",
                "function": {"name": "find" if not number else "", "arguments": "ten chars."},
            }
            event = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
            await run._send(
                {"type": "http.response.body", "body": b"data: %s\n\n" % json.dumps(event).encode(), "more_body": True}
            )
        return [run.last]

    assert asyncio.run(stream()) == [PIECES], "each piece has its number"
    whole = run.frame(0)
    assert len(whole) < 15 * PIECES, "as long as the call, not as the sum of all that it was on its way"
    parts = json.loads(whole)["parts"]
    assert [[kind, calls[0]["name"], len(calls[0]["arguments"])] for kind, calls in parts] == [
        ["tools", "find", 10 * PIECES]
    ]
    late = json.loads(run.frame(PIECES - 1))
    assert (late["last"], late["parts"]) == (PIECES, parts), "who is behind by one piece hears the same"
