"""The list of datasets, and the facts of one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation import services
from apps.evaluation.forms.datasets import DatasetFactsForm, DatasetForm
from apps.evaluation.models import Dataset
from apps.evaluation.selectors import datasets as selectors
from apps.evaluation.selectors.datasets import DatasetQuery
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "name", "updated": "updated_at", "size": "size"}


@require_GET
@tenant_page
def dataset_list(request: HttpRequest, here: Here) -> HttpResponse:
    asked = {name: request.GET.get(name, "").replace("\x00", "").strip()[:200] for name in ("q", "tag", "status")}
    query = DatasetQuery(text=asked["q"], tag=asked["tag"][:40], archived=asked["status"] == "archived")
    rows = selectors.search_datasets(here.actor, here.tenant, query)
    tags = selectors.tags_in_use(here.actor, here.tenant)
    filtered = query != DatasetQuery()
    context = {
        "page": page_of(sorted_by(rows, request, ORDERS, "-updated"), request),
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {"name": "tag", "label": "Any tag", "options": [(tag, tag) for tag in tags], "value": query.tag},
            {
                "name": "status",
                "label": "In use",
                "options": [("archived", "Archived")],
                "value": asked["status"],
            },
        ],
        "may_edit": can(here.actor, "dataset.edit", here.tenant),
    }
    return render(request, "evaluation/dataset_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def dataset_create(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "dataset.edit", here.tenant, what="create a dataset")
    form = DatasetForm(request.POST or None, tenant=here.tenant, initial={"prompt": request.GET.get("prompt", "")})
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_dataset(actor=here.actor, tenant=here.tenant, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, f"{made.name} is there. Upload a file, or write its first example.")
            return redirect("evaluation:upload-list", tenant=here.tenant.slug, dataset=made.slug)
    back = reverse("evaluation:dataset-list")
    return _form(request, form, title="New dataset", back=back, action="Create dataset")


@require_http_methods(["GET", "POST"])
@tenant_page
def dataset_edit(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    require(here.actor, "dataset.edit", found.tenant, what="change this dataset")
    initial = {
        "name": found.name,
        "description": found.description,
        "prompt": found.prompt,
        "tags": ", ".join(found.tags),
        "input_schema": found.input_schema,
        "expected_schema": found.expected_schema,
    }
    form = DatasetFactsForm(request.POST or None, tenant=found.tenant, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.update_dataset(actor=here.actor, dataset=found, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(dataset_url(found))
    return _form(request, form, title=f"Edit {found.name}", back=dataset_url(found), action="Save", dataset=found)


@require_POST
@tenant_page
def dataset_archive(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    """Archives, or restores with ``restore`` in the form."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    if request.POST.get("restore"):
        services.restore_dataset(actor=here.actor, dataset=found)
        messages.success(request, f"{found.name} is restored.")
    else:
        services.archive_dataset(actor=here.actor, dataset=found)
        messages.success(request, f"{found.name} is archived.")
    return redirect(dataset_url(found))


def dataset_url(dataset: Dataset) -> str:
    return reverse("evaluation:dataset-detail", args=[dataset.tenant.slug, dataset.slug])


def about(here: Here, dataset: Dataset, tab: str) -> dict[str, Any]:
    """What each of a dataset's pages shows at its top."""
    return {
        "dataset": dataset,
        "tab": tab,
        "may_edit": can(here.actor, "dataset.edit", dataset.tenant) and not dataset.is_archived,
        "may_archive": can(here.actor, "dataset.edit", dataset.tenant),
        "may_sign": can(here.actor, "dataset.sign_off", dataset.tenant),
    }


def _form(request: HttpRequest, form: DatasetFactsForm, **context: Any) -> HttpResponse:
    status = 422 if form.errors else 200
    return render(request, "evaluation/dataset_form.html", {"form": form, **context}, status=status)
