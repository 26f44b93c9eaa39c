"""What sampled requests say is kept where the tenant has agreed, redacted, and in no other case."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.gateway.models import RequestContent
from apps.gateway.services.contents import ContentFacts, Said, delete_expired_contents, keep_content
from apps.tenants.errors import PermissionDenied
from apps.tenants.services import update_project
from tests.cast import Cast
from tests.gateway.world import World

ASKED = "Call Ada at ada@example.org or +49 30 1234567."


@pytest.fixture(scope="module")
def key(world: World) -> str:
    """Of a project that keeps all of its requests."""
    made = world.project()
    set_percent(world, made, 100)
    return made


def set_percent(world: World, key: str, percent: int) -> None:
    world.shell.run(
        """
project = ApiKey.objects.unscoped("test").get(prefix=prefix).project
services.update_project(actor=actor, project=project, content_percent=percent)
""",
        prefix=prefix_of(key),
        percent=percent,
    )
    world.wait_known(world.project())  # the gateway has seen the control plane since


def prefix_of(key: str) -> str:
    return key.split("_")[1]


def kept(world: World, request_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = world.shell.run(
        """
from apps.gateway.models import RequestContent
result = list(RequestContent.objects.unscoped("test").filter(request_id=request_id).values())
""",
        request_id=request_id,
    )
    return rows


def kept_row(world: World, response: Any) -> dict[str, Any]:
    request_id = response.headers["x-lobby-request-id"]
    world.eventually(lambda: bool(kept(world, request_id)), within=20)
    [row] = kept(world, request_id)
    return row


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "fake-chat", "messages": [{"role": "user", "content": ASKED}], **more}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", chat()),
        ("/chat/completions", chat(stream=True)),
        ("/messages", chat(max_tokens=50)),
        ("/messages", chat(max_tokens=50, stream=True)),
        ("/responses", {"model": "fake-chat", "input": ASKED}),
        ("/responses", {"model": "fake-chat", "input": ASKED, "stream": True}),
    ],
    ids=["chat", "chat-stream", "messages", "messages-stream", "responses", "responses-stream"],
)
def test_what_is_asked_and_answered_is_kept_without_personal_data(
    world: World, key: str, path: str, body: dict[str, Any]
) -> None:
    response = world.post(body, key=key, path=path)
    assert response.status_code == 200, response.text
    row = kept_row(world, response)
    assert row["messages"] == [{"role": "user", "content": "Call Ada at [e-mail 1] or [phone number 1]."}]
    assert row["answer"].startswith("w0 w1")
    assert row["model_slug"] == "fake-chat"
    assert {each["kind"] for each in row["redactions"]} == {"e-mail", "phone number"}


def test_what_is_declined_is_not_kept(world: World, key: str) -> None:
    declined = [
        world.post(chat(store=False), key=key).headers["x-lobby-request-id"],
        world.post(chat(lobby={"store": False}), key=key).headers["x-lobby-request-id"],
        world.post(chat(), key=world.project()).headers["x-lobby-request-id"],  # a project that keeps nothing
        world.post(chat(messages=[{"role": "user", "content": "x" * 300_000}]), key=key).headers["x-lobby-request-id"],
    ]
    kept_row(world, world.post(chat(), key=key))  # written after them, by the same thread
    assert [kept(world, each) for each in declined] == [[], [], [], []]


@pytest.mark.parametrize("fault", ["fail=500", "fail=malformed_json", "fail=close_mid at=3"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_failed_at_the_provider_is_kept_with_its_code(
    world: World, key: str, fault: str, stream: bool
) -> None:
    asked = [{"role": "user", "content": f"{ASKED} [[chunks=9 {fault}]]"}]
    row = kept_row(world, response := world.post(chat(messages=asked, stream=stream), key=key))
    assert response.status_code == (200 if stream and "500" not in fault else 502)
    assert "ada@" not in row["messages"][0]["content"]
    assert (row["answer"], row["tool_calls"]) == ("", [])
    assert row["error"] in response.text


def test_a_callers_own_mistake_is_no_sample(world: World, key: str) -> None:
    mistaken = [chat(model="no-such"), chat(messages=[]), chat(temperature="hot")]
    asked = [world.post(each, key=key) for each in mistaken]
    kept_row(world, world.post(chat(), key=key))
    assert {each.status_code for each in asked} <= {400, 404}
    assert not any(kept(world, each.headers["x-lobby-request-id"]) for each in asked)


def test_lobbys_own_calls_are_no_samples(world: World, key: str) -> None:
    token = world.shell.run(
        """
from apps.gateway import job_tokens
project = ApiKey.objects.unscoped("test").get(prefix=prefix).project
result = job_tokens.issue(project_id=project.pk, key_prefix=prefix, purpose="a test")
""",
        prefix=prefix_of(key),
    )
    own = world.post(chat(), key=token)
    assert own.status_code == 200
    kept_row(world, world.post(chat(), key=key))
    assert kept(world, own.headers["x-lobby-request-id"]) == []


@pytest.mark.django_db
def test_only_a_tenant_admin_decides_what_is_kept(cast: Cast) -> None:
    project = cast.triage
    update_project(actor=cast.actor("developer"), project=project, description="Mine", content_percent=0)
    with pytest.raises(PermissionDenied):
        update_project(actor=cast.actor("developer"), project=project, content_percent=10)
    assert update_project(actor=cast.actor("owner"), project=project, content_percent=10).content_percent == 10


@pytest.mark.backends
@pytest.mark.django_db
def test_what_was_kept_goes_with_the_tenants_retention_or_its_consent(cast: Cast) -> None:
    now = timezone.now()

    def keep(request_id: str, days: int) -> None:
        facts = ContentFacts(
            request_id, now - timedelta(days=days), cast.claims.pk, cast.triage.pk, "prod", "fake-chat"
        )
        keep_content(facts, [Said("user", "a\x00b")], Said("assistant", "fine"))
        keep_content(facts, [Said("user", "another")], Said("assistant", "never"))

    update_project(actor=cast.actor("owner"), project=cast.triage, content_percent=10)
    keep("old", cast.claims.retention_days + 1)
    keep("new", 0)
    assert delete_expired_contents(now) == 1
    [row] = RequestContent.objects.unscoped("test")
    assert (row.request_id, row.messages) == ("new", [{"role": "user", "content": "ab"}])
    update_project(actor=cast.actor("owner"), project=cast.triage, content_percent=0)
    assert delete_expired_contents(now) == 1
