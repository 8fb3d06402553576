"""JWTs that somebody presents: what is let through, and each thing that is not (RFC 7515, 7519, 8725)."""

import contextlib
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from lanyard.oauth.base64url import decoded
from lanyard.oauth.jwk import KeySet
from lanyard.oauth.presented import LARGEST_BYTES, Flaw, PresentedError, Verified, hold_timely, presented, verified
from support.presenting import AUDIENCE, CLAIMS, ISSUER, NOW, SUBJECT, jwk, jwks, part, private_key, signed

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
KINDS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def accepted(text: str, *keys: dict[str, Any]) -> Verified:
    one = presented(text)
    return verified(one, KeySet.of(jwks(*keys or (jwk("ES256"),))).find(one.key_id, one.algorithm))


def flaw(text: str, *keys: dict[str, Any]) -> Flaw:
    with pytest.raises(PresentedError) as caught:
        accepted(text, *keys)
    assert str(caught.value) == caught.value.flaw.value, "its text is the flaw alone"
    return caught.value.flaw


def header(**members: Any) -> str:
    return signed(CLAIMS, header={"alg": "ES256", "kid": "k1", **members})


def claims(**members: Any) -> str:
    return signed({name: value for name, value in {**CLAIMS, **members}.items() if value is not ...})


def raw(payload: str | bytes) -> str:
    return signed(payload)


def also(members: str | bytes) -> str:
    """One more member, as it is written on the wire."""
    more = members.encode() if isinstance(members, str) else members
    return signed(json.dumps(CLAIMS).encode()[:-1] + b"," + more + b"}")


@pytest.mark.spec("F1")
@pytest.mark.parametrize("algorithm", KINDS)
def test_each_algorithm_is_taken_with_its_key(algorithm: str) -> None:
    one = accepted(signed(CLAIMS | {"jti": "j1"}, algorithm), jwk(algorithm))
    assert (one.issuer, one.subject, one.audiences, one.token_id) == (ISSUER, SUBJECT, (AUDIENCE,), "j1")
    assert one.expires_at == datetime.fromtimestamp(NOW + 300, UTC)
    assert one.claims == CLAIMS | {"jti": "j1"}


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_signature_by_another_key_is_refused(algorithm: str) -> None:
    text = signed(CLAIMS, algorithm, key=private_key(f"{algorithm}-other"))
    assert flaw(text, jwk(algorithm)) is Flaw.SIGNATURE_WRONG


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_signature_of_any_other_length_is_refused(algorithm: str) -> None:
    text, _, signature = signed(CLAIMS, algorithm).rpartition(".")
    right = decoded(signature) or b""
    half = len(right) // 2
    for changed in (b"", right[:-1], right + b"\0", b"\0" + right, right[1:], right[:half] + b"\0" + right[half:]):
        assert flaw(f"{text}.{part(changed)}", jwk(algorithm)) is Flaw.SIGNATURE_WRONG


def test_what_was_read_before_the_signature_is_what_counts_after_it() -> None:
    one = presented(signed(CLAIMS))
    checked = verified(one, KeySet.of(jwks(jwk("ES256"))).keys[0])
    assert checked.claims is one.unverified_claims


