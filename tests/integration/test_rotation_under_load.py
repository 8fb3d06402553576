"""Rings rotate while hundreds of grants are read, refreshed and sealed anew: nothing is ever unreadable or lost.

Two processes share the ring through their own mounts, one of them late, as kubelet is; a third rotates and retires.
"""

import asyncio
import itertools
import secrets
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows import keyrings
from lanyard.flows.keyrings import NewKey
from lanyard.flows.reseal import keep_encrypted
from lanyard.reasons import Reason
from lanyard.rules.grants import Grant, Intent, Stored
from lanyard.sensitive import Sensitive
from lanyard.stores.grants import GrantStore
from lanyard.stores.keyring import Keyring
from lanyard.stores.keyring_file import KeyringFile
from lanyard.stores.ring_format import ring_text
from lanyard.stores.rings import Ring, RingStore
from support.cluster import Cluster
from support.stored import grant

GRANTS = 300
WORKERS = 6
ROTATIONS = 3
OWNER = "sales/crm"
ACTIVATION = timedelta(seconds=5)
MOUNT_DELAY = 1.0  # and as much again when a change comes just after a look: well below the activation


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Mount:
    """A ring as one pod sees it: the Secret, a while later."""

    rings: RingStore
    path: Path
    delay: float
    file: KeyringFile = field(init=False)

    def __post_init__(self) -> None:
        self.file = KeyringFile(self.path, "grant")

    async def look(self) -> None:
        """What is seen at one moment is in the file `delay` seconds later, and in one step."""
        found = await self.rings.read(Ring.GRANT)
        assert found is not None
        await asyncio.sleep(self.delay)
        new = self.path.with_suffix(".new")
        new.write_text(ring_text(found.keys))
        new.replace(self.path)

    async def follow(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(0.1)


@dataclass
class Load:
    """What the workers did. `kept` is the newest refresh token of each grant that a write was answered for."""

    uids: list[str]
    kept: dict[str, str] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)
    over: bool = False

    async def work(self, store: GrantStore, mine: list[str]) -> None:
        """Each grant belongs to one worker, as a Connection does to the leader; the sweep alone comes in between."""
        for uid in itertools.cycle(mine):
            if self.over:
                return
            stored = await store.read(uid, OWNER)
            assert stored is not None
            assert stored.grant.refresh_token is not None
            assert stored.grant.refresh_token.reveal() == self.kept[uid], "a refresh was lost"
            self.did["read"] += 1
            try:
                spent = await store.write(uid, OWNER, replace(stored, intent=intent(stored)), now=now())
            except KubernetesError as error:
                self.did[f"refused with {error.code}"] += 1
                continue
            # From here on a token would be spent: what it brought must be stored, and the sweep must stand aside.
            await asyncio.sleep(secrets.randbelow(20) / 1000)
            fresh = rotated(spent.grant)
            assert fresh.refresh_token is not None
            await store.write(uid, OWNER, replace(spent, grant=fresh, intent=None), now=now())
            self.kept[uid] = fresh.refresh_token.reveal()
            self.did["refreshed"] += 1


def intent(stored: Stored) -> Intent:
    return Intent(secrets.token_hex(8), stored.grant.generation, "operator-0", now(), now() + timedelta(seconds=30))


def rotated(one: Grant) -> Grant:
    return replace(one, generation=one.generation + 1, refresh_token=Sensitive(secrets.token_hex(20)), rotated=True)


@pytest.fixture
async def kubes(operator_kubeconfig: Path) -> AsyncIterator[list[Kube]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Kube(from_file(operator_kubeconfig))) for _ in range(3)]


@pytest.mark.spec("C8", "C+1")
@pytest.mark.timeout(240)
async def test_no_grant_is_ever_unreadable_or_lost_while_keys_come_and_go(
    kubes: list[Kube], cluster: Cluster, tmp_path: Path
) -> None:
    here = cluster.namespace
    rings = RingStore(kubes[0], system=here, exchange=here)
    await keyrings.init(rings, {Ring.GRANT: new_key()}, now=now())
    prompt, late = Mount(rings, tmp_path / "a", 0), Mount(rings, tmp_path / "b", MOUNT_DELAY)
    await asyncio.gather(prompt.look(), late.look())
    leader, other = (
        GrantStore(kube, here, mount.file.current, "install-1")
        for kube, mount in zip(kubes[1:], (prompt, late), strict=True)
    )
    load = Load([str(uuid.uuid4()) for _ in range(GRANTS)])
    for uid in load.uids:
        stored = await leader.create(uid, OWNER, grant(), now=now())
        assert stored.grant.refresh_token is not None
        load.kept[uid] = stored.grant.refresh_token.reveal()
    sweep = keep_encrypted(leader, prompt.file.current, clock=now, pause=0.001, interval=0.1)
    working = [load.work(other if number % 2 else leader, load.uids[number::WORKERS]) for number in range(WORKERS)]
    retired: list[str] = []
    async with asyncio.TaskGroup() as group:
        background = [group.create_task(one) for one in (prompt.follow(), late.follow(), sweep)]
        workers = [group.create_task(one) for one in working]
        for _ in range(ROTATIONS):
            since = await keyrings.rotate(rings, Ring.GRANT, new_key(), now=now(), activation=ACTIVATION)
            await asyncio.sleep((since - now()).total_seconds())
            retired += await until_retired(rings)
        load.over = True
        await asyncio.gather(*workers)
        for task in background:
            task.cancel()
    assert len(retired) == ROTATIONS
    assert load.did["refreshed"] > GRANTS, load.did
    assert load.did.keys() <= {"read", "refreshed", "refused with 409"}, load.did
    found = await rings.read(Ring.GRANT)
    assert found is not None
    assert [one.id for one in found.keys] == list(await rings.references(Ring.GRANT))
    for uid in load.uids:
        stored = await other.read(uid, OWNER)
        assert stored is not None
        assert stored.grant.refresh_token is not None
        assert stored.grant.refresh_token.reveal() == load.kept[uid]


