"""What is asked of our own token endpoint: three grants that carry a JWT of somebody else, one shape.

RFC 6749 4.4 with RFC 7523 2.2 (client credentials, the client proved by an assertion), RFC 7523 2.1 (the JWT is the
grant) and RFC 8693 (token exchange). Parameters that are not known are ignored (RFC 6749 3.2).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_plus

from lanyard.oauth.assertions import ASSERTION_TYPE

MOST_FIELDS = 64
"""Entra's SDKs send a dozen fields of their own; DESIGN 4 asks that forty are taken."""
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*")
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_SUBJECT_TOKENS = frozenset(
    {"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token", _ACCESS_TOKEN}
)


class Dialect(StrEnum):
    """The value of `grant_type`."""

    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class ErrorCode(StrEnum):
    """RFC 6749 5.2, RFC 8693 2.2.2; the last two as in RFC 6749 4.1.2.1."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    SERVER_ERROR = "server_error"


REFUSED_ASSERTION = {
    Dialect.CLIENT_CREDENTIALS: ErrorCode.INVALID_CLIENT,
    Dialect.JWT_BEARER: ErrorCode.INVALID_GRANT,
    Dialect.TOKEN_EXCHANGE: ErrorCode.INVALID_REQUEST,
}
"""What a JWT that is not taken is called (RFC 7523 3.2 and 3.1, RFC 8693 2.2.2)."""


class RequestError(Exception):
    """The request itself is wrong. `description` is a fixed text of ours: nothing that was sent is in it."""

    def __init__(self, code: ErrorCode, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Question:
    """A token is asked for. `targets` are the values of `audience` and `resource`; `scope` is empty for none."""

    dialect: Dialect
    unverified_assertion: str
    client_id: str | None
    targets: tuple[str, ...]
    scope: str


def question(unverified_body: bytes) -> Question:
    """A form as a question; RequestError says what is wrong with it."""
    form = _fields(unverified_body)
    match form.get("grant_type"):
        case None:
            raise RequestError(ErrorCode.INVALID_REQUEST, "grant_type is missing")
        case ["client_credentials"]:
            dialect, assertion = Dialect.CLIENT_CREDENTIALS, _client_assertion(form)
        case [Dialect.JWT_BEARER]:
            _refuse_second_proof(form, "client_assertion", "client_secret")
            dialect, assertion = Dialect.JWT_BEARER, _needed(form, "assertion")
        case [Dialect.TOKEN_EXCHANGE]:
            dialect, assertion = Dialect.TOKEN_EXCHANGE, _subject_token(form)
        case _:
            raise RequestError(
                ErrorCode.UNSUPPORTED_GRANT_TYPE,
                "grant_type is none of client_credentials, jwt-bearer and token-exchange",
            )
    client_ids = form.get("client_id")
    return Question(
        dialect,
        assertion,
        client_ids[0] if client_ids is not None else None,
        (*form.get("audience", ()), *form.get("resource", ())),
        _scope(form.get("scope", [""])[0]),
    )


def _fields(unverified_body: bytes) -> Mapping[str, Sequence[str]]:
    """Parameters without a value count as absent (RFC 6749 3.2)."""
    try:
        pairs = list(_pairs(unverified_body.decode("ascii")))
    except ValueError:
        raise RequestError(ErrorCode.INVALID_REQUEST, "the body is not a form in UTF-8") from None
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in form and name in _KNOWN:
            raise RequestError(ErrorCode.INVALID_REQUEST, "a parameter is there twice")
        form.setdefault(name, []).append(value)
    return form


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """As `parse_qsl` reads them, which decodes every value; a JWT has nothing to decode, and it is most of the form."""
    if text.count("&") >= MOST_FIELDS:
        raise ValueError("too many fields")
    for pair in text.split("&"):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError("a field without a value")
        if value:
            yield _decoded(name), _decoded(value)


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


_KNOWN = frozenset(
    {
        "grant_type",
        "client_id",
        "client_assertion",
        "client_assertion_type",
        "client_secret",
        "assertion",
        "scope",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type",
    }
)
"""Parameters that mean something here and may be there once; `audience` and `resource` may repeat (RFC 8693 2.1)."""


def _client_assertion(form: Mapping[str, Sequence[str]]) -> str:
    _refuse_second_proof(form, "client_secret", "assertion")
    if _needed(form, "client_assertion_type") != ASSERTION_TYPE:
        raise RequestError(ErrorCode.INVALID_REQUEST, "client_assertion_type is not that of a JWT")
    return _needed(form, "client_assertion")


def _subject_token(form: Mapping[str, Sequence[str]]) -> str:
    _refuse_second_proof(form, "client_assertion", "client_secret", "assertion")
    if "actor_token" in form:
        raise RequestError(ErrorCode.INVALID_REQUEST, "actor_token is not taken")
    if form.get("requested_token_type", [_ACCESS_TOKEN])[0] != _ACCESS_TOKEN:
        raise RequestError(ErrorCode.INVALID_REQUEST, "requested_token_type is not that of an access token")
    if _needed(form, "subject_token_type") not in _SUBJECT_TOKENS:
        raise RequestError(ErrorCode.INVALID_REQUEST, "subject_token_type is not that of a JWT")
    return _needed(form, "subject_token")


def _needed(form: Mapping[str, Sequence[str]], name: str) -> str:
    if name not in form:
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{name} is missing")
    return form[name][0]


def _refuse_second_proof(form: Mapping[str, Sequence[str]], *names: str) -> None:
    """One JWT says who asks; of two proofs nobody could say which one counted (RFC 6749 2.3)."""
    if any(name in form for name in names):
        raise RequestError(ErrorCode.INVALID_REQUEST, "there is more than one proof of who asks")


def _scope(unverified_text: str) -> str:
    if unverified_text and _SCOPE.fullmatch(unverified_text) is None:
        raise RequestError(ErrorCode.INVALID_SCOPE, "scope is not a list of words with one space between them")
    return unverified_text
