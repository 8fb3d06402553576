"""The metadata reflector against a list/watch server on loopback that can misbehave in every way the real one can."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lanyard.clients.kube import METADATA, METADATA_LIST, Kube
from lanyard.clients.kubeconfig import KubeConfig
from lanyard.clients.reflector import FIRST_PAUSE, LONGEST_PAUSE, Reflector
from lanyard.sensitive import Sensitive

PATH = "/api/v1/secrets"
SELECTOR = "lanyard.dev/readable=true"
PAGE = 2


class Api:
    """Lists and watches of one kind. `refusals` are answered instead of the next requests of that sort."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.compacted = 0
        self.requests: list[tuple[str, web.Request]] = []
        self.list_refusals: deque[web.Response] = deque()
        self.page_refusals: deque[web.Response] = deque()
        """For pages after the first."""
        self.watch_refusals: deque[web.Response | str] = deque()
        self.changed = asyncio.Condition()
        self.cuts = 0
        self.politely = False
        self.watching = 0
        self.whole = False
        """True where objects have a spec beside their metadata."""

    def asked(self, sort: str) -> list[web.Request]:
        return [request for kind, request in self.requests if kind == sort]

    async def put(self, name: str) -> None:
        await self._record("MODIFIED" if name in self.objects else "ADDED", name)

    async def remove(self, name: str) -> None:
        await self._record("DELETED", name)

    async def bookmark(self) -> None:
        await self._record("BOOKMARK", "")

    async def say(self, line: str) -> None:
        await self._append(line, {})

    async def _record(self, event: str, name: str) -> None:
        metadata = {"name": name, "namespace": "sales", "uid": f"uid-{name}", "resourceVersion": str(self.version + 1)}
        spec = {"spec": {"version": str(self.version + 1)}} if self.whole else {}
        self.objects.pop(name, None)
        if event in {"ADDED", "MODIFIED"}:
            self.objects[name] = metadata
        bookmark = {"resourceVersion": str(self.version + 1)}
        await self._append(event, {"metadata": metadata if name else bookmark, **spec})

    async def _append(self, event: str, body: dict[str, Any]) -> None:
        self.version += 1
        async with self.changed:
            self.history.append((self.version, event, body))
            self.changed.notify_all()

    async def cut(self, *, politely: bool = False) -> None:
        """End every watch: by a reset, or as the server does when its time is over."""
        async with self.changed:
            self.cuts += 1
            self.politely = politely
            self.changed.notify_all()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            self.requests.append(("watch", request))
            return await self._watched(request)
        self.requests.append(("list", request))
        begin = int(request.query.get("continue", "0"))
        refusals = self.page_refusals if begin else self.list_refusals
        if refusals:
            return refusals.popleft()
        names = sorted(self.objects)[begin : begin + PAGE]
        metadata: dict[str, Any] = {"resourceVersion": str(self.version)}
        if begin + PAGE < len(self.objects):
            metadata["continue"] = str(begin + PAGE)
        items: list[dict[str, Any]] = [{"metadata": self.objects[name]} for name in names]
        if self.whole:
            items = [one | {"spec": {"version": one["metadata"]["resourceVersion"]}} for one in items]
        return web.json_response({"metadata": metadata, "items": items})

    async def _watched(self, request: web.Request) -> web.StreamResponse:
        refusal = self.watch_refusals.popleft() if self.watch_refusals else None
        if isinstance(refusal, web.Response):
            return refusal
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if refusal is not None:
            await response.write(refusal.encode())
            return response
        if since < self.compacted:
            await response.write(line("ERROR", {"code": 410, "reason": "Expired"}))
            return response
        cuts, position = self.cuts, 0
        self.watching += 1
        try:
            while self.cuts == cuts:
                while position < len(self.history):
                    version, event, body = self.history[position]
                    position += 1
                    if version > since:
                        await response.write(line(event, body) if body else event.encode())
                async with self.changed:
                    while self.cuts == cuts and position == len(self.history):
                        await self.changed.wait()
        finally:
            self.watching -= 1
        if request.transport is not None and not self.politely:
            request.transport.abort()
        return response


