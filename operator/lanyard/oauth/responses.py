"""Token answers: RFC 6749 5.1 and 5.2, with the departures that a connector declares.

Everything an answer says is unverified. It becomes a `Token` of bounded, printable parts, or a `ProviderError` whose
text is ours alone. A refresh token in the answer is looked at only for the methods to which a person consents: the
others can ask again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lanyard.api.connection import GRANT_METHODS, Method
from lanyard.api.exchange import ErrorClass, ErrorRule, Identity, TokenResponse
from lanyard.connectors.parameters import accept
from lanyard.connectors.selection import Plan, learned_of
from lanyard.errors import ProviderError
from lanyard.oauth.client_auth import proof_of
from lanyard.oauth.documents import MISSING, Document, first, parse_form, parse_object
from lanyard.oauth.lifetimes import expiry_of, http_date, refresh_expiry_of, skew_of
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

BODY_LIMIT = 256 * 1024
TOKEN_LIMIT = 64 * 1024
TEXT_LIMIT = 1024
SCOPES_LIMIT = 128
ACCOUNT_LIMIT = 256
OFFLINE_ACCESS = "offline_access"
LONGEST_WAIT = 3600.0
_TOKEN = re.compile(r"[\x21-\x7e]+")
_CODE = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.17
_NOT_TOKEN_CHARACTER = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")  # RFC 9110 5.6.2
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")  # RFC 6749 3.3

_MEANINGS = {
    "invalid_client": ErrorClass.CLIENT,
    "invalid_scope": ErrorClass.SCOPE,
    "invalid_request": ErrorClass.REQUEST,
    "unauthorized_client": ErrorClass.REQUEST,
    "unsupported_grant_type": ErrorClass.REQUEST,
    "temporarily_unavailable": ErrorClass.UNAVAILABLE,  # RFC 6749 4.1.2.1, seen at token endpoints too
    "server_error": ErrorClass.UNAVAILABLE,
    "slow_down": ErrorClass.THROTTLED,
}
_REASONS = {
    ErrorClass.CLIENT: Reason.CLIENT_REJECTED,
    ErrorClass.CREDENTIALS: Reason.CREDENTIALS_REJECTED,
    ErrorClass.GRANT: Reason.GRANT_REVOKED,
    ErrorClass.SCOPE: Reason.SCOPE_REJECTED,
    ErrorClass.REQUEST: Reason.REQUEST_REJECTED,
    ErrorClass.THROTTLED: Reason.PROVIDER_THROTTLED,
    ErrorClass.UNAVAILABLE: Reason.PROVIDER_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Token:
    """A live token. Times are aware; `expires_at` is None when it does not expire, `scope` when none was named, which
    means all that were asked for (RFC 6749 5.1).

    `skew` is the provider's clock minus ours, in seconds, None when it showed none. `captured` is published;
    `learned` are parameters of source tokenResponse. `refresh_token` only of methods to which a person consents.
    """

    access_token: Sensitive
    token_type: str
    expires_at: datetime | None
    issued_at: datetime
    scope: tuple[str, ...] | None
    captured: Mapping[str, str]
    skew: float | None
    refresh_token: Sensitive | None = None
    refresh_expires_at: datetime | None = None
    learned: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    """Whom the answer names, where the connector's identity would read it."""


def parse(plan: Plan, status: int, headers: Mapping[str, str], body: bytes, *, host: str, now: datetime) -> Token:
    """The token, or ProviderError with the one reason that fits. `headers` by lower-case name; `now` is aware."""
    document = document_of(headers, body)
    failure = failure_of(plan, status, document)
    if failure is not None:
        # A server that failed may have done so after it had spent a grant.
        unanswered, wait = failure is Reason.PROVIDER_UNAVAILABLE, _wait(failure, headers, now)
        proof = proof_of(plan)
        raise ProviderError(failure, host=host, status=status, proof=proof, retry_after=wait, unanswered=unanswered)
    token = _token(plan, headers, document, now) if document is not None else None
    if token is None:
        raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=host, status=status, unanswered=True)
    return token


