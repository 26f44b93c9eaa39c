"""Where calls to Amazon Bedrock and Amazon SageMaker are sent, signed.

Source: the public API references of Amazon Bedrock Runtime and Amazon SageMaker Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from apps.models.providers.aws.credentials import Signer, signer
from apps.models.providers.base import Operation, Target, UpstreamCall
from apps.models.providers.services import ATTEMPT_HEADER, MAX_PREPARED

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What does not change from one request of an endpoint to the next."""

    url: httpx.URL
    host: str
    headers: Headers
    sign: Signer


class AwsService:
    """``address`` gives the path, ``headers`` what the endpoint's settings say; ``name`` is what is signed for."""

    def __init__(
        self,
        name: str,
        address: Callable[[Target, Operation, bool], str],
        headers: Callable[[Target, Operation], Headers],
    ) -> None:
        self._name = name
        self._address = address
        self._headers = headers
        self._prepared: dict[tuple[Target, Operation, bool], _Prepared] = {}

    def request(
        self, target: Target, operation: Operation, call: UpstreamCall, body: bytes, *, attempt_id: str
    ) -> httpx.Request:
        key = (target, operation, call.stream)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            prepared = self._prepared[key] = self._prepare(*key)
        passes = operation == call.operation  # else its headers speak of another dialect
        content_type = call.content_type if passes else "application/json"
        own = {name for name, _ in prepared.headers}
        return httpx.Request(
            "POST",
            prepared.url,
            headers=[
                *prepared.headers,
                ("content-type", content_type),
                *((name, value) for name, value in call.headers.items() if passes and name not in own),
                *prepared.sign("POST", str(prepared.url), prepared.host, content_type, body),
                (ATTEMPT_HEADER, attempt_id),
            ],
            content=body,
        )

    def _prepare(self, target: Target, operation: Operation, stream: bool) -> _Prepared:
        url = httpx.URL(target.base_url.rstrip("/") + self._address(target, operation, stream))
        host = url.netloc.decode("ascii")
        headers = [
            ("host", host),
            ("accept-encoding", "identity"),
            ("user-agent", "lobby"),
            *self._headers(target, operation),
        ]
        return _Prepared(url, host, headers, signer(target, self._name))


def bedrock_path(target: Target, operation: Operation, stream: bool) -> str:
    """A model's id, an inference profile's, or an ARN, whose slash and colons are part of the name."""
    verb = "converse" if operation == "converse" else "invoke"
    suffix = {"converse": "-stream", "invoke": "-with-response-stream"}[verb] if stream else ""
    return f"/model/{quote(target.upstream_model, safe='')}/{verb}{suffix}"


def bedrock_headers(target: Target, operation: Operation) -> Headers:
    """In a Converse request the guardrail is a field of the body."""
    guardrail = target.setting("guardrail_id")
    if not guardrail or operation != "invoke":
        return []
    return [
        ("x-amzn-bedrock-guardrailidentifier", guardrail),
        ("x-amzn-bedrock-guardrailversion", target.setting("guardrail_version", "DRAFT")),
    ]


def sagemaker_path(target: Target, operation: Operation, stream: bool) -> str:
    suffix = "-response-stream" if stream else ""
    return f"/endpoints/{quote(target.upstream_model, safe='')}/invocations{suffix}"


def sagemaker_headers(target: Target, operation: Operation) -> Headers:
    settings = {
        "x-amzn-sagemaker-inference-component": target.setting("inference_component"),
        "x-amzn-sagemaker-target-variant": target.setting("variant"),
    }
    return [(name, value) for name, value in settings.items() if value]
