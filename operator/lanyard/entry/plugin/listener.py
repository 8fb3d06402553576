"""A one-shot listener on 127.0.0.1: the start page sends its browser here with the hash of the secret it made.

It shows nothing and answers with one redirect, back to the page that sent the browser. The path is random, so that no
other page can hand in a hash of its own; `Host` is compared, so that no name which was rebound can either.
"""

import hmac
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

HASH = re.compile(r"[A-Za-z0-9_-]{16,128}")
LOOPBACK = "127.0.0.1"
REQUEST_SECONDS = 5.0


class Listener:
    """`take` gets the hash once, before the redirect to `back` is answered; what it raises is kept in `failure`."""

    def __init__(self, *, nonce: str, back: str, take: Callable[[str], None]) -> None:
        self.nonce = nonce
        self.failure: Exception | None = None
        self._back = back
        self._take = take
        self._taken = threading.Event()
        self._server = HTTPServer((LOOPBACK, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def return_value(self) -> str:
        """What the start page is given: port and nonce."""
        return f"{self.port}.{self.nonce}"

    def wait(self, seconds: float) -> bool:
        """Whether a hash came within the time; raises what `take` raised."""
        came = self._taken.wait(seconds)
        if self.failure is not None:
            raise self.failure
        return came

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def offered(self, path: str, host: str) -> str | None:
        """The hash of a request that may hand one in."""
        parts = urlsplit(path)
        if host != f"{LOOPBACK}:{self.port}" or not hmac.compare_digest(parts.path.encode(), f"/{self.nonce}".encode()):
            return None
        values = parse_qs(parts.query).get("hash", [])
        return values[0] if len(values) == 1 and HASH.fullmatch(values[0]) else None

    def receive(self, found: str) -> None:
        if self._taken.is_set():
            return
        try:
            self._take(found)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self.failure = error
        self._taken.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener, back = self, self._back

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_SECONDS

            def do_GET(self) -> None:
                found = listener.offered(self.path, self.headers.get("Host", ""))
                if found is None:
                    self.send_response_only(404)
                else:
                    listener.receive(found)
                    self.send_response_only(303)
                    self.send_header("Location", back)
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """The path is a secret of this run."""

        return Handler
