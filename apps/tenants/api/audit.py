"""/api/audit: read only, as the trail itself is."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenants import selectors
from apps.tenants.access import require_somewhere
from apps.tenants.rest.filters import Filters, MomentFilter, NumberFilter, TextFilter
from apps.tenants.rest.schema import NOT_FOUND, operation
from apps.tenants.rest.views import ApiView
from apps.tenants.serializers import AuditOut

AUDIT = "Audit"


class AuditFilters(Filters):
    orderings = ("sequence",)
    default_ordering = "-sequence"
    search_in = ("actor_label", "action", "target_label")
    tenant = TextFilter("tenant__slug")
    action = TextFilter(max_length=100, help_text="For example apikey.created.")
    actor = NumberFilter("actor_id", help_text="The id of a person.")
    target_type = TextFilter(max_length=50)
    target_id = TextFilter(max_length=64)
    since = MomentFilter("at", lookup_expr="gte")
    until = MomentFilter("at", lookup_expr="lt")


class AuditList(ApiView):
    @operation("list-audit", "List audit entries", tag=AUDIT, response=AuditOut, filters=AuditFilters, paged=True)
    def get(self, request: Request) -> Response:
        require_somewhere(self.actor, "audit.view", what="see the audit trail")
        return self.page(selectors.audit_for(self.actor).select_related("tenant"), AuditOut, AuditFilters)


class AuditDetail(ApiView):
    @operation("get-audit-entry", "Get an audit entry", tag=AUDIT, response=AuditOut, errors=NOT_FOUND)
    def get(self, request: Request, sequence: int) -> Response:
        return self.shown(AuditOut, selectors.get_audit_entry_for(self.actor, sequence))
