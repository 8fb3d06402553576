"""The Secrets that keyrings are mounted from, and what still needs which key.

For `lanyard keys`; a process reads its ring from the mounted file. A key may be taken away only when nothing that is
stored was sealed with it. What counts is the sealed text itself, not a label that says so: every value of a Secret in
our places that looks like one is counted, whoever wrote it.
"""

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lanyard.api.meta import GRANT_LABEL, GROUP
from lanyard.clients.kube import Kube, Object
from lanyard.errors import KubernetesError
from lanyard.stores.keyring import sealed_with
from lanyard.stores.ring_format import KeyringError, RingKey, parse_keys, ring_text

RING_FILE = "keys.json"
"""Key of the Secret, and so the name of the mounted file."""
RING_LABEL = f"{GROUP}/keyring"


class Ring(StrEnum):
    """What a ring is for."""

    GRANT = "grant"
    """Refresh tokens, in the operator's namespace."""
    TOKEN = "token"
    """Consents and shared copies, in the namespace that operator and gateway share."""
    SIGNING = "signing"
    """Access tokens of our own. Nothing that is stored needs its keys."""

    @property
    def secret(self) -> str:
        return f"lanyard-keyring-{self.value}"


@dataclass(frozen=True, slots=True)
class RingSecret:
    """A ring as its Secret holds it, newest key first."""

    ring: Ring
    keys: tuple[RingKey, ...]
    uid: str
    version: str


class RingStore:
    """Rings lie in `system`; what is sealed lies there and in `exchange`. KubernetesError passes."""

    def __init__(self, kube: Kube, *, system: str, exchange: str) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{system}/secrets"
        self._shared = f"/api/v1/namespaces/{exchange}/secrets"

    async def read(self, ring: Ring) -> RingSecret | None:
        """None when there is none. KeyringError when what is there is no ring."""
        try:
            secret = await self._kube.get(f"{self._path}/{ring.secret}")
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise
        metadata = secret["metadata"]
        keys = sorted(parse_keys(_text(secret)), key=lambda one: (one.active_from, one.id), reverse=True)
        return RingSecret(ring, tuple(keys), metadata["uid"], metadata["resourceVersion"])

    async def create(self, ring: Ring, keys: tuple[RingKey, ...]) -> bool:
        """False when there is one already: it is never replaced."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": ring.secret, "labels": {RING_LABEL: ring.value}},
            "data": _data(keys),
        }
        try:
            await self._kube.create(self._path, body)
        except KubernetesError as error:
            if error.code == 409:
                return False
            raise
        return True

    async def change(self, before: RingSecret, keys: tuple[RingKey, ...]) -> None:
        """KubernetesError 409 when it was changed meanwhile."""
        metadata = {"uid": before.uid, "resourceVersion": before.version}
        await self._kube.merge(f"{self._path}/{before.ring.secret}", {"metadata": metadata, "data": _data(keys)})

    async def references(self, ring: Ring) -> Counter[str]:
        """How many Secrets were sealed with which key, whether the ring has it or not."""
        count: Counter[str] = Counter()
        match ring:
            case Ring.GRANT:
                path, selector = self._path, GRANT_LABEL
            case Ring.TOKEN:
                path, selector = self._shared, ""
            case Ring.SIGNING:
                return count
        async for page in self._kube.pages(path, selector=selector):
            for secret in page.items:
                count.update(set(_sealed_with(secret.get("data") or {})))
        return count


def _sealed_with(data: Mapping[str, Any]) -> Iterator[str]:
    for value in data.values():
        try:
            text = base64.b64decode(value, validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            continue
        key_id = sealed_with(text)
        if key_id is not None:
            yield key_id


def _data(keys: tuple[RingKey, ...]) -> dict[str, str]:
    return {RING_FILE: base64.b64encode(ring_text(keys).encode()).decode()}


def _text(secret: Object) -> str:
    try:
        return base64.b64decode((secret.get("data") or {})[RING_FILE], validate=True).decode()
    except KeyError:
        raise KeyringError(f"its Secret has no {RING_FILE}") from None
    except (binascii.Error, ValueError):
        raise KeyringError("it is not text") from None
