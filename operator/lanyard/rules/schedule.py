"""When the next attempt is made. Pure: `now`, expiry and uid in, a time out."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from lanyard.errors import LanyardError
from lanyard.reasons import Retry

MARGIN_SHARE = 0.2
LEAST_MARGIN = timedelta(minutes=5)  # kubelet needs up to two minutes to bring a new Secret into a pod
LARGEST_MARGIN_SHARE = 0.5
JITTER_SHARE = 0.1
AT_ONCE = 3  # repairs in a row that are not put off
SHORT_LIFE = timedelta(minutes=10)
CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far the clocks of two nodes may be apart. What lies further ahead was written by a clock that was set back."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pace of retries; settings, so that tests need not wait."""

    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(minutes=5)
    configuration: tuple[timedelta, ...] = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=60))
    on_change: timedelta = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Repairs:
    """Credentials that were fetched in quick succession: somebody else may be undoing what we do."""

    last: datetime
    streak: int

    @classmethod
    def after(cls, before: "Repairs | None", now: datetime, pace: Backoff) -> "Repairs":
        """One more; it counts to the streak when it came within the longest pause of when it might have come.

        Counted from the one before, waiting for the longest pause would end the streak, and a burst would follow.
        """
        close = before is not None and now < before.not_before(pace) + pace.longest
        return cls(now, before.streak + 1 if before is not None and close else 0)

    def not_before(self, pace: Backoff) -> datetime:
        """The first few repairs are immediate; then each waits twice as long as the one before."""
        over = self.streak - AT_ONCE
        return self.last + (_exponential(over, pace) if over > 0 else timedelta(0))


def refresh_at(issued_at: datetime, expires_at: datetime, uid: str) -> datetime:
    """The latest time for it, less 0-10 % of life by uid.

    The jitter comes from the uid, so that a restart does not reshuffle and a bulk create spreads out.
    """
    life = max(expires_at - issued_at, timedelta(0))
    return latest_refresh(issued_at, expires_at) - life * JITTER_SHARE * fraction(uid)


def latest_refresh(issued_at: datetime, expires_at: datetime) -> datetime:
    """Expiry less a margin: 20 % of life, at least 5 min, at most half of life."""
    life = max(expires_at - issued_at, timedelta(0))
    return expires_at - min(max(life * MARGIN_SHARE, LEAST_MARGIN), life * LARGEST_MARGIN_SHARE)


def is_ahead(written_at: datetime, now: datetime) -> bool:
    """Whether what is dated so was dated by a clock that has been set back since."""
    return written_at > now + CLOCK_TOLERANCE


def retry_at(error: LanyardError, attempts: int, now: datetime, uid: str, pace: Backoff) -> datetime:
    """When to try again after the `attempts`-th failure in a row (1 = the first)."""
    attempts = max(attempts, 1)  # counted in a status, which can be edited by hand
    match error.retry:
        case Retry.ON_CHANGE | Retry.CONSENT | Retry.INTERVAL:
            pause = pace.on_change
        case Retry.CONFIGURATION:
            pause = pace.configuration[min(attempts, len(pace.configuration)) - 1]
        case Retry.TRANSIENT | Retry.KEYS | Retry.SOURCE | Retry.NONE:
            pause = _exponential(attempts, pace)
        case Retry.THROTTLED:
            pause = timedelta(seconds=error.retry_after) if error.retry_after else _exponential(attempts, pace)
    if error.retry_after is not None:
        pause = max(pause, timedelta(seconds=error.retry_after))
    # Up to 10 % later, so that Connections that failed together do not come back together.
    return now + pause * (1 + JITTER_SHARE * fraction(f"{uid}/{attempts}"))


def fraction(text: str) -> float:
    """A number in [0, 1) that a text determines."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 256**7


def _exponential(attempts: int, pace: Backoff) -> timedelta:
    doublings = min(attempts - 1, 16)
    return min(pace.first * (1 << doublings), pace.longest)
