"""How many requests a token-endpoint host gets: at once, per minute, and none while it asked us to wait.

A key that may not go now does not hold a worker: it is parked and comes back when a place is free, or at the time
that was reserved for it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lanyard.flows.keys import Key
from lanyard.rules.schedule import fraction

RETURN_SPREAD = timedelta(seconds=10)
FORGET_AFTER = timedelta(minutes=10)


@dataclass(slots=True)
class _Host:
    concurrent: int
    interval: timedelta
    in_flight: int = 0
    next_slot: datetime | None = None
    closed_until: datetime | None = None
    parked: deque[Key] = field(default_factory=deque)
    reserved: dict[Key, datetime] = field(default_factory=dict)
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: come back at `when`, or be called when a place is free (None)."""

    when: datetime | None


class HostLimits:
    """`wake` is called with a parked key when its turn has come."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._hosts: dict[str, _Host] = {}

    def enter(self, host: str, key: Key, now: datetime, *, concurrent: int, per_minute: int | None) -> Later | None:
        """None: go, and call `leave` afterwards. Otherwise when."""
        interval = timedelta(minutes=1) / per_minute if per_minute else timedelta(0)
        entry = self._hosts.setdefault(host, _Host(concurrent, interval))
        entry.concurrent, entry.interval, entry.used_at = concurrent, interval, now
        if entry.closed_until is not None and entry.closed_until > now:
            return Later(entry.closed_until + RETURN_SPREAD * fraction(str(key)))
        if entry.in_flight >= entry.concurrent:
            if key not in entry.parked:
                entry.parked.append(key)
            return Later(None)
        if interval:
            slot = entry.reserved.get(key) or max(entry.next_slot or now, now)
            if slot > now:
                if key not in entry.reserved:
                    entry.reserved[key] = slot
                    entry.next_slot = slot + interval
                return Later(slot)
            if entry.reserved.pop(key, None) is None:
                entry.next_slot = now + interval
        entry.in_flight += 1
        return None

    def leave(self, host: str) -> None:
        entry = self._hosts[host]
        entry.in_flight -= 1
        self._call_parked(entry)

    def close(self, host: str, until: datetime) -> None:
        """The host asked for a pause (Retry-After): nobody else goes there before."""
        entry = self._hosts[host]
        if entry.closed_until is None or until > entry.closed_until:
            entry.closed_until = until

    def _call_parked(self, entry: _Host) -> None:
        for _ in range(min(len(entry.parked), entry.concurrent - entry.in_flight)):
            self._wake(entry.parked.popleft())

    def tidy(self, now: datetime) -> None:
        """Forget hosts that nobody asked for lately; call keys whose place was given to one that did not come."""
        for host, entry in list(self._hosts.items()):
            self._call_parked(entry)
            idle = entry.used_at is None or now - entry.used_at > FORGET_AFTER
            if idle and not entry.in_flight and not entry.parked and not entry.reserved:
                del self._hosts[host]
