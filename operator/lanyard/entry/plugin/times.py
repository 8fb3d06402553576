"""Points in time as people say them: `09:14 UTC (6 min ago)`."""

from datetime import UTC, datetime, timedelta


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: str) -> datetime | None:
    """RFC 3339, None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def told(text: str, now: datetime) -> str:
    """The time of day where it is today, the date otherwise, and how far away it is."""
    moment = parsed(text)
    if moment is None:
        return text
    moment = moment.astimezone(UTC)
    form = "%H:%M UTC" if moment.date() == now.astimezone(UTC).date() else "%Y-%m-%d %H:%M UTC"
    return f"{moment.strftime(form)} ({distance(moment - now)})"


def distance(apart: timedelta) -> str:
    """`in 6 min`, `2 h ago`."""
    seconds = int(abs(apart.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            amount = f"{seconds // size} {unit}"
            break
    else:
        amount = f"{seconds} s"
    return f"in {amount}" if apart > timedelta(0) else f"{amount} ago"
