"""The gateway's addresses: a Connection's consent page, the providers' callback, our style sheet, health."""

import math
import re
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web

from lanyard.entry.gateway_guard import Limiter, page_response
from lanyard.entry.pages.consent import approved_page, code_page, ended_page, path_of, unapproved_page, underway_page
from lanyard.entry.pages.layout import ICON, ICON_PATH, STYLE, STYLE_PATH, Page
from lanyard.entry.pages.troubles import busy_page, trouble_page
from lanyard.flows.browsers import opened_browser, sealed_browser
from lanyard.flows.consent import ConsentFlow
from lanyard.flows.standing import Approved, Coded, ConsentRefusedError, Ended, Standing, Unapproved, Underway
from lanyard.rules.consent import Browser
from lanyard.stores.keyring import Keyring

COOKIE = "__Host-lanyard-consent"
# Longer than a consent lives, so that a late browser is told that it is late and not that it is another one.
COOKIE_SECONDS = 3600
LARGEST_BODY = 4096
"""Of a form that a browser sends."""
_LONGEST_QUERY = 8192
_NAME = r"[a-z0-9][-a-z0-9.]{0,252}"
_ENTITLED = {"same-origin", "none"}
# Where `kubectl lanyard authorize` listens: a port of this machine and a path that only that command knows.
_LISTENER = re.compile(r"(?P<port>[1-9][0-9]{0,4})\.(?P<path>[A-Za-z0-9_-]{16,128})")

Step = Callable[[str, str, Browser | None, str], Awaitable[web.Response]]
"""What a form asks for: namespace, name, the browser it came from and the token it carries."""


class GatewayRoutes:
    """`live` says whether what is known of the cluster is fresh; `keyring` gives the ring `token` as it is now."""

    def __init__(
        self,
        *,
        flow: ConsentFlow,
        keyring: Callable[[], Keyring],
        clock: Callable[[], datetime],
        live: Callable[[], bool],
        per_browser: int,
    ) -> None:
        self._flow = flow
        self._keyring = keyring
        self._clock = clock
        self._live = live
        self._browsers = Limiter(per_browser)

    def add_to(self, app: web.Application) -> None:
        place = f"/connect/{{namespace:{_NAME}}}/{{name:{_NAME}}}"
        app.router.add_get(place, self._look, allow_head=False)
        app.router.add_post(place, self._start)
        app.router.add_post(f"{place}/again", self._again)
        app.router.add_get(f"/oauth/callback/{{connector:{_NAME}}}", self._callback, allow_head=False)
        for path, kind, content in ((STYLE_PATH, "text/css", STYLE), (ICON_PATH, "image/svg+xml", ICON)):
            app.router.add_get(path, _asset(kind, content))
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/readyz", self._ready)

    async def _look(self, request: web.Request) -> web.StreamResponse:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        known = self._browser(request)
        busy = self._busy(known)
        if busy is not None:
            return busy
        listener = _LISTENER.fullmatch(request.query.get("return", ""))
        try:
            standing = await self._flow.look(namespace, name, known)
            if listener is not None and isinstance(standing, Underway | Coded | Ended):
                standing = await self._flow.look(namespace, name, None)
        except ConsentRefusedError as refused:
            return page_response(trouble_page(refused.trouble, refused.owner))
        if listener is not None:
            response = web.Response(status=303, headers={"Location": _handed_to(listener, standing.browser)})
        else:
            response = page_response(_page_of(standing, still=request.query.get("wait") == "off"))
        if standing.browser is not known:
            self._remember(response, standing.browser)
        return response

    async def _start(self, request: web.Request) -> web.StreamResponse:
        async def begin(namespace: str, name: str, browser: Browser | None, token: str) -> web.Response:
            url = await self._flow.start(namespace, name, browser, token)
            return web.Response(status=303, headers={"Location": url})

        return await self._posted(request, begin)

    async def _again(self, request: web.Request) -> web.StreamResponse:
        async def renew(namespace: str, name: str, browser: Browser | None, token: str) -> web.Response:
            fresh = await self._flow.again(namespace, name, browser, token)
            response = web.Response(status=303, headers={"Location": path_of(fresh.owner)})
            self._remember(response, fresh)
            return response

        return await self._posted(request, renew)

    async def _posted(self, request: web.Request, step: Step) -> web.StreamResponse:
        """A form of ours, sent by this browser."""
        browser = self._browser(request)
        busy = self._busy(browser)
        if busy is not None:
            return busy
        place = request.match_info
        try:
            return await step(place["namespace"], place["name"], browser, await _form_token(request))
        except ConsentRefusedError as refused:
            return page_response(trouble_page(refused.trouble, refused.owner))

    async def _callback(self, request: web.Request) -> web.StreamResponse:
        browser = self._browser(request)
        busy = self._busy(browser)
        if busy is not None:
            return busy
        if len(request.query_string) > _LONGEST_QUERY:
            raise web.HTTPBadRequest
        query = [(name, value) for name, value in request.query.items()]
        try:
            owner = await self._flow.take(request.match_info["connector"], query, browser)
        except ConsentRefusedError as refused:
            return page_response(trouble_page(refused.trouble, refused.owner))
        # To a page of our own without a query: code and state do not stay in the address bar.
        return web.Response(status=303, headers={"Location": path_of(owner)})

    async def _ready(self, _: web.Request) -> web.Response:
        good = self._live()
        return web.Response(status=200 if good else 503, text="ok\n" if good else "not ok\n")

    def _browser(self, request: web.Request) -> Browser | None:
        return opened_browser(self._keyring(), request.cookies.get(COOKIE, ""))

    def _busy(self, browser: Browser | None) -> web.Response | None:
        seconds = self._browsers.wait(browser.hash) if browser is not None else 0.0
        return page_response(busy_page(math.ceil(seconds))) if seconds else None

    def _remember(self, response: web.Response, browser: Browser) -> None:
        response.set_cookie(
            COOKIE,
            sealed_browser(self._keyring(), browser, now=self._clock()),
            max_age=COOKIE_SECONDS,
            path="/",
            secure=True,
            httponly=True,
            samesite="Lax",
        )


def _handed_to(listener: re.Match[str], browser: Browser) -> str:
    """The hash, to the command that the person runs on this very machine. Never to another host."""
    return f"http://127.0.0.1:{listener['port']}/{listener['path']}?hash={browser.hash}"


def _page_of(standing: Standing, *, still: bool) -> Page:
    match standing:
        case Unapproved():
            return unapproved_page(standing, still=still)
        case Approved():
            return approved_page(standing)
        case Underway():
            return underway_page(standing, still=still)
        case Coded():
            return code_page(standing, still=still)
        case Ended():
            return ended_page(standing)


async def _form_token(request: web.Request) -> str:
    """What the form carries; empty when a browser says that another site sent it."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in _ENTITLED:
        return ""
    token = (await request.post()).get("token", "")
    return token if isinstance(token, str) else ""


def _asset(kind: str, content: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=content, content_type=kind, headers={"Cache-Control": "public, max-age=3600"})

    return answer


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")
