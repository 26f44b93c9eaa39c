"""How the API describes itself (OpenAPI 3.1): every operation with its input, its answer, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from apps.tenants.rest.errors import CONTENT_TYPE
from apps.tenants.rest.fields import Output
from apps.tenants.rest.filters import ChoiceFilter, Filters, FlagFilter, MomentFilter, NumberFilter
from apps.tenants.rest.pagination import DEFAULT_SIZE, LARGEST_SIZE

View = TypeVar("View", bound=Callable[..., Any])


class ValueProblem(Output):
    """One value that is to blame: by ``pointer`` into the body or by ``parameter`` of the query."""

    pointer = serializers.CharField(required=False)
    parameter = serializers.CharField(required=False)
    code = serializers.CharField()
    detail = serializers.CharField()


class Problem(Output):
    """Problem details, RFC 9457. Match on ``code``; ``remedy`` may be empty."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    remedy = serializers.CharField()
    errors = ValueProblem(many=True, required=False)  # type: ignore[assignment]


# What any operation may answer, before its own code is reached or in spite of it.
ALWAYS = {
    400: "The request cannot be read.",
    401: "No key or session, or none that holds.",
    403: "Seen, but not allowed.",
    405: "No such method here.",
    429: "Too many calls; see Retry-After.",
    503: "The database does not answer; see Retry-After.",
}
WITH_BODY = {
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A value that cannot be taken; `errors` names it.",
}
NOT_FOUND = {404: "Missing, or not yours to see: the two look alike."}
CONFLICT = {409: "Well formed, but at odds with what is there."}


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    response: Any = None,
    status: int = 200,
    request: Any = None,
    filters: type[Filters] | None = None,
    paged: bool = False,
    errors: dict[int, str] | None = None,
    description: str = "",
    files: Sequence[str] = (),
) -> Callable[[View], View]:
    """Describe one method of a view. ``errors`` are those beside the ones that any operation may give.

    ``files`` are the media types of an answer that is a file.
    """
    refusals = {**ALWAYS, **(WITH_BODY if request is not None else {}), **(errors or {})}
    answers: dict[Any, Any] = {
        (code, CONTENT_TYPE): OpenApiResponse(Problem, description=text) for code, text in sorted(refusals.items())
    }
    if files:
        answers |= {(status, media): OpenApiTypes.BINARY for media in files}
    else:
        answers[status] = _page_of(response) if paged else (response or OpenApiResponse(description="Done."))
    return extend_schema(
        operation_id=name.replace("-", "_"),
        summary=summary,
        description=description or f"{summary}.",
        tags=[tag],
        request=request,
        responses=answers,
        parameters=[] if filters is None else parameters_of(filters, paged=paged),
        filters=False,
    )


def _page_of(response: type[serializers.Serializer[Any]]) -> Any:
    link = {"allow_null": True, "help_text": "The address of that page; null where there is none."}
    return inline_serializer(
        f"{response.__name__}Page",
        {
            "results": response(many=True),
            "next": serializers.URLField(**link),  # type: ignore[arg-type]
            "previous": serializers.URLField(**link),  # type: ignore[arg-type]
        },
    )


def parameters_of(filters: type[Filters], *, paged: bool = True) -> list[OpenApiParameter]:
    found = [_parameter(name, each) for name, each in filters.base_filters.items()]
    if filters.search_in:
        found.append(OpenApiParameter("search", str, description="Words, each of which must occur."))
    if paged:
        found += [
            OpenApiParameter("ordering", str, enum=filters.ordering_choices(), default=filters.in_order()),
            OpenApiParameter(
                "page_size",
                {"type": "integer", "minimum": 1, "maximum": LARGEST_SIZE, "default": DEFAULT_SIZE},
            ),
            OpenApiParameter("cursor", str, description="Taken from `next` or `previous`."),
        ]
    return found


def _parameter(name: str, each: Any) -> OpenApiParameter:
    text, required = str(each.extra.get("help_text", "")), bool(each.extra.get("required"))
    if isinstance(each, FlagFilter | ChoiceFilter):
        values = [value for value, _ in each.extra["choices"] if value]
        return OpenApiParameter(name, str, enum=values, description=text, required=required)
    if isinstance(each, MomentFilter):
        kind: Any = {"type": "string", "format": "date-time"}
    elif isinstance(each, NumberFilter):
        kind = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    else:
        kind = {"type": "string", "maxLength": each.extra.get("max_length", 200)}
    return OpenApiParameter(name, kind, description=text, required=required)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.tenants.rest.authentication.ApiKeyAuthentication"
    name: ClassVar[list[str]] = ["bearerKey", "headerKey"]  # type: ignore[misc]

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return [{each: []} for each in self.name]  # one or the other, not both

    def get_security_definition(self, auto_schema: Any) -> Any:
        text = "An API key with the scope management:read or management:write."
        return [
            {"type": "http", "scheme": "bearer", "description": text},
            {"type": "apiKey", "in": "header", "name": "x-api-key", "description": text},
        ]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "apps.tenants.rest.authentication.SessionActorAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Any:
        from django.conf import settings

        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


def close_inputs(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A post-processing hook: what is sent may hold the named fields and no others, and the schema says so."""
    for item in result.get("paths", {}).values():
        for each in item.values():
            if not isinstance(each, dict):
                continue
            for content in each.get("requestBody", {}).get("content", {}).values():
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if name:
                    result["components"]["schemas"][name]["additionalProperties"] = False
    return result


def only_the_api(endpoints: list[Any]) -> list[Any]:
    """A pre-processing hook: other pages built on the same framework are no part of the API."""
    return [each for each in endpoints if each[0].startswith("/api/")]
