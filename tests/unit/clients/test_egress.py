from ipaddress import ip_network

import pytest

from lanyard.clients.dial import AddressRefused, Dialer
from lanyard.clients.egress import EgressPolicy, host_matches, is_allowed, is_loopback

REFUSED = {
    "a private address of class A": "10.1.2.3",
    "a private address of class B": "172.31.255.254",
    "a private address of class C": "192.168.0.1",
    "loopback": "127.0.0.1",
    "loopback that is not .1": "127.250.0.9",
    "IPv6 loopback": "::1",
    "link-local, where clouds serve metadata": "169.254.169.254",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with a zone": "fe80::1%eth0",
    "deprecated IPv6 site-local": "fec0::1",
    "a unique local IPv6 address": "fd00:ec2::254",
    "carrier-grade NAT": "100.64.0.1",
    "the end of carrier-grade NAT": "100.127.255.255",
    "unspecified": "0.0.0.0",
    "unspecified IPv6": "::",
    "this network": "0.1.2.3",
    "a private address mapped into IPv6": "::ffff:10.0.0.1",
    "a public address mapped into IPv6": "::ffff:8.8.8.8",
    "an IPv4-compatible IPv6 address": "::7f00:1",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "NAT64 of a public address": "64:ff9b::808:808",
    "local-use NAT64": "64:ff9b:1::a00:1",
    "6to4 of a private address": "2002:a00:1::",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "multicast": "224.0.1.1",
    "IPv6 multicast of global scope": "ff0e::1",
    "reserved for the future": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "benchmarking": "198.18.0.1",
    "documentation": "192.0.2.1",
    "IPv6 documentation": "2001:db8::1",
    "protocol assignments": "192.0.0.9",
    "6to4 relay": "192.88.99.1",
    "not an address": "metadata.internal",
    "nothing": "",
}


@pytest.mark.parametrize("address", REFUSED.values(), ids=REFUSED.keys())
def test_a_tenants_host_does_not_lead_to(address: str) -> None:
    assert not is_allowed(address, ())


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "100.63.255.255", "172.32.0.1"])
def test_a_tenants_host_may_lead_to_a_public_address(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize(
    ("address", "network", "allowed"),
    [
        pytest.param("10.1.2.3", "10.1.0.0/16", True, id="an allowed network admits its addresses"),
        pytest.param("10.2.2.3", "10.1.0.0/16", False, id="and no others"),
        pytest.param("::ffff:10.1.2.3", "10.1.0.0/16", True, id="also in their IPv6-mapped spelling"),
        pytest.param("fd00::5", "fd00::/64", True, id="IPv6 networks are allowed alike"),
        pytest.param("10.0.0.1", "fd00::/64", False, id="a network of the other family says nothing"),
    ],
)
def test_the_platform_can_allow_private_networks(address: str, network: str, allowed: bool) -> None:
    assert is_allowed(address, (ip_network(network),)) is allowed


@pytest.mark.parametrize(
    ("host", "pattern", "matches"),
    [
        ("login.example.com", "login.example.com", True),
        ("LOGIN.example.com.", "login.example.com", True),
        ("login.example.com", "*.example.com", True),
        ("a.b.example.com", "*.example.com", True),
        ("example.com", "*.example.com", False),
        ("evilexample.com", "*.example.com", False),
        ("login.example.com.evil.net", "*.example.com", False),
        ("login.example.com", "example.com", False),
    ],
)
def test_allowed_hosts_are_names_or_everything_below_one(host: str, pattern: str, matches: bool) -> None:
    assert host_matches(host, pattern) is matches
    assert EgressPolicy(allowed_hosts=(pattern,)).admits_through_proxy(host) is matches


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_is_told_by_its_spelling(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback(f"{host}.example.com")


async def test_one_private_answer_among_public_ones_is_enough_to_refuse() -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(AddressRefused):
        await Dialer(EgressPolicy(), resolver=resolver).connect_tcp("mixed.example", 443)
