"""What becomes of a stored grant whose Connection is gone (DESIGN 4, Delete)."""

from datetime import datetime, timedelta
from enum import Enum


class Care(Enum):
    """What to do about one state Secret after a full list."""

    LEAVE = "nothing"
    MARK = "note since when its Connection is missing"
    UNMARK = "its Connection is back"
    REMOVE = "nobody has come for it"


def care(*, is_missing: bool, since: datetime | None, after: timedelta, now: datetime) -> Care:
    """`since`: what an earlier full list noted. One list alone never removes anything, however old the grant is."""
    if not is_missing:
        return Care.LEAVE if since is None else Care.UNMARK
    if since is None:
        return Care.MARK
    return Care.REMOVE if now >= since + after else Care.LEAVE
