"""Requests to Amazon's services held against botocore's own models of them, strictly: an unknown member, a wrong type,
a missing one, two members of a union, a text beside its pattern are refused as the service refuses them.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Any

import botocore.loaders
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ServiceModel, Shape

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)"
)
# Python's re knows no POSIX classes.
_PATTERNS_NOT_TRIED = re.compile(r"\\p\{")


class Refused(Exception):
    """What the service would say."""


@functools.cache
def service(name: str) -> ServiceModel:
    return ServiceModel(botocore.loaders.Loader().load_service_model(name, "service-2"))


def check(shape: Shape, value: Any, path: str = "") -> None:
    """Hold a JSON value against a shape. Raises Refused."""
    if getattr(shape, "is_document_type", False):
        return
    match shape.type_name:
        case "structure":
            _check_structure(shape, _of(value, dict, path, shape), path)
        case "list":
            items = _of(value, list, path, shape)
            _check_range(shape, len(items), path)
            for number, item in enumerate(items):
                check(shape.member, item, f"{path}[{number}]")
        case "map":
            for name, item in _of(value, dict, path, shape).items():
                check(shape.value, item, f"{path}.{name}")
        case "string":
            _check_string(shape, _of(value, str, path, shape), path)
        case "boolean":
            _of(value, bool, path, shape)
        case "integer" | "long":
            if isinstance(value, bool):
                raise Refused(f"{path} is no integer")
            _check_range(shape, _of(value, int, path, shape), path)
        case "float" | "double":
            if isinstance(value, bool):
                raise Refused(f"{path} is no number")
            _check_range(shape, _of(value, int | float, path, shape), path)
        case "blob":
            try:
                data = base64.b64decode(_of(value, str, path, shape), validate=True)
            except (binascii.Error, ValueError):
                raise Refused(f"{path} is no base64") from None
            _check_range(shape, len(data), path)
        case other:
            raise NotImplementedError(other)


def _check_structure(shape: Any, value: dict[str, Any], path: str) -> None:
    for name in value:
        if name not in shape.members or shape.members[name].serialization.get("location"):
            raise Refused(f"{path or 'the body'} has no member {name!r}")
    for name in shape.required_members:
        if name not in value and not shape.members[name].serialization.get("location"):
            raise Refused(f"{path}.{name} is missing")
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        raise Refused(f"{path} is a union and has {len(value)} members")
    for name, member in value.items():
        check(shape.members[name], member, f"{path}.{name}")


def _check_string(shape: Any, value: str, path: str) -> None:
    if shape.enum and value not in shape.enum:
        raise Refused(f"{path}: {value!r} is none of {shape.enum}")
    _check_range(shape, len(value), path)
    pattern = shape.metadata.get("pattern")
    if pattern and not _PATTERNS_NOT_TRIED.search(pattern) and not re.fullmatch(pattern, value):
        raise Refused(f"{path}: {value[:80]!r} does not match {pattern}")


def _check_range(shape: Any, number: float, path: str) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and number < low) or (high is not None and number > high):
        raise Refused(f"{path} is not within {low} and {high}")


def _of(value: Any, kind: Any, path: str, shape: Any) -> Any:
    if not isinstance(value, kind):
        raise Refused(f"{path} is no {shape.type_name}")
    return value


def secret_of(access_key: str) -> str:
    """Whoever names this key to a fake has to sign with this secret."""
    return f"secret/of+{access_key}"


def signer_of(method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[str, str, str]:
    """(access key, service, region) of a request that is signed as it should be. Raises Refused."""
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise Refused("the Authorization header is no signature")
    key, day, region, name, signed, signature = match.groups()
    if not headers.get("x-amz-date", "").startswith(day):
        raise Refused("the date is not that of the scope")
    missing = {"host", "x-amz-date"} - set(signed.split(";"))
    if missing:
        raise Refused(f"{sorted(missing)} are not signed")
    auth = SigV4Auth(Credentials(key, secret_of(key), headers.get("x-amz-security-token")), name, region)
    request = AWSRequest(method, url, headers={each: headers[each] for each in signed.split(";")}, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if auth.signature(text, request) != signature:
        raise Refused("the signature does not match")
    return key, name, region
