"""The playground's page: a new conversation, or one of the reader's own. What runs, runs over its socket."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from apps.gateway.reports import BudgetStanding, budget_standings
from apps.playground import selectors
from apps.playground.catalog import chosen_version, offered_prompts, shown_version
from apps.playground.markdown import coloured
from apps.playground.messages import content_of, messages_for, request_of
from apps.playground.models import Attachment, Conversation, Turn
from apps.playground.page_data import (
    entries_for,
    routes_of,
    shown_conversation,
    shown_models,
    shown_routes,
    wanted_prompt,
)
from apps.playground.snippets import code_of
from apps.playground.types import MOST_COLUMNS, Attached, Column, PromptChoice, UseCase
from apps.playground.views.requests import asked_words
from apps.tenants.access import can
from apps.tenants.errors import Conflict, NotFound
from apps.tenants.models import Project, Tenant
from apps.tenants.types import TenantStatus
from apps.tenants.views.requests import PER_PAGE, Here, tenant_page

# Named in the page's head, so that the browser fetches them together rather than one after the other.
_PARTS = ("main", "answer", "column", "composer", "diff", "format", "markdown", "prompt", "socket", "variables")
MODULES = [f"js/playground/{name}.js" for name in _PARTS]
MOST_BLOCKS = 50


@require_GET
@tenant_page
def index(request: HttpRequest, here: Here) -> HttpResponse:
    """``?conversation=`` opens one of the reader's own; ``?project=``, ``?model=`` (a model or a route), ``?prompt=``
    (both again for each column) and ``?use_case=`` preselect for a new one.
    """
    public_id = request.GET.get("conversation", "")
    found = _own(here, public_id) if public_id else None
    project = next((each for each in here.workspace.projects if found and each.pk == found.project_id), None)
    project = project or _chosen_project(request, here)
    entries = entries_for(here.actor, here.tenant, project)
    routes = routes_of(here.actor, here.tenant, project)
    slugs = {entry.model.slug for entry in entries} | {route.slug for route in routes}
    wanted = request.GET.getlist("model")[:MOST_COLUMNS]
    wanted_columns: list[dict[str, Any]] = [{"model": slug} for slug in wanted if slug in slugs]
    wanted_columns += [{"prompt": wanted_prompt(each)} for each in request.GET.getlist("prompt")]
    # Calls are made and paid for as a member: whoever looks in from the platform has no budget here.
    may_call = can(here.actor, "model.call", here.tenant) and bool(here.workspace.role)
    use_case = request.GET.get("use_case", "")
    query = asked_words(request, "q")
    data: dict[str, Any] = {
        "tenant": here.tenant.slug,
        "models": shown_models(entries),
        "routes": shown_routes(routes, entries),
        "prompts": offered_prompts(here.actor, here.tenant, project),
        "wanted": wanted_columns[:MOST_COLUMNS],
        "may_call": may_call,
        "conversation": None if found is None else shown_conversation(found),
        "urls": _urls(here.tenant),
    }
    context = {
        "data": data,
        "modules": MODULES,
        "projects": here.workspace.projects,
        "project": project,
        "entries": entries,
        "found": found,
        "missing": ", ".join(slug for slug in wanted if slug not in slugs),
        "may_call": may_call,
        "may_triage": can(here.actor, "feedback.triage", here.tenant),
        "may_create_project": can(here.actor, "project.create", here.tenant),
        "suspended": _suspended(here.tenant),
        "use_cases": UseCase.choices,
        "use_case": (found.use_case if found else "") or (use_case if use_case in UseCase.values else ""),
        "standings": _standings(here, project),
        "page": Paginator(selectors.conversations_for(here.actor, here.tenant, query), PER_PAGE).get_page(1),
        "search": query,
        "open": public_id,
    }
    return render(request, "playground/index.html", context)


@require_GET
@tenant_page
def conversation_data(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    """The whole tree, for the page's script; once it is voted on, with the names."""
    return JsonResponse({"conversation": shown_conversation(_own(here, public_id))})


@require_GET
@tenant_page
def models(request: HttpRequest, here: Here) -> HttpResponse:
    """What the columns of ``?project=`` choose from, when another one is chosen."""
    project = _chosen_project(request, here)
    entries = entries_for(here.actor, here.tenant, project)
    return JsonResponse(
        {
            "models": shown_models(entries),
            "routes": shown_routes(routes_of(here.actor, here.tenant, project), entries),
            "prompts": offered_prompts(here.actor, here.tenant, project),
        }
    )


@require_GET
@tenant_page
def prompt(request: HttpRequest, here: Here, slug: str) -> HttpResponse:
    """The version that ``?label=`` (in ``?project=``) or ``?version=`` means, with its variables, for a column."""
    project = _chosen_project(request, here)
    if project is None:
        raise NotFound("There is no such project.")
    choice = wanted_prompt(f"{slug}@{request.GET.get('version') or request.GET.get('label', '')}")
    chosen = chosen_version(here.actor, project, msgspec.convert(choice, PromptChoice))
    return JsonResponse({"prompt": shown_version(chosen)})


