"""A list/watch that replaces on re-list, for metadata only: what Lanyard needs of Secrets and Namespaces.

kopf offers neither metadata-only watches nor replacement (research/kopf.md 1.4), and must never see a Secret's data.
"""

import asyncio
import logging
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

    `slim` keeps what is needed of an object's metadata: with managedFields, 10,000 of them would take 60 MB.
    """

    def slim(self, metadata: dict[str, Any]) -> Slim: ...

    def replace(self, everything: list[Slim], version: str) -> None: ...

    def change(self, one: Slim) -> None: ...

    def forget(self, one: Slim) -> None: ...


class Reflector(Generic[Slim]):
    """Keeps a mirror of the metadata behind `path` until cancelled. `synced` is set after the first list."""

    def __init__(
        self, kube: Kube, path: str, mirror: Mirror[Slim], *, selector: str = "", sleep: Sleep = asyncio.sleep
    ) -> None:
        self._kube = kube
        self._path = path
        self._mirror = mirror
        self._selector = selector
        self._sleep = sleep
        self._version = ""
        self._told = False
        self.synced = asyncio.Event()

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
        async for page in self._kube.pages(self._path, selector=self._selector, metadata_only=True):
            items += [self._mirror.slim(item["metadata"]) for item in page.items]
            version = page.version
        self._mirror.replace(items, version)
        self._version = version

    async def _watch(self) -> None:
        """The version moves with every event, so that a watch that breaks goes on where it was."""
        events = self._kube.watch(self._path, version=self._version, selector=self._selector, metadata_only=True)
        async for event in events:
            metadata = event["object"]["metadata"]
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._mirror.change(self._mirror.slim(metadata))
                case "DELETED":
                    self._mirror.forget(self._mirror.slim(metadata))
                case _:
                    pass  # a bookmark: only its version counts
            self._version = metadata.get("resourceVersion", self._version)
            self._told = True
