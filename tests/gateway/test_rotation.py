"""A secret that is rotated in AWS Secrets Manager is in use by a running gateway, without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World, chat
from tests.live import LobbyFactory

REGION = "eu-central-1"


def test_a_rotated_secret_is_shown_upstream_without_a_restart(
    live_lobby: LobbyFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    import boto3

    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.create_secret(Name="lobby/ours", SecretString='{"api_key": "sk-before"}')
    with FakeOpenAI(tmp_path / "count.jsonl") as fake:
        lobby = live_lobby(start=False, env={**aws, "CREDENTIALS_REFRESH_SECONDS": "1"})
        world = World(lobby, fake)
        try:
            world.shell.run(
                """
services.create_tenant(actor=actor, slug='acme', name='Acme')
provider = registry.create_provider(
    actor=actor, slug="ours", name="Ours", kind="openai_compatible", base_url=base_url,
    credential_source="secretsmanager", credential_secret="lobby/ours", credential_secret_key="api_key",
)
model = registry.create_model(actor=actor, slug="ours", name="Ours", lifecycle="approved", is_open=True)
registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model="fake-chat")
""",
                base_url=fake.url,
            )
            world.key = world.project()
            lobby.start()
            body = {**chat(), "model": "ours"}
            world.eventually(lambda: world.post(body).status_code == 200, within=10)
            assert {attempt.credential for attempt in fake.attempts()} == {"sk-before"}
            secrets.put_secret_value(SecretId="lobby/ours", SecretString='{"api_key": "sk-after"}')

            def shown() -> str:
                assert world.post(body).status_code == 200
                return fake.attempts()[-1].credential

            world.eventually(lambda: shown() == "sk-after", within=15)
        finally:
            world.close()
            server.stop()
