"""A running Lobby with breakers, and routes over endpoints that each behave in their own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.gateway.world import World, bearer, chat

_LOGGED = """
from apps.gateway.models import RequestLog
result = list(RequestLog.objects.unscoped("test").filter(request_id=request_id).values())
"""


@dataclass
class RoutedWorld:
    """``served`` tells what each of a route's endpoints was sent, by its name."""

    world: World
    numbers: int = 0

    def route(
        self, endpoints: dict[str, str], *, targets: dict[str, dict[str, Any]] | None = None, **facts: Any
    ) -> str:
        """A new route over one model an endpoint: ``{"a": "fail=503", "b": ""}`` (directives of the fake upstream, or
        the URL of another server). ``targets`` holds more facts of them by name, ``provider`` what kind it is.
        Known to the gateway on return.
        """
        self.numbers += 1
        slug = f"route-{self.numbers}"
        self.world.shell.run(
            """
from apps.gateway import services as gateway
fake = Provider.objects.get(from_environment=True, kind="openai_compatible")
specs = []
for name, directive in endpoints.items():
    model = registry.create_model(
        actor=actor, slug=f"{slug}-{name}", name=name, lifecycle="approved", kind="chat", is_open=True,
        max_output_tokens=512,
    )
    provider, upstream = fake, f"{slug}-{name}@{directive}"
    more = dict((targets or {}).get(name, {}))
    kind = {"kind": "openai_compatible", **more.pop("provider", {})}
    if directive.startswith("http"):
        provider = registry.create_provider(
            actor=actor, slug=f"{slug}-{name}", name=name, base_url=directive, **kind
        )
        upstream = "fake-chat"
    endpoint = {field: more.pop(field) for field in list(more) if field.endswith("_ms") or field == "region"}
    price = more.pop("price", 150_000)  # one for both, or (input, output)
    reads, writes = price if isinstance(price, tuple) else (price, price)
    registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model=upstream, **endpoint)
    registry.add_price(actor=actor, model=model, figures=Figures(input_picousd=reads, output_picousd=writes))
    specs.append({"model": model, **more})
route = gateway.create_route(actor=actor, tenant=None, slug=slug, name=slug, targets=specs, **facts)
result = route.pk
""",
            slug=slug,
            endpoints=endpoints,
            targets=targets or {},
            facts=facts,
        )
        self.wait_known(slug)
        return slug

    def change(self, slug: str, **changes: Any) -> None:
        self.world.shell.run(
            """
from apps.gateway import services as gateway
from apps.gateway.models import Route
gateway.update_route(actor=actor, route=Route.objects.unscoped("test").get(slug=slug), **changes)
""",
            slug=slug,
            changes=changes,
        )

    def wait_known(self, slug: str, *, known: bool = True) -> None:
        """Until every web process says so: which of them answers is chance, so many in a row have to."""
        url = f"{self.world.lobby.base_url}/models/{slug}"
        asked = 1 if self.world.lobby.env.get("WEB_WORKERS", "1") == "1" else 30

        def all_say_so() -> bool:
            answers = (httpx.get(url, headers=bearer(self.world.key)).status_code for _ in range(asked))
            return all((status == 200) is known for status in answers)

        self.world.eventually(all_say_so, within=20)

    def ask(self, slug: str, text: str = "Hello", **options: Any) -> httpx.Response:
        headers, key = options.pop("headers", {}), options.pop("key", "")
        return self.world.post({**chat(text, **options), "model": slug}, headers=headers, key=key)

    def served(self, slug: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for attempt in self.world.fake.attempts():
            name = attempt.model.partition("@")[0]
            if name.startswith(f"{slug}-"):
                name = name.removeprefix(f"{slug}-")
                found[name] = found.get(name, 0) + 1
        return found

    def why(self, response: httpx.Response) -> dict[str, Any]:
        """The facts behind an answer, as they were written down."""
        return self.line(response.headers["x-lobby-request-id"])["why"]  # type: ignore[no-any-return]

    def line(self, request_id: str) -> dict[str, Any]:
        """From the spool, or from the log where a drainer has taken it away already."""
        found: list[dict[str, Any]] = []

        def written() -> bool:
            found[:] = [line for line in self.world.spool_lines(request_id) if line["line"] == "request"]
            found[:] = found or self.world.shell.run(_LOGGED, request_id=request_id)
            return bool(found)

        self.world.eventually(written, within=10)
        return found[0]
