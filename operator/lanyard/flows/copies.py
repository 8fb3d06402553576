"""Keep a Connection's live token where the gateway can hand it out (DESIGN 4, Refresh): its token copy.

After each pass over a Connection:

1. a copy that nobody needs any more is removed: of an object that is gone, or that no FederatedCredential names
2. is one needed, and made from what is published now? then there is nothing to do
3. what was published a moment ago is at hand; otherwise it is read back from the Secret, and no provider is asked
4. the copy is written, sealed

The Secret comes first: a crash in between leaves a copy that says of itself that it is older. With
`secret.publish: false` there is no Secret, and the copy is what is published (flows/outlet.py).
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError, unavailable
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.inputs import link_target
from lanyard.flows.keys import Key
from lanyard.flows.published import known_version, read_back
from lanyard.flows.queue import WorkQueue
from lanyard.flows.tally import Tally, audit
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.rules.publish import Content
from lanyard.rules.schedule import Backoff, retry_at
from lanyard.stores.copies import CopyStore, SeenCopy, TokenCopy, copy_of

_log = logging.getLogger(__name__)


class Copies:
    """One instance a process."""

    def __init__(
        self,
        *,
        kube: Kube,
        world: World,
        catalogue: Catalogue,
        store: CopyStore,
        tally: Tally,
        pace: Backoff,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._world = world
        self._catalogue = catalogue
        self._store = store
        self._tally = tally
        self._pace = pace
        self._clock = clock
        self._at_hand: dict[str, tuple[str, Content]] = {}
        """What was published in the pass that is under way, with its marker, by uid of the Connection."""
        self._failed: dict[str, int] = {}
        """Failures in a row, by uid."""

    @property
    def install(self) -> str:
        return self._store.install

    def hold(self, record: Record, version: SecretVersion, content: Content) -> None:
        """What has just been published: if a copy is needed, it is made from this, without a call."""
        if self._is_named(record):
            self._at_hand[record.uid] = (version.marker, content)

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        """Follows a pass over the same key, whose appointment it may bring forward."""
        record = self._world.get(key)
        marker, content = self._at_hand.pop(record.uid, ("", None)) if record is not None else ("", None)
        uid = record.uid if record is not None else ""
        try:
            await self._remove_strays(key, record)
            if record is not None and self._is_named(record) and not is_unpublished(record):
                await self._keep(record, marker, content)
        except KubernetesError as error:
            self._again(key, uid, unavailable(error), queue)
        except LanyardError as error:
            self._again(key, uid, error, queue)
        else:
            self._failed.pop(uid, None)

    async def write(self, record: Record, copy: TokenCopy, *, made_from: str) -> SeenCopy:
        """The copy of a Connection as it is to be. LanyardError and KubernetesError when it cannot be written."""
        owner, known = f"{record.key.namespace}/{record.key.name}", self._world.copy_of(record.key, record.uid)
        now = self._clock()
        seen = await self._store.write(record.uid, owner, copy, made_from=made_from, now=now, known=known)
        self._world.keep_copy(seen)
        self._tally.count("lanyard_token_copies", "written")
        audit("copy", "written", object_name=str(record.key), uid=record.uid)
        return seen

    def standing(self, record: Record) -> SeenCopy | None:
        """The copy of a Connection as the watch shows it; None when there is none, and when nobody can open it."""
        seen = self._world.copy_of(record.key, record.uid)
        return seen if seen is not None and self._store.opens(seen) else None

    async def look(self, record: Record) -> None:
        """Afterwards the world has the copy that the API server has. KubernetesError when it does not say."""
        known, there = self._world.copy_of(record.key, record.uid), await self._store.seen(record.uid)
        if there is not None and there.install == self._store.install:
            self._world.keep_copy(there)
        elif known is not None:
            self._world.drop_copy(known)

    def _is_named(self, record: Record) -> bool:
        is_link = link_target(record) is not None
        return self._world.wants_copy(record.key) and not is_link and not self._catalogue.mints(record)

    async def _remove_strays(self, key: Key, record: Record | None) -> None:
        for one in self._world.copies.get(key, ()):
            is_own = record is not None and one.uid == record.uid
            if is_own and record is not None and (self._is_named(record) or is_unpublished(record)):
                continue
            await self._store.remove(one)
            self._world.drop_copy(one)
            self._tally.count("lanyard_token_copies", "removed")
            audit("copy", "removed", object_name=str(key), uid=one.uid)

    async def _keep(self, record: Record, marker: str, content: Content | None) -> None:
        secret = known_version(record, self._world)
        if secret is None:
            # Not published, or not as it was written: the pass that mends it comes back here.
            return
        known = self.standing(record)
        if "lastRefreshedAt" not in record.parsed_status() or (known is not None and known.made_from == secret.marker):
            return
        if marker != secret.marker:
            content = await read_back(self._kube, secret)
        copy = copy_of(content) if content else None
        if copy is None or (copy.expires_at is not None and copy.expires_at <= self._clock()):
            return
        await self.write(record, copy, made_from=secret.marker)

    def _again(self, key: Key, uid: str, error: LanyardError, queue: WorkQueue) -> None:
        self._failed[uid] = self._failed.get(uid, 0) + 1
        self._tally.count("lanyard_token_copies", "failed")
        _log.warning("token copy not in order", extra={"object": str(key), "reason": error.reason.value})
        when, appointment = retry_at(error, self._failed[uid], self._clock(), uid, self._pace), queue.appointment(key)
        queue.at(key, when if appointment is None else min(appointment, when))


def is_unpublished(record: Record) -> bool:
    """Whether the token is had by exchange alone; from the bare spec, for this is looked at after every pass."""
    return (json.loads(record.spec).get("secret") or {}).get("publish") is False
