"""A canary that is out of control: taken off the label, with the reason."""

from __future__ import annotations

from django.db import transaction

from apps.evaluation.models import Monitor, MonitorCheck
from apps.evaluation.services.checks.opening import actor_of
from apps.evaluation.types import CheckVerdict
from apps.prompts import services as prompts
from apps.prompts.models import Release
from apps.prompts.selectors import label_state_of, release_before, weights_of
from apps.prompts.services.prompts import locked as locked_prompt
from apps.tenants.errors import DomainError


def roll_canaries_back(check: MonitorCheck, why: str) -> str:
    """Take the canaries that are out of control off the label, if it still means what was sampled. What came of it."""
    monitor = check.monitor
    assert monitor.prompt is not None
    bad = {row["version"] for row in check.statistics if row["is_canary"] and row["verdict"] == CheckVerdict.OUT}
    if not bad:
        return "Nothing was rolled back: it is no canary that is out of control."
    prompt = locked_prompt(monitor.prompt)
    state = label_state_of(prompt, monitor.environment, monitor.label)
    if state is None or check.release_id != state.release.pk:
        return "Nothing was rolled back: the label was released anew since the sample was taken."
    weights = {number: weight for number, weight in weights_of(state.release).items() if number not in bad}
    reason = f"Monitor {monitor.name}: {why}"[:480]
    try:
        with transaction.atomic():
            check.rollback = _release(monitor, state.release, bad, weights, reason)
    except DomainError as error:
        return f"Nothing was rolled back: {error}"
    names = ", ".join(f"version {number}" for number in sorted(bad))
    return f"Rolled back: “{monitor.label}” no longer means {names}."


def _release(monitor: Monitor, now: Release, bad: set[int], weights: dict[int, int], reason: str) -> Release:
    """Back to the release before the canary; where that one meant other versions, what remains without it."""
    actor, before = actor_of(monitor), release_before(now)
    while before is not None and bad & weights_of(before).keys():
        before = release_before(before)
    if before is not None and weights_of(before).keys() == weights.keys():
        return prompts.roll_back(actor=actor, release=before, reason=reason)
    return prompts.release_decided(
        actor=actor,
        prompt=now.prompt,
        environment=monitor.environment,
        label=monitor.label,
        weights=weights,
        reason=reason,
    )
