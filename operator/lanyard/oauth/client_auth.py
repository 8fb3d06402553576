"""How a client proves itself: RFC 6749 2.3.1, OpenID Connect Core 9, RFC 7523 2.2. Never by trying which one works."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote_plus

from lanyard.api.connection import ClientAuthentication
from lanyard.connectors.fields import CERTIFICATE, CLIENT_ID, CLIENT_SECRET, PRIVATE_KEY
from lanyard.connectors.selection import Plan
from lanyard.connectors.templates import render_text
from lanyard.errors import SourceError
from lanyard.oauth.assertions import ASSERTION_TYPE, client_assertion
from lanyard.oauth.wire import is_text, opened
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive


@dataclass(frozen=True, slots=True)
class Moment:
    """What a signature needs besides the key: its `kid`, the time, and a fresh random `jti`."""

    key_id: str | None
    now: datetime
    jti: str


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """Parameters and headers that go with a request."""

    parameters: Mapping[str, str]
    headers: Mapping[str, str]


def prove(
    plan: Plan, way: ClientAuthentication, credentials: Mapping[str, Sensitive], client_id: str | None, moment: Moment
) -> Proof:
    """SourceError CREDENTIAL_INVALID names what cannot be sent."""
    if client_id is not None and not is_text(client_id):
        raise SourceError(Reason.CREDENTIAL_INVALID, field=CLIENT_ID, expected="text in UTF-8")
    parameters: dict[str, str] = {}
    if client_id is not None and way is not ClientAuthentication.BASIC:
        parameters["client_id"] = client_id
    match way:
        case ClientAuthentication.BASIC:
            return Proof({}, {"Authorization": basic(plan, client_id or "", opened(credentials, CLIENT_SECRET))})
        case ClientAuthentication.POST:
            parameters["client_secret"] = opened(credentials, CLIENT_SECRET)
        case ClientAuthentication.PRIVATE_KEY_JWT:
            parameters["client_assertion_type"] = ASSERTION_TYPE
            parameters["client_assertion"] = client_assertion(
                Sensitive(opened(credentials, PRIVATE_KEY)),
                client_id=client_id or "",
                audience=_audience(plan, client_id or ""),
                key_id=moment.key_id,
                certificate=credentials.get(CERTIFICATE),
                algorithms=plan.method.client_auth.assertion_algorithms,
                now=moment.now,
                jti=moment.jti,
            )
        case ClientAuthentication.NONE:
            pass
    return Proof(parameters, {})


def proof_of(plan: Plan) -> str:
    """What the client proves itself with, or signs its grant with, in words."""
    words = {CLIENT_SECRET: "client secret", PRIVATE_KEY: "private key"}
    return " or the ".join(word for field, word in words.items() if field in plan.required) or "lack of a secret"


def basic(plan: Plan, client_id: str, client_secret: str) -> str:
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
