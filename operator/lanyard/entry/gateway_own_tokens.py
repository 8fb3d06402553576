"""Introspection (RFC 7662) and revocation (RFC 7009) of Lanyard's own access tokens.

Who asks about a token proves who it is, with a token of ours or with the JWT that it would get one for. Who ends one
shows it: it is proof enough.
"""

import secrets
from collections.abc import Mapping

from aiohttp import web

from lanyard.entry.gateway_machines import json_answer, oauth_error, unavailable
from lanyard.entry.gateway_metadata import INTROSPECTION_PATH, REVOCATION_PATH
from lanyard.entry.gateway_token import read_form
from lanyard.errors import LanyardError
from lanyard.flows.exchange import DeniedError, Exchange, Trace
from lanyard.flows.own_tokens import Asker, OwnTokens
from lanyard.flows.tally import audit
from lanyard.oauth.assertions import ASSERTION_TYPE
from lanyard.oauth.documents import parse_form
from lanyard.oauth.token_request import Dialect, ErrorCode, Question, RequestError
from lanyard.rules.exchange import Denial
from lanyard.sensitive import Sensitive

_PROOF = "show a token of ours as Bearer, or a client_assertion"
_CHALLENGE = 'Bearer realm="lanyard"'


class _UnknownAskerError(Exception):
    """Nobody knows who asks. `challenge` goes into WWW-Authenticate (RFC 6750 3)."""

    def __init__(self, challenge: str = _CHALLENGE) -> None:
        self.challenge = challenge
        super().__init__("who asks is not known")


class OwnTokenRoutes:
    """`exchange` proves an application by a JWT of its issuer."""

    def __init__(self, tokens: OwnTokens, exchange: Exchange) -> None:
        self._tokens = tokens
        self._exchange = exchange

    def add_to(self, app: web.Application) -> None:
        app.router.add_post(INTROSPECTION_PATH, self._introspect)
        app.router.add_post(REVOCATION_PATH, self._revoke)

    async def _introspect(self, request: web.Request) -> web.StreamResponse:
        try:
            form = await _form(request)
            text = _token(form)
            asker = await self._asker(request, form)
            return json_answer(self._tokens.told(asker, text))
        except RequestError as error:
            return oauth_error(400, error.code.value, error.description)
        except _UnknownAskerError as error:
            return oauth_error(401, "invalid_client", _PROOF, {"WWW-Authenticate": error.challenge})
        except DeniedError as denied:
            if denied.code is not ErrorCode.TEMPORARILY_UNAVAILABLE:
                return oauth_error(401, "invalid_client", _PROOF, {"WWW-Authenticate": _CHALLENGE})
            status = 429 if denied.why == Denial.THROTTLED else 503
            return unavailable(denied.hint, status=status, retry_after=denied.retry_after)
        except LanyardError:
            return unavailable("there are no signing keys")

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        """200 whatever it was (RFC 7009 2.2): the token cannot be used from now on, and that is what was wanted."""
        try:
            text = _token(await _form(request))
            ended = await self._tokens.revoke(text)
        except RequestError as error:
            return oauth_error(400, error.code.value, error.description)
        except LanyardError:
            return unavailable("there are no signing keys")
        if ended is not None:
            token, owner = ended
            audit(
                "revoke token",
                "revoked",
                object_name=f"Connection/{owner}",
                uid=token.client_id,
                token=Sensitive(text),
                token_id=token.token_id,
                credential=token.credential or "",
            )
        return json_answer({})

    async def _asker(self, request: web.Request, form: Mapping[str, str]) -> Asker:
        given, assertion = request.headers.getall("Authorization", []), form.get("client_assertion")
        if len(given) + (assertion is not None) > 1 or "client_secret" in form:
            raise RequestError(ErrorCode.INVALID_REQUEST, "there is more than one proof of who asks")
        if assertion is not None:
            return await self._by_assertion(form, assertion)
        kind, _, shown = given[0].partition(" ") if given else ("", "", "")
        if kind.lower() != "bearer":
            raise _UnknownAskerError
        token = self._tokens.live(shown.strip())
        if token is None:
            raise _UnknownAskerError(f'{_CHALLENGE}, error="invalid_token"')
        return Asker(token.client_id, token.namespace)

    async def _by_assertion(self, form: Mapping[str, str], assertion: str) -> Asker:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise RequestError(ErrorCode.INVALID_REQUEST, "client_assertion_type is not that of a JWT")
        asked = Question(Dialect.CLIENT_CREDENTIALS, assertion, form.get("client_id") or None, (), "")
        client, _ = await self._exchange.proved(asked, None, Trace(request_id=secrets.token_hex(8)))
        return Asker(client.uid, client.namespace)


async def _form(request: web.Request) -> Mapping[str, str]:
    form = parse_form(await read_form(request))
    if form is None:
        raise RequestError(ErrorCode.INVALID_REQUEST, "the body is not a form in UTF-8, or has a parameter twice")
    return form


def _token(form: Mapping[str, str]) -> str:
    """`token_type_hint` is not needed: there is one kind."""
    token = form.get("token", "")
    if not token:
        raise RequestError(ErrorCode.INVALID_REQUEST, "token is missing")
    return token
