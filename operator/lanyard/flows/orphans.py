"""Stored grants whose Connection is gone: noted in one full list, removed a week later if it is missing still.

A Connection that is deleted takes its grant along (flows/delete.py). What is found here lost its object in another way:
a finalizer that was removed by hand, a namespace that was restored from a backup. Until it is removed the platform can
have it adopted. It cannot be revoked: what the client proved itself with was known to the Connection alone.

Grants of other installs, of namespaces that this operator does not serve, and those that wait for an adoption are none
of its business.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from lanyard.errors import KubernetesError
from lanyard.flows.keys import Key, What
from lanyard.flows.tally import audit
from lanyard.flows.world import World
from lanyard.rules.orphans import Care, care
from lanyard.rules.status import moment
from lanyard.stores.grants import GrantStore, Held

_log = logging.getLogger(__name__)


class Orphans:
    """`after`: how long a Connection must be missing. `namespaces` are those that are served; empty means all."""

    def __init__(
        self,
        *,
        world: World,
        grants: GrantStore,
        namespaces: tuple[str, ...],
        after: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._grants = grants
        self._namespaces = namespaces
        self._after = after
        self._clock = clock

    async def look(self) -> None:
        """After a full list. What cannot be done now is done after the next one."""
        try:
            async for held in self._grants.held():
                if self._is_ours(held):
                    await self._care_for(held)
        except KubernetesError as error:
            _log.warning("stored grants not looked through", extra={"status": error.code})

    def _is_ours(self, held: Held) -> bool:
        namespace, _, name = held.owner.partition("/")
        is_served = not self._namespaces or namespace in self._namespaces
        return held.install == self._grants.install and is_served and bool(name) and not held.adopt_for

    async def _care_for(self, held: Held) -> None:
        since, now = moment(held.missing_since), self._clock()
        step = care(is_missing=not self._has(held), since=since, after=self._after, now=now)
        try:
            match step:
                case Care.LEAVE:
                    return
                case Care.MARK:
                    await self._grants.note_missing(held, now)
                case Care.UNMARK:
                    await self._grants.note_missing(held, None)
                case Care.REMOVE:
                    await self._grants.delete(held.uid, version=held.version)
        except KubernetesError as error:
            if error.code not in {404, 409}:  # changed since: the next list tells
                raise
            return
        audit("orphan", step.name.lower(), object_name=f"Connection/{held.owner}", uid=held.uid)

    def _has(self, held: Held) -> bool:
        namespace, _, name = held.owner.partition("/")
        key = Key(What.CONNECTION, namespace, name)
        found = (self._world.get(key), self._world.leaving.get(key))
        return any(record is not None and record.uid == held.uid for record in found)
