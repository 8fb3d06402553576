"""After a rotation stored grants are sealed anew on a real API server: once, in peace, their content untouched."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lanyard.flows.reseal import keep_encrypted, reencrypt
from lanyard.rules.grants import Intent
from lanyard.sensitive import Sensitive
from lanyard.stores.grants import secret_name
from lanyard.stores.keyring import Keyring
from support.cluster import Cluster
from support.stored import Shelf, grant, ring_key, shelf

OWNER = "sales/crm"
OLD, NEW = ring_key("old", age=timedelta(days=2)), ring_key("new", age=timedelta(days=1))


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def place(operator_kubeconfig: Path, cluster: Cluster) -> Any:
    return lambda *keys, **more: shelf(operator_kubeconfig, cluster.namespace, *keys, **more)


async def filled(here: Shelf, count: int = 1) -> list[str]:
    uids = [str(uuid.uuid4()) for _ in range(count)]
    for uid in uids:
        await here.store.create(uid, OWNER, grant(), now=now())
    return uids


async def keys_of(here: Shelf) -> dict[str, str]:
    return {held.uid: key_id async for held, key_id in here.store.sealed()}


async def sweep(here: Shelf, **more: Any) -> tuple[int, int, int]:
    swept = await reencrypt(here.store, lambda: here.ring, clock=now, pause=0, **more)
    return swept.resealed, swept.left, swept.unopened


async def test_every_grant_is_sealed_with_the_newest_key_and_holds_what_it_held(place: Any) -> None:
    async with place(OLD) as here:
        [uid] = await filled(here)
        stored = await here.store.read(uid, OWNER)
        stored = await here.store.write(uid, OWNER, replace(stored, unread=Sensitive('{"later": 1}')), now=now())
        here.ring = Keyring((OLD, NEW))
        assert await sweep(here) == (1, 0, 0)
        assert await keys_of(here) == {uid: "new"}
        here.ring = Keyring((NEW,))
        again = await here.store.read(uid, OWNER)
        assert again == replace(stored, version=again.version)
        assert await sweep(here) == (0, 0, 0)


async def test_a_grant_whose_answer_may_still_come_is_left_until_it_cannot(place: Any) -> None:
    """What a refresh brought is written on the version that was read before it: nobody may come in between."""
    async with place(OLD) as here:
        [uid] = await filled(here)
        stored = await here.store.read(uid, OWNER)
        soon = Intent("i", 1, "operator-0", now(), now() + timedelta(seconds=30))
        waiting = await here.store.write(uid, OWNER, replace(stored, intent=soon), now=now())
        here.ring = Keyring((OLD, NEW))
        assert await sweep(here) == (0, 1, 0)
        over = replace(waiting, intent=replace(soon, not_after=now()))
        await here.store.write(uid, OWNER, replace(over, grant=waiting.grant), now=now() - timedelta(days=1, hours=1))
        assert await keys_of(here) == {uid: "old"}
        assert await sweep(here) == (1, 0, 0)
        assert (await here.store.read(uid, OWNER)).intent is not None


async def test_what_is_being_worked_on_is_left_for_the_next_time(place: Any) -> None:
    async with place(OLD) as here:
        uids = await filled(here, 2)
        here.ring = Keyring((OLD, NEW))
        assert await sweep(here, busy=lambda uid: uid == uids[0]) == (1, 1, 0)
        assert await keys_of(here) == {uids[0]: "old", uids[1]: "new"}


async def test_a_grant_that_was_written_since_it_was_listed_wins(place: Any) -> None:
    async with place(OLD) as here:
        uid, gone = await filled(here, 2)
        entries = {held.uid: held async for held, _ in here.store.sealed()}
        stored = await here.store.read(uid, OWNER)
        here.ring = Keyring((OLD, NEW))
        fresh = await here.store.write(uid, OWNER, replace(stored, grant=grant(generation=2)), now=now())
        await here.store.delete(gone)
        assert not await here.store.reseal(entries[uid], now=now())
        assert not await here.store.reseal(entries[gone], now=now())
        assert await here.store.read(uid, OWNER) == fresh


async def test_what_does_not_open_is_counted_and_stays_as_it_is(
    place: Any, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with place(OLD) as here:
        lost, tampered, fine = await filled(here, 3)
        await here.of("install-1", Keyring((ring_key("lost"),))).store.create(lost, OWNER, grant(), now=now())
        cluster.merge("Secret", secret_name(tampered), {"metadata": {"annotations": {"lanyard.dev/connection": "a/b"}}})
        before = [cluster.get("Secret", secret_name(uid)) for uid in (lost, tampered)]
        here.ring = Keyring((OLD, NEW))
        assert await sweep(here) == (1, 0, 2)
        assert (await keys_of(here))[fine] == "new"
        assert [cluster.get("Secret", secret_name(uid)) for uid in (lost, tampered)] == before
    assert {line.__dict__["reason"] for line in caplog.records if hasattr(line, "reason")} == {
        "KeyringLost",
        "StateInvalid",
    }


async def test_it_does_nothing_until_another_key_seals_and_then_does_it_once(
    place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with place(OLD) as here:
        uids = await filled(here, 5)
        keeping = asyncio.create_task(keep_encrypted(here.store, lambda: here.ring, clock=now, pause=0, interval=0.05))
        try:
            here.ring = Keyring((OLD, ring_key("to-come", age=-timedelta(days=1))))
            await eventually(lambda: passes(caplog) == [(0, 0)])
            here.ring = Keyring((OLD, NEW))
            await eventually(lambda: passes(caplog)[1:] == [(5, 0)])
            assert await keys_of(here) == dict.fromkeys(uids, "new")
            await asyncio.sleep(0.3)
            assert len(passes(caplog)) == 2
        finally:
            keeping.cancel()


def passes(caplog: pytest.LogCaptureFixture) -> list[tuple[int, int]]:
    told = [line.__dict__ for line in caplog.records if line.getMessage() == "grants sealed anew"]
    return [(line["resealed"], line["left"]) for line in told]


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)
