"""/api/tenants/…/rating-sets: people's ratings of answers as datasets that judges are measured on."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from apps.playground import services
from apps.playground.rated import counts_of
from apps.playground.serializers import NewRatingSet, RatingSetOut, RatingsOut
from apps.tenants.rest.schema import CONFLICT, NOT_FOUND, operation
from apps.tenants.rest.views import ApiView
from apps.tenants.selectors import get_tenant_for

FEEDBACK = "Feedback"


class RatingSets(ApiView):
    @operation(
        "get-ratings",
        "Count what was rated in the playground",
        tag=FEEDBACK,
        response=RatingsOut,
        errors=NOT_FOUND,
        description="For people who triage feedback and may edit datasets; not for keys.",
    )
    def get(self, request: Request, tenant: str) -> Response:
        row = get_tenant_for(self.actor, tenant)
        services.may_make_rating_sets(self.actor, row)
        rated = [
            {"kind": kind, "usable": counts.usable(kind), **asdict(counts)} for kind, counts in counts_of(row).items()
        ]
        return self.shown(RatingsOut, {"is_allowed": row.copies_feedback, "rated": rated})

    @operation(
        "make-rating-set",
        "Make a rating set for judges",
        tag=FEEDBACK,
        request=NewRatingSet,
        response=RatingSetOut,
        status=201,
        errors=NOT_FOUND | CONFLICT,
        description="A frozen version of the tenant's rating set, without personal data. The tenant has to allow it"
        " (`copies_feedback`). For people who triage feedback and may edit datasets; not for keys.",
    )
    def post(self, request: Request, tenant: str) -> Response:
        row = get_tenant_for(self.actor, tenant)
        made = services.make_rating_set(actor=self.actor, tenant=row, **self.body(NewRatingSet))
        return self.shown(RatingSetOut, made, 201)
