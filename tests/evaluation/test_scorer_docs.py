"""docs/scorers.md tells of every scorer what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.evaluation.scorers import Scorer
from apps.evaluation.scorers.registry import BUILT_IN, make
from apps.evaluation.scorers.suites import SUITES

DOCS = Path(__file__).resolve().parents[2] / "docs" / "scorers.md"
GIVEN: dict[str, Any] = {
    "pattern": "x",
    "labels": ["x", "y"],
    "schema": {},
    "model": "m",
    "criteria": "c",
    "persona": "p",
}


def row(kind: type[Scorer]) -> str:
    required = [name for name, schema in kind.parameters_schema.items() if "default" not in schema]
    scorer = kind({name: GIVEN[name] for name in required})
    low, high = (f"{bound:g}" if bound is not None else "" for bound in scorer.range)
    span = f"{low} to {high}" if high else f"from {low}"
    cells = [
        f"`{kind.slug}`",
        ("**Screen.** " if kind.screen else "") + kind.description,
        f"{span}{f' {scorer.unit}' if scorer.unit else ''}, {scorer.value_kind.value}",
        scorer.direction.value,
        ", ".join(sorted(scorer.needs)) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_is_what_the_registry_says() -> None:
    table = DOCS.read_text().partition("| scorer |")[2].partition("\n\n")[0]
    assert table.splitlines()[2:] == [row(kind) for kind in BUILT_IN]


def test_suites_are_made_of_scorers_and_work_offline() -> None:
    told = DOCS.read_text()
    for suite in SUITES.values():
        assert f"`{suite.slug}`" in told
        for member in suite.members:
            assert not {"judge", "writer", "embeddings"} & make(member.scorer, member.parameters).needs
