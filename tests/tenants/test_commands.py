from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.tenants import apikeys, audit, services
from apps.tenants.models import ApiKey, AuditEntry, Project, Tenant
from apps.tenants.types import Scope
from tests.tenants.conftest import OPERATOR, Cast


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_created_key_stands_alone_on_standard_output(cast: Cast) -> None:
    said = run("apikey", "create", "--project", "retail/chat", "--name", "ops", "--expires-in-days", "7")
    parts = apikeys.split(said.removesuffix("\n"))
    assert parts is not None
    key = ApiKey.objects.for_tenant(cast.retail).get(prefix=parts[0])
    assert (key.name, key.scopes, key.created_by) == ("ops", [Scope.INFERENCE], None)
    assert apikeys.verify(parts[1], key.secret_hmac)
    entry = AuditEntry.objects.unscoped("test").first()
    assert entry
    assert (entry.action, entry.actor_label) == ("apikey.created", "command line")


def test_unknown_project_is_one_line_that_lists_the_known_ones(cast: Cast) -> None:
    with pytest.raises(CommandError) as refusal:
        run("apikey", "create", "--project", "retail/nope")
    assert str(refusal.value) == "There is no project 'retail/nope'. There are: claims/triage, retail/chat"


def test_empty_installation_says_so(db: None) -> None:
    with pytest.raises(CommandError, match="nor any other yet"):
        run("apikey", "create", "--project", "retail/chat")


@pytest.mark.parametrize("days", ["0", "-1", "99999"])
def test_silly_expiry_is_refused(cast: Cast, days: str) -> None:
    with pytest.raises(CommandError, match="1 to 3650"):
        run("apikey", "create", "--project", "retail/chat", f"--expires-in-days={days}")


def test_key_is_listed_without_its_secret_and_revoked_by_its_prefix(cast: Cast) -> None:
    issued = services.create_api_key(actor=OPERATOR, project=cast.chat, name="ops")
    listed = run("apikey", "list", "--project", "retail/chat")
    assert issued.api_key.prefix in listed
    assert issued.plaintext not in listed
    run("apikey", "revoke", f"lby_{issued.api_key.prefix}")
    issued.api_key.refresh_from_db()
    assert issued.api_key.revoked_at is not None
    with pytest.raises(CommandError, match="no API key 'nope'"):
        run("apikey", "revoke", "nope")


def test_tenant_and_project_are_made_suspended_and_listed(db: None) -> None:
    run("tenant", "create", "wealth", "--name", "Wealth", "--time-zone", "Europe/Paris")
    run("project", "create", "wealth/advice", "--environment", "prod")
    assert Project.objects.unscoped("test").get().environment == "prod"
    assert run("project", "list").startswith("wealth/advice")
    run("tenant", "suspend", "wealth", "--reason", "unpaid")
    assert "suspended" in run("tenant", "list")
    run("tenant", "reactivate", "wealth")
    assert Tenant.objects.unscoped("test").get().status == "active"
    with pytest.raises(CommandError, match="already"):
        run("tenant", "create", "wealth")
    with pytest.raises(CommandError, match="no time zone"):
        run("tenant", "create", "other", "--time-zone", "Mars")


@pytest.mark.django_db(transaction=True)
def test_flush_empties_the_trail_too_and_protects_the_next_one() -> None:
    services.create_tenant(actor=OPERATOR, slug="retail", name="Retail")
    call_command("flush", interactive=False, verbosity=0)
    assert audit.verify() == audit.Verdict(0, audit.GENESIS)
    services.create_tenant(actor=OPERATOR, slug="retail", name="Retail")
    assert audit.verify().entries == 1
    assert audit.verify().ok
