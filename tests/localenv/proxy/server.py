"""The process behind `FaultProxy`: forwards every request, unless a rule says otherwise."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections import deque
from typing import Any

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from localenv.proxy.faults import EXPIRED, Action, Rule, Rules

LOG_KEPT = 200_000
SMALL_BODY = 256 * 1024
HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        hdrs.CONNECTION,
        hdrs.KEEP_ALIVE,
        hdrs.PROXY_AUTHENTICATE,
        hdrs.PROXY_AUTHORIZATION,
        hdrs.TE,
        hdrs.TRAILER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
        hdrs.HOST,
        hdrs.EXPECT,
    )
)


def end_to_end(headers: Any) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


class FaultServer:
    def __init__(self, upstream: str, *, upstream_tls: ssl.SSLContext | None, tls: ssl.SSLContext | None) -> None:
        self._upstream = upstream.rstrip("/")
        self._upstream_tls = upstream_tls
        self._tls = tls
        self._rules = Rules()
        self._log: deque[dict[str, Any]] = deque(maxlen=LOG_KEPT)
        self._marker = 0
        self._port = 0
        self._listener: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        self._session = aiohttp.ClientSession(
            # Shorter than any upstream's idle limit: a connection it drops would look like an injected fault.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._upstream_tls or True, keepalive_timeout=20),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
            read_bufsize=SMALL_BODY,
        )
        self._server = web.Server(self._handle, handler_cancellation=True, keepalive_timeout=300, access_log=None)
        # Holds the port while nothing listens on it: without this, a client that tries again and again during an
        # outage can be given that very port as its own and connect to itself.
        self._placeholder = self._bind(port)
        self._port = int(self._placeholder.getsockname()[1])
        await self.open()
        return self._port

    @staticmethod
    def _bind(port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    async def open(self) -> None:
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                self._server, sock=self._bind(self._port), ssl=self._tls, backlog=512
            )

    async def refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self.cut()

    async def cut(self) -> None:
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        # The sockets are closed by the loop's next turns: whoever asked is answered after that.
        await asyncio.sleep(0.01)

    async def pass_through(self) -> None:
        self._rules.clear()
        await self.open()

    def add_rule(self, rule: Rule) -> None:
        self._rules.add(rule)

    def release(self) -> None:
        self._rules.release()

    def status(self) -> dict[str, Any]:
        return {"marker": self._marker, "parked": self._rules.parked, "open": self._listener is not None}

    def log(self, since: int) -> list[dict[str, Any]]:
        return [entry for entry in self._log if entry["marker"] > since]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        self._marker += 1
        entry: dict[str, Any] = {
            "marker": self._marker,
            "at": time.time(),
            "method": request.method,
            "path": path,
            "user_agent": request.headers.get(hdrs.USER_AGENT, ""),
            "status": 0,
            "fault": "",
        }
        self._log.append(entry)
        rule = self._rules.take(request.method, path)
        if rule is not None:
            entry["fault"] = rule.action.value
        response = await self._answer(request, rule, entry)
        if response is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        entry["status"] = response.status
        return response

    async def _answer(
        self, request: web.BaseRequest, rule: Rule | None, entry: dict[str, Any]
    ) -> web.StreamResponse | None:
        """The answer to give, or None where the connection is to be cut."""
        body = await request.content.read() if request.body_exists else None
        match rule.action if rule else None:
            case None:
                return await self._stream(request, body, entry)
            case Action.FAIL:
                assert rule is not None
                return web.Response(status=rule.status, headers=rule.headers, body=rule.body)
            case Action.GONE_HTTP:
                return web.json_response(EXPIRED, status=410)
            case Action.GONE_STREAM:
                event = json.dumps({"type": "ERROR", "object": EXPIRED}) + "\n"
                return web.Response(text=event, content_type="application/json")
            case Action.RESET:
                return None
            case Action.SLOW:
                assert rule is not None
                await asyncio.sleep(rule.seconds)
                return await self._stream(request, body, entry)
            case Action.HOLD_BEFORE:
                await self._rules.park()
                return await self._stream(request, body, entry)
            case Action.HOLD_AFTER:
                answer = await self._whole(request, body)
                await self._rules.park()
                return answer
            case Action.DROP_ANSWER:
                await self._whole(request, body)
                return None

    def _forward(self, request: web.BaseRequest, body: bytes | None) -> Any:
        return self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=end_to_end(request.headers),
            data=body,
            allow_redirects=False,
        )

    async def _whole(self, request: web.BaseRequest, body: bytes | None) -> web.Response | None:
        # Shielded: the upstream must see the request to its end even when the client has given up by then.
        async def forward() -> web.Response | None:
            try:
                async with self._forward(request, body) as upstream:
                    headers = end_to_end(upstream.headers)
                    headers.popall(hdrs.CONTENT_LENGTH, None)
                    return web.Response(status=upstream.status, headers=headers, body=await upstream.read())
            except aiohttp.ClientError:
                return None

        return await asyncio.shield(asyncio.ensure_future(forward()))

    async def _stream(
        self, request: web.BaseRequest, body: bytes | None, entry: dict[str, Any]
    ) -> web.StreamResponse | None:
        response: web.StreamResponse
        try:
            async with self._forward(request, body) as upstream:
                headers = end_to_end(upstream.headers)
                length = upstream.content_length
                if length is not None and length <= SMALL_BODY and request.method != hdrs.METH_HEAD:
                    headers.popall(hdrs.CONTENT_LENGTH, None)
                    return web.Response(status=upstream.status, headers=headers, body=await upstream.read())
                response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
                if length is None and upstream.status not in (204, 304) and request.method != hdrs.METH_HEAD:
                    response.enable_chunked_encoding()
                entry["status"] = upstream.status  # a watch is in the log from its start
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientError:
            return None

    async def close(self) -> None:
        await self.refuse()
        self._placeholder.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await self._server.shutdown(1)
        await self._session.close()


def control(server: FaultServer) -> web.Application:
    """The second port: plain HTTP on loopback, for the tests only."""

    async def act(request: web.Request) -> web.Response:
        match request.match_info["action"]:
            case "pass-through":
                await server.pass_through()
            case "refuse":
                await server.refuse()
            case "cut":
                await server.cut()
            case "release":
                server.release()
            case "rules":
                try:
                    server.add_rule(Rule.parse(await request.json()))
                except (TypeError, ValueError) as error:
                    return web.json_response({"error": str(error)}, status=400)
            case _:
                return web.json_response({"error": "no such control"}, status=404)
        return web.json_response(server.status())

    async def status(_: web.Request) -> web.Response:
        return web.json_response(server.status())

    async def log(request: web.Request) -> web.Response:
        return web.json_response(server.log(int(request.query.get("since", "0"))))

    app = web.Application()
    app.add_routes([web.post("/{action}", act), web.get("/status", status), web.get("/log", log)])
    return app