async def until_retired(rings: RingStore) -> tuple[str, ...]:
    async with asyncio.timeout(60):
        while True:
            retired = await keyrings.retire(rings, Ring.GRANT, now=now(), after=timedelta(seconds=MOUNT_DELAY))
            if retired.removed:
                return retired.removed
            await asyncio.sleep(0.2)


def new_key() -> NewKey:
    return NewKey(f"k-{secrets.token_hex(3)}", secrets.token_bytes(32))


@pytest.mark.spec("C8")
async def test_two_installs_in_one_cluster_leave_each_others_grants_alone(
    kubes: list[Kube], cluster: Cluster, kubernetes: Any
) -> None:
    """Side by side in namespaces of their own; and even in one, by a mistake."""
    mine, theirs = cluster.namespace, f"{cluster.namespace}-b"
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": theirs}})
    uid, one = str(uuid.uuid4()), grant()
    stores = []
    for number, (namespace, kube) in enumerate(((mine, kubes[0]), (theirs, kubes[1]))):
        rings = RingStore(kube, system=namespace, exchange=namespace)
        await keyrings.init(rings, {Ring.GRANT: new_key()}, now=now())
        stores.append((rings, kube, namespace, f"install-{number}"))

    async def store(number: int, namespace: str | None = None) -> GrantStore:
        rings, kube, own, install = stores[number]
        found = await rings.read(Ring.GRANT)
        assert found is not None
        return GrantStore(kube, namespace or own, lambda: Keyring(found.keys), install)

    first, second = await store(0), await store(1)
    await first.create(uid, OWNER, one, now=now())
    assert await second.read(uid, OWNER) is None
    await second.delete(uid)
    astray = await store(1, mine)
    with pytest.raises(LanyardError) as caught:
        await astray.read(uid, OWNER)
    assert caught.value.reason is Reason.STATE_NOT_ADOPTED
    await astray.delete(uid)
    assert [held.install async for held in astray.held()] == ["install-0"]
    [(held, _)] = [entry async for entry in astray.sealed()]
    assert not await astray.reseal(held, now=now())
    stored = await first.read(uid, OWNER)
    assert stored is not None
    assert stored.grant == one
    cluster.client.delete(f"/api/v1/namespaces/{theirs}")


@pytest.mark.spec("C8")
async def test_a_lost_ring_is_a_named_condition_and_comes_back_with_its_backup(
    kubes: list[Kube], cluster: Cluster, tmp_path: Path
) -> None:
    here = cluster.namespace
    rings = RingStore(kubes[0], system=here, exchange=here)
    await keyrings.init(rings, {Ring.GRANT: new_key()}, now=now())
    mount = Mount(rings, tmp_path / "ring", 0)
    await mount.look()
    backup = (tmp_path / "ring").read_text()
    uid = str(uuid.uuid4())
    await GrantStore(kubes[0], here, mount.file.current, "i").create(uid, OWNER, grant(), now=now())
    cluster.delete("Secret", Ring.GRANT.secret)
    (tmp_path / "ring").unlink()
    restarted = KeyringFile(tmp_path / "ring", "grant")
    store = GrantStore(kubes[1], here, restarted.current, "i")
    for _ in range(2):
        with pytest.raises(LanyardError) as caught:
            await store.read(uid, OWNER)
        assert caught.value.reason is Reason.KEYRING_LOST
        assert caught.value.stalled
        with pytest.raises(LanyardError):
            await store.create(str(uuid.uuid4()), OWNER, grant(), now=now())
    assert not cluster.exists("Secret", Ring.GRANT.secret)
    (tmp_path / "ring").write_text(backup)
    found = await store.read(uid, OWNER)
    assert found is not None
    [(_, key_id)] = [entry async for entry in store.sealed()]
    assert key_id == restarted.current().keys[0].id
