"""Several processes and one Lease, in virtual time: never two that lead, and soon one."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.lease import NAME, Leadership
from lanyard.rules.lease import Pace
from support.virtual_time import run_virtually

PACE = Pace(duration=10, renew=3, retry=1)
FOLDER = "/apis/coordination.k8s.io/v1/namespaces/lanyard-exchange/leases"
DEADLINE = 3.0
SOON = 0.05
STEP = 0.1
DRIFT = 0.5  # a timer of the loop may be so late by a process's own clock, which runs at its own rate
Spec = dict[str, Any]


class ModelApi:
    """The API server's part: one Lease, compare-and-swap; `answers` False is an outage, `delay` what a call takes."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.versions = itertools.count(1)
        self.uids = itertools.count(1)
        self.answers = True
        self.delay = 0.01
        self.writes = 0

    def put(self, spec: Spec, *, anew: bool = False) -> dict[str, Any]:
        uid = self.lease["metadata"]["uid"] if self.lease and not anew else f"uid-{next(self.uids)}"
        version = str(next(self.versions))
        self.lease = {"metadata": {"name": NAME, "uid": uid, "resourceVersion": version}, "spec": dict(spec)}
        return self.lease

    @property
    def spec(self) -> Spec:
        assert self.lease is not None
        spec: Spec = self.lease["spec"]
        return spec


class Line:
    """One process's connection to it. `up` False is a partition of this process alone.

    `lost` calls reach the server and their answers do not come back; `late` calls are answered long after the deadline,
    as to a process that was frozen.
    """

    def __init__(self, api: ModelApi) -> None:
        self._api = api
        self.up = True
        self.lost = 0
        self.late = 0.0

    async def get(self, path: str) -> dict[str, Any]:
        assert path == f"{FOLDER}/{NAME}"
        await self._travel()
        if self._api.lease is None:
            raise refused(404)
        return await self._back(self._api.lease)

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert (path, body["metadata"]["name"]) == (FOLDER, NAME)
        await self._travel()
        if self._api.lease is not None:
            raise refused(409)
        self._api.writes += 1
        return await self._back(self._api.put(body["spec"], anew=True))

    async def merge(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == f"{FOLDER}/{NAME}"
        await self._travel()
        if self._api.lease is None:
            raise refused(404)
        if body["metadata"]["resourceVersion"] != self._api.lease["metadata"]["resourceVersion"]:
            raise refused(409)
        self._api.writes += 1
        return await self._back(self._api.put(self._api.spec | body["spec"]))

    async def _travel(self) -> None:
        await asyncio.sleep(min(self._api.delay, DEADLINE))
        if not self._api.answers or not self.up or self._api.delay >= DEADLINE:
            raise refused(0)

    async def _back(self, lease: dict[str, Any]) -> dict[str, Any]:
        if self.lost:
            self.lost -= 1
            raise refused(0)
        late, self.late = self.late, 0.0
        await asyncio.sleep(late)
        return lease


def refused(code: int) -> KubernetesError:
    return KubernetesError(KubernetesStatus(code))


@dataclass
class RecordedDuty:
    """What a process was told to do; `working` as the queue would be."""

    events: list[str] = field(default_factory=list)
    working: bool = False
    ends_after: float = 0.2
    relist: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None

    def begin(self, *, unbroken: bool) -> None:
        self.events.append("begin unbroken" if unbroken else "begin")
        self.working = True
        self.check()

    def pause(self) -> None:
        self.events.append("pause")
        self.working = False

    def resume(self) -> None:
        if not self.working:
            self.events.append("resume")
        self.working = True
        self.check()

    async def end(self) -> None:
        self.events.append("end")
        self.working = False
        await asyncio.sleep(self.ends_after)
        self.relist()


class Process:
    """One operator. Its steady clock runs at its own rate, its wall clock shows what it likes."""

    names = itertools.count(1)

    def __init__(
        self, api: ModelApi, *, rate: float = 1.0, wall: timedelta = timedelta(0), lists_in: float = 0.5
    ) -> None:
        self.name = f"operator-{next(self.names)}"
        self.line = Line(api)
        self.duty = RecordedDuty(relist=self._relist)
        self.wall = wall
        # No two clocks show the same microsecond.
        self._own = timedelta(microseconds=int(self.name.rpartition("-")[2]) % 997)
        self._rate = rate
        self._lists_in = lists_in
        self._loop = asyncio.get_running_loop()
        self.leadership = Leadership(
            self.line,
            "lanyard-exchange",
            self.name,
            PACE,
            clock=lambda: 1000 + self._loop.time() * rate,
            now=lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self._loop.time()) + self.wall + self._own,
        )
        self._task = asyncio.create_task(self._run())
        self.alive = True

    async def _run(self) -> None:
        await self.leadership.look()
        self._relist()
        await self.leadership.run(self.duty)

    def _relist(self) -> None:
        self._loop.call_later(self._lists_in, self.leadership.known.set)

    @property
    def leads(self) -> bool:
        return self.alive and self.leadership.holds()

    async def stop(self) -> None:
        await self._end()
        if self.line.up:
            await self.leadership.release()

    async def kill(self) -> None:
        """It sends nothing any more, so it leads no more."""
        await self._end()

    async def _end(self) -> None:
        self.alive = False
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


