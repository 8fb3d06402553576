"""The conventional proxy variables: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, read once.

NO_PROXY is read as Go programs read it, for that is what cluster operators write: host names with their subdomains,
addresses, CIDR networks, `*`, each with an optional port.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Self


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """URLs of proxies by scheme of the target; empty means direct."""

    http: str = ""
    https: str = ""
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Lower-case names win, as in curl; HTTP_PROXY in capitals is taken too, for no CGI runs here."""

        def setting(name: str) -> str:
            return (environ.get(name.lower()) or environ.get(name) or "").strip()

        everything = setting("ALL_PROXY")
        exceptions = tuple(part.strip().lower() for part in setting("NO_PROXY").split(",") if part.strip())
        return cls(setting("HTTP_PROXY") or everything, setting("HTTPS_PROXY") or everything, exceptions)

    def choose(self, scheme: str, host: str, port: int) -> str:
        """The proxy for this target, or an empty string."""
        proxy = self.https if scheme == "https" else self.http
        if not proxy or any(_excepts(pattern, host.lower().rstrip("."), port) for pattern in self.no_proxy):
            return ""
        return proxy


def _excepts(pattern: str, host: str, port: int) -> bool:
    if pattern == "*":
        return True
    if "/" in pattern:
        try:
            return ip_address(host) in ip_network(pattern, strict=False)
        except ValueError:
            return False
    name, colon, wanted = pattern.rpartition(":")
    if colon and wanted.isdigit() and ":" not in name:
        if int(wanted) != port:
            return False
        pattern = name
    below_only = pattern.startswith((".", "*."))
    pattern = pattern.removeprefix("*").removeprefix(".")
    return host.endswith(f".{pattern}") or (host == pattern and not below_only)
