"""Two proxies, before the API server and before a provider, at which every outside effect of the operator can be held.

Each request that changes something is named (support/effects.py). For one place (a namespace of a test) one of the
named steps can be armed with a moment: the request is held before it is forwarded, or its answer is held, until the
operator has been killed from outside; or the answer is thrown away; or the request is answered in the upstream's
place. The operator knows nothing of it.
"""

import asyncio
import contextlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from localenv.proxy.server import end_to_end
from support.effects import ASIDE, Effect, Passing

START_SECONDS = 10.0
GOODBYE_SECONDS = 0.3
SMALL_BODY = 256 * 1024
REFUSAL = b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503}'


class Moment(Enum):
    """What happens at a step."""

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    ANSWER_LOST = "answer lost"
    REFUSED = "refused (503)"

    @property
    def kills(self) -> bool:
        return self in {Moment.KILLED_BEFORE, Moment.KILLED_AFTER}


@dataclass(frozen=True, slots=True)
class Seen:
    """One effect as it passed: `flow` is what its place was going through, `status` 0 while there is no answer."""

    at: float
    place: str
    flow: str
    step: str
    status: int
    moment: Moment | None


@dataclass(frozen=True, slots=True)
class Trap:
    """One step, the next time it comes, and what happens to it."""

    step: str
    moment: Moment


Namer = Callable[[Passing], Effect | None]


