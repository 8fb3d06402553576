"""The tokens that tests make are what they say they are: PyJWT takes the good ones, and refuses the others."""

from typing import Any

import jwt
import pytest

from support.claim_shapes import SHAPES, Shape
from support.jwts import IssuerKey, claims_of, jws, key_pair, unsigned, with_secret

NOW = 1_764_000_000


def key(algorithm: str) -> IssuerKey:
    return IssuerKey("k1", algorithm, key_pair(algorithm, 1))


def taken(token: str, one: IssuerKey, audience: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(
        token,
        jwt.PyJWK(one.jwk()).key,
        algorithms=[one.algorithm],
        audience=audience,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    return found


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_a_token_is_taken_by_the_key_that_is_published(algorithm: str) -> None:
    one = key(algorithm)
    assert taken(one.token({"sub": "s", "aud": "a"}), one, "a") == {"sub": "s", "aud": "a"}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_tokens_of_a_well_known_issuer_can_be_verified(shape: Shape) -> None:
    one = key(shape.algorithm)
    claims = shape.filled(now=NOW)
    assert taken(one.token(claims, **shape.header), one, shape.audience) == claims
    assert claims["exp"] - claims["iat"] == shape.life
    assert ("jti" in claims) == shape.has_token_id


def test_a_claim_that_is_changed_to_none_is_left_out() -> None:
    assert "iat" not in SHAPES[0].filled(now=NOW, iat=None)


def test_a_stand_in_keeps_the_path_of_the_issuer() -> None:
    paths = {shape.name: shape.path for shape in SHAPES}
    assert paths["GitHub Actions"] == ""
    assert paths["Keycloak"] == "/realms/acme"
    assert paths["Microsoft Entra v1"].endswith("/")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(jws({"alg": "none"}, {"aud": "a"}, unsigned), id="it has no signature"),
        pytest.param(
            jws({"alg": "HS256"}, {"aud": "a"}, with_secret(b"public")), id="it is signed with a known secret"
        ),
        pytest.param(jws({"alg": "RS256"}, b"\xff\xfe", key("RS256").sign), id="its payload is no text"),
        pytest.param(jws({"alg": "RS256"}, {"aud": "a"}, key("PS256").sign), id="its signature is of another kind"),
    ],
)
def test_a_wrong_token_can_be_made_and_is_refused(token: str) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        taken(token, key("RS256"), "a")


def test_claims_can_be_read_back() -> None:
    assert claims_of(key("ES256").token({"sub": "ü"})) == {"sub": "ü"}
