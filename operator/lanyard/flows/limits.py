"""How many requests a token-endpoint host gets: at once, per minute, and none while it asked us to wait.

A key that may not go now does not hold a worker: it is parked and comes back when a place is free, or at the time
that was reserved for it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lanyard.flows.keys import Key
from lanyard.rules.schedule import fraction

RETURN_SPREAD = timedelta(seconds=10)
FORGET_AFTER = timedelta(minutes=10)


@dataclass(slots=True)
class _Host:
    name: str
    concurrent: int
    interval: timedelta
    in_flight: int = 0
    next_slot: datetime | None = None
    closed_until: datetime | None = None
    parked: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    """In the order in which they came; thousands may wait for one host."""
    called: set[Key] = field(default_factory=set)
    """Parked keys that were offered a place and have not answered yet."""
    reserved: dict[Key, datetime] = field(default_factory=dict)
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: come back at `when`, or be called when a place is free (None). `asked`: the host wants the pause."""

    when: datetime | None
    asked: bool = False


class HostLimits:
    """`wake` is called with a parked key when its turn has come."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._hosts: dict[str, _Host] = {}
        self._offers: dict[Key, str] = {}

    def enter(self, host: str, key: Key, now: datetime, *, concurrent: int, per_minute: int | None) -> Later | None:
        """None: go, and call `leave` afterwards. Otherwise when."""
        interval = timedelta(minutes=1) / per_minute if per_minute else timedelta(0)
        entry = self._hosts.setdefault(host, _Host(host, concurrent, interval))
        entry.concurrent, entry.interval, entry.used_at = concurrent, interval, now
        if entry.closed_until is not None and entry.closed_until > now:
            entry.parked.pop(key, None)
            return Later(entry.closed_until + RETURN_SPREAD * fraction(str(key)), asked=True)
        if entry.in_flight >= entry.concurrent:
            entry.called.discard(key)
            entry.parked.setdefault(key)
            return Later(None)
        entry.parked.pop(key, None)
        if interval:
            slot = entry.reserved.get(key) or max(entry.next_slot or now, now)
            if slot > now:
                if key not in entry.reserved:
                    entry.reserved[key] = slot
                    entry.next_slot = slot + interval
                return Later(slot)
            if entry.reserved.pop(key, None) is None:
                entry.next_slot = now + interval
        entry.called.discard(key)
        entry.in_flight += 1
        return None

    def leave(self, host: str) -> None:
        entry = self._hosts[host]
        entry.in_flight -= 1
        self._call_parked(entry)

    def close(self, host: str, until: datetime) -> None:
        """The host asked for a pause (Retry-After): nobody else goes there before."""
        # Codes are spent without a place of their own, so this may be the first word of the host.
        entry = self._hosts.setdefault(host, _Host(host, 1, timedelta(0), used_at=until))
        if entry.closed_until is None or until > entry.closed_until:
            entry.closed_until = until
        # Kept, the places of the pause would all be taken at its end.
        entry.reserved = {key: slot for key, slot in entry.reserved.items() if slot > until}

    def settle(self, key: Key) -> None:
        """The pass over a key has ended: a place that it was offered and did not take goes to the next."""
        entry = self._hosts.get(self._offers.pop(key, ""))
        if entry is not None and key in entry.called:
            entry.called.discard(key)
            self._call_parked(entry)

    def _call_parked(self, entry: _Host) -> None:
        while entry.parked and entry.in_flight + len(entry.called) < entry.concurrent:
            key, _ = entry.parked.popitem(last=False)
            entry.called.add(key)
            self._offers[key] = entry.name
            self._wake(key)

    def tidy(self, now: datetime) -> None:
        """Forget hosts that nobody asked for lately; call keys whose place was given to one that did not come."""
        for host, entry in list(self._hosts.items()):
            entry.called.clear()
            self._call_parked(entry)
            entry.reserved = {key: slot for key, slot in entry.reserved.items() if now - slot < FORGET_AFTER}
            idle = entry.used_at is None or now - max(entry.used_at, entry.closed_until or entry.used_at) > FORGET_AFTER
            if idle and not entry.in_flight and not entry.parked and not entry.reserved:
                del self._hosts[host]