def line(event: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"type": event, "object": body}).encode() + b"\n"


class Names:
    """A mirror of names and versions, and every call it got."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.calls: list[str] = []

    def slim(self, metadata: dict[str, Any]) -> tuple[str, str]:
        return metadata["name"], metadata["resourceVersion"]

    def replace(self, everything: list[tuple[str, str]], version: str) -> None:
        self.calls.append(f"replace at {version}")
        self.known = dict(everything)

    def change(self, one: tuple[str, str]) -> None:
        self.calls.append(f"change {one[0]} {one[1]}")
        self.known[one[0]] = one[1]

    def forget(self, one: tuple[str, str]) -> None:
        self.calls.append(f"forget {one[0]}")
        self.known.pop(one[0], None)


class Watching:
    """A reflector at work."""

    def __init__(self, api: Api, kube: Kube, mirror: Names, **more: Any) -> None:
        self.api = api
        self.mirror = mirror
        self.pauses: list[float] = []
        self.reflector: Reflector[Any] = Reflector(
            kube, PATH, self.mirror, selector=SELECTOR, sleep=self._sleep, **more
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.002)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def settled(self) -> None:
        """Watching, and level with the server."""
        await self.until(
            lambda: self.api.watching > 0 and self.mirror.known.keys() == self.api.objects.keys() and self.level()
        )

    def level(self) -> bool:
        return all(self.mirror.known[name] == one["resourceVersion"] for name, one in self.api.objects.items())


@asynccontextmanager
async def watching(
    api: Api,
    *,
    mirror: Names | None = None,
    metadata_only: bool = True,
    clock: Callable[[], float] = time.monotonic,
    **identity: Any,
) -> AsyncIterator[Watching]:
    app = web.Application()
    app.router.add_get(PATH, api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Kube(KubeConfig(server=server, **(identity or {"token": Sensitive("t0k3n")}))) as kube:
        one = Watching(api, kube, mirror or Names(), metadata_only=metadata_only, clock=clock)
        task = asyncio.create_task(one.reflector.run())
        try:
            yield one
        finally:
            assert not task.done(), "a reflector never ends by itself"
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    await api.cut()
    await runner.cleanup()


async def api_with(*names: str) -> Api:
    api = Api()
    for name in names:
        await api.put(name)
    return api


def status(code: int, **headers: str) -> web.Response:
    return web.json_response({"reason": "Scripted"}, status=code, headers=headers)


async def test_the_first_list_fills_the_mirror_a_page_at_a_time() -> None:
    api = await api_with("a", "b", "c", "d", "e")
    async with watching(api) as one:
        await asyncio.wait_for(one.reflector.synced.wait(), 10)
        assert one.mirror.known.keys() == {"a", "b", "c", "d", "e"}
        assert one.mirror.calls == ["replace at 15"], "a page alone is not everything"
        assert len(api.asked("list")) == 3


@pytest.mark.spec("A2", "C8")
async def test_it_asks_for_metadata_only_with_its_selector_and_its_own_token() -> None:
    async with watching(await api_with("a")) as one:
        await one.settled()
        for sort, accept in (("list", METADATA_LIST), ("watch", METADATA)):
            (request,) = one.api.asked(sort)
            assert request.headers["Accept"] == accept
            assert request.headers["Authorization"] == "Bearer t0k3n"
            assert request.query["labelSelector"] == SELECTOR
        watch = one.api.asked("watch")[0]
        assert (watch.query["resourceVersion"], watch.query["allowWatchBookmarks"]) == ("11", "true")


@pytest.mark.spec("C10")
async def test_what_happens_afterwards_is_told_one_by_one() -> None:
    async with watching(await api_with("a", "b")) as one:
        await one.settled()
        await one.api.put("a")
        await one.api.put("c")
        await one.api.remove("b")
        await one.settled()
        assert one.mirror.calls == ["replace at 12", "change a 13", "change c 14", "forget b"]
        assert one.pauses == []


@pytest.mark.parametrize("politely", [True, False], ids=["its time is over", "it breaks"])
async def test_a_watch_that_ends_goes_on_where_it_was(politely: bool) -> None:
    async with watching(await api_with("a")) as one:
        await one.settled()
        for _ in range(3):
            await one.api.put("a")
        await one.settled()
        await one.api.cut(politely=politely)
        await one.until(lambda: len(one.api.asked("watch")) == 2)
        await one.api.put("b")
        await one.settled()
        assert one.api.asked("watch")[1].query["resourceVersion"] == "14"
        assert one.mirror.calls[1:] == ["change a 12", "change a 13", "change a 14", "change b 15"], "nothing twice"
        assert len(one.api.asked("list")) == 1
        assert one.pauses == ([] if politely else [FIRST_PAUSE])


async def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    async with watching(await api_with("a")) as one:
        await one.settled()
        await one.api.bookmark()
        await asyncio.sleep(0.05)
        await one.api.cut()
        await one.until(lambda: len(one.api.asked("watch")) == 2)
        assert one.api.asked("watch")[1].query["resourceVersion"] == "12"
        assert one.mirror.calls == ["replace at 11"]


@pytest.mark.parametrize("as_event", [True, False], ids=["as an event", "as a status"])
async def test_a_version_that_is_too_old_is_listed_anew_and_ghosts_vanish(as_event: bool) -> None:
    async with watching(await api_with("a", "ghost")) as one:
        await one.settled()
        # Everything happens unseen: the watch is cut, and the server forgets what happened.
        one.api.watch_refusals.extend(status(503) for _ in range(3))
        await one.api.cut()
        await one.until(lambda: len(one.pauses) >= 2)
        await one.api.remove("ghost")
        await one.api.put("new")
        if as_event:
            one.api.compacted = one.api.version
        else:
            one.api.watch_refusals.append(status(410))
        await one.settled()
        assert one.mirror.known.keys() == {"a", "new"}
        assert one.mirror.calls[-1] == f"replace at {one.api.version}"


async def test_a_server_that_answers_410_for_ever_is_not_listed_in_a_loop() -> None:
    api = await api_with("a")
    api.watch_refusals.extend(status(410) for _ in range(8))
    async with watching(api) as one:
        await one.settled()
        assert one.pauses == [FIRST_PAUSE, 2.0, 4.0, 8.0, 16.0, *[LONGEST_PAUSE] * 3]


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop() -> None:
    api = await api_with("a")
    api.watch_refusals.extend([""] * 3)
    async with watching(api) as one:
        await one.settled()
        assert one.pauses == [FIRST_PAUSE, 2.0, 4.0]
        assert len(api.asked("list")) == 1


async def test_a_server_under_load_is_not_asked_for_a_list() -> None:
    api = await api_with("a")
    api.watch_refusals.extend(status(429, **{"Retry-After": "7"}) for _ in range(2))
    async with watching(api) as one:
        await one.settled()
        assert one.pauses == [7.0, 7.0]
        assert len(api.asked("list")) == 1


async def test_the_first_list_is_tried_until_it_comes() -> None:
    api = await api_with("a")
    api.list_refusals.extend([status(403), status(500), web.Response(text="<html>not JSON")])
    async with watching(api) as one:
        await one.until(lambda: len(one.pauses) > 0)
        await one.settled()
        assert one.pauses == [FIRST_PAUSE, 2.0, 4.0]
        assert one.mirror.calls == ["replace at 11"]


async def test_a_list_that_breaks_off_replaces_nothing() -> None:
    api = await api_with("a", "b", "c")
    async with watching(api) as one:
        await one.settled()
        api.watch_refusals.append(status(410))
        api.page_refusals.append(status(410))
        await api.cut()
        await one.until(lambda: len(api.asked("watch")) == 3)
        assert len(api.asked("list")) == 2 + 2 + 2
        assert one.mirror.known.keys() == {"a", "b", "c"}
        assert all("forget" not in call for call in one.mirror.calls)


@pytest.mark.parametrize(
    "text",
    ["not JSON at all\n", '{"type": "MODIFIED", "obj', ""],
    ids=["a line that is not JSON", "half a line", "nothing"],
)
async def test_a_broken_line_ends_the_watch_and_not_the_reflector(text: str) -> None:
    api = await api_with("a")
    api.watch_refusals.append(text)
    async with watching(api) as one:
        await one.settled()
        await api.put("b")
        await one.settled()
        assert len(one.pauses) == 1


async def test_an_event_may_be_larger_than_a_buffer() -> None:
    async with watching(await api_with("a")) as one:
        await one.settled()
        big = {"name": "big", "resourceVersion": "99", "annotations": {"a": "x" * 300_000}}
        await one.api.say(json.dumps({"type": "ADDED", "object": {"metadata": big}}) + "\n")
        await one.until(lambda: "big" in one.mirror.known)


async def test_a_watch_that_was_steady_is_taken_up_again_without_a_long_pause() -> None:
    async with watching(await api_with("a")) as one:
        await one.settled()
        for _ in range(4):
            await one.api.put("a")
            await one.settled()
            before = len(one.api.asked("watch"))
            await one.api.cut()
            await one.until(lambda before=before: len(one.api.asked("watch")) > before)  # type: ignore[misc]
        assert set(one.pauses) <= {FIRST_PAUSE}


async def test_a_token_that_was_replaced_is_read_again_when_the_old_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    api = await api_with("a")
    async with watching(api, token_file=str(file)) as one:
        await one.settled()
        file.write_text("new")
        api.watch_refusals.append(status(401))
        await api.cut()
        await one.until(lambda: len(api.asked("watch")) == 3)
        tokens = [request.headers["Authorization"] for _, request in api.requests]
        assert tokens == ["Bearer old"] * 3 + ["Bearer new"] * 2, "list, watch, refused watch, list, watch"


class Whole(Names):
    """A mirror of specs, as the gateway keeps them."""

    def slim(self, body: dict[str, Any]) -> tuple[str, str]:
        return body["metadata"]["name"], body["spec"]["version"]


async def test_whole_objects_come_with_their_spec_and_without_asking_for_metadata() -> None:
    api = Api()
    api.whole = True
    await api.put("a")
    async with watching(api, mirror=Whole(), metadata_only=False) as one:
        await one.until(lambda: one.mirror.known == {"a": "11"})
        await one.until(lambda: api.watching > 0)
        await api.put("b")
        await one.until(lambda: one.mirror.known == {"a": "11", "b": "12"})
        await api.remove("a")
        await one.until(lambda: one.mirror.known == {"b": "12"})
    assert {request.headers["Accept"] for _, request in api.requests} == {"application/json"}


async def test_silence_is_counted_from_the_last_word_of_the_server() -> None:
    api, clock = Api(), [100.0]
    async with watching(api, clock=lambda: clock[0]) as one:
        await one.settled()
        assert one.reflector.silence == 0.0
        clock[0] = 160.0
        assert one.reflector.silence == 60.0
        await api.bookmark()
        await one.until(lambda: one.reflector.silence == 0.0)
        clock[0] = 170.0
        await api.put("a")
        await one.until(lambda: one.reflector.silence == 0.0)


async def test_a_reflector_that_has_listed_nothing_yet_has_always_been_silent() -> None:
    async with Kube(KubeConfig(server="http://127.0.0.1:1")) as kube:
        assert Reflector(kube, PATH, Names()).silence == float("inf")
