"""Every error of the API as problem details (RFC 9457): ``application/problem+json``.

``type`` is ``urn:lobby:error:<code>``; ``code`` is what programs match on; ``remedy`` says what to do; ``errors`` names
each value that is to blame, by ``pointer`` (into the body, RFC 6901) or ``parameter`` (of the query).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from apps.tenants.errors import DomainError, NotFound

CONTENT_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)

_CODES = {
    exceptions.ParseError: "malformed_body",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "not_authenticated",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "too_many_requests",
}
_REMEDIES = {
    "malformed_body": "Send the body as JSON in UTF-8.",
    "not_authenticated": "Send 'Authorization: Bearer <key>' with a key that has a management scope, or sign in.",
    "unsupported_media_type": "Send 'Content-Type: application/json'.",
    "csrf_failed": "Send the cookie's token in the X-CSRFToken header, or use an API key.",
}


class InvalidBody(exceptions.APIException):
    """The body is JSON, but not what the operation takes. ``detail`` is a serializer's ``errors``."""

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "invalid"


class InvalidQuery(DomainError):
    """A query parameter that cannot be taken; ``field`` is its name."""

    default_code = "invalid_parameter"
    status = 400


class BodyTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


def problem(
    status: int, code: str, detail: str, *, remedy: str = "", errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": f"urn:lobby:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "remedy": remedy,
    }
    if errors:
        body["errors"] = errors
    return body


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: an answer for every error, bugs included."""
    headers: dict[str, str] = {}
    match error:
        case DomainError():
            body = _of_domain(error, context.get("view"))
        case InvalidBody():
            items = list(_items(error.detail))
            message = f"{items[0]['pointer']}: {items[0]['detail']}" if items else "The body cannot be taken."
            if len(items) > 1:
                message = f"{len(items)} values of the body cannot be taken."
            body = problem(422, "invalid", message, errors=items)
        case exceptions.APIException():
            body = _of_drf(error)
            headers = _headers(error)
        case Http404():
            body = problem(404, "not_found", "There is nothing here.")
        case DjangoPermissionDenied():
            body = problem(403, "permission_denied", "You may not do this.")
        case SuspiciousOperation():
            body = problem(400, "malformed_request", "The request cannot be taken.")
        case OperationalError() | InterfaceError():
            # A database that is away or busy is our trouble, never a 401 or a 404.
            log.error("api_database_unavailable", error=type(error).__name__)
            body = problem(503, "database_unavailable", "The database does not answer.", remedy="Try again shortly.")
            headers = {"Retry-After": "2"}
        case _:
            # Django's own answer would be a page. Whoever listens for bugs (its log, the tests' client) still hears.
            got_request_exception.send(sender=handle, request=getattr(context.get("request"), "_request", None))
            log.error("api_unhandled_error", error=type(error).__name__, exc_info=error)
            body = problem(500, "internal_error", "Something went wrong on our side.", remedy="Try again later.")
    from rest_framework.views import set_rollback  # which imports, by the settings, this module

    set_rollback()
    if body["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", "2")
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def _of_domain(error: DomainError, view: Any) -> dict[str, Any]:
    errors: list[dict[str, str]] = []
    if error.field and isinstance(error, InvalidQuery):
        errors = [{"parameter": error.field, "code": error.code, "detail": error.message}]
    elif error.field and not isinstance(error, NotFound):
        name = _public_name(error.field, view)
        errors = [{"pointer": f"#/{_escape(name)}", "code": error.code, "detail": error.message}]
    return problem(error.status, error.code, error.message, remedy=error.remedy, errors=errors)


def _public_name(field: str, view: Any) -> str:
    """The input's own name for what a service calls ``field`` (``amount_usd`` for ``amount_picousd``)."""
    taken = getattr(view, "taken", None)
    if taken is not None and field not in taken.fields:
        for name, each in taken.fields.items():
            if each.source == field:
                return str(name)
    return field


def _of_drf(error: exceptions.APIException) -> dict[str, Any]:
    code = str(_CODES.get(type(error)) or error.get_codes())
    detail = str(error.detail) if not isinstance(error.detail, list | dict) else "The request cannot be taken."
    if isinstance(error, exceptions.AuthenticationFailed) and error.get_codes() != error.default_code:
        code = str(error.get_codes())
    if isinstance(error, exceptions.PermissionDenied) and detail.startswith("CSRF"):
        code = "csrf_failed"
    remedy = _REMEDIES.get(code, getattr(error, "remedy", ""))
    return problem(error.status_code, code, detail, remedy=remedy)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers: dict[str, str] = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(int(wait) + (wait > int(wait)))
    return headers


def _items(detail: Any, path: str = "#") -> Iterator[dict[str, str]]:
    """A serializer's nested errors, one by one, each with the JSON pointer of its value."""
    if isinstance(detail, Mapping):
        for name, below in detail.items():
            yield from _items(below, path if name == "non_field_errors" else f"{path}/{_escape(str(name))}")
    elif isinstance(detail, list | tuple):
        for each in detail:
            yield from _items(each, path)
    else:
        yield {"pointer": path, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
