"""/api/me and /api/members."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenants import selectors, services
from apps.tenants.rest.filters import ChoiceFilter, Filters, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView, no_content
from apps.tenants.serializers import MemberChanges, MemberOut, MeOut, NewMember
from apps.tenants.types import Role

MEMBERS = "Members"


class Me(ApiView):
    @operation("get-me", "Who am I?", tag="Me", response=MeOut, description="The caller: its rights, key and tenants.")
    def get(self, request: Request) -> Response:
        return self.shown(MeOut, selectors.describe_actor(self.actor))


class MemberFilters(Filters):
    orderings = ("created_at",)
    search_in = ("user__email", "user__name")
    tenant = TextFilter("tenant__slug")
    role = ChoiceFilter(choices=Role.choices)
    email = TextFilter("user__email", lookup_expr="iexact", max_length=254)


class MemberList(ApiView):
    @operation("list-members", "List members", tag=MEMBERS, response=MemberOut, filters=MemberFilters, paged=True)
    def get(self, request: Request) -> Response:
        return self.page(selectors.members_for(self.actor), MemberOut, MemberFilters)

    @operation(
        "add-member",
        "Add a member",
        tag=MEMBERS,
        request=NewMember,
        response=MemberOut,
        status=201,
        errors=CONFLICT,
        description="By e-mail address. Somebody without an account gets one, and an invitation.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewMember)
        slug = body.pop("tenant")
        tenant = self.referenced("tenant", lambda: selectors.get_tenant_for(self.actor, slug))
        return self.shown(MemberOut, services.invite_member(actor=self.actor, tenant=tenant, **body), 201)


class MemberDetail(ApiView):
    @operation("get-member", "Get a member", tag=MEMBERS, response=MemberOut, errors=NOT_FOUND)
    def get(self, request: Request, tenant: str, user: int) -> Response:
        return self.shown(MemberOut, selectors.get_member_for(self.actor, tenant, user))

    @operation(
        "change-member",
        "Change a member's role",
        tag=MEMBERS,
        request=MemberChanges,
        response=MemberOut,
        errors=NOT_FOUND | CONFLICT,
        description="Ends the member's sessions.",
    )
    def patch(self, request: Request, tenant: str, user: int) -> Response:
        row = selectors.get_member_for(self.actor, tenant, user)
        return self.shown(
            MemberOut, services.change_member_role(actor=self.actor, membership=row, **self.body(MemberChanges))
        )

    @operation(
        "remove-member",
        "Remove a member",
        tag=MEMBERS,
        status=204,
        errors=NOT_FOUND | CONFLICT,
        description="The person keeps their account; their keys stay with the project, without management rights.",
    )
    def delete(self, request: Request, tenant: str, user: int) -> Response:
        row = selectors.get_member_for(self.actor, tenant, user)
        services.remove_member(actor=self.actor, membership=row)
        return no_content()
