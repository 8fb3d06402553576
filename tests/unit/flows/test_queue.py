import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.flows.keys import Key, What
from lanyard.flows.queue import KEPT_FOR_DUE, PAUSE_AFTER_FAULT, WorkQueue

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = timedelta(milliseconds=30)
HOUR = timedelta(hours=1)


def key(name: str | int) -> Key:
    return Key(What.CONNECTION, "sales", str(name))


A, B, C = key("a"), key("b"), key("c")


class Desk:
    """A queue, and what was done at it. `clock` runs from START with the loop's; `skip` moves it."""

    def __init__(self, workers: int) -> None:
        self.done: list[Key] = []
        self.at_once: Counter[Key] = Counter()
        self.most_at_once = 0
        self.work: Callable[[Key], Awaitable[None]] | None = None
        self.skipped = timedelta(0)
        self.began = asyncio.get_running_loop().time()
        self.queue = WorkQueue(self._work, self.clock, workers=workers)

    def clock(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time() - self.began) + self.skipped

    async def _work(self, one: Key) -> None:
        self.at_once[one] += 1
        self.most_at_once = max(self.most_at_once, self.at_once[one])
        try:
            self.done.append(one)
            if self.work is not None:
                await self.work(one)
        finally:
            self.at_once[one] -= 1

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    async def quiet(self) -> None:
        await self.until(lambda: not len(self.queue) and not self.queue.in_flight)


@asynccontextmanager
async def desk(workers: int = 4, *, start: bool = True) -> AsyncIterator[Desk]:
    one = Desk(workers)
    if start:
        one.queue.start()
    yield one
    if one.queue._tasks:
        await one.queue.drain(1.0)


async def test_a_key_that_was_added_is_worked_on() -> None:
    async with desk() as one:
        one.queue.add(A)
        await one.quiet()
        assert one.done == [A]


async def test_a_key_that_waits_is_worked_on_once() -> None:
    async with desk(start=False) as one:
        for _ in range(3):
            one.queue.add(A)
            one.queue.add(A, due=True)
        assert len(one.queue) == 1
        one.queue.start()
        await one.quiet()
        assert one.done == [A]


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more() -> None:
    async with desk() as one:
        gate = asyncio.Event()

        async def work(_: Key) -> None:
            await gate.wait()

        one.work = work
        one.queue.add(A)
        await one.until(lambda: one.queue.in_flight == 1)
        for _ in range(3):
            one.queue.add(A)
        gate.set()
        await one.quiet()
        assert one.done == [A, A]


async def test_two_workers_never_work_on_one_key() -> None:
    async with desk(workers=8) as one:

        async def work(which: Key) -> None:
            if len(one.done) < 200:
                one.queue.add(which)
                one.queue.at(which, START)
            await asyncio.sleep(0)

        one.work = work
        for number in range(3):
            one.queue.add(key(number))
        await one.until(lambda: len(one.done) >= 200)
        await one.quiet()
        assert one.most_at_once == 1


async def test_different_keys_are_worked_on_side_by_side() -> None:
    async with desk(workers=2) as one:
        together = asyncio.Barrier(2)

        async def work(_: Key) -> None:
            await together.wait()

        one.work = work
        one.queue.add(A)
        one.queue.add(B)
        await one.quiet()
        assert {*one.done} == {A, B}


@pytest.mark.spec("C+2")
async def test_an_appointment_is_kept() -> None:
    async with desk() as one:
        one.queue.at(A, one.clock() + SOON)
        assert one.done == []
        await one.until(lambda: bool(one.done))
        assert one.clock() >= START + SOON
        assert one.queue.appointment(A) is None


@pytest.mark.spec("C+2")
async def test_an_appointment_in_the_past_is_kept_at_once() -> None:
    async with desk() as one:
        one.queue.at(A, START - HOUR)
        await one.until(lambda: one.done == [A])


async def test_a_later_appointment_replaces_an_earlier_one() -> None:
    async with desk() as one:
        one.queue.at(A, one.clock() + SOON)
        one.queue.at(A, one.clock() + HOUR)
        await asyncio.sleep(3 * SOON.total_seconds())
        assert one.done == []
        assert one.queue.appointment(A) is not None


