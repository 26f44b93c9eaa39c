"""A file into a dataset: chosen, looked into, mapped, imported under the reader's eyes."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.evaluation import services
from apps.evaluation.mapping import VARIABLE, parts_for
from apps.evaluation.models import Dataset, Upload
from apps.evaluation.receiving import ArchiveUploadHandler, receiving_in
from apps.evaluation.selectors import datasets as selectors
from apps.evaluation.services import Receiving
from apps.evaluation.types import UploadStatus
from apps.evaluation.views.datasets import about
from apps.tenants.access import require
from apps.tenants.errors import Conflict, DomainError, Invalid
from apps.tenants.views.requests import Here, page_of, tenant_page

WORKING = (UploadStatus.RECEIVED, UploadStatus.IMPORTING)


@require_GET
@tenant_page
def upload_list(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    return _list(request, here, selectors.get_dataset_for(here.actor, tenant, dataset))


def _list(request: HttpRequest, here: Here, dataset: Dataset, error: DomainError | None = None) -> HttpResponse:
    context = {
        **about(here, dataset, "uploads"),
        "page": page_of(selectors.uploads_of(dataset), request),
        "variables": selectors.variables_of(dataset),
        "error": error,
    }
    return render(request, "evaluation/upload_list.html", context, status=error.status if error else 200)


@csrf_exempt  # by the middleware: that would read the file before there is a place for it; ``_received`` checks
@require_POST
@tenant_page
def upload_create(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    require(here.actor, "dataset.edit", found.tenant, what="upload to this dataset")

    def begin(name: str) -> Receiving:
        return services.begin_upload(actor=here.actor, dataset=found, file_name=name)

    handler = ArchiveUploadHandler(begin)
    request.upload_handlers = [handler]
    try:
        answer: HttpResponse = _received(request, found)
        return answer
    except (Conflict, Invalid) as error:
        return _list(request, here, found, error)
    finally:
        handler.close()


@csrf_protect
def _received(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    url = upload_url(receiving_in(request.FILES).finish(), dataset)
    return HttpResponseClientRedirect(url) if request.headers.get("HX-Request") == "true" else redirect(url)


@require_GET
@tenant_page
def upload_detail(request: HttpRequest, here: Here, tenant: str, dataset: str, pk: int) -> HttpResponse:
    """What its state asks for: the columns to confirm, how far it is, or what came of it."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    upload = selectors.get_upload_of(found, pk)
    return _page(request, here, upload)


@require_GET
@tenant_page
def upload_progress(request: HttpRequest, here: Here, tenant: str, dataset: str, pk: int) -> HttpResponse:
    """Asked for again and again while a worker is at it; the whole page comes when it is done."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    upload = selectors.get_upload_of(found, pk)
    if upload.status not in WORKING:
        return HttpResponseClientRedirect(upload_url(upload, found))
    return render(request, "evaluation/_upload_progress.html", {**about(here, found, "uploads"), **_state(upload)})


@require_POST
@tenant_page
def upload_import(request: HttpRequest, here: Here, tenant: str, dataset: str, pk: int) -> HttpResponse:
    """``part_N`` says what the file's column N is."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    upload = selectors.get_upload_of(found, pk)
    mapping = {}
    for at, column in enumerate(upload.columns):
        part = request.POST.get(f"part_{at}", "")
        mapping[column] = VARIABLE + request.POST.get(f"name_{at}", "").strip() if part == VARIABLE else part
    try:
        services.start_import(actor=here.actor, upload=upload, mapping=mapping)
    except Invalid as error:
        upload.mapping = mapping
        return _page(request, here, upload, error)
    except Conflict as error:
        messages.error(request, str(error))
    return redirect(upload_url(upload, found))


@require_POST
@tenant_page
def upload_cancel(request: HttpRequest, here: Here, tenant: str, dataset: str, pk: int) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    upload = selectors.get_upload_of(found, pk)
    try:
        services.cancel_upload(actor=here.actor, upload=upload)
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Cancelled. What was imported already stays.")
    return redirect(upload_url(upload, found))


def upload_url(upload: Upload, dataset: Dataset) -> str:
    return reverse("evaluation:upload-detail", args=[dataset.tenant.slug, dataset.slug, upload.pk])


def _page(request: HttpRequest, here: Here, upload: Upload, error: DomainError | None = None) -> HttpResponse:
    context = {**about(here, upload.dataset, "uploads"), **_state(upload), "error": error}
    if upload.status == UploadStatus.READY:
        context |= _mapping(upload)
    return render(request, "evaluation/upload_detail.html", context, status=error.status if error else 200)


def _state(upload: Upload) -> dict[str, Any]:
    in_rows = upload.rows_total is not None
    return {
        "upload": upload,
        "is_working": upload.status in WORKING,
        "done": upload.rows_read if in_rows else upload.bytes_read,
        "whole": max((upload.rows_total if in_rows else upload.size) or 1, 1),
    }


def _mapping(upload: Upload) -> dict[str, Any]:
    variables = selectors.variables_of(upload.dataset)
    parts = parts_for(variables)
    known = {part for part, _ in parts}
    columns = []
    for at, column in enumerate(upload.columns):
        part = upload.mapping.get(column, "")
        name = part.removeprefix(VARIABLE) if part.startswith(VARIABLE) and part not in known else ""
        examples = [row.get(column, "") for row in upload.preview[:3]]
        columns.append({"at": at, "name": column, "part": VARIABLE if name else part, "as": name, "examples": examples})
    taken = set(upload.mapping.values())
    has_whole = bool({"input", "messages"} & taken)
    missing = [n for n, schema in variables.items() if VARIABLE + n not in taken and "default" not in schema]
    return {
        "parts": [*parts, (VARIABLE, "A variable named…")],
        "columns": columns,
        "missing": [] if has_whole else missing,
        "is_unanswered": "expected" not in taken,
        "rows": [[row.get(column, "") for column in upload.columns] for row in upload.preview],
    }
