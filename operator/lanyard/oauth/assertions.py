"""Client assertions: private_key_jwt (RFC 7523 2.2, OpenID Connect Core 9)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lanyard.errors import SourceError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

Algorithm = Literal["RS256", "PS256", "ES256"]
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME = timedelta(minutes=5)  # Entra and Okta take up to 10 and 60; clocks differ by less
LEAST_RSA_BITS = 2048  # RFC 7518 3.3
_RSA: tuple[Algorithm, ...] = ("RS256", "PS256")
_EC: tuple[Algorithm, ...] = ("ES256",)


def client_assertion(
    private_key: Sensitive,
    *,
    client_id: str,
    audience: str,
    key_id: str | None,
    algorithms: Sequence[Algorithm],
    now: datetime,
    jti: str,
) -> str:
    """A signed JWT. SourceError CREDENTIAL_INVALID when the key is not one of those that `algorithms` need.

    `algorithms` are the connector's, in order of preference; empty means the key's usual one.
    """
    key = _loaded(private_key)
    algorithm = _algorithm(key, algorithms) if key is not None else None
    if key is None or algorithm is None:
        wanted = " or ".join(algorithms or ("RS256", "ES256"))
        raise SourceError(
            Reason.CREDENTIAL_INVALID, field="privateKey", expected=f"a PEM private key without a password for {wanted}"
        )
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFETIME).timestamp()),
        "jti": jti,
    }
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id} if key_id else None)


def _loaded(private_key: Sensitive) -> PrivateKey | None:
    """None for everything that is no such key; what the parser says about it could quote it."""
    try:
        key: Any = load_pem_private_key(private_key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    match key:
        case RSAPrivateKey():
            return key if key.key_size >= LEAST_RSA_BITS else None
        case EllipticCurvePrivateKey():
            return key if isinstance(key.curve, SECP256R1) else None
        case _:
            return None


def _algorithm(key: PrivateKey, algorithms: Sequence[Algorithm]) -> Algorithm | None:
    fitting = _RSA if isinstance(key, RSAPrivateKey) else _EC
    return next((algorithm for algorithm in algorithms or fitting if algorithm in fitting), None)
