"""Grants and keyrings for tests that store them in a real API server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.rules.grants import Grant
from lanyard.sensitive import Sensitive
from lanyard.stores.grants import GrantStore
from lanyard.stores.keyring import Keyring
from lanyard.stores.ring_format import RingKey

CALLBACK = "https://lanyard.example/oauth/callback/crm"


def ring_key(key_id: str, *, age: timedelta = timedelta(days=1)) -> RingKey:
    """A key that has been active for `age`; a negative one is still to come."""
    return RingKey(key_id, secrets.token_bytes(32), datetime.now(UTC) - age)


def grant(**changed: Any) -> Grant:
    now = datetime.now(UTC)
    whole = Grant(
        generation=1,
        access_token=Sensitive(f"at-{secrets.token_hex(16)}"),
        token_type="Bearer",
        refresh_token=Sensitive(f"rt-{secrets.token_hex(16)}"),
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        refresh_expires_at=None,
        scopes=("api", "refresh_token"),
        account="crm-bot@acme.com",
        client_id="app",
        redirect_uri=CALLBACK,
        token_host="login.example.com",
        consented_at=now,
    )
    return replace(whole, **changed)


@dataclass
class Shelf:
    """A store of grants whose ring can be exchanged while it is used."""

    kube: Kube
    namespace: str
    install: str
    ring: Keyring

    def __post_init__(self) -> None:
        self.store = GrantStore(self.kube, self.namespace, lambda: self.ring, self.install)

    def of(self, install: str, ring: Keyring | None = None) -> "Shelf":
        """The same place, seen by another install."""
        return Shelf(self.kube, self.namespace, install, ring or self.ring)


@asynccontextmanager
async def shelf(kubeconfig: Path, namespace: str, *keys: RingKey, install: str = "install-1") -> AsyncIterator[Shelf]:
    async with Kube(from_file(kubeconfig)) as kube:
        yield Shelf(kube, namespace, install, Keyring(keys or (ring_key("k1"),)))
