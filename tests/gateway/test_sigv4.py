"""Signatures of AWS SDKs: what botocore signs is taken, and nothing that was altered since."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.gateway import sigv4
from apps.gateway.errors import Unauthenticated
from apps.tenants import apikeys

SECRET = "a-secret"
URL = "http://127.0.0.1:8000/model/eu.anthropic.claude%3A0/converse"
BODY = b'{"messages":[]}'
Headers = dict[bytes, bytes]


def signed(url: str = URL, body: bytes = BODY, service: str = "bedrock", **headers: str) -> Headers:
    """The headers of a request as botocore signs it."""
    request = AWSRequest("POST", url, headers={"Content-Type": "application/json", **headers}, data=body)
    request.headers["Host"] = urlsplit(url).netloc
    SigV4Auth(Credentials("LOBBY0ABC", SECRET), service, "eu-central-1").add_auth(request)
    return {name.lower().encode(): value.encode() for name, value in request.headers.items()}


def checks(headers: Headers, url: str = URL, body: bytes = BODY, *, secret: str = SECRET, **options: Any) -> bool:
    parts = urlsplit(url)
    now = options.get("now", time.time())
    signature = sigv4.read("POST", parts.path.encode(), parts.query.encode(), headers, now)
    assert signature.access_key_id == "LOBBY0ABC"
    return signature.check(secret, body)


SEGMENT = st.text("abcXYZ019-._~%20", max_size=12).map(lambda text: text.replace("%", "%25"))


@given(st.lists(SEGMENT.filter(lambda text: text.strip(".")), min_size=1, max_size=4), st.binary(max_size=50))
def test_what_botocore_signs_is_taken(segments: list[str], body: bytes) -> None:
    url = "http://127.0.0.1:8000/" + "/".join(segments) + "?b=2&a=1&a=0"
    assert checks(signed(url, body), url, body)


def test_more_headers_may_be_signed() -> None:
    more: Any = {"X-Amzn-Trace": "  two   blanks ", "X-Amz-Security-Token": "token"}
    headers = signed(URL, BODY, **more)
    assert checks({**headers, b"user-agent": b"not signed"})


LATER = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + 60)).encode()
# What is altered in the headers, and in the rest.
ALTERATIONS: dict[str, tuple[Headers, dict[str, Any]]] = {
    "body": ({}, {"body": BODY + b" "}),
    "path": ({}, {"url": URL.replace("claude", "other")}),
    "query": ({}, {"url": URL + "?a=1"}),
    "secret": ({}, {"secret": SECRET + "x"}),
    "host": ({b"host": b"elsewhere"}, {}),
    "content type": ({b"content-type": b"text/plain"}, {}),
    "date": ({b"x-amz-date": LATER}, {}),
    "hash of the body": ({b"x-amz-content-sha256": b"0" * 64}, {}),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_was_altered_is_not_taken(what: str) -> None:
    headers, rest = ALTERATIONS[what]
    with contextlib.suppress(Unauthenticated):  # the other date may be of another day
        assert not checks({**signed(), **headers}, **rest)


@pytest.mark.parametrize("away", [-301, 301])
def test_an_old_or_early_signature_is_refused(away: int) -> None:
    with pytest.raises(Unauthenticated, match="clock"):
        checks(signed(), now=time.time() + away)


def test_five_minutes_are_allowed_for() -> None:
    assert checks(signed(), now=time.time() + 290)
    assert checks(signed(), now=time.time() - 290)


def test_what_covers_too_little_is_refused() -> None:
    headers = signed()
    without_date = {**headers, b"authorization": headers[b"authorization"].replace(b";x-amz-date", b"")}
    missing = {name: value for name, value in headers.items() if name != b"content-type"}
    unsigned_body = {**headers, b"x-amz-content-sha256": b"UNSIGNED-PAYLOAD"}
    for wrong in (without_date, missing, unsigned_body, signed(service="s3"), {b"authorization": b"AWS4-HMAC-SHA256"}):
        with pytest.raises(Unauthenticated):
            checks(wrong)


@given(st.sampled_from([b"authorization", b"x-amz-date", b"host"]), st.binary(max_size=200))
def test_garbage_in_a_header_is_refused_and_no_fault(name: bytes, garbage: bytes) -> None:
    headers = signed()
    altered = b"AWS4-HMAC-SHA256" + garbage if name == b"authorization" else garbage
    assume(altered.strip() != headers[name])
    with contextlib.suppress(Unauthenticated):
        assert not checks({**headers, name: altered})


def test_the_pair_of_a_key_is_derived_and_its_id_leads_back() -> None:
    key = apikeys.generate()
    access_key_id = apikeys.aws_access_key_id(key.prefix)
    secret = apikeys.aws_secret_access_key(key.prefix, key.secret_hmac)
    assert len(access_key_id) == 16
    assert access_key_id.isalnum()
    assert access_key_id.isupper()
    assert apikeys.prefix_of(access_key_id) == key.prefix
    assert len(secret) == 40
    other = apikeys.generate()
    assert secret not in (
        apikeys.aws_secret_access_key(key.prefix, other.secret_hmac),
        apikeys.aws_secret_access_key(other.prefix, key.secret_hmac),
    )
    for foreign in ("", "AKIAIOSFODNN7EXAMPLE", access_key_id.lower(), access_key_id + "X", "LOBBY0" + "é" * 10):
        assert apikeys.prefix_of(foreign) is None


def test_the_query_is_ordered_by_its_names() -> None:
    url = URL + "?a-b=1&a=2&a=1"
    assert checks(signed(url), url)
