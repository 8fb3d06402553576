"""Lead or stand by: one process of several works, by a Lease (coordination.k8s.io/v1).

1. stand by: look at the Lease every `retry`, take it when `rules.lease` says so and everything is known
2. lead: renew it every `renew`, from then on every `retry` until it is renewed again
3. not renewed in time: nothing new is begun. If nobody else took it meanwhile, the next renewal resumes the same term
4. somebody else has it: the term is over; back to 1 when what is in flight has ended

A term that is over does not end the process. An outage of the API server would end them all at once, each would list
everything anew from a server that has just come back, and what was received and could not be written would be lost.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Protocol

from lanyard.errors import KubernetesError
from lanyard.rules.lease import (
    NOBODYS,
    Claim,
    Pace,
    Sight,
    claim_of,
    is_ours,
    looked,
    may_go_on,
    may_take,
    spec_of_release,
    spec_of_term,
    spec_unclaimed,
)

_log = logging.getLogger(__name__)

NAME = "lanyard-operator"
ROUNDS = 3  # somebody may edit the Lease between our look and our write
NEVER = float("-inf")
READ, MAKE, TAKE, RENEW = "read", "make", "take", "renew"


class Api(Protocol):
    """What is asked of the API server (`clients.kube.Kube`); its deadline is that of one attempt."""

    async def get(self, path: str) -> dict[str, Any]: ...

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]: ...

    async def merge(self, path: str, body: dict[str, Any]) -> dict[str, Any]: ...


class Duty(Protocol):
    """What depends on the Lease."""

    def begin(self, *, unbroken: bool) -> None:
        """A term begins. `unbroken`: nobody else has worked since this process first looked at the Lease."""

    def pause(self) -> None:
        """Begin nothing new. May be called twice."""

    def resume(self) -> None:
        """Go on. May be called without a pause."""

    async def end(self) -> None:
        """The term is over; returns when nothing of it is in flight any more."""


def steady() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps (Linux)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class _Term:
    acquired: str
    transitions: int
    version: str


class _Renewal(Enum):
    DONE = auto()
    FAILED = auto()
    """Nobody knows; to be tried again."""
    REFUSED = auto()
    """The Lease is somebody else's."""


