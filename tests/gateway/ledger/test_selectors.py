"""Reads for pages and the API: from rollups, in the actor's own tenants, whole at any page size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.gateway import selectors
from apps.gateway.budget_seeds import read_spent
from apps.gateway.ledger.drain import drain_once
from apps.gateway.ledger.lines import AnyLine
from apps.gateway.selectors import RequestFilters
from apps.gateway.snapshot import BudgetFacts, RuleFacts
from apps.models.models import Model
from apps.tenants.access import Actor
from apps.tenants.errors import Invalid, NotFound
from apps.tenants.models import ApiKey, Membership, Project, Tenant, User
from apps.tenants.types import PlatformRole, Role
from tests.gateway.ledger.books import dead_segment, encoded, request, settlement
from tests.gateway.routing.making import TENANT

pytestmark = [pytest.mark.backends, pytest.mark.django_db]
START = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)  # the night of a change of the clock in Berlin
COUNT = 96


@dataclass
class Cast:
    retail: Tenant
    claims: Tenant
    shop: Project
    other: Project
    key: ApiKey
    model: Model

    def actor(self, name: str) -> Actor:
        return Actor.of_user(User.objects.get(email=f"{name}@example.com"))


@pytest.fixture
def cast(db: None) -> Cast:
    retail = Tenant.objects.create(slug="retail", name="Retail", time_zone="Europe/Berlin")
    claims = Tenant.objects.create(slug="claims", name="Claims")
    shop = Project.objects.create(tenant=retail, slug="shop", name="Shop")
    other = Project.objects.create(tenant=retail, slug="other", name="Other")
    key = ApiKey.objects.create(project=shop, name="ci", prefix="abc", secret_hmac="x", scopes=["management:read"])
    cast = Cast(retail, claims, shop, other, key, Model.objects.create(slug="small", name="Small"))
    for name, tenant, role in (
        ("developer", retail, Role.DEVELOPER),
        ("viewer", retail, Role.VIEWER),
        ("claimant", claims, Role.ADMIN),
        ("outsider", None, None),
        ("admin", None, None),
    ):
        user = User.objects.create_user(f"{name}@example.com", "correct horse battery")
        if tenant is not None and role is not None:
            Membership.objects.create(tenant=tenant, user=user, role=role)
    User.objects.filter(email="admin@example.com").update(platform_role=PlatformRole.SERVICE_ADMIN)
    return cast


@pytest.fixture
def used(cast: Cast, tmp_path: Path) -> Cast:
    """A request every half hour for two days of the retail tenant, and three of the claims tenant."""
    lines: list[AnyLine] = []
    for number in range(COUNT + 3):
        at = int((START + timedelta(minutes=30) * (number % COUNT)).timestamp() * 1000)
        who = {"tenant_id": cast.retail.pk, "project_id": (cast.shop if number % 3 else cast.other).pk}
        who |= {"api_key_id": cast.key.pk if number % 3 else 0}
        if number >= COUNT:
            who = {"tenant_id": cast.claims.pk, "project_id": 999, "api_key_id": 0}
        timing = {"first_token_ms": 100 + number, "duration_ms": 1100 + number, "output_tokens": 50}
        lines.append(
            settlement(
                number, at=at, model_id=cast.model.pk, cost_picousd=10**number if number < 3 else 7, **who, **timing
            )
        )
        lines.append(request(number, at=at, **who))
    dead_segment(tmp_path / "spool", encoded(*lines))
    drain_once(tmp_path / "spool")
    return cast


WHOLE = (START - timedelta(days=3), START + timedelta(days=5))


def test_a_summary_counts_what_the_actor_may_see(used: Cast) -> None:
    counts = {
        name: selectors.usage_summary(used.actor(name), None, *WHOLE).requests
        for name in ("developer", "viewer", "claimant", "outsider", "admin")
    }
    assert counts == {"developer": COUNT, "viewer": COUNT, "claimant": 3, "outsider": 0, "admin": COUNT + 3}
    assert selectors.usage_summary(used.actor("admin"), used.claims, *WHOLE).requests == 3
    assert selectors.usage_summary(used.actor("claimant"), used.retail, *WHOLE).requests == 0
    key = Actor.of_api_key(ApiKey.objects.unscoped("test").get(pk=used.key.pk))
    assert selectors.usage_summary(key, None, *WHOLE).requests == COUNT * 2 // 3


def test_hours_add_up_to_days(used: Cast) -> None:
    actor = used.actor("developer")
    by_hour = selectors.usage_series(actor, used.retail, *WHOLE, group_by="status", granularity="hour")
    by_day = selectors.usage_series(actor, used.retail, *WHOLE, group_by="status", granularity="day")
    summary = selectors.usage_summary(actor, used.retail, *WHOLE)
    for points in (by_hour, by_day):
        assert sum(point.sums.cost_picousd for point in points) == summary.cost_picousd
        assert sum(point.sums.requests for point in points) == COUNT
    assert len(by_hour) == COUNT // 2
    # 28 March from 21:00 on, the 29th with its 23 hours, the 30th: the half hours of each.
    assert [point.sums.requests for point in by_day] == [6, 46, 44]
    assert by_day[1].bucket == datetime(2026, 3, 28, 23, tzinfo=UTC)


def test_groups_have_names(used: Cast) -> None:
    actor = used.actor("developer")
    labels = {
        group: {point.label for point in selectors.usage_series(actor, None, *WHOLE, group_by=group)}
        for group in ("project", "model", "key", "user", "status")
    }
    assert labels == {
        "project": {"retail/shop", "retail/other"},
        "model": {"small"},
        "key": {"ci (abc)", "none"},
        "user": {"none"},
        "status": {"measured"},
    }
    by_project = selectors.usage_by(actor, None, *WHOLE, "project")
    assert [group.label for group in by_project] == ["retail/shop", "retail/other"]
    with pytest.raises(Invalid):
        selectors.usage_series(actor, None, *WHOLE, group_by="colour")
    with pytest.raises(Invalid):
        selectors.usage_series(actor, None, *WHOLE, group_by="model", granularity="minute")


def test_queries_do_not_grow_with_the_rows(used: Cast) -> None:
    actor = used.actor("admin")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        selectors.usage_series(actor, None, *WHOLE, group_by="project")
        list(selectors.requests_for(actor))
        selectors.usage_summary(actor, None, *WHOLE)
    assert len(queries) == 4


def test_requests_can_be_filtered(used: Cast) -> None:
    actor = used.actor("developer")

    def count(**filters: object) -> int:
        return selectors.requests_for(actor, RequestFilters(**filters)).count()  # type: ignore[arg-type]

    assert count(tenant=used.retail) == COUNT
    assert count(tenant=used.claims) == 0
    assert count(project_id=used.other.pk) == COUNT // 3
    assert count(api_key_id=used.key.pk) == COUNT * 2 // 3
    assert count(model_slug="small") == COUNT
    assert count(outcome="denied") == 0
    assert count(since=START + timedelta(hours=1), until=START + timedelta(hours=2)) == 2


def test_a_request_is_found_by_those_who_may_see_it(used: Cast) -> None:
    found = selectors.get_request_for(used.actor("developer"), f"{1:032x}")
    (attempt,) = selectors.attempts_of(found)
    assert attempt.cost_picousd == 10
    # Another tenant's, an outsider's, a viewer's (who may see usage but no request), and a missing one look alike.
    for name, request_id in (
        ("claimant", f"{1:032x}"),
        ("outsider", f"{1:032x}"),
        ("viewer", f"{1:032x}"),
        ("developer", f"{COUNT + 1:032x}"),
        ("developer", "missing"),
        ("developer", f"{1:032x}" + "0"),
    ):
        with pytest.raises(NotFound, match="no such request"):
            selectors.get_request_for(used.actor(name), request_id)


def test_speed_is_the_median_of_the_newest(used: Cast) -> None:
    speed = selectors.model_speed(used.model)
    assert speed.samples == COUNT + 3
    assert speed.first_token_ms == 100 + (COUNT + 2) / 2
    assert speed.tokens_per_second == 50.0
    assert selectors.model_speed(Model.objects.create(slug="new", name="New")).first_token_ms is None


def test_what_a_budget_has_spent_is_its_own_days(used: Cast, tmp_path: Path) -> None:
    """As the counters are seeded with, of a month that begins on 1 March and of the days in it."""
    berlin = replace(TENANT, id=used.retail.pk, zone=ZoneInfo("Europe/Berlin"))

    def spent(period: str, at: datetime, project_id: int = 0, api_key_id: int = 0) -> int:
        budget = BudgetFacts(
            id=1,
            tenant=berlin,
            project_id=project_id,
            api_key_id=api_key_id,
            period=period,
            amount=1,
            hard=True,
            rule=RuleFacts("", ""),
        )
        [(amount, ends_at)] = read_spent([budget], at.timestamp(), tmp_path / "empty", 0).values()
        assert ends_at > at.timestamp()
        return amount

    last = datetime(2026, 3, 30, 12, tzinfo=UTC)
    assert spent("month", last) == 1 + 10 + 100 + 93 * 7
    parts = spent("month", last, used.other.pk), spent("month", last, used.shop.pk, used.key.pk)
    assert spent("month", last) == sum(parts)
    assert spent("day", last) == 44 * 7
