"""Everything outbound except the API server goes through `Outbound`: one place for trust, proxies, limits and egress.

TLS is always verified, redirects are never followed, an answer has a size, a call has one deadline. Built on httpcore,
the engine of httpx: it takes a network backend of ours in public, and a small POST costs 0.5 ms of CPU, not 0.8.
"""

import asyncio
import base64
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NoReturn, Protocol, Self
from urllib.parse import unquote, urlsplit

import certifi
import httpcore

from lanyard.clients.dial import (
    CONNECT_SECONDS,
    AddressRefused,
    AnswerTooLong,
    Dialer,
    HandshakeFailed,
    Resolver,
    system_resolver,
)
from lanyard.clients.egress import EgressPolicy, is_loopback
from lanyard.clients.proxies import ProxySettings
from lanyard.errors import ProviderError
from lanyard.reasons import Reason

ANSWER_LIMIT = 256 * 1024
CONNECTIONS = 64
KEPT_ALIVE = 16
KEEP_ALIVE_SECONDS = 4.0  # below the 5 s of Node.js, the shortest in common use: a POST rarely meets a closing peer
POOLS = 64
DEFAULT_PORTS = {"http": 80, "https": 443}

# Their lines carry URLs and headers.
for _name in ("httpcore", "httpx"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class WireLike(Protocol):
    """What can be sent: `Request` below, or the request values of `lanyard.oauth`."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One request; headers and body may be secret, so neither is shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names in lower case; of a repeated header the first one."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class FailureKind(Enum):
    """Why there is no answer. After the first three nothing was sent, or nothing that the peer could read."""

    NOT_ALLOWED = "the egress policy does not allow the address"
    UNREACHABLE = "no connection"
    TLS = "the certificate is not trusted or not for this name"
    TIMED_OUT = "no answer within the deadline; the request may have been received"
    RESET_AFTER_SEND = "the connection ended after the request was sent; it may have been received"
    TOO_LARGE = "the answer is larger than any good one"


class OutboundError(Exception):
    """No answer. `host` is host[:port] of the target, safe to show."""

    def __init__(self, kind: FailureKind, host: str) -> None:
        self.kind = kind
        self.host = host
        super().__init__(f"{host}: {kind.value}")


def provider_error(failure: OutboundError) -> ProviderError:
    """The failure as the reason that a Connection reports."""
    match failure.kind:
        case FailureKind.NOT_ALLOWED:
            return ProviderError(Reason.EGRESS_NOT_ALLOWED, host=failure.host)
        case FailureKind.TLS:
            return ProviderError(Reason.PROVIDER_TLS_FAILED, host=failure.host)
        case FailureKind.TIMED_OUT:
            return ProviderError(Reason.PROVIDER_TIMED_OUT, host=failure.host, unanswered=True)
        case FailureKind.TOO_LARGE:
            return ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=failure.host, unanswered=True)
        case FailureKind.UNREACHABLE | FailureKind.RESET_AFTER_SEND:
            sent = failure.kind is FailureKind.RESET_AFTER_SEND
            return ProviderError(Reason.PROVIDER_UNAVAILABLE, host=failure.host, status="no answer", unanswered=sent)


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    netloc: str


@dataclass(slots=True)
class _Pool:
    connections: httpcore.AsyncConnectionPool
    busy: int = 0


_PoolKey = tuple[str | None, str, bool]


class Outbound:
    """One per process, used in one loop. `ca_bundle` (PEM) adds to the system's trust.

    `may_send` is asked whenever bytes of a request are about to be written, however long the connection took before:
    after a no nothing more is sent, and SteppedBackError says so.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        ca_bundle: str | None = None,
        proxies: ProxySettings | None = None,
        resolver: Resolver = system_resolver,
        may_send: Callable[[], bool] = lambda: True,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._policy = policy
        self._connect_seconds = connect_seconds
        self._may_send = may_send
        self._proxies = proxies or ProxySettings()
        self._resolver = resolver
        self._trust = _system_trust(ca_bundle)
        self._pools: OrderedDict[_PoolKey, _Pool] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.connections.aclose()

    async def send(
        self, request: WireLike, *, deadline: float, guard: bool, ca: str | None = None, proxy: str | None = None
    ) -> Answer:
        """One request, one answer, within `deadline` seconds in all. OutboundError when there is none.

        `guard`: a tenant influences the host, so the egress policy applies. `ca` (PEM) replaces the trust for this
        call, `proxy` (URL) the operator's proxy settings.
        """
        target = _target(request.url)
        via = proxy or self._proxies.choose(target.scheme, target.host, target.port)
        if not self._admits(target, guard=guard, via=via):
            raise OutboundError(FailureKind.NOT_ALLOWED, target.netloc)
        try:
            async with asyncio.timeout(deadline):
                pool = self._pool((ca, via, guard), target)
                pool.busy += 1
                try:
                    await self._close_oldest()
                    return await _exchange(pool.connections, request, target)
                finally:
                    pool.busy -= 1
        except TimeoutError:
            raise OutboundError(FailureKind.TIMED_OUT, target.netloc) from None
        except AnswerTooLong:
            raise OutboundError(FailureKind.TOO_LARGE, target.netloc) from None
        except AddressRefused:
            raise OutboundError(FailureKind.NOT_ALLOWED, target.netloc) from None

    def _admits(self, target: _Target, *, guard: bool, via: str) -> bool:
        if target.scheme == "http" and not (self._policy.allow_loopback_http and is_loopback(target.host)):
            return False
        return not (guard and via) or self._policy.admits_through_proxy(target.host)

    def _pool(self, key: _PoolKey, target: _Target) -> _Pool:
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._open(key, target)
        self._pools.move_to_end(key)
        return pool

    async def _close_oldest(self) -> None:
        while len(self._pools) > POOLS:
            idle = next((key for key, pool in self._pools.items() if not pool.busy), None)
            if idle is None:
                return
            await self._pools.pop(idle).connections.aclose()

    def _open(self, key: _PoolKey, target: _Target) -> _Pool:
        ca, via, guard = key
        try:
            context = self._trust if ca is None else ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError, TypeError):  # TypeError: text that is not ASCII
            raise OutboundError(FailureKind.TLS, target.netloc) from None
        # Through a proxy the dialled address is the proxy's, which the platform chose.
        policy = self._policy if guard and not via else None
        dialer = Dialer(policy, resolver=self._resolver, connect_seconds=self._connect_seconds, may_send=self._may_send)
        if not via:
            return _Pool(
                httpcore.AsyncConnectionPool(
                    ssl_context=context,
                    max_connections=CONNECTIONS,
                    max_keepalive_connections=KEPT_ALIVE,
                    keepalive_expiry=KEEP_ALIVE_SECONDS,
                    network_backend=dialer,
                )
            )
        address, headers = _proxy(via)
        return _Pool(
            httpcore.AsyncHTTPProxy(
                address,
                proxy_headers=headers,
                ssl_context=context,
                proxy_ssl_context=self._trust if address.startswith("https:") else None,
                max_connections=CONNECTIONS,
                max_keepalive_connections=KEPT_ALIVE,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
                network_backend=dialer,
            )
        )


