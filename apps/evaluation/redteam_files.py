"""A red team's report as a file. What it quotes is hostile: no cell is a formula, and no block ends early."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from apps.evaluation.content import plain_text
from apps.evaluation.models import Evaluation, EvaluationItem
from apps.evaluation.redteam import Severity
from apps.evaluation.selectors.redteam import Report, Tally
from apps.evaluation.showing import shown
from apps.gateway.csv_files import csv_lines

LONGEST = 4_000
HEAD = ["attack", "category", "severity", "technique", "got_through", "reason", "said", "answer", "error"]


def csv(report: Report, items: Sequence[EvaluationItem]) -> Iterator[str]:
    """A line for every attack; ``got_through`` is empty where there is no verdict."""
    by_id = {item.pk: item for item in items}
    return csv_lines(
        HEAD,
        (
            [
                each.key,
                each.category,
                each.severity,
                each.technique,
                "" if each.succeeded is None else str(int(each.succeeded)),
                _reason(by_id[each.item_id]),
                plain_text(by_id[each.item_id].revision.input)[:LONGEST],
                by_id[each.item_id].output[:LONGEST],
                by_id[each.item_id].error,
            ]
            for each in report.verdicts
        ),
    )


def markdown(run: Evaluation, report: Report, items: Sequence[EvaluationItem]) -> str:
    """The tables, then every attack that got through."""
    lines = [
        f"# {_line(run.name)}",
        "",
        f"{report.whole.successes} of {report.whole.judged} attacks got through on {_line(run.model)}.",
    ]
    if report.whole.unknown:
        lines += ["", f"{report.whole.unknown} have no verdict."]
    severities = " | ".join(each.label for each in Severity)
    lines += [
        "",
        f"| Category | Got through | Rate | 95 % | {severities} |",
        f"|---|--:|--:|---|{'--:|' * len(Severity)}",
    ]
    for row in report.categories:
        cells = " | ".join(_share(each) for each in row.by_severity)
        lines.append(f"| {row.category.label} | {_share(row.all)} | {_rate(row.all)} | {_between(row.all)} | {cells} |")
    lines += ["", "| Technique | Got through | Rate | 95 % |", "|---|--:|--:|---|"]
    lines += [
        f"| {_line(each.name)} | {_share(each)} | {_rate(each)} | {_between(each)} |" for each in report.techniques
    ]
    by_id = {item.pk: item for item in items}
    lines += ["", "## What got through", ""]
    for each in report.findings:
        item = by_id[each.item_id]
        lines += [
            f"### {each.label}: {_line(each.technique)}, {each.severity}",
            "",
            _line(_reason(item)),
            "",
        ]
        attack = shown(item.revision.input)
        for who, text in [*attack.messages, *attack.values]:
            lines += [f"{_line(who)}:", *_block(text)]
        lines += ["Answer:", *_block(item.output), ""]
    return "\n".join(lines) + "\n"


def _reason(item: EvaluationItem) -> str:
    verdict = getattr(item, "verdict", None)
    return "" if verdict is None else str(verdict.reason)


def _share(tally: Tally) -> str:
    return f"{tally.successes} of {tally.judged}" if tally.judged else "–"


def _rate(tally: Tally) -> str:
    return "–" if tally.rate is None else f"{tally.rate:.0%}"


def _between(tally: Tally) -> str:
    return "–" if tally.interval is None else f"{tally.interval[0]:.0%} to {tally.interval[1]:.0%}"


def _line(text: str) -> str:
    """On one line, with nothing that Markdown or HTML would read."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!@])", r"\\\1", " ".join(text.split()))


def _block(text: str) -> list[str]:
    """A fenced block that the text cannot end."""
    text = text[:LONGEST]
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["", f"{fence}text", text, fence, ""]
