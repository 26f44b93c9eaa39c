"""The one guard in front of every provider URL: which servers Lobby may be told to call.

A URL is checked when it is saved (``check_new_url``) and again, by the address that its name resolved to, when a
connection is made (``resolve``, ``check_address``): a name may change its mind in between. Private addresses are for
the operator to allow, in ``LOBBY_ALLOWED_PRIVATE_HOSTS``; the servers that the operator's own environment names are
allowed by that, at their own port.
Addresses of cloud metadata services, multicast and the like are never called, whatever the list says.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.models.errors import UrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_LENGTH: Final = 500
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# A last label like this makes resolvers read the whole host as an IPv4 address in one of its odd spellings.
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NEVER: Final[tuple[Network, ...]] = (
    ipaddress.IPv4Network("0.0.0.0/8"),
    ipaddress.IPv4Network("169.254.0.0/16"),
    ipaddress.IPv4Network("240.0.0.0/4"),
    ipaddress.IPv6Network("fe80::/10"),
    ipaddress.IPv6Network("fd00:ec2::254/128"),
    ipaddress.IPv6Network("::/128"),
)


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL whose spelling is beyond doubt. ``url`` has no trailing slash; ``origin`` is scheme://host:port."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Allowlist:
    """Private hosts that may be called: names and networks, each for one port or (None) for all."""

    names: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str], *, declared_urls: Iterable[str] = ()) -> Allowlist:
        """From ``host``, ``address`` or ``network/bits`` entries, and URLs (each allows its host at its port).

        Raises ValueError with the entry that is malformed.
        """
        names: set[tuple[str, int | None]] = set()
        networks: list[tuple[Network, int | None]] = []
        for raw in entries:
            entry = raw.strip().lower().removeprefix("[").removesuffix("]")
            try:
                networks.append((ipaddress.ip_network(entry, strict=False), None))
            except ValueError:
                if not _is_dns_name(entry):
                    raise ValueError(f"{raw!r} is neither a host name nor an address nor a network") from None
                names.add((entry, None))
        for url in declared_urls:
            checked = _parse(url)
            address = _literal(checked.host)
            if address is None:
                names.add((checked.host, checked.port))
            else:
                networks.append((ipaddress.ip_network(address), checked.port))
        return cls(frozenset(names), tuple(networks))

    def allows_name(self, host: str, port: int) -> bool:
        return (host, None) in self.names or (host, port) in self.names

    def allows_address(self, address: Address, port: int) -> bool:
        return any(
            address.version == network.version and address in network and only in (None, port)
            for network, only in self.networks
        )


def operator_allowlist() -> Allowlist:
    """What the operator's environment allows. Raises ImproperlyConfigured naming the variable."""
    declared = (
        ("OPENAI_BASE_URL", settings.OPENAI_BASE_URL),
        ("ANTHROPIC_BASE_URL", settings.ANTHROPIC_BASE_URL),
        ("AZURE_OPENAI_ENDPOINT", settings.AZURE_OPENAI_ENDPOINT),
        ("GEMINI_BASE_URL", settings.GEMINI_BASE_URL),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", settings.AWS_ENDPOINT_URL_BEDROCK_RUNTIME),
        ("OLLAMA_HOST", settings.OLLAMA_BASE_URL),
        ("VLLM_BASE_URL", settings.VLLM_BASE_URL),
    )
    return _allowlist(tuple(settings.LOBBY_ALLOWED_PRIVATE_HOSTS), declared)


@lru_cache(maxsize=8)
def _allowlist(entries: tuple[str, ...], declared: tuple[tuple[str, str], ...]) -> Allowlist:
    for variable, url in declared:
        try:
            if url:
                _parse(url)
        except UrlRefused as error:
            raise ImproperlyConfigured(f"{variable}: {error.message}") from None
    urls = [url for _, url in declared if url]
    try:
        return Allowlist.parse(entries, declared_urls=urls)
    except ValueError as error:
        raise ImproperlyConfigured(f"LOBBY_ALLOWED_PRIVATE_HOSTS: {error}.") from None


