"""Strict JSON (RFC 8259) and JSON Pointer (RFC 6901) for answers that nobody has vouched for."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

Document = Mapping[str, Any]
MISSING: Any = object()


def parse_object(unverified_body: bytes) -> Document | None:
    """The JSON object of a body; None for everything else: other JSON, duplicate members, NaN, depth, not UTF-8.

    Nothing that the parser says is kept, because it may quote the text.
    """
    try:
        value = _STRICT.decode(unverified_body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def parse_form(unverified_body: bytes) -> Document | None:
    """The members of a form (RFC 6749 appendix B); None for what is none, or has a member twice or over 64."""
    try:
        pairs = parse_qsl(unverified_body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=64)
        return _unambiguous(pairs)
    except ValueError:
        return None


def first(document: Document, pointers: Iterable[str]) -> Any:
    """What the first pointer that leads to a value leads to; null is no value. MISSING when none does."""
    for pointer in pointers:
        found = _at(document, pointer)
        if found is not MISSING and found is not None:
            return found
    return MISSING


def _at(document: Any, pointer: str) -> Any:
    here = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(here):
            here = here[int(name[:9])]
        else:
            return MISSING
    return here


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate members")
    return members


def _refuse(_: str) -> NoReturn:
    raise ValueError("not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("not a finite number")
    return number


# Made once: making one costs as much as reading a small document.
_STRICT = json.JSONDecoder(object_pairs_hook=_unambiguous, parse_constant=_refuse, parse_float=_finite)
