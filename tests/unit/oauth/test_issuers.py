"""What an issuer publishes: whose discovery document it is, where its keys are, and which keys are taken."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lanyard.errors import ProviderError
from lanyard.oauth.issuers import discovery_address, host_of, keys_address, published_keys
from lanyard.reasons import Reason

pytestmark = pytest.mark.spec("F5")

ISSUER = "https://issuer.example/realms/acme"
KEYS = "https://keys.example/acme"


def document(**changes: Any) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": KEYS} | changes).encode()


def encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).decode().rstrip("=")


def jwk(key_id: str) -> dict[str, str]:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "kid": key_id, "x": encoded(numbers.x), "y": encoded(numbers.y)}


ADDRESSES = {
    "a host alone": ("https://a.example", "https://a.example/.well-known/openid-configuration"),
    "a slash at the end": ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
    "two slashes at the end": ("https://a.example//", "https://a.example//.well-known/openid-configuration"),
    "a path": (ISSUER, f"{ISSUER}/.well-known/openid-configuration"),
    "a path with an escape": ("https://a.example/%7Ex", "https://a.example/%7Ex/.well-known/openid-configuration"),
}


@pytest.mark.parametrize(("issuer", "address"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_discovery_is_below_the_issuer_as_it_is_written(issuer: str, address: str) -> None:
    assert discovery_address(issuer) == address


def test_keys_may_be_at_another_host() -> None:
    assert keys_address(document(), ISSUER) == KEYS


OTHERS = {
    "another name": "https://other.example",
    "a slash more": f"{ISSUER}/",
    "another case": ISSUER.upper(),
    "an escape": ISSUER.replace("acme", "%61cme"),
    "the port spelled out": ISSUER.replace(".example", ".example:443"),
    "none": None,
    "a list": [ISSUER],
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_the_document_of_another_issuer_is_not_taken(other: Any) -> None:
    assert failure(document(issuer=other)) is Reason.ISSUER_MISMATCH


UNUSABLE = {
    "not JSON": b"<html>",
    "a list": b"[]",
    "a name given twice": b'{"issuer":"x","issuer":"' + ISSUER.encode() + b'","jwks_uri":"' + KEYS.encode() + b'"}',
    "larger than 64 KiB": document(padding="x" * 65536),
    "no jwks_uri": document(jwks_uri=None),
    "a jwks_uri that is a number": document(jwks_uri=7),
    "a jwks_uri of another scheme": document(jwks_uri="file:///etc/passwd"),
    "a jwks_uri with a line in it": document(jwks_uri="https://a.example/\r\nX: y"),
    "a jwks_uri with a space": document(jwks_uri="https://a.example/a b"),
    "a jwks_uri that is not ASCII": document(jwks_uri="https://ä.example/"),
    "a jwks_uri without end": document(jwks_uri="https://a.example/" + "x" * 1024),
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_document_that_names_no_keys_is_told_as_such(body: bytes) -> None:
    assert failure(body) is Reason.ISSUER_DISCOVERY_INVALID


def failure(body: bytes) -> Reason:
    with pytest.raises(ProviderError) as caught:
        keys_address(body, ISSUER)
    return caught.value.reason


NO_KEYS = {
    "not JSON": (b"<html>", "not JSON"),
    "no list of keys": (b'{"keys": {}}', "not a JWK Set"),
    "no key": (b'{"keys": []}', "none of them can verify"),
    "keys that verify nothing": (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "none of them can verify"),
    "over 100 keys": (json.dumps({"keys": [jwk("k")] * 101}).encode(), "more than 100"),
    "larger than 256 KiB": (b'{"keys": [], "x": "' + b"x" * 262144 + b'"}', "larger than 256 KiB"),
}


@pytest.mark.parametrize(("body", "words"), NO_KEYS.values(), ids=NO_KEYS.keys())
def test_keys_that_cannot_be_used_are_told_with_what_is_wrong(body: bytes, words: str) -> None:
    with pytest.raises(ProviderError) as caught:
        published_keys(body, "issuer.example")
    assert caught.value.reason is Reason.ISSUER_KEYS_INVALID
    assert words in caught.value.message


def test_one_bad_key_does_not_void_the_others() -> None:
    body = json.dumps({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, jwk("good")]}).encode()
    assert published_keys(body, "h").jwks == body


def test_the_same_keys_in_another_order_are_the_same() -> None:
    one, two = jwk("1"), jwk("2")
    first = published_keys(json.dumps({"keys": [one, two]}).encode(), "h")
    turned = {"made": "later", "keys": [dict(reversed(two.items())), one]}
    assert published_keys(json.dumps(turned, indent=1).encode(), "h").digest == first.digest
    assert published_keys(json.dumps({"keys": [one]}).encode(), "h").digest != first.digest


AGES = {
    "none": ("", None),
    "among others": ("public, Max-Age=300, must-revalidate", 300),
    "in quotes": ('max-age="300"', 300),
    "of shared caches only": ("s-maxage=60", None),
    "of no number": ("max-age=-1", None),
    "without end": (f"max-age={'9' * 40}", None),
    "not to be kept": ("no-store, no-cache", None),
}


@pytest.mark.parametrize(("header", "seconds"), AGES.values(), ids=AGES.keys())
def test_how_long_keys_may_be_kept_is_read_from_the_answer(header: str, seconds: int | None) -> None:
    found = published_keys(json.dumps({"keys": [jwk("k")]}).encode(), "h", header).max_age
    assert found == (timedelta(seconds=seconds) if seconds is not None else None)


HOSTS = {"https://a.example:8443/x": "a.example:8443", "https://u:p@a.example/": "a.example", "https://[::1": ""}


@pytest.mark.parametrize(("address", "host"), HOSTS.items())
def test_messages_name_the_host_alone(address: str, host: str) -> None:
    assert host_of(address) == host
