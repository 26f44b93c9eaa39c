"""Two runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from apps.evaluation.charts import GRID, Dot, interval_rows, scatter_dots, spread
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.selectors import comparisons as selectors
from apps.evaluation.selectors.comparisons import Cell, CellQuery, Quality
from apps.evaluation.selectors.gates import comparison_of, get_evaluation_for
from apps.evaluation.services.gates import compare_evaluations
from apps.evaluation.types import LIVE_RUNS
from apps.evaluation.views.runs import mlflow_url
from apps.prompts.diff import word_diff
from apps.prompts.placeholders import written
from apps.tenants.access import can
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.views.requests import Here, tenant_page


@require_GET
@tenant_page
def compare(request: HttpRequest, here: Here) -> HttpResponse:
    """``?baseline=ID&candidate=ID``, with filters of the cells beside them."""
    asked = request.GET
    baseline = get_evaluation_for(here.actor, asked.get("baseline", ""))
    candidate = get_evaluation_for(here.actor, asked.get("candidate", ""))
    scorers = selectors.shared_scorers(baseline, candidate)
    query = CellQuery(
        scorer=asked.get("scorer", ""),
        slice=asked.get("slice", "").replace("\x00", "")[:100],
        show=asked.get("show", ""),
        text=asked.get("q", "").replace("\x00", "").strip()[:200],
        order=asked.get("sort", "worst"),
    )
    page = selectors.cells(baseline, candidate, scorers, query, asked.get("page"))
    first = next((each for each in scorers if each.slug == query.scorer), scorers[0] if scorers else None)
    comparison = comparison_of(baseline, candidate)
    evidence = {} if comparison is None else comparison.evidence
    metrics = evidence.get("metrics", [])
    shown = next((each for each in metrics if first is not None and each["scorer"] == first.slug), None)
    pair = {"baseline": baseline.public_id, "candidate": candidate.public_id}
    filtered = query != CellQuery(scorer=query.scorer, order=query.order)
    context = {
        "baseline": baseline,
        "candidate": candidate,
        "pair": pair,
        "comparison": comparison,
        "evidence": evidence,
        "metrics": [(each, interval_rows(metrics).get(each["name"])) for each in metrics],
        "metric": shown,
        "distribution": _distribution(shown),
        "dots": [] if shown is None else scatter_dots(shown["scatter"], GRID, shown["direction"]),
        "qualities": _qualities(selectors.cost_and_quality(baseline, candidate, first)),
        "runs": [
            (name, run, mlflow_url(here, run)) for name, run in (("Baseline", baseline), ("Candidate", candidate))
        ],
        "live": any(run.status in LIVE_RUNS for run in (baseline, candidate)),
        "may_compare": can(here.actor, "evaluation.run", candidate.tenant),
        "scorer": first,
        "scorers": scorers,
        "page": page,
        "cells": [_shown(cell) for cell in page],
        "may_see_requests": can(here.actor, "request.view", candidate.tenant),
        "query": query,
        "filtered": filtered,
        "reset_url": f"{request.path}?{urlencode(pair)}" if filtered else "",
        "selects": [
            _select("scorer", "First scorer", [(each.slug, each.name) for each in scorers], query.scorer),
            _select("slice", "Any slice", [(each, each) for each in selectors.slices_of(candidate)], query.slice),
            _select("show", "Any change", selectors.SHOWS, query.show),
            _select("sort", "Largest regression first", selectors.ORDERS, query.order),
        ],
    }
    return render(request, "evaluation/compare.html", context)


@require_POST
@tenant_page
def weigh(request: HttpRequest, here: Here) -> HttpResponse:
    """Has the two weighed against each other."""
    baseline = get_evaluation_for(here.actor, request.POST.get("baseline", ""))
    candidate = get_evaluation_for(here.actor, request.POST.get("candidate", ""))
    try:
        compare_evaluations(actor=here.actor, baseline=baseline, candidate=candidate)
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    pair = urlencode({"baseline": baseline.public_id, "candidate": candidate.public_id})
    return redirect(f"{reverse('evaluation:compare')}?{pair}")


def _select(name: str, label: str, options: Sequence[tuple[str, str]], value: str) -> dict[str, Any]:
    return {"name": name, "label": label, "options": options, "value": value}


def _shown(cell: Cell) -> dict[str, Any]:
    before = "" if cell.baseline is None else cell.baseline.output
    after = "" if cell.candidate is None else cell.candidate.output
    return {
        "cell": cell,
        "input": [(name, written(value)) for name, value in cell.revision.input.items()],
        "expected": cell.revision.expected,
        "pieces": word_diff(before, after),
        "traced": _traced(cell),
    }


def _traced(cell: Cell) -> dict[str, str]:
    """The request that gave an answer, by side; none where the answer was recorded."""
    sides = (("baseline", cell.baseline), ("candidate", cell.candidate))
    return {
        name: item.request_id
        for name, item in sides
        if item is not None and item.request_id and item.request_id != RECORDED
    }


def _distribution(metric: dict[str, Any] | None) -> dict[str, Any] | None:
    if metric is None or not metric["distribution"]:
        return None
    found = metric["distribution"]
    return {
        "labels": found["labels"],
        "stacked": False,
        "series": [
            {"name": "Baseline", "values": found["baseline"]},
            {"name": "Candidate", "values": found["candidate"]},
        ],
    }


def _qualities(found: list[Quality]) -> list[Dot]:
    """Cheaper is left, better is up."""
    if len(found) < 2:
        return []
    left, right = spread([each.cost_picousd for each in found])
    low, high = spread([each.value for each in found])
    dots = [
        Dot(
            x=round((each.cost_picousd - left) / (right - left) * 100, 2),
            y=round(100 - (each.value - low) / (high - low) * 100, 2),
            radius=2.4 if each.kind == "other" else 3.4,
            title=f"{each.run.name}: {each.value:.3g}",
            tone=each.kind,
        )
        for each in found
    ]
    return sorted(dots, key=lambda dot: dot.tone != "other")
