"""Signatures, by the examples of the RFCs."""

import pytest

from lanyard.oauth.algorithms import is_signed
from lanyard.oauth.base64url import decoded
from lanyard.oauth.jwk import KeySet
from support.presenting import jwks

EXAMPLES = {
    "RFC 7515 A.3": (
        "ES256",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 8037 A.4": (
        "EdDSA",
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}


@pytest.mark.parametrize(("algorithm", "key", "signed", "signature"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_example_is_signed_and_nothing_else_is(
    algorithm: str, key: dict[str, str], signed: str, signature: str
) -> None:
    [known] = KeySet.of(jwks(key)).keys
    raw = decoded(signature)
    assert raw is not None
    assert is_signed(known.key, algorithm, raw, signed.encode())
    assert not is_signed(known.key, algorithm, raw, signed.encode() + b"x")
