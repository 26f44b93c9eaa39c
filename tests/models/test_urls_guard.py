"""Which servers Lobby may be told to call."""

from __future__ import annotations

import ipaddress

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from apps.models.discovery import register_from_environment
from apps.models.errors import UrlRefused
from apps.models.urls_guard import Allowlist, check_address, check_new_url, check_url, resolve

NOTHING = Allowlist()
LOOPBACK = Allowlist.parse(["localhost", "127.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    "url",
    [
        # other spellings of 127.0.0.1
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://0x7f.0.0.1/v1",
        "https://0177.0.0.1/v1",
        "https://127.1/v1",
        "https://127.0.0.1./v1",
        "https://127.0.0.01/v1",
        "https://[::ffff:127.0.0.1]/v1",
        "https://[::ffff:7f00:1]/v1",
        "https://[::127.0.0.1]/v1",
        "https://[64:ff9b::7f00:1]/v1",
        "https://[2002:7f00:1::]/v1",
        "https://[::1]/v1",
        "https://127.0.0.1/v1",
        "https://①②⑦.0.0.1/v1",
        "https://127%2e0%2e0%2e1/v1",
        # private, shared, link-local, reserved
        "https://10.0.0.8/v1",
        "https://172.16.3.4/v1",
        "https://192.168.1.1/v1",
        "https://100.64.0.1/v1",
        "https://198.18.0.1/v1",
        "https://0.0.0.0/v1",
        "https://0/v1",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/v1",
        "https://[fe80::1%25eth0]/v1",
        "https://[fc00::1]/v1",
        "https://[fec0::1]/v1",
        "https://[fd00:ec2::254]/v1",
        "https://224.0.0.1/v1",
        "https://255.255.255.255/v1",
        "https://[ff02::1]/v1",
        "https://[::]/v1",
        # not what they seem to be
        "https://api.openai.com@10.0.0.8/v1",
        "https://user:password@api.openai.com/v1",
        "https://api.openai.com\\@10.0.0.8/v1",
        "https:\\\\api.openai.com/v1",
        "https:/api.openai.com/v1",
        "https:api.openai.com/v1",
        "//api.openai.com/v1",
        "https:///v1",
        "https://api.openai.com/v1?x=1",
        "https://api.openai.com/v1#x",
        "https://api.openai.com/v1#",
        "https://api.openai.com:0/v1",
        "https://api.openai.com:99999/v1",
        "https://api.openai.com:/v1",
        "https://api.openai.com:8o/v1",
        "https://api.openai.com/../admin",
        "https://api.openai.com/v1/%2e%2e/admin",
        "https://api.openai.com/v1%2fadmin",
        "https://api.open ai.com/v1",
        "https://api.openai.com/v1\n",
        "https://api.openai.com/\x00v1",
        "https://api.openai.com\t/v1",
        "https://-bad-.example/v1",
        "https://a..b/v1",
        "https://[::1/v1",
        "https://[127.0.0.1]/v1",
        "https://" + "a" * 600 + ".example/v1",
        # other schemes, and http in the clear
        "http://api.openai.com/v1",
        "ftp://api.openai.com/v1",
        "file:///etc/passwd",
        "gopher://api.openai.com/",
        "javascript:alert(1)",
        "sandbox:",
        "",
    ],
)
def test_a_url_to_a_private_or_disguised_server_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused) as refusal:
        check_url(url, NOTHING)
    assert refusal.value.field == "base_url"
    assert "password" not in str(refusal.value.message).replace("user name or a password", "")


