"""Addresses of the gateway, as people and providers see them."""

from dataclasses import dataclass

from lanyard.api.connection import Method
from lanyard.connectors.selection import Plan


@dataclass(frozen=True, slots=True)
class Pages:
    """`url` has no slash at its end; nothing that a request says takes part in an address."""

    url: str

    def redirect_uri(self, plan: Plan) -> str:
        """Where the provider sends the browser back to; empty where it sends nobody back."""
        if plan.method.name is not Method.AUTHORIZATION_CODE:
            return ""
        return f"{self.url}/oauth/callback/{plan.connector.name}"

    def start(self, namespace: str, name: str) -> str:
        return f"{self.url}/connect/{namespace}/{name}"
