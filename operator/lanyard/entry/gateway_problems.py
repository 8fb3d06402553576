"""What the REST API answers instead of a success: problems in JSON (RFC 9457), whoever of us refuses."""

import json
import math
from collections.abc import Mapping

from aiohttp import web

from lanyard.api.dto import Refusal, problem
from lanyard.reasons import Reason

API_PREFIX = "/identity_/api"
_BY_STATUS = {
    404: Refusal.NOT_FOUND,
    405: Refusal.NO_SUCH_METHOD,
    408: Refusal.TOO_SLOW,
    413: Refusal.TOO_LARGE,
    415: Refusal.NOT_JSON_TYPE,
}


def is_for_api(path: str) -> bool:
    return path == API_PREFIX or path.startswith(f"{API_PREFIX}/")


def problem_answer(
    refusal: Refusal,
    member: str | None = None,
    cause: Reason | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    told = problem(refusal, member, cause)
    body = json.dumps(told.model_dump(by_alias=True, exclude_none=True), separators=(",", ":")).encode()
    return web.Response(status=told.status, body=body, content_type="application/problem+json", headers=headers)


def problem_of(error: web.HTTPException) -> web.Response:
    """What aiohttp refuses before a handler is found: the method or the address."""
    refusal = _BY_STATUS.get(error.status, Refusal.FAULT)
    return problem_answer(refusal, headers={name: value for name, value in error.headers.items() if name == "Allow"})


def pause(seconds: float | None) -> dict[str, str]:
    """The header that says when to come again; a second where nobody knows."""
    return {"Retry-After": str(max(1, math.ceil(seconds or 1.0)))}
