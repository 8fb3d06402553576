"""JSON Web Tokens of any kind, also those that no library would make; and the keys they are signed with."""

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Part = Mapping[str, Any] | bytes
Signature = Callable[[bytes], bytes]
COORDINATE_BYTES = 32
SHA256 = hashes.SHA256()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Part) -> str:
    """Header or payload as it stands in a JWT; bytes go as they are, so that nothing need be JSON."""
    return b64url(value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode())


def jws(header: Part, payload: Part, signature: Signature) -> str:
    """The compact form (RFC 7515 section 3.1), signed whatever it says."""
    signing_input = f"{part(header)}.{part(payload)}"
    return f"{signing_input}.{b64url(signature(signing_input.encode()))}"


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT claims; nothing is verified."""
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def unsigned(_: bytes) -> bytes:
    """The signature of `alg: none` (RFC 7518 section 3.6)."""
    return b""


def with_secret(secret: bytes) -> Signature:
    """HS256, such as with the text of a public key: the confusion of RFC 8725 section 2.1."""
    return lambda signing_input: hmac.digest(secret, signing_input, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key pair that signs with one algorithm: RS256, PS256 or ES256."""

    key_id: str
    algorithm: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key as issuers publish it (RFC 7517); a member changed to None is left out."""
        of_kind = jwt.algorithms.ECAlgorithm if self.algorithm == "ES256" else jwt.algorithms.RSAAlgorithm
        public = json.loads(of_kind.to_jwk(self.private.public_key()))
        public.pop("key_ops", None)
        found = public | {"kid": self.key_id, "alg": self.algorithm, "use": "sig"} | changes
        return {name: value for name, value in found.items() if value is not None}

    def sign(self, signing_input: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            of_pss = padding.PSS(padding.MGF1(SHA256), SHA256.digest_size)
            return self.private.sign(signing_input, of_pss if self.algorithm == "PS256" else padding.PKCS1v15(), SHA256)
        r, s = decode_dss_signature(self.private.sign(signing_input, ec.ECDSA(SHA256)))
        return r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")

    def header(self, **changes: Any) -> dict[str, Any]:
        """As issuers write it; a member changed to None is left out."""
        found = {"typ": "JWT", "alg": self.algorithm, "kid": self.key_id} | changes
        return {name: value for name, value in found.items() if value is not None}

    def token(self, claims: Part, **header: Any) -> str:
        return jws(self.header(**header), claims, self.sign)


@functools.cache
def key_pair(algorithm: str, number: int) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """The same one whenever it is asked for in one process: RSA keys take their time."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
