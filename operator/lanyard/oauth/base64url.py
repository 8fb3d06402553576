"""base64url without padding (RFC 7515 2, RFC 4648 5), read strictly: one text for one value."""

import base64
import binascii

_PLAIN = bytes.maketrans(b"-_+/=", b"+/\x00\x00\x00")
_PADDING = (b"", b"", b"==", b"=")
# What the last letter may be when it carries 2 or 4 bits more than there are bytes: those are nought (RFC 4648 3.5).
_LAST = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")


def decoded(unverified_text: str) -> bytes | None:
    """None for everything that `encoded` does not write; the empty text is the empty value."""
    try:
        raw = unverified_text.encode("ascii")
    except UnicodeEncodeError:
        return None
    over = len(raw) % 4
    if over and raw[-1:] not in _LAST[over]:
        return None
    try:
        return binascii.a2b_base64(raw.translate(_PLAIN) + _PADDING[over], strict_mode=True)
    except binascii.Error:
        return None


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
