"""The list of prompts, and the facts of one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.prompts import selectors, services
from apps.prompts.forms import PromptFactsForm, PromptForm
from apps.prompts.models import Prompt
from apps.prompts.selectors import PromptQuery
from apps.prompts.types import UseCase
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "name", "updated": "updated_at", "versions": "versions_made"}
STATUSES = [("archived", "Archived")]


@require_GET
@tenant_page
def prompt_list(request: HttpRequest, here: Here) -> HttpResponse:
    asked = request.GET
    query = PromptQuery(
        text=asked.get("q", "").replace("\x00", "").strip()[:200],
        use_case=asked.get("use_case", ""),
        tag=asked.get("tag", "").replace("\x00", "")[:40],
        owner_id=here.actor.user.pk if asked.get("owner") == "me" and here.actor.user is not None else None,
        archived=asked.get("status") == "archived",
    )
    page = page_of(
        sorted_by(selectors.search_prompts(here.actor, here.tenant, query), request, ORDERS, "-updated"), request
    )
    labels = selectors.labels_of(page.object_list)
    filtered = query != PromptQuery()
    tags = selectors.tags_in_use(here.actor, here.tenant)
    context = {
        "page": page,
        "entries": [(prompt, labels.get(prompt.pk, [])) for prompt in page],
        "query": query,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {"name": "use_case", "label": "Any use case", "options": UseCase.choices, "value": query.use_case},
            {"name": "tag", "label": "Any tag", "options": [(tag, tag) for tag in tags], "value": query.tag},
            {"name": "owner", "label": "Any owner", "options": [("me", "Mine")], "value": asked.get("owner", "")},
            {"name": "status", "label": "In use", "options": STATUSES, "value": asked.get("status", "")},
        ],
        "may_edit": can(here.actor, "prompt.edit", here.tenant),
    }
    return render(request, "prompts/prompt_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def prompt_create(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "prompt.edit", here.tenant, what="create a prompt")
    form = PromptForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            prompt = services.create_prompt(actor=here.actor, tenant=here.tenant, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, f"{prompt.name} is there. Write its first version.")
            return redirect("prompts:version-create", tenant=here.tenant.slug, prompt=prompt.slug)
    return _form(request, form, title="New prompt", back=reverse("prompts:list"), action="Create prompt")


@require_http_methods(["GET", "POST"])
@tenant_page
def prompt_edit(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    require(here.actor, "prompt.edit", found.tenant, what="change this prompt")
    initial = {
        "name": found.name,
        "description": found.description,
        "use_case": found.use_case,
        "tags": ", ".join(found.tags),
        "owner": found.owner,
    }
    form = PromptFactsForm(request.POST or None, initial=initial, prompt=found)
    if request.method == "POST" and form.is_valid():
        try:
            services.update_prompt(actor=here.actor, prompt=found, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(prompt_url(found))
    title = f"Edit {found.name}"
    return _form(request, form, title=title, back=prompt_url(found), action="Save", prompt=found)


@require_POST
@tenant_page
def prompt_archive(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """Archives, or restores with ``restore`` in the form."""
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    if request.POST.get("restore"):
        services.restore_prompt(actor=here.actor, prompt=found)
        messages.success(request, f"{found.name} is restored and served again.")
    else:
        services.archive_prompt(actor=here.actor, prompt=found)
        messages.success(request, f"{found.name} is archived and no longer served.")
    return redirect(prompt_url(found))


def prompt_url(prompt: Prompt) -> str:
    return reverse("prompts:detail", args=[prompt.tenant.slug, prompt.slug])


def _form(request: HttpRequest, form: PromptForm, **context: Any) -> HttpResponse:
    return render(request, "prompts/prompt_form.html", {"form": form, **context}, status=422 if form.errors else 200)
