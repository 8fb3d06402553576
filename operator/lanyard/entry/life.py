"""How long a process lives: until it is told to stop, or until a part ends without which it is of no use."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger(__name__)


class Life:
    """`failed` is True when a part ended by itself; the process then exits with status 1."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self.failed = False

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        self._over.set()

    def end_on_signals(self) -> None:
        """SIGTERM and SIGINT, in the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)

    async def lasts(self) -> None:
        await self._over.wait()

    def keep(self, work: Coroutine[Any, Any, None], part: str) -> asyncio.Task[None]:
        """A task that the process lives with: when it ends by itself, so does the process."""

        def ended(task: asyncio.Task[None]) -> None:
            if not self.is_over and not task.cancelled():
                fault = task.exception()
                _log.critical("a part has ended", extra={"part": part, "fault": type(fault).__name__})
                self.failed = True
                self.end()

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task
