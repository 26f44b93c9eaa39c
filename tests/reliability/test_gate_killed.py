"""A worker that is killed while it decides a gate: the next one decides it, once, and releases once."""

from __future__ import annotations

import json

from tests.live import LobbyFactory

PRELUDE = """
import json, os, signal, sys
from apps.evaluation.models import GateDecision
from apps.evaluation.services import gates
from apps.prompts.models import Release
from apps.tenants.models import AuditEntry

def tell():
    decision = GateDecision.objects.unscoped("test").get()
    print(json.dumps({
        "status": decision.status,
        "verdict": decision.verdict,
        "releases": Release.objects.unscoped("test").filter(decision="gate").count(),
        "told": AuditEntry.objects.unscoped("test").filter(action="gate.released").count(),
    }), flush=True)
"""
SETUP = """
from tests.cast import assemble
from tests.evaluation.gating import finish, gated, right
world = gated(assemble())
world.plan(policy="automatic")
decision = gates.open_gate(actor=world.cast.actor("developer"), version=world.save("Sort well."))
finish(decision.baseline, right(0.5))
finish(decision.candidate, right(0.9))
"""
# Killed as the named function returns: the evidence is weighed, the label has moved, the audit trail has been told.
# Each worker is a process of its own, forked off one that has everything imported and no connection.
KILLED = """
from django.db import connections

def watch(frame, event, _):
    if event == "return" and frame.f_code.co_name == place and "/apps/" in frame.f_code.co_filename:
        os.kill(os.getpid(), signal.SIGKILL)

connections.close_all()
for place in ("weigh", "release_decided", "settle"):
    print(place, flush=True)
    worker = os.fork()
    if not worker:
        tell()
        sys.setprofile(watch)
        gates.decide_gates()
        os._exit(0)
    _, status = os.waitpid(worker, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"{place}: {status}"
tell()
gates.decide_gates()
gates.decide_gates()
tell()
"""


def test_a_gate_whose_worker_is_killed_is_decided_once(live_lobby: LobbyFactory) -> None:
    said = live_lobby(start=False).python(PRELUDE + SETUP + KILLED).splitlines()
    untouched = {"status": "running", "verdict": "", "releases": 0, "told": 0}
    assert said[0:6:2] == ["weigh", "release_decided", "settle"]
    for place, told in zip(said[0:6:2], said[1:6:2], strict=True):
        assert json.loads(told) == untouched, f"before {place}"
    before, after = map(json.loads, said[6:])
    assert (before["status"], before["releases"]) == ("running", 0)
    assert after == {"status": "released", "verdict": "better", "releases": 1, "told": 1}
