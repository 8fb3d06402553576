"""Telling the API server how an object is, while it refuses, throttles, or says that the object is gone."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web

from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import Outbound
from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import KubeConfig
from lanyard.connectors.loader import load_catalogue
from lanyard.errors import SteppedBackError
from lanyard.flows.acquire import Acquirer
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.connect import Connect
from lanyard.flows.duty import Confirmer
from lanyard.flows.gather import Gatherer
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.limits import HostLimits
from lanyard.flows.outlet import Outlet
from lanyard.flows.pages import Pages
from lanyard.flows.publish import Publisher
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.resolve import Resolver
from lanyard.flows.tally import Tally
from lanyard.flows.token_endpoint import TokenEndpoint
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.conditions import Condition, Verdict, holds
from lanyard.rules.schedule import Backoff
from lanyard.sensitive import Sensitive
from lanyard.stores.cache import CredentialCache
from lanyard.stores.vault import VaultReader

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CRM = Key(What.CONNECTION, "sales", "crm")
OBJECT = "/apis/lanyard.dev/v1alpha1/namespaces/sales/connections/crm"
FRESH = holds(Condition.READY, Reason.CREDENTIALS_PUBLISHED, secret="crm-token")
PACE = Backoff()
CONNECTIONS = 4


@dataclass
class Api:
    """An API server that has one Connection; `refusals` are answered to the next writes of a status."""

    uid: str | None = "uid-1"
    """Of the Connection that is there, None when there is none."""
    refusals: deque[web.Response] = field(default_factory=deque)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    blind: bool = False
    """True while no object can be read."""
    led: bool = True
    """Whether the process that tells holds the Lease."""
    slow: asyncio.Event | None = None
    """Until then no object is answered."""

    async def answer(self, request: web.Request) -> web.Response:
        match request.method, request.path:
            case "PATCH", path if path == f"{OBJECT}/status":
                if self.refusals:
                    return self.refusals.popleft()
                self.statuses.append((await request.json())["status"])
                return web.json_response({"metadata": {"uid": self.uid}})
            case "GET", path if path == OBJECT:
                self.looks += 1
                if self.slow is not None:
                    await self.slow.wait()
                if self.uid is None or self.blind:
                    return refusal(503 if self.blind else 404)
                return web.json_response({"metadata": {"name": "crm", "uid": self.uid}})
            case "POST", path if path.endswith("/events"):
                self.events.append(await request.json())
                return web.json_response({})
        return refusal(500)


def refusal(code: int, **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": "Whatever"}, status=code, headers=headers)


@dataclass
class Office:
    api: Api
    kube: Kube
    world: World
    record: Record
    reporter: Reporter

    async def tell(self, revision: int = 1, verdicts: list[Verdict] | None = None) -> timedelta | None:
        """Report a status that differs by `revision`."""
        verdicts = verdicts if verdicts is not None else [FRESH]
        return await self.reporter.report(self.record, {"failedAttempts": revision}, verdicts, NOW)


@asynccontextmanager
async def an_office() -> AsyncIterator[Office]:
    api, app = Api(), web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    world = World(wake=lambda _: None, sources_of=sources_of)
    metadata = {"name": "crm", "namespace": "sales", "uid": "uid-1", "generation": 3}
    world.observe(What.CONNECTION, {"metadata": metadata, "spec": {"connector": "basic"}})
    record = world.get(CRM)
    assert record is not None
    try:
        config = KubeConfig(server=server, token=Sensitive("t0k3n"))
        async with Kube(config, connections=CONNECTIONS, may_overwrite=lambda: api.led) as kube:
            yield Office(api, kube, world, record, Reporter(kube, world, instance="one"))
    finally:
        await runner.cleanup()


def in_office(scene: Callable[[Office], Awaitable[None]]) -> None:
    async def play() -> None:
        async with an_office() as office:
            await scene(office)

    asyncio.run(play())


@pytest.mark.spec("K2")
def test_what_says_nothing_new_is_not_written() -> None:
    async def scene(office: Office) -> None:
        assert await office.tell() is None
        assert await office.tell() is None
        assert len(office.api.statuses) == 1
        assert [one["reason"] for one in office.api.events] == ["CredentialsPublished"]

    in_office(scene)


@pytest.mark.parametrize("code", [401, 403, 409, 422, 429, 500, 503])
def test_a_status_that_is_refused_is_kept_and_told_later_with_its_event(code: int) -> None:
    async def scene(office: Office) -> None:
        office.api.refusals.append(refusal(code))
        assert await office.tell() == timedelta(seconds=1)
        assert office.world.get(CRM) is office.record, "not forgotten"
        assert office.api.events == [], "no Event of what is not told"
        assert await office.tell() is None
        assert office.api.statuses == [{"failedAttempts": 1}]
        assert len(office.api.events) == 1

    in_office(scene)


@pytest.mark.spec("K6")
def test_a_status_that_could_not_be_told_without_the_lease_is_told_with_it_and_with_its_event() -> None:
    async def scene(office: Office) -> None:
        office.api.led = False
        with pytest.raises(SteppedBackError):
            await office.tell()
        assert office.api.statuses == []
        office.api.led = True
        assert await office.tell() is None
        assert office.api.statuses == [{"failedAttempts": 1}]
        assert len(office.api.events) == 1

    in_office(scene)


@pytest.mark.spec("K6")
def test_a_status_that_waited_for_a_connection_until_the_lease_was_lost_is_not_sent() -> None:
    """Frozen or held up before its bytes are written, it would put an older status over that of who leads now."""

    async def scene(office: Office) -> None:
        office.api.slow = asyncio.Event()
        async with asyncio.TaskGroup() as others:
            for _ in range(CONNECTIONS):
                others.create_task(office.kube.get(OBJECT))
            while office.api.looks < CONNECTIONS:
                await asyncio.sleep(0.01)
            telling = asyncio.create_task(office.tell())
            await asyncio.sleep(0.1)
            office.api.led = False
            office.api.slow.set()
        with pytest.raises(SteppedBackError):
            await telling
        assert office.api.statuses == []
        office.api.led = True
        assert await office.tell() is None
        assert office.api.statuses == [{"failedAttempts": 1}]

    in_office(scene)


def test_an_object_that_is_still_there_survives_a_404_of_its_status() -> None:
    """The kind may be registered anew at that moment."""

    async def scene(office: Office) -> None:
        office.api.refusals.append(refusal(404))
        assert await office.tell() == timedelta(seconds=1)
        assert office.api.looks == 1
        assert office.world.get(CRM) is office.record
        assert await office.tell() is None
        assert office.api.statuses == [{"failedAttempts": 1}]

    in_office(scene)


@pytest.mark.parametrize("there", [None, "uid-2"], ids=["is gone", "has a namesake"])
def test_an_object_that_is_forgotten_by_the_api_server_is_forgotten(there: str | None) -> None:
    async def scene(office: Office) -> None:
        office.api.uid = there
        office.api.refusals.append(refusal(404))
        assert await office.tell() is None
        assert office.world.get(CRM) is None

    in_office(scene)


def test_an_object_that_cannot_be_looked_at_is_not_forgotten() -> None:
    async def scene(office: Office) -> None:
        office.api.refusals.append(refusal(404))
        office.api.blind = True
        assert await office.tell() == timedelta(seconds=1)
        assert office.world.get(CRM) is office.record

    in_office(scene)


def test_refusals_in_a_row_are_met_with_longer_pauses_up_to_a_minute() -> None:
    async def scene(office: Office) -> None:
        office.api.refusals.extend(refusal(409) for _ in range(10))
        pauses = [await office.tell() for _ in range(10)]
        seconds = [pause.total_seconds() for pause in pauses if pause is not None]
        assert seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
        assert await office.tell() is None
        office.api.refusals.append(refusal(409))
        assert await office.tell(2) == timedelta(seconds=1), "begun anew after a write that was taken"

    in_office(scene)


def test_a_pause_that_the_api_server_asks_for_is_kept() -> None:
    async def scene(office: Office) -> None:
        office.api.refusals.append(refusal(429, **{"Retry-After": "7"}))
        assert await office.tell() == timedelta(seconds=7)

    in_office(scene)


def test_events_compare_with_what_was_told_and_not_with_what_was_only_meant() -> None:
    """A reason that changed and changed back while nothing could be told is no news."""

    async def scene(office: Office) -> None:
        told = {"conditions": [{"type": "Ready", "status": "True", "reason": "CredentialsPublished", "message": ""}]}
        await office.reporter.report(office.record, told, [FRESH], NOW)
        office.api.events.clear()
        office.api.refusals.append(refusal(503))
        other = holds(Condition.READY, Reason.TOKEN_PUBLISHED, secret="crm-token")
        assert await office.tell(1, [other]) is not None
        await office.reporter.report(office.record, told, [FRESH], NOW)
        assert office.api.statuses[-1] == told
        assert office.api.events == []

    in_office(scene)


@asynccontextmanager
async def connecting(office: Office) -> AsyncIterator[tuple[Connect, WorkQueue]]:
    """The use case, wired as in the operator; its clock stands still."""

    async def nothing(_: Key) -> None: ...

    def clock() -> datetime:
        return NOW

    kube, world, tally = office.kube, office.world, Tally()
    queue = WorkQueue(nothing, clock, workers=1)
    catalogue = Catalogue(MappingProxyType(load_catalogue()), world)
    outlet = Outlet(Publisher(kube, world, b"k" * 32), None)
    async with Outbound(EgressPolicy()) as outbound:
        vault = VaultReader(outbound)
        resolver = Resolver(
            kube=kube, world=world, cache=CredentialCache(), vault=vault, tally=tally, labels_required=True
        )
        endpoint = TokenEndpoint(
            resolver=resolver,
            outbound=outbound,
            limits=HostLimits(wake=lambda _: None),
            tally=tally,
            deadline=timedelta(seconds=1),
            clock=clock,
        )
        yield (
            Connect(
                world=world,
                gatherer=Gatherer(
                    world=world, catalogue=catalogue, outlet=outlet, pace=PACE, clock=clock, takes_consents=False
                ),
                acquirer=Acquirer(endpoint),
                refresher=None,
                pages=Pages(""),
                confirmer=Confirmer(kube, world),
                outlet=outlet,
                reporter=office.reporter,
                tally=tally,
                pace=PACE,
                clock=clock,
            ),
            queue,
        )


@pytest.mark.spec("C11")
def test_a_fault_of_ours_is_told_by_its_type_and_tried_again_with_longer_pauses() -> None:
    async def scene(office: Office) -> None:
        async with connecting(office) as (connect, queue):
            await connect.confess(CRM, "ZeroDivisionError", queue)
            first = queue.appointment(CRM)
            await connect.confess(CRM, "ZeroDivisionError", queue)
            second = queue.appointment(CRM)
        assert first is not None
        assert second is not None
        assert NOW < first < second
        status = office.api.statuses[-1]
        ready = next(one for one in status["conditions"] if one["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "InternalError")
        assert "ZeroDivisionError" in ready["message"]
        assert status["failedAttempts"] == 2
        assert [one["reason"] for one in office.api.events].count("InternalError") == 1

    in_office(scene)


@pytest.mark.spec("C11", "C7")
def test_a_fault_of_ours_leaves_what_is_published_as_it_is() -> None:
    async def scene(office: Office) -> None:
        before = {
            "observedGeneration": 3,
            "binding": {"name": "crm-token"},
            "publishedVersion": "17",
            "inputsDigest": "abc",
            "expiresAt": "2026-03-01T13:00:00Z",
        }
        office.record.status = json.dumps(before).encode()
        async with connecting(office) as (connect, queue):
            await connect.confess(CRM, "KeyError", queue)
        status = office.api.statuses[-1]
        ready = next(one for one in status["conditions"] if one["type"] == "Ready")
        assert ready["status"] == "True", "the token that is there still works"
        assert {name: status[name] for name in before} == before
        fresh = next(one for one in status["conditions"] if one["type"] == "TokenFresh")
        assert (fresh["status"], fresh["reason"]) == ("False", "InternalError")

    in_office(scene)


def test_a_fault_about_an_object_that_is_gone_is_told_nobody() -> None:
    async def scene(office: Office) -> None:
        office.world.forget(CRM)
        async with connecting(office) as (connect, queue):
            await connect.confess(CRM, "KeyError", queue)
            assert queue.appointment(CRM) is None
        assert office.api.statuses == []

    in_office(scene)
