"""Texts in JWTs and JWKs that may be compared, logged and written into names."""

from typing import Any


def is_word(value: Any, longest: int) -> bool:
    """A text of 1 to `longest` characters with no control, no half of a surrogate pair and no unassigned character.

    What is not printable could start a new line in a log, or be another text when it is encoded again.
    """
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def is_plain_word(value: Any, longest: int) -> bool:
    """The same in ASCII alone: what is compared byte for byte has one spelling there."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isascii() and value.isprintable()