class Scene:
    def __init__(self) -> None:
        self.api = ModelApi()
        self.processes: list[Process] = []

    def start(self, **how: Any) -> Process:
        process = Process(self.api, **how)
        process.duty.check = self.check
        self.processes.append(process)
        return process

    def check(self) -> None:
        leading = [one.name for one in self.processes if one.leads]
        assert len(leading) <= 1, f"{leading} lead at {asyncio.get_running_loop().time()}"

    async def passes(self, seconds: float) -> None:
        """Look all the while that no two lead, and that who works leads."""
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(min(STEP, seconds))
            self.check()
            lapsed = [one for one in self.processes if one.alive and one.duty.working and not one.leads]
            if lapsed:
                await asyncio.sleep(DRIFT)
                assert not any(one.duty.working and not one.leads for one in lapsed), "it works on without the Lease"

    async def until(self, condition: Callable[[], bool], seconds: float = 40.0) -> float:
        began = asyncio.get_running_loop().time()
        while not condition():
            assert asyncio.get_running_loop().time() - began < seconds, "it never came true"
            await self.passes(0.02)
        return asyncio.get_running_loop().time() - began

    async def close(self) -> None:
        for process in self.processes:
            if process.alive:
                await process.kill()


def play(story: Callable[[Scene], Any]) -> None:
    async def main() -> None:
        scene = Scene()
        try:
            await story(scene)
        finally:
            await scene.close()

    run_virtually(main())


async def led(scene: Scene) -> tuple[Process, Process]:
    """Two processes of which the first leads."""
    scene.api.put({"holderIdentity": "", "leaseDurationSeconds": 1})
    first = scene.start()
    await scene.until(lambda: first.leads)
    second = scene.start()
    await scene.passes(2)
    return first, second


@pytest.mark.spec("K6")
def test_a_lease_that_was_given_back_is_taken_at_once_and_what_was_listed_is_true() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        assert first.duty.events == ["begin unbroken"]
        assert second.duty.events == []
        assert scene.api.spec["holderIdentity"] == first.name

    play(story)


@pytest.mark.spec("K6")
def test_after_a_kill_the_standby_leads_within_the_duration_and_two_looks() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        await first.kill()
        took = await scene.until(lambda: second.leads)
        assert took <= PACE.duration + 2 * PACE.retry
        assert second.duty.events == ["begin"], "what it listed was another's work: it is looked at again"

    play(story)


@pytest.mark.spec("K6")
def test_after_a_clean_stop_the_standby_leads_after_one_look() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        await first.stop()
        assert await scene.until(lambda: second.leads) <= PACE.retry + SOON
        assert second.duty.events == ["begin"]

    play(story)


