import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.duty import Confirmer, QueueDuty, all_kept
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.queue import WorkQueue
from lanyard.flows.world import Record, SecretVersion, World

CRM = Key(What.CONNECTION, "sales", "crm")
STORE = Key(What.STORE, "", "team-vault")
SECRET = Key(What.SECRET, "sales", "crm-token")
OBJECT = "/apis/lanyard.dev/v1alpha1/namespaces/sales/connections/crm"
PUBLISHED = "/api/v1/namespaces/sales/secrets/crm-token"
PAUSE = 0.02


class Desk:
    """A duty with its queue and world, and what was worked on."""

    def __init__(self) -> None:
        self.done: list[Key] = []
        self.relists = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.world = World(wake=self._wake, sources_of=sources_of)
        self.queue = WorkQueue(self._work, lambda: datetime.now(UTC), workers=2)
        self.duty = QueueDuty(self.queue, self.world, self._relist)
        self.queue.start()

    async def _work(self, key: Key) -> None:
        self.done.append(key)
        await self.gate.wait()

    def _wake(self, key: Key) -> None:
        self.duty.wake(key)

    def _relist(self) -> None:
        self.relists += 1

    def see(self, key: Key, **members: Any) -> None:
        self.world.observe(key.what, body(key, **members))


def body(key: Key, *, uid: str = "uid-1", **members: Any) -> dict[str, Any]:
    namespace = {"namespace": key.namespace} if key.namespace else {}
    return {"metadata": {"name": key.name, "uid": uid, "generation": 1, **namespace}, "spec": {}} | members


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    one = Desk()
    yield one
    one.gate.set()
    await one.queue.drain(1.0)


@pytest.mark.spec("K6")
async def test_nothing_is_worked_on_before_a_term_and_then_everything_connections_last(desk: Desk) -> None:
    desk.see(CRM)
    desk.see(STORE)
    await asyncio.sleep(PAUSE)
    assert desk.done == []
    desk.duty.begin(unbroken=True)
    await asyncio.sleep(PAUSE)
    assert desk.done == [STORE, CRM]


@pytest.mark.spec("K6")
async def test_in_a_pause_what_changes_is_kept_and_worked_on_afterwards(desk: Desk) -> None:
    desk.duty.begin(unbroken=True)
    desk.duty.pause()
    desk.see(CRM)
    await asyncio.sleep(PAUSE)
    assert desk.done == []
    desk.duty.resume()
    await asyncio.sleep(PAUSE)
    assert desk.done == [CRM]


@pytest.mark.spec("K6")
async def test_a_term_ends_when_its_work_has_and_leaves_nothing_behind_but_the_wish_for_a_list(desk: Desk) -> None:
    desk.gate.clear()
    desk.duty.begin(unbroken=True)
    desk.see(CRM)
    await asyncio.sleep(PAUSE)
    desk.duty.pause()
    desk.see(STORE)
    ending = asyncio.create_task(desk.duty.end())
    await asyncio.sleep(PAUSE)
    assert not ending.done()
    desk.gate.set()
    await ending
    assert (len(desk.queue), desk.relists, desk.world.following) == (0, 1, True)
    desk.duty.wake(CRM)
    assert len(desk.queue) == 0
    desk.done.clear()
    desk.duty.begin(unbroken=False)
    await asyncio.sleep(PAUSE)
    assert desk.done == [STORE, CRM]


@pytest.mark.spec("K6")
async def test_without_its_watch_a_leader_begins_nothing(desk: Desk) -> None:
    desk.duty.begin(unbroken=True)
    desk.duty.watch(alive=False)
    desk.see(CRM)
    desk.duty.resume()
    await asyncio.sleep(PAUSE)
    assert desk.done == [], "a renewal of the Lease is not the watch"
    desk.duty.watch(alive=True)
    await asyncio.sleep(PAUSE)
    assert desk.done == [CRM]


async def test_a_watch_alone_gives_nothing_to_do(desk: Desk) -> None:
    desk.see(CRM)
    desk.duty.watch(alive=False)
    desk.duty.watch(alive=True)
    await asyncio.sleep(PAUSE)
    assert desk.done == []


