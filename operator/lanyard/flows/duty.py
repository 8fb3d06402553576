"""What a process does only while it holds the Lease: work on keys.

Standing by it knows the same: its watches run, and statuses that another process writes are taken as they come. So a
term begins without a list. What it knows by the watch alone may be one refresh late, and a refresh too many spends a
refresh token: `Confirmer` looks once more at each Connection, right before the first request for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from lanyard.api.meta import CONNECTION_UID_LABEL
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError
from lanyard.flows.keys import Key, What
from lanyard.flows.queue import WorkQueue
from lanyard.flows.sweep import ORDER, object_path
from lanyard.flows.world import Record, SecretVersion, World

_log = logging.getLogger(__name__)

LOOK = 0.2  # seconds


class QueueDuty:
    """The queue runs while this process leads and the watch is alive. `relist` asks for a full list."""

    def __init__(self, queue: WorkQueue, world: World, relist: Callable[[], None]) -> None:
        self._queue = queue
        self._world = world
        self._relist = relist
        self._in_term = False
        self._leads = False
        self._watches = True
        world.follow()
        queue.pause()

    def wake(self, key: Key) -> None:
        """Keys that nobody may work on are not kept: a term begins with all there are."""
        if self._in_term:
            # A code lives a minute, and somebody sits before the page; a request waits two seconds for newer keys.
            self._queue.add(key, first=key.what in {What.CONSENT, What.ISSUER})

    def begin(self, *, unbroken: bool) -> None:
        self._world.lead(unbroken=unbroken)
        self._in_term = self._leads = True
        for key in (*self._world.consents, *self._world.leaving, *self._world.copies):
            self._queue.add(key)
        for kind in ORDER:
            for key in self._world.objects[What(kind.name)]:
                self._queue.add(key)
        for key in self._world.key_sets():
            self._queue.add(key)
        self._turn()

    def pause(self) -> None:
        self._leads = False
        self._turn()

    def resume(self) -> None:
        self._leads = True
        self._turn()

    async def end(self) -> None:
        await self._queue.idle()
        self._in_term = False
        self._queue.clear()
        self._world.follow()
        self._relist()

    def watch(self, *, alive: bool) -> None:
        """Without its watch a process does not hear that an object is suspended or gone."""
        self._watches = alive
        self._turn()

    def step_back(self, key: Key) -> None:
        """A pass found in its midst that it may not go on: its key waits for the next time."""
        self.pause()
        self._queue.add(key)

    def _turn(self) -> None:
        if self._leads and self._watches:
            self._queue.resume()
        else:
            self._queue.pause()


async def all_kept(world: World, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Wait until nothing is being spent: a grant that was received and is not written yet would end with the process.

    Requests have a deadline; only an API server that takes no write makes this long, and then there is nothing better.
    """
    told = False
    while world.spending:
        if not told:
            _log.warning("a grant is not written yet: the process stays", extra={"count": len(world.spending)})
            told = True
        await sleep(LOOK)


class Confirmer:
    """Reads an object, and the Secret it publishes, as they are now."""

    def __init__(self, kube: Kube, world: World) -> None:
        self._kube = kube
        self._world = world

    async def confirm(self, record: Record, secret: str) -> None:
        """Afterwards the world has what the API server has. KubernetesError when it does not say."""
        key = Key(What.SECRET, record.key.namespace, secret)
        path = f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}"
        body = await self._found(object_path(record.key))
        metadata = (await self._found(path, metadata_only=True) or {}).get("metadata") if secret else None
        if body is None or body["metadata"]["uid"] != record.uid:
            self._world.forget(record.key, record.uid)
            return
        if metadata is None or CONNECTION_UID_LABEL not in (metadata.get("labels") or {}):
            self._world.published.pop(key, None)
        else:
            self._world.published[key] = SecretVersion.of(metadata)
        self._world.confirm(record, body)

    async def _found(self, path: str, *, metadata_only: bool = False) -> dict[str, Any] | None:
        try:
            return await self._kube.get(path, metadata_only=metadata_only)
        except KubernetesError as error:
            if error.code != 404:
                raise
            return None
