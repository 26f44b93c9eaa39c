"""At the gateway: a model whose licence nobody has accepted yet."""

from __future__ import annotations

from tests.gateway.world import World, chat


def test_a_caller_is_told_who_can_accept_the_licence_and_the_request_says_why(world: World) -> None:
    slug = world.model()
    key = world.project()
    world.shell.run(
        """
from apps.models.services import update_model
update_model(actor=actor, model=Model.objects.get(slug=slug), licence_needs_acceptance=True)
""",
        slug=slug,
    )
    body = {**chat(), "model": slug}
    world.eventually(lambda: world.post(body, key=key).status_code == 403, within=10)
    refused = world.post(body, key=key)
    error = refused.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("licence_not_accepted", "permission_error", "model")
    assert "an admin of tenant acme" in error["message"]
    (line,) = world.spool_lines(refused.headers["x-lobby-request-id"])
    assert (line["outcome"], line["error_code"]) == ("denied", "licence_not_accepted")
    assert line["why"]["denied_by"] == f"the licence of {slug}, which acme has not accepted"

    world.shell.run(
        """
from apps.models.services import accept_licence
accept_licence(
    actor=actor, tenant=Tenant.objects.unscoped("test").get(slug="acme"), model=Model.objects.get(slug=slug)
)
""",
        slug=slug,
    )
    world.eventually(lambda: world.post(body, key=key).status_code == 200, within=10)
    assert slug in {each.id for each in world.openai(key).models.list()}
