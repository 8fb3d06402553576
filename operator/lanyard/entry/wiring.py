"""Put the operator together, run it, take it apart.

Start: a look at the Lease → mirrors synced → first full list → the Lease → queue. Stop: no new work, what is in flight
finishes, the Lease is given back, then the rest.
"""

import asyncio
import logging
import socket
import time
import uuid
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from lanyard.api.meta import (
    CONNECTION_UID_LABEL,
    CONSENT_LABEL,
    COPY_LABEL,
    GRANT_LABEL,
    ISSUER_KEYS_LABEL,
    LAST_USE_LABEL,
    READABLE_LABEL,
)
from lanyard.clients.kube import Kube
from lanyard.clients.reflector import Reflector
from lanyard.entry.assembly import Consents, Flows, assemble
from lanyard.entry.identity import kube_config
from lanyard.entry.life import Life
from lanyard.entry.outbound import outbound_of
from lanyard.entry.settings import SecretAccess, Settings
from lanyard.entry.telemetry import HealthServer, ObjectCollector
from lanyard.entry.watch import Watcher
from lanyard.errors import KubernetesError, SteppedBackError
from lanyard.flows.application import Application
from lanyard.flows.connect import Connect
from lanyard.flows.duty import QueueDuty, all_kept
from lanyard.flows.inputs import link_target, sources_of
from lanyard.flows.issuer_fetch import CONNECT_SECONDS as ISSUER_CONNECT_SECONDS
from lanyard.flows.keys import Key, What
from lanyard.flows.lease import Leadership
from lanyard.flows.limits import HostLimits
from lanyard.flows.link import Link
from lanyard.flows.mirrors import (
    KeptCopies,
    Namespaces,
    OpenConsents,
    PublishedSecrets,
    ReadableSecrets,
    StoredGrants,
    StoredKeySets,
)
from lanyard.flows.queue import WorkQueue
from lanyard.flows.reseal import keep_encrypted
from lanyard.flows.sweep import sweep
from lanyard.flows.tally import Tally
from lanyard.flows.world import Record, World
from lanyard.rules.consent import FOR_THE_OPERATOR
from lanyard.rules.lease import Pace
from lanyard.stores.cache import CredentialCache
from lanyard.stores.grants import GrantStore, install_id
from lanyard.stores.keyring_file import KeyringFile

_log = logging.getLogger(__name__)

RINGS = ("grant", "token")
FIRST_LIST_PAUSE = 2.0
SWEEP_DELAY = 2.0  # seconds without a replayed object: a re-list brings many at once


def _now() -> datetime:
    return datetime.now(UTC)


