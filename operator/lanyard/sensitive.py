"""Values that must not be shown: a wrapper whose `repr`, `str`, `format` and pickle say nothing.

A `Sensitive` is opened with `reveal()` at the one place that needs the value, so `grep reveal` lists
every place where plaintext can be.
"""

import hmac
from typing import NoReturn

MASK = "**********"


class Sensitive:
    """A secret text. Compares in constant time; never hashable, so it cannot become a dictionary key."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sensitive):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Sensitive({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sensitive is never serialised")
