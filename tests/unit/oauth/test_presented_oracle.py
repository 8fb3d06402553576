"""Our reader of JWTs beside PyJWT's: what ours takes, PyJWT takes and reads alike; where ours is stricter is a list."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lanyard.oauth.jwk import KeySet
from lanyard.oauth.presented import Flaw, PresentedError, hold_timely, presented, verified
from support.presenting import AUDIENCE, ISSUER, SUBJECT, jwk, jwks, private_key, signed

LEEWAY = 60
LIFE = timedelta(hours=1)
MOMENT = int(time.time())
KINDS = ("RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA")
KEYS = {kind: KeySet.of(jwks(jwk(kind, alg=kind))) for kind in KINDS}

STRICTER = {
    Flaw.TOO_LARGE: "more than 8,192 bytes",
    Flaw.NOT_BASE64URL: "padding, spare bits, letters of plain base64",
    Flaw.HEADER_MALFORMED: "names given twice, UTF-16, a type or key id that is no proper text",
    Flaw.PAYLOAD_MALFORMED: "names given twice, UTF-16, a mark before the text, halves of pairs, more than 16 levels",
    Flaw.NAME_FOLDED: "SUB beside sub",
    Flaw.TYPE_REFUSED: "DPoP proofs, logout tokens",
    Flaw.EXTENSION_REFUSED: "an extension, also one that PyJWT knows",
    Flaw.ISSUER_INVALID: "more than 600 characters, or some that are not printable ASCII",
    Flaw.SUBJECT_INVALID: "the same, and an empty or missing one",
    Flaw.AUDIENCE_INVALID: "one of several that is no proper text",
    Flaw.EXPIRY_INVALID: "text, a bool, nought, beyond 2^53",
    Flaw.NOT_BEFORE_INVALID: "the same",
    Flaw.ISSUED_AT_INVALID: "the same",
    Flaw.TOKEN_ID_INVALID: "controls, more than 600 characters",
    Flaw.KEY_UNKNOWN: "another key id: PyJWT is handed the key",
    Flaw.LIVES_TOO_LONG: "more than the life that the caller allows",
}
"""Where PyJWT takes a JWT and we do not, and why. What is not here is judged alike."""


def ours(text: str, kind: str) -> dict[str, Any] | Flaw | str:
    try:
        one = presented(text)
        checked = verified(one, KEYS[kind].find(one.key_id, one.algorithm))
        hold_timely(checked, datetime.now(UTC), leeway=timedelta(seconds=LEEWAY), longest_life=LIFE)
    except PresentedError as error:
        return error.flaw
    if (checked.issuer, checked.subject) != (ISSUER, SUBJECT) or AUDIENCE not in checked.audiences:
        return "another's"
    return dict(checked.claims)


def theirs(text: str, kind: str) -> dict[str, Any] | None:
    try:
        read: dict[str, Any] = jwt.decode(
            text,
            private_key(kind).public_key(),
            algorithms=[kind],
            issuer=ISSUER,
            audience=AUDIENCE,
            subject=SUBJECT,
            leeway=LEEWAY,
            options={"require": ["exp", "sub", "iss", "aud"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        # What is not a PyJWTError is a fault of PyJWT's on odd input, and a refusal for this purpose.
        return None
    return read


def compared(text: str, kind: str) -> None:
    mine, other = ours(text, kind), theirs(text, kind)
    if isinstance(mine, dict):
        assert other == mine, "what we take, PyJWT takes, and reads alike"
    elif other is not None:
        assert mine in STRICTER, f"{mine}: stricter than PyJWT without being listed"


good = {"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "iat": MOMENT, "exp": MOMENT + 1800}
# Seconds from now; none so near to a limit that it is passed while a test runs.
moments = st.sampled_from([-7200, -90, -30, 0, 30, 90, 1800, 7200]).map(lambda ahead: MOMENT + ahead)
odd = st.none() | st.booleans() | st.text(max_size=8) | st.integers(-5, 2**70) | st.floats() | st.lists(st.text())
HEADER: dict[str, st.SearchStrategy[Any]] = {
    "alg": st.sampled_from([*KINDS, "none", "HS256", "es256"]) | odd,
    "kid": st.text(max_size=3),
    "typ": st.sampled_from(["JWT", "at+jwt", "dpop+jwt"]) | odd,
    "crit": st.lists(st.sampled_from(["exp", "b64"]), max_size=1),
    "b64": st.booleans(),
    "jku": st.just("https://evil.example"),
}
BODY: dict[str, st.SearchStrategy[Any]] = {
    "iss": odd,
    "sub": odd,
    "aud": st.sampled_from([[AUDIENCE], ["x", AUDIENCE], ["x"], "x", []]) | odd,
    "exp": moments | odd,
    "nbf": moments | odd,
    "iat": moments | odd,
    "jti": st.text(max_size=8) | odd,
    "SUB": st.text(max_size=3),
    "x": st.recursive(st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
}


def changes(of: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """At most two members of a good one: changed in all of them, it would never be taken."""
    one = st.one_of([st.tuples(st.just(name), value) for name, value in of.items()])
    return st.lists(one, max_size=2).map(dict)


@pytest.mark.spec("F8")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), changes(HEADER) | st.just({}), changes(BODY))
def test_no_jwt_is_taken_that_pyjwt_refuses(kind: str, header: dict[str, Any], body: dict[str, Any]) -> None:
    compared(signed(good | body, kind, header={"alg": kind, "kid": "k1"} | header), kind)


@pytest.mark.spec("F8")
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["ES256", "EdDSA", "RS256"]),
    st.integers(min_value=0),
    st.sampled_from("Aa0-_.=+/ \n\0é"),
    st.sampled_from([0, 1]),
)
@example("ES256", 10**9, "=", 0)
def test_no_changed_jwt_is_taken_that_pyjwt_refuses(kind: str, place: int, letter: str, taken: int) -> None:
    """One letter more, or one in the place of another."""
    text = signed(good, kind)
    at = min(place, len(text)) if place >= 10**9 else place % len(text)
    compared(text[:at] + letter + text[at + taken :], kind)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_a_jwt_of_one_key_is_not_one_of_another(kind: str, other: str) -> None:
    text = signed(good, kind)
    compared(text, other)
    assert isinstance(ours(text, other), dict) is (kind == other)


LISTED: dict[str, tuple[Flaw, str]] = {
    "a claim twice": (Flaw.PAYLOAD_MALFORMED, json.dumps(good)[:-1] + f',"sub":"{SUBJECT}"}}'),
    "a byte order mark": (Flaw.PAYLOAD_MALFORMED, "\ufeff" + json.dumps(good)),
    "half a pair": (Flaw.PAYLOAD_MALFORMED, json.dumps(good | {"name": "\ud800"})),
    "seventeen levels": (Flaw.PAYLOAD_MALFORMED, json.dumps(good | {"x": json.loads("[" * 16 + "]" * 16)})),
    "SUB": (Flaw.NAME_FOLDED, json.dumps(good | {"SUB": "admin"})),
    "an expiry as text": (Flaw.EXPIRY_INVALID, json.dumps(good | {"exp": str(MOMENT + 1800)})),
    "an expiry of 1e300": (Flaw.EXPIRY_INVALID, json.dumps(good | {"exp": 1e300})),
    "an nbf as text": (Flaw.NOT_BEFORE_INVALID, json.dumps(good | {"nbf": str(MOMENT)})),
    "a life of two hours": (Flaw.LIVES_TOO_LONG, json.dumps(good | {"exp": MOMENT + 7200})),
}


@pytest.mark.parametrize(("flaw", "payload"), LISTED.values(), ids=LISTED)
def test_where_we_are_stricter_pyjwt_still_is_not(flaw: Flaw, payload: str) -> None:
    """When one of these fails PyJWT has learned it: then it can leave the list."""
    text = signed(payload)
    assert theirs(text, "ES256") is not None
    assert ours(text, "ES256") is flaw


def test_the_lists_are_of_the_version_that_they_were_made_with_or_newer() -> None:
    assert tuple(int(part) for part in jwt.__version__.split(".")[:2]) >= (2, 15)