class Leadership:
    """One a process. `holds` is asked right before anything is sent that only one process may send."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        me: str,
        pace: Pace,
        *,
        clock: Callable[[], float] = steady,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._folder}/{NAME}"
        self._me = me
        self._pace = pace
        self._clock = clock
        self._now = now
        self._until = NEVER
        self._sight: Sight | None = None
        self._first: Claim | None = None
        self._looked = False
        self._term: _Term | None = None
        self._asked = ""
        self._expiry: asyncio.TimerHandle | None = None
        self._troubles: Counter[str] = Counter()
        self.known = asyncio.Event()
        """Set by the owner while everything is known that a term needs: only then the Lease is taken."""

    def holds(self) -> bool:
        """By this process's own clock, so also after it was frozen. It ends before others may begin."""
        return self._clock() < self._until

    async def run(self, duty: Duty) -> None:
        """Stand by and lead in turn, until cancelled."""
        while True:
            unbroken = await self._stand_by()
            _log.info("leading", extra={"holder": self._me, "unbroken": unbroken})
            duty.begin(unbroken=unbroken)
            await self._lead(duty)
            self._term, self._until = None, NEVER
            _log.warning("the Lease is somebody else's", extra={"holder": self._holder()})
            duty.pause()
            await duty.end()
            self.known.clear()

    async def look(self) -> Claim | None:
        """The Lease as it is now; None when the API server does not say. The first look is to come before any list."""
        first, self._looked = not self._looked, True
        try:
            claim = claim_of(await self._api.get(self._path))
        except KubernetesError as error:
            if error.code != 404:
                self._complain(READ, error)
                return None
            claim = NOBODYS
        self._troubles[READ] = 0
        self._sight = looked(self._sight, claim, self._clock(), self._pace)
        if first:
            self._first = claim
        return claim

    async def release(self) -> None:
        """Give the Lease back, so that nobody need wait. Nothing that was begun under it may be in flight any more."""
        term, self._term, self._until = self._term, None, NEVER
        for _ in range(ROUNDS):
            if term is None:
                return
            spec = spec_of_release(self._stamp())
            try:
                await self._api.merge(self._path, _body(spec, term.version))
            except KubernetesError as error:
                if error.code != 409:
                    return
                claim = await self.look()
                if claim is None or not is_ours(claim, self._me, term.acquired):
                    return
                term.version = claim.version
            else:
                return

    async def _stand_by(self) -> bool:
        told = False
        while True:
            claim = await self.look()
            if claim is NOBODYS:
                await self._make()
            elif claim is not None and self.known.is_set() and self._sight is not None:
                if (self._asked and is_ours(claim, self._me, self._asked)) or may_take(self._sight, self._pace):
                    unbroken = claim.released and claim == self._first
                    if await self._take(claim):
                        return unbroken
                elif not told:
                    told = True
                    _log.info("standing by", extra={"holder": claim.holder})
            if not self.known.is_set():
                await _either(self.known, self._pace.retry)
            else:
                await asyncio.sleep(self._pace.retry)

    async def _make(self) -> None:
        try:
            await self._write("", spec_unclaimed(self._pace))
        except KubernetesError as error:
            if error.code != 409:
                self._complain(MAKE, error)

    async def _take(self, claim: Claim) -> bool:
        began, self._asked = self._clock(), self._stamp()
        transitions = claim.transitions + 1
        spec = spec_of_term(self._me, self._asked, transitions, self._pace, self._asked)
        try:
            version = await self._write(claim.version, spec)
        except KubernetesError as error:
            if error.code != 0:  # after no answer it may be ours all the same, as the next look will show
                self._asked = ""
            if error.code != 409:
                self._complain(TAKE, error)
            return False
        self._troubles.clear()
        self._term = _Term(self._asked, transitions, version)
        self._until = began + self._pace.trusted
        return True

    async def _lead(self, duty: Duty) -> None:
        pause = self._pace.renew
        self._watch_expiry(duty)
        try:
            while True:
                await asyncio.sleep(pause)
                match await self._renew():
                    case _Renewal.DONE:
                        pause = self._pace.renew
                        self._watch_expiry(duty)
                        duty.resume()
                    case _Renewal.FAILED:
                        pause = self._pace.retry
                    case _Renewal.REFUSED:
                        return
        finally:
            self._forget_expiry()

    def _watch_expiry(self, duty: Duty) -> None:
        """Pause when the Lease was not renewed in time; the loop's clock may be a little ahead of ours."""
        self._forget_expiry()
        left = self._until - self._clock()
        if left > 0:
            self._expiry = asyncio.get_running_loop().call_later(left + 0.01, self._watch_expiry, duty)
        else:
            _log.warning("the Lease was not renewed in time: nothing new is begun")
            duty.pause()

    def _forget_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()

    async def _renew(self) -> _Renewal:
        term = self._term
        for _ in range(ROUNDS):
            if term is None:
                return _Renewal.REFUSED
            began = self._clock()
            spec = spec_of_term(self._me, term.acquired, term.transitions, self._pace, self._stamp())
            try:
                term.version = await self._write(term.version, spec)
            except KubernetesError as error:
                claim = await self.look() if error.code in {404, 409} else None
                if claim is None:
                    self._complain(RENEW, error)
                    return _Renewal.FAILED
                if not may_go_on(claim, self._me, term.acquired, holds=self.holds()):
                    return _Renewal.REFUSED
                term.version = claim.version
            else:
                self._until = began + self._pace.trusted
                self._troubles.clear()
                # An answer that came late, as to a process that was frozen, renews nothing.
                return _Renewal.DONE if self.holds() else _Renewal.FAILED
        return _Renewal.FAILED

    async def _write(self, version: str, spec: dict[str, Any]) -> str:
        """Create it, or change exactly this version of it; returns the new version."""
        if version:
            lease = await self._api.merge(self._path, _body(spec, version))
        else:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}, "spec": spec}
            lease = await self._api.create(self._folder, body)
        return str(lease["metadata"]["resourceVersion"])

    def _complain(self, what: str, error: KubernetesError) -> None:
        """The first time, and then as often as attempts double: an outage is no reason to fill a disk."""
        self._troubles[what] += 1
        attempt = self._troubles[what]
        if attempt & (attempt - 1) == 0:
            tried = {"verb": what, "status": error.code, "attempt": attempt}
            _log.warning("the API server did not do what was asked with the Lease", extra=tried)

    def _holder(self) -> str:
        return self._sight.claim.holder if self._sight is not None else ""

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _body(spec: dict[str, Any], version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "spec": spec}


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event, for so long at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
