"""The token endpoint: one handler under the reference's path, the usual one and Entra's: SDKs work unmodified."""

import asyncio
import math
import secrets
from collections.abc import Mapping

from aiohttp import web

from lanyard.entry.gateway_machines import json_answer, oauth_error
from lanyard.flows.exchange import DeniedError, Exchange, Trace
from lanyard.flows.mint import Handed
from lanyard.flows.tally import Tally, audit
from lanyard.oauth.token_request import Dialect, ErrorCode, Question, RequestError, question
from lanyard.rules.exchange import Denial

PATHS = ("/identity_/connect/token", "/oauth/token")
TENANT_PATH = "/{tenant:[a-z0-9][-a-z0-9]{0,62}}/oauth2/v2.0/token"
LARGEST_BODY = 32 * 1024
BODY_SECONDS = 5.0
_FORM = "application/x-www-form-urlencoded"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
# Until the signature is good, whoever asks learns nothing but that it did not work.
_UNSAID = "the JWT is not taken; the audit log says why, under this request id"


class TokenRoutes:
    """One handler for all of them."""

    def __init__(self, exchange: Exchange, tally: Tally) -> None:
        self._exchange = exchange
        self._tally = tally

    def add_to(self, app: web.Application) -> None:
        for path in (*PATHS, TENANT_PATH):
            app.router.add_post(path, self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        trace = Trace(request_id=secrets.token_hex(8))
        tenant = request.match_info.get("tenant")
        try:
            asked = await _question(request)
            trace.dialect = asked.dialect.name.lower()
            handed = await self._exchange.hand_out(asked, tenant, trace)
        except RequestError as error:
            self._tell(trace, error.description)
            return _request_refused(error, trace.request_id)
        except DeniedError as denied:
            self._tell(trace, denied.why)
            return _denied(denied, trace.request_id)
        self._tell(trace, "", handed)
        return json_answer(_answer_of(asked, tenant, handed), headers={"X-Request-Id": trace.request_id})

    def _tell(self, trace: Trace, why: str, handed: Handed | None = None) -> None:
        self._tally.count("lanyard_exchanges", trace.dialect or "none", why or "handed out")
        tell(trace, why, handed)


async def _question(request: web.Request) -> Question:
    body = await read_form(request)
    if "Authorization" in request.headers:
        raise RequestError(ErrorCode.INVALID_CLIENT, "the Authorization header is not taken: send the JWT alone")
    return question(body)


async def read_form(request: web.Request) -> bytes:
    """At most 32 KB within 5 s, whatever its length claims to be."""
    if request.content_type != _FORM or (request.charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise RequestError(ErrorCode.INVALID_REQUEST, "the body is not application/x-www-form-urlencoded in UTF-8")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RequestError(ErrorCode.INVALID_REQUEST, "a compressed body is not taken")
    if (request.content_length or 0) > LARGEST_BODY:
        raise web.HTTPRequestEntityTooLarge(LARGEST_BODY, request.content_length or 0)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while part := await request.content.readany():
                parts.append(part)
                size += len(part)
                if size > LARGEST_BODY:
                    raise web.HTTPRequestEntityTooLarge(LARGEST_BODY, size)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return b"".join(parts)


def _answer_of(asked: Question, tenant: str | None, handed: Handed) -> Mapping[str, object]:
    """RFC 6749 5.1, RFC 8693 2.2.1. The scope is said: it may be more or less than was asked for.

    Not so where a client of Entra asks: Entra does not say it, and MSAL keeps a token under the scope that is said,
    where a client that asked for `<resource>/.default` would never find it again.
    """
    answer: dict[str, object] = {"access_token": handed.access_token.reveal(), "token_type": handed.token_type}
    if handed.expires_in is not None:
        answer["expires_in"] = handed.expires_in
    if tenant is None:
        answer["scope"] = " ".join(handed.scopes)
    if asked.dialect is Dialect.TOKEN_EXCHANGE:
        answer["issued_token_type"] = _ACCESS_TOKEN
    return answer


def _request_refused(error: RequestError, request_id: str) -> web.Response:
    headers, status = {"X-Request-Id": request_id}, 400
    if error.code is ErrorCode.INVALID_CLIENT:
        # RFC 6749 5.2: whoever tried the header is answered with the header.
        headers["WWW-Authenticate"], status = 'Basic realm="lanyard"', 401
    return oauth_error(status, error.code.value, error.description, headers)


def _denied(denied: DeniedError, request_id: str) -> web.Response:
    headers, status = {"X-Request-Id": request_id}, 400
    if denied.code is ErrorCode.TEMPORARILY_UNAVAILABLE:
        status = 429 if denied.why == Denial.THROTTLED else 503
        headers["Retry-After"] = str(max(1, math.ceil(denied.retry_after or 1.0)))
    return oauth_error(status, denied.code.value, denied.hint or _UNSAID, headers)


def tell(trace: Trace, why: str, handed: Handed | None = None) -> None:
    """One line for each decision. Issuer and subject are those of a credential, never what a JWT claims."""
    client, credential = trace.client, trace.credential
    audit(
        "exchange",
        "handed out" if handed is not None else "refused",
        object_name=f"Connection/{client.owner}" if client is not None else "",
        uid=client.uid if client is not None else "",
        token=handed.access_token if handed is not None else None,
        request_id=trace.request_id,
        dialect=trace.dialect,
        why=why,
        assertion_sha256=trace.assertion_digest,
        nearest=trace.nearest,
        credential=credential.uid if credential is not None else "",
        issuer=credential.issuer if credential is not None else "",
        subject=credential.subject if credential is not None else "",
        scopes=" ".join(handed.scopes) if handed is not None else "",
        token_id=handed.token_id if handed is not None else "",
    )
