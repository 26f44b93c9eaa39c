"""What the gateway refuses, in the shape of the public OpenAI API.

    GatewayError
    |-- Unauthenticated       401  who are you
    |-- Forbidden             403  the key may not do this at all
    |   |-- LicenceNotAccepted     the model's licence waits for an admin of the tenant
    |   |-- AccessEnded            the grants of everything that a route serves have ended
    |   `-- ResidencyForbids       every endpoint runs outside the tenant's regions
    |-- ModelNotFound         404  unknown or not granted: both look alike
    |-- InvalidRequest        400  the caller's mistake, with the parameter's path
    |-- LimitExceeded         429  a rate limit or a budget
    |-- Unavailable           503  we cannot serve now: no snapshot, a full spool, overload
    `-- UpstreamFailed        4xx as the upstream's, 502, 503, 504

The official client picks its exception class by the HTTP status, so the status is the contract; ``code`` is for
programs, ``message`` says what happened and what to do.
"""

from __future__ import annotations

import msgspec

from apps.gateway.counters.base import Remaining


class _Error(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct):
    error: _Error


_encode = msgspec.json.Encoder().encode


class GatewayError(Exception):
    """An answer that is an error. ``rule`` names the limit, budget or policy that decided, for the request's why."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        rule: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or self.status
        self.type = type or self.type
        self.code = code or self.code
        self.param = param
        self.retry_after = retry_after
        self.rule = rule

    def body(self) -> bytes:
        """In the shape of the OpenAI API."""
        return _encode(_Body(_Error(self.message, self.type, self.param, self.code)))


class Unauthenticated(GatewayError):
    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class Forbidden(GatewayError):
    status, type, code = 403, "permission_error", "forbidden"


class LicenceNotAccepted(Forbidden):
    code = "licence_not_accepted"


class AccessEnded(Forbidden):
    code = "no_access"


class ResidencyForbids(Forbidden):
    code = "residency"


class ModelNotFound(GatewayError):
    status, type, code = 404, "invalid_request_error", "model_not_found"


class InvalidRequest(GatewayError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class PromptRefused(InvalidRequest):
    """A prompt of the catalog that is not there, or cannot be filled in."""


class LimitExceeded(GatewayError):
    """``remaining`` is what the rate limit that refused has left, and when it has room again; none for a budget."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    remaining: Remaining | None = None


class Unavailable(GatewayError):
    status, type, code = 503, "server_error", "unavailable"


class UpstreamFailed(GatewayError):
    status, type, code = 502, "upstream_error", "upstream_error"
