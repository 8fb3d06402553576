"""The ring `signing`: the keys that our own access tokens are signed with.

The file is that of every ring; its 32 bytes are a private scalar of P-256. The newest key that is active signs, every
key verifies, and all of them are published: also one that is still to come, so that whoever checks our tokens has it
before the first token is signed with it, and one that was superseded, until no token that it signed can be alive.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lanyard.errors import LanyardError
from lanyard.oauth.minting import SCALAR_BYTES, SigningKey, is_scalar
from lanyard.reasons import Reason
from lanyard.stores.keyring import Keyring, KeyringError
from lanyard.stores.keyring_file import KeyringFile


class SigningRing:
    """Immutable; a changed ring is another one. KeyringError for a key that is no private key of P-256."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        made = {}
        for one in keyring.keys:
            if not is_scalar(one.material):
                raise KeyringError(f"the key {one.id} is no private key of P-256")
            made[one.id] = SigningKey.of(one.material)
        self._by_ring_id = made
        self.keys: Mapping[str, SigningKey] = {key.key_id: key for key in made.values()}
        """Newest first, by their key ids."""

    def signing_key(self, now: datetime) -> SigningKey:
        """The key that signs at this moment. KeyringError when none is active yet."""
        return self._by_ring_id[self._keyring.sealing_key(now)]

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517 5)."""
        return {"keys": [key.public_jwk() for key in self.keys.values()]}

    def __repr__(self) -> str:
        return f"SigningRing({', '.join(self.keys)})"


class SigningFile:
    """The ring of a mounted file, made anew when that changes; one that cannot be used leaves the last one in place."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime]) -> None:
        self._ring: SigningRing | None = None
        self._file = KeyringFile(path, "signing", clock=clock, check=self._take)

    def current(self) -> SigningRing:
        """LanyardError with KEYRING_LOST when the file has never been usable in the life of this process."""
        self._file.look()
        if self._ring is None:
            raise LanyardError(Reason.KEYRING_LOST)
        return self._ring

    def _take(self, keyring: Keyring) -> None:
        self._ring = SigningRing(keyring)


def fresh_scalar() -> bytes:
    """A new private key: random bytes, again in the one case of 2^32 in which they are none."""
    while True:
        material = secrets.token_bytes(SCALAR_BYTES)
        if is_scalar(material):
            return material
