"""Token requests.

RFC 6749 4.1.3 (code), 4.3 (password), 4.4 (client credentials) and 6 (refresh), RFC 7523 2.1 (JWT bearer), RFC 8628 3.4
(device code), and the request for an installation's token that is signed itself (GitHub).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lanyard.api.connection import GRANT_METHODS, ClientAuthentication, Method
from lanyard.api.exchange import TokenRequest
from lanyard.connectors.fields import CERTIFICATE, CLIENT_ID, PASSWORD, PRIVATE_KEY, USERNAME, signs_in_header
from lanyard.connectors.selection import Plan
from lanyard.errors import LanyardError, SourceError
from lanyard.oauth.assertions import grant_assertion
from lanyard.oauth.client_auth import Moment, prove
from lanyard.oauth.wire import WireRequest, filled, header_values, is_text, opened, written
from lanyard.reasons import Reason
from lanyard.sensitive import MASK, Sensitive

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True, repr=False)
class CodeGrant:
    """The answer to a consent; `redirect_uri` is the very one of the authorization URL, `verifier` that of its PKCE."""

    code: Sensitive
    redirect_uri: str
    verifier: Sensitive | None = None

    def __repr__(self) -> str:
        return f"CodeGrant({MASK})"


@dataclass(frozen=True, slots=True, repr=False)
class RefreshGrant:
    """What keeps a grant alive. `scopes` are sent only when named; `redirect_uri` only where a connector uses it."""

    refresh_token: Sensitive
    scopes: tuple[str, ...] = ()
    redirect_uri: str = ""

    def __repr__(self) -> str:
        return f"RefreshGrant({MASK})"


@dataclass(frozen=True, slots=True, repr=False)
class DeviceGrant:
    """A device code that somebody may have approved meanwhile."""

    device_code: Sensitive

    def __repr__(self) -> str:
        return f"DeviceGrant({MASK})"


@dataclass(frozen=True, slots=True, repr=False)
class ExchangeGrant:
    """The token of the code, to be swapped for the one that lasts: where the method has an `exchange`, right after."""

    access_token: Sensitive

    def __repr__(self) -> str:
        return f"ExchangeGrant({MASK})"


UserGrant = CodeGrant | RefreshGrant | DeviceGrant | ExchangeGrant


def token_request(
    plan: Plan,
    credentials: Mapping[str, Sensitive],
    *,
    client_id: str | None,
    username: str | None,
    key_id: str | None = None,
    now: datetime,
    jti: str,
    grant: UserGrant | None = None,
) -> WireRequest:
    """The request that fetches a token; methods to which a person consents need their `grant`.

    `client_id` and `username` are the values however they were given, None where the plan needs none; `key_id` and
    `jti` (fresh randomness) are for a signed JWT. SourceError CREDENTIAL_INVALID names what cannot be sent.
    """
    request, url, way = _chosen(plan, grant)
    _hold_text(credentials, client_id, username, grant)
    moment = Moment(key_id, now, jti)
    known = _known(plan, client_id, grant)
    standard = _grant_parameters(plan, request, credentials, username, grant)
    headers = {"Accept": "application/json"}
    if plan.method.assertion is not None and grant is None:
        assertion = _assertion(plan, credentials, known, url, moment)
        if signs_in_header(plan.method):
            headers["Authorization"] = f"Bearer {assertion}"
        else:
            standard[plan.method.assertion.parameter] = assertion
    if not signs_in_header(plan.method):
        proof = prove(plan, way, credentials, client_id, moment)
        standard |= proof.parameters
        headers |= proof.headers
    parameters = filled(request.params, known)
    parameters |= {request.rename.get(n, n): v for n, v in standard.items() if n not in request.omit}
    # Only an input of the Connection can bring such a character, and parameters cannot bring controls.
    headers |= header_values(filled(request.headers, known), CLIENT_ID)
    return written("POST", url, headers, parameters, request.format)


def _chosen(plan: Plan, grant: UserGrant | None) -> tuple[TokenRequest, str, ClientAuthentication]:
    """Request, address and client authentication. Both must be known: a code is never sent to half an address."""
    request, url, way = plan.method.token_request, plan.token_url, plan.client_auth
    if isinstance(grant, RefreshGrant):
        way, url = plan.refresh_client_auth, plan.refresh_url
        # The first request's own grant type is not the one of a refresh.
        request = plan.method.refresh_request or (request and request.model_copy(update={"grant_type": None}))
    if isinstance(grant, ExchangeGrant):
        request, url = _exchange(plan), plan.exchange_url
    if request is None or (grant is None) == (plan.method.name in GRANT_METHODS):
        raise LanyardError(Reason.INTERNAL_ERROR, fault="a token request that the method does not have")
    if not url:
        raise LanyardError(Reason.INTERNAL_ERROR, fault="a token request before its address is known")
    return request, url, way


def _exchange(plan: Plan) -> TokenRequest | None:
    swap = plan.method.exchange
    if swap is None:
        return None
    return TokenRequest(url=swap.url, format=swap.format, grant_type=swap.grant_type, params=swap.params)


def _known(plan: Plan, client_id: str | None, grant: UserGrant | None) -> dict[str, str]:
    known = {**plan.parameters, "client_id": client_id or ""}
    if isinstance(grant, CodeGrant | RefreshGrant) and grant.redirect_uri:
        known["redirect_uri"] = grant.redirect_uri
    return known


def _grant_parameters(
    plan: Plan,
    request: TokenRequest,
    credentials: Mapping[str, Sensitive],
    username: str | None,
    grant: UserGrant | None,
) -> dict[str, str]:
    if signs_in_header(plan.method):
        return {}
    match grant:
        case CodeGrant():
            named = {"code": grant.code.reveal(), "redirect_uri": grant.redirect_uri}
            if grant.verifier is not None:
                named["code_verifier"] = grant.verifier.reveal()
            return {"grant_type": request.grant_type or "authorization_code"} | named
        case RefreshGrant():
            parameters = {"grant_type": request.grant_type or "refresh_token"}
            parameters["refresh_token"] = grant.refresh_token.reveal()
            return parameters | _scope(plan, grant.scopes)
        case DeviceGrant():
            return {"grant_type": request.grant_type or DEVICE_CODE, "device_code": grant.device_code.reveal()}
        case ExchangeGrant():
            name = plan.method.exchange.parameter if plan.method.exchange is not None else ""
            return {"grant_type": request.grant_type or "", name: grant.access_token.reveal()}
        case None:
            return _own_parameters(plan, request, credentials, username)


def _own_parameters(
    plan: Plan, request: TokenRequest, credentials: Mapping[str, Sensitive], username: str | None
) -> dict[str, str]:
    """Of the methods that need nobody."""
    match plan.method.name:
        case Method.PASSWORD:
            parameters = {"grant_type": request.grant_type or "password", "username": username or ""}
            parameters["password"] = opened(credentials, PASSWORD)
        case Method.JWT_BEARER:
            parameters = {"grant_type": request.grant_type or JWT_BEARER}
            if plan.method.assertion is not None and plan.method.assertion.scope_claim:
                return parameters
        case _:
            parameters = {"grant_type": request.grant_type or "client_credentials"}
    return parameters | _scope(plan, plan.scopes)


def _scope(plan: Plan, scopes: tuple[str, ...]) -> dict[str, str]:
    return {"scope": plan.method.scopes.separator.join(scopes)} if plan.sends_scopes and scopes else {}


def _assertion(
    plan: Plan, credentials: Mapping[str, Sensitive], known: Mapping[str, str], url: str, moment: Moment
) -> str:
    template = plan.method.assertion
    if template is None:
        raise LanyardError(Reason.INTERNAL_ERROR, fault="a signed JWT for a method without one")
    return grant_assertion(
        template,
        Sensitive(opened(credentials, PRIVATE_KEY)),
        known={name: value for name, value in known.items() if value},
        token_url=url,
        scope=plan.method.scopes.separator.join(plan.scopes),
        key_id=moment.key_id,
        now=moment.now,
        jti=moment.jti,
        certificate=credentials.get(CERTIFICATE),
    )


def _hold_text(
    credentials: Mapping[str, Sensitive], client_id: str | None, username: str | None, grant: UserGrant | None
) -> None:
    plain = ((CLIENT_ID, client_id), (USERNAME, username))
    given = {name: value for name, value in plain if value is not None}
    given |= {name: value.reveal() for name, value in credentials.items()}
    if isinstance(grant, RefreshGrant):
        given["refreshToken"] = grant.refresh_token.reveal()
    for name, value in given.items():
        if not is_text(value):
            raise SourceError(Reason.CREDENTIAL_INVALID, field=name, expected="text in UTF-8")
