"""Addresses of the gateway, as people and providers see them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pages:
    """`url` has no slash at its end; nothing that a request says takes part in an address."""

    url: str

    def redirect_uri(self, connector: str) -> str:
        return f"{self.url}/oauth/callback/{connector}"

    def start(self, namespace: str, name: str) -> str:
        return f"{self.url}/connect/{namespace}/{name}"
