"""Encryption of what is kept in memory, and one flight per key. For the modules of this room."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class SealedBox:
    """AES-256-GCM under a key that is made with the box and never leaves it.

    The key lives in the same process, so this guards against accidents (an object printed, a dump searched, a page
    left behind), not against who controls the process. `bound_to` is authenticated: a value cannot change its place.
    """

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._mark = secrets.token_bytes(32)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """cryptography.exceptions.InvalidTag when it was not sealed here and for this."""
        return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)

    def fingerprint(self, content: bytes) -> str:
        """Equal for equal content in this process; tells nothing about it to anyone else."""
        return hashlib.blake2b(content, key=self._mark, digest_size=12).hexdigest()


class Flights:
    """A lock per key that exists only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def alone(self, key: Hashable) -> AsyncIterator[None]:
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