async def test_a_pass_that_may_not_go_on_is_made_again_after_the_next_renewal(desk: Desk) -> None:
    desk.duty.begin(unbroken=True)
    desk.duty.step_back(CRM)
    await asyncio.sleep(PAUSE)
    assert desk.done == []
    desk.duty.resume()
    await asyncio.sleep(PAUSE)
    assert desk.done == [CRM]


class Answers:
    """An API server with these objects; an int is a refusal."""

    def __init__(self, **found: dict[str, Any] | int) -> None:
        self._found = {OBJECT: found.get("connection", 404), PUBLISHED: found.get("secret", 404)}

    async def get(self, path: str, *, metadata_only: bool = False) -> dict[str, Any]:
        assert metadata_only is (path == PUBLISHED), "the values of a Secret are nobody's business here"
        found = self._found[path]
        if isinstance(found, int):
            raise KubernetesError(KubernetesStatus(found))
        return found


def secret(version: str, **labels: str) -> dict[str, Any]:
    owner = {"uid": "uid-1", "controller": True}
    name = {"name": SECRET.name, "namespace": SECRET.namespace, "uid": "uid-s", "resourceVersion": version}
    return {"metadata": name | {"labels": labels, "ownerReferences": [owner]}}


async def confirmed(answers: Answers, *, mirrored: str = "") -> World:
    """A world that had heard of the Connection, and of the Secret in that version, after the question."""
    world = World(wake=lambda _: None, sources_of=sources_of)
    world.follow()
    world.observe(What.CONNECTION, body(CRM, status={"publishedVersion": "4"}))
    if mirrored:
        world.published[SECRET] = SecretVersion.of(secret(mirrored)["metadata"])
    world.lead(unbroken=False)
    record = world.get(CRM)
    assert record is not None
    await Confirmer(answers, world).confirm(record, SECRET.name)
    return world


OURS = {"lanyard.dev/connection-uid": "uid-1"}


@pytest.mark.spec("K6")
@pytest.mark.parametrize("mirrored", ["4", ""], ids=["an older version", "no Secret"])
async def test_what_the_watch_has_not_told_yet_is_read(mirrored: str) -> None:
    """Else a token that the leader before published in its last second would be fetched once more."""
    now = body(CRM, status={"publishedVersion": "5"})
    world = await confirmed(Answers(connection=now, secret=secret("5", **OURS)), mirrored=mirrored)
    record: Record | None = world.get(CRM)
    assert record is not None
    assert (record.heard, record.parsed_status()) == (False, {"publishedVersion": "5"})
    assert world.published[SECRET].version == "5"


@pytest.mark.parametrize("found", [{}, {"secret": secret("5")}], ids=["gone", "without our label"])
async def test_a_secret_that_is_not_ours_any_more_is_none(found: dict[str, Any]) -> None:
    world = await confirmed(Answers(connection=body(CRM), **found), mirrored="4")
    assert SECRET not in world.published


@pytest.mark.parametrize("found", [404, body(CRM, uid="uid-2")], ids=["gone", "a namesake"])
async def test_a_connection_that_is_gone_is_forgotten(found: dict[str, Any] | int) -> None:
    assert (await confirmed(Answers(connection=found))).get(CRM) is None


@pytest.mark.parametrize("which", ["connection", "secret"])
async def test_no_answer_confirms_nothing(which: str) -> None:
    with pytest.raises(KubernetesError):
        await confirmed(Answers(**{"connection": body(CRM), which: 503}))


@pytest.mark.spec("C+1")
async def test_a_process_stays_until_every_grant_that_it_received_is_written() -> None:
    world = World(wake=lambda _: None, sources_of=lambda _key, _spec: ())
    first, second = ExitStack(), ExitStack()
    first.enter_context(world.spend("uid-1"))
    second.enter_context(world.spend("uid-2"))
    left = [first, second]

    async def sleep(_: float) -> None:
        left.pop().close()

    await all_kept(world, sleep=sleep)
    assert left == []
