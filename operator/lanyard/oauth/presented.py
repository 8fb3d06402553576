"""A JWT that somebody presents (RFC 7519, RFC 7515 compact form), read strictly and verified in separate steps.

First its shape, which costs no signature: what is read then is named `unverified_*` and is good for looking up who
would have to have signed it. Then the signature, with one key that the caller chose. Then the time. Every step reads
the very object that the first one parsed. `jku`, `jwk`, `x5u` and `x5c` are never looked at.

Stricter than PyJWT on purpose (tests/unit/oauth/test_presented_oracle.py lists where): two parsers that read one token
differently are the root of most advisories of this trade.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lanyard.oauth.algorithms import ALGORITHMS, is_signed
from lanyard.oauth.base64url import decoded
from lanyard.oauth.documents import Document, parse_object
from lanyard.oauth.flaws import Flaw, PresentedError
from lanyard.oauth.jwk import LONGEST_KEY_ID, VerificationKey
from lanyard.oauth.words import is_plain_word, is_word

__all__ = ["Flaw", "Presented", "PresentedError", "Verified", "hold_timely", "presented", "verified", "verified_before"]

LARGEST_BYTES = 8192
"""As the reference takes; told before anything is decoded."""
DEEPEST = 16
"""Objects and lists within each other."""
LONGEST_CLAIM = 600
LATEST = 2**53
"""Moments are exact in every reader of JSON below it (RFC 8259 6)."""
_TYPES = {"jwt", "jose", "at+jwt", "client-authentication+jwt"}
_REGISTERED = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
_HEADER_NAMES = frozenset({"alg", "typ", "kid", "crit", "b64"})
_LONGEST_NAME = 4  # letters, of the registered names
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC).timestamp() - 1


@dataclass(frozen=True, slots=True, repr=False)
class Presented:
    """A JWT of the right shape. Nothing in it is true yet."""

    algorithm: str
    key_id: str | None
    type: str
    """`typ` in lower case without `application/`; empty when there is none."""
    signing_input: bytes
    signature: bytes
    unverified_claims: Mapping[str, Any]
    unverified_issuer: str
    unverified_subject: str
    unverified_audiences: tuple[str, ...]
    digest: str
    """SHA-256 of the text, hexadecimal: names it in the audit log."""

    def __repr__(self) -> str:
        return f"Presented({self.digest[:12]})"


@dataclass(frozen=True, slots=True, repr=False)
class Verified:
    """What a key has signed. `claims` is the object that was parsed, and no other."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]
    claims: Mapping[str, Any]
    expires_at: datetime
    token_id: str | None
    """`jti`."""

    def __repr__(self) -> str:
        return f"Verified(until {self.expires_at.isoformat()})"


def presented(unverified_text: str) -> Presented:
    """The parts of a JWT; PresentedError for whatever else is given, and nothing but that."""
    if len(unverified_text) > LARGEST_BYTES:
        raise PresentedError(Flaw.TOO_LARGE)
    parts = unverified_text.split(".", 3)
    if len(parts) != 3:
        raise PresentedError(Flaw.NOT_THREE_PARTS)
    raw_header, raw_claims, signature = decoded(parts[0]), decoded(parts[1]), decoded(parts[2])
    if raw_header is None or raw_claims is None or signature is None:
        raise PresentedError(Flaw.NOT_BASE64URL)
    header = _object(raw_header, _HEADER_NAMES, Flaw.HEADER_MALFORMED)
    algorithm, kind, key_id = _checked_header(header)
    claims = _object(raw_claims, _REGISTERED, Flaw.PAYLOAD_MALFORMED)
    audiences = _checked_claims(claims)
    return Presented(
        algorithm=algorithm,
        key_id=key_id,
        type=kind,
        signing_input=f"{parts[0]}.{parts[1]}".encode(),
        signature=signature,
        unverified_claims=claims,
        unverified_issuer=claims["iss"],
        unverified_subject=claims["sub"],
        unverified_audiences=audiences,
        digest=hashlib.sha256(unverified_text.encode()).hexdigest(),
    )


def verified(one: Presented, key: VerificationKey) -> Verified:
    """PresentedError SIGNATURE_WRONG; KEY_UNFIT when the key is for another algorithm, whatever the header says."""
    if one.algorithm not in key.algorithms:
        raise PresentedError(Flaw.KEY_UNFIT)
    if not is_signed(key.key, one.algorithm, one.signature, one.signing_input):
        raise PresentedError(Flaw.SIGNATURE_WRONG)
    return verified_before(one)


