"""Feedback on an answer, its triage, and what it adds up to on a model's card. The vote of a blind comparison."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import Truncator
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.models.selectors import get_model_for, names_of
from apps.playground import selectors, services
from apps.playground.catalog import names_of_prompts
from apps.playground.markdown import to_html
from apps.playground.models import Feedback
from apps.playground.reports import feedback_trend
from apps.playground.types import Reason, TriageStatus, Verdict
from apps.prompts.selectors import get_prompt_for
from apps.tenants.access import can, require
from apps.tenants.errors import Conflict, DomainError, Invalid, NotFound
from apps.tenants.models import Tenant
from apps.tenants.views.requests import Here, page_of, tenant_page

SHOWN_ON_CARD = 5
SHOWN_CHARACTERS = 2_000
FILTERS = ("model", "prompt", "status", "verdict", "reason")


@dataclass(frozen=True, slots=True)
class Said:
    """A row of feedback with its names."""

    row: Feedback
    model_name: str
    reasons: list[str]
    answer: str  # its beginning, as HTML


@require_http_methods(["GET", "POST"])
@tenant_page
def feedback(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """The reader's own word on an answer: thumbs, and for a bad one the reasons, a note, a better answer.

    ``verdict`` empty takes it back.
    """
    answer = selectors.get_readable_answer_for(here.actor, pk)
    error: DomainError | None = None
    status = 200
    if request.method == "POST":
        asked = request.POST
        try:
            if asked.get("verdict"):
                services.give_feedback(
                    actor=here.actor,
                    answer=answer,
                    verdict=asked["verdict"],
                    reasons=asked.getlist("reasons"),
                    note=asked.get("note", ""),
                    correction=asked.get("correction", ""),
                )
            else:
                services.withdraw_feedback(actor=here.actor, answer=answer)
        except (Conflict, Invalid) as refused:
            error, status = refused, 422
    given = selectors.feedback_of(here.actor, answer.turn.conversation).get(answer.pk)
    saved = request.method == "POST" and error is None and "details" in request.POST
    chosen = given.reasons if given else []
    reasons = [(value, label, value in chosen) for value, label in Reason.choices]
    asks_why = given is not None and given.verdict == Verdict.DOWN and not saved
    context = {
        "answer": answer,
        "given": given,
        "reasons": reasons,
        "error": error,
        "saved": saved,
        "open": asks_why and (request.method == "POST" or "edit" in request.GET),
    }
    return render(request, "playground/_feedback.html", context, status=status)


@require_POST
@tenant_page
def vote(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """The outcome of a blind comparison; with it come the names (event ``playground:revealed``)."""
    turn = selectors.get_turn_for(here.actor, pk)
    cast = services.cast_vote(actor=here.actor, turn=turn, winner=request.POST.get("winner", ""))
    names = names_of([cast.model_a, cast.model_b])
    revealed = [
        {"column": at, "model": slug, "name": names[slug]} for at, slug in enumerate((cast.model_a, cast.model_b))
    ]
    context = {"turn": turn, "vote": cast, "name_a": names[cast.model_a], "name_b": names[cast.model_b]}
    response = render(request, "playground/_vote.html", context)
    response["HX-Trigger"] = json.dumps({"playground:revealed": {"turn": turn.pk, "columns": revealed}})
    return response


@require_GET
@tenant_page
def feedback_list(request: HttpRequest, here: Here) -> HttpResponse:
    """For those who answer for a model: what was said, open first, and how it is going."""
    require(here.actor, "feedback.triage", here.tenant, what="triage feedback")
    asked = {name: request.GET.get(name, "").replace("\x00", "") for name in FILTERS}
    rows = selectors.feedback_for(here.actor, here.tenant, asked["model"], asked["prompt"])
    trend = feedback_trend(rows, timezone.now())
    if asked["status"] in TriageStatus.values:
        rows = rows.filter(status=asked["status"])
    if asked["verdict"] in Verdict.values:
        rows = rows.filter(verdict=asked["verdict"])
    if asked["reason"] in Reason.values:
        rows = selectors.with_reason(rows, asked["reason"])
    page = page_of(rows, request)
    models = selectors.feedback_models(here.actor, here.tenant)
    names = names_of(models)
    prompts = selectors.feedback_prompts(here.actor, here.tenant)
    prompt_names = names_of_prompts(here.tenant, prompts)
    filtered = any(asked.values())
    of_prompt = {
        "name": "prompt",
        "label": "Any prompt",
        "options": [(slug, prompt_names[slug]) for slug in prompts],
        "value": asked["prompt"],
    }
    context = {
        "page": page,
        "said": _said(page),
        "trend": trend,
        "statuses": TriageStatus.choices,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "may_triage": True,
        "may_make_sets": can(here.actor, "dataset.edit", here.tenant),
        "selects": [
            {
                "name": "model",
                "label": "Any model",
                "options": [(slug, names[slug]) for slug in models],
                "value": asked["model"],
            },
            *([of_prompt] if prompts else []),
            {"name": "status", "label": "Any state", "options": TriageStatus.choices, "value": asked["status"]},
            {"name": "verdict", "label": "Good and bad", "options": Verdict.choices, "value": asked["verdict"]},
            {"name": "reason", "label": "Any reason", "options": Reason.choices, "value": asked["reason"]},
        ],
    }
    return render(request, "playground/feedback_list.html", context)


@require_POST
@tenant_page
def feedback_triage(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    row = services.triage_feedback(
        actor=here.actor,
        feedback=_of_tenant(here, pk),
        status=request.POST.get("status", ""),
    )
    if request.headers.get("HX-Request") == "true":
        context = {"said": _said([row])[0], "statuses": TriageStatus.choices, "now_open": True}
        return render(request, "playground/_feedback_row.html", context)
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if safe else "playground:feedback-list")


@require_GET
@tenant_page
def model_feedback(request: HttpRequest, here: Here, slug: str) -> HttpResponse:
    """The panel on a model's card: figures for every member, the open ones for those who triage."""
    model = get_model_for(here.actor, slug)
    rows = selectors.feedback_for(here.actor, here.tenant, model.slug)
    context = _summary(here, here.tenant, rows) | {"about": "model", "name": model.name, "value": model.slug}
    return render(request, "playground/_feedback_summary.html", context)


