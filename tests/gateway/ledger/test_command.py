"""``manage.py ledger``: what an operator types and reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from apps.gateway.ledger.files import SegmentName, new_writer
from apps.gateway.ledger.rebuild import rebuild_rollups
from apps.gateway.ledger.totals import parse_since
from apps.gateway.models import UsageRecord, UsageRollup
from apps.models.models import Model
from apps.models.services import create_endpoint, create_model, create_provider
from apps.tenants.access import Actor
from apps.tenants.models import Project, Tenant
from tests.gateway.ledger import books
from tests.gateway.ledger.books import dead_segment, encoded, request, settlement

pytestmark = [pytest.mark.backends, pytest.mark.django_db(transaction=True)]
HOUR = 3_600_000


@pytest.fixture
def spool(tmp_path: Path, settings: Settings) -> Path:
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.SPOOL_DIR.mkdir()
    return Path(settings.SPOOL_DIR)


@pytest.fixture
def project(db: None) -> Project:
    tenant = Tenant.objects.create(slug="retail", name="Retail", time_zone="Asia/Kolkata")
    return Project.objects.create(tenant=tenant, slug="shop", name="Shop")


def ledger(*arguments: str) -> str:
    out = StringIO()
    call_command("ledger", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def totals(*arguments: str) -> Any:
    return json.loads(ledger("totals", "--json", *arguments))


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_drain_says_what_it_did(spool: Path) -> None:
    dead_segment(spool, books.whole(1) + b"torn")
    assert "1 records and 1 requests are new" in ledger("drain")
    assert "1 quarantined" not in ledger("drain", "--once")
    assert "0 bytes undrained" in ledger("drain")


def test_drain_fails_where_something_cannot_be_read(spool: Path) -> None:
    broken = spool / str(SegmentName(new_writer(), 1))
    broken.mkdir()
    with pytest.raises(CommandError, match="could not be read"):
        ledger("drain")


def test_totals_by_status_and_project(spool: Path, project: Project) -> None:
    mine = {"tenant_id": project.tenant_id, "project_id": project.pk}
    parts = {
        "cached_tokens": 3, "cache_write_tokens": 2, "cache_write_1h_tokens": 1, "reasoning_tokens": 1,
        "audio_input_tokens": 4, "audio_output_tokens": 0, "image_input_tokens": 1, "image_output_tokens": 0,
        "units": 7,
    }  # fmt: skip
    dead_segment(
        spool,
        encoded(
            settlement(1, **mine, **parts, cost_picousd=123_456_789_012),
            settlement(2, **mine, status="estimated", outcome="cancelled", cost_picousd=1),
            settlement(3, outcome="upstream_error", tenant_id=0, project_id=0, cost_picousd=10**12),
        ),
    )
    assert totals()["undrained_bytes"] > 0
    ledger("drain")
    report = totals()
    assert report["undrained_bytes"] == 0
    assert report["since"] is None
    assert report["total"] == {
        "requests": 3,
        "errors": 1,
        "input_tokens": 36,
        "output_tokens": 6,
        **parts,
        "cost_usd": "1.123456789013",
    }
    assert list(report["by_status"]) == ["measured", "estimated", "interrupted", "reconciled"]
    assert report["by_status"]["estimated"]["cost_usd"] == "0.000000000001"
    assert list(report["by_project"]) == ["#0/#0", "retail/shop"]
    shop = report["by_project"]["retail/shop"]
    assert (shop["requests"], shop["cached_tokens"], shop["by_status"]["measured"]["requests"]) == (2, 3, 1)
    assert Decimal(report["total"]["cost_usd"]) == sum(Decimal(p["cost_usd"]) for p in report["by_project"].values())
    assert totals("--project", "retail/shop")["total"]["requests"] == 2
    table = ledger("totals")
    assert "provider unknown" in table
    assert "retail/shop" in table
    assert "1.123456789013" in table
    assert "sound in" in table
    assert "sound out" not in table


def test_totals_by_provider_and_model_are_what_an_invoice_is_held_against(spool: Path, project: Project) -> None:
    operator = Actor.system("test")
    served = {}
    for name, models in {"acme": ("writer", "reader"), "other": ("writer",)}.items():
        provider = create_provider(actor=operator, slug=name, name=name, base_url="https://192.0.43.7/v1")
        for slug in models:
            model = Model.objects.filter(slug=slug).first() or create_model(actor=operator, slug=slug, name=slug)
            endpoint = create_endpoint(actor=operator, model=model, provider=provider, upstream_model=slug)
            served[name, slug] = {"model_id": model.pk, "endpoint_id": endpoint.pk}
    mine = {"tenant_id": project.tenant_id, "project_id": project.pk}
    lines = [
        settlement(number, **ids, **(mine if number else {}), cost_picousd=10 ** (12 + number))
        for number, ids in enumerate(served.values())
    ]
    dead_segment(spool, encoded(*lines))
    ledger("drain")
    report = totals()

    def costs(blocks: Any) -> dict[str, Decimal]:
        return {name: Decimal(block["cost_usd"]) for name, block in blocks.items()}

    assert costs(report["by_provider"]) == {"other": 100, "acme": 11}
    assert costs(report["by_model"]) == {"writer": 101, "reader": 10}
    assert costs(totals("--project", "retail/shop")["by_provider"]) == {"other": 100, "acme": 10}
    assert sum(block["requests"] for block in report["by_provider"].values()) == report["total"]["requests"] == 3
    assert "provider acme" in ledger("totals")


def test_totals_since_any_moment_are_the_records_since_then(spool: Path, project: Project) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    moments = [hour - timedelta(minutes=m) for m in (0, 1, 29, 31, 59, 60, 61, 119, 120, 121, 1440, 3000)] + [now]
    mine = {"tenant_id": project.tenant_id, "project_id": project.pk}
    dead_segment(spool, encoded(*(settlement(n, at=milliseconds(at), **mine) for n, at in enumerate(moments))))
    ledger("drain")
    for since in [*moments[:-1], hour - timedelta(minutes=30), hour - timedelta(hours=1), hour - timedelta(days=9)]:
        expected = [n for n, at in enumerate(moments) if at >= since]
        for arguments in ((), ("--project", "retail/shop")):
            total = totals("--since", since.isoformat(), *arguments)["total"]
            assert total["requests"] == len(expected), since
            assert total["output_tokens"] == sum(expected)


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("24h", timedelta(hours=24)),
     ("7d", timedelta(days=7)), ("2w", timedelta(weeks=2)), ("1 h", timedelta(hours=1))],
)  # fmt: skip
def test_since_takes_durations(text: str, ago: timedelta) -> None:
    now = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    assert parse_since(text, now) == now - ago


def test_since_takes_times_with_and_without_a_zone() -> None:
    now = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    assert parse_since("2026-11-21T08:00+02:00", now) == datetime(2026, 11, 21, 6, tzinfo=UTC)
    assert parse_since("2026-11-21T08:00:01", now) == datetime(2026, 11, 21, 8, 0, 1, tzinfo=UTC)
    assert parse_since("2026-11-21", now) == datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "24", "5 fortnights", "99999999999w", "2026-13-01"])
def test_since_says_what_it_takes(text: str) -> None:
    with pytest.raises(CommandError, match="such as 24h"):
        ledger("totals", "--since", text)


def test_an_unknown_project_is_named() -> None:
    with pytest.raises(CommandError, match="retail/none"):
        ledger("totals", "--project", "retail/none")


def filled(spool: Path, project: Project) -> None:
    start = milliseconds(datetime(2026, 10, 1, 17, 55, tzinfo=UTC))
    for number in range(120):
        mine = {"tenant_id": project.tenant_id, "project_id": project.pk, "api_key_id": number % 3}
        line = settlement(number, at=start + number * HOUR // 6, **(mine if number % 4 else {}), first_token_ms=number)
        dead_segment(spool, encoded(line, request(number)))
    ledger("drain")


def test_rollups_made_anew_are_equal(spool: Path, project: Project) -> None:
    filled(spool, project)
    before = books.rollups()
    assert "0 were missing, 0 had other sums, 0 had no records" in ledger("rebuild-rollups", "--check")
    assert books.rollups() == before


def test_rollups_that_differ_are_found_and_set_right(spool: Path, project: Project) -> None:
    filled(spool, project)
    right = books.rollups()
    rows = UsageRollup.objects.unscoped("test")
    first, second, third = rows.order_by("pk")[:3]
    rows.filter(pk=first.pk).delete()
    rows.filter(pk=second.pk).update(cost_picousd=5)
    third.pk, third.user_id = None, 77
    third.save()
    with pytest.raises(CommandError, match="differ"):
        ledger("rebuild-rollups", "--check")
    report = rebuild_rollups(write=False)
    assert (report.missing, report.different, report.extra, report.rows) == (1, 1, 1, len(right))
    assert "equal to their records now" in ledger("rebuild-rollups")
    assert books.rollups() == right


def test_a_tenant_that_moved_gets_its_days_cut_anew(spool: Path, project: Project) -> None:
    filled(spool, project)
    Tenant.objects.unscoped("test").update(time_zone="America/Los_Angeles")
    assert not rebuild_rollups(write=True).equal
    assert rebuild_rollups(write=False).equal


def test_check_sets_connection_tests_aside(tmp_path: Path) -> None:
    line = json.dumps({"attempt": "connection-test", "prompt_tokens": 3}) + "\n"
    (tmp_path / "count.jsonl").write_text(line * 2)
    told = ledger("check", "--upstream", str(tmp_path / "count.jsonl"))
    assert "2 were connection tests" in told
    assert "missing: 0" in told
    assert "duplicate: 0" in told


def test_check_of_an_empty_ledger(tmp_path: Path) -> None:
    (tmp_path / "count.jsonl").write_text("")
    assert "missing: 0" in ledger("check", "--upstream", str(tmp_path / "count.jsonl"))
    assert UsageRecord.objects.unscoped("test").count() == 0