ACCEPTED = {
    "no type": header(),
    "type JWT in lower case": header(typ="jwt"),
    "type JOSE": header(typ="JOSE"),
    "an access token": header(typ="at+jwt"),
    "an access token with the whole media type": header(typ="application/at+jwt"),
    "a client assertion (draft-ietf-oauth-rfc7523bis)": header(typ="client-authentication+jwt"),
    "an unknown member of the header (RFC 7515 4)": header(x="y"),
    "a key in the header, which nobody looks at": header(jwk=jwk("ES256-other"), jku="https://evil.example", x5c=["x"]),
    "an address in the header, which nobody looks at": header(x5u="https://evil.example", x5t="AAAA"),
    "several audiences (RFC 7519 4.1.3)": claims(aud=["x", AUDIENCE]),
    "one audience in a list": claims(aud=[AUDIENCE]),
    "an expiry with a fraction (RFC 7519 2)": claims(exp=NOW + 300.5),
    "no iat": claims(iat=...),
    "further claims": claims(kubernetes={"namespace": "sales", "list": [{"a": [1]}]}),
    "600 characters of subject": claims(sub="s" * 600),
    "a space in the subject, as in names of GitHub environments": claims(sub="repo:a/b:environment:My Place"),
    "a name in another script": also('"имя":"x"'),
    "an escaped letter": raw(json.dumps(CLAIMS).replace('"iss"', '"\\u0069ss"')),
    "an escaped character beyond the first plane": claims(name="\U0001f600"),
    "white space around the object (RFC 8259 2)": raw(f" \n{json.dumps(CLAIMS)}\t"),
    "sixteen levels": claims(deep=json.loads("[" * 15 + "]" * 15)),
    "many lists beside each other": claims(wide=[[] for _ in range(100)]),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_is_taken(text: str) -> None:
    assert accepted(text).issuer == ISSUER


def test_audiences_become_a_list_of_them() -> None:
    assert accepted(claims(aud=["x", AUDIENCE])).audiences == ("x", AUDIENCE)


def test_an_expiry_beyond_the_calendar_is_no_fault_of_ours() -> None:
    one = accepted(claims(exp=2**53 - 1))
    assert one.expires_at.year == 9999
    with pytest.raises(PresentedError, match="lives_too_long"):
        hold_timely(one, datetime.fromtimestamp(NOW, UTC), leeway=MINUTE, longest_life=HOUR)


GOOD = signed(CLAIMS)
HEAD, BODY, SIGNATURE = GOOD.split(".")
TWICE = '{"alg":"ES256","kid":"k1","kid":"k1"}'
TWO = '{"alg":"none","alg":"ES256","kid":"k1"}'
SPARE = SIGNATURE[:-1] + chr(ord(SIGNATURE[-1]) + 1)
DER = private_key("ES256").sign(f"{HEAD}.{BODY}".encode(), ECDSA(SHA256()))
PEM = private_key("RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DUPLICATE = json.dumps(CLAIMS)[:-1] + ',"sub":"admin"}'

REFUSED: dict[str, tuple[str, Flaw]] = {
    # RFC 7515 7.1 and 2: three parts, each base64url
    "nothing": ("", Flaw.NOT_THREE_PARTS),
    "one part": (HEAD, Flaw.NOT_THREE_PARTS),
    "two parts": (f"{HEAD}.{BODY}", Flaw.NOT_THREE_PARTS),
    "four parts": (f"{GOOD}.x", Flaw.NOT_THREE_PARTS),
    "five parts, as a JWE has": (f"{HEAD}.a.b.c.d", Flaw.NOT_THREE_PARTS),
    "dots alone": ("." * 8000, Flaw.NOT_THREE_PARTS),
    "8,193 bytes": (f"{HEAD}.{BODY}.{'A' * (LARGEST_BYTES + 1 - len(HEAD) - len(BODY) - 2)}", Flaw.TOO_LARGE),
    "empty parts": ("..", Flaw.HEADER_MALFORMED),
    "an empty header": (f".{BODY}.{SIGNATURE}", Flaw.HEADER_MALFORMED),
    "an empty payload": (f"{HEAD}..{SIGNATURE}", Flaw.PAYLOAD_MALFORMED),
    "an empty signature": (f"{HEAD}.{BODY}.", Flaw.SIGNATURE_WRONG),
    "padding": (f"{GOOD}==", Flaw.NOT_BASE64URL),
    "padding of the header": (f"{HEAD}=.{BODY}.{SIGNATURE}", Flaw.NOT_BASE64URL),
    "letters of plain base64": (f"{HEAD}.{BODY}.{'+/' + SIGNATURE[2:]}", Flaw.NOT_BASE64URL),
    "a space": (f" {GOOD}", Flaw.NOT_BASE64URL),
    "a line end": (f"{GOOD}\n", Flaw.NOT_BASE64URL),
    "a NUL": (f"{HEAD}.{BODY}\0.{SIGNATURE}", Flaw.NOT_BASE64URL),
    "letters beyond ASCII": (f"{HEAD}.{BODY}.é{SIGNATURE[1:]}", Flaw.NOT_BASE64URL),
    "spare bits that are not nought": (f"{HEAD}.{BODY}.{SPARE}", Flaw.NOT_BASE64URL),
    "a length that no bytes have": (f"{HEAD}.{BODY}.{SIGNATURE}AAA", Flaw.NOT_BASE64URL),
    # RFC 7515 4: the header
    "a header that is no JSON": (signed(CLAIMS, header="alg"), Flaw.HEADER_MALFORMED),
    "a header that is a list": (signed(CLAIMS, header=["ES256"]), Flaw.HEADER_MALFORMED),
    "a header with a member twice": (signed(CLAIMS, header=TWICE), Flaw.HEADER_MALFORMED),
    "a header with two algorithms": (signed(CLAIMS, header=TWO), Flaw.HEADER_MALFORMED),
    "no algorithm": (signed(CLAIMS, header={"kid": "k1"}), Flaw.ALGORITHM_REFUSED),
    "no algorithm but one like it": (signed(CLAIMS, header={"Alg": "ES256", "alg": "ES256"}), Flaw.NAME_FOLDED),
    "none (RFC 8725 2.1)": (header(alg="none"), Flaw.ALGORITHM_REFUSED),
    "none without a signature": (f"{part({'alg': 'none'})}.{BODY}.", Flaw.ALGORITHM_REFUSED),
    "None": (header(alg="None"), Flaw.ALGORITHM_REFUSED),
    "an algorithm in lower case": (header(alg="es256"), Flaw.ALGORITHM_REFUSED),
    "an algorithm that is no text": (header(alg=["ES256"]), Flaw.ALGORITHM_REFUSED),
    "HS256": (header(alg="HS256"), Flaw.ALGORITHM_REFUSED),
    "ES256K": (header(alg="ES256K"), Flaw.ALGORITHM_REFUSED),
    "crit (RFC 7515 4.1.11)": (header(crit=["exp"]), Flaw.EXTENSION_REFUSED),
    "an empty crit": (header(crit=[]), Flaw.EXTENSION_REFUSED),
    "b64 (RFC 7797)": (header(b64=False), Flaw.EXTENSION_REFUSED),
    "b64 that says nothing new": (header(b64=True), Flaw.EXTENSION_REFUSED),
    "a DPoP proof (RFC 8725 3.11)": (header(typ="dpop+jwt"), Flaw.TYPE_REFUSED),
    "a logout token": (header(typ="logout+jwt"), Flaw.TYPE_REFUSED),
    "a security event": (header(typ="secevent+jwt"), Flaw.TYPE_REFUSED),
    "a type of null": (header(typ=None), Flaw.HEADER_MALFORMED),
    "a type that is no text": (header(typ=1), Flaw.HEADER_MALFORMED),
    "a key id that is no text": (header(kid=1), Flaw.HEADER_MALFORMED),
    "a key id of null": (header(kid=None), Flaw.HEADER_MALFORMED),
    "an empty key id": (header(kid=""), Flaw.HEADER_MALFORMED),
    "a key id of 257 characters": (header(kid="k" * 257), Flaw.HEADER_MALFORMED),
    "a line end in the key id": (header(kid="k1\n"), Flaw.HEADER_MALFORMED),
    "half a pair in the key id": (header(kid="\ud800"), Flaw.HEADER_MALFORMED),
    "another key id": (header(kid="k2"), Flaw.KEY_UNKNOWN),
    # RFC 7519 7.2 and RFC 8259: the payload
    "a payload that is no JSON": (raw("sub"), Flaw.PAYLOAD_MALFORMED),
    "a payload that is a text": (raw('"sub"'), Flaw.PAYLOAD_MALFORMED),
    "a payload that is another JWT": (raw(GOOD), Flaw.PAYLOAD_MALFORMED),
    "two objects": (raw(json.dumps(CLAIMS) * 2), Flaw.PAYLOAD_MALFORMED),
    "a claim twice (RFC 7519 4)": (raw(DUPLICATE), Flaw.PAYLOAD_MALFORMED),
    "a member twice further in": (also('"x":{"a":1,"a":1}'), Flaw.PAYLOAD_MALFORMED),
    "a claim twice, once escaped": (also('"\\u0073ub":"admin"'), Flaw.PAYLOAD_MALFORMED),
    "UTF-16": (raw(json.dumps(CLAIMS).encode("utf-16")), Flaw.PAYLOAD_MALFORMED),
    "UTF-16 without a mark": (raw(json.dumps(CLAIMS).encode("utf-16-le")), Flaw.PAYLOAD_MALFORMED),
    "a byte order mark": (raw(b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode()), Flaw.PAYLOAD_MALFORMED),
    "bytes that are no UTF-8": (also(b'"x":"\xff"'), Flaw.PAYLOAD_MALFORMED),
    "an encoded half of a pair": (also(b'"x":"\xed\xa0\x80"'), Flaw.PAYLOAD_MALFORMED),
    "half a pair in any claim": (claims(name="\ud800"), Flaw.PAYLOAD_MALFORMED),
    "half a pair in a name": (claims(**{"\udfff": 1}), Flaw.PAYLOAD_MALFORMED),
    "NaN": (raw(json.dumps(CLAIMS | {"x": float("nan")})), Flaw.PAYLOAD_MALFORMED),
    "Infinity": (raw(json.dumps(CLAIMS | {"exp": float("inf")})), Flaw.PAYLOAD_MALFORMED),
    "a number that is infinite": (also('"x":1e999'), Flaw.PAYLOAD_MALFORMED),
    "a number of 5,000 digits": (also(f'"x":{"9" * 5000}'), Flaw.PAYLOAD_MALFORMED),
    "a line end within a text": (also('"x":"\n"'), Flaw.PAYLOAD_MALFORMED),
    "seventeen levels": (claims(deep=json.loads("[" * 16 + "]" * 16)), Flaw.PAYLOAD_MALFORMED),
    "2,900 levels": (also(f'"x":{"[" * 2900}{"]" * 2900}'), Flaw.PAYLOAD_MALFORMED),
    "2,900 levels that do not end": (raw("[" * 5800), Flaw.PAYLOAD_MALFORMED),
    # RFC 7519 4.1 and 10.1: registered claims
    "SUB": (claims(SUB="admin"), Flaw.NAME_FOLDED),
    "a long s in sub": (also('"\\u017fub":"admin"'), Flaw.NAME_FOLDED),
    "wide letters": (also('"\\uff53\\uff55\\uff42":"admin"'), Flaw.NAME_FOLDED),
    "Exp": (claims(Exp=1), Flaw.NAME_FOLDED),
    "no issuer": (claims(iss=...), Flaw.ISSUER_INVALID),
    "an issuer that is no text": (claims(iss=[ISSUER]), Flaw.ISSUER_INVALID),
    "an empty issuer": (claims(iss=""), Flaw.ISSUER_INVALID),
    "an issuer of 601 characters": (claims(iss="i" * 601), Flaw.ISSUER_INVALID),
    "an issuer beyond ASCII": (claims(iss="https://issuér.example"), Flaw.ISSUER_INVALID),
    "no subject": (claims(sub=...), Flaw.SUBJECT_INVALID),
    "a subject of null": (claims(sub=None), Flaw.SUBJECT_INVALID),
    "a subject that is a number": (claims(sub=7), Flaw.SUBJECT_INVALID),
    "an empty subject": (claims(sub=""), Flaw.SUBJECT_INVALID),
    "a subject of 601 characters": (claims(sub="s" * 601), Flaw.SUBJECT_INVALID),
    "a line end in the subject": (claims(sub="a\nb"), Flaw.SUBJECT_INVALID),
    "a NUL in the subject": (claims(sub="a\0"), Flaw.SUBJECT_INVALID),
    "no audience": (claims(aud=...), Flaw.AUDIENCE_INVALID),
    "an audience of null": (claims(aud=None), Flaw.AUDIENCE_INVALID),
    "no audience in the list": (claims(aud=[]), Flaw.AUDIENCE_INVALID),
    "an audience that is a number": (claims(aud=[AUDIENCE, 1]), Flaw.AUDIENCE_INVALID),
    "a list within the list": (claims(aud=[[AUDIENCE]]), Flaw.AUDIENCE_INVALID),
    "an audience that is an object": (claims(aud={"a": AUDIENCE}), Flaw.AUDIENCE_INVALID),
    "an empty audience": (claims(aud=""), Flaw.AUDIENCE_INVALID),
    "a line end in one audience": (claims(aud=[AUDIENCE, "a\n"]), Flaw.AUDIENCE_INVALID),
    "no expiry": (claims(exp=...), Flaw.EXPIRY_INVALID),
    "an expiry of null": (claims(exp=None), Flaw.EXPIRY_INVALID),
    "an expiry as text": (claims(exp=str(NOW + 300)), Flaw.EXPIRY_INVALID),
    "an expiry that is true": (claims(exp=True), Flaw.EXPIRY_INVALID),
    "an expiry of nought": (claims(exp=0), Flaw.EXPIRY_INVALID),
    "an expiry before the epoch": (claims(exp=-1), Flaw.EXPIRY_INVALID),
    "an expiry of 1e300": (claims(exp=1e300), Flaw.EXPIRY_INVALID),
    "an expiry of 2^53": (claims(exp=2**53), Flaw.EXPIRY_INVALID),
    "an expiry of 4,000 digits": (raw(json.dumps(CLAIMS | {"exp": 10**3999})), Flaw.EXPIRY_INVALID),
    "nbf as text": (claims(nbf=str(NOW)), Flaw.NOT_BEFORE_INVALID),
    "nbf of null": (claims(nbf=None), Flaw.NOT_BEFORE_INVALID),
    "iat as text": (claims(iat=str(NOW)), Flaw.ISSUED_AT_INVALID),
    "iat of 1e300": (claims(iat=1e300), Flaw.ISSUED_AT_INVALID),
    "jti that is a number": (claims(jti=1), Flaw.TOKEN_ID_INVALID),
    "a line end in jti": (claims(jti="a\nb"), Flaw.TOKEN_ID_INVALID),
    "an empty jti": (claims(jti=""), Flaw.TOKEN_ID_INVALID),
    # RFC 8725 3.1, 3.2: the algorithm is the key's
    "a changed payload": (f"{HEAD}.{part(CLAIMS | {'sub': 'admin'})}.{SIGNATURE}", Flaw.SIGNATURE_WRONG),
    "a changed header": (f"{part({'alg': 'ES256', 'kid': 'k1'})}.{BODY}.{SIGNATURE}", Flaw.SIGNATURE_WRONG),
    "an algorithm of another kind of key": (header(alg="RS256"), Flaw.KEY_UNFIT),
    "an algorithm of another curve": (header(alg="ES384"), Flaw.KEY_UNFIT),
    "both numbers of the signature nought (CVE-2022-21449)": (f"{HEAD}.{BODY}.{part(bytes(64))}", Flaw.SIGNATURE_WRONG),
    "a signature as DER": (f"{HEAD}.{BODY}.{part(DER)}", Flaw.SIGNATURE_WRONG),
}  # fmt: skip


@pytest.mark.spec("F8")
@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_is_refused(text: str, expected: Flaw) -> None:
    assert flaw(text) is expected


def test_8192_bytes_are_not_too_many() -> None:
    room = LARGEST_BYTES - len(signed(CLAIMS | {"x": ""}))
    text = signed(CLAIMS | {"x": "y" * (room * 3 // 4 - 3)})
    assert LARGEST_BYTES - 8 <= len(text) <= LARGEST_BYTES
    assert accepted(text).issuer == ISSUER


def test_a_public_key_is_no_password() -> None:
    """RFC 8725 2.1: HS256 over the text of an RSA key, which everybody has."""
    text = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{BODY}"
    forged = f"{text}.{part(hmac.new(PEM, text.encode(), hashlib.sha256).digest())}"
    assert flaw(forged, jwk("RS256")) is Flaw.ALGORITHM_REFUSED


def test_rsa_pkcs1_is_not_taken_for_pss() -> None:
    text = signed(CLAIMS, "RS256", header={"alg": "PS256", "kid": "k1"})
    assert flaw(text, jwk("RS256")) is Flaw.SIGNATURE_WRONG
    assert flaw(text, jwk("RS256", alg="RS256")) is Flaw.KEY_UNFIT


def test_pss_has_a_salt_as_long_as_its_hash() -> None:
    """RFC 7518 3.5; the key says so, and not whoever signed."""
    text = f"{part({'alg': 'PS256', 'kid': 'k1'})}.{BODY}"
    signature = private_key("PS256").sign(text.encode(), PSS(MGF1(SHA256()), 20), SHA256())
    assert flaw(f"{text}.{part(signature)}", jwk("PS256")) is Flaw.SIGNATURE_WRONG


def test_a_key_of_another_kind_is_not_even_asked() -> None:
    one = presented(signed(CLAIMS, "RS256"))
    with pytest.raises(PresentedError, match="key_unfit"):
        verified(one, KeySet.of(jwks(jwk("ES256"))).keys[0])


TIMES: dict[str, tuple[dict[str, Any], Flaw | None]] = {
    "an hour": ({"exp": NOW + 3600}, None),
    "a second more than the longest life": ({"exp": NOW + 3601}, Flaw.LIVES_TOO_LONG),
    "an hour and no iat": ({"exp": NOW + 3600, "iat": ...}, None),
    "a second more and no iat": ({"exp": NOW + 3601, "iat": ...}, Flaw.LIVES_TOO_LONG),
    "a long life that is nearly over": ({"iat": NOW - 9000, "exp": NOW + 10}, Flaw.LIVES_TOO_LONG),
    "over for 59 seconds": ({"iat": NOW - 600, "exp": NOW - 59}, None),
    "over for 60 seconds": ({"iat": NOW - 600, "exp": NOW - 60}, Flaw.EXPIRED),
    "over for half a second more than that": ({"iat": NOW - 600, "exp": NOW - 60.5}, Flaw.EXPIRED),
    "issued 60 seconds ahead": ({"iat": NOW + 60}, None),
    "issued 61 seconds ahead": ({"iat": NOW + 61}, Flaw.NOT_YET_VALID),
    "good from in 60 seconds on": ({"nbf": NOW + 60}, None),
    "good from in 61 seconds on": ({"nbf": NOW + 61}, Flaw.NOT_YET_VALID),
    "good from long ago on": ({"nbf": 1}, None),
}


@pytest.mark.spec("F8")
@pytest.mark.parametrize(("members", "expected"), TIMES.values(), ids=TIMES)
def test_is_held_to_its_time(members: dict[str, Any], expected: Flaw | None) -> None:
    one = accepted(claims(**members))
    try:
        hold_timely(one, datetime.fromtimestamp(NOW, UTC), leeway=MINUTE, longest_life=HOUR)
        found = None
    except PresentedError as error:
        found = error.flaw
    assert found is expected


def test_nothing_of_a_jwt_is_in_a_repr() -> None:
    one = presented(signed(CLAIMS | {"canary": "canary-7f3a"}))
    shown = repr(one) + repr(verified(one, KeySet.of(jwks(jwk("ES256"))).keys[0]))
    assert SUBJECT not in shown
    assert "canary" not in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
named = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "SUB"])
    | st.text(max_size=4),
    json_values | st.sampled_from(["ES256", "JWT", "k1", ISSUER, SUBJECT, AUDIENCE]) | st.just(NOW + 300),
    max_size=10,
)


def survives(text: str) -> None:
    with contextlib.suppress(PresentedError):
        accepted(text)


@given(st.text() | st.text(alphabet="abcXYZ019-_.=+/", max_size=200))
def test_no_text_is_worse_than_refused(text: str) -> None:
    survives(text)


@given(st.binary(max_size=200) | named | json_values, st.binary(max_size=200) | named | json_values)
def test_no_header_and_no_payload_is_worse_than_refused(head: Any, body: Any) -> None:
    survives(f"{part(head)}.{part(body)}.{SIGNATURE}")


@given(named)
def test_no_signed_payload_is_worse_than_refused(body: dict[str, Any]) -> None:
    survives(signed(CLAIMS | body))
