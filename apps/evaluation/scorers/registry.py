"""Which scorers there are: those that come with Lobby, and those that installed packages bring.

A package brings one by an entry point of the group ``lobby.scorers`` that names a subclass of ``Scorer``:

    [project.entry-points."lobby.scorers"]
    claim-number = "acme_scorers:ClaimNumber"

The entry point's name is the scorer's slug. One that cannot be loaded is told by name, wherever it is asked for, and
takes no other down with it. They are loaded once per process: installing a package takes a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import structlog
from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]

from apps.evaluation.scorers import (
    answers,
    attacking,
    code,
    judges,
    matching,
    meaning,
    measures,
    overlap,
    probes,
    screens,
    structured,
)
from apps.evaluation.scorers.base import Scorer
from apps.evaluation.scorers.errors import ScorerUnknown

GROUP: Final = "lobby.scorers"
BUILT_IN: Final[tuple[type[Scorer], ...]] = (
    matching.ExactMatch,
    matching.NormalisedMatch,
    matching.Contains,
    answers.Regex,
    answers.ChoiceMatch,
    answers.NumericMatch,
    structured.JsonValid,
    structured.JsonSchema,
    structured.JsonFields,
    overlap.Rouge1,
    overlap.Rouge2,
    overlap.RougeL,
    overlap.Bleu,
    overlap.Chrf,
    overlap.EditSimilarity,
    code.CodeMatch,
    code.UnitTests,
    meaning.EmbeddingSimilarity,
    meaning.Groundedness,
    measures.Latency,
    measures.FirstToken,
    measures.Cost,
    measures.Length,
    screens.Refusal,
    screens.ToxicityScreen,
    attacking.AttackSuccess,
    probes.CounterfactualBias,
    probes.Robustness,
    judges.RubricJudge,
    judges.ReferenceJudge,
    judges.PairwiseJudge,
    judges.PersonaJudge,
    judges.GroundednessJudge,
    judges.ToxicityJudge,
    judges.BiasJudge,
)
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registry:
    """``scorers`` by slug, in the order to show them; ``broken`` says by entry point why it is not among them."""

    scorers: Mapping[str, type[Scorer]]
    broken: Mapping[str, str]


@cache
def registry() -> Registry:
    return load(tuple(entry_points(group=GROUP)))


def load(brought: tuple[EntryPoint, ...]) -> Registry:
    scorers: dict[str, type[Scorer]] = {scorer.slug: scorer for scorer in BUILT_IN}
    broken: dict[str, str] = {}
    for entry in sorted(brought, key=lambda entry: entry.name):
        problem = ""
        try:
            scorer = entry.load()
        except Exception as error:  # whatever a stranger's module does when it is imported
            problem = f"{entry.value} cannot be loaded: {type(error).__name__}: {error}"
        else:
            problem = _problem(entry.name, scorer, scorers)
        if problem:
            broken[entry.name] = problem
            log.error("scorer_not_loaded", scorer=entry.name, problem=problem)
        else:
            scorers[entry.name] = scorer
    return Registry(scorers, broken)


def get(slug: str) -> type[Scorer]:
    """Raises ``ScorerUnknown``."""
    known = registry()
    if slug in known.scorers:
        return known.scorers[slug]
    if slug in known.broken:
        raise ScorerUnknown(
            f"The scorer {slug!r} is installed and does not work: {known.broken[slug]}.",
            code="scorer_broken",
            remedy="Mend or remove the package that brings it, and restart the workers.",
        )
    raise ScorerUnknown(f"There is no scorer {slug[:64]!r}.", remedy=f"There are: {', '.join(known.scorers)}.")


def make(slug: str, parameters: Mapping[str, Any] | None = None) -> Scorer:
    """Raises ``ScorerUnknown`` and ``ParametersInvalid``."""
    return get(slug)(parameters)


def _problem(name: str, scorer: Any, known: Mapping[str, type[Scorer]]) -> str:
    if not (isinstance(scorer, type) and issubclass(scorer, Scorer)):
        return f"it is no subclass of {Scorer.__module__}.Scorer"
    missing = [word for word in ("slug", "title", "description") if not isinstance(getattr(scorer, word, None), str)]
    if missing:
        return f"{scorer.__name__} has no {' and no '.join(missing)}"
    if scorer.slug != name or not _SLUG.fullmatch(name):
        return f"its slug is {scorer.slug!r}, which has to be the entry point's name, in lower case"
    if name in known:
        return "another scorer has this name already"
    try:
        Draft202012Validator.check_schema(scorer.schema())
    except (SchemaError, AttributeError, TypeError, ValueError) as error:
        return f"its parameters are no JSON Schemas: {str(error).splitlines()[0][:200]}"
    return ""