class Checkpoint:
    """Both proxies in a thread of their own. `listen` first, then `with`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._traps: dict[str, list[Trap]] = {}
        self._flows: dict[str, str] = {}
        self._held: Counter[str] = Counter()
        self._seen: list[Seen] = []
        self.aside: Counter[str] = Counter()
        self._listeners: list[_Listener] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="checkpoint", daemon=True)

    def listen(
        self,
        upstream: str,
        name_of: Namer,
        *,
        upstream_ca: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> "_Listener":
        """A proxy before `upstream`; with a certificate it speaks TLS. Its `url` is known once this is started."""
        listener = _Listener(self, upstream, name_of, upstream_ca, certificate)
        self._listeners.append(listener)
        return listener

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise TimeoutError("the checkpoint did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    # what tests say

    def follow(self, place: str, flow: str) -> None:
        """From now on what happens there belongs to this flow."""
        with self._changed:
            self._flows[place] = flow

    def arm(self, place: str, *traps: Trap) -> None:
        """One after the other."""
        with self._changed:
            self._traps[place] = list(traps)

    def wait_held(self, places: list[str], *, seconds: float) -> list[str]:
        """Wait until each of these places has a request held. Returns those that had none in time."""
        with self._changed:
            self._changed.wait_for(lambda: all(self._held[place] for place in places), seconds)
            return [place for place in places if not self._held[place]]

    def wait_struck(self, places: list[str], *, seconds: float) -> list[str]:
        """Wait until nothing is armed for any of these places. Returns those where something still was."""
        with self._changed:
            self._changed.wait_for(lambda: not any(self._traps.get(place) for place in places), seconds)
            return [place for place in places if self._traps.get(place)]

    def seen(self, place: str | None = None) -> list[Seen]:
        with self._changed:
            return [one for one in self._seen if place in (None, one.place)]

    def steps(self, place: str) -> list[str]:
        """For people who look for the cause of a failure."""
        return [f"{one.flow}: {one.step} {one.status} {one.moment or ''}".strip() for one in self.seen(place)]

    # what the proxies ask

    def _met(self, effect: Effect) -> Moment | None:
        """What is armed here; it is spent by asking."""
        with self._changed:
            traps = self._traps.get(effect.place)
            if not traps or traps[0].step != effect.step:
                return None
            return traps.pop(0).moment

    def _passed(self, effect: Effect, status: int, moment: Moment | None) -> None:
        with self._changed:
            flow = self._flows.get(effect.place, "")
            self._seen.append(Seen(time.monotonic(), effect.place, flow, effect.step, status, moment))
            self._changed.notify_all()

    async def _hold(self, place: str) -> None:
        """For ever: the end of the connection, which is that of the operator, ends it."""
        with self._changed:
            self._held[place] += 1
            self._changed.notify_all()
        try:
            await asyncio.Event().wait()
        finally:
            with self._changed:
                self._held[place] -= 1

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for listener in self._listeners:
            await listener.start()
        self._started.set()
        await self._stop.wait()
        for listener in self._listeners:
            await listener.close()
        # TLS connections say goodbye in the loop's next turns.
        await asyncio.sleep(GOODBYE_SECONDS)


class _Listener:
    """One of the proxies."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        upstream: str,
        name_of: Namer,
        upstream_ca: Path | None,
        certificate: tuple[Path, Path] | None,
    ) -> None:
        self.url = ""
        self._checkpoint = checkpoint
        self._upstream = upstream.rstrip("/")
        self._name_of = name_of
        self._upstream_tls = ssl.create_default_context(cafile=str(upstream_ca)) if upstream_ca is not None else True
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._upstream_tls, keepalive_timeout=20),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
            read_bufsize=SMALL_BODY,
        )
        # A handler ends with its client: what is held for an operator that was killed is dropped.
        self._server = web.Server(self._handle, handler_cancellation=True, keepalive_timeout=300, access_log=None)
        loop = asyncio.get_running_loop()
        self._socket = await loop.create_server(self._server, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        port = self._socket.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    async def close(self) -> None:
        self._socket.close()
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        with contextlib.suppress(asyncio.TimeoutError):
            await self._server.shutdown(1)
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read() if request.body_exists else b""
        effect = self._name_of(Passing(request.method, request.raw_path, request.headers, body))
        if effect is None:
            return await self._stream(request, body)
        if effect.step == ASIDE:
            self._checkpoint.aside[effect.place] += 1
            return await self._stream(request, body)
        moment = self._checkpoint._met(effect)
        answer = await self._struck(request, body, effect, moment)
        return answer if answer is not None else self._cut(request)

    async def _struck(
        self, request: web.BaseRequest, body: bytes, effect: Effect, moment: Moment | None
    ) -> web.Response | None:
        """The answer; None where the connection is to be cut instead."""
        match moment:
            case Moment.KILLED_BEFORE:
                await self._checkpoint._hold(effect.place)
                return None
            case Moment.REFUSED:
                self._checkpoint._passed(effect, 503, moment)
                return web.Response(status=503, body=REFUSAL, content_type="application/json")
            case Moment.KILLED_AFTER | Moment.ANSWER_LOST | None:
                # Shielded: what has reached the proxy reaches its upstream, whatever becomes of the operator.
                answer = await asyncio.shield(asyncio.ensure_future(self._whole(request, body)))
                self._checkpoint._passed(effect, answer.status, moment)
                if moment is Moment.KILLED_AFTER:
                    await self._checkpoint._hold(effect.place)
                return answer if moment is None else None

    @staticmethod
    def _cut(request: web.BaseRequest) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)

    def _forward(self, request: web.BaseRequest, body: bytes) -> Any:
        return self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=end_to_end(request.headers),
            data=body or None,
            allow_redirects=False,
        )

    async def _whole(self, request: web.BaseRequest, body: bytes) -> web.Response:
        async with self._forward(request, body) as upstream:
            headers = end_to_end(upstream.headers)
            headers.popall(hdrs.CONTENT_LENGTH, None)
            return web.Response(status=upstream.status, headers=headers, body=await upstream.read())

    async def _stream(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Reads, watches among them, as they come."""
        async with self._forward(request, body) as upstream:
            headers = end_to_end(upstream.headers)
            length = upstream.content_length
            if length is not None and length <= SMALL_BODY:
                headers.popall(hdrs.CONTENT_LENGTH, None)
                return web.Response(status=upstream.status, headers=headers, body=await upstream.read())
            response = web.StreamResponse(status=upstream.status, headers=headers)
            if length is None:
                response.enable_chunked_encoding()
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
