from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.tenants import apikeys, audit, audit_triggers, services
from apps.tenants.access import Actor
from apps.tenants.models import AuditEntry, AuditHead, Tenant
from tests.tenants.conftest import OPERATOR, Cast


def entries() -> Any:
    return AuditEntry.objects.unscoped("test").order_by("sequence")


@contextmanager
def intruder() -> Iterator[None]:
    """Somebody who may drop triggers."""
    with audit_triggers.lifted(connection):
        yield


def write(number: int = 5) -> Tenant:
    tenant = services.create_tenant(actor=OPERATOR, slug="retail", name="Retail")
    for each in range(number - 1):
        services.update_tenant(actor=OPERATOR, tenant=tenant, name=f"Retail {each}")
    assert audit.verify().ok
    return tenant


def test_trail_of_an_empty_database_is_whole(db: None) -> None:
    verdict = audit.verify()
    assert (verdict.ok, verdict.entries) == (True, 0)


def test_entry_tells_who_did_what_to_what(cast: Cast) -> None:
    services.update_project(actor=cast.actor("bob"), project=cast.chat, name="Chat 2")
    entry = entries().last()
    assert (entry.action, entry.actor, entry.tenant, entry.target_type) == (
        "project.updated",
        cast.bob,
        cast.retail,
        "tenants.project",
    )
    assert entry.data == {"name": ["Support chat", "Chat 2"]}


def test_act_that_fails_leaves_no_entry(cast: Cast) -> None:
    before = audit.verify().entries

    def act_and_fail() -> None:
        with transaction.atomic():
            services.update_project(actor=cast.actor("bob"), project=cast.chat, name="Chat 2")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        act_and_fail()
    assert audit.verify() == audit.Verdict(before, AuditHead.objects.get().hash)


@pytest.mark.django_db(transaction=True)
def test_record_outside_a_transaction_is_refused() -> None:
    tenant = services.create_tenant(actor=OPERATOR, slug="retail", name="Retail")
    with pytest.raises(RuntimeError, match="transaction"):
        audit.record(OPERATOR, "tenant.poked", tenant)


@pytest.mark.parametrize("query", ["UPDATE tenants_auditentry SET action = 'x'", "DELETE FROM tenants_auditentry"])
def test_database_refuses_to_change_the_trail(db: None, query: str) -> None:
    write()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query)
    assert audit.verify().ok


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "tenant.forged"),
        ("actor_label", "somebody else"),
        ("data", {"name": "forged"}),
        ("target_id", "99"),
        ("tenant_id", None),
        ("actor_id", 1),
        ("hash", "f" * 64),
    ],
)
def test_altered_entry_is_named(db: None, field: str, value: object) -> None:
    write()
    with intruder():
        entries().filter(sequence=3).update(**{field: value})
    verdict = audit.verify()
    assert (verdict.ok, verdict.sequence) == (False, 3)


def test_altered_time_is_named(db: None) -> None:
    write()
    entry = entries().get(sequence=2)
    with intruder():
        entries().filter(sequence=2).update(at=entry.at - timedelta(microseconds=1))
    assert audit.verify().sequence == 2


def test_removed_entry_is_named(db: None) -> None:
    write()
    with intruder():
        entries().filter(sequence=3).delete()
    verdict = audit.verify()
    assert (verdict.sequence, verdict.problem) == (3, "entry 3 is missing")


def test_cut_end_is_named(db: None) -> None:
    write()
    with intruder():
        entries().filter(sequence__gte=4).delete()
    verdict = audit.verify()
    assert (verdict.sequence, verdict.problem) == (4, "the end of the trail was cut off here")


def test_cut_end_with_a_forged_head_shows_against_an_anchor(db: None) -> None:
    write()
    noted = audit.verify()
    with intruder():
        entries().filter(sequence__gte=4).delete()
    AuditHead.objects.update(sequence=3, hash=entries().get(sequence=3).hash)
    assert audit.verify().ok
    verdict = audit.verify((noted.entries, noted.head_hash))
    assert "cut off" in verdict.problem


def test_rewritten_chain_shows_against_an_anchor(db: None) -> None:
    write()
    noted = audit.verify()
    with intruder():
        previous = audit.GENESIS
        for entry in entries():
            entry.previous_hash = previous
            if entry.sequence == 2:
                entry.action = "tenant.forged"
            entry.hash = previous = audit.hash_of(entry)
            entry.save()
    AuditHead.objects.update(hash=previous)
    assert audit.verify().ok
    verdict = audit.verify((noted.entries, noted.head_hash))
    assert "rewritten" in verdict.problem


