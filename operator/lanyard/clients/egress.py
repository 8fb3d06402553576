"""Where outbound calls may go: pure decisions on addresses and host names; `dial` and `http` apply them.

A host that a tenant can influence must not lead to the platform's own network (server-side request forgery: cloud
metadata services, the API server, neighbours' pods). Addresses that the platform team writes are not held to this.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `is_global` follows the IANA registries of the Python at hand, which differ between patch releases; what matters is
# spelled out. The IPv6 ranges embed IPv4 addresses (RFC 4291 2.5.5, 6052, 8215, 3056, 4380), so they could lead inside.
NEVER_GLOBAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/9",
        "ff00::/8",
    )
)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the platform allows to hosts that tenants influence.

    `allowed_networks`: private networks that may be reached. `allowed_hosts`: names, or `*.suffix`, that may be
    reached through a proxy, which resolves by itself. `allow_loopback_http`: plain HTTP, to loopback; development only.
    """

    allowed_networks: tuple[Network, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    allow_loopback_http: bool = False

    def admits_through_proxy(self, host: str) -> bool:
        return any(host_matches(host, pattern) for pattern in self.allowed_hosts)


def is_allowed(address: str, allowed_networks: tuple[Network, ...]) -> bool:
    """Whether a tenant's host may lead to this address; anything that is not an address may not."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(_within(ip, network) for network in allowed_networks):
        return True
    return ip.is_global and not any(_within(ip, network) for network in NEVER_GLOBAL)


def _within(ip: Address, network: Network) -> bool:
    if ip.version == network.version:
        return ip in network
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped is not None and mapped in network


def host_matches(host: str, pattern: str) -> bool:
    """`*.example.com` matches every name below, not `example.com` itself; case and a trailing dot do not matter."""
    host, pattern = host.rstrip(".").lower(), pattern.rstrip(".").lower()
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def is_loopback(host: str) -> bool:
    """A host that is loopback by its spelling, without a look-up."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
