"""Put the gateway together, run it, take it apart. It faces the internet: stateless, and any number of them may run.

It reads Connections and Connectors, and the Secrets of one namespace. It holds no client secret and no token of a
provider, and speaks to no provider. When it has not heard of the cluster for a while it answers nothing.
"""

import asyncio
import logging
import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from lanyard.api.meta import API_VERSION, CONSENT_LABEL
from lanyard.clients.kube import Kube
from lanyard.clients.reflector import Reflector
from lanyard.connectors.loader import load_catalogue
from lanyard.entry.gateway_routes import GatewayRoutes
from lanyard.entry.identity import kube_config
from lanyard.entry.life import Life
from lanyard.entry.settings import Settings, SettingsError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.consent import ConsentFlow
from lanyard.flows.tidy import ConsentTidy
from lanyard.flows.view import ConnectionMirror, ConnectorMirror, View
from lanyard.stores.consents import ConsentStore
from lanyard.stores.keyring_file import KeyringFile

_log = logging.getLogger(__name__)

TIDY_SECONDS = 60.0
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
        self._ring = KeyringFile(settings.keyring_token, "token")
        self._view = View()
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
            tidy = ConsentTidy(kube, self._settings.exchange_namespace, _now)
            self._reflectors = self._mirrors(kube, tidy)
            runner = web.AppRunner(self._routes(kube).app(), access_log=None, keepalive_timeout=30.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(
                runner, self._settings.gateway_address, self._settings.gateway_port, ssl_context=self._tls
            )
            await site.start()
            self.port = runner.addresses[0][1]
            _log.info("started", extra={"gateway_port": self.port, "namespaces": self._settings.namespaces})
            parts = [self._life.keep(one.run(), "mirror") for one in self._reflectors]
            parts += [
                self._life.keep(self._tell_when_ready(), "readiness"),
                self._life.keep(tidy.run(TIDY_SECONDS), "tidy"),
            ]
            await self._life.lasts()
            _log.info("stopping")
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        _log.info("stopped")

    async def _tell_when_ready(self) -> None:
        """One line at every change: an outage that nobody looked at is seen in the log."""
        was = False
        while True:
            now = self.is_live()
            if now is not was:
                _log.info("ready") if now else _log.warning("not ready: the cluster was not heard of")
                was = now
            await asyncio.sleep(LOOK_SECONDS)

    def _mirrors(self, kube: Kube, tidy: ConsentTidy) -> list[Reflector[Any]]:
        group = f"/apis/{API_VERSION}"
        secrets = f"/api/v1/namespaces/{self._settings.exchange_namespace}/secrets"
        found: list[Reflector[Any]] = [
            Reflector(kube, f"{group}/connectors", ConnectorMirror(self._view.world), metadata_only=False),
            Reflector(kube, secrets, tidy, selector=CONSENT_LABEL),
        ]
        for namespace in self._settings.namespaces or ("",):
            path = f"{group}/namespaces/{namespace}/connections" if namespace else f"{group}/connections"
            found.append(Reflector(kube, path, ConnectionMirror(self._view, namespace), metadata_only=False))
        return found

    def _routes(self, kube: Kube) -> GatewayRoutes:
        settings = self._settings
        flow = ConsentFlow(
            kube=kube,
            view=self._view,
            catalogue=Catalogue(load_catalogue(), self._view.world, issuer=settings.gateway_url),
            store=ConsentStore(kube, settings.exchange_namespace, self._ring.current),
            clock=_now,
            gateway_url=settings.gateway_url,
            exchange_namespace=settings.exchange_namespace,
        )
        return GatewayRoutes(
            flow=flow,
            keyring=self._ring.current,
            clock=_now,
            live=self.is_live,
            proxies=settings.gateway_proxies,
            per_address=settings.gateway_requests_per_minute,
            per_browser=settings.gateway_browser_requests_per_minute,
        )


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