def test_lost_triggers_are_reported(db: None) -> None:
    write()
    audit_triggers.remove(connection)
    assert "protection is off" in audit.verify().problem
    audit_triggers.install(connection)
    assert audit.verify().ok


def test_more_than_a_page_is_walked(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write(11)
    assert len(list(audit._in_order(batch=3))) == 11


def test_secrets_never_enter_the_trail(cast: Cast) -> None:
    issued = services.create_api_key(actor=cast.actor("bob"), project=cast.chat, name="laptop")
    prefix, secret = apikeys.split(issued.plaintext) or ("", "")
    services.rotate_api_key(actor=cast.actor("bob"), api_key=issued.api_key)
    services.revoke_api_key(actor=cast.actor("bob"), api_key=issued.api_key, reason=f"leaked: {issued.plaintext}")
    text = json.dumps(list(entries().values("data", "target_label", "actor_label")))
    assert prefix in text
    assert secret not in text
    assert issued.api_key.secret_hmac not in text


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.decimals()
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.text(max_size=8), json_like, max_size=4))
def test_whatever_is_recorded_verifies_after_the_database(db: None, data: dict[str, Any]) -> None:
    with transaction.atomic():
        tenant = Tenant(pk=7, slug="x", name="X")
        audit.record(Actor.system("a\x00b"), "tenant.poked", tenant, data)
        verdict = audit.verify()
        assert verdict.ok, verdict
        transaction.set_rollback(True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    victim=st.integers(1, 6),
    deed=st.sampled_from(["alter", "remove", "swap", "repeat hash"]),
)
def test_any_tampering_is_found_at_or_before_its_place(db: None, victim: int, deed: str) -> None:
    with transaction.atomic():
        write(6)
        with intruder():
            entry = entries().get(sequence=victim)
            other = entries().get(sequence=victim % 6 + 1)
            match deed:
                case "alter":
                    entries().filter(pk=entry.pk).update(target_label=entry.target_label + " ")
                case "remove":
                    entries().filter(pk=entry.pk).delete()
                case "swap":
                    entries().filter(pk=entry.pk).update(data=other.data, action=other.action, at=other.at)
                case _:
                    entries().filter(pk=entry.pk).update(previous_hash=other.hash, hash=other.previous_hash)
        verdict = audit.verify()
        assert not verdict.ok
        assert verdict.sequence is not None
        assert verdict.sequence <= victim
        transaction.set_rollback(True)


def test_storable_keeps_plain_values_and_names_odd_ones() -> None:
    moment = datetime(2026, 11, 21, 12, 0, 0)
    assert audit.storable({"a": 1, "b": [True, None], "c": Decimal("1.50"), "d": {3, 1}, "e": moment}) == {
        "a": 1,
        "b": [True, None],
        "c": "1.50",
        "d": [1, 3],
        "e": "2026-11-21T12:00:00",
    }
    assert audit.storable({"password": "x", "client_secret": "y", "max_tokens": 5}) == {
        "password": audit.REDACTED,
        "client_secret": audit.REDACTED,
        "max_tokens": 5,
    }


@pytest.mark.backends
@pytest.mark.django_db(transaction=True)
def test_concurrent_acts_make_one_unbroken_chain() -> None:
    tenants = [services.create_tenant(actor=OPERATOR, slug=f"t{n}", name=f"T{n}") for n in range(4)]
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def act(tenant: Tenant) -> None:
        try:
            start.wait(10)
            for number in range(10):
                services.update_tenant(actor=OPERATOR, tenant=tenant, name=f"{tenant.slug} {number}")
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    verdict = audit.verify()
    assert verdict.ok, verdict
    assert verdict.entries == 44
    from apps.tenants.control_plane import control_plane_version

    assert control_plane_version() >= 44


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("audit", *arguments, stdout=out)
    return out.getvalue()


def test_command_verifies_and_prints_the_head_as_an_anchor(db: None) -> None:
    write()
    said = run("verify")
    assert said.startswith("ok: 5 entries, head 5:")
    assert run("verify", "--anchor", said.split()[-1]) == said


def test_command_names_the_first_broken_entry(db: None) -> None:
    write()
    with intruder():
        entries().filter(sequence=2).update(action="x")
    with pytest.raises(CommandError, match=r"broken at entry 2: its content is not what was recorded"):
        run("verify")


def test_command_lists_newest_first_and_filters(cast: Cast) -> None:
    services.update_project(actor=cast.actor("bob"), project=cast.chat, name="Chat 2")
    first = json.loads(run("list", "--json", "--limit", "1"))
    assert (first["action"], first["actor"], first["tenant"]) == ("project.updated", "bob@bank.test", "retail")
    assert "project.updated" not in run("list", "--tenant", "claims")
    assert len(run("list", "--action", "member.added").splitlines()) == 6
