"""What stands before every address that programs call: JSON answers, limits, and nothing that echoes what was sent."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from lanyard.api.dto import Refusal
from lanyard.entry.gateway_guard import Limiter, Network, client_address
from lanyard.entry.gateway_problems import is_for_api, pause, problem_answer
from lanyard.errors import KubernetesError

_log = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "Server": "lanyard",
}
_PREFIXES = (
    "/identity_/",
    "/oauth/token",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/jwks",
    "/oauth/openapi.json",
    "/.well-known/",
)
_ENTRA = ("/oauth2/v2.0/token", "/v2.0/.well-known/openid-configuration")
_CODES = {404: "not_found", 405: "invalid_request", 413: "invalid_request"}


def is_for_machines(path: str) -> bool:
    """Whether a program asks and not a browser: it is answered in JSON, whatever is wrong."""
    return path.startswith(_PREFIXES) or path.endswith(_ENTRA)


def _is_public(path: str) -> bool:
    """Metadata and keys: nothing of the cluster is in them, and without keys nobody can check tokens that are out."""
    return path == "/oauth/jwks" or path.startswith("/.well-known/") or path.endswith(_ENTRA[1])


class MachineGuard:
    """Outermost for programs, as `gateway_guard.guard` is for browsers."""

    def __init__(self, per_address: int, proxies: Sequence[Network], live: Callable[[], bool]) -> None:
        self._addresses = Limiter(per_address)
        self._proxies = proxies
        self._live = live

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await self._answer(request, handler)
        if "X-Content-Type-Options" not in answer.headers:
            answer.headers.update(HEADERS)
        return answer

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            asker = client_address(request.remote or "", request.headers.getall("X-Forwarded-For", ()), self._proxies)
            seconds = self._addresses.wait(asker)
            if seconds:
                return _later(request, Refusal.TOO_MANY, "asked too often", seconds)
            if not self._live() and not _is_public(request.path):
                return _later(request, Refusal.UNAVAILABLE, "the gateway has not heard of the cluster for a while")
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            return oauth_error(405, "invalid_request", "this method is not taken", {"Allow": error.headers["Allow"]})
        except web.HTTPException as error:
            return oauth_error(error.status, _CODES.get(error.status, "invalid_request"), "")
        except KubernetesError as error:
            _log.warning("the API server did not help", extra={"status": error.code})
            return unavailable("the cluster does not answer", retry_after=error.retry_after)
        except Exception as error:  # noqa: BLE001 - told by its type; the answer says nothing of it
            _log.error("a request ended in a fault", extra={"fault": type(error).__name__})
            return oauth_error(500, "server_error", "")


def _later(request: web.Request, refusal: Refusal, description: str, seconds: float | None = None) -> web.Response:
    """429 or 503, as those who ask there expect it."""
    if is_for_api(request.path):
        return problem_answer(refusal, headers=pause(seconds))
    return unavailable(description, status=429 if refusal is Refusal.TOO_MANY else 503, retry_after=seconds)


def json_answer(
    body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """One JSON object that nobody keeps."""
    return web.Response(
        body=json.dumps(body, separators=(",", ":")).encode(),
        status=status,
        content_type="application/json",
        headers={**HEADERS, **headers} if headers else HEADERS,
    )


def oauth_error(
    status: int, code: str, description: str, headers: Mapping[str, str] | None = None, **more: str
) -> web.Response:
    """RFC 6749 5.2. `description` is a text of ours."""
    told = {"error": code} | ({"error_description": description} if description else {}) | more
    return json_answer(told, status=status, headers=headers)


def unavailable(description: str, *, status: int = 503, retry_after: float | None = None) -> web.Response:
    """Nothing is wrong with what was asked: later it may be answered."""
    pause = {"Retry-After": str(max(1, math.ceil(retry_after or 1.0)))}
    return oauth_error(status, "temporarily_unavailable", description, pause)
