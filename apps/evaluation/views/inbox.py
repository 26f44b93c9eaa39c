"""The golden-set inbox: what was offered, by cluster; taken into a dataset, or not."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation import services, showing
from apps.evaluation.models import Dataset, InboxItem
from apps.evaluation.selectors import datasets, inbox
from apps.evaluation.selectors.inbox import InboxQuery
from apps.evaluation.types import InboxStatus, Source, Split
from apps.tenants.access import can, require
from apps.tenants.errors import Conflict, DomainError, Invalid
from apps.tenants.views.requests import Here, page_of, tenant_page

MOST_DATASETS = 200


@require_GET
@tenant_page
def inbox_list(request: HttpRequest, here: Here) -> HttpResponse:
    names = ("status", "source", "prompt", "cluster")
    asked = {name: request.GET.get(name, "").replace("\x00", "").strip()[:100] for name in names}
    status = asked["status"] if asked["status"] in InboxStatus.values else InboxStatus.OPEN
    query = InboxQuery(status, asked["source"], asked["prompt"], asked["cluster"])
    page = page_of(inbox.inbox_for(here.actor, here.tenant, query).order_by("-pk"), request)
    filtered = query != InboxQuery()
    prompts = inbox.inbox_prompts(here.actor, here.tenant)
    context = {
        "page": page,
        "entries": [(item, showing.shown(item.input), showing.written(item.expected)) for item in page],
        "clusters": inbox.clusters_of(here.actor, here.tenant),
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "datasets": _datasets(here),
        "splits": Split.choices,
        "may_edit": can(here.actor, "dataset.edit", here.tenant),
        "failed": inbox.failed_requests_for(here.actor, here.tenant).count(),
        "may_offer": can(here.actor, "dataset.offer", here.tenant),
        "selects": [
            {"name": "status", "label": "Open", "options": InboxStatus.choices[1:], "value": asked["status"]},
            {"name": "source", "label": "From anywhere", "options": Source.choices, "value": query.source},
            {"name": "prompt", "label": "Any prompt", "options": prompts, "value": query.prompt},
            {
                "name": "cluster",
                "label": "Any cluster",
                "options": [(name, f"{name} ({n})") for name, n in inbox.clusters_of(here.actor, here.tenant)],
                "value": query.cluster,
            },
        ],
    }
    return render(request, "evaluation/inbox_list.html", context)


@require_POST
@tenant_page
def inbox_failed(request: HttpRequest, here: Here) -> HttpResponse:
    """Bring in what the gateway kept of requests that failed."""
    try:
        offered = services.offer_failed_requests(actor=here.actor, tenant=here.tenant)
        messages.success(request, f"{_counted(offered)} brought in. Say what the answers should have been.")
    except Conflict as error:
        messages.info(request, str(error))
    return redirect("evaluation:inbox")


@require_http_methods(["GET", "POST"])
@tenant_page
def inbox_item(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """One item: what it should have said, then into a dataset."""
    item = inbox.get_item_for(here.actor, here.tenant, pk)
    error: DomainError | None = None
    if request.method == "POST":
        require(here.actor, "dataset.edit", here.tenant, what="change an item of the inbox")
        try:
            expected = showing.expected_from(request.POST.get("expected", ""), item.expected, "")
            said = showing.input_from(request.POST, item.input, {})
            item = services.correct_item(actor=here.actor, item=item, expected=expected, input=said)
            if request.POST.get("dataset"):
                dataset = datasets.get_dataset_for(here.actor, here.tenant.slug, request.POST["dataset"])
                return _accepted(request, here, dataset, [item])
        except DomainError as refused:
            error = refused
        else:
            messages.success(request, "Saved.")
            return redirect("evaluation:inbox-item", pk=item.pk)
    context = {
        "item": item,
        "shown": showing.shown(item.input),
        "fields": showing.fields_of(item.input),
        "expected_text": request.POST.get("expected", showing.fields_of({"e": item.expected})[0].text),
        "datasets": _datasets(here),
        "splits": Split.choices,
        "error": error,
        "may_edit": can(here.actor, "dataset.edit", here.tenant) and item.status == InboxStatus.OPEN,
    }
    return render(request, "evaluation/inbox_item.html", context, status=error.status if error else 200)


@require_POST
@tenant_page
def inbox_decide(request: HttpRequest, here: Here) -> HttpResponse:
    """``items`` into ``dataset``, or with ``dismiss`` out of the way; ``reopen`` undoes either."""
    require(here.actor, "dataset.edit", here.tenant, what="decide on the inbox")
    keys = [int(each) for each in request.POST.getlist("items") if each.isascii() and each.isdigit() and len(each) < 19]
    items = inbox.items_for(here.actor, here.tenant, keys[:1_000])
    try:
        if request.POST.get("reopen"):
            back = services.reopen_items(actor=here.actor, tenant=here.tenant, items=items)
            messages.success(request, f"{_counted(len(back))} back in the inbox.")
        elif request.POST.get("dismiss"):
            gone = services.dismiss_items(actor=here.actor, tenant=here.tenant, items=items)
            messages.success(request, f"{_counted(len(gone))} dismissed. Under “Dismissed” you can bring them back.")
        else:
            slug = request.POST.get("dataset", "")
            if not slug:
                raise Invalid("Choose a dataset.", field="dataset")
            return _accepted(request, here, datasets.get_dataset_for(here.actor, here.tenant.slug, slug), items)
    except Invalid as error:
        messages.error(request, str(error))
    return redirect("evaluation:inbox")


def _accepted(request: HttpRequest, here: Here, dataset: Dataset, items: list[InboxItem]) -> HttpResponse:
    split = request.POST.get("split") or Split.TEST
    accepted = services.accept_items(
        actor=here.actor, dataset=dataset, items=items, split=split, slice=request.POST.get("slice", "")
    )
    if accepted.examples:
        messages.success(request, f"{_counted(len(accepted.examples))} now in {dataset.name}.")
    for reason in list(accepted.skipped.values())[:3]:
        messages.warning(request, f"Not taken: {reason}")
    return redirect("evaluation:inbox")


def _counted(count: int) -> str:
    return "1 item is" if count == 1 else f"{count} items are"


def _datasets(here: Here) -> list[Dataset]:
    rows = datasets.datasets_for(here.actor, here.tenant).filter(is_archived=False).order_by("name")
    return list(rows[:MOST_DATASETS])
