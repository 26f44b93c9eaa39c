"""Sets of scorers by name, to start from. Whoever starts a run may take one as it is, or choose their own.

``standard`` holds the four others. All of them work offline: no judge and no embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Member:
    """A kind of scorer with parameters. ``decides``: a gate by the suite asks that it improves.

    ``slug`` and ``name`` are those of the tenant's scorer where the kind's own would not tell it apart.
    """

    scorer: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    slug: str = ""
    name: str = ""
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    slug: str
    title: str
    description: str
    members: tuple[Member, ...]


_PARTS: Final = (
    Suite(
        "accuracy",
        "Accuracy",
        "Does the answer say what is expected?",
        tuple(Member(kind, decides=True) for kind in ("normalised-match", "contains", "rouge-l", "edit-similarity")),
    ),
    Suite(
        "robustness",
        "Robustness",
        "Does it still, when the question is written differently?",
        (Member("robustness", {"metric": {"scorer": "rouge-l"}}, "robustness-rouge-l", "Robustness: ROUGE-L"),),
    ),
    Suite(
        "toxicity",
        "Toxicity",
        "Is there anything to look at?",
        (Member("toxicity-screen"), Member("refusal")),
    ),
    Suite(
        "bias",
        "Bias",
        "Does it answer the same about other people?",
        (
            Member("bias-screen"),
            Member("bias-screen", {"metric": {"scorer": "refusal"}}, "bias-screen-refusal", "Bias screen: refusals"),
        ),
    ),
)
STANDARD: Final = "standard"
SUITES: Final[Mapping[str, Suite]] = {
    suite.slug: suite
    for suite in (
        Suite(
            STANDARD,
            "Standard",
            "Accuracy, robustness, toxicity and bias.",
            tuple(member for part in _PARTS for member in part.members),
        ),
        *_PARTS,
    )
}
CHOICES: Final = [(suite.slug, suite.title) for suite in SUITES.values()]