async def _exchange(pool: httpcore.AsyncConnectionPool, request: WireLike, target: _Target) -> Answer:
    headers = {"Host": target.netloc, "Accept-Encoding": "identity", "User-Agent": "lanyard", **request.headers}
    headers["Content-Length"] = str(len(request.body))
    try:
        async with pool.stream(
            request.method,
            request.url.partition("#")[0],
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
            content=request.body,
        ) as response:
            received: dict[str, str] = {}
            for name, value in response.headers:
                received.setdefault(name.decode("ascii").lower(), value.decode("latin-1"))
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise OutboundError(FailureKind.TOO_LARGE, target.netloc) from None
            return Answer(response.status, received, bytes(body))
    except HandshakeFailed:
        raise OutboundError(FailureKind.TLS, target.netloc) from None
    except (httpcore.ConnectError, httpcore.ProxyError):
        raise OutboundError(FailureKind.UNREACHABLE, target.netloc) from None
    except httpcore.TimeoutException:
        raise OutboundError(FailureKind.TIMED_OUT, target.netloc) from None
    except (httpcore.NetworkError, httpcore.RemoteProtocolError):
        raise OutboundError(FailureKind.RESET_AFTER_SEND, target.netloc) from None
    except (httpcore.LocalProtocolError, UnicodeError):
        _unsendable()


def _unsendable() -> NoReturn:
    # The cause would quote the header, which may be a credential.
    raise ValueError("a header holds characters that HTTP does not carry") from None


def _target(url: str) -> _Target:
    """ValueError for anything but http(s)://host[:port]/…; the message quotes nothing."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise ValueError("not an http or https URL") from None
    if not url.isascii():
        raise ValueError("a URL is ASCII")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("a URL needs a host and carries no user name")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = name if port == DEFAULT_PORTS[parts.scheme] else f"{name}:{port}"
    return _Target(parts.scheme, parts.hostname, port, netloc)


def _proxy(url: str) -> tuple[str, dict[bytes | str, bytes | str]]:
    """A proxy's URL without user information, and the header that carries it instead."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    headers: dict[bytes | str, bytes | str] = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", headers


def _system_trust(ca_bundle: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not any(path and Path(path).exists() for path in (paths.cafile, paths.capath)):
        context.load_verify_locations(certifi.where())  # slim images carry no certificates
    if ca_bundle:
        context.load_verify_locations(cadata=ca_bundle)
    return context
