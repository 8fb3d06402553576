"""Issuers' keys: which may verify what, and which are left out (RFC 7517, RFC 7518 6)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from lanyard.oauth.base64url import decoded
from lanyard.oauth.flaws import Flaw, PresentedError
from lanyard.oauth.jwk import KeySet, KeySetError, KeySetFault
from support.presenting import jwk, jwks, part, private_key

RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def flaw(found: KeySet, key_id: str | None, algorithm: str) -> Flaw:
    with pytest.raises(PresentedError) as caught:
        found.find(key_id, algorithm)
    return caught.value.flaw


def without(key: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in names}


def numbers(modulus: int, exponent: int = 65537) -> dict[str, Any]:
    return {
        "kty": "RSA",
        "kid": "k1",
        "n": part(modulus.to_bytes((modulus.bit_length() + 7) // 8)),
        "e": part(exponent.to_bytes((exponent.bit_length() + 7) // 8)),
    }


SMALL: dict[str, Any] = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
SECRET: dict[str, Any] = RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)
N = private_key("RS256").public_key().public_numbers().n
X = jwk("ES256")["x"]
Y = decoded(jwk("ES256")["y"]) or b""

USABLE = {
    "RSA": (jwk("RS256"), RSA),
    "RSA for one algorithm (RFC 7517 4.4)": (jwk("RS256", alg="PS256"), {"PS256"}),
    "RSA of 8192 bits": (numbers(2**8191 + 1), RSA),
    "RSA with the exponent 2^32 - 1": (numbers(N, 2**32 - 1), RSA),
    "P-256": (jwk("ES256"), {"ES256"}),
    "P-384": (jwk("ES384"), {"ES384"}),
    "P-521": (jwk("ES512"), {"ES512"}),
    "Ed25519": (jwk("EdDSA"), {"EdDSA"}),
    "use sig (RFC 7517 4.2)": (jwk("ES256", use="sig"), {"ES256"}),
    "use jwt-svid (SPIFFE)": (jwk("ES256", use="jwt-svid"), {"ES256"}),
    "key_ops verify (RFC 7517 4.3)": (jwk("ES256", key_ops=["sign", "verify"]), {"ES256"}),
    "members that nobody knows": (jwk("ES256", x5c=["x"], x5t="y", issuer="z"), {"ES256"}),
}


@pytest.mark.parametrize(("key", "algorithms"), USABLE.values(), ids=USABLE)
def test_a_key_verifies_what_its_kind_and_its_members_allow(key: dict[str, Any], algorithms: set[str]) -> None:
    (found,) = KeySet.of(jwks(key)).keys
    assert (found.key_id, found.algorithms) == ("k1", algorithms)


LEFT_OUT: dict[str, Any] = {
    "a text": "key",
    "no kty": without(jwk("ES256"), "kty"),
    "a kty that is no text": jwk("ES256", kty=["EC"]),
    "an unknown kty": jwk("ES256", kty="AKP"),
    "a symmetric key": {"kty": "oct", "kid": "k1", "k": "AAAA"},
    "use enc (Wycheproof)": jwk("ES256", use="enc"),
    "use x509-svid (SPIFFE)": jwk("ES256", use="x509-svid"),
    "a use that is no text": jwk("ES256", use=["sig"]),
    "key_ops without verify (Wycheproof)": jwk("ES256", key_ops=["sign"]),
    "key_ops empty": jwk("ES256", key_ops=[]),
    "key_ops that is a text": jwk("ES256", key_ops="verify"),
    "an algorithm of another kind": jwk("ES256", alg="RS256"),
    "an algorithm of another curve": jwk("ES256", alg="ES384"),
    "an algorithm to encrypt with": jwk("RS256", alg="RSA-OAEP"),
    "HS256": jwk("RS256", alg="HS256"),
    "an algorithm that is no text": jwk("ES256", alg=["ES256"]),
    "a private key": jwk("RS256", d=SECRET["d"]),
    "a key id that is no text": jwk("ES256", kid=1),
    "a key id of 257 characters": jwk("ES256", kid="k" * 257),
    "a line end in the key id": jwk("ES256", kid="k\n"),
    "RSA of 1024 bits (RFC 7518 3.3)": SMALL | {"kid": "k1"},
    "RSA of 8193 bits": numbers(2**8192 + 1),
    "RSA with an exponent of 33 bits": numbers(N, 2**32 + 1),
    "RSA with an exponent as large as the modulus": numbers(N, N - 2),
    "RSA with the exponent 1": numbers(N, 1),
    "RSA with an even exponent": numbers(N, 65536),
    "RSA with a padded modulus": jwk("RS256") | {"n": jwk("RS256")["n"] + "=="},
    "RSA without an exponent": without(jwk("RS256"), "e"),
    "a point off its curve": jwk("ES256", x=jwk("ES256-other")["x"]),
    "the point nought": jwk("ES256", x=part(bytes(32)), y=part(bytes(32))),
    "a coordinate with a nought before it": jwk("ES256", y=part(b"\0" + Y)),
    "a coordinate that is short (RFC 7518 6.2.1.2)": jwk("ES256", x=X[:-3]),
    "another coordinate that is short": jwk("ES256", y=jwk("ES256")["y"][:-3]),
    "a coordinate that is long": jwk("ES256", x=part(bytes(1) + bytes(32))),
    "a curve for another purpose": jwk("ES256", crv="secp256k1"),
    "the curve of another size": jwk("ES256", crv="P-384"),
    "a curve that is no text": jwk("ES256", crv=["P-256"]),
    "X25519": jwk("EdDSA", crv="X25519"),
    "Ed25519 of 31 bytes": jwk("EdDSA", x=part(bytes(31))),
}


@pytest.mark.parametrize("key", LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_key_is_left_out_and_the_others_stay(key: Any) -> None:
    found = KeySet.of(jwks(key, jwk("ES384", "good")))
    assert [one.key_id for one in found.keys] == ["good"]


def test_a_key_is_found_by_its_id() -> None:
    found = KeySet.of(jwks(jwk("ES256", "a"), jwk("RS256", "b"), jwk("EdDSA", None)))
    assert found.find("a", "ES256") is found.keys[0]
    assert found.find("b", "PS384") is found.keys[1]
    assert flaw(found, "c", "ES256") is Flaw.KEY_UNKNOWN
    assert flaw(found, "a", "RS256") is Flaw.KEY_UNFIT
    assert flaw(found, "", "EdDSA") is Flaw.KEY_UNKNOWN


def test_without_an_id_the_only_key_that_fits_is_taken() -> None:
    found = KeySet.of(jwks(jwk("ES256", "a"), jwk("RS256", "b"), jwk("EdDSA", None)))
    assert found.find(None, "ES256") is found.keys[0]
    assert found.find(None, "EdDSA") is found.keys[2]
    assert flaw(found, None, "ES384") is Flaw.KEY_UNKNOWN
    two = KeySet.of(jwks(jwk("ES256", "a"), jwk("ES256-other", "b")))
    assert flaw(two, None, "ES256") is Flaw.KEY_AMBIGUOUS


def test_two_keys_of_one_id_are_both_refused() -> None:
    """RFC 7517 4.5; neither counts where there is no id either."""
    found = KeySet.of(jwks(jwk("ES256", "a"), jwk("RS256", "a"), jwk("ES384", "b")))
    assert [one.key_id for one in found.keys] == ["b"]
    assert flaw(found, "a", "ES256") is Flaw.KEY_AMBIGUOUS
    assert flaw(found, None, "ES256") is Flaw.KEY_UNKNOWN


def test_a_key_that_is_left_out_does_not_share_its_id() -> None:
    """Some issuers publish the key to encrypt with under the id of the one that signs."""
    found = KeySet.of(jwks(jwk("RS256", "a", use="enc"), jwk("ES256", "a", use="sig")))
    assert found.find("a", "ES256") is found.keys[0]


REFUSED: dict[str, tuple[bytes | str, KeySetFault]] = {
    "nothing": (b"", KeySetFault.NOT_JSON),
    "a list": (b"[]", KeySetFault.NOT_JSON),
    "a page": (b"<html>", KeySetFault.NOT_JSON),
    "a member twice": (b'{"keys":[],"keys":[]}', KeySetFault.NOT_JSON),
    "a key with a member twice": (b'{"keys":[{"kty":"EC","kty":"RSA"}]}', KeySetFault.NOT_JSON),
    "half a pair": ('{"keys":[]}\ud800', KeySetFault.NOT_JSON),
    "deep": (b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}", KeySetFault.NOT_JSON),
    "no keys": (b"{}", KeySetFault.NO_KEYS),
    "a single key": (json.dumps(jwk("ES256")).encode(), KeySetFault.NO_KEYS),
    "keys that are an object": (b'{"keys":{}}', KeySetFault.NO_KEYS),
    "101 keys": (jwks(*[jwk("ES256", str(number)) for number in range(101)]), KeySetFault.TOO_MANY),
    "1,000 keys": (jwks(*[{"kty": "EC"} for _ in range(1000)]), KeySetFault.TOO_MANY),
    "more than 256 KiB": (b'{"keys":[]}' + b" " * 2**18, KeySetFault.TOO_LARGE),
}


@pytest.mark.spec("F5")
@pytest.mark.parametrize(("text", "fault"), REFUSED.values(), ids=REFUSED)
def test_is_no_set(text: bytes | str, fault: KeySetFault) -> None:
    with pytest.raises(KeySetError, match=f"^{fault}$") as caught:
        KeySet.of(text)
    assert caught.value.fault is fault


def test_a_set_may_be_text_and_may_have_100_keys_or_none() -> None:
    assert KeySet.of('{"keys":[]}').keys == ()
    assert len(KeySet.of(jwks(*[jwk("ES256", str(number)) for number in range(100)])).keys) == 100


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(
    st.sampled_from(["RS256", "ES256", "EdDSA"]),
    st.dictionaries(st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y"]), odd),
)
def test_no_key_is_worse_than_left_out(kind: str, members: dict[str, Any]) -> None:
    found = KeySet.of(jwks(jwk(kind) | members, jwk("ES384", "good")))
    assert "good" in {one.key_id for one in found.keys} | found.ambiguous
