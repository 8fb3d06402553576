"""How long a token lives: what the answer says where it can be believed, else what the connector says."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from lanyard.api.connector import MethodSpec
from lanyard.api.exchange import TokenResponse
from lanyard.api.meta import parse_duration
from lanyard.oauth.documents import Document, first

LONGEST = timedelta(days=3650)
_UNITS = {"s": 1.0, "ms": 0.001, "min": 60.0}
_NUMBER = re.compile(r"\s*-?[0-9]{1,20}(?:\.[0-9]{1,20})?\s*")


def expiry_of(method: MethodSpec, document: Document, now: datetime, skew: timedelta) -> datetime | None:
    """By our clock; None when the token does not expire. `skew` is the provider's clock minus ours."""
    lifetime, response = method.lifetime, method.response
    longest = min(parse_duration(lifetime.maximum), LONGEST) if lifetime.maximum is not None else LONGEST
    moment = _absolute(first(document, response.expires_at), response.expires_at_format)
    seconds = number(first(document, response.expires_in))
    life: timedelta | None = None
    if moment is not None:
        life = _between(moment - now - skew, longest)
    elif seconds is not None:
        if seconds == 0 and lifetime.zero_means_never:
            return None
        scaled = seconds * _UNITS[response.expires_in_unit]
        life = _between(timedelta(seconds=min(scaled, LONGEST.total_seconds())) if scaled > 0 else None, longest)
    if life is not None:
        return now + life
    return None if lifetime.never else now + min(parse_duration(lifetime.default), longest)


def refresh_expiry_of(response: TokenResponse, document: Document, now: datetime) -> datetime | None:
    """When the refresh token ends, by our clock; None when the answer does not say. 0 is "never" (Keycloak)."""
    seconds = number(first(document, response.refresh_expires_in))
    if seconds is None or seconds <= 0:
        return None
    return now + timedelta(seconds=min(seconds, LONGEST.total_seconds()))


def skew_of(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The provider's clock minus ours, to the second that the Date header has."""
    moment = http_date(headers.get("date", ""))
    return moment - now if moment is not None else None


def http_date(text: str) -> datetime | None:
    """RFC 9110 5.6.7; None for what is no date."""
    try:
        moment = parsedate_to_datetime(text[:64])
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def number(value: Any) -> float | None:
    """A JSON number, or one that was written as text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e21:
        return float(value)
    return None


def _between(life: timedelta | None, longest: timedelta) -> timedelta | None:
    """A life under a second is a mistake of the provider, not a life."""
    return min(life, longest) if life is not None and life >= timedelta(seconds=1) else None


def _absolute(value: Any, form: str) -> datetime | None:
    try:
        match form:
            case "rfc3339":
                moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
                return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            case _:
                seconds = number(value)
                scale = 0.001 if form == "unixms" else 1.0
                return datetime.fromtimestamp(seconds * scale, UTC) if seconds is not None else None
    except (ValueError, OverflowError, OSError):
        return None
