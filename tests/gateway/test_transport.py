"""The HTTP/1.1 transport against servers that answer byte by byte, in every framing, and wrongly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from apps.gateway.transport import HIGH_WATER, KEEPALIVE_SECONDS, Transport
from apps.models.trust import tls_context
from tests.fakes.blackhole import blackhole


def plainly(scheme: str, host: str, port: int) -> list[str]:
    """Resolve without a guard: these tests are about what comes after."""
    return [host]


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await server.wait_closed()


def replying(*replies: bytes, pieces: int = 0) -> Handler:
    """Answers each request on a connection with the next reply, then closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ontent-" in line), 0)
            await reader.readexactly(length)
            step = pieces or len(reply)
            for start in range(0, len(reply), step):
                writer.write(reply[start : start + step])
                await writer.drain()

    return handler


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The file of an authority of our own, and a server's context with a certificate by it for 127.0.0.1."""
    now = datetime.now(UTC)

    def certificate(name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.CertificateBuilder:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Our authority")])
        made = x509.CertificateBuilder().subject_name(named).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return made.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = certificate("Our authority", authority_key, is_authority=True).sign(authority_key, hashes.SHA256())
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    ours = certificate("A server", key, is_authority=False).add_extension(here, critical=False)
    trusted, chain = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(authority.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(private + ours.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return trusted, context


async def test_an_authority_of_the_companys_own_is_believed_once_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, context = certificates(tmp_path)
    tls_context.cache_clear()
    async with serving(replying(OK + b"content-length: 2\r\n\r\nhi"), tls=context) as url:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await fetch(Transport(plainly), url)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        tls_context.cache_clear()
        transport = Transport(plainly)
        assert await fetch(transport, url) == (200, b"hi")
        await transport.aclose()
    tls_context.cache_clear()


async def fetch(transport: Transport, url: str, body: bytes = b"{}") -> tuple[int, bytes]:
    request = httpx.Request("POST", url, content=body)
    request.extensions["timeout"] = {"connect": 2.0}
    response = await transport.handle_async_request(request)
    return response.status_code, await response.aread()


@pytest.mark.parametrize("pieces", [0, 1, 3])
@pytest.mark.parametrize(
    "reply",
    [
        OK + b"content-length: 5\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\ntrailer: 1\r\n\r\n",
        OK + b"connection: close\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
    ],
)
async def test_every_framing_is_read_however_it_is_cut(reply: bytes, pieces: int) -> None:
    transport = Transport(plainly)
    async with serving(replying(reply, pieces=pieces)) as url:
        assert await fetch(transport, url) == (200, b"hello")
    await transport.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        OK + b"content-length: 9\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n9\r\nhel",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_body_that_breaks_off_is_an_error(reply: bytes) -> None:
    transport = Transport(plainly)
    async with serving(replying(reply)) as url:
        with pytest.raises(httpx.TransportError):
            await fetch(transport, url)
    await transport.aclose()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", httpx.ReadError),
        (b"HTTP/1.1 200", httpx.ReadError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", httpx.RemoteProtocolError),
        (OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n", httpx.RemoteProtocolError),
        (OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", httpx.RemoteProtocolError),
    ],
)
async def test_a_head_that_is_none_is_an_error(reply: bytes, error: type[httpx.TransportError]) -> None:
    transport = Transport(plainly)
    async with serving(replying(reply)) as url:
        with pytest.raises(error):
            await fetch(transport, url)
    await transport.aclose()


async def test_a_connection_is_used_again_and_never_with_an_unread_answer() -> None:
    connections = 0
    first = OK + b"content-length: 5\r\n\r\nfirst"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await replying(*[first] * 5)(reader, writer)

    transport = Transport(plainly)
    async with serving(handler) as url:
        for _ in range(3):
            assert await fetch(transport, url) == (200, b"first")
        assert connections == 1
        request = httpx.Request("POST", url, content=b"{}")
        request.extensions["timeout"] = {"connect": 2.0}
        response = await transport.handle_async_request(request)
        await asyncio.sleep(0.05)  # the whole answer is here, and nobody reads it
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await response.stream.aclose()
        assert await fetch(transport, url) == (200, b"first")
        assert connections == 2
    await transport.aclose()


async def test_bytes_that_answer_nothing_end_the_connection() -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await replying(OK + b"content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")(reader, writer)

    transport = Transport(plainly)
    async with serving(handler) as url:
        for _ in range(2):
            assert await fetch(transport, url) == (200, b"ok")
            await asyncio.sleep(0.05)
        assert connections == 2
    await transport.aclose()


async def test_an_idle_connection_that_the_server_closed_is_not_picked() -> None:
    transport = Transport(plainly)
    async with serving(replying(OK + b"content-length: 2\r\n\r\nok")) as url:
        for _ in range(3):
            assert await fetch(transport, url) == (200, b"ok")
            await asyncio.sleep(0.05)
    await transport.aclose()
    assert KEEPALIVE_SECONDS < 5  # the idle limit of many servers


async def test_a_reader_that_is_slow_holds_the_upstream_back() -> None:
    written = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            written += 65536

    transport = Transport(plainly)
    async with serving(handler) as url:
        request = httpx.Request("POST", url, content=b"")
        request.extensions["timeout"] = {"connect": 2.0}
        response = await transport.handle_async_request(request)
        for _ in range(20):
            await asyncio.sleep(0.02)
        held = written
        await asyncio.sleep(0.1)
        assert written == held < 1000 * 65536
        assert held > HIGH_WATER
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await response.stream.aclose()
    await transport.aclose()


async def test_a_refused_connection_is_a_connect_error(free_port: int) -> None:
    with pytest.raises(httpx.ConnectError):
        await fetch(Transport(plainly), f"http://127.0.0.1:{free_port}/v1")


async def test_an_address_that_swallows_packets_does_not_hide_the_others() -> None:
    async with serving(replying(OK + b"content-length: 2\r\n\r\n{}")) as url:
        port = httpx.URL(url).port
        assert port is not None
        with blackhole("127.0.0.2", port), blackhole("127.0.0.3", port):
            for dead in (["127.0.0.2"], ["127.0.0.2", "127.0.0.3"]):
                transport = Transport(lambda scheme, host, port, dead=dead: [*dead, "127.0.0.1"])  # type: ignore[misc]
                assert await fetch(transport, url) == (200, b"{}")
                await transport.aclose()
            # Whoever swallowed them says more than who refused: it is a timeout.
            transport = Transport(lambda scheme, host, port: ["127.0.0.2", "127.0.0.4"])
            with pytest.raises(httpx.ConnectTimeout):
                await fetch(transport, url)


async def test_an_address_that_the_guard_refuses_is_not_connected_to() -> None:
    reached = False

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        reached = True

    def refusing(scheme: str, host: str, port: int) -> list[str]:
        raise OSError("refused")

    async with serving(handler) as url:
        with pytest.raises(httpx.ConnectError, match="refused"):
            await fetch(Transport(refusing), url)
    assert not reached


async def test_the_beginning_of_an_answer_to_nothing_does_not_reach_the_next_request() -> None:
    first = OK + b"content-length: 5\r\n\r\nfirst" + OK + b"content-length: 9\r\n\r\nPOISON"
    second = OK + b"content-length: 6\r\n\r\nsecond"
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await replying(*([first, b"ON"] if connections == 1 else [second]))(reader, writer)

    transport = Transport(plainly)
    async with serving(handler) as url:
        assert await fetch(transport, url) == (200, b"first")
        assert await fetch(transport, url) == (200, b"second")
    await transport.aclose()