def check_url(url: str, allowlist: Allowlist | None = None) -> CheckedUrl:
    """The URL in its one plain spelling. Raises UrlRefused. Names are not resolved here.

    Plain http is for the servers that the operator allowed (a model server beside Lobby); what goes further goes by
    https.
    """
    allowlist = operator_allowlist() if allowlist is None else allowlist
    checked = _parse(url)
    address = _literal(checked.host)
    if address is not None:
        _check_address(checked, address, allowlist)
    if checked.scheme == "http":
        allowed = (
            allowlist.allows_name(checked.host, checked.port)
            if address is None
            else allowlist.allows_address(address, checked.port)
        )
        if not allowed:
            raise UrlRefused(
                "Plain http would carry the credential in clear text. Write https://, or have the operator add "
                f"{checked.host} to LOBBY_ALLOWED_PRIVATE_HOSTS."
            )
    return checked


def check_new_url(url: str) -> CheckedUrl:
    """``check_url``, and the addresses that the name has now. A name that does not resolve yet may be saved."""
    checked = check_url(url)
    with contextlib.suppress(OSError):
        resolve(checked)
    return checked


def resolve(checked: CheckedUrl, allowlist: Allowlist | None = None) -> list[str]:
    """The addresses to connect to, each one checked. Blocks. Raises UrlRefused, OSError when the name is unknown."""
    answers = socket.getaddrinfo(checked.host, checked.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    for address in addresses:
        check_address(checked, address, allowlist)
    return addresses


def check_address(checked: CheckedUrl, address: str, allowlist: Allowlist | None = None) -> None:
    """Refuse (UrlRefused) to connect to ``address``, what the URL's host resolved to."""
    allowlist = operator_allowlist() if allowlist is None else allowlist
    _check_address(checked, ipaddress.ip_address(address.partition("%")[0]), allowlist)


def _check_address(checked: CheckedUrl, address: Address, allowlist: Allowlist) -> None:
    for each in {address, _embedded(address)}:
        if each.is_multicast or any(each.version == network.version and each in network for network in _NEVER):
            where = f"{address} is" if checked.host == str(address) else f"{checked.host} is at {address},"
            raise UrlRefused(f"{where} an address that Lobby never calls.")
    inner = _embedded(address)
    if inner.is_global and not _is_site_local(inner):
        return
    if allowlist.allows_name(checked.host, checked.port) or allowlist.allows_address(inner, checked.port):
        return
    raise UrlRefused(
        f"{checked.host} is at {address}, a private address. Have the operator add it to LOBBY_ALLOWED_PRIVATE_HOSTS."
    )


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, compatible, NAT64, 6to4, Teredo); else the address itself."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    low = int(address) & 0xFFFF_FFFF
    if address in _NAT64 or (int(address) >> 32 == 0 and low > 1):
        return ipaddress.IPv4Address(low)
    return address


def _is_site_local(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.is_site_local


def _parse(url: str) -> CheckedUrl:
    if len(url) > MAX_URL_LENGTH:
        raise UrlRefused(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if not url.isascii() or any(character <= " " or character in '\\\x7f<>"`{}|^' for character in url):
        raise UrlRefused(
            "The URL holds a space, a backslash or another character that URLs may not have. "
            "Write an international host name in its xn-- form."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlRefused("The URL's host or port is malformed.") from None
    scheme = parts.scheme
    if scheme not in DEFAULT_PORTS or not url[len(scheme) :].startswith("://"):
        raise UrlRefused("The URL must begin with https:// or http://.")
    if "@" in parts.netloc:
        raise UrlRefused("The URL must not hold a user name or a password. Enter the credential in its own field.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise UrlRefused("The URL must end with its path, without ? or #.")
    host = (parts.hostname or "").lower()
    if not host:
        raise UrlRefused("The URL names no host.")
    if port == 0 or parts.netloc.endswith(":"):
        raise UrlRefused("The URL's port is malformed.")
    if any(unquote(segment) in {".", ".."} for segment in parts.path.split("/")) or "%2f" in parts.path.lower():
        raise UrlRefused("The URL's path must not hold '.' or '..' segments.")
    if parts.netloc.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            raise UrlRefused("The URL's IPv6 address is malformed.") from None
    elif _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise UrlRefused("Write the IPv4 address as four decimal numbers, without leading zeros.") from None
    elif not _is_dns_name(host):
        raise UrlRefused("The URL's host name is malformed.")
    port = port or DEFAULT_PORTS[scheme]
    netloc = f"[{host}]" if ":" in host else host
    if port != DEFAULT_PORTS[scheme]:
        netloc = f"{netloc}:{port}"
    return CheckedUrl(url=f"{scheme}://{netloc}{parts.path.rstrip('/')}", scheme=scheme, host=host, port=port)


def _is_dns_name(host: str) -> bool:
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
