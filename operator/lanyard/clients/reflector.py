"""A list/watch that replaces on re-list: of metadata for Secrets and Namespaces, of whole objects for the gateway.

kopf offers neither metadata-only watches nor replacement (research/kopf.md 1.4), and must never see a Secret's data.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError

_log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
Sleep = Callable[[float], Awaitable[None]]


Slim = TypeVar("Slim")


class Mirror(Protocol[Slim]):
    """Where a reflector writes to. `replace` gets everything at a resourceVersion, `change` and `forget` one object.

    `slim` keeps what is needed of an object's metadata, or of the whole object where the reflector reads that: with
    managedFields, 10,000 of them would take 60 MB.
    """

    def slim(self, content: dict[str, Any], /) -> Slim: ...

    def replace(self, everything: list[Slim], version: str) -> None: ...

    def change(self, one: Slim) -> None: ...

    def forget(self, one: Slim) -> None: ...


class Reflector(Generic[Slim]):
    """Keeps a mirror of what is behind `path` until cancelled. `synced` is set after the first list.

    `silence` is how long ago the API server last said anything of it: a list, an event, a bookmark (one a minute).
    """

    def __init__(
        self,
        kube: Kube,
        path: str,
        mirror: Mirror[Slim],
        *,
        selector: str = "",
        metadata_only: bool = True,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._path = path
        self._mirror = mirror
        self._selector = selector
        self._metadata_only = metadata_only
        self._sleep = sleep
        self._clock = clock
        self._heard_at = float("-inf")
        self._version = ""
        self._told = False
        self.synced = asyncio.Event()

    @property
    def silence(self) -> float:
        """Seconds; infinite before the first list."""
        return self._clock() - self._heard_at

    async def run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._told = False
            retry_after: float | None = None
            try:
                if not self._version:
                    await self._list()
                    self.synced.set()
                await self._watch()
                if self._told:
                    pause = FIRST_PAUSE
                    continue
            except KubernetesError as error:
                _log.warning("watch interrupted", extra={"path": self._path, "status": error.code})
                # 429 asks for fewer requests, and a list is the largest of them.
                if 400 <= error.code < 500 and error.code != 429:
                    self._version = ""
                retry_after = error.retry_after
            if self._told:
                pause = FIRST_PAUSE
            # A server that ends every watch at once, or answers 410 to it, must not be asked in a loop.
            await self._sleep(retry_after or pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _list(self) -> None:
        items: list[Slim] = []
        version = ""
        pages = self._kube.pages(self._path, selector=self._selector, metadata_only=self._metadata_only)
        async for page in pages:
            items += [self._mirror.slim(self._content(item)) for item in page.items]
            version = page.version
        self._mirror.replace(items, version)
        self._version = version
        self._heard_at = self._clock()

    async def _watch(self) -> None:
        """The version moves with every event, so that a watch that breaks goes on where it was."""
        events = self._kube.watch(
            self._path, version=self._version, selector=self._selector, metadata_only=self._metadata_only
        )
        async for event in events:
            self._heard_at = self._clock()
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._mirror.change(self._mirror.slim(self._content(event["object"])))
                case "DELETED":
                    self._mirror.forget(self._mirror.slim(self._content(event["object"])))
                case _:
                    pass  # a bookmark: only its version counts
            self._version = event["object"]["metadata"].get("resourceVersion", self._version)
            self._told = True

    def _content(self, item: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = item["metadata"] if self._metadata_only else item
        return content
