"""Issuers' keys in the operator: when they are fetched, what is written, and when credentials are told."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError, ProviderError, SteppedBackError
from lanyard.flows.inputs import sources_of
from lanyard.flows.issuer_fetch import KeySource
from lanyard.flows.issuers import LANES, Issuers
from lanyard.flows.keys import Key, What
from lanyard.flows.limits import HostLimits
from lanyard.flows.mirrors import StoredKeySets
from lanyard.flows.tally import Tally
from lanyard.flows.world import NOT_YET, World
from lanyard.oauth.issuers import PublishedKeys
from lanyard.reasons import Reason
from lanyard.stores.issuer_keys import StoredKeys

pytestmark = pytest.mark.spec("F5")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ISSUER = "https://issuer.example"
SOURCE = KeySource(ISSUER)
SET = Key(What.ISSUER, "", SOURCE.name)
CREDENTIAL = Key(What.CREDENTIAL, "sales", "ci")
REFRESH, LIFE = timedelta(minutes=10), timedelta(hours=24)
DOWN = ProviderError(Reason.ISSUER_UNREACHABLE, host="issuer.example", status="no answer")


@dataclass(slots=True)
class Issuer:
    """Says `keys`, or fails as told."""

    keys: str = "k1"
    max_age: timedelta | None = None
    failure: Exception | None = None
    asked: list[KeySource] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def fetch(self, source: KeySource) -> PublishedKeys:
        self.asked.append(source)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return PublishedKeys(self.keys.encode(), self.keys, self.max_age)


@dataclass(slots=True)
class Shelf:
    """The store: counts writes, and refuses the next one as told."""

    writes: list[str] = field(default_factory=list)
    refusal: int | None = None

    def _write(self, what: str) -> None:
        self.writes.append(what)
        if self.refusal is not None:
            code, self.refusal = self.refusal, None
            raise KubernetesError(KubernetesStatus(code))

    async def create(self, name: str, *, issuer: str, jwks: bytes, digest: str, fetched_at: datetime) -> StoredKeys:
        self._write(f"create {jwks.decode()}")
        return StoredKeys(name, "u", "1", issuer, digest, fetched_at, None, None)

    async def replace(self, before: StoredKeys, *, jwks: bytes, digest: str, fetched_at: datetime) -> StoredKeys:
        self._write(f"replace {jwks.decode()}")
        version = str(int(before.version) + 1)
        return replace(before, version=version, digest=digest, fetched_at=fetched_at, answered_at=before.refetch_at)

    async def delete(self, stored: StoredKeys) -> None:
        self._write(f"delete {stored.name}")


@dataclass(slots=True)
class Appointments:
    """The part of the queue that a flow uses."""

    times: dict[Key, datetime | None] = field(default_factory=dict)

    def at(self, key: Key, when: datetime | None) -> None:
        self.times[key] = when


class Place:
    """One operator at a time that the test sets."""

    def __init__(self) -> None:
        self.now = NOW
        self.woken: list[Key] = []
        self.world = World(wake=self.woken.append, sources_of=sources_of)
        self.mirror = StoredKeySets(self.world)
        self.issuer, self.shelf, self.queue, self.tally = Issuer(), Shelf(), Appointments(), Tally()
        self.limits = HostLimits(self.woken.append)
        self.restart()

    def restart(self) -> None:
        fetch: Any = self.issuer
        store: Any = self.shelf
        self.flow = Issuers(
            world=self.world, fetch=fetch, store=store, limits=self.limits, tally=self.tally,
            refresh=REFRESH, life=LIFE, clock=lambda: self.now,
        )  # fmt: skip

    def name(self, credential: Key = CREDENTIAL, **changes: Any) -> None:
        spec = {"connectionRef": {"name": "crm"}, "issuer": ISSUER} | changes
        metadata = {"namespace": credential.namespace, "name": credential.name, "uid": credential.name}
        self.world.observe(What.CREDENTIAL, {"metadata": metadata | {"generation": 1}, "spec": spec})

    async def work(self, after: timedelta = timedelta(0), key: Key = SET) -> datetime | None:
        self.now += after
        queue: Any = self.queue
        await self.flow.reconcile(key, queue)
        return self.queue.times.get(key)

    async def run(self, length: timedelta) -> None:
        """Keep every appointment that comes within it."""
        end = self.now + length
        while (when := self.queue.times.get(SET)) is not None and when <= end:
            await self.work(max(when - self.now, timedelta(0)))
        self.now = end

    @property
    def stored(self) -> StoredKeys:
        return self.world.issuer_sets[SET.name]

    def ask(self) -> None:
        """A gateway wants newer keys."""
        version = str(int(self.stored.version) + 1)
        self.mirror.change(replace(self.stored, refetch_at=self.now, version=version))


@pytest.fixture
def place() -> Place:
    found = Place()
    found.name()
    return found


async def test_a_credential_has_the_keys_of_its_issuer_fetched_and_stored(place: Place) -> None:
    assert SET in place.woken
    assert place.world.issuer_problem(SET.name) is NOT_YET
    place.woken.clear()
    await place.work()
    assert (place.issuer.asked, place.shelf.writes) == ([SOURCE], ["create k1"])
    assert place.world.issuer_problem(SET.name) is None
    assert place.woken == [CREDENTIAL]


async def test_many_credentials_of_one_issuer_are_one_set(place: Place) -> None:
    place.woken.clear()
    for number in range(20):
        place.name(Key(What.CREDENTIAL, "shop", f"ci-{number}"))
    assert SET not in place.woken
    await place.work()
    assert len(place.issuer.asked) == 1


OWN_SOURCES = {
    "an address of its own": {"jwksURI": f"{ISSUER}/keys"},
    "a CA of its own": {"caBundle": "pem"},
}


@pytest.mark.parametrize("own", OWN_SOURCES.values(), ids=OWN_SOURCES.keys())
async def test_another_source_for_the_same_issuer_is_another_set(place: Place, own: dict[str, str]) -> None:
    place.name(Key(What.CREDENTIAL, "shop", "ci"), **own)
    source = KeySource(ISSUER, own.get("jwksURI"), own.get("caBundle"))
    await place.work(key=Key(What.ISSUER, "", source.name))
    assert place.issuer.asked == [source]
    assert source.name != SET.name


async def test_keys_that_a_credential_carries_itself_are_not_fetched() -> None:
    place = Place()
    place.name(jwks='{"keys":[]}')
    assert [key for key in place.woken if key.what is What.ISSUER] == []


async def test_an_idle_issuer_is_asked_every_ten_minutes_and_written_once_an_hour(place: Place) -> None:
    await place.work()
    await place.run(timedelta(hours=24))
    assert 144 <= len(place.issuer.asked) <= 162
    assert len(place.shelf.writes) - 1 <= 24
    assert place.now - place.stored.fetched_at <= timedelta(hours=1) + REFRESH


AGES = {
    "nothing": (None, REFRESH),
    "more": (timedelta(hours=6), REFRESH),
    "less": (timedelta(minutes=4), timedelta(minutes=4)),
    "no time at all": (timedelta(0), timedelta(minutes=1)),
}


@pytest.mark.parametrize(("max_age", "pause"), AGES.values(), ids=AGES.keys())
async def test_an_issuer_may_have_its_keys_fetched_more_often(
    place: Place, max_age: timedelta | None, pause: timedelta
) -> None:
    place.issuer.max_age = max_age
    when = await place.work()
    assert when is not None
    assert 0.9 * pause <= when - NOW <= pause


async def test_new_keys_are_written_at_once(place: Place) -> None:
    await place.work()
    place.issuer.keys = "k2"
    await place.run(REFRESH)
    assert place.shelf.writes == ["create k1", "replace k2"]


async def test_a_question_of_a_gateway_is_answered_at_once_by_one_fetch(place: Place) -> None:
    await place.work()
    place.now += timedelta(minutes=1)
    place.woken.clear()
    place.ask()
    assert place.woken == [SET]
    await place.work()
    await place.work()
    assert len(place.issuer.asked) == 2
    assert place.shelf.writes == ["create k1", "replace k1"], "whoever waits is told, also that nothing is new"
    assert not place.stored.asked


async def test_a_gateway_that_asks_in_a_loop_does_not_have_the_issuer_flooded(place: Place) -> None:
    await place.work()
    for _ in range(100):
        place.now += timedelta(milliseconds=10)
        place.ask()
        await place.work()
    assert len(place.issuer.asked) == 2


async def test_a_question_is_still_open_when_the_issuer_is_back(place: Place) -> None:
    await place.work()
    place.issuer.failure = DOWN
    place.now += timedelta(minutes=1)
    place.ask()
    await place.work()
    await place.work()
    assert (len(place.issuer.asked), place.stored.asked) == (2, True)
    await place.run(timedelta(minutes=5))
    assert len(place.issuer.asked) <= 13, "a question that is open does not make the pauses shorter"
    place.issuer.failure = None
    await place.run(timedelta(minutes=2))
    assert not place.stored.asked


async def test_an_outage_leaves_good_keys_as_they_are(place: Place) -> None:
    await place.work()
    place.issuer.failure = DOWN
    await place.run(timedelta(hours=23))
    assert place.world.issuer_problem(SET.name) is None
    assert place.shelf.writes == ["create k1"]


async def test_keys_that_are_too_old_are_a_problem_and_the_next_fetch_ends_it(place: Place) -> None:
    await place.work()
    place.issuer.failure = DOWN
    await place.run(timedelta(hours=24, minutes=2))
    assert place.world.issuer_problem(SET.name) == DOWN
    place.issuer.failure = None
    place.woken.clear()
    await place.run(timedelta(minutes=2))
    assert place.world.issuer_problem(SET.name) is None
    assert place.woken == [CREDENTIAL]


FAILURES = {
    "an issuer that is down": DOWN,
    "the document of another issuer": ProviderError(Reason.ISSUER_MISMATCH, host="h"),
    "a private address": ProviderError(Reason.EGRESS_NOT_ALLOWED, host="h"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_a_first_fetch_that_fails_is_told_once_and_repeated_ever_more_slowly(
    place: Place, failure: LanyardError
) -> None:
    place.issuer.failure = failure
    place.woken.clear()
    await place.work()
    assert place.world.issuer_problem(SET.name) == failure
    await place.run(timedelta(hours=1))
    assert place.woken == [CREDENTIAL], "the same failure is no news"
    assert 50 <= len(place.issuer.asked) <= 70
    assert place.shelf.writes == []


async def test_pauses_grow_from_a_second_to_a_minute(place: Place) -> None:
    place.issuer.failure = DOWN
    pauses = []
    for _ in range(8):
        when = await place.work()
        assert when is not None
        pauses.append(when - place.now)
        place.now = when
    assert timedelta(seconds=1) <= pauses[0] <= timedelta(seconds=1.1)
    assert timedelta(minutes=1) <= pauses[-1] <= timedelta(minutes=1.1)
    assert pauses == sorted(pauses) or pauses[-1] >= timedelta(minutes=1)


async def test_a_set_that_nobody_needs_is_taken_away(place: Place) -> None:
    await place.work()
    place.woken.clear()
    place.world.forget(CREDENTIAL)
    assert SET in place.woken
    assert await place.work() is None
    assert place.shelf.writes == ["create k1", f"delete {SET.name}"]
    assert place.world.issuer_problem(SET.name) is NOT_YET


async def test_what_could_not_be_taken_away_is_tried_again(place: Place) -> None:
    await place.work()
    place.world.forget(CREDENTIAL)
    place.shelf.refusal = 500
    assert await place.work() is not None
    await place.run(timedelta(seconds=2))
    assert place.shelf.writes[1:] == [f"delete {SET.name}"] * 2


async def test_a_restart_with_fresh_keys_asks_nobody_and_writes_nothing(place: Place) -> None:
    await place.work()
    await place.run(timedelta(minutes=55))
    asked, writes = len(place.issuer.asked), len(place.shelf.writes)
    place.restart()
    when = await place.work()
    assert when is not None
    assert (len(place.issuer.asked), len(place.shelf.writes)) == (asked, writes)
    assert when <= place.now + REFRESH


async def test_a_restart_with_old_keys_fetches_them_at_once(place: Place) -> None:
    await place.work()
    place.now += timedelta(hours=3)
    place.restart()
    await place.work()
    assert len(place.issuer.asked) == 2


async def test_a_new_term_begins_with_what_is_stored_and_not_with_what_the_last_one_remembered(place: Place) -> None:
    await place.work()
    place.world.follow()
    place.now += timedelta(hours=3)
    another = replace(place.stored, version="2", fetched_at=place.now - timedelta(minutes=50))
    place.mirror.change(another)
    place.world.lead(unbroken=False)
    assert place.world.issuer_problem(SET.name) is None, "what is stored is known to whoever stands by"
    await place.work()
    assert len(place.issuer.asked) == 1, "the other one looked at it not long ago"


async def test_a_set_that_somebody_deleted_is_fetched_again(place: Place) -> None:
    await place.work()
    place.mirror.forget(place.stored)
    await place.work(timedelta(minutes=10))
    assert place.shelf.writes == ["create k1", "create k1"]


async def test_a_question_that_comes_during_a_fetch_is_answered_by_the_next(place: Place) -> None:
    await place.work()
    place.issuer.keys, place.shelf.refusal = "k2", 409
    when = await place.work(REFRESH)
    assert when == place.now + timedelta(seconds=1)
    await place.run(timedelta(seconds=1))
    assert place.stored.digest == "k2"


async def test_an_api_server_that_takes_no_write_is_told_as_such(place: Place) -> None:
    place.shelf.refusal = 503
    await place.work()
    problem = place.world.issuer_problem(SET.name)
    assert isinstance(problem, LanyardError)
    assert problem.reason is Reason.KUBERNETES_UNAVAILABLE


async def test_a_process_that_lost_the_lease_steps_back_and_keeps_no_place(place: Place) -> None:
    place.issuer.failure = SteppedBackError()
    with pytest.raises(SteppedBackError):
        await place.work()
    place.issuer.failure = None
    await place.work()
    assert place.shelf.writes == ["create k1"]


async def many(place: Place, count: int, work: Callable[[Key], Any]) -> list[asyncio.Task[Any]]:
    keys = []
    for number in range(count):
        issuer = f"https://slow-{number}.example"
        place.name(Key(What.CREDENTIAL, "shop", f"ci-{number}"), issuer=issuer)
        keys.append(Key(What.ISSUER, "", KeySource(issuer).name))
    tasks = [asyncio.create_task(work(key)) for key in keys]
    await asyncio.sleep(0)
    return tasks


async def test_slow_issuers_hold_only_so_many_workers(place: Place) -> None:
    place.issuer.gate = asyncio.Event()
    tasks = await many(place, 40, lambda key: place.work(key=key))
    _, places = LANES[True]
    assert len(place.issuer.asked) == places
    assert sum(task.done() for task in tasks) == 40 - places
    place.woken.clear()
    place.issuer.gate.set()
    await asyncio.gather(*tasks)
    assert len([key for key in place.woken if key.what is What.ISSUER]) == places, "parked ones are called"


async def test_issuers_that_fail_do_not_hold_up_those_that_answer(place: Place) -> None:
    place.issuer.failure = DOWN
    for task in await many(place, 10, lambda key: place.work(key=key)):
        await task
    place.now += timedelta(minutes=2)
    place.issuer.gate = asyncio.Event()
    before = len(place.issuer.asked)
    tasks = await many(place, 10, lambda key: place.work(key=key))
    assert len(place.issuer.asked) - before == LANES[False][1]
    place.issuer.failure = None
    answering = asyncio.create_task(place.work())
    await asyncio.sleep(0)
    assert place.issuer.asked[-1] == SOURCE
    place.issuer.gate.set()
    await asyncio.gather(answering, *tasks)


def test_the_mirror_believes_the_newer_version() -> None:
    place = Place()
    newer = StoredKeys(SET.name, "u", "12", ISSUER, "d2", NOW, None, None)
    place.mirror.replace([newer], "12")
    place.mirror.change(replace(newer, version="9", digest="d1"))
    assert place.stored == newer
    assert place.world.issuer_problem(SET.name) is None


def test_what_a_full_list_lacks_is_gone_unless_it_is_younger() -> None:
    place = Place()
    old = StoredKeys("old", "u", "5", ISSUER, "d", NOW, None, None)
    young = replace(old, name="young", uid="v", version="15")
    place.mirror.replace([old, young], "15")
    place.mirror.replace([], "10")
    assert place.world.issuer_sets == {"young": young}


def test_another_set_of_the_same_name_outlives_the_news_of_the_first_one_s_end() -> None:
    place = Place()
    first = StoredKeys(SET.name, "u", "5", ISSUER, "d", NOW, None, None)
    place.mirror.change(first)
    place.mirror.change(replace(first, uid="v", version="3"))
    place.mirror.forget(first)
    assert place.stored.uid == "v"


def test_a_term_begins_with_the_sets_that_are_needed_and_those_that_are_stored() -> None:
    place = Place()
    place.name()
    place.mirror.change(StoredKeys("left", "u", "1", ISSUER, "d", NOW, None, None))
    assert place.world.key_sets() == {SET, Key(What.ISSUER, "", "left")}


def test_annotations_are_all_that_the_mirror_keeps() -> None:
    metadata = {"name": "s", "uid": "u", "resourceVersion": "1", "managedFields": [{"much": "text"}]}
    assert "much" not in json.dumps(repr(Place().mirror.slim(metadata)))