async def test_an_appointment_can_be_cancelled() -> None:
    async with desk() as one:
        one.queue.at(A, one.clock() + SOON)
        one.queue.at(A, None)
        one.queue.at(B, None)
        await asyncio.sleep(3 * SOON.total_seconds())
        assert one.done == []


async def test_an_earlier_appointment_wakes_the_timer() -> None:
    async with desk() as one:
        one.queue.at(A, one.clock() + HOUR)
        await asyncio.sleep(0.01)
        one.queue.at(B, one.clock() + SOON)
        one.queue.at(A, one.clock() + SOON)
        await one.until(lambda: {*one.done} == {A, B})


async def test_a_thousand_replaced_appointments_are_kept_once() -> None:
    async with desk() as one:
        when = one.clock() + SOON
        for number in range(5000):
            one.queue.at(A, when + timedelta(microseconds=number))
        await one.until(lambda: bool(one.done))
        one.queue.at(B, START)
        await one.until(lambda: B in one.done)
        assert one.done == [A, B]
        assert len(one.queue._heap) < 2000, "what was replaced is dropped"


async def test_a_fault_of_one_key_does_not_stop_the_others_and_is_tried_again() -> None:
    async with desk(workers=1) as one:

        async def work(which: Key) -> None:
            if which == A and one.done.count(A) == 1:
                raise RuntimeError("a text that may quote a secret")

        one.work = work
        one.queue.add(A)
        one.queue.add(B)
        await one.quiet()
        assert one.done == [A, B]
        assert one.queue.faults == 1
        retry = one.queue.appointment(A)
        assert retry is not None
        assert timedelta(0) < retry - one.clock() <= PAUSE_AFTER_FAULT
        one.skipped = PAUSE_AFTER_FAULT
        one.queue.at(C, START)  # wakes the timer, which sleeps by the loop's clock
        await one.until(lambda: one.done.count(A) == 2)
        assert one.queue.faults == 1


async def test_a_fault_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async with desk(workers=1) as one:

        async def work(_: Key) -> None:
            raise RuntimeError("outer s3cr3t") from ValueError("inner s3cr3t")

        one.work = work
        with caplog.at_level(logging.DEBUG):
            one.queue.add(A)
            await one.quiet()
        record: Any = caplog.records[0]
        assert (record.key, record.fault) == ("Connection/sales/a", "RuntimeError")
        assert "s3cr3t" not in caplog.text + json.dumps([str(vars(entry)) for entry in caplog.records])


async def test_a_worker_outlives_the_end_of_what_it_waited_for() -> None:
    """A shielded request, or another's fetch that was shared, can be cancelled without the worker being meant."""
    async with desk(workers=1) as one:

        async def work(which: Key) -> None:
            if which == A:
                waited_for = asyncio.get_running_loop().create_future()
                waited_for.cancel()
                await waited_for

        one.work = work
        one.queue.add(A)
        one.queue.add(B)
        await one.until(lambda: one.done == [A, B])
        assert one.queue.faults == 1
        assert one.queue.appointment(A) is not None


async def test_changed_keys_go_before_due_ones_and_due_ones_do_not_starve() -> None:
    async with desk(workers=1, start=False) as one:
        due = [key(f"due-{number}") for number in range(3)]
        changed = [key(f"changed-{number}") for number in range(20)]
        for which in due:
            one.queue.add(which, due=True)
        for which in changed:
            one.queue.add(which)
        one.queue.start()
        await one.quiet()
        assert one.done[0] in changed
        assert [which for which in one.done if which in changed] == changed
        assert [which for which in one.done if which in due] == due
        places = [one.done.index(which) + 1 for which in due]
        assert places == [KEPT_FOR_DUE, 2 * KEPT_FOR_DUE, 3 * KEPT_FOR_DUE]


async def test_draining_lets_the_work_in_flight_finish_and_begins_nothing_new() -> None:
    async with desk(workers=1) as one:
        gate = asyncio.Event()
        finished = []

        async def work(which: Key) -> None:
            await gate.wait()
            finished.append(which)

        one.work = work
        one.queue.add(A)
        one.queue.add(B)
        one.queue.at(C, START)
        await one.until(lambda: one.queue.in_flight == 1)
        draining = asyncio.create_task(one.queue.drain(5.0))
        await asyncio.sleep(0.01)
        assert not draining.done()
        gate.set()
        assert await draining == 0
        assert finished == [A]
        assert one.done == [A]


