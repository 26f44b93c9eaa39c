"""The demonstration: made once, by the services and the spool, and the banner's line that streams."""

from __future__ import annotations

import json
import signal
import stat
import subprocess

from tests.fakes.blackhole import blackhole
from tests.live import LiveLobby, LobbyFactory
from tests.portal.test_supervisor import Start, start  # noqa: F401  a fixture


def prepared(lobby: LiveLobby) -> dict[str, object]:
    """What ``manage.py prepare`` says it made and found."""
    return facts_in(lobby.manage("prepare"))


def facts_in(said: str) -> dict[str, object]:
    events = [json.loads(line) for line in said.splitlines()]
    facts: dict[str, object] = {}
    for event in events:
        facts |= event.get("facts", {})
    return facts


def test_two_months_of_usage_reach_the_ledger_exactly(demo_lobby: LiveLobby) -> None:
    lobby = demo_lobby
    lines = [
        json.loads(line) for file in lobby.data_dir.glob("spool/*.jsonl") for line in file.read_text().splitlines()
    ]
    intents = {line["attempt_id"] for line in lines if line["line"] == "intent"}
    settled = {line["attempt_id"]: line for line in lines if line["line"] == "settlement"}
    assert len(intents) > 5_000
    assert settled.keys() < intents  # a few were cut off by a crash
    lobby.manage("ledger", "drain")
    counted = json.loads(
        lobby.python(
            "import json\n"
            "from django.db.models import Sum\n"
            "from apps.gateway.models import UsageRecord, UsageRollup\n"
            "records = UsageRecord.objects.unscoped('test')\n"
            "days = UsageRollup.objects.unscoped('test').filter(granularity='day')\n"
            "print(json.dumps({'records': records.count(),\n"
            "    'interrupted': records.filter(status='interrupted').count(),\n"
            "    'cost': records.exclude(status='interrupted').aggregate(n=Sum('cost_picousd'))['n'],\n"
            "    'all': records.aggregate(n=Sum('cost_picousd'))['n'],\n"
            "    'rolled': days.aggregate(n=Sum('cost_picousd'))['n'],\n"
            "    'days': days.values('bucket').distinct().count()}))"
        )
    )
    assert counted["records"] == len(intents)
    assert counted["interrupted"] == len(intents - settled.keys()) > 0
    assert counted["cost"] == sum(line.get("cost_picousd", 0) for line in settled.values())
    assert counted["all"] == counted["rolled"]
    assert counted["days"] >= 60


def test_a_search_for_the_sandbox_finds_its_own_models_alone(demo_lobby: LiveLobby) -> None:
    found = demo_lobby.python(
        "from apps.models.selectors import CatalogQuery, search_models\n"
        "from apps.tenants.access import Actor\n"
        "rows = search_models(Actor.system('test'), CatalogQuery(text='sandbox'))\n"
        "print(*sorted(row.slug for row in rows))"
    )
    assert found.split() == ["sandbox-chat", "sandbox-embed", "sandbox-judge"]


def test_preparing_again_changes_nothing_but_a_revoked_key(demo_lobby: LiveLobby) -> None:
    lobby = demo_lobby
    first = facts_in((lobby.data_dir / "prepared.json").read_text())
    assert prepared(lobby) == first
    kept = lobby.data_dir / "secrets" / "demo_api_key"
    key = str(first["api_key"])
    assert kept.read_text() == key
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    lobby.manage("apikey", "revoke", key.split("_")[1])
    replaced = str(prepared(lobby)["api_key"])
    assert replaced != key
    assert prepared(lobby)["api_key"] == kept.read_text() == replaced


def test_production_has_no_demonstration(live_lobby: LobbyFactory) -> None:
    lobby = live_lobby(start=False, env={"DEMO": "false"})
    facts = prepared(lobby)
    assert facts.keys() == {"found"}
    count = lobby.python("from apps.tenants.models import User\nprint(User.objects.count())")
    assert count.strip() == "0"


def test_the_banners_line_streams_an_answer(start: Start, demo_lobby: LiveLobby) -> None:  # noqa: F811
    lobby = start(demo_lobby.data_dir, DEMO="true").ready()
    lines = lobby.lines
    first = next(number for number, line in enumerate(lines) if line.startswith("curl -N "))
    pasted = "\n".join(lines[first : first + 3])
    done = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, timeout=60, check=True)
    events = [line.removeprefix("data: ") for line in done.stdout.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    text = "".join(
        choice["delta"].get("content") or "" for event in events[:-1] for choice in json.loads(event)["choices"]
    )
    assert len(events) > 5
    assert "Lobby" in text
    lobby.process.send_signal(signal.SIGINT)
    assert lobby.wait_end() == 0
    # A provider that never answers takes neither the logins nor the key from the next start's banner.
    with blackhole() as url:
        again = start(demo_lobby.data_dir, DEMO="true", OPENAI_API_KEY="sk-nobody", OPENAI_BASE_URL=url).ready()
        banner = again.output
        for part in ("priya@lobby.example", "Password", *(line.strip() for line in pasted.split("\n")[1:])):
            assert part in banner
        again.process.send_signal(signal.SIGINT)
        assert again.wait_end() == 0


def test_the_demonstrations_password_passes_our_own_rules() -> None:
    from django.contrib.auth.password_validation import validate_password

    from portal.demo.control_plane import demo_password

    validate_password(demo_password())
    assert demo_password() == demo_password()
