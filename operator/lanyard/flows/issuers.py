"""Keep the keys of each issuer that a FederatedCredential names: fetch, store for the gateways, take away.

1. nobody names the source any more: delete the set
2. due, or a gateway met an unknown key id: fetch, else wait
3. keys that changed, or whose time was not written for a while, are stored; a question is answered by any success
4. tell the credentials when the keys become usable, or cease to be

A failed fetch leaves good keys as they are until they are too old. Writes of an idle issuer are one in `life` / 24: an
hour, by default. So a restart finds a time that is up to an hour old, and fetches nothing for it.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lanyard.errors import KubernetesError, LanyardError, unavailable
from lanyard.flows.issuer_fetch import IssuerFetch, KeySource
from lanyard.flows.keys import Key
from lanyard.flows.limits import HostLimits
from lanyard.flows.queue import WorkQueue
from lanyard.flows.tally import Tally
from lanyard.flows.world import World
from lanyard.oauth.issuers import PublishedKeys
from lanyard.rules.schedule import Backoff, fraction, retry_at
from lanyard.stores.issuer_keys import NEVER, IssuerKeyStore, StoredKeys

_log = logging.getLogger(__name__)

LEAST_REFRESH = timedelta(minutes=1)
"""However short an issuer wants its keys to be kept."""
LEAST_GAP = timedelta(seconds=1)
"""Between two fetches of one set, however often somebody asks."""
PACE = Backoff(timedelta(seconds=1), timedelta(minutes=1), (timedelta(minutes=1),))
# Tenants choose these hosts. Slow ones hold neither a worker each, nor up those that answer.
LANES = {True: ("issuers that answer", 16), False: ("issuers that do not", 4)}


@dataclass(slots=True)
class _Known:
    """What this process remembers of its work on one set."""

    due: datetime
    tried_at: datetime = NEVER
    answered: datetime | None = None
    """The question, by the time it was asked at, for which a fetch was tried."""
    attempts: int = 0


class Issuers:
    """`refresh`: how often keys are fetched, unless the issuer says less. `life`: how old they may be."""

    def __init__(
        self,
        *,
        world: World,
        fetch: IssuerFetch,
        store: IssuerKeyStore,
        limits: HostLimits,
        tally: Tally,
        refresh: timedelta,
        life: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._fetch = fetch
        self._store = store
        self._limits = limits
        self._tally = tally
        self._refresh = refresh
        self._life = life
        self._write_after = life / 24
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._followed = world.followed

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        """One pass over the set `key.name`. SteppedBackError passes."""
        if self._followed != self._world.followed:
            self._followed = self._world.followed
            self._known.clear()
        source, stored, now = self._source(key), self._world.issuer_sets.get(key.name), self._clock()
        if source is None:
            await self._remove(key, stored, queue)
            return
        known = self._known.setdefault(key.name, _Known(self._first_due(key.name, stored, now)))
        due = _due(known, stored)
        if now < due:
            queue.at(key, due)
            return
        lane, places = LANES[known.attempts == 0]
        later = self._limits.enter(lane, key, now, concurrent=places, per_minute=None)
        if later is not None:
            return
        try:
            await self._try(key, source, stored, known)
        finally:
            self._limits.leave(lane)
        queue.at(key, known.due)

    def _source(self, key: Key) -> KeySource | None:
        """Where its keys come from; None when nobody names it."""
        for one in self._world.dependents(key):
            record = self._world.get(one)
            if record is not None:
                spec = json.loads(record.spec)
                return KeySource(spec.get("issuer", ""), spec.get("jwksURI"), spec.get("caBundle"))
        return None

    def _first_due(self, name: str, stored: StoredKeys | None, now: datetime) -> datetime:
        """Keys whose time is in order were looked at by another process not long ago: a restart is no reason to."""
        if stored is None or now - stored.fetched_at > self._write_after + self._refresh:
            return now
        return now + self._refresh * fraction(name)

    async def _try(self, key: Key, source: KeySource, stored: StoredKeys | None, known: _Known) -> None:
        began = self._clock()
        known.tried_at, known.answered = began, stored.refetch_at if stored is not None else None
        try:
            found = await self._fetch.fetch(source)
            await self._keep(key, source, stored, found, began)
        except KubernetesError as error:
            if error.code == 409 and stored is not None:
                known.due = began + LEAST_GAP  # a question came meanwhile: on its version the next write succeeds
            else:
                self._fail(key, known, unavailable(error), began)
        except LanyardError as error:
            self._fail(key, known, error, began)
        else:
            known.attempts = 0
            self._world.issuer_fetches[key.name] = began
            wanted = found.max_age if found.max_age is not None else self._refresh
            pause = min(self._refresh, max(wanted, LEAST_REFRESH))
            known.due = began + pause * (1 - fraction(key.name) / 10)
            self._world.settle_issuer(key.name, None)

    async def _keep(
        self, key: Key, source: KeySource, stored: StoredKeys | None, found: PublishedKeys, now: datetime
    ) -> None:
        """One write, where there is something to write."""
        if stored is None:
            written = await self._store.create(
                key.name, issuer=source.issuer, jwks=found.jwks, digest=found.digest, fetched_at=now
            )
        elif stored.digest != found.digest or stored.asked or now - stored.fetched_at >= self._write_after:
            written = await self._store.replace(stored, jwks=found.jwks, digest=found.digest, fetched_at=now)
        else:
            self._tally.count("lanyard_issuer_fetches", "unchanged")
            return
        self._world.issuer_sets[key.name] = written
        changed = stored is None or stored.digest != found.digest
        self._tally.count("lanyard_issuer_fetches", "changed" if changed else "unchanged")
        if changed:
            _log.info("keys of an issuer stored", extra={"issuer": source.issuer, "key_set": key.name})

    def _fail(self, key: Key, known: _Known, error: LanyardError, now: datetime) -> None:
        known.attempts += 1
        known.due = retry_at(error, known.attempts, self._clock(), key.name, PACE)
        self._tally.count("lanyard_issuer_fetches", error.reason.value)
        if known.attempts == 1:
            _log.warning("keys of an issuer not fetched", extra={"key_set": key.name, "reason": error.reason.value})
        stored = self._world.issuer_sets.get(key.name)
        if stored is None or now - stored.fetched_at > self._life:
            self._world.settle_issuer(key.name, error)

    async def _remove(self, key: Key, stored: StoredKeys | None, queue: WorkQueue) -> None:
        if stored is not None:
            try:
                await self._store.delete(stored)
            except KubernetesError as error:
                queue.at(key, retry_at(unavailable(error), 1, self._clock(), key.name, PACE))
                return
        self._known.pop(key.name, None)
        self._world.issuer_sets.pop(key.name, None)
        self._world.issuer_fetches.pop(key.name, None)
        self._world.issuer_problems.pop(key.name, None)
        queue.at(key, None)


def _due(known: _Known, stored: StoredKeys | None) -> datetime:
    """A question that no fetch was tried for yet does not wait for the next appointment."""
    if stored is None or not stored.asked or stored.refetch_at == known.answered:
        return known.due
    return min(known.due, known.tried_at + LEAST_GAP)
