"""AWS Signature Version 4, verified: what AWS SDKs show in the place of a key.

The signature covers the method, the path, the query, some headers and the body's hash. A signature is good for five
minutes about its own date; what is sent again within them is not told from the first time, as with AWS itself.

Source: the AWS IAM user guide, "Create a signed AWS API request". The tests hold it against botocore's signer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from apps.gateway.errors import Unauthenticated

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "bedrock"
MAX_SKEW_SECONDS = 300
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[\w-]{1,128})/(?P<date>\d{8})/(?P<region>[a-z0-9-]{1,40})/(?P<service>[a-z0-9-]{1,40})/aws4_request\s*,"
    r"\s*SignedHeaders=(?P<headers>[a-z0-9;_-]{1,2000})\s*,\s*Signature=(?P<signature>[0-9a-f]{64})\s*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """As it came, with what it was made over; nothing of it is proven before ``check``."""

    access_key_id: str
    _scope: tuple[str, str, str]  # date, region, service
    _at: str
    _request: bytes  # canonical, but for the body's hash
    _payload: str  # the body's hash as the caller says it; empty where it does not
    _signature: str

    def check(self, secret: str, body: bytes) -> bool:
        """Whether ``secret`` made it over this very request."""
        payload = hashlib.sha256(body).hexdigest()
        told = hmac.compare_digest(self._payload or payload, payload)
        request = hashlib.sha256(self._request + payload.encode()).hexdigest()
        scope = "/".join((*self._scope, "aws4_request"))
        text = f"{ALGORITHM}\n{self._at}\n{scope}\n{request}"
        key = f"AWS4{secret}".encode()
        for part in (*self._scope, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = hmac.digest(key, text.encode(), "sha256").hex()
        return hmac.compare_digest(expected, self._signature) and told


def is_signed(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"authorization", b"").startswith(ALGORITHM.encode())


def read(method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes], now: float) -> Signature:
    """The signature that a request shows. Raises ``Unauthenticated`` for one that cannot be good."""
    match = _AUTHORIZATION.fullmatch(headers[b"authorization"].decode("latin-1"))
    if match is None:
        raise _refused("The Authorization header is no AWS Signature Version 4.", "IncompleteSignature")
    at = headers.get(b"x-amz-date", b"").decode("latin-1")
    _check_date(at, match["date"], now)
    if match["service"] != SERVICE:
        raise _refused(f"The signature is for '{match['service']}'; sign for '{SERVICE}'.")
    names = match["headers"].split(";")
    if "host" not in names or "x-amz-date" not in names or names != sorted(set(names)):
        raise _refused("The signature has to cover the headers host and x-amz-date.")
    payload = headers.get(b"x-amz-content-sha256", b"").decode("latin-1")
    if payload and not re.fullmatch("[0-9a-f]{64}", payload):
        raise _refused("The signature does not cover the body: sign its SHA-256.")
    request = "\n".join(
        (
            method.upper(),
            quote(raw_path or b"/", safe="/~"),
            "&".join(map("=".join, sorted(map(_pair, filter(None, query.decode("latin-1").split("&")))))),
            *(f"{name}:{_value(headers, name)}" for name in names),
            "",
            match["headers"],
            "",
        )
    )
    return Signature(
        match["key"],
        (match["date"], match["region"], match["service"]),
        at,
        request.encode(),
        payload,
        match["signature"],
    )


def _check_date(at: str, day: str, now: float) -> None:
    try:
        moment = timegm(time.strptime(at, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise _refused("The header x-amz-date is missing or no date.") from None
    if not at.startswith(day):
        raise _refused("The signature's day is not that of x-amz-date.")
    if abs(now - moment) > MAX_SKEW_SECONDS:
        shown = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        raise _refused(
            f"Signature expired or not yet valid: it is of {at}, and it is {shown} here. Set this machine's clock.",
            "RequestTimeTooSkewed",
        )


def _pair(pair: str) -> tuple[str, str]:
    """By which the query is ordered: its name first, whatever the character that follows it."""
    name, _, value = pair.partition("=")
    return name, value


def _value(headers: Mapping[bytes, bytes], name: str) -> str:
    value = headers.get(name.encode())
    if value is None:
        raise _refused(f"The header {name} is signed and missing.")
    return " ".join(value.decode("latin-1").split())


def _refused(message: str, code: str = "InvalidSignatureException") -> Unauthenticated:
    return Unauthenticated(message, code=code)
