"""Evaluation's tables: datasets, scorers, runs, gates and monitors."""

from apps.evaluation.models.comparisons import Comparison
from apps.evaluation.models.datasets import (
    Dataset,
    DatasetVersion,
    Example,
    ExampleRevision,
    InboxItem,
    SignOff,
    Upload,
    VersionExample,
)
from apps.evaluation.models.gates import Approval, EvaluationPlan, GateDecision, GateNotice, PlanMetric
from apps.evaluation.models.monitors import Monitor, MonitorAlert, MonitorCheck
from apps.evaluation.models.runs import Evaluation, EvaluationItem, EvaluationMetric, Score
from apps.evaluation.models.scorers import JudgeCalibration, Scorer, ScorerVersion

__all__ = [
    "Approval",
    "Comparison",
    "Dataset",
    "DatasetVersion",
    "Evaluation",
    "EvaluationItem",
    "EvaluationMetric",
    "EvaluationPlan",
    "Example",
    "ExampleRevision",
    "GateDecision",
    "GateNotice",
    "InboxItem",
    "JudgeCalibration",
    "Monitor",
    "MonitorAlert",
    "MonitorCheck",
    "PlanMetric",
    "Score",
    "Scorer",
    "ScorerVersion",
    "SignOff",
    "Upload",
    "VersionExample",
]
