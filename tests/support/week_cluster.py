"""An API server in memory, as far as a refresh needs one: objects, versions, preconditions, lists and watches."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanyard.clients.kube import Page
from lanyard.errors import KubernetesError, KubernetesStatus, SteppedBackError

Object = dict[str, Any]
PATH = re.compile(
    r"(?P<group>/api/v1|/apis/[^/]+/[^/]+)(/namespaces/(?P<place>[^/]+))?/(?P<plural>[^/]+)(/(?P<name>[^/]+))?"
)
BOOKMARK_EVERY = 900.0  # a server sends one a minute; nothing here depends on it


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    before: Object | None
    after: Object | None


class ModelCluster:
    """What the API server keeps. Objects are replaced and never changed, so a reader may keep what it was given."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.objects: dict[str, Object] = {}
        self.history: list[Change] = []
        self.on_change: Callable[[Change], None] = lambda _: None
        self.events: list[str] = []
        self._uids = itertools.count(1)
        self._news = asyncio.Event()

    def get(self, path: str) -> Object:
        if path not in self.objects:
            raise refused(404)
        return self.objects[path]

    def create(self, folder: str, body: Object) -> Object:
        if folder.endswith("/events"):
            self.events.append(body["reason"])
            return body
        path = f"{folder}/{body['metadata']['name']}"
        if path in self.objects:
            raise refused(409)
        place = PATH.fullmatch(path)
        metadata = {**body["metadata"], "uid": body["metadata"].get("uid") or f"uid-{next(self._uids)}"}
        if place is not None and place["place"]:
            metadata["namespace"] = place["place"]
        return self._put(path, {**body, "metadata": metadata})

    def apply(self, path: str, body: Object) -> Object:
        """Server-side apply of somebody who owns all that there is."""
        target = path.removesuffix("/status")
        before, wanted = self.objects.get(target), body["metadata"].get("uid")
        if before is None:
            raise refused(404 if target != path else 409)
        if wanted is not None and wanted != before["metadata"]["uid"]:
            raise refused(409 if target != path else 422)
        if target != path:
            return self._put(target, {**before, "status": body["status"]})
        metadata = {**before["metadata"], **body["metadata"]}
        metadata["labels"] = {**(before["metadata"].get("labels") or {}), **(body["metadata"].get("labels") or {})}
        return self._put(target, {**before, **body, "metadata": metadata})

    def merge(self, path: str, body: Object) -> Object:
        before = self.get(path)
        for name in ("uid", "resourceVersion"):
            if body.get("metadata", {}).get(name, before["metadata"][name]) != before["metadata"][name]:
                raise refused(409)
        after = _merged(before, body)
        if after.get("spec") != before.get("spec"):
            generation = before["metadata"].get("generation", 0) + 1
            after["metadata"] = {**after["metadata"], "generation": generation}
        return self._put(path, after)

    def delete(self, path: str, uid: str, version: str | None) -> None:
        before = self.get(path)["metadata"]
        if before["uid"] != uid or version not in {None, before["resourceVersion"]}:
            raise refused(409)
        self._note(Change(path, self.objects.pop(path), None))

    def within(self, folder: str, selector: str) -> list[Object]:
        return [one for path, one in self.objects.items() if lies_in(path, folder) and selects(selector, one)]

    @property
    def version(self) -> int:
        return len(self.history)

    async def changes(self, since: int) -> AsyncIterator[tuple[int, Change | None]]:
        """Every change after a version, as it comes; None is a bookmark."""
        while True:
            while since < len(self.history):
                since += 1
                yield since, self.history[since - 1]
            try:
                async with asyncio.timeout(BOOKMARK_EVERY):
                    await self._news.wait()
            except TimeoutError:
                yield since, None

    def _put(self, path: str, body: Object) -> Object:
        before, after = self.objects.get(path), json.loads(json.dumps(body))
        version = str(len(self.history) + 1)
        if before is not None and _same(before, after):
            return before
        after["metadata"]["resourceVersion"] = version
        self.objects[path] = after
        self._note(Change(path, before, after))
        return after

    def _note(self, change: Change) -> None:
        self.history.append(change)
        self._news.set()
        self._news = asyncio.Event()
        self.on_change(change)


