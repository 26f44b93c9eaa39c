"""Scorers: the list, a new one, and one with its versions; of a judge how far it agrees with people."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation.forms.scorers import ScorerChangesForm, ScorerForm, choices_for
from apps.evaluation.models import Scorer
from apps.evaluation.scorers import registry
from apps.evaluation.selectors import runs as runs_selectors
from apps.evaluation.selectors import scorers as selectors
from apps.evaluation.services import calibration, scorers
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "name", "kind": "kind", "created": "created_at"}


@require_GET
@tenant_page
def scorer_list(request: HttpRequest, here: Here) -> HttpResponse:
    text = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    archived = request.GET.get("status") == "archived"
    rows = selectors.search_scorers(here.actor, here.tenant, text, archived=archived)
    page = page_of(sorted_by(rows, request, ORDERS, "name"), request)
    kinds = selectors.kinds()
    context = {
        "page": page,
        "entries": [(row, kinds.get(row.kind), selectors.is_judge(row.kind)) for row in page],
        "search": text,
        "filtered": bool(text) or archived,
        "reset_url": request.path if text or archived else "",
        "selects": [
            {
                "name": "status",
                "label": "In use",
                "options": [("archived", "Archived")],
                "value": "archived" if archived else "",
            }
        ],
        "may_edit": can(here.actor, "evaluation.run", here.tenant),
    }
    return render(request, "evaluation/scorer_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def scorer_create(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "evaluation.run", here.tenant, what="set a scorer up")
    slug = request.POST.get("kind") or request.GET.get("kind", "")
    kind = registry.registry().scorers.get(slug)
    if kind is None:
        if slug or request.method == "POST":
            messages.error(request, "Choose a kind of scorer: there is none of this name.")
        context: dict[str, Any] = {"kinds": selectors.kinds(), "broken": registry.registry().broken}
        return render(request, "evaluation/scorer_kinds.html", context, status=422 if request.method == "POST" else 200)
    choices = choices_for(here.actor, here.tenant)
    form = ScorerForm(request.POST if request.method == "POST" else None, kind=kind, values={}, choices=choices)
    if request.method == "POST" and form.is_valid():
        try:
            made = scorers.create_scorer(actor=here.actor, tenant=here.tenant, kind=kind.slug, **form.facts())
        except DomainError as error:
            form.refuse(error)
        else:
            messages.success(request, f"{made.name} is there.")
            return redirect(scorer_url(made))
    context = {"form": form, "kind": selectors.kinds()[kind.slug], "slug": kind.slug}
    return render(request, "evaluation/scorer_form.html", context, status=422 if form.errors else 200)


@require_POST
@tenant_page
def scorer_defaults(request: HttpRequest, here: Here) -> HttpResponse:
    """The set to begin with."""
    made = scorers.ensure_default_scorers(actor=here.actor, tenant=here.tenant)
    messages.success(request, f"{len(made)} scorers are there." if made else "The usual scorers are there already.")
    return redirect("evaluation:scorer-list")


@require_http_methods(["GET", "POST"])
@tenant_page
def scorer_detail(request: HttpRequest, here: Here, tenant: str, scorer: str) -> HttpResponse:
    """A POST changes it."""
    found = selectors.get_scorer_for(here.actor, tenant, scorer)
    newest = selectors.versions_of(found).first()
    form = ScorerChangesForm(
        request.POST if request.method == "POST" else None,
        kind=registry.registry().scorers.get(found.kind),
        values=newest.parameters if newest is not None else {},
        choices=choices_for(here.actor, found.tenant),
        initial={"name": found.name, "description": found.description},
    )
    if request.method == "POST":
        require(here.actor, "evaluation.run", found.tenant, what="change this scorer")
        if form.is_valid():
            try:
                version = scorers.update_scorer(actor=here.actor, scorer=found, **form.facts())
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, f"Saved: version {version.number} counts.")
                return redirect(scorer_url(found))
    is_judge = selectors.is_judge(found.kind)
    context: dict[str, Any] = {
        "scorer": found,
        "kind": selectors.kinds().get(found.kind),
        "form": form,
        "versions": selectors.versions_of(found)[:50],
        "newest": newest,
        "uses": selectors.metrics_of(found)[:10],
        "is_judge": is_judge,
        "may_edit": can(here.actor, "evaluation.run", found.tenant),
    }
    if is_judge and newest is not None:
        context["calibrations"] = selectors.calibrations_of(newest)[:20]
        context["in_force"] = selectors.calibration_of(newest)
        context["labelled"] = [use.evaluation for use in selectors.rated_uses(newest)[:20]]
    return render(request, "evaluation/scorer_detail.html", context, status=422 if form.errors else 200)


@require_POST
@tenant_page
def scorer_archive(request: HttpRequest, here: Here, tenant: str, scorer: str) -> HttpResponse:
    """Archives, or restores with ``restore`` in the form."""
    found = selectors.get_scorer_for(here.actor, tenant, scorer)
    restore = bool(request.POST.get("restore"))
    scorers.archive_scorer(actor=here.actor, scorer=found, is_archived=not restore)
    messages.success(request, f"{found.name} is {'restored' if restore else 'archived'}.")
    return redirect(scorer_url(found))


@require_POST
@tenant_page
def judge_calibrate(request: HttpRequest, here: Here, tenant: str, scorer: str) -> HttpResponse:
    """With the run's id in ``run``: by the ratings of its dataset. With a ``reason``: by its owner's word."""
    found = selectors.get_scorer_for(here.actor, tenant, scorer)
    require(here.actor, "evaluation.run", found.tenant, what="calibrate a judge")
    version = selectors.get_scorer_version_for(here.actor, tenant, scorer)
    reason = request.POST.get("reason", "")
    try:
        if reason:
            calibration.override_calibration(actor=here.actor, version=version, reason=reason)
            messages.success(request, "Gates rely on it for a month, and show your reason.")
        else:
            run = runs_selectors.get_run_for(here.actor, request.POST.get("run", ""))
            ratings = calibration.ratings_of_run(run, version)
            source = f"{run.dataset_version.dataset.name}, version {run.dataset_version.number}, in {run.name}"
            row = calibration.calibrate_judge(actor=here.actor, version=version, ratings=ratings, source=source[:300])
            messages.success(request, f"Measured on {row.pairs} ratings.")
    except DomainError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, str(error))
    return redirect(scorer_url(found))


def scorer_url(scorer: Scorer) -> str:
    return reverse("evaluation:scorer-detail", args=[scorer.tenant.slug, scorer.slug])
