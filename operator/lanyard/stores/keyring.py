"""Keyrings: what Lanyard keeps is encrypted with their keys.

The newest key that is active seals, every key opens: a key that was added reaches all processes before the first of
them seals with it. A sealed text is `<key id>.<base64url>` of nonce and AES-256-GCM ciphertext, authenticated together
with the place it belongs to, so it opens nowhere else.

Nonces are random: one key may seal 2^32 times (NIST SP 800-38D 8.3), which at 35 a second takes four years.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lanyard.errors import LanyardError
from lanyard.reasons import Reason
from lanyard.stores.ring_format import KEY_ID, KeyringError, RingKey, check_keys, parse_keys

__all__ = ["Context", "Keyring", "KeyringError", "key_id_of"]

NONCE_BYTES = 12
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Context:
    """What a ciphertext belongs to. `uid` is the Connection's, empty for none; `owner` its `namespace/name`."""

    field: str
    uid: str
    owner: str

    def aad(self) -> bytes:
        """A JSON list: no two contexts have the same, whatever characters they hold."""
        return json.dumps([self.field, self.uid, self.owner]).encode()


class Keyring:
    """Seals and opens. Immutable; a changed ring is another one."""

    def __init__(self, keys: tuple[RingKey, ...]) -> None:
        """KeyringError for a ring that cannot be one."""
        check_keys(keys)
        self._newest_first = tuple(sorted(keys, key=lambda one: (one.active_from, one.id), reverse=True))
        self._ciphers = {one.id: AESGCM(one.material) for one in keys}

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """KeyringError when the text is not a ring."""
        return cls(parse_keys(text))

    @property
    def keys(self) -> tuple[RingKey, ...]:
        """Newest first."""
        return self._newest_first

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._ciphers

    def __repr__(self) -> str:
        return f"Keyring({', '.join(one.id for one in self._newest_first)})"

    def sealing_key(self, now: datetime) -> str:
        """The id of the key that seals at this moment. KeyringError when none is active yet."""
        for key in self._newest_first:
            if key.active_from <= now:
                return key.id
        raise KeyringError("no key is active yet")

    def seal(self, plaintext: bytes, context: Context, *, now: datetime, nonce: bytes) -> str:
        """`nonce` is 12 fresh random bytes. KeyringError when no key is active yet."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError("a nonce has 12 bytes")
        key_id = self.sealing_key(now)
        sealed = nonce + self._ciphers[key_id].encrypt(nonce, plaintext, context.aad())
        return f"{key_id}.{_encoded(sealed)}"

    def open(self, sealed: str, context: Context) -> bytes:
        """LanyardError: KEYRING_LOST when the ring does not have the key, STATE_INVALID when the text was changed or
        belongs to another context.
        """
        key_id = key_id_of(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise LanyardError(Reason.KEYRING_LOST, key=key_id)
        raw = _decoded(sealed[len(key_id) + 1 :])
        try:
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.aad())
        except InvalidTag:
            raise LanyardError(Reason.STATE_INVALID) from None


def key_id_of(sealed: str) -> str:
    """The id of the key that sealed it, which is not authenticated. STATE_INVALID for a text that has none."""
    key_id, dot, _ = sealed.partition(".")
    if not dot or KEY_ID.fullmatch(key_id) is None:
        raise LanyardError(Reason.STATE_INVALID)
    return key_id


def sealed_with(text: str) -> str | None:
    """The id of the key that sealed a text, None for one that was not sealed at all."""
    try:
        key_id = key_id_of(text)
        _decoded(text[len(key_id) + 1 :])
    except LanyardError:
        return None
    return key_id


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Only what `_encoded` writes: base64 has spare bits at its end, and a changed text must not open."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise LanyardError(Reason.STATE_INVALID) from None
    if len(raw) < NONCE_BYTES + _TAG_BYTES or _encoded(raw) != text:
        raise LanyardError(Reason.STATE_INVALID)
    return raw
