"""Requests on a few connections that are kept open, as fast as they are answered or at a pace. No HTTP library: the
client shares its cores with what is measured.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Pressed:
    """How it went. Latencies are in seconds, counted from the moment at which a request was due."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def a_second(self) -> float:
        return sum(self.statuses.values()) / max(self.seconds, 1e-9)

    def quantile(self, share: float) -> float:
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))]


def press(
    url: str,
    bodies: Sequence[bytes],
    *,
    connections: int = 16,
    a_second: float = 0.0,
    tls: ssl.SSLContext | None = None,
    keep: bool = True,
) -> Pressed:
    """POST each body, a form. `keep` False opens a connection for each; `a_second` 0 is as fast as it goes."""
    return asyncio.run(_press(url, bodies, connections, a_second, tls, keep))


async def _press(
    url: str, bodies: Sequence[bytes], connections: int, a_second: float, tls: ssl.SSLContext | None, keep: bool
) -> Pressed:
    place, done, turns = urlsplit(url), Pressed(), iter(enumerate(bodies))
    head = (
        f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\nContent-Length: "
    ).encode()
    began = time.perf_counter()

    async def work() -> None:
        reader, writer = None, None
        for number, body in turns:
            due = began + number / a_second if a_second else time.perf_counter()
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection(
                    place.hostname, place.port, ssl=tls, server_hostname=place.hostname if tls else None
                )
            writer.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            done.statuses[await _status(reader)] += 1
            done.latencies.append(time.perf_counter() - due)
            if not keep:
                writer.close()
                reader, writer = None, None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    done.seconds = time.perf_counter() - began
    return done


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    await reader.readexactly(length)
    return int(head[9:12])
