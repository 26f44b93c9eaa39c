"""A model of every kind of provider, each in front of its own fake at the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.fakes.process import FakeAzure, FakeBedrock, FakeOpenAI, FakeSageMaker
from tests.gateway.aws_world import serve
from tests.gateway.world import World, bearer


@pytest.fixture(scope="session")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FakeOpenAI]]:
    """The fakes at the wire, by the kind of provider."""
    directory = tmp_path_factory.mktemp("providers")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(kind(directory / f"{name}.jsonl"))
            for name, kind in (
                ("openai", FakeOpenAI),
                ("azure_openai", FakeAzure),
                ("bedrock", FakeBedrock),
                ("sagemaker", FakeSageMaker),
            )
        }


@pytest.fixture(scope="session")
def providers(world: World, fakes: dict[str, FakeOpenAI]) -> World:
    """The world with the models ``on-KIND`` beside ``fake-claude`` and the sandbox's."""
    openai, azure = fakes["openai"], fakes["azure_openai"]
    for slug, kind, fake, settings, endpoint in (
        ("on-compatible", "openai_compatible", openai, {}, {}),
        ("on-openai", "openai", openai, {}, {}),
        ("on-openai-responses", "openai", openai, {}, {"translate_into": "responses"}),
        ("on-azure", "azure_openai", azure, {}, {}),
        ("on-azure-v1", "azure_openai", azure, {"api_version": "v1"}, {}),
        ("on-gemini", "gemini", openai, {}, {}),
    ):
        serve_kind(world, slug, kind, fake.url, settings, endpoint)
    serve(world, fakes["bedrock"], "on-bedrock", "anthropic.fake-chat-v1:0")
    serve(world, fakes["sagemaker"], "on-sagemaker", "llama", kind="sagemaker")
    return world


def serve_kind(
    world: World,
    slug: str,
    kind: str,
    base_url: str,
    settings: dict[str, str],
    endpoint: dict[str, str],
    **more: int,
) -> None:
    """Serve a model of a provider of this kind as ``slug``, known to the gateway when this returns."""
    world.shell.run(
        """
provider = registry.create_provider(
    actor=actor, slug=slug, name=slug, kind=kind, base_url=base_url, settings=settings,
    credential_source="database", secret="sk-fake",
)
model = registry.create_model(
    actor=actor, slug=slug, name=slug, lifecycle="approved", kind="chat", is_open=True, max_output_tokens=4096
)
registry.create_endpoint(
    actor=actor, model=model, provider=provider, upstream_model="fake-chat", settings=endpoint, **more
)
registry.add_price(actor=actor, model=model, figures=Figures(input_picousd=150_000, output_picousd=600_000))
""",
        slug=slug,
        kind=kind,
        base_url=base_url,
        settings=settings,
        endpoint=endpoint,
        more=more,
    )
    known = f"{world.lobby.base_url}/models/{slug}"
    world.eventually(lambda: httpx.get(known, headers=bearer(world.key)).status_code == 200, within=10)
