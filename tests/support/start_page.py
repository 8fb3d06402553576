"""The start page of the gateway, as far as `kubectl lanyard authorize` sees it: the protocol, without the consent."""

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

RETURN = re.compile(r"([1-9][0-9]{3,4})\.([A-Za-z0-9_-]{43})")


class StartPage:
    """Sends a browser that brings a `return` to the command, and calls `seen` when the browser is back."""

    def __init__(self, browser_hash: str, seen: Callable[[], None]) -> None:
        self.visits: list[str] = []
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                page.visits.append(self.path)
                place = RETURN.fullmatch("".join(parse_qs(parts.query).get("return", [])))
                if place:
                    self.send_response(303)
                    self.send_header("Location", f"http://127.0.0.1:{place[1]}/{place[2]}?hash={browser_hash}")
                else:
                    seen()
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/connect/sales/crm"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
