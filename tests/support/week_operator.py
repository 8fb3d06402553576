"""One operator process over the cluster and the provider in memory: every flow as it is, wired as in `entry`.

It can be killed: from then on nothing that it had begun goes on, and nothing of it reaches anybody.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

from lanyard.api.meta import CONNECTION_UID_LABEL, CONSENT_LABEL, GRANT_LABEL, READABLE_LABEL
from lanyard.clients.reflector import Reflector
from lanyard.entry.assembly import Consents, assemble
from lanyard.entry.settings import Settings
from lanyard.errors import KubernetesError, SteppedBackError
from lanyard.flows.duty import QueueDuty
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.limits import HostLimits
from lanyard.flows.mirrors import Namespaces, OpenConsents, PublishedSecrets, ReadableSecrets, StoredGrants
from lanyard.flows.queue import WorkQueue
from lanyard.flows.sweep import sweep
from lanyard.flows.tally import Tally
from lanyard.flows.world import World
from lanyard.stores.cache import CredentialCache
from support.week_cluster import ModelKube
from support.week_provider import ModelOutbound

CONNECTIONS = "/apis/lanyard.dev/v1alpha1/connections"
SETTINGS = Settings(gateway_url="https://lanyard.example")
RESYNC = SETTINGS.resync_interval.total_seconds()
INSTALL = "install-1"
SPINS = 200
_process: ContextVar["ModelOperator | None"] = ContextVar("process", default=None)


class ModelOperator:
    """`week` is what happens around it. `unbroken`: nobody else was at work since it began to look."""

    numbers = itertools.count(1)

    def __init__(self, week: Any, *, unbroken: bool) -> None:
        self.number = next(self.numbers)
        self.holds = True
        self.dead = False
        self.fuse: int | None = None
        """Effects, told apart into before and after, until it is killed."""
        self.passes: list[float] = []
        self._week = week
        self._unbroken = unbroken
        self._tasks: set[asyncio.Task[Any]] = set()
        self.kube: Any = ModelKube(week.cluster, self._travel, may_overwrite=lambda: self.holds)
        self.world = World(wake=self._wake, sources_of=sources_of)
        self.queue = WorkQueue(self._work, week.now, workers=2)
        self._duty = QueueDuty(self.queue, self.world, lambda: None)
        self._limits = HostLimits(wake=self._wake)
        outbound: Any = ModelOutbound(
            week.provider,
            week.next_mishap,
            step=self.step,
            received=lambda form: week.judge.received(self, form),
            answered=lambda use, came, definite: week.judge.answered(self, use, came, definite=definite),
            may_send=lambda: self.holds,
        )
        self._flows = assemble(
            SETTINGS,
            world=self.world,
            kube=self.kube,
            outbound=outbound,
            limits=self._limits,
            tally=Tally(),
            cache=CredentialCache(),
            consents=Consents(lambda: week.ring, lambda: week.ring, INSTALL),
            clock=week.now,
        )

    def start(self) -> None:
        self._within(self._run())

    def _within(self, work: Coroutine[Any, Any, None]) -> None:
        """Every task that comes of it is this process's."""
        context = copy_context()
        context.run(_process.set, self)
        context.run(asyncio.create_task, work)

    async def _run(self) -> None:
        mirrors = self._mirrors()
        background = [asyncio.create_task(mirror.run()) for mirror in mirrors]
        background.append(asyncio.create_task(self._follow()))
        for mirror in mirrors:
            await mirror.synced.wait()
        while not await self._swept():
            await asyncio.sleep(2.0)
        self.queue.start()
        self._duty.begin(unbroken=self._unbroken)
        while True:
            await asyncio.sleep(RESYNC)
            await self._swept()
            self._limits.tidy(self._week.now())

    async def _swept(self) -> bool:
        try:
            await sweep(self.kube, self.world)
        except KubernetesError:
            return False
        return True

    def _mirrors(self) -> list[Reflector[Any]]:
        system, exchange = SETTINGS.system_namespace, SETTINGS.exchange_namespace
        published = f"{CONNECTION_UID_LABEL},!{GRANT_LABEL},!{CONSENT_LABEL}"
        time = asyncio.get_running_loop().time
        found: list[tuple[str, Any, str]] = [
            ("/api/v1/secrets", ReadableSecrets(self.world), f"{READABLE_LABEL}=true"),
            ("/api/v1/secrets", PublishedSecrets(self.world), published),
            ("/api/v1/namespaces", Namespaces(self.world), ""),
            (f"/api/v1/namespaces/{system}/secrets", StoredGrants(self.world), GRANT_LABEL),
            (
                f"/api/v1/namespaces/{exchange}/secrets",
                OpenConsents(self.world),
                f"{CONSENT_LABEL} in (answered,claimed)",
            ),
        ]
        return [Reflector(self.kube, path, mirror, selector=text, clock=time) for path, mirror, text in found]

    async def _follow(self) -> None:
        """Connections, as kopf tells of them."""
        version = "0"
        while True:
            try:
                async for event in self.kube.watch(CONNECTIONS, version=version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self.world.observe(What.CONNECTION, event["object"])
            except KubernetesError:
                await asyncio.sleep(1.0)

    def _wake(self, key: Key) -> None:
        self._duty.wake(key)

    async def _work(self, key: Key) -> None:
        """As in `entry.wiring`; a fault of ours is not confessed but found."""
        flows = self._flows
        self.passes.append(asyncio.get_running_loop().time())
        if self.passes[-1] == self.passes[-SPINS:][0] and len(self.passes) > SPINS:
            self._week.judge.blame("passes that take no time follow one another")
            await asyncio.sleep(1.0)
        try:
            if key.what is What.CONSENT:
                assert flows.authorizer is not None
                await flows.authorizer.reconcile(key, self.queue)
            elif key.what is What.CONNECTION:
                await flows.connect.reconcile(key, self.queue)
                await flows.verify.reconcile(key, self.queue)
                self._week.judge.after_pass(self, key)
            else:
                await flows.inspect.reconcile(key, self.queue)
        except SteppedBackError:
            self._duty.step_back(key)
        except Exception as error:
            self._week.judge.fault(error)
            raise
        finally:
            self._limits.settle(key)

    # what happens to it

    async def step(self) -> None:
        """Called before and after each effect; a dead process does not come back from it."""
        if self.fuse is not None and not self.dead:
            self.fuse -= 1
            if self.fuse <= 0:
                self._week.killed(self)
        if self.dead:
            await asyncio.Event().wait()

    async def _travel(self, verb: str, path: str, act: Callable[[], Any]) -> Any:
        if verb in {"WATCH", "LIST"}:
            return await self._week.api.travel(verb, path, act, _nothing)
        return await self._week.api.travel(verb, path, act, self.step)

    def die(self) -> None:
        self.dead = True
        for task in list(self._tasks):
            task.cancel()

    def step_down(self) -> None:
        """The Lease is lost: nothing new is begun, what is in flight goes on, and then it ends."""
        self.holds = False
        self._duty.pause()
        self._within(self._leave())

    async def _leave(self) -> None:
        await self.queue.idle()
        self.die()

    def own(self, task: "asyncio.Task[Any]") -> None:
        if self.dead:
            task.cancel()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def owned_task(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> "asyncio.Task[Any]":
    """A task factory that knows whose each task is."""
    task = asyncio.Task(work, loop=loop, **more)
    process = _process.get()
    if process is not None:
        process.own(task)
    return task


async def _nothing() -> None:
    pass
