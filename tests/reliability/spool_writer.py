"""A gateway's worth of spool writing, to be killed: ``python -m tests.reliability.spool_writer DIRECTORY SEED``.

Keeps its own durable account, one line per act, of what it was promised: ``begun ID`` after an intent's append
returned, ``seen ID N`` after an output count was stored, ``ended ID OUTPUT COST`` after the settlement's append did.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from apps.gateway.ledger.lines import Intent, RequestLine, Settlement
from apps.gateway.ledger.progress import ProgressTable
from apps.gateway.ledger.spool import Spool

ACCOUNT = "account"
# A busy gateway's pace. Unpaced, a writer fills the spool several times as fast as any database empties it.
PACE_SECONDS = 0.0005
_encode = msgspec.json.Encoder().encode


def main(directory: Path, seed: int, requests: int) -> None:
    choose = random.Random(seed)
    spool = Spool(directory, max_bytes=1 << 40, segment_bytes=20_000).open()
    table = ProgressTable(directory, spool.writer)
    account = os.open(directory.parent / f"{ACCOUNT}-{seed}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    in_flight: list[tuple[Intent, int, int]] = []
    number = 0
    while number < requests or in_flight:
        time.sleep(PACE_SECONDS)
        act = choose.random()
        if number < requests and (not in_flight or (act < 0.35 and len(in_flight) < 40)):
            number += 1
            attempt = f"{seed:08x}{number:024x}"
            who: dict[str, Any] = {
                "request_id": f"r{attempt[1:]}",
                "tenant_id": 1 + seed % 3,
                "project_id": 2,
                "api_key_id": 3,
            }
            at = time.time_ns() // 1_000_000 - choose.randrange(3 * 86_400_000)
            begun = Intent(
                **who,
                at=at,
                attempt_id=attempt,
                model_id=4,
                endpoint_id=5,
                input_tokens=9,
                operation="chat.completions",
            )
            spool.append(_encode(begun) + b"\n")
            os.write(account, b"begun %s\n" % attempt.encode())
            in_flight.append((begun, table.acquire(attempt, 9), 0))
        elif act < 0.7:
            index = choose.randrange(len(in_flight))
            begun, slot, output = in_flight[index]
            table.set_output(slot, output + 1)
            os.write(account, b"seen %s %d\n" % (begun.attempt_id.encode(), output + 1))
            in_flight[index] = (begun, slot, output + 1)
        else:
            begun, slot, output = in_flight.pop(choose.randrange(len(in_flight)))
            who = {name: getattr(begun, name) for name in ("request_id", "at", "tenant_id", "project_id", "api_key_id")}
            used: dict[str, Any] = {
                "outcome": "ok",
                "http_status": 200,
                "input_tokens": 9,
                "output_tokens": output,
                "cost_picousd": output * 3,
            }
            settled = Settlement(
                **who, **used, attempt_id=begun.attempt_id, model_id=4, endpoint_id=5, status="measured"
            )
            request = RequestLine(**who, **used, operation="chat.completions", attempts=1)
            spool.append_settled(_encode(settled) + b"\n" + _encode(request) + b"\n")
            os.write(account, b"ended %s %d %d\n" % (begun.attempt_id.encode(), output, output * 3))
            table.release(slot)
    table.close()
    spool.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
