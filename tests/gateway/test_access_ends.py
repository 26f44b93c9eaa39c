"""Whoever may not call any more has no stream go on, whatever was begun before."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from tests.gateway.test_streams import settlement, tokens
from tests.gateway.world import World, bearer, chat

ACTS = {
    "key_revoked": "services.revoke_api_key(actor=actor, api_key=key)",
    "project_inactive": "services.archive_project(actor=actor, project=key.project)",
    "tenant_inactive": "services.suspend_tenant(actor=actor, tenant=key.project.tenant, reason='test')",
}


@pytest.mark.parametrize("code", ACTS)
def test_a_stream_ends_within_five_seconds(world: World, code: str) -> None:
    tenant = code.replace("_", "-")
    world.shell.run("services.create_tenant(actor=actor, slug=slug, name=slug)", slug=tenant)
    key = world.project(tenant=tenant)
    body = chat("Hello [[chunks=2000 delay_ms=20]]", stream=True)
    url = world.lobby.base_url + "/chat/completions"
    last = ""
    with httpx.stream("POST", url, json=body, headers=bearer(key), timeout=30) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        while '"content":"w3' not in next(lines):
            continue
        source = f"key = ApiKey.objects.unscoped('test').get(prefix=prefix)\n{ACTS[code]}"
        world.shell.run(source, prefix=key.split("_")[1])
        ended = time.monotonic()
        for line in lines:
            last = line or last
        assert time.monotonic() - ended < 5
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == code
    settled = settlement(world, response.headers["x-lobby-request-id"])
    assert (settled["outcome"], settled["status"]) == ("cancelled", "estimated")
    assert tokens(settled)[1] > 3
    world.fake.wait_idle()
    assert world.fake.attempts()[-1].outcome == "client_disconnected"


def test_a_stream_of_a_member_who_has_left_ends(world: World) -> None:
    """By a job's token, which stands for its member."""
    token = world.shell.run(
        """
from apps.gateway import job_tokens
tenant = Tenant.objects.unscoped("test").get(slug="acme")
project = Project.objects.unscoped("test").filter(tenant=tenant).earliest("pk")
user = User.objects.create_user("leaver@example.com", "correct horse battery")
Membership.objects.create(tenant=tenant, user=user, role="developer")
from apps.tenants.control_plane import control_plane_changed
control_plane_changed()
result = job_tokens.issue(project_id=project.pk, purpose="test", user_id=user.pk)
"""
    )
    world.eventually(lambda: world.post(chat(), key=token).status_code == 200, within=10)
    body = chat("Hello [[chunks=2000 delay_ms=20]]", stream=True)
    url = world.lobby.base_url + "/chat/completions"
    with httpx.stream("POST", url, json=body, headers=bearer(token), timeout=30) as response:
        lines = response.iter_lines()
        while '"content":"w3' not in next(lines):
            continue
        world.shell.run(
            """
from apps.tenants.control_plane import control_plane_changed
Membership.objects.unscoped("test").filter(user__email="leaver@example.com").delete()
control_plane_changed()
"""
        )
        ended = time.monotonic()
        rest = list(lines)
        assert time.monotonic() - ended < 5
    assert '"error"' in "".join(rest)
