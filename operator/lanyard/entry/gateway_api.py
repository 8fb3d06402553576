"""The reference's REST API for federated credentials: its paths, its JSON, its status codes; problems are RFC 9457.

Off unless a setting turns it on: then there is nothing at these addresses but the answer that there is nothing.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from lanyard.api.dto import LARGEST_WRITE, Refusal, WrittenCredential
from lanyard.api.meta import misfit
from lanyard.api.openapi import COLLECTION_PATH, DOCUMENT_PATH, ITEM_PATH, rest_document_text
from lanyard.entry.gateway_guard import Limiter
from lanyard.entry.gateway_problems import API_PREFIX, pause, problem_answer, problem_of
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.callers import Callers, Deed, name_of_caller
from lanyard.flows.manage import Managed, Manager, ManageRefusedError
from lanyard.flows.tally import audit

_log = logging.getLogger(__name__)

BODY_SECONDS = 5.0
WINDOW_MINUTES = 5
"""What the reference counts requests over."""


class Quotas:
    """Requests of a namespace within 5 minutes, by kind as the reference counts them; all may come at once."""

    def __init__(self, *, reads: int, creations: int, changes: int) -> None:
        self._reads, self._creations, self._changes = (
            Limiter(number / WINDOW_MINUTES, burst=number) for number in (reads, creations, changes)
        )

    def wait(self, deed: Deed, namespace: str) -> float:
        """0, or seconds until the next one would be let through."""
        match deed:
            case Deed.LIST | Deed.READ:
                return self._reads.wait(namespace)
            case Deed.CREATE:
                return self._creations.wait(namespace)
            case Deed.REPLACE | Deed.DELETE:
                return self._changes.wait(namespace)


@dataclass(slots=True)
class _Trace:
    """What the audit log gets to know. Of what was asked nothing, before it is known to be there."""

    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    caller: str = ""
    owner: str = "-"
    """`namespace/name` of the Connection."""
    client_id: str = ""
    credential: str = ""


Deal = Callable[[web.Request, "_Asked"], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The path's three parts; the last one is empty for a whole list."""

    namespace: str
    client_id: str
    uid: str
    trace: _Trace


class _ThrottledError(Exception):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__("too many requests of one namespace")


class ApiRoutes:
    """What answers when the API is on."""

    def __init__(self, manager: Manager, callers: Callers, quotas: Quotas) -> None:
        self._manager = manager
        self._callers = callers
        self._quotas = quotas

    def add_to(self, app: web.Application) -> None:
        """`app` is what is below API_PREFIX."""
        collection = app.router.add_resource(COLLECTION_PATH.removeprefix(API_PREFIX))
        collection.add_route("GET", self._deed(Deed.LIST, self._list))
        collection.add_route("POST", self._deed(Deed.CREATE, self._create))
        item = app.router.add_resource(ITEM_PATH.removeprefix(API_PREFIX))
        item.add_route("GET", self._deed(Deed.READ, self._read))
        item.add_route("PUT", self._deed(Deed.REPLACE, self._replace))
        item.add_route("DELETE", self._deed(Deed.DELETE, self._delete))

    def _deed(self, deed: Deed, deal: Deal) -> Handler:
        """Who asks, whether they may, how often they do; then the deed; and one line of what was decided."""

        async def handle(request: web.Request) -> web.StreamResponse:
            trace = _Trace()
            outcome = Refusal.FAULT.value
            try:
                answer = await deal(request, await self._admitted(request, deed, trace))
                outcome = "done"
            except ManageRefusedError as refused:
                outcome = refused.refusal.value
                headers = _challenge(refused.refusal, deed)
                answer = problem_answer(refused.refusal, refused.field, refused.cause, headers=headers)
            except _ThrottledError as throttled:
                outcome = Refusal.TOO_MANY.value
                answer = problem_answer(Refusal.TOO_MANY, headers=pause(throttled.seconds))
            except KubernetesError as error:
                outcome = Refusal.UNAVAILABLE.value
                _log.warning("the API server did not help", extra={"status": error.code})
                answer = problem_answer(Refusal.UNAVAILABLE, headers=pause(error.retry_after))
            except LanyardError as error:
                outcome = Refusal.UNAVAILABLE.value
                _log.warning("a token of ours cannot be looked at", extra={"reason": error.reason.value})
                answer = problem_answer(Refusal.UNAVAILABLE, headers=pause(None))
            finally:
                _tell(deed, outcome, trace)
            answer.headers["X-Request-Id"] = trace.request_id
            return answer

        return handle

    async def _admitted(self, request: web.Request, deed: Deed, trace: _Trace) -> _Asked:
        caller = await self._callers.identified(_bearer(request))
        trace.caller = name_of_caller(caller)
        place = request.match_info
        asked = _Asked(place["partitionGlobalId"], place["clientId"], place.get("credentialId", ""), trace)
        connection, name = self._manager.known(asked.namespace, asked.client_id, asked.uid)
        if connection:
            trace.owner, trace.client_id = f"{asked.namespace}/{connection}", asked.client_id
        if name:
            trace.credential = asked.uid
        await self._callers.hold_allowed(caller, deed, asked.namespace, name)
        seconds = self._quotas.wait(deed, asked.namespace)
        if seconds:
            raise _ThrottledError(seconds)
        return asked

    async def _list(self, _: web.Request, asked: _Asked) -> web.Response:
        found = self._manager.listed(asked.namespace, asked.client_id)
        return _json([one.credential.model_dump(by_alias=True) for one in found])

    async def _read(self, _: web.Request, asked: _Asked) -> web.Response:
        return _shown(self._manager.one(asked.namespace, asked.client_id, asked.uid))

    async def _create(self, request: web.Request, asked: _Asked) -> web.Response:
        made = await self._manager.create(asked.namespace, asked.client_id, await _written(request))
        asked.trace.credential = made.credential.id
        place = ITEM_PATH.format(
            partitionGlobalId=asked.namespace, clientId=asked.client_id, credentialId=made.credential.id
        )
        return _shown(made, status=201, headers={"Location": place})

    async def _replace(self, request: web.Request, asked: _Asked) -> web.Response:
        written = await _written(request)
        place = asked.namespace, asked.client_id, asked.uid
        return _shown(await self._manager.replace(*place, written, _if_match(request)))

    async def _delete(self, request: web.Request, asked: _Asked) -> web.Response:
        await self._manager.delete(asked.namespace, asked.client_id, asked.uid, _if_match(request))
        return web.Response(status=204)


