"""The management API as the command line calls it. ``LOBBY_URL`` says where, ``LOBBY_API_KEY`` who."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

TIMEOUT_SECONDS = 30.0
SENDING_SECONDS = 600.0


class Failed(Exception):
    """What is told to the person at the terminal, and nothing more. ``code`` is for programs."""

    def __init__(self, message: str, *, code: str = "failed", status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same question may be answered in a while: a restart, a proxy, a limit of requests."""
        return self.code == "unreachable" or self.status == 429 or self.status >= 500


class Api:
    """Raises ``Failed`` with the server's own words."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        try:
            base = httpx.URL(self.url + "/api/")
        except httpx.InvalidURL as error:
            raise Failed(f"LOBBY_URL is {url[:200]!r}, which is no address: {error}.", code="bad_url") from None
        self._client = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_SECONDS)

    @classmethod
    def from_environment(cls) -> Api:
        # A secret that a CI server reads from a file ends with a line end.
        url, key = (os.environ.get(name, "").strip() for name in ("LOBBY_URL", "LOBBY_API_KEY"))
        if not url:
            raise Failed("Set LOBBY_URL to the address of your Lobby, for example https://lobby.example.com.")
        if not url.startswith(("http://", "https://")):
            raise Failed(f"LOBBY_URL is {url[:200]!r}: it has to begin with https:// or http://.", code="bad_url")
        if not key:
            raise Failed("Set LOBBY_API_KEY to a key with the scopes management:read and management:write.")
        if not (key.isascii() and key.isprintable()):  # what httpx says of such a header has the key in it
            raise Failed(
                "LOBBY_API_KEY has characters that no key has: is it one key, and all on one line?", code="bad_key"
            )
        return cls(url, key)

    def get(self, *path: object, **query: str) -> Any:
        return self._call("GET", path, params=query)

    def post(self, *path: object, body: dict[str, Any]) -> Any:
        return self._call("POST", path, json=body)

    def delete(self, *path: object) -> None:
        self._call("DELETE", path)

    def send(self, *where: object, path: Path) -> Any:
        """A file, as the field ``file`` of a form, without having it in memory."""
        try:
            with path.open("rb") as file:
                # However long it takes: a large file is on its way for a while.
                options: dict[str, Any] = {"files": {"file": (path.name, file)}, "timeout": SENDING_SECONDS}
                return self._call("POST", where, **options)
        except OSError as error:
            raise Failed(f"{path} cannot be read: {error.strerror}.", code="unreadable_file") from None

    def every(self, *path: object, **query: str) -> Iterator[dict[str, Any]]:
        """Every row of a list, page after page."""
        cursor = ""
        while True:
            page = self.get(*path, **query, **({"cursor": cursor} if cursor else {}))
            yield from page["results"]
            if not page["next"]:
                return
            cursor = httpx.URL(page["next"]).params["cursor"]

    def tenant(self) -> str:
        """The slug of the tenant that the key works in."""
        me = self.get("me")
        tenants = [each["tenant"] if isinstance(each, dict) else each for each in me["tenants"]]
        if len(tenants) != 1:
            raise Failed("The key is not of one tenant: name it with --tenant.")
        return str(tenants[0])

    def project(self) -> str:
        """The slug of the key's project."""
        key = self.get("me")["key"]
        if not key:
            raise Failed("Say with --project in which project models are called.")
        return str(key["project"]).rpartition("/")[2]

    def _call(self, method: str, path: tuple[object, ...], **options: Any) -> Any:
        address = "/".join(quote(str(part), safe="") for part in path)
        try:
            answer = self._client.request(method, address, **options)
        except httpx.HTTPError as error:
            raise Failed(f"Lobby at {self._client.base_url} cannot be reached: {error}", code="unreachable") from None
        if answer.is_success:
            try:
                return answer.json() if answer.content else None
            except ValueError:
                raise Failed(
                    f"{method} {self._client.base_url}{address} answered with something other than JSON."
                    " Is LOBBY_URL the address of Lobby itself, and does no proxy ask for a sign-in first?",
                    code="not_json",
                    status=answer.status_code,
                ) from None
        try:
            problem = answer.json()
            told = " ".join(filter(None, (problem["detail"], problem.get("remedy"))))
            named = [f"{each.get('pointer', '')}: {each['detail']}" for each in problem.get("errors", [])]
            message = "\n".join([told, *(f"  {line}" for line in named)]) if len(named) > 1 else told
            if len(named) == 1:
                pointer = problem["errors"][0].get("pointer", "").removeprefix("#/")
                where = pointer.replace("~1", "/").replace("~0", "~")
                message = told.removeprefix(f"#/{pointer}: ")
                message = f"{message} ({where})" if "/" in where and where not in message else message
            raise Failed(message, code=problem["code"], status=answer.status_code)
        except (ValueError, KeyError, TypeError):
            hint = " Is LOBBY_URL the address of Lobby itself, without a path?" if answer.status_code < 500 else ""
            raise Failed(
                f"{method} {self._client.base_url}{address} answered {answer.status_code}.{hint}",
                status=answer.status_code,
            ) from None