@pytest.mark.spec("K6")
def test_an_outage_stops_the_leader_and_the_same_one_goes_on_where_it_was() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        scene.api.answers = False
        took = await scene.until(lambda: not first.leads)
        assert took <= PACE.trusted
        await scene.passes(60)
        assert not second.leads
        scene.api.answers = True
        assert await scene.until(lambda: first.leads) <= PACE.retry + SOON
        await scene.passes(2 * PACE.duration)
        assert first.duty.events == ["begin unbroken", "pause", "resume"]
        assert second.duty.events == []

    play(story)


@pytest.mark.spec("K6")
def test_a_leader_that_is_cut_off_alone_has_stopped_before_the_other_begins() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        first.line.up = False
        await scene.until(lambda: second.leads)
        first.line.up = True
        await scene.until(lambda: first.duty.events[-1] == "end")
        assert first.duty.events == ["begin unbroken", "pause", "pause", "end"]
        await second.stop()
        await scene.until(lambda: first.leads)

    play(story)


@pytest.mark.spec("K6")
def test_a_renewal_that_was_asked_for_before_a_freeze_does_not_count_after_it() -> None:
    """The answer is 30 s old when the process wakes, and somebody else has led since."""

    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        first.line.late = 30.0
        await scene.until(lambda: second.leads)
        await scene.passes(30)
        assert not first.leads
        assert second.leads

    play(story)


def by_hand_deleted(scene: Scene) -> None:
    scene.api.lease = None


def by_hand_given_to(name: str) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        scene.api.put(scene.api.spec | {"holderIdentity": name})

    return edit


@pytest.mark.spec("K6")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(by_hand_deleted, id="deleted"),
        pytest.param(lambda scene: scene.api.put({}, anew=True), id="deleted and made anew"),
    ],
)
def test_a_lease_deleted_by_hand_is_renewed_by_its_holder_in_the_same_term(edit: Callable[[Scene], None]) -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        acquired = scene.api.spec["acquireTime"]
        edit(scene)
        await scene.passes(2 * PACE.duration)
        assert scene.api.spec["acquireTime"] == acquired
        assert (first.duty.events, second.duty.events) == (["begin unbroken"], [])

    play(story)


@pytest.mark.spec("K6")
def test_a_lease_deleted_together_with_its_holder_is_taken_after_the_duration() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        await first.kill()
        by_hand_deleted(scene)
        assert PACE.trusted < await scene.until(lambda: second.leads) <= PACE.duration + 2 * PACE.retry

    play(story)


@pytest.mark.spec("K6")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(by_hand_given_to("somebody-else"), id="to a stranger"),
        pytest.param(lambda scene: by_hand_given_to(scene.processes[1].name)(scene), id="to the standby"),
        pytest.param(by_hand_given_to(""), id="to nobody"),
    ],
)
def test_a_lease_edited_by_hand_ends_the_term_and_somebody_leads_after_the_duration(
    edit: Callable[[Scene], None],
) -> None:
    async def story(scene: Scene) -> None:
        first, _ = await led(scene)
        edit(scene)
        assert await scene.until(lambda: not first.leads) <= PACE.renew + SOON
        await scene.until(lambda: "end" in first.duty.events)
        await scene.until(lambda: any(one.leads for one in scene.processes))

    play(story)


@pytest.mark.spec("K6")
def test_a_renewal_whose_answer_was_lost_is_found_out_and_the_term_goes_on() -> None:
    async def story(scene: Scene) -> None:
        first, _ = await led(scene)
        first.line.lost = 1
        await scene.passes(2 * PACE.duration)
        assert first.duty.events == ["begin unbroken"]

    play(story)


@pytest.mark.spec("K6")
def test_a_lease_that_was_taken_without_an_answer_is_recognised() -> None:
    async def story(scene: Scene) -> None:
        scene.api.put({"holderIdentity": "", "leaseDurationSeconds": 1})
        first = scene.start()
        await asyncio.sleep(0.6)  # it has looked twice, and lists
        first.line.lost = 1
        await scene.until(lambda: scene.api.spec.get("holderIdentity") == first.name, 5)
        assert await scene.until(lambda: first.leads) <= 2 * PACE.retry

    play(story)


