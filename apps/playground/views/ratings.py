"""Rating sets: people's ratings of answers as datasets that judges are measured on."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from apps.evaluation.models import Dataset
from apps.evaluation.running.subjects import RECORDED
from apps.evaluation.selectors.datasets import datasets_for
from apps.evaluation.selectors.scorers import is_judge, scorers_for
from apps.playground import services
from apps.playground.rated import counts_of
from apps.playground.services.ratings import SLUGS
from apps.playground.types import RatingKind
from apps.tenants.access import can
from apps.tenants.errors import Conflict
from apps.tenants.views.requests import Here, tenant_page


@require_GET
@tenant_page
def rating_sets(request: HttpRequest, here: Here) -> HttpResponse:
    """What would be copied, before it is; and where the last copy is."""
    services.may_make_rating_sets(here.actor, here.tenant)
    there = {row.slug: row for row in datasets_for(here.actor, here.tenant).filter(slug__in=SLUGS.values())}
    newest = {slug: row.versions.order_by("-number").first() for slug, row in there.items()}
    sets: list[dict[str, Any]] = []
    for kind, counts in counts_of(here.tenant).items():
        dataset: Dataset | None = there.get(SLUGS[kind])
        sets.append(
            {
                "kind": kind,
                "counts": counts,
                "usable": counts.usable(kind),
                "dataset": dataset,
                "version": newest.get(SLUGS[kind]),
            }
        )
    context = {
        "sets": sets,
        "allowed": here.tenant.copies_feedback,
        "may_allow": can(here.actor, "tenant.update", here.tenant),
        "recorded": RECORDED,
        "has_judge": _has_judge(here),
        "votes": RatingKind.VOTES,
        "playground_url": reverse("playground:index"),
    }
    return render(request, "playground/rating_sets.html", context)


def _has_judge(here: Here) -> bool:
    kinds = scorers_for(here.actor, here.tenant).filter(is_archived=False).values_list("kind", flat=True)
    return any(map(is_judge, kinds))


@require_POST
@tenant_page
def rating_set_make(request: HttpRequest, here: Here) -> HttpResponse:
    try:
        made = services.make_rating_set(actor=here.actor, tenant=here.tenant, kind=request.POST.get("kind", ""))
    except Conflict as error:
        messages.error(request, str(error))
    else:
        name, number, size = made.dataset.name, made.version.number, made.version.size
        if made.created:
            ratings = f"{size:,} rating{'' if size == 1 else 's'}"
            messages.success(request, f"Version {number} of {name} is frozen: {ratings}.")
        else:
            messages.info(request, f"Nothing has changed since version {number} of {name}.")
    return redirect("playground:rating-sets")


@require_POST
@tenant_page
def rating_set_allow(request: HttpRequest, here: Here) -> HttpResponse:
    """With ``allowed`` in the form, or without it: no more."""
    is_allowed = bool(request.POST.get("allowed"))
    services.allow_rating_sets(actor=here.actor, tenant=here.tenant, is_allowed=is_allowed)
    said = "may be copied" if is_allowed else "is no longer copied; rating sets that are there stay"
    messages.success(request, f"Feedback of {here.tenant.name} {said}.")
    return redirect("playground:rating-sets")
