"""Tokens of the enterprise's identity provider at /v1, verified against its published keys."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World, chat
from tests.live import LobbyFactory
from tests.servers import free_port

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        base = f"http://{self.headers['host']}"
        if self.path.endswith("openid-configuration"):
            document: dict[str, Any] = {"issuer": base, "jwks_uri": f"{base}/keys"}
        else:
            keys = [("r", jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "RS256")]
            keys += [("e", jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "ES256")]
            document = {"keys": [{**key, "kid": name, "use": "sig", "alg": alg} for name, key, alg in keys]}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


class TokenWorld:
    def __init__(self, world: World, issuer: str) -> None:
        self.world = world
        self.issuer = issuer

    def token(self, *, key: Any = RSA_KEY, algorithm: str = "RS256", kid: str = "r", **claims: Any) -> str:
        now = int(time.time())
        known = {"iss": self.issuer, "aud": "lobby-client", "sub": "u-1", "iat": now, "exp": now + 300}
        return jwt.encode({**known, **claims}, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def tokens(lobby_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenWorld]:
    directory = tmp_path_factory.mktemp("tokens")
    with ExitStack() as stack:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Provider)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        issuer = f"http://127.0.0.1:{server.server_address[1]}"
        factory = LobbyFactory(lobby_template, directory)
        stack.callback(factory.stop)
        fake = stack.enter_context(FakeOpenAI(directory / "count.jsonl"))
        oidc = {"OIDC_ISSUER": issuer, "OIDC_CLIENT_ID": "lobby-client", "OIDC_CLIENT_SECRET": "s" * 40}
        world = World(factory(start=False, env=oidc), fake)
        stack.callback(world.close)
        world.start()
        world.shell.run(
            """
from allauth.socialaccount.models import SocialAccount
from apps.tenants.oidc.tokens import identity
tenant = Tenant.objects.unscoped("test").get(slug="acme")
for subject, role in (("u-1", "developer"), ("u-2", "viewer")):
    user = services.create_user(actor=actor, email=f"{subject}@example.com", name=subject)
    services.add_member(actor=actor, tenant=tenant, user=user, role=role)
    SocialAccount.objects.create(user=user, provider="sso", uid=identity(issuer, subject))
from apps.tenants.control_plane import control_plane_changed
from django.db import transaction
with transaction.atomic():
    control_plane_changed()
""",
            issuer=issuer,
        )
        made = TokenWorld(world, issuer)
        world.eventually(lambda: world.post(chat(), key=made.token()).status_code == 200, within=10)
        yield made


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "r"), (EC_KEY, "ES256", "e")])
def test_a_member_calls_with_a_token(tokens: TokenWorld, key: Any, algorithm: str, kid: str) -> None:
    response = tokens.world.post(chat(), key=tokens.token(key=key, algorithm=algorithm, kid=kid))
    assert response.status_code == 200
    lines = tokens.world.spool_lines(response.headers["x-lobby-request-id"])
    assert all(line["user_id"] for line in lines)


def test_a_member_of_several_projects_names_one(tokens: TokenWorld) -> None:
    tokens.world.project()
    tokens.world.eventually(lambda: tokens.world.post(chat(), key=tokens.token()).status_code == 403, within=5)
    headers = {"x-lobby-project": "acme/app-1"}
    assert tokens.world.post(chat(), key=tokens.token(), headers=headers).status_code == 200
    foreign = {"x-lobby-project": "other/app"}
    assert tokens.world.post(chat(), key=tokens.token(), headers=foreign).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"exp": 1},
        {"key": STRANGER},
        {"kid": "unknown"},
        {"kid": "e"},  # an RS256 token that names the EC key
        {"key": "s" * 40, "algorithm": "HS256"},
        {"key": None, "algorithm": "none"},
    ],
)
def test_every_wrong_token_is_401(tokens: TokenWorld, wrong: dict[str, Any]) -> None:
    response = tokens.world.post(chat(), key=tokens.token(**wrong))
    assert response.status_code == 401, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("subject", ["u-2", "nobody"])
def test_a_viewer_and_a_stranger_may_call_nothing(tokens: TokenWorld, subject: str) -> None:
    assert tokens.world.post(chat(), key=tokens.token(sub=subject)).status_code == 403
