"""What every store answers, and under which name the cache keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from lanyard.sensitive import Sensitive

VALUE_LIMIT = 64 * 1024

KEYED = "keyed-"
"""Begins a version that is a digest of the content under this process's key: it means nothing to another process."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything that leads to a value, each with its version: a change is a different key."""

    namespace: str
    asset: str
    store: str
    service_account: str


@dataclass(frozen=True, slots=True)
class StoreValue:
    """Fields of one secret. `version` differs whenever the content may differ; it tells nothing about it.

    `unusable` names fields that exist and cannot be a credential: not text, with a NUL, or over 64 KiB.
    """

    fields: Mapping[str, Sensitive]
    version: str
    unusable: frozenset[str] = field(default=frozenset())

    @classmethod
    def sort(cls, raw: Mapping[str, object], version: str) -> Self:
        """Text is taken as it is, trailing newline included. Numbers are not text: 1.0 or 1e5 would change."""
        good = {name: Sensitive(value) for name, value in raw.items() if isinstance(value, str) and _usable(value)}
        return cls(good, version, frozenset(raw) - frozenset(good))


def _usable(value: str) -> bool:
    try:
        return "\0" not in value and len(value.encode()) <= VALUE_LIMIT
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell
        return False