class ModelKube:
    """The calls of `clients.kube.Kube` over such a cluster. `travel` is every call's way there and back: it raises what
    the weather does to it. `may_overwrite` as in the original.
    """

    def __init__(
        self,
        cluster: ModelCluster,
        travel: Callable[[str, str, Callable[[], Any]], Any],
        may_overwrite: Callable[[], bool] = lambda: True,
    ) -> None:
        self._cluster = cluster
        self._travel = travel
        self._may_overwrite = may_overwrite

    async def get(self, path: str, *, metadata_only: bool = False) -> Object:
        found: Object = await self._travel("GET", path, lambda: self._cluster.get(path))
        return {"metadata": found["metadata"]} if metadata_only else found

    async def dated_metadata(self, path: str) -> tuple[Object, datetime]:
        return (await self.get(path, metadata_only=True))["metadata"], self._cluster.clock()

    async def create(self, path: str, body: Object) -> Object:
        return await self._travel("POST", path, lambda: self._cluster.create(path, body))

    async def apply(self, path: str, body: Object) -> Object:
        if not self._may_overwrite():
            raise SteppedBackError
        return await self._travel("APPLY", path, lambda: self._cluster.apply(path, body))

    async def merge(self, path: str, body: Object) -> Object:
        return await self._travel("PATCH", path, lambda: self._cluster.merge(path, body))

    async def delete(self, path: str, *, uid: str, version: str | None = None) -> None:
        await self._travel("DELETE", path, lambda: self._cluster.delete(path, uid, version))

    async def pages(self, path: str, *, selector: str = "", metadata_only: bool = False) -> AsyncIterator[Page]:
        yield await self._travel(
            "LIST", path, lambda: Page(self._cluster.within(path, selector), str(self._cluster.version))
        )

    async def watch(
        self, path: str, *, version: str, selector: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Object]:
        await self._travel("WATCH", path, lambda: None)
        async for number, change in self._cluster.changes(int(version)):
            if change is None:
                await self._travel("WATCH", path, lambda: None)
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(number)}}}
                continue
            if not lies_in(change.path, path):
                continue
            was, now = (one is not None and selects(selector, one) for one in (change.before, change.after))
            if was or now:
                await self._travel("WATCH", path, lambda: None)
                last = change.after or change.before
                assert last is not None
                seen = {**last, "metadata": {**last["metadata"], "resourceVersion": str(number)}}
                yield {"type": "MODIFIED" if was and now else "ADDED" if now else "DELETED", "object": seen}


def refused(code: int, retry_after: float | None = None) -> KubernetesError:
    return KubernetesError(KubernetesStatus(code), retry_after)


def lies_in(path: str, folder: str) -> bool:
    one, all_of = PATH.fullmatch(path), PATH.fullmatch(folder)
    assert one is not None
    assert all_of is not None
    same = one["group"] == all_of["group"] and one["plural"] == all_of["plural"]
    return same and all_of["place"] in {None, one["place"]}


def selects(selector: str, body: Object) -> bool:
    labels = body["metadata"].get("labels") or {}
    return all(_holds(term.strip(), labels) for term in re.split(r",(?![^(]*\))", selector) if term)


def _holds(term: str, labels: dict[str, str]) -> bool:
    name, is_one_of, values = term.partition(" in ")
    if is_one_of:
        return labels.get(name) in {value.strip() for value in values.strip("()").split(",")}
    if term.startswith("!"):
        return term[1:] not in labels
    name, equals, value = term.partition("=")
    return labels.get(name) == value if equals else name in labels


def _merged(before: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _same(before: Object, after: Object) -> bool:
    version = {"resourceVersion": before["metadata"]["resourceVersion"]}
    return before == {**after, "metadata": {**after["metadata"], **version}}
