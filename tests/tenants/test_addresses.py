from __future__ import annotations

from ipaddress import ip_network

import pytest

from apps.tenants.addresses import is_within


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.1.2.3", False), ("fd00::1", True), ("", False), ("x", False)],
)
def test_an_ipv4_caller_on_a_socket_for_both_families_is_where_it_is(address: str, inside: bool) -> None:
    assert is_within(address, [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]) is inside
