"""Takes away shared Secrets whose time is over. Every gateway does it; the second to come finds nothing left."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError

_log = logging.getLogger(__name__)

GRACE = timedelta(minutes=5)
"""How long one stays after its time: for the page that still shows how it ended, and for clocks that differ."""


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """A Secret as its metadata shows it."""

    name: str
    uid: str
    expires_at: datetime | None
    """None when it cannot be read: such a one goes at once."""


class Tidy:
    """Mirror of some Secrets' metadata, and what removes the old ones. `annotation` says until when each stays."""

    def __init__(self, kube: Kube, namespace: str, annotation: str, clock: Callable[[], datetime]) -> None:
        self._kube = kube
        self._annotation = annotation
        self._path = f"/api/v1/namespaces/{namespace}/secrets"
        self._clock = clock
        self._known: dict[str, KnownRecord] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def slim(self, metadata: dict[str, Any]) -> KnownRecord:
        text = (metadata.get("annotations") or {}).get(self._annotation, "")
        try:
            when: datetime | None = datetime.fromisoformat(text)
        except ValueError:
            when = None
        return KnownRecord(metadata["name"], metadata["uid"], when if when is not None and when.tzinfo else None)

    def replace(self, everything: list[KnownRecord], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        self._known = {one.name: one for one in everything}

    def change(self, one: KnownRecord) -> None:
        self._known[one.name] = one

    def forget(self, one: KnownRecord) -> None:
        self._known.pop(one.name, None)

    async def run(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            await self.sweep()

    async def sweep(self) -> None:
        now = self._clock()
        for one in [one for one in self._known.values() if one.expires_at is None or now > one.expires_at + GRACE]:
            try:
                await self._kube.delete(f"{self._path}/{one.name}", uid=one.uid)
            except KubernetesError as error:
                if error.code not in {404, 409}:
                    _log.warning("an old record stays for now", extra={"status": error.code})
                    return
            self._known.pop(one.name, None)
