"""JWTs of every algorithm that is taken, with one key for each; jwts.py has what issuers do."""

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from support import jwts

ISSUER = "https://issuer.example"
SUBJECT = "repo:acme/crm:ref:refs/heads/main"
AUDIENCE = "https://lanyard.example/sales"
NOW = 1_790_000_000  # September 2026
CLAIMS = {"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300}
_SIGNERS = get_default_algorithms()


@cache
def private_key(kind: str) -> Any:
    """One key a kind for the whole run: `RS256`, `ES384`, ... or `other` of the same."""
    match kind.removesuffix("-other"):
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65537, 2048)


def part(value: Any) -> str:
    """JSON, text or bytes as one segment."""
    return jwts.part(value.encode() if isinstance(value, str) else value)


def signed(
    claims: Any, algorithm: str = "ES256", *, header: Any = None, kid: str | None = "k1", key: Any = None
) -> str:
    """`header` replaces what would be written; the signature is that of `algorithm` whatever it says."""
    if header is None:
        header = {"alg": algorithm, "typ": "JWT"} | ({"kid": kid} if kid is not None else {})
    text = f"{part(header)}.{part(claims)}"
    signer = _SIGNERS[algorithm]
    return f"{text}.{part(signer.sign(text.encode(), key or private_key(algorithm)))}"


def jwk(kind: str, kid: str | None = "k1", **more: Any) -> dict[str, Any]:
    """The public half as an issuer publishes it."""
    made: dict[str, Any] = _SIGNERS[kind.removesuffix("-other")].to_jwk(private_key(kind).public_key(), as_dict=True)
    made.pop("key_ops", None)
    return made | ({"kid": kid} if kid is not None else {}) | more


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()
