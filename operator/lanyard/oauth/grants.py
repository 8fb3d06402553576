"""Token requests: RFC 6749 4.3 (password) and 4.4 (client credentials), with the client authentication of 2.3.1."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote_plus, urlencode

from lanyard.api.connection import ClientAuthentication, Method
from lanyard.api.connector import TokenRequest
from lanyard.connectors.selection import CLIENT_ID, CLIENT_SECRET, PASSWORD, PRIVATE_KEY, USERNAME, Plan
from lanyard.connectors.templates import render_text
from lanyard.errors import LanyardError, SourceError
from lanyard.oauth.assertions import ASSERTION_TYPE, client_assertion
from lanyard.reasons import Reason
from lanyard.sensitive import MASK, Sensitive

_GRANTS = {Method.CLIENT_CREDENTIALS: "client_credentials", Method.PASSWORD: "password"}
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True, repr=False)
class WireRequest:
    """One HTTP request. Secrets can be in every part but the host, so its repr shows that alone."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    host: str

    def __repr__(self) -> str:
        return f"WireRequest({self.method} {self.host} {MASK})"


def token_request(
    plan: Plan,
    credentials: Mapping[str, Sensitive],
    *,
    client_id: str | None,
    username: str | None,
    key_id: str | None = None,
    now: datetime,
    jti: str,
) -> WireRequest:
    """The request that fetches a token.

    `client_id` and `username` are the values however they were given, None where the plan needs none; `key_id` and
    `jti` (fresh randomness) are for a client assertion. SourceError CREDENTIAL_INVALID names what cannot be sent.
    """
    request = plan.method.token_request
    if request is None:
        raise LanyardError(Reason.INTERNAL_ERROR, fault="a token request for a method without one")
    for name, value in {**credentials, **_given(client_id, username)}.items():
        if not _is_text(value):
            raise SourceError(Reason.CREDENTIAL_INVALID, field=name, expected="text in UTF-8")
    standard = _grant_parameters(plan, request, credentials, username)
    if client_id is not None and plan.client_auth is not ClientAuthentication.BASIC:
        standard["client_id"] = client_id
    headers = {"Accept": "application/json"}
    match plan.client_auth:
        case ClientAuthentication.BASIC:
            headers["Authorization"] = _basic(plan, client_id or "", _opened(credentials, CLIENT_SECRET))
        case ClientAuthentication.POST:
            standard["client_secret"] = _opened(credentials, CLIENT_SECRET)
        case ClientAuthentication.PRIVATE_KEY_JWT:
            standard["client_assertion_type"] = ASSERTION_TYPE
            standard["client_assertion"] = client_assertion(
                Sensitive(_opened(credentials, PRIVATE_KEY)),
                client_id=client_id or "",
                audience=_audience(plan, client_id or ""),
                key_id=key_id,
                algorithms=plan.method.client_auth.assertion_algorithms,
                now=now,
                jti=jti,
            )
        case ClientAuthentication.NONE:
            pass
    known = {**plan.parameters, "client_id": client_id or ""}
    parameters = _filled(request.params, known)
    parameters |= {request.rename.get(n, n): v for n, v in standard.items() if n not in request.omit}
    headers |= _headers(request, known)
    return _written(plan, request, headers, parameters)


def _given(client_id: str | None, username: str | None) -> dict[str, Sensitive]:
    return {
        name: Sensitive(value) for name, value in ((CLIENT_ID, client_id), (USERNAME, username)) if value is not None
    }


def _grant_parameters(
    plan: Plan, request: TokenRequest, credentials: Mapping[str, Sensitive], username: str | None
) -> dict[str, str]:
    parameters = {"grant_type": request.grant_type or _GRANTS[plan.method.name]}
    if plan.method.name is Method.PASSWORD:
        parameters["username"] = username or ""
        parameters["password"] = _opened(credentials, PASSWORD)
    if plan.sends_scopes and plan.scopes:
        parameters["scope"] = plan.method.scopes.separator.join(plan.scopes)
    return parameters


def _opened(credentials: Mapping[str, Sensitive], name: str) -> str:
    value = credentials.get(name)
    if value is None:
        raise SourceError(Reason.CREDENTIAL_INVALID, field=name, expected="a value")
    return value.reveal()


def _is_text(value: Sensitive) -> bool:
    """JSON can carry halves of surrogate pairs, which no encoding of the wire can."""
    try:
        value.reveal().encode()
    except UnicodeEncodeError:
        return False
    return True


def _basic(plan: Plan, client_id: str, client_secret: str) -> str:
    """RFC 6749 2.3.1 form-encodes both first; without that a colon would end the id (RFC 7617 2)."""
    auth = plan.method.client_auth
    if auth.basic_encoding == "rfc6749":
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    elif ":" in client_id:
        raise SourceError(Reason.CREDENTIAL_INVALID, field=CLIENT_ID, expected="a client id without a colon")
    else:
        pair = f"{client_id}:{client_secret}"
    return f"{auth.basic_scheme} {base64.b64encode(pair.encode()).decode()}"


def _audience(plan: Plan, client_id: str) -> str:
    """The token URL where the connector names no other (RFC 7523 3)."""
    template = plan.method.client_auth.assertion_audience or ""
    return render_text(template, {**plan.parameters, "client_id": client_id}) or plan.token_url


def _filled(templates: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Those whose placeholders all have a value: an optional input that was left out takes its parameter along."""
    rendered = ((name, render_text(template, known)) for name, template in templates.items())
    return {name: value for name, value in rendered if value is not None}


def _headers(request: TokenRequest, known: Mapping[str, str]) -> dict[str, str]:
    headers = _filled(request.headers, known)
    for name, value in headers.items():
        if _HEADER_VALUE.fullmatch(value) is None:
            # Only an input of the Connection can bring such a character, and parameters cannot bring controls.
            raise SourceError(
                Reason.CREDENTIAL_INVALID, field=CLIENT_ID, expected=f"plain ASCII, as header {name} needs"
            )
    return headers


def _written(plan: Plan, request: TokenRequest, headers: dict[str, str], parameters: Mapping[str, str]) -> WireRequest:
    url, body = plan.token_url, b""
    match request.format:
        case "form":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(parameters).encode()
        case "json":
            headers["Content-Type"] = "application/json"
            body = json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode()
        case "query":
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
    return WireRequest("POST", url, headers, body, plan.token_host)
