"""Members of the tenant: who they are, what they may do, adding and removing them."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.tenants import selectors, services
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.forms import MemberForm, RoleForm, add_domain_error
from apps.tenants.types import Role
from apps.tenants.views.requests import Here, page_of, sorted_by, tenant_page

ORDERS = {"name": "user__email", "role": "role", "since": "created_at", "seen": "user__last_login"}


@require_GET
@tenant_page
def member_list(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "member.view", here.tenant, what="see this tenant's members")
    members = selectors.members_for(here.actor, here.tenant)
    search, role = request.GET.get("q", "").strip(), request.GET.get("role", "")
    if search:
        members = members.filter(Q(user__email__icontains=search) | Q(user__name__icontains=search))
    if role in Role.values:
        members = members.filter(role=role)
    filtered = bool(search or role)
    context = {
        "page": page_of(sorted_by(members, request, ORDERS, "name"), request),
        "search": search,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "roles": Role.choices,
        "selects": [{"name": "role", "label": "Any role", "options": Role.choices, "value": role}],
        "may_manage": can(here.actor, "member.manage", here.tenant),
    }
    return render(request, "tenants/member_list.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page
def member_add(request: HttpRequest, here: Here) -> HttpResponse:
    require(here.actor, "member.manage", here.tenant, what="manage members")
    form = MemberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            membership = services.invite_member(actor=here.actor, tenant=here.tenant, **form.cleaned_data)
        except DomainError as error:
            add_domain_error(form, error)
        else:
            messages.success(request, f"{membership.user} is a member now.")
            return redirect("tenants:member-list")
    return render(request, "tenants/member_form.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@tenant_page
def member_role(request: HttpRequest, here: Here, user: int) -> HttpResponse:
    membership = selectors.get_member_for(here.actor, here.tenant.slug, user)
    form = RoleForm(request.POST)
    if form.is_valid():
        try:
            services.change_member_role(actor=here.actor, membership=membership, role=form.cleaned_data["role"])
        except DomainError as error:
            messages.error(request, str(error))
        else:
            label = Role(form.cleaned_data["role"]).label
            messages.success(request, f"{membership.user} is now: {label}. Their open sessions have ended.")
    else:
        messages.error(request, "Choose a role.")
    return redirect("tenants:member-list")


@require_POST
@tenant_page
def member_remove(request: HttpRequest, here: Here, user: int) -> HttpResponse:
    membership = selectors.get_member_for(here.actor, here.tenant.slug, user)
    try:
        services.remove_member(actor=here.actor, membership=membership)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{membership.user} is no longer a member of {here.tenant.name}.")
    return redirect("tenants:member-list")
