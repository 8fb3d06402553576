"""The file of a keyring: keys, each with the moment from which it seals, as they are written down and read.

`{"keys": [{"id", "key", "activeFrom"}]}`: the key 32 bytes in base64, the moment RFC 3339 with its zone.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

KEY_BYTES = 32
MOST_KEYS = 64
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MEMBERS = {"id", "key", "activeFrom"}


class KeyringError(ValueError):
    """A ring cannot be used; the text says what is wrong with which key, and never quotes it."""


@dataclass(frozen=True, slots=True, repr=False)
class RingKey:
    """One key of a ring. `material` is the key itself; `active_from` is aware."""

    id: str
    material: bytes
    active_from: datetime

    def __repr__(self) -> str:
        return f"RingKey({self.id!r}, {self.active_from.isoformat()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never serialised but by `ring_text`")


def parse_keys(text: str) -> tuple[RingKey, ...]:
    """The keys of a ring, in their order. KeyringError when the text is not a ring."""
    try:
        document = json.loads(text, object_pairs_hook=_members)
    except KeyringError:
        raise
    except (ValueError, RecursionError):
        raise KeyringError("it is not JSON") from None
    if not isinstance(document, dict) or document.keys() != {"keys"} or not isinstance(document["keys"], list):
        raise KeyringError("it is not an object with one member, the list keys")
    keys = tuple(_key(number, entry) for number, entry in enumerate(document["keys"], start=1))
    check_keys(keys)
    return keys


def ring_text(keys: tuple[RingKey, ...]) -> str:
    """The file of a ring: the one place where keys are written out."""
    check_keys(keys)
    entries = [
        {"id": one.id, "key": base64.b64encode(one.material).decode(), "activeFrom": _moment(one.active_from)}
        for one in keys
    ]
    return json.dumps({"keys": entries})


def check_keys(keys: tuple[RingKey, ...]) -> None:
    """KeyringError for keys that cannot be a ring together."""
    if not keys:
        raise KeyringError("it has no key")
    if len(keys) > MOST_KEYS:
        raise KeyringError(f"it has more than {MOST_KEYS} keys")
    if len({one.id for one in keys}) != len(keys):
        raise KeyringError("two keys have the same id")
    if len({one.material for one in keys}) != len(keys):
        raise KeyringError("two ids have the same key")


def _key(number: int, entry: Any) -> RingKey:
    if not isinstance(entry, dict) or entry.keys() != _MEMBERS:
        raise KeyringError(f"key {number} does not have exactly id, key and activeFrom")
    if not all(isinstance(value, str) for value in entry.values()):
        raise KeyringError(f"key {number} has a member that is not text")
    if KEY_ID.fullmatch(entry["id"]) is None:
        raise KeyringError(f"the id of key {number} is not 1 to 63 lower-case letters, digits and hyphens")
    try:
        material = base64.b64decode(entry["key"], validate=True)
    except (binascii.Error, ValueError):
        raise KeyringError(f"key {number} is not base64") from None
    if len(material) != KEY_BYTES:
        raise KeyringError(f"key {number} does not have {KEY_BYTES} bytes")
    try:
        active_from = datetime.fromisoformat(entry["activeFrom"])
    except ValueError:
        raise KeyringError(f"activeFrom of key {number} is not a moment in RFC 3339") from None
    if active_from.tzinfo is None:
        raise KeyringError(f"activeFrom of key {number} has no time zone")
    return RingKey(entry["id"], material, active_from)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two members of one name are one too many: readers disagree about which of them counts."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise KeyringError("a member is there twice")
    return members


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
