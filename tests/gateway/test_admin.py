"""The ledger in the admin: every table can be read by the platform's staff, and changed by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.gateway.ledger.drain import drain_once
from apps.gateway.models import RequestLog, UsageRecord, UsageRollup
from apps.tenants.models import User
from apps.tenants.types import PlatformRole
from tests.gateway.ledger.books import dead_segment, whole

pytestmark = pytest.mark.django_db
TABLES = {"requestlog": RequestLog, "usagerecord": UsageRecord, "usagerollup": UsageRollup}


def signed_in(role: PlatformRole) -> Client:
    client = Client()
    client.force_login(User.objects.create_user(f"{role or 'nobody'}@example.com", platform_role=role))
    return client


def drained(directory: Path, numbers: range) -> None:
    dead_segment(directory, b"".join(whole(number) for number in numbers), sequence=numbers.start + 1)
    drain_once(directory)


@pytest.mark.parametrize("role", [PlatformRole.SERVICE_ADMIN, PlatformRole.SERVICE_ENGINEER])
@pytest.mark.parametrize("table", TABLES)
def test_staff_read_lists_and_rows_and_change_nothing(tmp_path: Path, table: str, role: PlatformRole) -> None:
    drained(tmp_path / "spool", range(3))
    client = signed_in(role)
    rows = TABLES[table]._base_manager
    before = list(rows.order_by("pk").values())
    listing = client.get(reverse(f"admin:gateway_{table}_changelist"))
    assert listing.status_code == 200
    first = rows.order_by("pk").first()
    assert first is not None
    page = reverse(f"admin:gateway_{table}_change", args=[first.pk])
    assert client.get(page).status_code == 200
    assert client.post(page, {"cost_picousd": "0", "status": "measured"}).status_code == 403
    assert client.get(reverse(f"admin:gateway_{table}_add")).status_code == 403
    assert client.post(reverse(f"admin:gateway_{table}_delete", args=[first.pk]), {"post": "yes"}).status_code == 403
    assert list(rows.order_by("pk").values()) == before


@pytest.mark.parametrize("table", TABLES)
def test_others_are_kept_out(table: str) -> None:
    assert signed_in(PlatformRole.NONE).get(reverse(f"admin:gateway_{table}_changelist")).status_code in (302, 403)


@pytest.mark.parametrize("table", TABLES)
def test_a_list_costs_the_same_with_few_rows_and_with_many(tmp_path: Path, table: str) -> None:
    client = signed_in(PlatformRole.SERVICE_ADMIN)
    url = reverse(f"admin:gateway_{table}_changelist")
    counts = []
    for numbers in (range(3), range(3, 300)):
        drained(tmp_path / "spool", numbers)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(url).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_request_is_found_by_its_id(tmp_path: Path) -> None:
    drained(tmp_path / "spool", range(5))
    client = signed_in(PlatformRole.SERVICE_ADMIN)
    found = client.get(reverse("admin:gateway_requestlog_changelist"), {"q": f"{3:032x}"})
    assert f"{3:032x}" in found.content.decode()
    assert f"{4:032x}" not in found.content.decode()


@pytest.mark.parametrize("table", TABLES)
def test_figures_have_their_units_and_moments_are_short(tmp_path: Path, table: str) -> None:
    drained(tmp_path / "spool", range(1))
    rows = TABLES[table]._base_manager
    rows.update(input_tokens=12_345)
    moment = rows.order_by("pk").values_list("bucket" if table == "usagerollup" else "at", flat=True)[0]
    page = signed_in(PlatformRole.SERVICE_ADMIN).get(reverse(f"admin:gateway_{table}_changelist")).content.decode()
    assert "12,345 tokens" in page
    assert f"{moment.day} {moment:%b %Y, %H:%M}" in page
