"""`docs/reference/settings.md`: every setting of the operator."""

from datetime import timedelta
from enum import Enum
from typing import Any

from docsgen.markdown import head, table
from lanyard.entry.settings import PREFIX, Settings

INTRODUCTION = """
# Settings

Set in the environment of the process and checked at start: an unknown name or a malformed value stops it with a word
about which one. Lengths of time are written as `90s`, `5m` or `1h30m`; lists are separated by commas.

"""


def page(_: str) -> str:
    rows = (
        [f"`{PREFIX}{name.upper()}`", _default(field.default), (field.description or "").replace("<", "&lt;")]
        for name, field in Settings.model_fields.items()
    )
    return head("operator/lanyard/entry/settings.py") + INTRODUCTION + table(["Name", "Default", "Meaning"], rows)


def _default(value: Any) -> str:
    match value:
        case None | () | "":
            return "-"
        case tuple():
            return f"`{','.join(_plain(one) for one in value)}`"
        case _:
            return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return _length(int(value.total_seconds()))
        case Enum():
            return str(value.value)
        case _:
            return str(value)


def _length(seconds: int) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
