"""Access tokens of our own (RFC 9068): how they are written, and how they are read again.

ES256 alone: a signature takes 35 µs where RSA takes 400. The JWS is put together by hand, its header once a key.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from lanyard.oauth.base64url import encoded
from lanyard.oauth.flaws import Flaw, PresentedError
from lanyard.oauth.jwk import VerificationKey
from lanyard.oauth.presented import Verified, hold_timely, presented, verified

ALGORITHM = "ES256"
TYPE = "at+jwt"  # RFC 9068 2.1
CREDENTIAL_CLAIM = "lanyard.dev/credential"
"""The uid of the FederatedCredential that the token was handed out for."""
LONGEST_LIFE = timedelta(hours=1)
"""As the reference gives; a signing key is kept for as long after it signed last."""
CLOCK_DIFFERENCE = timedelta(seconds=60)
SCALAR_BYTES = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256: SEC 2 2.4.2
_SCHEME = ECDSA(SHA256())


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key of P-256. `key_id` is its thumbprint (RFC 7638)."""

    key_id: str
    verification: VerificationKey
    _private: EllipticCurvePrivateKey
    _jwk: Mapping[str, str]
    _head: str = field(compare=False)

    @classmethod
    def of(cls, material: bytes) -> Self:
        """From the 32 bytes of a private scalar. ValueError when they are none: is_scalar tells before."""
        if not is_scalar(material):
            raise ValueError("not a private key of P-256")
        private = derive_private_key(int.from_bytes(material), SECP256R1())
        public = private.public_key()
        point = public.public_numbers()
        # RFC 7638 3.1, 3.2: the members that are required, in the order of their names, and no white space.
        jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": encoded(point.x.to_bytes(SCALAR_BYTES)),
            "y": encoded(point.y.to_bytes(SCALAR_BYTES)),
        }
        key_id = encoded(hashlib.sha256(_json(jwk)).digest())
        return cls(
            key_id=key_id,
            verification=VerificationKey(key_id, frozenset({ALGORITHM}), public),
            _private=private,
            _jwk=jwk | {"kid": key_id, "use": "sig", "alg": ALGORITHM},
            _head=encoded(_json({"alg": ALGORITHM, "kid": key_id, "typ": TYPE})),
        )

    def public_jwk(self) -> dict[str, str]:
        """As resource servers get it (RFC 7517 4)."""
        return dict(self._jwk)

    def signed(self, claims: Mapping[str, Any]) -> str:
        """The compact form (RFC 7515 7.1); the signature is two numbers of 32 bytes (RFC 7518 3.4)."""
        text = f"{self._head}.{encoded(_json(claims))}"
        r, s = decode_dss_signature(self._private.sign(text.encode(), _SCHEME))
        return f"{text}.{encoded(r.to_bytes(SCALAR_BYTES) + s.to_bytes(SCALAR_BYTES))}"

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id!r})"


@dataclass(frozen=True, slots=True)
class Minted:
    """What a token of ours says. `credential` is a FederatedCredential's uid, None for a token of another grant."""

    key_id: str
    issuer: str
    audiences: tuple[str, ...]
    client_id: str
    """The Connection's uid; `sub` is the same."""
    namespace: str
    scopes: tuple[str, ...]
    token_id: str
    issued_at: datetime
    expires_at: datetime
    credential: str | None


def is_scalar(material: bytes) -> bool:
    """Whether 32 bytes are a private key of P-256. Of random ones, one in 2^32 is not."""
    return len(material) == SCALAR_BYTES and 0 < int.from_bytes(material) < _ORDER


def access_token(
    key: SigningKey,
    *,
    issuer: str,
    audience: str,
    client_id: str,
    namespace: str,
    scope: str,
    token_id: str,
    issued_at: datetime,
    lifetime: timedelta,
    credential: str | None,
) -> str:
    """A token as RFC 9068 2.2 wants it; without `scope` when that is empty. ValueError for over an hour of life."""
    if lifetime > LONGEST_LIFE:
        raise ValueError("no token lives for longer than an hour")
    issued = int(issued_at.timestamp())
    claims = {
        "iss": issuer,
        "sub": client_id,
        "aud": audience,
        "client_id": client_id,
        "namespace": namespace,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "jti": token_id,
    }
    if scope:
        claims["scope"] = scope
    if credential is not None:
        claims[CREDENTIAL_CLAIM] = credential
    return key.signed(claims)


def opened(unverified_text: str, keys: Mapping[str, SigningKey], *, issuer: str, now: datetime) -> Minted:
    """What a token of ours says, while it lives. PresentedError for everything else that is shown as one.

    `keys` are ours by their key id. It ends when it says so: no clock but ours has to agree.
    """
    one = presented(unverified_text)
    if one.type != TYPE:
        raise PresentedError(Flaw.TYPE_REFUSED)
    if one.unverified_issuer != issuer:
        raise PresentedError(Flaw.ISSUER_INVALID)
    key = keys.get(one.key_id or "")
    if key is None:
        raise PresentedError(Flaw.KEY_UNKNOWN)
    checked = verified(one, key.verification)
    hold_timely(checked, now, leeway=CLOCK_DIFFERENCE, longest_life=LONGEST_LIFE)
    if checked.expires_at <= now:
        raise PresentedError(Flaw.EXPIRED)
    return _minted(checked, key.key_id)


def _minted(token: Verified, key_id: str) -> Minted:
    claims, credential = token.claims, token.claims.get(CREDENTIAL_CLAIM)
    namespace, scope, issued = claims.get("namespace"), claims.get("scope", ""), claims.get("iat")
    if (
        claims.get("client_id") != token.subject
        or not isinstance(namespace, str)
        or not isinstance(scope, str)
        or not isinstance(credential, str | None)
        or token.token_id is None
        or issued is None
    ):
        raise PresentedError(Flaw.PAYLOAD_MALFORMED)
    return Minted(
        key_id=key_id,
        issuer=token.issuer,
        audiences=token.audiences,
        client_id=token.subject,
        namespace=namespace,
        scopes=tuple(scope.split()),
        token_id=token.token_id,
        issued_at=datetime.fromtimestamp(issued, UTC),
        expires_at=token.expires_at,
        credential=credential,
    )


_WRITER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _json(value: Mapping[str, Any]) -> bytes:
    return _WRITER.encode(value).encode()
