"""kopf, in a thread and a loop of its own: it watches our kinds and only hands keys over.

kopf cancels every task of its loop when it ends, and it ends on a 410 at the HTTP level, on a login that fails and on
other fatal answers. What must not be lost therefore lives in the main loop; this thread can end at any moment and is
started again, with back-off, and a sweep follows that finds what happened in between.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import kopf

from lanyard.api.meta import GROUP, VERSION
from lanyard.clients.kubeconfig import KubeConfig, open_session
from lanyard.flows.keys import What
from lanyard.flows.sweep import ORDER

_log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSES = 10  # times the first pause
STEADY_AFTER = 10.0  # seconds a thread must have lived for its end to count as a first one
GRACE = 2.0  # seconds for kopf's tasks to end once one of them has

Deliver = Callable[[What, str | None, dict[str, Any]], None]
"""(kind, event type or None for a replay, body); called in the main loop."""


class Watcher:
    """Runs kopf until stopped. `restarted` is called in the main loop whenever a thread has ended and starts anew,
    `alive` with False when it has ended and with True when the next one starts.
    """

    def __init__(
        self,
        config: KubeConfig,
        deliver: Deliver,
        restarted: Callable[[], None],
        *,
        namespaces: tuple[str, ...] = (),
        first_pause: float = FIRST_PAUSE,
        alive: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._deliver = deliver
        self._restarted = restarted
        self._namespaces = namespaces
        self._first_pause = first_pause
        self._stopping = False
        self._stopped = asyncio.Event()
        self._end: Callable[[], None] | None = None
        self._alive = alive
        self.restarts = 0

    async def run(self) -> None:
        """Keep a kopf thread alive until `stop`."""
        loop = asyncio.get_running_loop()
        pause = self._first_pause
        while not self._stopping:
            began = loop.time()
            ended = asyncio.Event()
            thread = threading.Thread(
                target=self._thread, args=(loop, ended), name=f"kopf-{self.restarts}", daemon=True
            )
            thread.start()
            self._alive(True)
            await ended.wait()
            self._alive(False)
            await asyncio.to_thread(thread.join)
            if self._stopping:
                return
            steady = loop.time() - began > STEADY_AFTER
            pause = self._first_pause if steady else min(pause * 2, self._first_pause * LONGEST_PAUSES)
            _log.warning("the watch ended and starts again", extra={"pause_seconds": pause})
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopped.wait()
            self.restarts += 1
            self._restarted()

    def stop(self) -> None:
        self._stopping = True
        self._stopped.set()
        if self._end is not None:
            self._end()

    def _thread(self, main: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        try:
            loop.run_until_complete(self._serve(main))
        except Exception as error:  # noqa: BLE001 - whatever ends kopf, it is started again
            _log.warning("kopf did not start", extra={"fault": type(error).__name__})
        finally:
            self._end = None
            loop.close()
            _call(main, ended.set)

    async def _serve(self, main: asyncio.AbstractEventLoop) -> None:
        """Run kopf until one of its root tasks ends, then leave within `GRACE`, whatever its other tasks do.

        `kopf.run_tasks` waits for all of them without an end, and after a 410 that met an outage it was seen to wait
        for ever: no watch, no exit, no error.
        """
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        self._end = lambda: _call(loop, stop.set)
        sessions: list[aiohttp.ClientSession] = []
        roots = await kopf.spawn_tasks(
            registry=_registry(self._config, main, self._deliver, sessions),
            settings=_settings(),
            identity="lanyard",  # type: ignore[arg-type]  # its NewType is not exported
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        stopped = asyncio.create_task(stop.wait())
        if not self._stopping:
            await asyncio.wait({*roots, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for session in sessions:
            await session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=GRACE)


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call into another thread's loop, if it still runs."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def _registry(
    config: KubeConfig, main: asyncio.AbstractEventLoop, deliver: Deliver, sessions: list[aiohttp.ClientSession]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        sessions.append(open_session(config, connections=0))
        return kopf.AiohttpSession(server=config.server, aiohttp_session=sessions[-1])

    for kind in ORDER:
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
