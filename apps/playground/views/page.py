"""The playground: one prompt to one model, as the signed-in member."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from apps.gateway import selectors as ledger
from apps.models.selectors import callable_models_for, catalog_entries
from apps.models.types import ModelKind
from apps.playground.calls import Call, Prompt, principal_for
from apps.playground.markdown import to_html
from apps.tenants.access import can
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant, User
from apps.tenants.types import TenantStatus
from apps.tenants.views.requests import Here, tenant_page
from apps.tenants.workspace import get_workspace

MOST_CHARACTERS = 200_000
SHOWN_HEADERS = ("content-type", "retry-after", "x-lobby-request-id")


@require_GET
@tenant_page
def index(request: HttpRequest, here: Here) -> HttpResponse:
    """Choose a project and a model, write, run. ``?project=`` and ``?model=`` preselect."""
    projects = here.workspace.projects
    wanted = request.GET.get("project") or (here.workspace.project.slug if here.workspace.project else "")
    project = next((each for each in projects if each.slug == wanted), projects[0] if projects else None)
    models = list(
        callable_models_for(here.actor, here.tenant, project).filter(kind=ModelKind.CHAT).order_by("name")
        if project is not None
        else []
    )
    entries = catalog_entries(models, here.tenant, project)
    slug = request.GET.get("model", "")
    chosen = next((each for each in entries if each.model.slug == slug), entries[0] if entries else None)
    context = {
        "projects": projects,
        "project": project,
        "entries": entries,
        "chosen": chosen,
        "missing": slug if slug and (chosen is None or chosen.model.slug != slug) else "",
        # Calls are made and paid for as a member: whoever looks in from the platform has no budget here.
        "may_call": can(here.actor, "model.call", here.tenant) and bool(here.workspace.role),
        "may_create_project": can(here.actor, "project.create", here.tenant),
        "suspended": _suspended(here.tenant),
    }
    return render(request, "playground/index.html", context)


@require_POST
async def run(request: HttpRequest) -> HttpResponseBase:
    """The gateway's own answer, streamed as it comes: server-sent events, or the error as JSON."""
    asked = request.POST
    prompt = Prompt(asked.get("model", ""), asked.get("system", "").strip(), asked.get("message", "").strip())
    if len(prompt.system) + len(prompt.message) > MOST_CHARACTERS:
        return _refusal(413, f"The prompt is longer than {MOST_CHARACTERS:,} characters.", "prompt_too_long")
    if not prompt.message:
        return _refusal(400, "Write a message first.", "empty_message")
    found = await sync_to_async(_member_and_project)(request, asked.get("project", ""))
    if found is None:
        return _refusal(401, "You are signed out. Reload the page to sign in again.", "signed_out")
    principal = principal_for(*found)
    if principal is None:
        suspended = _suspended(await sync_to_async(_tenant)(request))
        if suspended:
            return _refusal(403, suspended, "tenant_inactive")
        return _refusal(
            403,
            "Your role may not call models in this project. Ask a tenant admin for the role of a developer.",
            "role_may_not_call",
        )
    call = Call(principal, prompt)
    status, headers = await call.start()
    response = StreamingHttpResponse(call.chunks(), status=status)
    for name in SHOWN_HEADERS:
        if name in headers:
            response[name] = headers[name]
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _tenant(request: HttpRequest) -> Tenant | None:
    return get_workspace(request).tenant


def _suspended(tenant: Tenant | None) -> str:
    """What somebody in a suspended tenant can do about it; nothing for the others."""
    if tenant is None or tenant.status != TenantStatus.SUSPENDED:
        return ""
    return f"Tenant {tenant.name} is suspended; ask the platform's service admins."


def _member_and_project(request: HttpRequest, slug: str) -> tuple[int, int] | None:
    """Ids of the reader and of the project in their workspace; (id, 0) where there is no such project."""
    user = request.user
    if not isinstance(user, User):
        return None
    project = next((each for each in get_workspace(request).projects if each.slug == slug), None)
    return user.pk, project.pk if project is not None else 0


def _refusal(status: int, message: str, code: str) -> JsonResponse:
    """In the shape of the gateway's errors, so that the page reads one shape."""
    body: dict[str, Any] = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return JsonResponse(body, status=status)


@require_POST
@tenant_page
def rendered(request: HttpRequest, here: Here) -> HttpResponse:
    """The finished answer (``text``) as HTML that can do nothing."""
    response = HttpResponse(to_html(request.POST.get("text", "")))
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@require_GET
@tenant_page
def figures(request: HttpRequest, here: Here, request_id: str) -> HttpResponse:
    """Tokens, cost and times of an answer, once the ledger has it; until then 204."""
    try:
        row = ledger.get_request_for(here.actor, request_id)
    except NotFound:
        if not can(here.actor, "request.view", here.tenant):
            raise Http404 from None
        return HttpResponse(status=204)
    writing = row.duration_ms - (row.first_token_ms or 0)
    context = {
        "row": row,
        "rate": row.output_tokens * 1000 / writing if row.output_tokens > 1 and writing > 0 else None,
    }
    return render(request, "playground/_figures.html", context)
