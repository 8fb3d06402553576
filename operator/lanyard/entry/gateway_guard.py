"""What stands before every page: how often may be asked, who asks, which headers every answer carries, one log line."""

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lanyard.entry.pages.layout import ICON_PATH, STYLE_PATH, Page
from lanyard.entry.pages.troubles import away_page, bad_request_page, busy_page, fault_page, no_page
from lanyard.errors import KubernetesError

_log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# form-action is given by each page: a form that ends at the provider passes through redirects, which browsers check.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {forms}"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Strict-Transport-Security": "max-age=31536000",
    "Server": "lanyard",
}
_KEPT = 20_000
_ALWAYS = {"/healthz", "/readyz", STYLE_PATH, ICON_PATH}


class Limiter:
    """A bucket for each asker: `per_minute` on average, and at once `burst`, else a third of that.

    The oldest asker is forgotten.
    """

    def __init__(
        self, per_minute: float, clock: Callable[[], float] = time.monotonic, *, burst: int | None = None
    ) -> None:
        self._rate = per_minute / 60.0
        self._burst = max(per_minute / 3.0, 1.0) if burst is None else float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, asker: str) -> float:
        """0 when the request is let through and counted, else seconds until the next one would be."""
        now = self._clock()
        level, at = self._buckets.pop(asker, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        let_through = level >= 1.0
        self._buckets[asker] = (level - 1.0 if let_through else level, now)
        if len(self._buckets) > _KEPT:
            self._buckets.popitem(last=False)
        return 0.0 if let_through else (1.0 - level) / self._rate


def client_address(peer: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """Who asks: the peer or, behind our own proxies, the nearest address in X-Forwarded-For that is none of them."""
    chain = [part.strip() for line in forwarded for part in line.split(",")]
    asker = _address(peer)
    while chain and asker is not None and any(asker in network for network in proxies):
        before = _address(chain.pop())
        if before is None:
            break
        asker = before
    if asker is None:
        return "unknown"
    # One subscriber has a whole /64; counting single addresses would count nothing.
    return str(ipaddress.ip_network((asker, 64), strict=False)) if asker.version == 6 else str(asker)


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def guard(
    limiter: Limiter,
    proxies: Sequence[Network],
    live: Callable[[], bool],
    *,
    is_for_machines: Callable[[str], bool],
    machines: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]],
) -> Middleware:
    """Outermost: every answer passes here, whatever made it. `live` says whether the mirrors are fresh; `machines`
    answers where programs ask, which is told by the path.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_for_machines(request.path):
            return await machines(request, handler)
        began = time.monotonic()
        answer = await _answer(request, handler, limiter, proxies, live)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Content-Security-Policy", _POLICY.format(forms="'none'"))
        resource = request.match_info.route.resource
        # The pattern of the path, never the path or the query: a callback's would carry code and state.
        place = resource.canonical if resource is not None else "none"
        facts = {"method": request.method, "route": place, "status": answer.status}
        _log.info("request", extra=facts | {"milliseconds": round((time.monotonic() - began) * 1000, 1)})
        return answer

    return guarded


async def _answer(
    request: web.Request, handler: Handler, limiter: Limiter, proxies: Sequence[Network], live: Callable[[], bool]
) -> web.StreamResponse:
    try:
        if request.path in _ALWAYS:
            return await handler(request)
        asker = client_address(request.remote or "", request.headers.getall("X-Forwarded-For", []), proxies)
        seconds = limiter.wait(asker)
        if seconds:
            return page_response(busy_page(int(seconds) + 1))
        if not live():
            return page_response(away_page())
        return await handler(request)
    except web.HTTPNotFound:
        return page_response(no_page())
    except web.HTTPException as error:
        return page_response(bad_request_page(error.status))
    except KubernetesError as error:
        _log.warning("the API server did not help", extra={"status": error.code})
        return page_response(away_page())
    except Exception as error:  # noqa: BLE001 - told by its type; the page says nothing of it
        _log.error("a request ended in a fault", extra={"fault": type(error).__name__})
        return page_response(fault_page())


def page_response(page: Page) -> web.Response:
    response = web.Response(status=page.status, text=page.html(), content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = _POLICY.format(
        forms="'self' https:" if page.forms_leave else "'self'"
    )
    if page.refresh:
        response.headers["Refresh"] = str(page.refresh)
    response.headers.update(page.headers)
    return response