def verified_before(one: Presented) -> Verified:
    """For the caller who knows that `verified` took these very bytes, by their digest, under the key in question."""
    claims = one.unverified_claims
    return Verified(
        issuer=one.unverified_issuer,
        subject=one.unverified_subject,
        audiences=one.unverified_audiences,
        claims=claims,
        expires_at=datetime.fromtimestamp(min(claims["exp"], _LAST_MOMENT), UTC),
        token_id=claims.get("jti"),
    )


def hold_timely(one: Verified, now: datetime, *, leeway: timedelta, longest_life: timedelta) -> None:
    """PresentedError EXPIRED, NOT_YET_VALID or LIVES_TOO_LONG.

    A life is counted from `iat`, and from now where there is none. Clocks may differ by `leeway`.
    """
    moment, slack, claims = now.timestamp(), leeway.total_seconds(), one.claims
    expires, issued = claims["exp"], claims.get("iat", moment)
    if expires <= moment - slack:
        raise PresentedError(Flaw.EXPIRED)
    if max(issued, claims.get("nbf", moment)) > moment + slack:
        raise PresentedError(Flaw.NOT_YET_VALID)
    if expires - issued > longest_life.total_seconds():
        raise PresentedError(Flaw.LIVES_TOO_LONG)


def _checked_header(header: Document) -> tuple[str, str, str | None]:
    """Algorithm, type and key id."""
    if "crit" in header or "b64" in header:
        raise PresentedError(Flaw.EXTENSION_REFUSED)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise PresentedError(Flaw.ALGORITHM_REFUSED)
    kind, key_id = header.get("typ"), header.get("kid")
    if "typ" in header and not isinstance(kind, str):
        raise PresentedError(Flaw.HEADER_MALFORMED)
    # RFC 7515 4.1.9: a media type, so case does not matter, and `application/` may be left out.
    kind = kind.lower().removeprefix("application/") if kind is not None else ""
    if kind and kind not in _TYPES:
        raise PresentedError(Flaw.TYPE_REFUSED)
    if "kid" in header and not is_word(key_id, LONGEST_KEY_ID):
        raise PresentedError(Flaw.HEADER_MALFORMED)
    return algorithm, kind, key_id


def _checked_claims(claims: Document) -> tuple[str, ...]:
    """The audiences. What may be absent is checked where it is there."""
    if not is_plain_word(claims.get("iss"), LONGEST_CLAIM):
        raise PresentedError(Flaw.ISSUER_INVALID)
    if not is_plain_word(claims.get("sub"), LONGEST_CLAIM):
        raise PresentedError(Flaw.SUBJECT_INVALID)
    if not _is_moment(claims.get("exp")):
        raise PresentedError(Flaw.EXPIRY_INVALID)
    if "nbf" in claims and not _is_moment(claims["nbf"]):
        raise PresentedError(Flaw.NOT_BEFORE_INVALID)
    if "iat" in claims and not _is_moment(claims["iat"]):
        raise PresentedError(Flaw.ISSUED_AT_INVALID)
    if "jti" in claims and not is_word(claims["jti"], LONGEST_CLAIM):
        raise PresentedError(Flaw.TOKEN_ID_INVALID)
    given = claims.get("aud")
    audiences = tuple(given) if isinstance(given, list) else (given,)
    if not audiences or not all(is_word(one, LONGEST_CLAIM) for one in audiences):
        raise PresentedError(Flaw.AUDIENCE_INVALID)
    return audiences


def _is_moment(value: Any) -> bool:
    """A NumericDate (RFC 7519 2) of our age. A bool is an int to Python and a text is a number to some readers."""
    return type(value) in (int, float) and 0 < value < LATEST


def _object(raw: bytes, known: frozenset[str], malformed: Flaw) -> Document:
    """The JSON object; `known` are the names that no other name may be taken for."""
    document = parse_object(raw)
    if document is None or (raw.count(b"{") + raw.count(b"[") > DEEPEST and _depth(document) > DEEPEST):
        raise PresentedError(malformed)
    if b"\\u" in raw and not _is_encodable(document):
        raise PresentedError(malformed)
    for name in document.keys() - known:
        # Most names are longer, and to fold them all takes as long as to read the JSON. Folding makes none shorter.
        if len(name) <= _LONGEST_NAME and _folded(name) in known:
            raise PresentedError(Flaw.NAME_FOLDED)
    return document


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _depth(document: Document) -> int:
    depth = 0
    level: list[Any] = [document]
    while level:
        depth += 1
        inner = [value for one in level for value in (one.values() if isinstance(one, dict) else one)]
        level = [value for value in inner if isinstance(value, dict | list)]
    return depth


def _is_encodable(document: Document) -> bool:
    """False where an escape stands for half of a surrogate pair, which no encoding can carry (RFC 8259 8.2)."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
