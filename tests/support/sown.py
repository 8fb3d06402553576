"""Many grants that nobody gave in a browser: they lie in state Secrets as if somebody had, before an operator starts.

The Connections bear no finalizer, so that a namespace goes without an operator; `uproot` takes the grants away.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.rules.grants import Grant
from lanyard.sensitive import Sensitive
from lanyard.stores.grants import GrantStore, install_id
from lanyard.stores.keyring_file import KeyringFile
from support.cluster import Cluster, Object, checked
from support.granted import STATE

SYSTEM = "lanyard-system"
GATEWAY_URL = "https://lanyard.example"
"""What an operator must know to take part in consents; nobody goes there."""
THREADS = 8


@dataclass(frozen=True, slots=True)
class Seed:
    """A grant to be: `issued_at` decides when it is due."""

    name: str
    refresh_token: str
    issued_at: datetime
    life: timedelta
    access_token: str = ""

    def grant(self, connector: str, host: str) -> Grant:
        return Grant(
            generation=1,
            access_token=Sensitive(self.access_token or f"at-{secrets.token_hex(16)}"),
            token_type="Bearer",
            refresh_token=Sensitive(self.refresh_token),
            issued_at=self.issued_at,
            expires_at=self.issued_at + self.life,
            refresh_expires_at=None,
            scopes=("api",),
            account="crm-bot",
            client_id=self.name,
            redirect_uri=f"{GATEWAY_URL}/oauth/callback/{connector}",
            token_host=host,
            consented_at=datetime.now(UTC),
        )


def connector(cluster: Cluster, name: str, token_url: str, *, mode: str, **limits: int) -> Object:
    """One whose only method is a consent; `mode` is its rotation."""
    method = {
        "name": "authorizationCode",
        "clientAuth": {"methods": ["client_secret_basic"]},
        "tokenRequest": {"url": token_url},
        "authorization": {"url": f"https://{urlsplit(token_url).netloc}/authorize"},
        "scopes": {"default": ["api"]},
        "rotation": {"mode": mode},
    }
    spec: dict[str, Any] = {"displayName": name, "methods": [method]}
    return cluster.apply("Connector", name, spec | ({"limits": limits} if limits else {}))


def connect_all(cluster: Cluster, names: Sequence[str], *, connector: str, source: Object) -> dict[str, str]:
    """A Connection each that waits for a consent; `source` has the client secret. Returns uids by name."""

    def connect(name: str) -> str:
        body = {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "Connection",
            "metadata": {"name": name},
            "spec": {
                "connector": connector,
                "auth": {"method": "authorizationCode", "clientId": name, "scopes": ["api"]},
                "credentials": {"clientSecret": source},
            },
        }
        return str(checked(cluster.client.post(cluster.path("Connection"), json=body))["metadata"]["uid"])

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(names, pool.map(connect, names), strict=True))


def sow(
    cluster: Cluster,
    seeds: Sequence[Seed],
    *,
    connector: str,
    token_url: str,
    source: Object,
    kubeconfig: Path,
    ring: Path,
) -> dict[str, str]:
    """A Connection and a state Secret for each. Returns the Connections' uids by name."""
    uids = connect_all(cluster, [seed.name for seed in seeds], connector=connector, source=source)
    host = urlsplit(token_url).netloc
    wanted = [(uids[one.name], f"{cluster.namespace}/{one.name}", one.grant(connector, host)) for one in seeds]
    asyncio.run(_store(kubeconfig, ring, wanted))
    return uids


async def _store(kubeconfig: Path, ring: Path, wanted: Iterable[tuple[str, str, Grant]]) -> None:
    places = asyncio.Semaphore(THREADS)
    async with Kube(from_file(kubeconfig)) as kube:
        store = GrantStore(kube, SYSTEM, KeyringFile(ring, "grant").current, await install_id(kube, SYSTEM))

        async def one(uid: str, owner: str, grant: Grant) -> None:
            async with places:
                await store.create(uid, owner, grant, now=grant.consented_at)

        await asyncio.gather(*(one(*each) for each in wanted))


def uproot(client: httpx.Client, uids: Iterable[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda uid: client.delete(f"{STATE}/grant-{uid}"), uids):
            pass
