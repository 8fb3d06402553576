"""What the gateway knows of token copies: sealed texts, opened one at a time when a token is handed out."""

from dataclasses import dataclass
from typing import Any

from lanyard.stores.copies import SeenCopy, TokenCopy, opened_copy, sealed_text
from lanyard.stores.keyring import Keyring


@dataclass(frozen=True, slots=True)
class SealedCopy:
    """A copy as it lies in the shared namespace. `owner` is the Connection's `namespace/name`."""

    uid: str
    secret_uid: str
    owner: str
    sealed: str


class CopyMirror:
    """Mirror of the copies, by uid of the Connection. `known` holds what the reflector has told."""

    def __init__(self) -> None:
        self.known: dict[str, SealedCopy] = {}

    def slim(self, secret: dict[str, Any]) -> SealedCopy:
        seen = SeenCopy.of(secret["metadata"])
        return SealedCopy(seen.uid, seen.secret_uid, seen.owner, sealed_text(secret))

    def replace(self, everything: list[SealedCopy], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        self.known = {one.uid: one for one in everything}

    def change(self, one: SealedCopy) -> None:
        self.known[one.uid] = one

    def forget(self, one: SealedCopy) -> None:
        self.known.pop(one.uid, None)

    def opened(self, keyring: Keyring, uid: str) -> TokenCopy | None:
        """The token of a Connection, None where there is no copy. LanyardError: KEYRING_LOST, STATE_INVALID."""
        found = self.known.get(uid)
        return opened_copy(keyring, found.sealed, uid, found.owner) if found is not None else None
