"""A fake Azure OpenAI: the fake OpenAI at Azure's addresses, with Azure's credential and version.

python -m tests.fakes.azure_server --port 0 --count-file /tmp/count.jsonl
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping

from tests.fakes.openai_server import Api, main
from tests.fakes.openai_wire import Plan

Maker = Callable[[bytes, str], Plan]
Headers = list[tuple[bytes, bytes]]

_DEPLOYMENT = re.compile(r"/openai/deployments/[^/]+(/.+)")
_WHOLE = re.compile(r"/openai(?:/v1)?(/.+)")


class Paths(Mapping[str, Maker]):
    """How each address is answered: a deployment is part of it, but for responses and in version 1."""

    def __getitem__(self, path: str) -> Maker:
        match = _DEPLOYMENT.fullmatch(path)
        if match is None and (path == "/openai/responses" or path.startswith("/openai/v1/")):
            match = _WHOLE.fullmatch(path)
        if match is None:
            raise KeyError(path)
        return Api.plans[f"/v1{match[1]}"]

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class AzureApi(Api):
    models_path = "/openai/models"
    request_id_header = "apim-request-id"
    plans: Mapping[str, Maker] = Paths()

    def credential(self, method: str, url: str, headers: Headers, body: bytes) -> str:
        """Who names no version, where one is needed, is not believed either."""
        path, _, query = url.partition("?")
        version = urllib.parse.parse_qs(query).get("api-version", [""])[0]
        if not path.startswith("/openai/v1/") and not re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", version):
            return ""
        return next((value for name, value in headers if name == b"api-key"), b"").decode("latin-1")


if __name__ == "__main__":
    main(api=AzureApi())