@require_GET
@tenant_page
def budget(request: HttpRequest, here: Here) -> HttpResponse:
    """What is left of the budgets that a run in ``?project=`` counts towards."""
    standings = _standings(here, _chosen_project(request, here))
    return render(request, "playground/_budget_meter.html", {"standings": standings})


@require_GET
@tenant_page
def attachment(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """An image that was attached. It is shown, never run."""
    file = selectors.get_attachment_for(here.actor, pk)
    if not file.is_image:
        raise NotFound("There is no such image.")
    response = HttpResponse(base64.b64decode(file.content), content_type=file.media_type)
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Content-Disposition"] = "inline"
    return response


@require_POST
@tenant_page
def highlight(request: HttpRequest, here: Here) -> HttpResponse:
    """The colours of code: ``blocks`` is JSON, ``[[language, code], …]``; out comes HTML of spans alone."""
    try:
        blocks = msgspec.json.decode(request.POST.get("blocks", "[]"), type=list[tuple[str, str]])
    except msgspec.DecodeError as error:
        return JsonResponse({"error": {"message": f"The blocks cannot be read: {error}"}}, status=400)
    return JsonResponse({"html": [coloured(code, language) for language, code in blocks[:MOST_BLOCKS]]})


class _Draft(msgspec.Struct):
    """``turn`` is the last of the branch that the message would follow; ``at`` the column's place."""

    column: Column
    message: str = ""
    attachments: list[Attached] = []
    conversation: str = ""
    turn: int | None = None
    at: int = 0


@require_POST
@tenant_page
def draft_code(request: HttpRequest, here: Here) -> HttpResponse:
    """The call that a column would make with what is on the page now, as code. ``request`` is JSON."""
    try:
        asked = msgspec.json.decode(request.POST.get("request", ""), type=_Draft)
    except msgspec.DecodeError as error:
        return JsonResponse({"error": {"message": f"The column cannot be read: {error}"}}, status=400)
    chain: list[Turn] = []
    if asked.conversation and asked.turn is not None:
        conversation = _own(here, asked.conversation)
        if conversation.is_blind:
            raise Conflict("A blind comparison shows its code once it is voted on.", code="still_blind")
        chain = selectors.chain_to(selectors.turns_of(conversation, with_content=True), asked.turn)
    files = [Attachment(name=each.name, media_type=each.media_type, content=each.data) for each in asked.attachments]
    messages = messages_for(chain, asked.at, asked.column, goes_on=True)
    if content := content_of(asked.message, files):
        messages.append({"role": "user", "content": content})
    return render(request, "playground/_code.html", code_of({**request_of(asked.column), "messages": messages}))


def _own(here: Here, public_id: str) -> Conversation:
    conversation = selectors.get_conversation_for(here.actor, public_id)
    if conversation.tenant_id != here.tenant.pk:
        raise NotFound("There is no such conversation.")
    return conversation


def _chosen_project(request: HttpRequest, here: Here) -> Project | None:
    projects = here.workspace.projects
    wanted = request.GET.get("project") or (here.workspace.project.slug if here.workspace.project else "")
    return next((each for each in projects if each.slug == wanted), projects[0] if projects else None)


def _standings(here: Here, project: Project | None) -> list[BudgetStanding]:
    """The tenant's and the project's own budgets, the tightest first."""
    standings = [
        each
        for each in budget_standings(here.actor, here.tenant, timezone.now())
        if each.budget.api_key_id is None and each.budget.project_id in (None, project.pk if project else None)
    ]
    return sorted(standings, key=lambda each: -each.share)


def _suspended(tenant: Tenant) -> str:
    """What somebody in a suspended tenant can do about it; nothing for the others."""
    if tenant.status != TenantStatus.SUSPENDED:
        return ""
    return f"Tenant {tenant.name} is suspended; ask the platform's service admins."


def _urls(tenant: Tenant) -> dict[str, str]:
    """For the page's script: ``ID`` and ``/0/`` stand for what it fills in."""
    named = {
        name: reverse(f"playground:conversation-{name}", args=["ID"])
        for name in ("data", "rename", "share", "fork", "delete", "export")
    }
    of_answers = ("vote", "feedback", "code", "example-share", "prompt-save", "inbox-offer")
    numbered = {name: reverse(f"playground:{name}", args=[0]) for name in of_answers}
    named |= {
        "prompt": reverse("playground:prompt", args=["ID"]),
        "version": reverse("prompts:version-detail", args=[tenant.slug, "ID", 0]),
    }
    named["file"] = reverse("playground:attachment", args=[0])
    plain = {name: reverse(f"playground:{name}") for name in ("index", "models", "budget", "highlight", "draft-code")}
    return {
        **named,
        **numbered,
        **plain,
        "socket": "/ws/playground/",
        "recommendations": reverse("playground:recommendations"),
        "list": reverse("playground:conversation-list"),
        "request": reverse("gateway:request-detail", args=["ID"]),
        "login": reverse("account_login"),
    }
