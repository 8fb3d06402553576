"""A provider that answers as scripted and records every request as it came over the wire."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

from support.certificates import authority_of_tests

CHUNK = 64 * 1024
START_SECONDS = 10.0


class Fault(StrEnum):
    """How an answer goes wrong below HTTP: reset (TCP RST), hang (no byte, ever), truncate (cut inside the body)."""

    RESET = "reset"
    HANG = "hang"
    TRUNCATE = "truncate"


@dataclass(frozen=True, slots=True)
class Answer:
    """`delay` seconds come first; `stream_bytes` sends that many bytes, chunked, in the body's place.

    `then_hang` leaves such a stream open.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    stream_bytes: int = 0
    then_hang: bool = False
    fault: Fault | None = None

    @classmethod
    def of_json(
        cls, value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, delay: float = 0
    ) -> Self:
        body = json.dumps(value).encode()
        return cls(status, {"Content-Type": "application/json", **(headers or {})}, body, delay)

    @classmethod
    def of_token(cls, token: str = "t0k3n", *, delay: float = 0, **changes: Any) -> Self:
        """A token answer (RFC 6749 section 5.1); a field changed to None is left out."""
        fields = {"access_token": token, "token_type": "Bearer", "expires_in": 3600} | changes
        return cls.of_json({name: value for name, value in fields.items() if value is not None}, delay=delay)

    @classmethod
    def of_error(cls, error: str, status: int = 400, **fields: Any) -> Self:
        """An error answer (RFC 6749 section 5.2)."""
        return cls.of_json({"error": error, **fields}, status)

    @classmethod
    def of_html(cls, status: int = 200, text: str = "<html><body>sign in</body></html>") -> Self:
        return cls(status, {"Content-Type": "text/html"}, text.encode())

    @classmethod
    def of_redirect(cls, location: str, status: int = 302) -> Self:
        return cls(status, {"Location": location})

    @classmethod
    def of_size(cls, size: int = 10_000_000) -> Self:
        return cls(headers={"Content-Type": "application/json"}, stream_bytes=size)


RESET = Answer(fault=Fault.RESET)
HANG = Answer(fault=Fault.HANG)
TRUNCATED = Answer(headers={"Content-Type": "application/json"}, body=b'{"access_token": "t0', fault=Fault.TRUNCATE)
NOT_SCRIPTED = Answer(404, {"Content-Type": "text/plain"}, b"not scripted")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request: `at` monotonic seconds, `query` as sent, `headers` in their order and spelling."""

    at: float
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's value, None where it was not sent; AssertionError where it came twice."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    @property
    def form(self) -> dict[str, str]:
        """The body as a form; AssertionError where a field came twice."""
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body))
        assert len(dict(pairs)) == len(pairs), "a form field was sent twice"
        return dict(pairs)


Script = Callable[[Recorded], Answer]


class ScriptedProvider:
    """Serves on 127.0.0.1 in its own thread; `certificate_for` another name makes its certificate the wrong one."""

    def __init__(self, *, tls: bool = True, certificate_for: str = "127.0.0.1", expired: bool = False) -> None:
        authority = authority_of_tests()
        self.ca_pem = authority.pem
        self.url = ""
        self.port = 0
        self.peak = 0
        self._open = 0
        self._tls = authority.server_context(certificate_for, expired=expired) if tls else None
        self._scripts: dict[str, list[Answer] | Script] = {}
        self._recorded: list[Recorded] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="scripted-provider", daemon=True
        )
        self._listening = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(START_SECONDS):
            raise TimeoutError("the scripted provider did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def certify(self, host: str = "127.0.0.1", *, expired: bool = False) -> None:
        """Show this certificate to whoever connects from now on."""
        assert self._tls is not None
        authority_of_tests().certify(self._tls, host, expired=expired)

    def script(self, path: str, *answers: Answer | Script) -> None:
        """Answer requests to `path` in turn, the last answer staying, or by one callable; replaces what was there."""
        with self._changed:
            if len(answers) == 1 and not isinstance(answers[0], Answer):
                self._scripts[path] = answers[0]
            else:
                self._scripts[path] = [answer for answer in answers if isinstance(answer, Answer)]

    def requests(self, path: str | None = None) -> list[Recorded]:
        with self._changed:
            return [request for request in self._recorded if path in (None, request.path)]

    def forget(self) -> None:
        with self._changed:
            self._recorded.clear()
            self.peak = 0

    def wait_for(self, count: int = 1, path: str | None = None, *, seconds: float = 10.0) -> list[Recorded]:
        """Wait until `count` requests have come; TimeoutError else."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: sum(path in (None, request.path) for request in self._recorded) >= count, seconds
            )
        found = self.requests(path)
        if not arrived:
            raise TimeoutError(f"{len(found)} of {count} requests came within {seconds} s")
        return found

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        listener = await self._loop.create_server(server, "127.0.0.1", 0, ssl=self._tls)
        self.port = listener.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        self._listening.set()
        await self._stop.wait()
        listener.close()
        for connection in list(server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await server.shutdown(1)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        raw_path, _, query = request.raw_path.partition("?")
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
        recorded = Recorded(time.monotonic(), request.method, raw_path, query, headers, body)
        with self._changed:
            self._recorded.append(recorded)
            self._open += 1
            self.peak = max(self.peak, self._open)
            self._changed.notify_all()
        try:
            return await self._answer(request, self._next(recorded))
        finally:
            with self._changed:
                self._open -= 1

    def _next(self, recorded: Recorded) -> Answer:
        with self._changed:
            script = self._scripts.get(recorded.path)
            if isinstance(script, list):
                return NOT_SCRIPTED if not script else script.pop(0) if len(script) > 1 else script[0]
        return script(recorded) if script else NOT_SCRIPTED

    async def _answer(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.delay:
            await asyncio.sleep(answer.delay)
        match answer.fault:
            case Fault.HANG:
                await asyncio.Event().wait()
            case Fault.RESET:
                self._reset(request)
                return web.Response()
            case Fault.TRUNCATE:
                response = web.StreamResponse(status=answer.status, headers=answer.headers)
                response.content_length = len(answer.body) + 100
                await response.prepare(request)
                await response.write(answer.body)
                if request.transport is not None:
                    request.transport.close()
                return response
            case None:
                pass
        if not answer.stream_bytes:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, answer.stream_bytes, CHUNK):
            await response.write(b" " * min(CHUNK, answer.stream_bytes - start))
        if answer.then_hang:
            await asyncio.Event().wait()
        await response.write_eof()
        return response

    @staticmethod
    def _reset(request: web.BaseRequest) -> None:
        if request.transport is None:
            return
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
