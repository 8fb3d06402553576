"""Client assertions: verified here by an independent reader."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from lanyard.connectors.selection import plan_for
from lanyard.errors import SourceError
from lanyard.oauth.assertions import client_assertion
from lanyard.oauth.grants import token_request
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.plans import TOKEN_URL, connection, connector, token_method

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RSA = rsa.generate_private_key(65537, 2048)
BROKEN = Sensitive("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----")
EC = ec.generate_private_key(ec.SECP256R1())


def pem(
    key: Any, form: PrivateFormat = PrivateFormat.PKCS8, encryption: KeySerializationEncryption | None = None
) -> Sensitive:
    return Sensitive(key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode())


def sign(key: Sensitive, algorithms: tuple[Any, ...] = (), key_id: str | None = None) -> str:
    return client_assertion(
        key, client_id="client", audience=TOKEN_URL, key_id=key_id, algorithms=algorithms, now=NOW, jti="jti-1"
    )


@pytest.mark.spec("C5")
@pytest.mark.parametrize(
    ("key", "algorithms", "expected"),
    [
        pytest.param(RSA, (), "RS256", id="an RSA key signs with RS256"),
        pytest.param(EC, (), "ES256", id="a P-256 key signs with ES256"),
        pytest.param(RSA, ("PS256", "ES256"), "PS256", id="the connector's list decides for RSA"),
        pytest.param(EC, ("PS256", "ES256"), "ES256", id="the connector's list decides for P-256"),
        pytest.param(RSA, ("ES256", "PS256", "RS256"), "PS256", id="the first that fits the key is taken"),
    ],
)
def test_the_algorithm_follows_the_key_and_the_connector(key: Any, algorithms: tuple[str, ...], expected: str) -> None:
    token = sign(pem(key), algorithms)
    assert jwt.get_unverified_header(token)["alg"] == expected
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key.public_key(), algorithms=[expected], audience=TOKEN_URL, options=options)
    assert claims == {
        "iss": "client",
        "sub": "client",
        "aud": TOKEN_URL,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 300,
        "jti": "jti-1",
    }


def test_a_key_id_names_the_key_and_is_left_out_without_one() -> None:
    assert jwt.get_unverified_header(sign(pem(EC), key_id="k1"))["kid"] == "k1"
    assert "kid" not in jwt.get_unverified_header(sign(pem(EC)))


def test_keys_in_their_traditional_form_are_read() -> None:
    assert sign(pem(RSA, PrivateFormat.TraditionalOpenSSL))
    assert sign(pem(EC, PrivateFormat.TraditionalOpenSSL))


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        pytest.param(Sensitive("canary"), (), id="a text that is no key"),
        pytest.param(Sensitive(""), (), id="nothing"),
        pytest.param(BROKEN, (), id="a broken PEM"),
        pytest.param(pem(RSA, encryption=BestAvailableEncryption(b"pw")), (), id="a key behind a password"),
        pytest.param(pem(rsa.generate_private_key(65537, 1024)), (), id="an RSA key of 1024 bits"),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), (), id="a key of another curve"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), (), id="a key of another kind"),
        pytest.param(pem(RSA), ("ES256",), id="a key that the connector's algorithms cannot use"),
    ],
)
def test_what_is_no_usable_key_is_told_and_not_quoted(key: Sensitive, algorithms: tuple[str, ...]) -> None:
    with pytest.raises(SourceError) as caught:
        sign(key, algorithms)
    assert caught.value.reason is Reason.CREDENTIAL_INVALID
    assert caught.value.facts["field"] == "privateKey"
    assert caught.value.facts["expected"].startswith("a PEM private key")
    assert "canary" not in f"{caught.value!r}{caught.value.__context__!r}{caught.value.__cause__!r}"


@pytest.mark.spec("C5")
def test_private_key_jwt_goes_into_the_request() -> None:
    offered = connector(
        token_method(clientAuth={"methods": ["private_key_jwt"], "assertionAudience": "https://{tenant}/aud"}),
        parameters={"tenant": {"default": "acme"}},
    )
    plan = plan_for(connection("privateKey", clientId="client"), offered)
    request = token_request(
        plan, {"privateKey": pem(EC)}, client_id="client", username=None, key_id="k1", now=NOW, jti="jti-1"
    )
    sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assertion = sent.pop("client_assertion")
    assert sent == {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert jwt.decode(assertion, options={"verify_signature": False})["aud"] == "https://acme/aud"
    assert jwt.get_unverified_header(assertion)["kid"] == "k1"
