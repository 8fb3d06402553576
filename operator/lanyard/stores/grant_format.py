"""The JSON of a grant and of an intent, as they lie in a state Secret.

Members that this version does not know are carried along: after a step back to an older version, a newer one finds
again what it had stored. A document of a later format is not read at all, for its known members may mean other things.
"""

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from lanyard.rules.grants import Grant, Intent
from lanyard.sensitive import Sensitive

FORMAT = 1
_TOKENS = frozenset({"access_token", "refresh_token", "previous_refresh_token"})
_MOMENTS = frozenset({"issued_at", "expires_at", "refresh_expires_at", "consented_at"})


def grant_text(grant: Grant, unread: Sensitive | None = None) -> bytes:
    """The document to be sealed. `unread` comes from `read_grant` of what it replaces."""
    document: dict[str, Any] = json.loads(unread.reveal()) if unread is not None else {}
    document["format"] = FORMAT
    for name, member in _MEMBERS.items():
        document[member] = _plain(name, getattr(grant, name))
    return json.dumps(document, separators=(",", ":")).encode()


def read_grant(text: bytes) -> tuple[Grant, Sensitive | None]:
    """The grant, and what else was there. ValueError when it is not a grant of a format this version knows."""
    try:
        document = json.loads(text)
        of_this_format = document.pop("format") == FORMAT
        # A member that is missing has the default of its field: it was not known when the grant was written.
        known = {name: _value(name, document.pop(member)) for name, member in _MEMBERS.items() if member in document}
        grant = Grant(**known)
    except (KeyError, TypeError, AttributeError, ValueError):
        # What json says of a text that is none carries that text.
        of_this_format = False
    if not of_this_format:
        raise ValueError("not a grant of a format that this version knows")
    return grant, Sensitive(json.dumps(document)) if document else None


def intent_text(intent: Intent) -> bytes:
    return json.dumps(
        {
            "id": intent.id,
            "generation": intent.generation,
            "holder": intent.holder,
            "startedAt": _moment(intent.started_at),
            "notAfter": _moment(intent.not_after),
        },
        separators=(",", ":"),
    ).encode()


def read_intent(text: bytes) -> Intent:
    """ValueError when it is not an intent."""
    try:
        document = json.loads(text)
        started_at, not_after = (_aware(document[name]) for name in ("startedAt", "notAfter"))
        return Intent(str(document["id"]), int(document["generation"]), str(document["holder"]), started_at, not_after)
    except (KeyError, TypeError, ValueError):
        raise ValueError("not an intent") from None


def _member(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


_MEMBERS = {field.name: _member(field.name) for field in fields(Grant)}


def _plain(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TOKENS:
        return value.reveal()
    if name in _MOMENTS:
        return _moment(value)
    return dict(value) if name in {"captured", "learned"} else value


def _value(name: str, plain: Any) -> Any:
    if plain is None:
        return None
    if name in _TOKENS:
        return Sensitive(plain)
    if name in _MOMENTS:
        return _aware(plain)
    return tuple(plain) if name == "scopes" else plain


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _aware(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a moment without its zone")
    return when
