"""The words of evaluation."""

from __future__ import annotations

from django.db import models


class Split(models.TextChoices):
    """What an example may be used for: prompts are tuned and judges calibrated on ``dev``, gates decide on ``test``."""

    TEST = "test", "Test"
    DEV = "dev", "Development"


class Source(models.TextChoices):
    """Where an example came from."""

    UPLOAD = "upload", "Uploaded"
    REQUEST = "request", "From a request"
    FEEDBACK = "feedback", "From feedback"
    ANSWER = "answer", "From the playground"
    REVIEW = "review", "From a review"
    PERSON = "person", "Written here"
    ATTACK = "attack", "From an attack that got through"
    TEMPLATE = "template", "Generated attack"


class Scrub(models.TextChoices):
    """Whether personal data was looked for."""

    NOT_NEEDED = "not_needed", "Not needed"
    PENDING = "pending", "To be checked"
    CLEAN = "clean", "Nothing found"
    REDACTED = "redacted", "Redacted"


class UploadFormat(models.TextChoices):
    CSV = "csv", "CSV"
    JSONL = "jsonl", "JSON Lines"
    PARQUET = "parquet", "Parquet"


class UploadStatus(models.TextChoices):
    """``READY`` waits for the person to confirm how columns map."""

    RECEIVED = "received", "Received"
    READY = "ready", "Ready to import"
    IMPORTING = "importing", "Importing"
    DONE = "done", "Imported"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class InboxStatus(models.TextChoices):
    OPEN = "open", "Open"
    ACCEPTED = "accepted", "Accepted"
    DISMISSED = "dismissed", "Dismissed"


class Direction(models.TextChoices):
    HIGHER = "higher", "Higher is better"
    LOWER = "lower", "Lower is better"


class ValueKind(models.TextChoices):
    """What a score is, and so which test compares two of them: see ``statistics``."""

    BINARY = "binary", "Yes or no"
    ORDINAL = "ordinal", "On a scale"
    CONTINUOUS = "continuous", "A number"


class MetricRole(models.TextChoices):
    """A gate asks of the primary metric that it got better, of a guard that it got no worse than its margin."""

    PRIMARY = "primary", "Must improve"
    GUARD = "guard", "Must not get worse"
    WATCH = "watch", "Only shown"


class Trigger(models.TextChoices):
    PERSON = "person", "Started by a person"
    CI = "ci", "Started by the command line or API"
    VERSION = "version", "Started by a new version"
    MONITOR = "monitor", "Started by a monitor"


class RunStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    DONE = "done", "Done"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


LIVE_RUNS = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.PAUSED)


class ItemStatus(models.TextChoices):
    PENDING = "pending", "Waiting"
    DONE = "done", "Done"
    ERROR = "error", "Error"
    SKIPPED = "skipped", "Not needed"  # the verdict was sure before


class ScoreStatus(models.TextChoices):
    """An error is a status, never a 0."""

    OK = "ok", "Scored"
    ERROR = "error", "Error"


class MlflowStatus(models.TextChoices):
    PENDING = "pending", "To be logged"
    LOGGED = "logged", "Logged"


class Verdict(models.TextChoices):
    BETTER = "better", "Better"
    WORSE = "worse", "Worse"
    INCONCLUSIVE = "inconclusive", "Inconclusive"


class ReleasePolicy(models.TextChoices):
    AUTOMATIC = "automatic", "Released when better"
    APPROVAL = "approval", "Released when better and approved"
    ADVICE = "advice", "Only advice"


class GateStatus(models.TextChoices):
    """``RUNNING`` until its evaluations are done."""

    RUNNING = "running", "Being evaluated"
    WAITING = "waiting", "Waiting for approval"
    RELEASED = "released", "Released"
    STOPPED = "stopped", "Stopped"
    OVERRIDDEN = "overridden", "Released by override"
    ADVISED = "advised", "Advice given"
    FAILED = "failed", "Could not be decided"


# Whose version may be released on the label that the gate guards.
OPEN_GATES = (GateStatus.RELEASED, GateStatus.OVERRIDDEN)


class ComparisonStatus(models.TextChoices):
    """``WAITING`` until both are done and a worker has weighed them."""

    WAITING = "waiting", "Being weighed"
    DONE = "done", "Done"
    FAILED = "failed", "Could not be compared"


class MonitorWindow(models.IntegerChoices):
    """Minutes."""

    QUARTER = 15, "Every 15 minutes"
    HOUR = 60, "Every hour"
    SIX_HOURS = 360, "Every 6 hours"
    DAY = 1440, "Every day"


class Baseline(models.TextChoices):
    """What a monitor compares with. ``RELEASE``: the answers of the version that the label meant before, or of the
    main version beside a canary."""

    PERIOD = "period", "A period that was good"
    RELEASE = "release", "The version released before"


class ControlChart(models.TextChoices):
    SHEWHART = "shewhart", "Each check by itself (Shewhart)"
    EWMA = "ewma", "Moving average of the checks (EWMA)"


class CheckKind(models.TextChoices):
    CHECK = "check", "Check"
    BASELINE = "baseline", "Baseline"


class CheckVerdict(models.TextChoices):
    """Empty until it is decided. ``READY`` is a baseline's."""

    IN = "in", "In control"
    OUT = "out", "Out of control"
    INSUFFICIENT = "insufficient", "Too few to tell"
    FAILED = "failed", "Could not be checked"
    READY = "ready", "Ready"


class MonitorState(models.TextChoices):
    """How a monitor stands, by its newest verdict; the most urgent first."""

    OUT = "out", "Out of limits"
    FAILING = "failing", "Failing"
    FEW = "few", "Too few samples"
    NEW = "new", "No check yet"
    CALM = "calm", "Calm"
    PAUSED = "paused", "Paused"


class AlertChannel(models.TextChoices):
    MAIL = "mail", "Mail"
    WEBHOOK = "webhook", "Webhook"


class AlertStatus(models.TextChoices):
    WAITING = "waiting", "Being delivered"
    SENT = "sent", "Delivered"
    FAILED = "failed", "Given up"
