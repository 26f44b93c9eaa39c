"""/api/keys: the plaintext of a key is in the answer to its creation or rotation, and nowhere else."""

from __future__ import annotations

from datetime import timedelta

from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenants import selectors, services
from apps.tenants.access import require_somewhere
from apps.tenants.models import Project
from apps.tenants.rest.filters import ChoiceFilter, Filters, TextFilter
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView
from apps.tenants.serializers import IssuedKeyOut, KeyOut, NewKey, Reason, Rotation

KEYS = "Keys"
STATUSES = ("active", "expiring", "expired", "revoked")


class KeyFilters(Filters):
    orderings = ("created_at", "name")
    default_ordering = "-created_at"
    search_in = ("name", "prefix")
    tenant = TextFilter("project__tenant__slug")
    project = TextFilter("project__slug", help_text="A project's slug; with `tenant` where it is not unique.")
    created_by = TextFilter("created_by__email", lookup_expr="iexact", max_length=254)
    status = ChoiceFilter(
        choices=[(each, each) for each in STATUSES],
        method=lambda rows, name, value: selectors.with_status(rows, value),
        help_text="`expiring`: within two weeks.",
    )


class KeyList(ApiView):
    @operation("list-keys", "List API keys", tag=KEYS, response=KeyOut, filters=KeyFilters, paged=True)
    def get(self, request: Request) -> Response:
        require_somewhere(self.actor, "apikey.view", what="see API keys")
        return self.page(selectors.keys_for(self.actor), KeyOut, KeyFilters)

    @operation(
        "create-key",
        "Create an API key",
        tag=KEYS,
        request=NewKey,
        response=IssuedKeyOut,
        status=201,
        errors=CONFLICT,
        description="The answer holds the key itself: it is not shown again. Scopes: at most what you may grant.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewKey)
        label = body.pop("project")
        project = self.referenced("project", lambda: self._project(label))
        return self.shown(IssuedKeyOut, services.create_api_key(actor=self.actor, project=project, **body), 201)

    def _project(self, label: str) -> Project:
        tenant, _, slug = label.partition("/")
        return selectors.get_project_for(self.actor, tenant, slug)


class KeyDetail(ApiView):
    @operation("get-key", "Get an API key", tag=KEYS, response=KeyOut, errors=NOT_FOUND)
    def get(self, request: Request, prefix: str) -> Response:
        return self.shown(KeyOut, selectors.get_key_for(self.actor, prefix))


class KeyRevocation(ApiView):
    @operation(
        "revoke-key",
        "Revoke an API key",
        tag=KEYS,
        request=Reason,
        response=KeyOut,
        errors=NOT_FOUND,
        description="For good. Revoking a revoked key changes nothing.",
    )
    def post(self, request: Request, prefix: str) -> Response:
        row = selectors.get_key_for(self.actor, prefix)
        return self.shown(KeyOut, services.revoke_api_key(actor=self.actor, api_key=row, **self.body(Reason)))


class KeyRotation(ApiView):
    @operation(
        "rotate-key",
        "Rotate an API key",
        tag=KEYS,
        request=Rotation,
        response=IssuedKeyOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="A successor with the same rights, limits and budgets; the old key works for the overlap.",
    )
    def post(self, request: Request, prefix: str) -> Response:
        row = selectors.get_key_for(self.actor, prefix)
        overlap = timedelta(hours=self.body(Rotation).get("overlap_hours", 24))
        return self.shown(IssuedKeyOut, services.rotate_api_key(actor=self.actor, api_key=row, overlap=overlap), 201)
