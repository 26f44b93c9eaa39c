"""A caller of the management API, as somebody of the cast or with one of its keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client

from tests.cast import Cast

BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The problem's code."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.body["status"] == self.status
        code: str = self.body["code"]
        assert self.body["type"] == f"urn:lobby:error:{code}"
        assert self.body["title"]
        assert self.body["detail"]
        return code

    @property
    def blamed(self) -> list[str]:
        return [each.get("pointer") or each["parameter"] for each in self.body.get("errors", [])]


class Api:
    """``api.get("tenants", by="owner")``: a person by session, or ``by="key:management"``; nobody by default."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast

    def call(self, method: str, path: str, body: Any = None, *, by: str = "", **headers: str) -> Answer:
        client = Client(headers=headers)
        if by.startswith("key:"):
            headers["Authorization"] = f"Bearer {self.cast.keys[by[4:]]}"
        elif by:
            client.force_login(self.cast[by], backend=BACKEND)
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response = client.generic(
            method,
            f"/api/{path}",
            content,
            content_type=headers.pop("content_type", "application/json"),
            headers=headers,
        )
        text = response.content.decode()
        return Answer(response.status_code, json.loads(text) if text else None, dict(response.headers.items()))

    def get(self, path: str, *, by: str = "", **headers: str) -> Answer:
        return self.call("GET", path, by=by, **headers)

    def post(self, path: str, body: Any = None, *, by: str = "") -> Answer:
        return self.call("POST", path, body, by=by)

    def patch(self, path: str, body: Any, *, by: str = "") -> Answer:
        return self.call("PATCH", path, body, by=by)

    def put(self, path: str, body: Any, *, by: str = "") -> Answer:
        return self.call("PUT", path, body, by=by)

    def delete(self, path: str, *, by: str = "") -> Answer:
        return self.call("DELETE", path, by=by)
