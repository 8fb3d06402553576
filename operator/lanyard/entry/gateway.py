"""Run the gateway, and take it apart. It faces the internet: stateless, and any number of them may run.

It reads Connections, FederatedCredentials and Connectors, and the Secrets of one namespace. It holds no client secret
and no refresh token, and speaks to no provider. When it has not heard of the cluster for a while it answers nothing.
"""

import asyncio
import logging
import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from lanyard.clients.kube import Kube
from lanyard.clients.reflector import Reflector
from lanyard.entry.gateway_assembly import GatewayRings, assemble_gateway
from lanyard.entry.identity import kube_config
from lanyard.entry.life import Life
from lanyard.entry.settings import Settings, SettingsError
from lanyard.entry.telemetry import CounterCollector, HealthServer
from lanyard.flows.tally import Tally
from lanyard.stores.keyring_file import KeyringFile
from lanyard.stores.signing import SigningFile

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


def _now() -> datetime:
    return datetime.now(UTC)


class Gateway:
    """One process. `run` returns when SIGTERM or SIGINT has been handled, or `stop` was called."""

    def __init__(self, settings: Settings) -> None:
        if not settings.gateway_url:
            raise SettingsError("LANYARD_GATEWAY_URL is not set: the gateway needs the address that browsers see")
        if settings.keyring_token is None:
            raise SettingsError("LANYARD_KEYRING_TOKEN is not set: the gateway needs the ring `token`")
        self._settings = settings
        self._config = kube_config(settings)
        self._tls = _tls(settings)
        signing = settings.keyring_signing
        self._rings = GatewayRings(
            token=KeyringFile(settings.keyring_token, "token"),
            signing=SigningFile(signing, clock=_now) if signing is not None else None,
        )
        self._reflectors: list[Reflector[Any]] = []
        self._life = Life()
        self.port = 0

    @property
    def failed(self) -> bool:
        return self._life.failed

    def stop(self) -> None:
        self._life.end()

    def is_live(self) -> bool:
        """Whether everything was listed and heard of since; a gateway that does not know answers nothing."""
        longest = self._settings.watch_silence.total_seconds()
        return bool(self._reflectors) and all(one.synced.is_set() and one.silence < longest for one in self._reflectors)

    async def run(self) -> None:
        self._life.end_on_signals()
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(Kube(self._config))
            parts = assemble_gateway(self._settings, kube=kube, rings=self._rings, live=self.is_live, clock=_now)
            self._reflectors = parts.reflectors
            health = self._health(parts.tally)
            await health.start(self._settings.health_address, self._settings.health_port)
            stack.push_async_callback(health.stop)
            runner = web.AppRunner(parts.app, access_log=None, keepalive_timeout=30.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(
                runner, self._settings.gateway_address, self._settings.gateway_port, ssl_context=self._tls
            )
            await site.start()
            self.port = runner.addresses[0][1]
            _log.info(
                "started",
                extra={"health_port": health.port, "gateway_port": self.port, "namespaces": self._settings.namespaces},
            )
            running = [self._life.keep(one.run(), "mirror") for one in self._reflectors]
            running.append(self._life.keep(self._tell_when_ready(), "readiness"))
            running += [self._life.keep(work, name) for name, work in parts.chores]
            await self._life.lasts()
            _log.info("stopping")
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await parts.last_use.flush()
        _log.info("stopped")

    def _health(self, tally: Tally) -> HealthServer:
        registry = CollectorRegistry()
        registry.register(CounterCollector(tally))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        return HealthServer(registry, alive=lambda: not self._life.is_over, ready=self.is_live)

    async def _tell_when_ready(self) -> None:
        """One line at every change: an outage that nobody looked at is seen in the log."""
        was = False
        while True:
            now = self.is_live()
            if now is not was:
                _log.info("ready") if now else _log.warning("not ready: the cluster was not heard of")
                was = now
            await asyncio.sleep(LOOK_SECONDS)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """None where a proxy ends TLS before us."""
    certificate, key = settings.gateway_tls_certificate, settings.gateway_tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("LANYARD_GATEWAY_TLS_CERTIFICATE and LANYARD_GATEWAY_TLS_KEY go together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        kind = type(error).__name__
        raise SettingsError(f"LANYARD_GATEWAY_TLS_CERTIFICATE: the files cannot be used ({kind})") from None
    return context