@pytest.mark.parametrize(
    ("url", "plain", "origin"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1", "https://api.openai.com:443"),
        ("HTTPS://API.OpenAI.com:443/v1/", "https://api.openai.com/v1", "https://api.openai.com:443"),
        ("https://models.example:8443", "https://models.example:8443", "https://models.example:8443"),
        ("https://192.0.43.7/v1", "https://192.0.43.7/v1", "https://192.0.43.7:443"),
        ("https://[2606:4700::1111]:8443/v1", "https://[2606:4700::1111]:8443/v1", "https://[2606:4700::1111]:8443"),
        ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example:443"),
        ("https://my_model-server/v1", "https://my_model-server/v1", "https://my_model-server:443"),
    ],
)
def test_a_public_url_gets_its_one_plain_spelling(url: str, plain: str, origin: str) -> None:
    checked = check_url(url, NOTHING)
    assert (checked.url, checked.origin) == (plain, origin)


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "http://localhost:9000/v1", "http://[::1]:9000/v1"])
def test_the_operators_allowlist_lets_a_local_server_in_even_by_http(url: str) -> None:
    assert check_url(url, LOOPBACK).url == url


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "fe80::1", "fd00:ec2::254", "224.0.0.1"])
def test_some_addresses_are_never_called_whatever_the_allowlist_says(address: str) -> None:
    everything = Allowlist.parse(["0.0.0.0/0", "::/0", "models.example"])
    with pytest.raises(UrlRefused):
        check_address(check_url("https://models.example/v1", everything), address, everything)


def test_a_name_that_now_resolves_to_a_private_address_is_refused_at_connection_time() -> None:
    checked = check_url("https://models.example/v1", NOTHING)
    check_address(checked, "93.184.216.34", NOTHING)
    for address in ("127.0.0.1", "10.1.2.3", "::1", "::ffff:10.1.2.3", "fe80::1%eth0"):
        with pytest.raises(UrlRefused):
            check_address(checked, address, NOTHING)


def test_localhost_by_name_is_refused_when_it_resolves_and_is_not_allowed() -> None:
    with pytest.raises(UrlRefused):
        resolve(check_url("https://localhost/v1", NOTHING), NOTHING)
    assert resolve(check_url("https://localhost/v1", LOOPBACK), LOOPBACK)


def test_a_server_that_the_environment_names_is_allowed_at_its_own_port_alone() -> None:
    declared = Allowlist.parse([], declared_urls=["http://10.0.0.8:8080/v1", "http://models.internal:9000/v1"])
    for url in ("http://10.0.0.8:8080/v1", "http://models.internal:9000/v1"):
        assert check_url(url, declared).url == url
    for url in ("http://10.0.0.8:22/v1", "http://10.0.0.9:8080/v1", "http://models.internal:80/v1"):
        with pytest.raises(UrlRefused):
            check_url(url, declared)


def test_a_name_that_does_not_resolve_yet_may_be_saved() -> None:
    assert check_new_url("https://not-there-yet.example/v1").host == "not-there-yet.example"


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "http://localhost", "a b", "user@host"])
def test_a_malformed_entry_of_the_allowlist_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=entry.replace("/", ".")):
        Allowlist.parse([entry])


def test_a_malformed_setting_is_named_at_the_start(settings: Settings) -> None:
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = ["10.0.0.0/99"]
    with pytest.raises(ImproperlyConfigured, match="LOBBY_ALLOWED_PRIVATE_HOSTS"):
        register_from_environment()
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = []
    settings.OPENAI_BASE_URL = "https://somebody:canary@proxy.example/v1"
    with pytest.raises(ImproperlyConfigured, match="OPENAI_BASE_URL") as refusal:
        register_from_environment()
    assert "canary" not in str(refusal.value)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_that_is_not_public_gets_through_in_any_wrapping(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    spellings = [
        str(address),
        f"[::ffff:{address}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]",
    ]
    for spelling in spellings:
        try:
            check_url(f"https://{spelling}/", NOTHING)
        except UrlRefused:
            continue
        assert address.is_global, spelling
        assert not address.is_multicast, spelling


@given(st.text(max_size=60))
def test_whatever_is_written_it_is_checked_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://api.example/{text}"):
        try:
            checked = check_url(url, NOTHING)
        except UrlRefused:
            continue
        assert check_url(checked.url, NOTHING) == checked