async def test_draining_ends_the_timer_also_when_an_appointment_wakes_it_at_that_moment() -> None:
    async with asyncio.timeout(5):
        one = Desk(workers=1)
        one.queue.start()
        one.queue.at(A, one.clock() + HOUR)
        await asyncio.sleep(0.01)
        one.queue.at(B, one.clock() + HOUR / 2)
        assert await one.queue.drain(1.0) == 0


async def test_draining_ends_at_its_deadline_and_tells_how_much_was_cut_short() -> None:
    async with desk(workers=3) as one:
        cut = []

        async def work(which: Key) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cut.append(which)
                raise

        one.work = work
        one.queue.add(A)
        one.queue.add(B)
        await one.until(lambda: one.queue.in_flight == 2)
        assert await one.queue.drain(0.05) == 2
        assert {*cut} == {A, B}
        assert one.queue.faults == 0


@pytest.mark.spec("K8")
async def test_keys_that_are_late_are_counted_until_their_work_begins() -> None:
    async with desk(workers=1) as one:
        gate = asyncio.Event()

        async def work(_: Key) -> None:
            await gate.wait()

        one.work = work
        one.queue.add(A)
        await one.until(lambda: one.queue.in_flight == 1)
        one.queue.at(B, one.clock())
        one.queue.at(C, one.clock() + 2 * HOUR)
        await one.until(lambda: len(one.queue) == 1)
        assert one.queue.overdue(one.clock()) == 0
        assert one.queue.overdue(one.clock() + HOUR) == 1, "due, and no worker is free"
        gate.set()
        await one.quiet()
        assert one.queue.overdue(one.clock() + HOUR) == 0


@pytest.mark.spec("K8")
async def test_a_timer_that_does_not_run_is_seen_as_lateness() -> None:
    async with desk(start=False) as one:
        one.queue.at(A, START)
        assert one.queue.overdue(START + timedelta(seconds=1)) == 0
        assert one.queue.overdue(START + timedelta(seconds=2)) == 1


async def test_a_paused_queue_begins_nothing_and_forgets_nothing() -> None:
    async with desk(workers=2) as one:
        one.queue.pause()
        one.queue.add(A)
        one.queue.at(B, one.clock())
        await asyncio.sleep(0.05)
        assert one.done == []
        one.queue.resume()
        await one.until(lambda: set(one.done) == {A, B})
        assert len(one.done) == 2


async def test_what_is_in_flight_at_a_pause_goes_on_and_its_end_can_be_waited_for() -> None:
    async with desk(workers=2) as one:
        gates = {A: asyncio.Event(), B: asyncio.Event()}

        async def work(which: Key) -> None:
            await gates[which].wait()

        one.work = work
        await one.queue.idle()
        one.queue.add(A)
        one.queue.add(B)
        await one.until(lambda: one.queue.in_flight == 2)
        one.queue.pause()
        waiting = asyncio.create_task(one.queue.idle())
        gates[A].set()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        gates[B].set()
        await waiting
        assert one.queue.in_flight == 0


async def test_a_cleared_queue_has_no_keys_and_no_appointments_and_takes_new_ones() -> None:
    async with desk(workers=2) as one:
        one.queue.pause()
        for which in (A, B):
            one.queue.add(which)
        one.queue.at(C, one.clock() + SOON)
        one.queue.clear()
        assert len(one.queue) == 0
        assert one.queue.appointment(C) is None
        one.queue.resume()
        await asyncio.sleep(2 * SOON.total_seconds())
        assert one.done == []
        one.queue.add(B)
        one.queue.at(A, one.clock() + SOON)
        await one.until(lambda: one.done == [B, A])


async def test_a_paused_queue_drains_without_beginning_what_waits() -> None:
    async with desk(workers=2) as one:
        one.queue.pause()
        one.queue.add(A)
        draining = asyncio.create_task(one.queue.drain(1.0))
        await asyncio.sleep(0)
        one.queue.pause()  # as when the watch ends, which is stopped at the same time
        assert await draining == 0
        assert one.done == []
