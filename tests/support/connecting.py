"""Connections as the tests of weather make them, and what must hold whatever happens to one."""

import base64
from pathlib import Path
from typing import Any

from support.cluster import Cluster, Object


def from_secret(name: str, key: str = "secret") -> Object:
    return {"secretRef": {"name": name, "key": key}}


def from_asset(name: str, key: str = "secret") -> Object:
    return {"credentialAssetRef": {"name": name, "key": key}}


def asks(cluster: Cluster, name: str, token_url: str, *, source: Object | None = None, **spec: Any) -> Object:
    """A clientCredentials Connection of the generic connector; its client secret comes from the Secret `client`."""
    auth = {"method": "clientCredentials", "clientId": "app", **spec.pop("auth", {})}
    credentials = {"clientSecret": source or from_secret("client")}
    wanted = {"connector": "oauth2", "parameters": {"token_url": token_url}, "credentials": credentials} | spec
    return cluster.connection(name, auth=auth, **wanted)


def token_of(cluster: Cluster, name: str) -> str:
    """The access token that a Connection has published."""
    return cluster.data(f"{name}-token").get("access_token", "")


def assert_nowhere(cluster: Cluster, log: Path, *texts: str) -> None:
    """None of these texts, plain or base64, is in an object of the namespace, an Event or the operator's log."""
    paths = [cluster.path(kind) for kind in ("Connection", "CredentialAssetRef", "Event")]
    places = {path: cluster.client.get(path).text for path in paths}
    places["the log"] = log.read_text(errors="replace")
    for text in texts:
        for form in (text, base64.b64encode(text.encode()).decode().rstrip("=")):
            found = [place for place, content in places.items() if form in content]
            assert not found, f"{form} is in {found}"
