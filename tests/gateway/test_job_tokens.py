"""Tokens of Lobby's own jobs: what they say is signed, short-lived, and worth what its member or key is worth now."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from apps.gateway import job_tokens
from tests.gateway.world import World, chat


def test_what_a_token_says_is_read_until_it_expires() -> None:
    text = job_tokens.issue(project_id=3, user_id=7, purpose="evaluation abc")
    token = job_tokens.read(text, time.time())
    assert token is not None
    assert (token.project_id, token.user_id, token.key_prefix, token.purpose) == (3, 7, "", "evaluation abc")
    assert job_tokens.read(text, time.time() + job_tokens.LIFETIME_SECONDS + 1) is None


@pytest.mark.parametrize("spoil", ["payload", "mac", "cut", "empty", "latin"])
def test_a_token_that_was_touched_says_nothing(spoil: str) -> None:
    text = job_tokens.issue(project_id=3, key_prefix="abcdefghij", purpose="evaluation")
    payload, _, mac = text.removeprefix("lbj_").partition(".")
    other = job_tokens.issue(project_id=4, key_prefix="abcdefghij", purpose="evaluation")
    spoilt = {
        "payload": f"{other.partition('.')[0]}.{mac}",
        "mac": f"lbj_{payload}.{mac[:-2]}AA",
        "cut": text[:-5],
        "empty": "lbj_.",
        "latin": f"lbj_{payload}é.{mac}",
    }
    assert job_tokens.read(spoilt[spoil], time.time()) is None


def test_another_pepper_signs_otherwise(settings: Settings) -> None:
    text = job_tokens.issue(project_id=3, user_id=7, purpose="evaluation")
    settings.API_KEY_PEPPER = "another pepper, of another installation"
    assert job_tokens.read(text, time.time()) is None


def test_a_job_may_what_its_member_or_key_may_now(world: World) -> None:
    """And no more a moment after they may not."""
    made = world.shell.run(
        """
from apps.gateway import job_tokens
from apps.tenants.types import Role
from apps.tenants.control_plane import control_plane_changed
tenant = Tenant.objects.unscoped("test").get(slug="acme")
project = services.create_project(actor=actor, tenant=tenant, slug="jobs", name="Jobs")
elsewhere = services.create_tenant(actor=actor, slug="other-jobs", name="Other")
other = services.create_project(actor=actor, tenant=elsewhere, slug="other", name="Other")
user = User.objects.create_user("jobs@example.com", "correct horse battery staple", name="Jobs")
membership = Membership.objects.create(tenant=tenant, user=user, role=Role.DATA_SCIENTIST)
key = services.create_api_key(actor=actor, project=project, name="ci").api_key
control_plane_changed()
result = {
    "member": job_tokens.issue(project_id=project.pk, user_id=user.pk, purpose="test"),
    "foreign": job_tokens.issue(project_id=other.pk, user_id=user.pk, purpose="test"),
    "key": job_tokens.issue(project_id=project.pk, key_prefix=key.prefix, purpose="test"),
    "key elsewhere": job_tokens.issue(project_id=other.pk, key_prefix=key.prefix, purpose="test"),
}
"""
    )

    def status(name: str) -> int:
        return world.post(chat(), key=made[name]).status_code

    world.eventually(lambda: status("member") == 200, within=10)
    assert {name: status(name) for name in made} == {"member": 200, "foreign": 403, "key": 200, "key elsewhere": 403}
    answer: httpx.Response = world.post(chat(), key=made["member"])
    assert answer.headers["x-lobby-cost-picousd"].isdigit()
    assert answer.headers["x-lobby-duration-ms"].isdigit()
    # The ledger says of each whether it was one of Lobby's own: a prompt's traffic is what others ask.
    own, others = (_why(world, world.post(chat(), **key)) for key in ({"key": made["member"]}, {}))
    assert (own.get("by_lobby"), others.get("by_lobby")) == (True, None)
    # A stream's figures are a comment of its own; others' streams are as the provider sent them.
    figures = [
        [line for line in world.post(chat(stream=True), **key).text.splitlines() if line.startswith(": lobby")]
        for key in ({"key": made["member"]}, {})
    ]
    assert [len(each) for each in figures] == [1, 0]
    assert '"cost_picousd":' in figures[0][0]
    world.shell.run(
        """
from apps.tenants.control_plane import control_plane_changed
Membership.objects.unscoped("test").filter(user__email="jobs@example.com").update(role="viewer")
services.revoke_api_key(actor=actor, api_key=ApiKey.objects.unscoped("test").get(name="ci"))
control_plane_changed()
"""
    )
    world.eventually(lambda: (status("member"), status("key")) == (403, 403), within=5)
    assert world.post(chat(), key=made["member"][:-4]).status_code == 401


def _why(world: World, answer: httpx.Response) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        lines = world.spool_lines(answer.headers["x-lobby-request-id"])
        found[:] = [line["why"] for line in lines if line["line"] == "request"]
        return bool(found)

    world.eventually(is_there, within=5)
    return found[0]