class Operator:
    """One process. `run` returns when SIGTERM or SIGINT has been handled, or `stop` was called."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = kube_config(settings)
        # Its renewals wait for no other call.
        self._lease_kube = Kube(self._config, connections=1, deadline=settings.lease_renew.total_seconds())
        self._leadership = _leadership(settings, self._lease_kube)
        self._outbound = outbound_of(settings, may_send=self._leadership.holds)
        self._to_issuers = outbound_of(
            settings, may_send=self._leadership.holds, connect_seconds=ISSUER_CONNECT_SECONDS
        )
        self._life = Life()
        self._sweep_wanted = asyncio.Event()
        self._listed = False
        self._replayed_at = 0.0
        self._tally = Tally()
        self._world = World(wake=self._wake, sources_of=sources_of)
        self._queue = WorkQueue(self._work, _now, workers=settings.workers)
        self._duty = QueueDuty(self._queue, self._world, self._sweep_wanted.set)
        self._limits = HostLimits(wake=self._wake)
        self._cache = CredentialCache()
        paths = {name: getattr(settings, f"keyring_{name}") for name in RINGS}
        self._rings = {name: KeyringFile(path, name) for name, path in paths.items() if path is not None}
        self._watcher = Watcher(
            self._config,
            self._deliver,
            self._sweep_wanted.set,
            namespaces=settings.namespaces,
            first_pause=settings.watch_restart_pause.total_seconds(),
            alive=lambda alive: self._duty.watch(alive=alive),
        )
        registry = CollectorRegistry()
        registry.register(ObjectCollector(self._world, self._tally, self._gauges))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.health = HealthServer(registry, alive=lambda: not self._life.is_over, ready=lambda: self._listed)
        self._flows: Flows

    @property
    def failed(self) -> bool:
        return self._life.failed

    def stop(self) -> None:
        self._life.end()

    async def run(self) -> None:
        self._life.end_on_signals()
        async with AsyncExitStack() as stack:
            kube = Kube(self._config, may_overwrite=self._leadership.holds)
            for client in (kube, self._lease_kube):
                await stack.enter_async_context(client)
            for outbound in (self._outbound, self._to_issuers):
                await stack.enter_async_context(outbound)
            await self.health.start(self._settings.health_address, self._settings.health_port)
            stack.push_async_callback(self.health.stop)
            self._flows = assemble(
                self._settings,
                world=self._world,
                kube=kube,
                outbound=self._outbound,
                limits=self._limits,
                tally=self._tally,
                cache=self._cache,
                consents=await self._consents(kube),
                clock=_now,
                to_issuers=self._to_issuers if self._settings.gateway_url else None,
            )
            for ring in self._rings.values():
                ring.look()
            await self._leadership.look()
            background = [self._life.keep(work, "mirror") for work in self._mirrors(kube)]
            background.append(self._life.keep(self._sweeps(kube), "sweep"))
            if self._flows.grants is not None:
                background.append(self._life.keep(self._resealing(self._flows.grants), "reseal"))
            background.append(leading := self._life.keep(self._leadership.run(self._duty), "lease"))
            watching = self._life.keep(self._watcher.run(), "watch")
            _log.info("started", extra={"health_port": self.health.port, "namespaces": self._settings.namespaces})
            await self._life.lasts()
            _log.info("stopping", extra={"in_flight": self._queue.in_flight})
            self._watcher.stop()
            unfinished = await self._queue.drain(self._settings.drain_deadline.total_seconds()) if self._listed else 0
            await all_kept(self._world)
            leading.cancel()
            await asyncio.wait([leading])
            if not unfinished:
                await self._leadership.release()
            for task in background:
                task.cancel()
            await asyncio.gather(watching, *background, return_exceptions=True)
            _log.info("stopped", extra={"unfinished": unfinished})

    async def _consents(self, kube: Kube) -> Consents | None:
        """Without the id of this install nothing about grants is known, so it is waited for."""
        while self._takes_consents:
            try:
                install = await install_id(kube, self._settings.system_namespace)
            except KubernetesError as error:
                _log.warning("own namespace not read", extra={"status": error.code})
                await asyncio.sleep(error.retry_after or FIRST_LIST_PAUSE)
            else:
                return Consents(self._rings["grant"].current, self._rings["token"].current, install)
        return None

    @property
    def _takes_consents(self) -> bool:
        return bool(self._settings.gateway_url) and len(self._rings) == len(RINGS)

    async def _resealing(self, grants: GrantStore) -> None:
        """Whoever stands by leaves stored grants alone."""
        ring = self._rings["grant"].current
        await keep_encrypted(grants, ring, clock=_now, busy=lambda _: not self._leadership.holds())

    def _mirrors(self, kube: Kube) -> list[Any]:
        readable = f"{READABLE_LABEL}=true" if self._settings.secret_access is SecretAccess.LABEL else ""
        # Grants and consents name their Connection too, and are written far more often than what is published.
        published = f"{CONNECTION_UID_LABEL},!{GRANT_LABEL},!{CONSENT_LABEL}"
        reflectors: list[Reflector[Any]] = []
        for namespace in self._settings.namespaces or ("",):
            path = f"/api/v1/namespaces/{namespace}/secrets" if namespace else "/api/v1/secrets"
            reflectors += [
                Reflector(kube, path, ReadableSecrets(self._world, namespace), selector=readable),
                Reflector(kube, path, PublishedSecrets(self._world, namespace), selector=published),
            ]
        reflectors.append(Reflector(kube, "/api/v1/namespaces", Namespaces(self._world)))
        shared = f"/api/v1/namespaces/{self._settings.exchange_namespace}/secrets"
        if self._settings.gateway_url:
            uses = f"{LAST_USE_LABEL}=true"
            reflectors.append(Reflector(kube, shared, self._flows.uses, selector=uses, metadata_only=False))
            reflectors.append(Reflector(kube, shared, StoredKeySets(self._world), selector=ISSUER_KEYS_LABEL))
        if self._takes_consents:
            state = f"/api/v1/namespaces/{self._settings.system_namespace}/secrets"
            reflectors.append(Reflector(kube, state, StoredGrants(self._world), selector=GRANT_LABEL))
            open_phases = f"{CONSENT_LABEL} in ({','.join(phase.value for phase in FOR_THE_OPERATOR)})"
            reflectors.append(Reflector(kube, shared, OpenConsents(self._world), selector=open_phases))
            if self._flows.copies is not None:
                ours = f"{COPY_LABEL}={self._flows.copies.install}"
                reflectors.append(Reflector(kube, shared, KeptCopies(self._world), selector=ours))
        self._synced = [reflector.synced for reflector in reflectors]
        return [reflector.run() for reflector in reflectors]

    async def _sweeps(self, kube: Kube) -> None:
        """The first full list, on which everything waits; then one per interval and after every watch restart."""
        for synced in self._synced:
            await synced.wait()
        interval = self._settings.resync_interval.total_seconds()
        while True:
            followed = self._world.followed
            try:
                await sweep(kube, self._world, self._settings.namespaces)
            except KubernetesError as error:
                _log.warning("list not complete", extra={"status": error.code})
                await asyncio.sleep(error.retry_after or FIRST_LIST_PAUSE)
                continue
            if followed == self._world.followed:
                self._leadership.known.set()
            if not self._listed:
                self._listed = True
                self._queue.start()
                _log.info("ready", extra={"objects": sum(len(found) for found in self._world.objects.values())})
            self._limits.tidy(_now())
            if self._flows.orphans is not None and self._leadership.holds():
                await self._flows.orphans.look()
            if self._leadership.holds():
                await self._flows.uses.tidy(_now())
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._sweep_wanted.wait()
                await self._replay_over()
            self._sweep_wanted.clear()

    async def _replay_over(self) -> None:
        """Wait until no object has been replayed for a while."""
        quiet = time.monotonic() - self._replayed_at
        while quiet < SWEEP_DELAY:
            await asyncio.sleep(SWEEP_DELAY - quiet)
            quiet = time.monotonic() - self._replayed_at

    def _deliver(self, what: What, event: str | None, body: dict[str, Any]) -> None:
        """An event from kopf, in the main loop. A replay of what is known means a re-list: deletions may be missing."""
        self._tally.count("lanyard_watch_events", what.value)
        metadata = body["metadata"]
        key = Key(what, metadata.get("namespace", ""), metadata["name"])
        if event == "DELETED":
            self._world.forget(key, metadata["uid"])
            return
        if event is None:
            self._replayed_at = time.monotonic()
            self._sweep_wanted.set()
        self._world.observe(what, body)

    def _wake(self, key: Key) -> None:
        self._duty.wake(key)

    async def _work(self, key: Key) -> None:
        flows = self._flows
        try:
            if key.what is What.CONSENT:
                if flows.authorizer is not None:
                    await flows.authorizer.reconcile(key, self._queue)
                self._limits.settle(key)
            elif key in self._world.leaving:
                await self._copy(key)
                await flows.deletion.reconcile(key, self._queue)
            elif key.what is What.CONNECTION:
                await self._reconcile(key)
            elif key.what is What.CREDENTIAL:
                await flows.federate.reconcile(key, self._queue)
            elif key.what is What.ISSUER:
                if flows.issuers is not None:
                    await flows.issuers.reconcile(key, self._queue)
                self._limits.settle(key)
            else:
                await flows.inspect.reconcile(key, self._queue)
        except SteppedBackError:
            self._duty.step_back(key)

    async def _reconcile(self, key: Key) -> None:
        flow = self._flow_of(self._world.get(key))
        try:
            await flow.reconcile(key, self._queue)
            await self._copy(key)
            await self._flows.verify.reconcile(key, self._queue)
        except SteppedBackError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours is told like any other failure, by its type
            self._queue.faults += 1
            _log.error("a pass ended in a fault", extra={"key": str(key), "fault": type(error).__name__})
            await flow.confess(key, type(error).__name__, self._queue)
        finally:
            self._limits.settle(key)

    async def _copy(self, key: Key) -> None:
        if self._flows.copies is not None:
            await self._flows.copies.reconcile(key, self._queue)

    def _flow_of(self, record: Record | None) -> Connect | Application | Link:
        """A link publishes what another one has; of what Lanyard makes itself nothing is published at all."""
        if record is not None and link_target(record) is not None:
            return self._flows.link
        if record is not None and self._flows.catalogue.mints(record):
            return self._flows.application
        return self._flows.connect

    def _gauges(self) -> dict[str, tuple[str, float]]:
        return {
            "lanyard_leader": ("1 while this process holds the Lease.", float(self._leadership.holds())),
            "lanyard_queue_length": ("Objects waiting to be worked on.", float(len(self._queue))),
            "lanyard_in_flight": ("Objects being worked on.", float(self._queue.in_flight)),
            "lanyard_overdue_objects": (
                "Objects whose time came over a second ago.",
                float(self._queue.overdue(_now())),
            ),
            "lanyard_unusable_keyrings": (
                "Keyring files that cannot be used as they are now; the ring from before goes on.",
                float(sum(ring.problem != "" for ring in self._rings.values())),
            ),
            "lanyard_watch_restarts_total": ("Times the watch was started again.", float(self._watcher.restarts)),
            "lanyard_faults_total": ("Passes that ended in a fault of Lanyard's own.", float(self._queue.faults)),
            "lanyard_credential_cache_hits_total": ("Values found in the encrypted cache.", float(self._cache.hits)),
            "lanyard_credential_cache_misses_total": ("Values that had to be read.", float(self._cache.misses)),
            "lanyard_credential_cache_evictions_total": (
                "Values that made room for others.",
                float(self._cache.evictions),
            ),
        }


def _leadership(settings: Settings, kube: Kube) -> Leadership:
    pace = Pace(*(one.total_seconds() for one in (settings.lease_duration, settings.lease_renew, settings.lease_retry)))
    # Two processes of one pod, one after the other, are two.
    me = f"{socket.gethostname()}_{uuid.uuid4()}"
    return Leadership(kube, settings.exchange_namespace, me, pace)
