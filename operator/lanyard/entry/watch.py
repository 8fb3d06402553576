"""kopf, in a thread and a loop of its own: it watches our kinds and only hands keys over.

kopf cancels every task of its loop when it ends, and it ends on a 410 at the HTTP level, on a login that fails and on
other fatal answers. What must not be lost therefore lives in the main loop; this thread can end at any moment and is
started again, with back-off, and a sweep follows that finds what happened in between.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf

from lanyard.api.meta import GROUP, VERSION
from lanyard.api.schema import KINDS
from lanyard.clients.kubeconfig import KubeConfig, open_session
from lanyard.flows.keys import What

_log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STEADY_AFTER = 60.0  # seconds a thread must have lived for its end to count as a first one
CONNECTIONS = 16

Deliver = Callable[[What, str | None, dict[str, Any]], None]
"""(kind, event type or None for a replay, body); called in the main loop."""


class Watcher:
    """Runs kopf until stopped. `restarted` is called in the main loop whenever a thread has ended and starts anew."""

    def __init__(
        self,
        config: KubeConfig,
        deliver: Deliver,
        restarted: Callable[[], None],
        *,
        namespaces: tuple[str, ...] = (),
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._config = config
        self._deliver = deliver
        self._restarted = restarted
        self._namespaces = namespaces
        self._first_pause = first_pause
        self._stopping = False
        self._stop_flag: threading.Event | None = None
        self.restarts = 0
        self.alive = False

    async def run(self) -> None:
        """Keep a kopf thread alive until `stop`."""
        loop = asyncio.get_running_loop()
        pause = self._first_pause
        while not self._stopping:
            began = loop.time()
            ended = asyncio.Event()
            self._stop_flag = threading.Event()
            thread = threading.Thread(
                target=self._thread, args=(loop, self._stop_flag, ended), name=f"kopf-{self.restarts}", daemon=True
            )
            self.alive = True
            thread.start()
            await ended.wait()
            await asyncio.to_thread(thread.join)
            self.alive = False
            if self._stopping:
                return
            pause = self._first_pause if loop.time() - began > STEADY_AFTER else min(pause * 2, LONGEST_PAUSE)
            _log.warning("the watch ended and starts again", extra={"pause_seconds": pause})
            await asyncio.sleep(pause)
            self.restarts += 1
            self._restarted()

    def stop(self) -> None:
        self._stopping = True
        if self._stop_flag is not None:
            self._stop_flag.set()

    def _thread(self, main: asyncio.AbstractEventLoop, stop: threading.Event, ended: asyncio.Event) -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=_registry(self._config, main, self._deliver),
                    settings=_settings(),
                    identity="lanyard",  # type: ignore[arg-type]  # its NewType is not exported
                    standalone=True,
                    clusterwide=not self._namespaces,
                    namespaces=self._namespaces,
                    stop_flag=stop,
                )
            )
        except Exception as error:  # noqa: BLE001 - whatever ends kopf, it is started again
            _log.warning("kopf ended", extra={"fault": type(error).__name__})
        finally:
            if not main.is_closed():
                main.call_soon_threadsafe(ended.set)


def _registry(config: KubeConfig, main: asyncio.AbstractEventLoop, deliver: Deliver) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=config.server, aiohttp_session=open_session(config, connections=CONNECTIONS))

    for kind in KINDS:
        what = What(kind.name)

        # A handler that fails loses its event, so it does nothing that can fail.
        @kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"hand-over-{kind.plural}")
        async def hand_over(type: str | None, body: kopf.Body, what: What = what, **_: Any) -> None:  # noqa: A002
            main.call_soon_threadsafe(deliver, what, type, dict(body))

    return registry


def _settings() -> kopf.OperatorSettings:
    """research/kopf.md 3.10: why each of these is not the default is measured there."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.level = logging.CRITICAL
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.queueing.worker_limit = 200
    settings.queueing.idle_timeout = 0.05
    settings.queueing.exit_timeout = 2
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    return settings
