"""The credential cache: encrypted, bounded per namespace, one fetch per key at a time.

Nothing outlives its time by more than a minute, used or not. A tenant that fills its share evicts its own values. A
refusal that only a change can mend is remembered for seconds, so that a hundred Connections behind one missing path
are one call; a fault of the weather is never remembered.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from cachetools import TTLCache

from lanyard.errors import SourceError
from lanyard.reasons import Reason, Retry
from lanyard.sensitive import Sensitive
from lanyard.stores.sealed import Flights, SealedBox
from lanyard.stores.value import CacheKey, StoreValue

NAMESPACE_BYTES = 4 * 1024 * 1024
TOTAL_BYTES = 64 * 1024 * 1024
ENTRY_OVERHEAD = 1024  # counted for each entry, so a share is at most 4096 entries too
REFUSAL_SECONDS = 5.0
REFUSALS = 4096
SWEEP_SECONDS = 60.0

Fetch = Callable[[], Awaitable[StoreValue]]


@dataclass(frozen=True, slots=True)
class _Entry:
    version: str
    ends: float
    sealed: bytes


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Class and facts of an error, which are names only; not the error, which would keep its frames alive."""

    kind: type[SourceError]
    reason: Reason
    facts: dict[str, str]

    def error(self) -> SourceError:
        return self.kind(self.reason, retry_after=None, **self.facts)


@dataclass(slots=True)
class _Share:
    """What one namespace keeps, least recently used first."""

    entries: OrderedDict[CacheKey, _Entry] = field(default_factory=OrderedDict)
    size: int = 0

    def put(self, key: CacheKey, entry: _Entry) -> None:
        self.drop(key)
        self.entries[key] = entry
        self.size += _size(entry)

    def drop(self, key: CacheKey) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= _size(entry)


class CredentialCache:
    """For one loop. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        namespace_bytes: int = NAMESPACE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._box = SealedBox()
        self._flights = Flights()
        self._shares: dict[str, _Share] = {}
        self._refusals: TTLCache[CacheKey, _Refusal] = TTLCache(REFUSALS, REFUSAL_SECONDS, timer=clock)
        self._namespace_bytes = namespace_bytes
        self._total_bytes = total_bytes
        self._clock = clock
        self._bytes = 0
        self._swept = clock()
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def __len__(self) -> int:
        return sum(len(share.entries) for share in self._shares.values())

    async def get_or_fetch(self, key: CacheKey, ttl: timedelta, fetch: Fetch) -> StoreValue:
        """The kept value, else the fetched one, kept for `ttl` from when the fetch began."""
        found = self._get(key)
        if found is not None:
            return found
        async with self._flights.alone(key):
            found = self._get(key)
            if found is not None:
                return found
            self.misses += 1
            began = self._clock()
            try:
                value = await fetch()
            except SourceError as error:
                if error.retry is Retry.SOURCE:
                    self._refusals[key] = _Refusal(type(error), error.reason, error.facts)
                raise
            self._put(key, value, began + ttl.total_seconds())
            return value

    def invalidate(self, key: CacheKey, seen_version: str) -> None:
        """Drop the value that was seen to be bad; one that came since stays."""
        if self.peek_version(key) == seen_version:
            self._drop(key)

    def peek_version(self, key: CacheKey) -> str | None:
        """The version of the kept value, None when there is none; opens nothing."""
        entry = self._entry(key)
        return entry.version if entry is not None else None

    def _entry(self, key: CacheKey) -> _Entry | None:
        share = self._shares.get(key.namespace)
        entry = share.entries.get(key) if share is not None else None
        return entry if entry is not None and self._clock() < entry.ends else None

    def _get(self, key: CacheKey) -> StoreValue | None:
        self._sweep()
        refusal = self._refusals.get(key)
        if refusal is not None:
            self.hits += 1
            raise refusal.error() from None
        entry = self._entry(key)
        if entry is None:
            return None
        self.hits += 1
        self._shares[key.namespace].entries.move_to_end(key)
        fields, unusable = json.loads(self._box.open(entry.sealed, _bound_to(key, entry.version)))
        return StoreValue(
            {name: Sensitive(value) for name, value in fields.items()}, entry.version, frozenset(unusable)
        )

    def _put(self, key: CacheKey, value: StoreValue, ends: float) -> None:
        plain = json.dumps([{name: one.reveal() for name, one in value.fields.items()}, sorted(value.unusable)])
        entry = _Entry(value.version, ends, self._box.seal(plain.encode(), _bound_to(key, value.version)))
        self._drop(key)
        if _size(entry) > self._namespace_bytes:
            return
        share = self._shares.setdefault(key.namespace, _Share())
        share.put(key, entry)
        self._bytes += _size(entry)
        while share.size > self._namespace_bytes:
            self._evict(share)
        while self._bytes > self._total_bytes:
            self._evict(max(self._shares.values(), key=lambda one: one.size))

    def _evict(self, share: _Share) -> None:
        self._drop(next(iter(share.entries)))
        self.evictions += 1

    def _drop(self, key: CacheKey) -> None:
        share = self._shares.get(key.namespace)
        if share is None:
            return
        before = share.size
        share.drop(key)
        self._bytes += share.size - before
        if not share.entries:
            del self._shares[key.namespace]

    def _sweep(self) -> None:
        now = self._clock()
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        for share in list(self._shares.values()):
            for key in [key for key, entry in share.entries.items() if entry.ends <= now]:
                self._drop(key)


def _size(entry: _Entry) -> int:
    return len(entry.sealed) + ENTRY_OVERHEAD


def _bound_to(key: CacheKey, version: str) -> bytes:
    return json.dumps([key.namespace, key.asset, key.store, key.service_account, version]).encode()