def missing_scopes(plan: Plan, granted: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Scopes that are wanted and were not granted: mandatory ones, then others.

    `offline_access` asks for a refresh token (OpenID Connect Core 11), which is its answer: Microsoft never names it.
    """
    missing = [scope for scope in plan.scopes if scope not in granted and scope != OFFLINE_ACCESS]
    mandatory = tuple(scope for scope in missing if scope in plan.mandatory_scopes)
    return mandatory, tuple(scope for scope in missing if scope not in mandatory)


def failure_of(plan: Plan, status: int, document: Document | None) -> Reason | None:
    """None for an answer that has no sign of failure."""
    if not 200 <= status <= 599:
        return Reason.PROVIDER_ANSWER_INVALID
    if 300 <= status <= 399:
        return Reason.PROVIDER_REDIRECTED
    code = error_code_of(plan.method.response, document)
    for rule in plan.method.errors:
        if _matches(rule, status, code):
            return _REASONS[rule.means]
    if status <= 299:
        return None if code is None else _by_code(plan, code) or Reason.REQUEST_REJECTED
    return _by_status(status) or _by_code(plan, code or "") or _otherwise(status)


def _by_status(status: int) -> Reason | None:
    """Statuses that say more than any error code beside them."""
    match status:
        case 403:
            return Reason.TOKEN_ENDPOINT_DENIED
        case 404 | 405 | 410:
            return Reason.TOKEN_ENDPOINT_NOT_FOUND
        case 429:
            return Reason.PROVIDER_THROTTLED
        case 408:
            return Reason.PROVIDER_UNAVAILABLE
        case _:
            return Reason.PROVIDER_UNAVAILABLE if status >= 500 else None


def _by_code(plan: Plan, code: str) -> Reason | None:
    """RFC 6749 5.2."""
    if code == "invalid_grant":
        return _invalid_grant(plan.method.name)
    meaning = _MEANINGS.get(code)
    return _REASONS[meaning] if meaning is not None else None


def _invalid_grant(method: Method) -> Reason:
    """It speaks of what the grant was: a consent, a user name, a signed JWT (RFC 7523 3.1), else of the request."""
    match method:
        case Method.AUTHORIZATION_CODE | Method.DEVICE_CODE:
            return Reason.GRANT_REVOKED
        case Method.PASSWORD:
            return Reason.CREDENTIALS_REJECTED
        case Method.JWT_BEARER:
            return Reason.CLIENT_REJECTED
        case _:
            return Reason.REQUEST_REJECTED


def document_of(headers: Mapping[str, str], body: bytes) -> Document | None:
    """JSON, or the form that some products answer with whatever they are asked for."""
    if len(body) > BODY_LIMIT:
        return None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return parse_form(body) if kind == "application/x-www-form-urlencoded" else parse_object(body)


def _otherwise(status: int) -> Reason:
    return Reason.CLIENT_REJECTED if status == 401 else Reason.REQUEST_REJECTED


def error_code_of(response: TokenResponse, document: Document | None) -> str | None:
    """The product's error code, "" when there is an error without one, None when nothing speaks of failure."""
    if document is None:
        return None
    found = first(document, response.error)
    if found is not MISSING and found:
        return found if isinstance(found, str) else str(found) if type(found) is int else ""
    for member in response.success:
        if plain(first(document, [member.pointer])) != member.equals:
            return ""
    return None


def plain(value: Any) -> str | None:
    """A scalar as JSON writes it: `true`, not `True`."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return None


def _matches(rule: ErrorRule, status: int, code: str | None) -> bool:
    return (not rule.status or status in rule.status) and (not rule.code or code in rule.code)


def _wait(reason: Reason, headers: Mapping[str, str], now: datetime) -> float | None:
    """Retry-After (RFC 9110 10.2.3), 1 s to 1 h; a date is read by the provider's own clock where it shows it."""
    text = headers.get("retry-after", "").strip()
    if reason not in {Reason.PROVIDER_THROTTLED, Reason.PROVIDER_UNAVAILABLE} or not text:
        return None
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        moment = http_date(text)
        if moment is None:
            return None
        seconds = (moment - (http_date(headers.get("date", "")) or now)).total_seconds()
    return min(max(seconds, 1.0), LONGEST_WAIT)


def _token(plan: Plan, headers: Mapping[str, str], document: Document, now: datetime) -> Token | None:
    response = plan.method.response
    value = first(document, response.access_token)
    if not isinstance(value, str) or len(value) > TOKEN_LIMIT or _TOKEN.fullmatch(value) is None:
        return None
    skew = skew_of(headers, now)
    captured = captured_from(plan, document, response.capture)
    is_grant = plan.method.name in GRANT_METHODS
    refresh_token = _refresh_token(first(document, response.refresh_token)) if is_grant else None
    return Token(
        access_token=Sensitive(value),
        token_type=_token_type(first(document, response.token_type)),
        expires_at=expiry_of(plan.method, document, now, skew or timedelta(0)),
        issued_at=now,
        scope=_scope(first(document, response.scope), response.scope_separator or plan.method.scopes.separator),
        captured=captured,
        skew=skew.total_seconds() if skew is not None else None,
        refresh_token=refresh_token,
        refresh_expires_at=refresh_expiry_of(response, document, now) if refresh_token is not None else None,
        learned=learned_of(plan, "tokenResponse", captured),
        account=_account(plan, document),
    )


def _account(plan: Plan, document: Document) -> str:
    identity = plan.method.identity
    return account_of(identity, document) if identity is not None and identity.parameter is None else ""


def account_of(identity: Identity, unverified_document: Document) -> str:
    """A name to show: printable, one line, at most 256 characters; "" when there is none."""
    text = plain(first(unverified_document, identity.account)) or ""
    return text if len(text) <= ACCOUNT_LIMIT and text.isprintable() else ""


def _refresh_token(value: Any) -> Sensitive | None:
    """Text that a form can carry; None for everything else, as if none had come: the one at hand stays."""
    is_usable = isinstance(value, str) and len(value) <= TOKEN_LIMIT and _CODE.fullmatch(value) is not None
    return Sensitive(value) if is_usable else None


def _token_type(value: Any) -> str:
    return (_NOT_TOKEN_CHARACTER.sub("", value[:64]) if isinstance(value, str) else "") or "Bearer"


def _scope(value: Any, separator: str) -> tuple[str, ...] | None:
    """As answered: text, split at spaces and at the connector's own separator, or a list. None for anything else."""
    if isinstance(value, str):
        names = value.replace(separator, " ").split()
    elif isinstance(value, list):
        names = [name for name in value if isinstance(name, str)]
    else:
        return None
    return tuple(dict.fromkeys(name for name in names if _SCOPE.fullmatch(name)))[:SCOPES_LIMIT]


def captured_from(plan: Plan, document: Document, pointers: Mapping[str, str]) -> dict[str, str]:
    """Values that workloads or addresses need; what is not one line of text or a number is left out.

    One that is a parameter must have the form that the connector declares: workloads send the token where it leads.
    """
    declared = plan.connector.spec.parameters
    found = {}
    for key, pointer in pointers.items():
        text = plain(first(document, [pointer]))
        if not text or len(text) > TEXT_LIMIT or not text.isprintable():
            continue
        accepted = accept(declared[key], text) if key in declared else text
        if accepted:
            found[key] = accepted
    return found