@require_GET
@tenant_page
def prompt_feedback(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """The same on a prompt's page, for its owners."""
    found = get_prompt_for(here.actor, tenant, prompt)
    rows = selectors.feedback_for(here.actor, found.tenant, prompt_slug=found.slug)
    context = _summary(here, found.tenant, rows) | {"about": "prompt", "name": found.name, "value": found.slug}
    return render(request, "playground/_feedback_summary.html", context)


def _summary(here: Here, tenant: Tenant, rows: QuerySet[Feedback]) -> dict[str, Any]:
    may_triage = can(here.actor, "feedback.triage", tenant)
    waiting = rows.filter(status=TriageStatus.OPEN, verdict=Verdict.DOWN) if may_triage else rows.none()
    return {
        "trend": feedback_trend(rows, timezone.now()),
        "waiting": _said(waiting[:SHOWN_ON_CARD]),
        "may_triage": may_triage,
    }


def _said(rows: Iterable[Feedback]) -> list[Said]:
    found = list(rows)
    names = names_of(row.model_slug for row in found)
    labels = dict(Reason.choices)
    return [
        Said(
            row,
            names[row.model_slug],
            [str(labels.get(each, each)) for each in row.reasons],
            to_html(Truncator(row.answer.text).chars(SHOWN_CHARACTERS)),
        )
        for row in found
    ]


def _of_tenant(here: Here, pk: int) -> Feedback:
    row = selectors.get_feedback_for(here.actor, pk)
    if row.tenant_id != here.tenant.pk:
        raise NotFound("There is no such feedback.")
    return row
