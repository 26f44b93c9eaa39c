"""/api/inbox: what went wrong elsewhere, offered as a golden example."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.evaluation.serializers.inbox import InboxItemOut, NewInboxItem
from apps.evaluation.services import offer_to_inbox
from apps.prompts.selectors import get_prompt_for
from apps.tenants import selectors as tenants
from apps.tenants.rest.schema import operation
from apps.tenants.rest.views import ApiView


class InboxOffer(ApiView):
    @operation(
        "offer-to-inbox",
        "Offer something to the golden-set inbox",
        tag="Datasets",
        request=NewInboxItem,
        response=InboxItemOut,
        status=201,
        description="Thumbs down, or a request that failed, from your own application. Personal data is replaced before"
        " anything is written. People decide in the portal whether it becomes an example.",
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewInboxItem)
        slug = body.pop("tenant")
        tenant = self.referenced("tenant", lambda: tenants.get_tenant_for(self.actor, slug))
        if name := body.pop("prompt", ""):
            body["prompt"] = self.referenced("prompt", lambda: get_prompt_for(self.actor, slug, name))
        return self.shown(InboxItemOut, offer_to_inbox(actor=self.actor, tenant=tenant, **body), 201)
