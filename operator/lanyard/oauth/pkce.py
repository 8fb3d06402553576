"""Proof Key for Code Exchange (RFC 7636), S256 only: `plain` protects from nobody who can read the request."""

import base64
import hashlib

from lanyard.errors import LanyardError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

LEAST_BYTES = 32  # RFC 7636 4.1 wants 256 bits
_MOST_BYTES = 96


def code_verifier(random: bytes) -> Sensitive:
    """43 to 128 characters of base64url for 32 to 96 fresh random bytes."""
    if not LEAST_BYTES <= len(random) <= _MOST_BYTES:
        raise LanyardError(Reason.INTERNAL_ERROR, fault="a code verifier of too few or too many bytes")
    return Sensitive(_base64url(random))


def code_challenge(verifier: Sensitive) -> str:
    """What the provider is shown before it sees the verifier (RFC 7636 4.2)."""
    return _base64url(hashlib.sha256(verifier.reveal().encode("ascii")).digest())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
