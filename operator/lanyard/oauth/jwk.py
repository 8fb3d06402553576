"""The public keys of an issuer (RFC 7517, RFC 7518 6, RFC 8037 2): which of them may verify what.

What a key may verify is said by the key, never by the JWT. A key that cannot be used is left out and the others stay;
two usable keys of one `kid` are both left out, because nobody can say which is meant.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from lanyard.oauth.algorithms import CURVES, PublicKey, algorithms_of
from lanyard.oauth.base64url import decoded
from lanyard.oauth.documents import parse_object
from lanyard.oauth.flaws import Flaw, PresentedError
from lanyard.oauth.words import is_word

LARGEST_SET_BYTES = 256 * 1024
MOST_KEYS = 100
"""As Microsoft Entra takes."""
LEAST_RSA_BITS = 2048  # RFC 7518 3.3
LARGEST_RSA_BITS = 8192  # one of 16384 bits costs 1.5 ms for every signature, good or not
LARGEST_RSA_EXPONENT = 2**32  # the time to verify grows with its length: 1.9 ms at 2,047 bits
LONGEST_KEY_ID = 256
# SPIFFE_Trust_Domain_and_Bundle 4.2.2: keys of JWT-SVIDs say what they are for in a word of their own.
_USES = {None, "sig", "jwt-svid"}


class KeySetFault(StrEnum):
    """Why a text is no set of keys."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NO_KEYS = "no_keys"
    """There is no list `keys`; an empty one is a set."""
    TOO_MANY = "too_many"


class KeySetError(Exception):
    """Not a set of keys. Its text is the fault and nothing of the document."""

    def __init__(self, fault: KeySetFault) -> None:
        self.fault = fault
        super().__init__(fault.value)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms (RFC 7518 3.1) that it may verify; never none."""

    key_id: str | None
    algorithms: frozenset[str]
    key: PublicKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a set, in its order, and the `kid`s that more than one of them had."""

    keys: tuple[VerificationKey, ...]
    ambiguous: frozenset[str] = frozenset()

    @classmethod
    def of(cls, unverified_jwks: bytes | str) -> Self:
        """KeySetError when it is no JWK Set at all, is larger than 256 KiB or has over 100 keys."""
        try:
            raw = unverified_jwks.encode() if isinstance(unverified_jwks, str) else unverified_jwks
        except UnicodeEncodeError:
            raise KeySetError(KeySetFault.NOT_JSON) from None
        if len(raw) > LARGEST_SET_BYTES:
            raise KeySetError(KeySetFault.TOO_LARGE)
        document = parse_object(raw)
        if document is None:
            raise KeySetError(KeySetFault.NOT_JSON)
        entries = document.get("keys")
        if not isinstance(entries, list):
            raise KeySetError(KeySetFault.NO_KEYS)
        if len(entries) > MOST_KEYS:
            raise KeySetError(KeySetFault.TOO_MANY)
        usable = [key for key in map(_usable, entries) if key is not None]
        count = Counter(key.key_id for key in usable)
        ambiguous = frozenset(key_id for key_id, number in count.items() if key_id is not None and number > 1)
        return cls(tuple(key for key in usable if key.key_id not in ambiguous), ambiguous)

    def find(self, key_id: str | None, algorithm: str) -> VerificationKey:
        """The key that a JWT with this header was signed with, if anything was.

        PresentedError: KEY_UNKNOWN; KEY_AMBIGUOUS, also for no `kid` where several keys would do; KEY_UNFIT.
        """
        if key_id in self.ambiguous:
            raise PresentedError(Flaw.KEY_AMBIGUOUS)
        if key_id is None:
            found = [key for key in self.keys if algorithm in key.algorithms]
        else:
            found = [key for key in self.keys if key.key_id == key_id]
        if not found:
            raise PresentedError(Flaw.KEY_UNKNOWN)
        if len(found) > 1:
            raise PresentedError(Flaw.KEY_AMBIGUOUS)
        if algorithm not in found[0].algorithms:
            raise PresentedError(Flaw.KEY_UNFIT)
        return found[0]


def _usable(unverified_jwk: Any) -> VerificationKey | None:
    if not isinstance(unverified_jwk, dict) or not _may_verify(unverified_jwk):
        return None
    key_id, named = unverified_jwk.get("kid"), unverified_jwk.get("alg")
    if key_id is not None and not is_word(key_id, LONGEST_KEY_ID):
        return None
    key = _public_key(unverified_jwk)
    if key is None:
        return None
    algorithms = algorithms_of(key)
    if named is not None:
        algorithms = frozenset(one for one in algorithms if one == named)
    return VerificationKey(key_id, algorithms, key) if algorithms else None


def _may_verify(jwk: Mapping[str, Any]) -> bool:
    """RFC 7517 4.2, 4.3. One whose private half is published verifies nothing."""
    use, operations = jwk.get("use"), jwk.get("key_ops", ["verify"])
    return (
        (use is None or (isinstance(use, str) and use in _USES))
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in jwk
    )


def _public_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    try:
        match jwk.get("kty"):
            case "RSA":
                return _rsa(_number(jwk.get("n")), _number(jwk.get("e")))
            case "EC":
                return _ec(jwk.get("crv"), _octets(jwk.get("x")), _octets(jwk.get("y")))
            case "OKP" if jwk.get("crv") == "Ed25519":
                return Ed25519PublicKey.from_public_bytes(_octets(jwk.get("x")))
            case _:
                return None
    except (ValueError, UnsupportedAlgorithm):
        return None


def _rsa(modulus: int, exponent: int) -> PublicKey | None:
    if not LEAST_RSA_BITS <= modulus.bit_length() <= LARGEST_RSA_BITS or exponent > LARGEST_RSA_EXPONENT:
        return None
    return RSAPublicNumbers(exponent, modulus).public_key()


def _ec(curve_name: Any, x: bytes, y: bytes) -> PublicKey | None:
    """RFC 7518 6.2.1.2: a coordinate has the full size of the field. That it is a point is checked by `public_key`."""
    curve = CURVES.get(curve_name) if isinstance(curve_name, str) else None
    size = (curve.key_size + 7) // 8 if curve is not None else 0
    if curve is None or len(x) != size or len(y) != size:
        return None
    return EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()


def _octets(value: Any) -> bytes:
    """ValueError for what is no base64url."""
    raw = decoded(value) if isinstance(value, str) else None
    if raw is None:
        raise ValueError("not base64url")
    return raw


def _number(value: Any) -> int:
    return int.from_bytes(_octets(value))