@pytest.mark.spec("K6")
def test_of_several_first_processes_one_makes_the_lease_and_one_leads_after_the_duration() -> None:
    async def story(scene: Scene) -> None:
        for _ in range(3):
            scene.start()
        await scene.passes(PACE.trusted)
        assert scene.api.writes == 1
        await scene.until(lambda: any(one.leads for one in scene.processes), PACE.duration)

    play(story)


def test_nobody_takes_it_before_everything_is_known() -> None:
    async def story(scene: Scene) -> None:
        scene.api.put({"holderIdentity": "", "leaseDurationSeconds": 1})
        slow, quick = scene.start(lists_in=30.0), scene.start(lists_in=1.0)
        await scene.until(lambda: quick.leads, 2)
        await quick.stop()
        assert await scene.until(lambda: slow.leads) > 20

    play(story)


@pytest.mark.spec("K6")
def test_wall_clocks_that_jump_change_nothing() -> None:
    async def story(scene: Scene) -> None:
        first, second = await led(scene)
        for jump in (timedelta(days=400), timedelta(days=-400), timedelta(0)):
            first.wall, second.wall = jump, -jump
            await scene.passes(2 * PACE.duration)
        assert (first.duty.events, second.duty.events) == (["begin unbroken"], [])

    play(story)


def test_standing_by_writes_nothing() -> None:
    async def story(scene: Scene) -> None:
        first, _ = await led(scene)
        await first.kill()
        before = scene.api.writes
        await scene.passes(PACE.duration - 3)
        assert scene.api.writes == before

    play(story)


FAULTS = (
    "outage", "partition", "kill", "stop", "start", "delete", "stranger", "other", "erase", "anew", "slow", "lose",
    "late", "wall", "annotate",
)  # fmt: skip
faults = st.lists(
    st.tuples(st.floats(0.0, 14.0), st.sampled_from(FAULTS), st.integers(0, 5), st.floats(0.0, 30.0)), max_size=12
)
rates = st.floats(0.95, 1.05)


@pytest.mark.spec("K6")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(faults, st.lists(rates, min_size=3, max_size=3))
def test_whatever_happens_no_two_lead_and_soon_one_does(
    what_happens: list[tuple[float, str, int, float]], speeds: list[float]
) -> None:
    async def story(scene: Scene) -> None:
        for speed in speeds:
            scene.start(rate=speed)
        for pause, fault, number, amount in what_happens:
            await scene.passes(pause)
            await strike(scene, fault, scene.processes[number % len(scene.processes)], amount)
        if not any(one.alive for one in scene.processes):
            scene.start()
        for one in scene.processes:
            one.line.up = True
        scene.api.answers, scene.api.delay = True, 0.01
        await scene.until(lambda: any(one.leads for one in scene.processes), 90)
        await scene.passes(2 * PACE.duration)

    play(story)


async def strike(scene: Scene, fault: str, one: Process, amount: float) -> None:
    api, loop = scene.api, asyncio.get_running_loop()
    match fault:
        case "outage":
            api.answers = False
            loop.call_later(amount, setattr, api, "answers", True)
        case "partition":
            one.line.up = False
            loop.call_later(amount, setattr, one.line, "up", True)
        case "slow":
            api.delay = amount / 10
            loop.call_later(amount, setattr, api, "delay", 0.01)
        case "kill" if one.alive:
            await one.kill()
        case "stop" if one.alive:
            await one.stop()
        case "start" if len(scene.processes) < 6:
            scene.start()
        case "lose":
            one.line.lost = 1 + int(amount) % 3
        case "late":
            one.line.late = amount
        case "wall":
            one.wall = timedelta(days=amount - 15)
        case "delete":
            api.lease = None
        case "anew":
            api.put({}, anew=True)
        case "stranger" | "other" | "erase" | "annotate" if api.lease is not None:
            holder = {"stranger": "x", "other": one.name, "erase": "", "annotate": api.spec.get("holderIdentity")}[
                fault
            ]
            api.put(api.spec | {"holderIdentity": holder})
        case _:
            pass
