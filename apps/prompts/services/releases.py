"""Releases: from now on a label means these versions. Each is a new row, and the newest counts."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from apps.prompts import selectors
from apps.prompts.models import Prompt, PromptVersion, Release, ReleaseShare
from apps.prompts.release_rules import refusal_of
from apps.prompts.services.prompts import locked
from apps.prompts.services.versions import touch
from apps.prompts.types import MOST_SHARES, Decision
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.types import Environment


@transaction.atomic
def release_versions(
    *, actor: Actor, prompt: Prompt, environment: str, label: str, weights: Mapping[int, int], reason: str = ""
) -> Release:
    """``weights`` gives each version's part by its number: ``{4: 100}``, or ``{4: 90, 5: 10}`` for a canary.

    Raises ``Conflict`` where a rule (``release_rules``) refuses a version that the label does not mean yet.
    """
    require(actor, "prompt.release", prompt.tenant, what="release this prompt")
    return _release(actor, locked(prompt), environment, label, weights, reason, Decision.PERSON, asks_rules=True)


@transaction.atomic
def release_decided(
    *,
    actor: Actor,
    prompt: Prompt,
    environment: str,
    label: str,
    weights: Mapping[int, int],
    reason: str,
    decision: Decision = Decision.GATE,
) -> Release:
    """What those who brought a rule have decided by it: no rule is asked. ``reason`` names the decision."""
    require(actor, "prompt.release", prompt.tenant, what="release this prompt")
    return _release(actor, locked(prompt), environment, label, weights, reason, decision)


@transaction.atomic
def roll_back(*, actor: Actor, release: Release, reason: str = "") -> Release:
    """The label means again what it meant in ``release``, an earlier one."""
    prompt = release.prompt
    require(actor, "prompt.release", prompt.tenant, what="roll this prompt back")
    prompt = locked(prompt)
    weights = selectors.weights_of(release)
    if not weights:
        raise Conflict("That release withdrew the label: there is nothing to go back to.", code="nothing_to_restore")
    reason = reason or f"Back to the release of {release.created_at:%Y-%m-%d %H:%M} UTC."
    return _release(
        actor, prompt, release.environment, release.label, weights, reason, Decision.ROLLBACK, restores=release
    )


@transaction.atomic
def withdraw_label(*, actor: Actor, prompt: Prompt, environment: str, label: str, reason: str = "") -> Release:
    """Callers of the label are refused from then on."""
    require(actor, "prompt.release", prompt.tenant, what="withdraw a label")
    return _release(actor, locked(prompt), environment, label, {}, reason, Decision.WITHDRAWAL)


def _release(
    actor: Actor,
    prompt: Prompt,
    environment: str,
    label: str,
    weights: Mapping[int, int],
    reason: str,
    decision: Decision,
    restores: Release | None = None,
    *,
    asks_rules: bool = False,
) -> Release:
    environment = validation.clean_choice(environment, Environment, field="environment")
    label = validation.clean_slug(label, field="label")
    if label.isdigit():
        raise Invalid(f"{label!r} looks like a version's number.", field="label", remedy="Use a word such as live.")
    reason = " ".join(validation.clean_text(reason, field="reason", maximum=500).split())
    versions = _versions(prompt, weights, decision)
    now = selectors.label_state_of(prompt, environment, label)
    before = {} if now is None else {share.version.number: share.weight for share in now.shares}
    if before == dict(weights):
        what = f"{label} is so in {environment} already." if weights else f"{environment} has no label {label!r}."
        raise Conflict(what, code="nothing_to_release", field="label")
    if asks_rules:
        for version in versions:
            if version.number not in before and (refusal := refusal_of(prompt, environment, label, version)):
                raise Conflict(refusal.message, code=refusal.code, field="versions", remedy=refusal.remedy)
    release = Release.objects.create(
        prompt=prompt,
        environment=environment,
        label=label,
        decision=decision,
        reason=reason,
        restores=restores,
        released_by=actor.user,
        actor_label=actor.label,
    )
    ReleaseShare.objects.bulk_create(
        ReleaseShare(release=release, version=version, weight=weights[version.number]) for version in versions
    )
    touch(prompt)
    told = {"environment": environment, "label": label, "versions": [_told(before), _told(weights)], "reason": reason}
    audit.record(actor, f"prompt.{_VERBS[decision]}", prompt, told, prompt.tenant)
    control_plane_changed()
    return release


_VERBS = {
    Decision.PERSON: "released",
    Decision.ROLLBACK: "rolled_back",
    Decision.WITHDRAWAL: "label_withdrawn",
    Decision.GATE: "released_by_gate",
}


def _versions(prompt: Prompt, weights: Mapping[int, int], decision: Decision) -> list[PromptVersion]:
    if not weights:
        if decision == Decision.WITHDRAWAL:
            return []
        raise Invalid("Choose a version to release.", field="versions")
    if len(weights) > MOST_SHARES:
        raise Invalid(f"There are {len(weights)} versions; at most {MOST_SHARES} can share a label.", field="versions")
    for weight in weights.values():
        validation.clean_number(weight, field="versions", minimum=1, maximum=100)
    versions = list(prompt.versions.filter(number__in=[number for number in weights if 0 < number < 2**31]))
    if missing := set(weights) - {version.number for version in versions}:
        raise Invalid(f"{prompt.name} has no version {min(missing)}.", field="versions")
    return versions


def _told(weights: Mapping[int, int]) -> dict[str, int]:
    return {f"v{number}": weight for number, weight in sorted(weights.items())}
