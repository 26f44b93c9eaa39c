"""What layers above can hook into: a new version's signal, and rules that a release has to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.prompts import release_rules, services
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.release_rules import Refusal
from apps.prompts.signals import prompt_version_created
from apps.prompts.types import Decision
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict, PermissionDenied
from tests.cast import Cast

Save = Callable[..., PromptVersion]


@pytest.fixture
def only_even(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule: odd versions are not released as ``live`` in production."""

    def rule(prompt: Prompt, environment: str, label: str, version: PromptVersion) -> Refusal | None:
        guarded = (environment, label) == ("prod", "live")
        return Refusal("Odd versions stay.", "Save again.", "odd") if guarded and version.number % 2 else None

    monkeypatch.setattr(release_rules, "_rules", [])
    release_rules.register(rule)
    release_rules.register(rule)  # once is enough
    assert len(release_rules._rules) == 1


def release(cast: Cast, prompt: Prompt, weights: dict[int, int], environment: str = "prod") -> Any:
    return services.release_versions(
        actor=cast.actor("developer"), prompt=prompt, environment=environment, label="live", weights=weights
    )


def test_a_rule_stops_a_persons_release_and_names_itself(
    cast: Cast, prompt: Prompt, save: Save, only_even: None
) -> None:
    for text in ("One.", "Two.", "Three."):
        save(text)
    first = release(cast, prompt, {2: 100})
    for weights in ({3: 100}, {2: 90, 3: 10}):
        with pytest.raises(Conflict) as refused:
            release(cast, prompt, weights)
        assert (refused.value.code, refused.value.remedy) == ("odd", "Save again.")
    release(cast, prompt, {3: 100}, environment="test")  # another environment is not guarded

    # What was decided elsewhere asks no rule; and what the label means by then may change its share.
    decided = services.release_decided(
        actor=Actor.system("gate 7"),
        prompt=prompt,
        environment="prod",
        label="live",
        weights={2: 90, 3: 10},
        reason="Gate decision 7.",
    )
    assert (decided.decision, decided.actor_label) == (Decision.GATE, "gate 7")
    assert release(cast, prompt, {2: 50, 3: 50}).decision == Decision.PERSON
    assert services.roll_back(actor=cast.actor("developer"), release=first).decision == Decision.ROLLBACK


def test_whoever_may_not_release_cannot_hand_in_a_decision(cast: Cast, prompt: Prompt, save: Save) -> None:
    save("One.")
    with pytest.raises(PermissionDenied):
        services.release_decided(
            actor=cast.actor("reviewer"), prompt=prompt, environment="prod", label="live", weights={1: 100}, reason="x"
        )


def test_a_new_version_is_told_once_it_is_committed(
    prompt: Prompt, save: Save, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    heard: list[int] = []

    def broken(**kwargs: Any) -> None:
        raise RuntimeError("a receiver's own trouble")

    def hear(*, version_id: int, **kwargs: Any) -> None:
        heard.append(version_id)

    prompt_version_created.connect(broken)
    prompt_version_created.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            version = save("One.")
            assert heard == []
        with django_capture_on_commit_callbacks(execute=True):
            save("One.")  # the same content: no new version
    finally:
        prompt_version_created.disconnect(broken)
        prompt_version_created.disconnect(hear)
    assert heard == [version.pk]
