"""The sandbox as its callers see it, at once rather than at a lifelike speed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import httpx

from apps.models.providers.sandbox import SandboxTransport

README = """# Lobby

Lobby is the front door.

<picture>
  <img src="docs/images/home.png" alt="Home">
</picture>

## Quick start

Run `make run` and open the page.
"""
BUDGETS = """# Budgets

A budget is an amount of money for a calendar period.

## Holds

Each request holds an upper bound of its cost, so that a thousand concurrent requests cannot overspend.

```python
# not a heading
hold = price * tokens
```

## Thresholds

| threshold | what happens |
| --- | --- |
| soft | a notification |
| hard | requests are refused |

## Periods

Months begin in the time zone of the tenant.
"""


def write_docs(root: Path) -> Path:
    (root / "docs").mkdir()
    (root / "README.md").write_text(README)
    (root / "docs" / "budgets.md").write_text(BUDGETS)
    (root / "docs" / "keys.md").write_text("# API keys\n\nA key is shown once. Revoke it when it leaks.\n")
    return root


class Sandbox:
    def __init__(self, docs: Path) -> None:
        self.transport = SandboxTransport(first_token_seconds=0.0, tokens_per_second=math.inf, docs=docs)

    async def send(self, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = httpx.Request(method, f"sandbox:{path}", content=content)
        return await self.transport.handle_async_request(request)

    async def post(self, path: str, body: Any) -> Any:
        response = await self.send(path, body)
        content = json.loads(await response.aread())
        assert response.status_code == 200, content
        return content

    async def refused(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        response = await self.send(path, body)
        assert response.status_code >= 400
        return response.status_code, json.loads(await response.aread())["error"]

    async def chat(self, *messages: Any, model: str = "sandbox-chat", **options: Any) -> Any:
        return await self.post("/chat/completions", chat_body(*messages, model=model, **options))

    async def say(self, *messages: Any, **options: Any) -> str:
        """The content of the first choice."""
        answer = await self.chat(*messages, **options)
        content = answer["choices"][0]["message"]["content"]
        assert isinstance(content, str), answer
        return content

    async def stream(self, *messages: Any, model: str = "sandbox-chat", **options: Any) -> list[Any]:
        """The events of a stream, the last of which has to be [DONE]."""
        response = await self.send("/chat/completions", chat_body(*messages, model=model, stream=True, **options))
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        events = (await response.aread()).decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def chat_body(*messages: Any, model: str, **options: Any) -> dict[str, Any]:
    """Messages as dictionaries, or as texts of user and assistant in turn."""
    roles = ("user", "assistant")
    written = [
        {"role": roles[number % 2], "content": message} if isinstance(message, str) else message
        for number, message in enumerate(messages)
    ]
    return {"model": model, "messages": written, **options}


def joined(events: list[Any], field: str = "content", index: int = 0) -> str:
    return "".join(
        choice["delta"].get(field) or "" for event in events for choice in event["choices"] if choice["index"] == index
    )
