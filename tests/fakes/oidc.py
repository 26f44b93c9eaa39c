"""An OpenID provider on loopback that speaks the protocol and, told so, breaks one of its rules.

The honest flow is tested against a real provider in a browser; this one is for the lies that a real one does not tell.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

KID = "key-1"
CLIENT_ID = "lobby"
CLIENT_SECRET = "a secret of the loopback client"


@cache
def _rsa_key(kid: str) -> rsa.RSAPrivateKey:
    """Made once: it takes longer than the rest of a test."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """``subject`` and ``claims`` are who signs in next; ``lie`` names the rule that the next ID token breaks."""

    url: str = ""
    subject: str = "subject-1"
    claims: dict[str, Any] = field(default_factory=dict)
    lie: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key, self._other_key = _rsa_key(KID), _rsa_key("key-2")
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, query: dict[str, str]) -> str:
        """The person agrees: the address that the browser is sent back to."""
        self.asked.append(query)
        code = f"code-{len(self.asked)}"
        self._codes[code] = query
        state = "a state that nobody sent" if self.lie == "state" else query["state"]
        return f"{query['redirect_uri']}?code={code}&state={state}"

    def discovery(self) -> dict[str, Any]:
        issuer = "https://elsewhere.test" if self.lie == "discovery" else self.url
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": KID, "use": "sig", "alg": "RS256"}]}

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        query = self._codes.pop(form["code"])
        answer: dict[str, Any] = {"access_token": "an access token", "token_type": "Bearer", "expires_in": 60}
        if self.lie != "no id token":
            answer["id_token"] = self._id_token(query)
        return answer

    def userinfo(self) -> dict[str, Any]:
        subject = "somebody-else" if self.lie == "userinfo subject" else self.subject
        return {"sub": subject, "email": "userinfo@bank.test", "email_verified": True}

    def _id_token(self, query: dict[str, str]) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": self.subject,
            "iat": now,
            "exp": now + 300,
            "nonce": query.get("nonce"),
            **self.claims,
        }
        match self.lie:
            case "issuer":
                claims["iss"] = "https://elsewhere.test"
            case "audience":
                claims["aud"] = "another-client"
            case "second audience":
                claims.update(aud=[CLIENT_ID, "another-client"], azp="another-client")
            case "nonce":
                claims["nonce"] = "the nonce of another login"
            case "no nonce":
                del claims["nonce"]
            case "expired":
                claims.update(iat=now - 7200, exp=now - 3600)
            case "no subject":
                claims["sub"] = ""
            case "none":
                header = _b64({"alg": "none", "typ": "JWT"})
                return f"{header}.{_b64(claims)}."
            case "hmac":
                return jwt.encode(claims, CLIENT_SECRET, algorithm="HS256", headers={"kid": KID})
            case "foreign key":
                return jwt.encode(claims, self._other_key, algorithm="RS256", headers={"kid": KID})
            case "unknown kid":
                return jwt.encode(claims, self._other_key, algorithm="RS256", headers={"kid": "key-2"})
            case "altered":
                header, _, signature = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": KID}).split(".")
                return f"{header}.{_b64({**claims, 'sub': 'somebody-else'})}.{signature}"
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": KID})


def _b64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@contextmanager
def serve_oidc() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            match parts.path:
                case "/.well-known/openid-configuration":
                    self._json(provider.discovery())
                case "/keys":
                    self._json(provider.keys())
                case "/userinfo":
                    self._json(provider.userinfo())
                case "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(_flat(parts.query)))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                case _:
                    self.send_error(404)

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._json(provider.token(_flat(form)))

        def _json(self, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: the test run's output is for failures."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
