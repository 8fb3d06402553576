"""When each credential was used last: noted in memory, written once a minute, one Secret for each replica.

The operator folds it into statuses. What a replica noted in its last minute is lost with it: the time says when
something was used at least, which is what one asks before a credential is taken away.
"""

import asyncio
import base64
import hashlib
import json
import logging
from datetime import datetime

from lanyard.api.meta import LAST_USE_LABEL
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError
from lanyard.rules.publish import timestamp

_log = logging.getLogger(__name__)

MOST_NOTED = 20_000
"""Credentials that are noted at a time: 60 bytes each, and a Secret holds 1 MiB."""


class LastUse:
    """`replica` tells one gateway from the next, such as the name of its pod."""

    def __init__(self, kube: Kube, namespace: str, replica: str) -> None:
        self._kube = kube
        self._name = f"last-use-{hashlib.sha256(replica.encode()).hexdigest()[:16]}"
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{self._name}"
        self._used: dict[str, datetime] = {}
        self._changed = False

    def note(self, uid: str, when: datetime) -> None:
        # The oldest go first: what is noted again moves to the end.
        self._used.pop(uid, None)
        self._used[uid] = when
        if len(self._used) > MOST_NOTED:
            del self._used[next(iter(self._used))]
        self._changed = True

    async def run(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            await self.flush()

    async def flush(self) -> None:
        """One write, none when nothing was used. One that fails is made up for by the next."""
        if not self._changed:
            return
        self._changed = False
        told = json.dumps({uid: timestamp(when) for uid, when in self._used.items()}, separators=(",", ":"))
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self._name, "labels": {LAST_USE_LABEL: "true"}},
            "data": {"used": base64.b64encode(told.encode()).decode()},
        }
        try:
            await self._kube.apply(self._path, body)
        except KubernetesError as error:
            self._changed = True
            _log.warning("last uses not written", extra={"status": error.code})
