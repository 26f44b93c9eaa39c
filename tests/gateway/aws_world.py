"""Models of the fakes of Amazon's services in a running Lobby, and the pair that a key stands for towards AWS SDKs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.aws import REGION, sdk
from tests.fakes.aws_models import secret_of
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World, bearer

ACCESS_KEY = "AKIALOBBYTEST001"


def serve(world: World, fake: FakeOpenAI, slug: str, upstream_model: str, **facts: Any) -> str:
    """Serve a model of ``fake`` as ``slug``, known to the gateway when this returns. ``facts``: the provider's
    ``kind``, the ``model``'s and the ``endpoint``'s own."""
    world.shell.run(
        """
provider = registry.create_provider(
    actor=actor, slug=slug, name=slug, kind=kind, base_url=base_url, settings=settings,
    credential_source="database", secret=secret,
)
model = registry.create_model(
    actor=actor, slug=slug, name=slug, lifecycle="approved", is_open=True, **{"kind": "chat", **model_facts}
)
registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model=upstream_model, **endpoint)
registry.add_price(actor=actor, model=model, figures=Figures(input_picousd=3_000_000, output_picousd=15_000_000))
""",
        slug=slug,
        kind=facts.get("kind", "bedrock"),
        base_url=fake.url,
        settings={"region": REGION, "access_key_id": ACCESS_KEY},
        secret=secret_of(ACCESS_KEY),
        model_facts=facts.get("model", {"max_output_tokens": 64_000}),
        upstream_model=upstream_model,
        endpoint=facts.get("endpoint", {}),
    )
    if world.lobby.running("web"):
        known = f"{world.lobby.base_url}/models/{slug}"
        world.eventually(lambda: httpx.get(known, headers=bearer(world.key)).status_code == 200, within=10)
    return slug


def pair_of(world: World, key: str) -> tuple[str, str]:
    """(access key id, secret access key) of an API key."""
    pair: list[str] = world.shell.run(
        """
from apps.tenants import apikeys
found = ApiKey.objects.unscoped("test").get(prefix=prefix)
result = apikeys.aws_access_key_id(prefix), apikeys.aws_secret_access_key(prefix, found.secret_hmac)
""",
        prefix=key.split("_")[1],
    )
    return pair[0], pair[1]


@contextmanager
def bedrock_sdk(world: World, key: str = "", **options: Any) -> Iterator[Any]:
    """The official client with Lobby as its endpoint."""
    with sdk("bedrock-runtime", world.lobby.url, *pair_of(world, key or world.key), **options) as client:
        yield client


class BedrockWorld(World):
    """A Lobby in front of the fake Bedrock, whose model is called ``fake-chat`` here, too."""

    kind = "bedrock"
    credential: Mapping[str, Any] = {
        "settings": {"region": REGION, "access_key_id": ACCESS_KEY},
        "credential_source": "database",
        "secret": secret_of(ACCESS_KEY),
    }

    def environment(self, credential: str) -> dict[str, str]:
        return {}

    def arrange(self) -> None:
        super().arrange()
        serve(self, self.fake, "fake-chat", "fake-chat", kind=self.kind)


class SageMakerWorld(BedrockWorld):
    """The same in front of a container of OpenAI's shape."""

    kind = "sagemaker"
