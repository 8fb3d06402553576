"""The work queue: each key once, one worker per key at a time, and the heap of times at which keys come back.

A key added while it is being worked on is worked on once more, so no change is lost. Keys of objects that changed go
before keys that are only due: somebody waits for the former, the latter have a margin. Every fifth place is kept for
the latter, so that a flood of changes cannot eat the margin up.
"""

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from lanyard.flows.keys import Key

_log = logging.getLogger(__name__)

KEPT_FOR_DUE = 5
LONGEST_SLEEP = 30.0  # seconds; the wall clock may be set while we sleep
PAUSE_AFTER_FAULT = timedelta(seconds=30)
Clock = Callable[[], datetime]
Work = Callable[[Key], Awaitable[None]]


class WorkQueue:
    """`work` is called for every key; it decides by itself when the key comes back (`at`)."""

    def __init__(self, work: Work, clock: Clock, *, workers: int) -> None:
        self._work = work
        self._clock = clock
        self._workers = workers
        self._changed: deque[Key] = deque()
        self._due: deque[Key] = deque()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._ready = asyncio.Semaphore(0)
        self._heap: list[tuple[datetime, int, Key]] = []
        self._times: dict[Key, tuple[datetime, int]] = {}
        self._due_since: dict[Key, datetime] = {}
        self._numbers = itertools.count()
        self._earlier = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._turn = 0
        self.faults = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    def add(self, key: Key, *, due: bool = False, first: bool = False) -> None:
        """Work on a key soon; `first`, ahead of all others. Adding a key that already waits changes nothing."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            if first:
                self._changed.appendleft(key)
            else:
                (self._due if due else self._changed).append(key)
            self._ready.release()

    def at(self, key: Key, when: datetime | None) -> None:
        """Work on a key at a time; replaces an earlier appointment, None cancels it."""
        if when is None:
            self._times.pop(key, None)
            return
        number = next(self._numbers)
        self._times[key] = (when, number)
        heapq.heappush(self._heap, (when, number, key))
        if self._heap[0][2] is key:
            self._earlier.set()

    def appointment(self, key: Key) -> datetime | None:
        entry = self._times.get(key)
        return entry[0] if entry is not None else None

    def overdue(self, now: datetime) -> int:
        """Keys whose time came over a second ago and that nobody has begun to work on."""
        times = [when for when, _ in self._times.values()] + list(self._due_since.values())
        return sum(1 for when in times if (now - when).total_seconds() > 1.0)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._worker(), name=f"worker-{n}") for n in range(self._workers)]
        self._tasks.append(asyncio.create_task(self._timer(), name="timer"))

    def pause(self) -> None:
        """Begin nothing until `resume`; what is in flight goes on, and what is added waits."""
        if not self._stopping:
            self._open.clear()

    def resume(self) -> None:
        self._open.set()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()

    def clear(self) -> None:
        """Forget all that waits and every appointment."""
        for forgotten in (
            self._changed,
            self._due,
            self._waiting,
            self._again,
            self._heap,
            self._times,
            self._due_since,
        ):
            forgotten.clear()

    async def drain(self, deadline: float) -> int:
        """Begin nothing new, let what is in flight finish; returns how many did not within `deadline` seconds."""
        self._stopping = True
        self._open.set()
        self._tasks[-1].cancel()
        for _ in range(self._workers):
            self._ready.release()
        _, pending = await asyncio.wait(self._tasks[:-1], timeout=deadline)
        for task in pending:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return len(pending)

    async def _worker(self) -> None:
        while True:
            await self._ready.acquire()
            await self._open.wait()
            if self._stopping:
                return
            key = self._next()
            if key is None:
                continue
            self._waiting.discard(key)
            self._due_since.pop(key, None)
            self._busy.add(key)
            self._idle.clear()
            try:
                await self._work(key)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
                # Something that this pass waited for was cancelled, not the worker.
                self._fault(key, asyncio.CancelledError)
            except Exception as error:  # noqa: BLE001 - one object's fault must not stop the others
                self._fault(key, type(error))
            finally:
                self._busy.discard(key)
                if not self._busy:
                    self._idle.set()
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    def _fault(self, key: Key, fault: type[BaseException]) -> None:
        # The text of an unforeseen exception may quote anything, so only its type is told.
        self.faults += 1
        _log.error("work failed", extra={"key": str(key), "fault": fault.__name__})
        self.at(key, self._clock() + PAUSE_AFTER_FAULT)

    def _next(self) -> Key | None:
        """None when what waited was forgotten meanwhile."""
        self._turn = (self._turn + 1) % KEPT_FOR_DUE
        if self._due and (not self._changed or self._turn == 0):
            return self._due.popleft()
        return self._changed.popleft() if self._changed else None

    async def _timer(self) -> None:
        while True:
            now = self._clock()
            while self._heap and self._heap[0][0] <= now:
                when, number, key = heapq.heappop(self._heap)
                if self._times.get(key) == (when, number):
                    del self._times[key]
                    self._due_since.setdefault(key, when)
                    self.add(key, due=True)
            self._compact()
            pause = LONGEST_SLEEP
            if self._heap:
                pause = min(max((self._heap[0][0] - now).total_seconds(), 0.0), LONGEST_SLEEP)
            self._earlier.clear()
            # Not `wait_for`: before Python 3.12 it drops a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._earlier.wait()

    def _compact(self) -> None:
        """Entries that were replaced stay in the heap until their time; drop them when they are the majority."""
        if len(self._heap) > 2 * len(self._times) + 1024:
            self._heap = [(when, number, key) for key, (when, number) in self._times.items()]
            heapq.heapify(self._heap)
