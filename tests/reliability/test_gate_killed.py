"""A worker that is killed while it decides a gate: the next one decides it, once, and releases once."""

from __future__ import annotations

import json
import signal

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
KILLED = """
def watch(frame, event, _):
    if event == "return" and frame.f_code.co_name == place and "/apps/" in frame.f_code.co_filename:
        os.kill(os.getpid(), signal.SIGKILL)

tell()
sys.setprofile(watch)
gates.decide_gates()
"""


def test_a_gate_whose_worker_is_killed_is_decided_once(live_lobby: LobbyFactory) -> None:
    lobby = live_lobby(start=False)

    def python(source: str) -> tuple[int, str]:
        done = lobby.run("-c", f"import django; django.setup()\n{PRELUDE}\n{source}", check=False)
        return done.returncode, done.stdout or done.stderr

    code, told = python(SETUP)
    assert code == 0, told
    for place in ("weigh", "release_decided", "settle"):
        code, told = python(f"place = {place!r}\n{KILLED}")
        assert code == -signal.SIGKILL, f"{place}: {told}"
        assert json.loads(told) == {"status": "running", "verdict": "", "releases": 0, "told": 0}, f"before {place}"
    code, told = python("tell()\ngates.decide_gates()\ngates.decide_gates()\ntell()")
    before, after = map(json.loads, told.splitlines())
    assert (before["status"], before["releases"]) == ("running", 0)
    assert after == {"status": "released", "verdict": "better", "releases": 1, "told": 1}
