"""A forward proxy that records: CONNECT tunnels for https, absolute-form requests for http."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

START_SECONDS = 10.0
HEAD_LIMIT = 64 * 1024
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proxied:
    """`target` is host:port for CONNECT, the absolute URL else; `headers` as the client sent them to the proxy."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class ConnectProxy:
    """Plain HTTP on 127.0.0.1 in a thread of its own; `refuse_with` a status refuses every request with it."""

    def __init__(self, *, refuse_with: int | None = None) -> None:
        self.url = ""
        self.refuse_with = refuse_with
        self._recorded: list[Proxied] = []
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="connect-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(START_SECONDS):
            raise TimeoutError("the forward proxy did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def requests(self) -> list[Proxied]:
        with self._lock:
            return list(self._recorded)

    def tunnels(self) -> list[str]:
        """host:port of every CONNECT, oldest first."""
        return [request.target for request in self.requests() if request.method == "CONNECT"]

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await self._connection(reader, writer)
            finally:
                connections.discard(task)
                writer.close()

        listener = await asyncio.start_server(connected, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        self._listening.set()
        await self._stop.wait()
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.strip().split("\r\n")
        method, target, version = line.split(" ", 2)
        headers = tuple((name, value.strip()) for name, _, value in (text.partition(":") for text in lines))
        with self._lock:
            self._recorded.append(Proxied(method, target, headers))
        if self.refuse_with is not None:
            writer.write(
                f"HTTP/1.1 {self.refuse_with} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            return
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(url.hostname, url.port or 80)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                # One request a connection keeps this a byte pump behind the head.
                kept = [
                    (name, value) for name, value in headers if not name.lower().startswith(("proxy-", "connection"))
                ]
                path = target[target.index(url.netloc) + len(url.netloc) :] or "/"
                fields = "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("Connection", "close")])
                upstream_writer.write(f"{method} {path} {version}\r\n{fields}\r\n".encode("latin-1"))
            await asyncio.gather(self._pump(reader, upstream_writer), self._pump(upstream_reader, writer))
        finally:
            upstream_writer.close()

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
