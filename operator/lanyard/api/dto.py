"""What the REST API reads and writes: the reference's JSON of a federated credential, and problems (RFC 9457)."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from lanyard.api.federation import Identifier
from lanyard.api.meta import Model
from lanyard.reasons import Reason

REST_AUDIENCE = "identity_"
"""Appended to the issuer's address: what a token must be made for."""
LARGEST_WRITE = 16 * 1024
"""Bytes of a body. The longest one that is right has 9 KiB when every character is escaped."""


class RestScope(StrEnum):
    """Scopes of the reference. The first one stands for both others."""

    BOTH = "PM.OAuthApp"
    READ = "PM.OAuthApp.Read"
    WRITE = "PM.OAuthApp.Write"


class WrittenCredential(Model):
    """What a client sends, to create or to replace. Other members are ignored: it may send back what it read."""

    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Free text, unique within the application."
    )
    description: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Free text; null and absent mean none."
    )
    issuer: Identifier = Field(
        description="`iss` of the JWT, byte for byte: an https URL with its host in lower case, whose keys can be "
        "fetched when this is sent."
    )
    audience: Identifier = Field(description="A value that `aud` of the JWT contains.")
    subject: Identifier = Field(description="`sub` of the JWT, byte for byte.")


class ReadCredential(Model):
    """What a client is sent. Every member is there, always."""

    id: str = Field(description="uid of the FederatedCredential.")
    client_id: str = Field(description="uid of the Connection.")
    name: str = Field(description="`displayName`, or the object's own name where it has none.")
    description: str | None = Field(description="null when there is none.")
    issuer: str = Field(description="`iss` of the JWT.")
    audience: str = Field(description="A value that `aud` of the JWT contains.")
    subject: str = Field(description="`sub` of the JWT.")
    created_at: str = Field(description="RFC 3339, UTC, in whole seconds.", json_schema_extra={"format": "date-time"})
    updated_at: str = Field(
        description="Likewise: the last write of anything but the status, with whatever tool it was made.",
        json_schema_extra={"format": "date-time"},
    )


class Refusal(StrEnum):
    """Why a request is refused: a closed list. Each is one sentence for a person and one word for a program."""

    # 400
    NOT_JSON = "NotJSON"
    FIELD_INVALID = "FieldInvalid"
    DUPLICATE_NAME = "DuplicateName"
    LIMIT_EXCEEDED = "LimitExceeded"
    ISSUER_INVALID = "IssuerInvalid"
    ISSUER_UNREACHABLE = "IssuerUnreachable"
    NOT_FOR_LINKS = "NotForLinks"
    RULE_BROKEN = "RuleBroken"
    # who asks
    TOKEN_MISSING = "TokenMissing"
    TOKEN_INVALID = "TokenInvalid"
    SCOPE_MISSING = "ScopeMissing"
    FORBIDDEN = "Forbidden"
    NOT_WRITABLE = "NotWritable"
    # what for
    NOT_FOUND = "NotFound"
    NO_SUCH_METHOD = "NoSuchMethod"
    TOO_SLOW = "TooSlow"
    CHANGED = "Changed"
    TOO_LARGE = "TooLarge"
    NOT_JSON_TYPE = "NotJSONType"
    TOO_MANY = "TooMany"
    # ourselves
    FAULT = "Fault"
    UNAVAILABLE = "Unavailable"


REFUSALS: dict[Refusal, tuple[HTTPStatus, str]] = {
    Refusal.NOT_JSON: (HTTPStatus.BAD_REQUEST, "The body is not a JSON object in UTF-8."),
    Refusal.FIELD_INVALID: (
        HTTPStatus.BAD_REQUEST,
        "The member named by `field` is missing, too long, of another type or of characters that it does not take.",
    ),
    Refusal.DUPLICATE_NAME: (HTTPStatus.BAD_REQUEST, "This application has a credential of this name."),
    Refusal.LIMIT_EXCEEDED: (
        HTTPStatus.BAD_REQUEST, "This application has 20 credentials, and no more than 20 count: delete one first.",
    ),
    Refusal.ISSUER_INVALID: (
        HTTPStatus.BAD_REQUEST,
        "The issuer is not an https URL as its tokens write it: host in lower case, no user, no query, no fragment.",
    ),
    Refusal.ISSUER_UNREACHABLE: (
        HTTPStatus.BAD_REQUEST,
        "The issuer's keys could not be fetched within 5 seconds; `cause` says why (docs/reasons.md).",
    ),
    Refusal.NOT_FOR_LINKS: (
        HTTPStatus.BAD_REQUEST, "This Connection is a link: credentials belong to the one that it links to.",
    ),
    Refusal.RULE_BROKEN: (
        HTTPStatus.BAD_REQUEST, "A rule of the kind FederatedCredential or a policy of the platform refuses this.",
    ),
    Refusal.TOKEN_MISSING: (HTTPStatus.UNAUTHORIZED, "Send one header `Authorization: Bearer <token>`."),
    Refusal.TOKEN_INVALID: (
        HTTPStatus.UNAUTHORIZED, "The token is not valid here: made for another audience, expired, revoked or altered.",
    ),
    Refusal.SCOPE_MISSING: (HTTPStatus.FORBIDDEN, "The token lacks the scope that this needs."),
    Refusal.FORBIDDEN: (HTTPStatus.FORBIDDEN, "The cluster's rules do not let you do this here."),
    Refusal.NOT_WRITABLE: (
        HTTPStatus.FORBIDDEN, "The platform does not let the REST API write here, or a policy of it refuses this.",
    ),
    Refusal.NOT_FOUND: (HTTPStatus.NOT_FOUND, "There is nothing here for you."),
    Refusal.NO_SUCH_METHOD: (HTTPStatus.METHOD_NOT_ALLOWED, "The header `Allow` says what can be done here."),
    Refusal.TOO_SLOW: (HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive within 5 seconds."),
    Refusal.CHANGED: (
        HTTPStatus.PRECONDITION_FAILED, "It is not any more what `If-Match` says: read it again, then decide.",
    ),
    Refusal.TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than 16 KiB."),
    Refusal.NOT_JSON_TYPE: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."),
    Refusal.TOO_MANY: (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests: `Retry-After` says when to come again."),
    Refusal.FAULT: (HTTPStatus.INTERNAL_SERVER_ERROR, "This is our fault. Nothing is known to have been done."),
    Refusal.UNAVAILABLE: (
        HTTPStatus.SERVICE_UNAVAILABLE, "The cluster does not answer just now. `Retry-After` says when to ask again.",
    ),
}  # fmt: skip


class Problem(Model):
    """RFC 9457. `type` is about:blank, so `title` is the status's own name; `reason` tells one case from another."""

    type: str = Field(description="Always about:blank.")
    title: str = Field(description="The name of the status.")
    status: int = Field(description="The status of the answer.")
    detail: str = Field(description="What is wrong and what helps; the same words each time.")
    reason: Refusal = Field(description="The case, for programs.")
    field: str | None = Field(None, description="The member that does not fit, with the reason FieldInvalid.")
    cause: Reason | None = Field(
        None, description="Why there are no keys, with the reason IssuerUnreachable: as the condition would say it."
    )


def problem(refusal: Refusal, field: str | None = None, cause: Reason | None = None) -> Problem:
    status, detail = REFUSALS[refusal]
    return Problem(
        type="about:blank",
        title=status.phrase,
        status=status.value,
        detail=detail,
        reason=refusal,
        field=field,
        cause=cause,
    )
