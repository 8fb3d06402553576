"""Access tokens of our own: what is written (RFC 9068), and what is taken for one."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from lanyard.oauth.base64url import decoded, encoded
from lanyard.oauth.minting import CREDENTIAL_CLAIM, Minted, SigningKey, access_token, is_scalar, opened
from lanyard.oauth.presented import Flaw, PresentedError
from support.presenting import part

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ISSUER = "https://lanyard.example"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = SigningKey.of(b"\x01" * 32)
KEYS = {KEY.key_id: KEY}


def minted(key: SigningKey = KEY, **changed: Any) -> str:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": f"{ISSUER}/sales",
        "client_id": "uid-1",
        "namespace": "sales",
        "scope": "read write",
        "token_id": "jti-1",
        "issued_at": NOW,
        "lifetime": timedelta(hours=1),
        "credential": "uid-2",
    }
    return access_token(key, **given | changed)


def flaw(text: str, *, now: datetime = NOW) -> Flaw:
    with pytest.raises(PresentedError) as caught:
        opened(text, KEYS, issuer=ISSUER, now=now)
    return caught.value.flaw


@pytest.mark.spec("F1", "F12")
def test_a_token_is_what_a_resource_server_reads() -> None:
    text = minted()
    assert jwt.get_unverified_header(text) == {"alg": "ES256", "kid": KEY.key_id, "typ": "at+jwt"}
    key = jwt.PyJWK(KEY.public_jwk())
    read = jwt.decode(text, key, algorithms=["ES256"], audience=f"{ISSUER}/sales", options={"verify_exp": False})
    assert read == {
        "iss": ISSUER,
        "sub": "uid-1",
        "client_id": "uid-1",
        "aud": f"{ISSUER}/sales",
        "namespace": "sales",
        "scope": "read write",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
        "jti": "jti-1",
        CREDENTIAL_CLAIM: "uid-2",
    }


def test_what_is_not_given_is_not_written() -> None:
    read = jwt.decode(minted(scope="", credential=None), options={"verify_signature": False})
    assert read.keys() == {"iss", "sub", "client_id", "aud", "namespace", "iat", "exp", "jti"}


def test_a_token_is_read_again() -> None:
    assert opened(minted(), KEYS, issuer=ISSUER, now=NOW) == Minted(
        key_id=KEY.key_id,
        issuer=ISSUER,
        audiences=(f"{ISSUER}/sales",),
        client_id="uid-1",
        namespace="sales",
        scopes=("read", "write"),
        token_id="jti-1",
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        credential="uid-2",
    )
    assert opened(minted(scope="", credential=None), KEYS, issuer=ISSUER, now=NOW).scopes == ()


def test_no_token_lives_for_longer_than_signing_keys_are_kept() -> None:
    with pytest.raises(ValueError, match="longer than an hour"):
        minted(lifetime=timedelta(hours=1, seconds=1))


def test_a_token_ends_when_it_says_so() -> None:
    last = NOW + timedelta(minutes=59, seconds=59)
    assert opened(minted(), KEYS, issuer=ISSUER, now=last).token_id == "jti-1"
    assert flaw(minted(), now=last + timedelta(seconds=1)) is Flaw.EXPIRED


def test_a_replica_whose_clock_is_ahead_is_believed_for_a_minute() -> None:
    assert opened(minted(issued_at=NOW + timedelta(seconds=60)), KEYS, issuer=ISSUER, now=NOW)
    assert flaw(minted(issued_at=NOW + timedelta(seconds=61))) is Flaw.NOT_YET_VALID


GOOD = json.loads(decoded(minted().split(".")[1]) or b"")


def ours(**members: Any) -> str:
    """Signed with our own key, as only a fault of ours could write it."""
    return KEY.signed({name: value for name, value in (GOOD | members).items() if value is not ...})


def typed(kind: Any) -> str:
    header = part({"alg": "ES256", "kid": KEY.key_id} | ({"typ": kind} if kind else {}))
    return ".".join((header, *minted().split(".")[1:]))


NOT_OURS: dict[str, tuple[str, Flaw]] = {
    "an assertion of somebody": (typed("JWT"), Flaw.TYPE_REFUSED),
    "no type": (typed(None), Flaw.TYPE_REFUSED),
    "another issuer": (minted(issuer="https://lanyard.example/"), Flaw.ISSUER_INVALID),
    "another key": (minted(SigningKey.of(b"\x02" * 32)), Flaw.KEY_UNKNOWN),
    "a changed token": (minted()[:-8] + "AAAAAAAA", Flaw.SIGNATURE_WRONG),
    "a changed header": (typed("application/at+jwt"), Flaw.SIGNATURE_WRONG),
    "another client": (ours(client_id="uid-9"), Flaw.PAYLOAD_MALFORMED),
    "no client": (ours(client_id=...), Flaw.PAYLOAD_MALFORMED),
    "no namespace": (ours(namespace=...), Flaw.PAYLOAD_MALFORMED),
    "scopes in a list": (ours(scope=["read"]), Flaw.PAYLOAD_MALFORMED),
    "a credential that is no text": (ours(**{CREDENTIAL_CLAIM: 1}), Flaw.PAYLOAD_MALFORMED),
    "no jti": (ours(jti=...), Flaw.PAYLOAD_MALFORMED),
    "no iat": (ours(iat=...), Flaw.PAYLOAD_MALFORMED),
    "a longer life than we give": (ours(exp=GOOD["exp"] + 1), Flaw.LIVES_TOO_LONG),
    "no token at all": ("x", Flaw.NOT_THREE_PARTS),
}


@pytest.mark.parametrize(("text", "expected"), NOT_OURS.values(), ids=NOT_OURS)
def test_is_not_taken_for_a_token_of_ours(text: str, expected: Flaw) -> None:
    assert flaw(text) is expected


def test_a_key_is_named_by_its_thumbprint() -> None:
    """RFC 7638 3, computed by another hand; and the private half is nowhere in what is published."""
    jwk = KEY.public_jwk()
    assert jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert jwt.PyJWK(jwk).thumbprint() == KEY.key_id if hasattr(jwt.PyJWK, "thumbprint") else True
    assert KEY.key_id in repr(KEY)
    assert encoded(b"\x01" * 32) not in json.dumps(jwk) + repr(KEY)


SCALARS = {
    "one": (1, True),
    "the largest": (ORDER - 1, True),
    "nought": (0, False),
    "the order": (ORDER, False),
    "all ones": (2**256 - 1, False),
}


@pytest.mark.parametrize(("number", "expected"), SCALARS.values(), ids=SCALARS)
def test_is_a_private_key_or_not(number: int, expected: bool) -> None:
    material = number.to_bytes(32)
    assert is_scalar(material) is expected
    if expected:
        assert SigningKey.of(material).key_id
    else:
        with pytest.raises(ValueError, match="not a private key"):
            SigningKey.of(material)


def test_31_bytes_are_no_private_key() -> None:
    assert not is_scalar(b"\x01" * 31)
