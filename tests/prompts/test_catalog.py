"""The services of the catalog: versions, labels, releases, sharing; and the outsider, who sees none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from apps.prompts import selectors, services
from apps.prompts.errors import ContentInvalid
from apps.prompts.models import Prompt, PromptVersion
from apps.tenants import audit
from apps.tenants.control_plane import control_plane_version
from apps.tenants.errors import Conflict, Invalid, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry
from tests.cast import Cast
from tests.prompts.conftest import said
from tests.prompts.test_pages import client

Save = Callable[..., PromptVersion]


def test_versions_count_from_one_and_an_identical_save_returns_the_one_there_is(
    cast: Cast, prompt: Prompt, save: Save
) -> None:
    first, second = save("Sort {{ticket}}."), save("Sort {{ticket}} well.")
    assert (first.number, second.number, second.parent) == (1, 2, first)
    again = services.save_version(actor=cast.actor("scientist"), prompt=prompt, content=said("Sort {{ticket}}."))
    assert (again.version.pk, again.created) == (first.pk, False)
    assert prompt.versions.count() == 2


def test_a_version_never_changes(save: Save) -> None:
    version = save("Sort.")
    version.message = "Something else."
    with pytest.raises(TypeError, match="never changes"):
        version.save()


def test_everything_is_audited_and_told_to_the_gateway(cast: Cast, prompt: Prompt, save: Save) -> None:
    before = control_plane_version()
    save("Sort.")
    assert control_plane_version() > before
    before = control_plane_version()
    actor = cast.actor("developer")
    release = services.release_versions(
        actor=actor, prompt=prompt, environment="dev", label="live", weights={1: 100}, reason="First."
    )
    assert control_plane_version() > before
    services.withdraw_label(actor=actor, prompt=prompt, environment="dev", label="live")
    services.roll_back(actor=actor, release=release)
    actions = AuditEntry.objects.unscoped("test").filter(action__startswith="prompt.").order_by("sequence")
    assert list(actions.values_list("action", flat=True)) == [
        "prompt.created",
        "prompt.version_saved",
        "prompt.released",
        "prompt.label_withdrawn",
        "prompt.rolled_back",
    ]
    assert audit.verify().ok


def test_labels_are_what_their_newest_release_says(cast: Cast, prompt: Prompt, save: Save) -> None:
    save("One.")
    save("Two.")
    actor = cast.actor("scientist")

    def release(weights: dict[int, int], environment: str = "prod") -> Any:
        return services.release_versions(
            actor=actor, prompt=prompt, environment=environment, label="live", weights=weights
        )

    first = release({1: 100})
    release({1: 90, 2: 10})
    release({2: 100}, "dev")
    states = selectors.labels_of([prompt])[prompt.pk]
    assert [(state.environment, selectors.weights_of(state.release)) for state in states] == [
        ("prod", {1: 90, 2: 10}),
        ("dev", {2: 100}),
    ]
    assert [share.percent for share in states[0].shares] == [10, 90]
    with pytest.raises(Conflict, match="already"):
        release({1: 90, 2: 10})
    services.roll_back(actor=actor, release=first, reason="Worse.")
    state = selectors.label_state_of(prompt, "prod", "live")
    assert state is not None
    assert (selectors.weights_of(state.release), state.release.decision, state.release.restores) == (
        {1: 100},
        "rollback",
        first,
    )
    assert selectors.releases_of(prompt).count() == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": {}},
        {"weights": {9: 100}},
        {"weights": {1: 0}},
        {"weights": {1: 101}},
        {"weights": {2**40: 1}},
        {"label": "No Label"},
        {"label": "12"},
        {"environment": "moon"},
    ],
)
def test_a_release_that_makes_no_sense_is_refused(
    cast: Cast, prompt: Prompt, save: Save, wrong: dict[str, Any]
) -> None:
    save("One.")
    good: dict[str, Any] = {"environment": "prod", "label": "live", "weights": {1: 100}}
    with pytest.raises(Invalid):
        services.release_versions(actor=cast.actor("developer"), prompt=prompt, **{**good, **wrong})


@pytest.mark.parametrize(
    ("part", "may"), [("developer", True), ("scientist", True), ("owner", True), ("viewer", False), ("reviewer", False)]
)
def test_builders_write_and_viewers_read(cast: Cast, prompt: Prompt, save: Save, part: str, may: bool) -> None:
    save("One.")
    actor = cast.actor(part)
    assert selectors.get_version_for(actor, "claims", "triage", 1).number == 1
    acts: list[Callable[[], Any]] = [
        lambda: services.save_version(actor=actor, prompt=prompt, content=said("Two.")),
        lambda: services.create_prompt(actor=actor, tenant=cast.claims, slug="other", name="Other"),
        lambda: services.update_prompt(actor=actor, prompt=prompt, name="New"),
        lambda: services.release_versions(
            actor=actor, prompt=prompt, environment="dev", label="live", weights={1: 100}
        ),
        lambda: services.archive_prompt(actor=actor, prompt=prompt),
    ]
    for act in acts:
        if may:
            act()
        else:
            with pytest.raises(PermissionDenied):
                act()


def test_to_the_outsider_there_is_no_such_prompt(cast: Cast, prompt: Prompt, save: Save) -> None:
    version = save("One.")
    outsider = cast.actor("outsider")
    assert not selectors.prompts_for(outsider).exists()
    for find in (
        lambda: selectors.get_prompt_for(outsider, "claims", "triage"),
        lambda: selectors.get_version_for(outsider, "claims", "triage", 1),
        lambda: services.save_version(actor=outsider, prompt=prompt, content=said("Theirs.")),
        lambda: services.fork_version(actor=outsider, version=version, tenant=cast.lending, slug="mine"),
        lambda: services.publish_version(actor=outsider, version=version),
    ):
        with pytest.raises(NotFound):
            find()


def test_a_published_version_can_be_forked_elsewhere_and_the_fork_outlives_it(
    cast: Cast, prompt: Prompt, save: Save
) -> None:
    version = save("Sort {{ticket}}.", variables={"ticket": {"type": "string", "maxLength": 900}})
    save("Sort {{ticket}}, secretly.")
    with pytest.raises(PermissionDenied):
        services.publish_version(actor=cast.actor("developer"), version=version)
    services.publish_version(actor=cast.actor("owner"), version=version, note="Good for any queue.")
    outsider = cast.actor("outsider")
    seen = selectors.publications_for(outsider).get()
    fork = services.fork_version(actor=outsider, version=seen.version, tenant=cast.lending, slug="sorting")
    assert fork.forked_label == "Claims: Claims triage, version 1"
    assert fork.versions.get().content_hash == version.content_hash
    # Only what was published, not the prompt's other versions.
    with pytest.raises(NotFound):
        selectors.get_version_for(outsider, "claims", "triage", 2)
    services.withdraw_publication(actor=cast.actor("owner"), version=version)
    assert not selectors.publications_for(outsider).exists()
    assert selectors.get_version_for(outsider, "lending", "sorting", 1).content == version.content


def test_a_prompt_is_put_into_another_as_it_is_now(cast: Cast, prompt: Prompt, save: Save) -> None:
    actor = cast.actor("developer")
    house = services.create_prompt(actor=actor, tenant=cast.claims, slug="house-style", name="House style")
    tone = {"tone": {"type": "string", "default": "plain"}}
    services.save_version(actor=actor, prompt=house, content=said("Write {{tone}}.", variables=tone))
    version = save("{{> house-style}} Sort {{ticket}}.")
    assert version.content.includes["house-style"].number == 1
    assert version.variables == {"tone": {"type": "string", "default": "plain"}, "ticket": {"type": "string"}}
    services.save_version(actor=actor, prompt=house, content=said("Write {{tone}}, briefly.", variables=tone))
    newer = save("{{> house-style}} Sort {{ticket}}.")
    assert (newer.number, newer.content_hash != version.content_hash) == (2, True)
    pinned = save("{{> house-style@1}} Sort {{ticket}}.")
    assert pinned.content.includes["house-style@1"].text == "Write {{tone}}."
    first = selectors.get_version_for(actor, "claims", "house-style", 1)
    assert [user.number for user in selectors.used_by(first)] == [3]
    for text in ("{{> nothing}}", "{{> triage}}", "{{> house-style@9}}", "{{> house-style@live}}"):
        with pytest.raises(ContentInvalid):
            save(text)


def test_a_fork_in_another_tenant_holds_the_texts_that_were_included(cast: Cast, save: Save) -> None:
    developer, outsider = cast.actor("developer"), cast.actor("outsider")
    for actor, tenant, text in (
        (developer, cast.claims, "Be {{tone}}."),
        (outsider, cast.lending, "Ours, not theirs."),
    ):
        style = services.create_prompt(actor=actor, tenant=tenant, slug="style", name="Style")
        services.save_version(actor=actor, prompt=style, content=said(text))
    version = save("{{> style}}", "Sort {{ticket}}.")
    publication = services.publish_version(actor=cast.actor("owner"), version=version)
    page = client(cast, "outsider").get(reverse("prompts:shared-detail", args=[publication.pk])).content.decode()
    assert "Be <mark" in page, "what is forked is what is shown"
    assert "{{&gt; style}}" not in page

    fork = services.fork_version(actor=outsider, version=version, tenant=cast.lending, slug="sorting")
    first = selectors.get_version_for(outsider, "lending", "sorting", 1)
    texts = ["Be {{tone}}.", "Sort {{ticket}}."]
    assert ([each.content for each in first.content.messages], first.includes) == (texts, {})
    assert (first.variables, fork.forked_from) == (version.variables, version)
    assert (
        "Made of"
        not in client(cast, "outsider").get(reverse("prompts:detail", args=["lending", "sorting"])).content.decode()
    )
    again = services.save_version(actor=outsider, prompt=fork, content=said(*texts, variables=version.variables))
    assert (again.created, again.version) == (False, first)
    assert services.save_version(actor=outsider, prompt=fork, content=said(*texts, "Briefly.")).created

    # In its own tenant it goes on with the others.
    services.fork_version(actor=developer, version=version, tenant=cast.claims, slug="sorting")
    own = selectors.get_version_for(developer, "claims", "sorting", 1)
    assert own.content_hash == version.content_hash
    link = reverse("prompts:version-detail", args=["claims", "style", 1])
    assert link in client(cast, "developer").get(reverse("prompts:detail", args=["claims", "sorting"])).content.decode()


def test_what_another_tenant_has_cannot_be_put_in(cast: Cast, save: Save) -> None:
    outsider = cast.actor("outsider")
    theirs = services.create_prompt(actor=outsider, tenant=cast.lending, slug="secret", name="Secret")
    services.save_version(actor=outsider, prompt=theirs, content=said("Secret."))
    with pytest.raises(ContentInvalid, match="no other prompt"):
        save("{{> secret}}")
