"""Grants whose Connection is gone, in a real API server, seen by one full list after the other."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import What
from lanyard.flows.orphans import Orphans
from lanyard.flows.world import World
from lanyard.stores.grants import ADOPT, MISSING_SINCE, secret_name
from support.cluster import Cluster
from support.stored import Shelf, grant, ring_key, shelf

WEEK = timedelta(days=7)
pytestmark = pytest.mark.spec("C8")


class Place:
    """A store with its world, and a clock that tests turn."""

    def __init__(self, at: Shelf, cluster: Cluster, namespaces: tuple[str, ...] = ()) -> None:
        self.at = at
        self.cluster = cluster
        self.now = datetime.now(UTC)
        self.world = World(wake=lambda _: None, sources_of=sources_of)
        self.orphans = Orphans(
            world=self.world, grants=at.store, namespaces=namespaces, after=WEEK, clock=lambda: self.now
        )

    async def keep(self, owner: str = "sales/crm") -> str:
        uid = str(uuid.uuid4())
        await self.at.store.create(uid, owner, grant(), now=self.now)
        return uid

    def connect(self, uid: str, owner: str = "sales/crm") -> None:
        namespace, _, name = owner.partition("/")
        metadata = {"namespace": namespace, "name": name, "uid": uid, "generation": 1}
        self.world.observe(What.CONNECTION, {"metadata": metadata, "spec": {"connector": "acme"}})

    def marks(self, uid: str) -> dict[str, str]:
        found: dict[str, str] = self.cluster.get("Secret", secret_name(uid))["metadata"]["annotations"]
        return found

    def has(self, uid: str) -> bool:
        return self.cluster.exists("Secret", secret_name(uid))


async def test_a_grant_without_its_connection_is_kept_for_a_week_and_goes_then(
    kubernetes: object, cluster: Cluster, operator_kubeconfig: Path
) -> None:
    async with shelf(operator_kubeconfig, cluster.namespace, ring_key("a")) as at:
        place = Place(at, cluster)
        gone, there = await place.keep(), await place.keep("sales/other")
        place.connect(there, "sales/other")
        await place.orphans.look()
        assert MISSING_SINCE in place.marks(gone)
        assert MISSING_SINCE not in place.marks(there)
        place.now += WEEK - timedelta(minutes=1)
        await place.orphans.look()
        assert place.has(gone)
        place.now += timedelta(minutes=2)
        await place.orphans.look()
        assert (place.has(gone), place.has(there)) == (False, True)


async def test_a_connection_that_a_list_had_missed_keeps_its_grant(
    kubernetes: object, cluster: Cluster, operator_kubeconfig: Path
) -> None:
    async with shelf(operator_kubeconfig, cluster.namespace, ring_key("a")) as at:
        place = Place(at, cluster)
        uid = await place.keep()
        await place.orphans.look()
        place.now += 2 * WEEK
        place.connect(uid)
        await place.orphans.look()
        assert MISSING_SINCE not in place.marks(uid)
        assert await at.store.read(uid, "sales/crm") is not None


async def test_what_is_not_ours_to_judge_is_left_alone(
    kubernetes: object, cluster: Cluster, operator_kubeconfig: Path
) -> None:
    async with shelf(operator_kubeconfig, cluster.namespace, ring_key("a")) as at:
        place = Place(at, cluster, namespaces=("sales",))
        elsewhere = await place.keep("shop/till")
        awaited = await place.keep()
        cluster.merge("Secret", secret_name(awaited), {"metadata": {"annotations": {ADOPT: "uid-2"}}})
        theirs = str(uuid.uuid4())
        await at.of("another").store.create(theirs, "sales/theirs", grant(), now=place.now)
        for _ in range(3):
            await place.orphans.look()
            place.now += WEEK
        assert all(place.has(uid) for uid in (elsewhere, awaited, theirs))
        assert all(MISSING_SINCE not in place.marks(uid) for uid in (elsewhere, awaited, theirs))
