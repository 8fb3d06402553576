"""Signature algorithms of JWTs that are presented (RFC 7518 3, RFC 8037 3.1).

Public keys only. `none` and HMAC are not in the table, so no header can ask for them (RFC 8725 3.1, 3.2).
"""

from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
Check = Callable[[Any, bytes, bytes], None]
"""Key, signature, what was signed. cryptography.exceptions.InvalidSignature when it is not good."""

CURVES: Mapping[str, EllipticCurve] = {"P-256": SECP256R1(), "P-384": SECP384R1(), "P-521": SECP521R1()}
"""By `crv` of a JWK (RFC 7518 6.2.1.1)."""
_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OF_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_OKP = frozenset({"EdDSA"})


def algorithms_of(key: PublicKey) -> frozenset[str]:
    """What a key of this kind can verify: each curve has one algorithm (RFC 7518 3.4)."""
    match key:
        case RSAPublicKey():
            return _OF_RSA
        case EllipticCurvePublicKey():
            return frozenset({_OF_CURVE[key.curve.name]})
        case _:
            return _OF_OKP


def is_signed(key: PublicKey, algorithm: str, signature: bytes, signed: bytes) -> bool:
    """Whether the signature is good. `algorithm` is one of those of the key."""
    try:
        _CHECKS[algorithm](key, signature, signed)
    except InvalidSignature:
        return False
    return True


def _rsa(used: HashAlgorithm) -> Check:
    padding = PKCS1v15()

    def check(key: RSAPublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, padding, used)

    return check


def _pss(used: HashAlgorithm) -> Check:
    padding = PSS(MGF1(used), used.digest_size)  # RFC 7518 3.5: the salt is as long as the hash

    def check(key: RSAPublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, padding, used)

    return check


def _ec(used: HashAlgorithm, size: int) -> Check:
    """`size` is the bytes of one coordinate; a signature is two numbers of that size (RFC 7518 3.4)."""
    scheme = ECDSA(used)

    def check(key: EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        der = encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
        key.verify(der, signed, scheme)

    return check


def _edwards(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
    key.verify(signature, signed)


_CHECKS: Mapping[str, Check] = {
    "RS256": _rsa(SHA256()),
    "RS384": _rsa(SHA384()),
    "RS512": _rsa(SHA512()),
    "PS256": _pss(SHA256()),
    "PS384": _pss(SHA384()),
    "PS512": _pss(SHA512()),
    "ES256": _ec(SHA256(), 32),
    "ES384": _ec(SHA384(), 48),
    "ES512": _ec(SHA512(), 66),
    "EdDSA": _edwards,
}
ALGORITHMS = frozenset(_CHECKS)
