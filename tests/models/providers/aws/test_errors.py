"""What Amazon's errors mean, and whose they are: the service's own, or those of a container behind it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from apps.models.providers.aws.errors import read_error, read_exception


@pytest.mark.parametrize(
    ("status", "name", "body", "kind"),
    [
        (400, "ThrottlingException", {"message": "Rate exceeded"}, "rate_limited"),
        (429, "ServiceUnavailable", {"Message": "Slow down"}, "rate_limited"),
        (429, "", {}, "rate_limited"),
        (424, "ModelError", {"Message": "Received 429", "OriginalStatusCode": 429}, "rate_limited"),
        (424, "ModelErrorException", {"message": "Throttled", "originalStatusCode": 429}, "rate_limited"),
        (424, "ModelError", {"Message": "Too long", "OriginalStatusCode": 422}, "caller"),
        (424, "ModelError", {"Message": "Broken", "OriginalStatusCode": 500}, "overloaded"),
        (424, "ModelError", {"Message": "Broken"}, "overloaded"),
        (503, "ServiceUnavailableException", {"message": "Busy"}, "overloaded"),
    ],
)
def test_a_limit_is_a_limit_whoever_sets_it(status: int, name: str, body: dict[str, Any], kind: str) -> None:
    headers = httpx.Headers({"x-amzn-errortype": name, "retry-after": "7"})
    error = read_error(status, headers, json.dumps(body).encode())
    assert (error.kind, error.retry_after) == (kind, 7.0)


def test_a_stream_that_the_model_itself_limits_is_limited() -> None:
    payload = json.dumps({"message": "Throttled", "originalStatusCode": 429}).encode()
    assert read_exception("modelStreamErrorException", payload, begun=False).kind == "rate_limited"


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_refused_by_its_status_is_lobbys_credential_whatever_its_name(status: int) -> None:
    error = read_error(status, httpx.Headers({"x-amzn-errortype": "ValidationError"}), b'{"Message": "No."}')
    assert error.kind == "credential"
