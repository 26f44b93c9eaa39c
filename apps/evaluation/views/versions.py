"""Versions of a dataset: frozen, compared, signed off, downloaded."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.evaluation import exports, services
from apps.evaluation.models import Dataset, DatasetVersion
from apps.evaluation.selectors import datasets as selectors
from apps.evaluation.views.datasets import about
from apps.evaluation.views.examples import revision_shown
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.views.requests import Here, page_of, tenant_page

SHOWN = 50


@require_GET
@tenant_page
def version_list(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    page = page_of(selectors.versions_of(found), request)
    context = {
        **about(here, found, "versions"),
        "page": page,
        "entries": [(row, selectors.standing_of(row), selectors.opinions_on(row)) for row in page],
    }
    return render(request, "evaluation/version_list.html", context)


@require_POST
@tenant_page
def version_freeze(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    try:
        frozen = services.freeze_version(actor=here.actor, dataset=found, message=request.POST.get("message", ""))
    except (Conflict, Invalid) as error:
        messages.error(request, str(error))
        return redirect("evaluation:dataset-detail", tenant=tenant, dataset=dataset)
    number = frozen.version.number
    if frozen.created:
        messages.success(request, f"Version {number} is frozen. Ask somebody who knows the subject to sign it off.")
    else:
        messages.info(request, f"Version {number} holds exactly these examples already.")
    return redirect("evaluation:dataset-version", tenant=tenant, dataset=dataset, number=number)


@require_GET
@tenant_page
def version_detail(request: HttpRequest, here: Here, tenant: str, dataset: str, number: int) -> HttpResponse:
    """``?from=N`` compares with version N; by default with the one before."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    version = selectors.get_version_of(found, number)
    wanted = request.GET.get("from", "")
    if wanted.isascii() and wanted.isdigit():
        old: DatasetVersion | None = selectors.get_version_of(found, int(wanted[:9]))
    else:
        old = selectors.version_before(version)
    context = {
        **about(here, found, "versions"),
        "version": version,
        "standing": selectors.standing_of(version),
        "opinions": selectors.opinions_on(version),
        "others": [row for row in selectors.versions_of(found)[:50] if row.pk != version.pk],
        "old": old,
        **_changes(found, old, version),
    }
    return render(request, "evaluation/version_detail.html", context)


def _changes(dataset: Dataset, old: DatasetVersion | None, new: DatasetVersion) -> dict[str, Any]:
    if old is None:
        members = selectors.members_of(new)[:SHOWN]
        return {"difference": None, "members": [revision_shown(each.revision) for each in members]}
    found = selectors.difference(old, new)
    added, removed, changed = found.added[:SHOWN], found.removed[:SHOWN], found.changed[:SHOWN]
    rows = selectors.revisions_by_id([*added, *removed, *(pk for pair in changed for pk in pair)])
    return {
        "difference": found,
        "added": [revision_shown(rows[pk]) for pk in added],
        "removed": [revision_shown(rows[pk]) for pk in removed],
        "changed": [(revision_shown(rows[before]), revision_shown(rows[after])) for before, after in changed],
        "most": SHOWN,
    }


@require_POST
@tenant_page
def version_sign(request: HttpRequest, here: Here, tenant: str, dataset: str, number: int) -> HttpResponse:
    """``word`` is ``sign`` or ``object``."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    version = selectors.get_version_of(found, number)
    approves = request.POST.get("word") != "object"
    try:
        services.sign_off(actor=here.actor, version=version, is_approval=approves, note=request.POST.get("note", ""))
    except Invalid as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Signed off." if approves else "Your objection is noted.")
    return redirect("evaluation:dataset-version", tenant=tenant, dataset=dataset, number=number)


@require_GET
@tenant_page
def version_export(request: HttpRequest, here: Here, tenant: str, dataset: str, number: int) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    version = selectors.get_version_of(found, number)
    format = request.GET.get("format", "jsonl")
    return _download(version, format if format in exports.FORMATS else "jsonl")  # type: ignore[return-value]


def _download(version: DatasetVersion, format: str) -> HttpResponseBase:
    lines = exports.export_lines(version, format)
    response = StreamingHttpResponse(lines, content_type=exports.FORMATS[format])
    response["Content-Disposition"] = f'attachment; filename="{exports.file_name(version, format)}"'
    return response
