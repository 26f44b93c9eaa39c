"""The examples of a dataset, and one of them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation import services, showing
from apps.evaluation.forms.datasets import ExampleFactsForm
from apps.evaluation.models import Dataset, Example, ExampleRevision
from apps.evaluation.selectors import datasets as selectors
from apps.evaluation.selectors.datasets import ExampleQuery
from apps.evaluation.types import Split
from apps.evaluation.views.datasets import about, dataset_url
from apps.tenants.access import require
from apps.tenants.errors import DomainError
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"key": "key", "added": "pk"}


@require_GET
@tenant_page
def dataset_detail(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    """Its examples as they are now."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    names = ("q", "slice", "split", "tag", "status")
    asked = {name: request.GET.get(name, "").replace("\x00", "").strip()[:200] for name in names}
    query = ExampleQuery(asked["q"], asked["slice"], asked["split"], asked["tag"], asked["status"] == "removed")
    page = page_of(sorted_by(selectors.examples_of(found, query), request, ORDERS, "added"), request)
    slices = selectors.slices_of(found)
    filtered = query != ExampleQuery()
    context = {
        **about(here, found, "examples"),
        "page": page,
        "newest": selectors.versions_of(found).first(),
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "slices": slices,
        "selects": [
            {
                "name": "slice",
                "label": "Any slice",
                "options": [(slice, f"{slice} ({n})") for slice, n in slices],
                "value": query.slice,
            },
            {"name": "split", "label": "Any split", "options": Split.choices, "value": query.split},
            {"name": "status", "label": "In use", "options": [("removed", "Removed")], "value": asked["status"]},
        ],
    }
    return render(request, "evaluation/dataset_detail.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def example_create(request: HttpRequest, here: Here, tenant: str, dataset: str) -> HttpResponse:
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    require(here.actor, "dataset.edit", found.tenant, what="add an example")
    before = showing.blank_input(found)
    form = ExampleFactsForm(request.POST or None)
    error: DomainError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            stored = services.add_example(
                actor=here.actor,
                dataset=found,
                key=request.POST.get("key", "").strip(),
                **_said(request, found, before, None),
                **form.cleaned_data,
            )
        except DomainError as refused:
            error = refused
        else:
            messages.success(request, "Added. It is in the next version that you freeze.")
            return redirect(example_url(stored.example, found))
    fields = showing.fields_of(_typed_in(request, before)) if request.method == "POST" else showing.fields_of(before)
    context = {
        **about(here, found, "examples"),
        "form": form,
        "fields": fields,
        "expected_text": request.POST.get("expected", ""),
        "context_text": request.POST.get("context", ""),
        "key": request.POST.get("key", ""),
        "error": error,
    }
    return render(request, "evaluation/example_form.html", context, status=422 if error or form.errors else 200)


@require_http_methods(["GET", "POST"])
@tenant_page
def example_detail(request: HttpRequest, here: Here, tenant: str, dataset: str, pk: int) -> HttpResponse:
    """One example with its revisions; ``?edit`` to say it otherwise."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    example = selectors.get_example_of(found, pk)
    revision = example.current
    assert revision is not None
    initial = {"slice": revision.slice, "split": revision.split, "tags": ", ".join(revision.tags)}
    form = ExampleFactsForm(request.POST or None, initial=initial)
    error: DomainError | None = None
    if request.method == "POST":
        require(here.actor, "dataset.edit", found.tenant, what="edit an example")
        if form.is_valid():
            try:
                said = _said(request, found, revision.input, revision.expected)
                stored = services.edit_example(actor=here.actor, example=example, **said, **form.cleaned_data)
            except DomainError as refused:
                error = refused
            else:
                if stored.outcome == "same":
                    messages.info(request, "It says exactly this already.")
                else:
                    messages.success(request, f"Saved as revision {stored.revision.number}.")
                return redirect(example_url(example, found))
    revisions = list(selectors.revisions_of(example)[:50])
    is_editing = request.method == "POST" or "edit" in request.GET
    context = {
        **about(here, found, "examples"),
        "example": example,
        "revision": revision,
        "shown": showing.shown(revision.input),
        "expected": showing.written(revision.expected),
        "revisions": revisions,
        "form": form,
        "fields": showing.fields_of(_typed_in(request, revision.input) if request.method == "POST" else revision.input),
        "expected_text": request.POST.get("expected", showing.fields_of({"e": revision.expected})[0].text),
        "context_text": request.POST.get("context", "\n\n\n".join(revision.context)),
        "error": error,
        "is_editing": is_editing,
    }
    status = 422 if error or form.errors else 200
    return render(request, "evaluation/example_detail.html", context, status=status)


@require_POST
@tenant_page
def example_remove(request: HttpRequest, here: Here, tenant: str, dataset: str, pk: int) -> HttpResponse:
    """Removes, or restores with ``restore`` in the form."""
    found = selectors.get_dataset_for(here.actor, tenant, dataset)
    example = selectors.get_example_of(found, pk)
    if request.POST.get("restore"):
        services.restore_example(actor=here.actor, example=example)
        messages.success(request, f"{example.key} is back.")
        return redirect(example_url(example, found))
    services.remove_example(actor=here.actor, example=example)
    messages.success(request, f"{example.key} is left out of the next version.")
    return redirect(dataset_url(found))


def example_url(example: Example, dataset: Dataset) -> str:
    return reverse("evaluation:example-detail", args=[dataset.tenant.slug, dataset.slug, example.pk])


def _said(request: HttpRequest, dataset: Dataset, before: dict[str, Any], expected: Any) -> dict[str, Any]:
    """The form's parts. Raises ``ExampleInvalid``."""
    kind = selectors.type_of(dataset.expected_schema)
    context = request.POST.get("context", "").replace("\r\n", "\n")
    return {
        "input": showing.input_from(request.POST, before, selectors.types_of(dataset)),
        "expected": showing.expected_from(request.POST.get("expected", ""), expected, kind),
        "context": [text for each in context.split("\n\n\n") if (text := each.strip())],
    }


def _typed_in(request: HttpRequest, before: dict[str, Any]) -> dict[str, Any]:
    """The same shape with what was typed, valid or not."""
    return showing.input_from(request.POST, before, dict.fromkeys(before, "string")) or before


def revision_shown(revision: ExampleRevision) -> dict[str, Any]:
    """For a list of differences."""
    return {
        "key": revision.example.key,
        "pk": revision.example.pk,
        "shown": showing.shown(revision.input),
        "expected": showing.written(revision.expected),
        "slice": revision.slice,
        "split": revision.split,
        "tags": revision.tags,
    }
