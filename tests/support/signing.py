"""Key pairs of an app: what it signs with, and what its provider is given."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def pem(key: Any) -> str:
    plain = serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode("ascii"))


def pem_of_public(key: Any) -> str:
    """The public half of a private key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode("ascii"))


def signing_keys() -> dict[str, tuple[str, dict[str, Any]]]:
    """Private keys as PEM, and the keys that a provider is given, by algorithm."""
    curve = ec.generate_private_key(ec.SECP256R1())
    number = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "ES256": (pem(curve), json.loads(jwt.algorithms.ECAlgorithm.to_jwk(curve.public_key()))),
        "RS256": (pem(number), json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(number.public_key()))),
    }