def add_api_routes(app: web.Application, routes: ApiRoutes | None) -> None:
    """Everything below API_PREFIX, and the document. None: the API is off."""
    below = web.Application(middlewares=[_problems])
    if routes is not None:
        routes.add_to(below)
        app.router.add_get(DOCUMENT_PATH, _document(rest_document_text()), allow_head=False)
    app.add_subapp(API_PREFIX, below)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is wrong below here is a problem in JSON, also what no handler of ours has seen."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return problem_of(error)
    except Exception as error:  # noqa: BLE001 - told by its type; the answer says nothing of it
        _log.error("a request ended in a fault", extra={"fault": type(error).__name__})
        return problem_answer(Refusal.FAULT)


def _bearer(request: web.Request) -> str:
    """RFC 6750 2.1: in the header and nowhere else."""
    given = request.headers.getall("Authorization", [])
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise ManageRefusedError(Refusal.TOKEN_MISSING)
    return token.strip()


def _challenge(refusal: Refusal, deed: Deed) -> dict[str, str]:
    """RFC 6750 3 and 3.1."""
    match refusal:
        case Refusal.TOKEN_MISSING:
            return {"WWW-Authenticate": 'Bearer realm="lanyard"'}
        case Refusal.TOKEN_INVALID:
            return {"WWW-Authenticate": 'Bearer realm="lanyard", error="invalid_token"'}
        case Refusal.SCOPE_MISSING:
            needed = " ".join(scope.value for scope in deed.scopes)
            return {"WWW-Authenticate": f'Bearer realm="lanyard", error="insufficient_scope", scope="{needed}"'}
        case _:
            return {}


def _if_match(request: web.Request) -> str | None:
    given = request.headers.getall("If-Match", [])
    return ",".join(given) if given else None


async def _written(request: web.Request) -> WrittenCredential:
    body = await _body(request)
    try:
        return WrittenCredential.model_validate_json(body, strict=True)
    except ValidationError as error:
        if any(one["type"] in {"json_invalid", "model_type", "model_attributes_type"} for one in error.errors()):
            raise ManageRefusedError(Refusal.NOT_JSON) from None
        raise ManageRefusedError(Refusal.FIELD_INVALID, misfit(error)) from None


async def _body(request: web.Request) -> bytes:
    """At most 16 KiB within 5 s, whatever its length claims to be."""
    utf8 = (request.charset or "utf-8").lower() in {"utf-8", "utf8"}
    packed = request.headers.get("Content-Encoding", "identity") != "identity"
    if request.content_type != "application/json" or not utf8 or packed:
        raise ManageRefusedError(Refusal.NOT_JSON_TYPE)
    if (request.content_length or 0) > LARGEST_WRITE:
        raise ManageRefusedError(Refusal.TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while part := await request.content.readany():
                body += part
                if len(body) > LARGEST_WRITE:
                    raise ManageRefusedError(Refusal.TOO_LARGE)
    except TimeoutError:
        raise ManageRefusedError(Refusal.TOO_SLOW) from None
    return bytes(body)


def _shown(one: Managed, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return _json(one.credential.model_dump(by_alias=True), status=status, headers={"ETag": one.tag, **(headers or {})})


def _json(told: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = json.dumps(told, separators=(",", ":")).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _document(text: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return answer


def _tell(deed: Deed, outcome: str, trace: _Trace) -> None:
    audit(
        "manage credentials",
        outcome,
        object_name=f"Connection/{trace.owner}",
        uid=trace.client_id,
        verb=deed.value,
        caller=trace.caller,
        credential=trace.credential,
        request_id=trace.request_id,
    )
