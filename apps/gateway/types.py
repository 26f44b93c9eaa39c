"""The words of the gateway's ledger."""

from __future__ import annotations

from django.db import models


class UsageStatus(models.TextChoices):
    """How the tokens of a record are known."""

    MEASURED = "measured", "Measured"  # the upstream said so
    ESTIMATED = "estimated", "Estimated"  # the answer was cut off; counted from what arrived
    INTERRUPTED = "interrupted", "Interrupted"  # the process died; counted from what arrived before
    RECONCILED = "reconciled", "Reconciled"  # corrected against the provider's invoice


class Outcome(models.TextChoices):
    """How a request ended for its caller."""

    OK = "ok", "OK"
    DENIED = "denied", "Denied"  # a rule of ours refused it, before an upstream was called or in the midst of a stream
    INVALID = "invalid", "Invalid"  # the caller's own mistake
    UPSTREAM_ERROR = "upstream_error", "Upstream error"
    CANCELLED = "cancelled", "Cancelled"  # the caller left
    INTERRUPTED = "interrupted", "Interrupted"  # our process died


class Strategy(models.TextChoices):
    """How a route orders the targets that may serve a request. See docs/routing.md."""

    PRIORITY = "priority", "Priority"  # by position
    WEIGHTED = "weighted", "Weighted"  # at random, by weight
    LEAST_BUSY = "least_busy", "Least busy"  # fewest requests in flight for its weight
    LATENCY = "latency", "Latency"  # quickest of late
    COST = "cost", "Cost"  # cheapest for this request
    CONDITIONS = "conditions", "Conditions"  # those whose condition holds, then those without one

    def weighs(self, *, sticky: bool) -> bool:
        """Whether the targets' weights decide anything: conversations are drawn by weight, too, where they stay."""
        match self:
            case Strategy.WEIGHTED | Strategy.LEAST_BUSY:
                return True
            case Strategy.LATENCY | Strategy.COST:
                return sticky
        return False


class Guard(models.TextChoices):
    """What stands between a change of a route's targets and their being in force."""

    NONE = "none", "Nothing: changes are in force at once"
    ADVICE = "advice", "Changes are proposed; people put them in force"
    GATE = "gate", "Changes are proposed; their gate puts them in force"


class RevisionState(models.TextChoices):
    IN_FORCE = "in_force", "In force"
    PROPOSED = "proposed", "Proposed"
    PAST = "past", "Was in force"
    DROPPED = "dropped", "Never in force"


class Purpose(models.TextChoices):
    """What a route's target is for."""

    NORMAL = "normal", "Normal"
    FALLBACK_CONTEXT = "fallback_context", "When the input is too long"
    FALLBACK_POLICY = "fallback_policy", "When the provider's content policy refuses"
    SHADOW = "shadow", "Shadow (mirrored, never answered from)"
