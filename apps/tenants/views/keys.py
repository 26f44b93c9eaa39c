"""API keys: the list, a new one, its page, revoking, rotating."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.tenants import selectors, services
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.forms import KeyForm, RotateForm, add_domain_error
from apps.tenants.models import ApiKey
from apps.tenants.services import IssuedKey
from apps.tenants.snippets import EXAMPLE_MODEL, boto3_snippet, chat_snippets
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

STATUSES = [("active", "Active"), ("expiring", "Expiring soon"), ("expired", "Expired"), ("revoked", "Revoked")]
ORDERS = {
    "name": "name",
    "project": "project__name",
    "created": "created_at",
    "used": "last_used_at",
    "expires": "expires_at",
}
# The page with the new key answers a POST: the session remembers the unused forms, so a reload makes no other key.
DRAFTS = "key_drafts"


@require_GET
@tenant_page
def key_list(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "apikey.view", here.tenant, what="see this tenant's API keys")
    keys = selectors.keys_for(here.actor, here.tenant)
    search = request.GET.get("q", "").strip()
    if search:
        prefix = search.removeprefix("lby_").split("_")[0]
        keys = keys.filter(Q(name__icontains=search) | Q(prefix__startswith=prefix))
    chosen = request.GET.get("project", here.workspace.project.slug if here.workspace.project else "")
    if chosen:
        keys = keys.filter(project__slug=chosen)
    keys = selectors.with_status(keys, request.GET.get("status", ""))
    page = page_of(sorted_by(keys, request, ORDERS, "-created"), request)
    for key in page:
        key.may_control = selectors.may_control_key(here.actor, key)  # type: ignore[attr-defined]
    projects = [(each.slug, each.name) for each in here.workspace.projects]
    filtered = bool(search or chosen or request.GET.get("status"))
    context = {
        "page": page,
        "search": search,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [
            {"name": "project", "label": "Any project", "options": projects, "value": chosen},
            {"name": "status", "label": "Any status", "options": STATUSES, "value": request.GET.get("status", "")},
        ],
        "may_create": can(here.actor, "apikey.create", here.tenant) and bool(projects),
        "may_create_project": can(here.actor, "project.create", here.tenant),
        "rotate_form": RotateForm(),
    }
    return render(request, "tenants/key_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def key_create(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "apikey.create", here.tenant, what="create an API key")
    if request.method != "POST":
        chosen = request.GET.get("project") or (here.workspace.project.slug if here.workspace.project else "")
        project = next((each for each in here.workspace.projects if each.slug == chosen), None)
        form = KeyForm(actor=here.actor, tenant=here.tenant, initial={"project": project})
        return render(request, "tenants/key_form.html", {"form": form, "draft": _new_draft(request)})
    form = KeyForm(request.POST, actor=here.actor, tenant=here.tenant)
    if form.is_valid():
        if not _use_draft(request):
            return redirect("tenants:key-list")
        try:
            issued = services.create_api_key(actor=here.actor, **form.values())
        except DomainError as error:
            add_domain_error(form, error)
        else:
            return _show_once(request, issued)
    draft = request.POST["draft"] if _draft_is_open(request) else _new_draft(request)
    return render(request, "tenants/key_form.html", {"form": form, "draft": draft}, status=422)


@require_GET
@tenant_page
def key_detail(request: HttpRequest, here: Here, prefix: str) -> HttpResponse:
    key = selectors.get_key_for(here.actor, prefix)
    model = key.allowed_models[0] if key.allowed_models else EXAMPLE_MODEL
    context = {
        "key": key,
        "limits": selectors.limits_for(here.actor, key.project.tenant).filter(api_key=key),
        "budgets": selectors.budgets_for(here.actor, key.project.tenant).filter(api_key=key),
        "successors": key.successors.all(),
        "tabs": chat_snippets(base_url=settings.GATEWAY_PUBLIC_URL, key="$LOBBY_API_KEY", model=model),
        "may_control": selectors.may_control_key(here.actor, key),
        "rotate_form": RotateForm(),
    }
    return render(request, "tenants/key_detail.html", context)


@require_POST
@tenant_page
def key_revoke(request: HttpRequest, here: Here, prefix: str) -> HttpResponse:
    key = selectors.get_key_for(here.actor, prefix)
    services.revoke_api_key(actor=here.actor, api_key=key, reason=request.POST.get("reason", ""))
    messages.success(request, f"{key.name} is revoked. Calls with it are refused from now on.")
    return redirect("tenants:key-list")


@require_POST
@tenant_page
def key_rotate(request: HttpRequest, here: Here, prefix: str) -> HttpResponse:
    key = selectors.get_key_for(here.actor, prefix)
    form = RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose when the old key stops working.")
        return redirect("tenants:key-detail", prefix=key.prefix)
    try:
        issued = services.rotate_api_key(
            actor=here.actor, api_key=key, overlap=timedelta(hours=form.cleaned_data["overlap"])
        )
    except DomainError as error:
        messages.error(request, str(error))
        return redirect("tenants:key-detail", prefix=key.prefix)
    return _show_once(request, issued, old=ApiKey.objects.for_actor(here.actor).get(pk=key.pk))


def _show_once(request: HttpRequest, issued: IssuedKey, old: ApiKey | None = None) -> HttpResponse:
    """The only page that ever holds the plaintext. It is in no session, URL or log, and no cache may keep it."""
    key = issued.api_key
    model = key.allowed_models[0] if key.allowed_models else EXAMPLE_MODEL
    base_url = settings.GATEWAY_PUBLIC_URL
    boto3 = boto3_snippet(
        base_url=base_url,
        access_key_id=issued.aws_access_key_id,
        secret_access_key=issued.aws_secret_access_key,
        model=model,
    )
    tabs = [*chat_snippets(base_url=base_url, key=issued.plaintext, model=model), boto3]
    context = {"key": key, "issued": issued, "plaintext": issued.plaintext, "tabs": tabs, "old": old}
    response = render(request, "tenants/key_created.html", context, status=201)
    # A form sent by htmx shows the page in its place, with the list's address: a reload must not send it again.
    response["HX-Push-Url"] = reverse("tenants:key-list")
    return response


def _new_draft(request: HttpRequest) -> str:
    draft = secrets.token_urlsafe(9)
    request.session[DRAFTS] = [*request.session.get(DRAFTS, [])[-9:], draft]
    return draft


def _draft_is_open(request: HttpRequest) -> bool:
    return request.POST.get("draft", "") in request.session.get(DRAFTS, [])


def _use_draft(request: HttpRequest) -> bool:
    """Whether this form has not made its key yet."""
    if not _draft_is_open(request):
        messages.info(
            request, "That form has made its key already. Its secret was shown once and cannot be shown again."
        )
        return False
    request.session[DRAFTS] = [each for each in request.session[DRAFTS] if each != request.POST["draft"]]
    return True
