"""What to do about a Connection now: exactly one decision, from facts gathered once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from lanyard.errors import LanyardError
from lanyard.rules.schedule import is_ahead, latest_refresh

ROUNDING = timedelta(seconds=2)
"""What whole seconds of a status may take from the life of a token: who comes by them must not come too early."""


class Cause(Enum):
    """Why credentials are fetched."""

    FIRST = "nothing is published"
    DUE = "the token is due"
    INPUTS_CHANGED = "what the credentials are made from has changed"
    DRIFT = "the published Secret is not what was written"
    RETRY = "an earlier attempt failed"
    ASKED = "somebody asked for fresh credentials"


@dataclass(frozen=True, slots=True)
class PublishedFacts:
    """Our Secret as it stands: `intact` when its content is known to be what we wrote."""

    intact: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision depends on."""

    suspended: bool
    problem: LanyardError | None
    inputs_digest: str
    attempted_digest: str
    published: PublishedFacts | None
    received: bool
    """True when a token is in hand that was not published yet."""
    failed_attempts: int
    nudged: bool
    """True when what an attempt failed on works again."""
    next_refresh_at: datetime | None
    expires_at: datetime | None
    issued_at: datetime | None = None
    """When the published token was fetched."""
    asked: bool = False
    """True when somebody asked for fresh credentials and no attempt was made since."""
    repairs_from: datetime | None = None
    """Not before this what was published is made anew: somebody else may be undoing it. None puts nothing off."""
    awaiting: LanyardError | None = None
    """Why there is no grant that could be refreshed; None for methods that need no consent."""
    grant_ended: bool = False
    """True when what is awaited is a consent in place of a grant that is over: its last token may still live."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before `until`; None when only a change can bring something to do."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Acquire:
    """Fetch credentials and publish them."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Publish:
    """A token is in hand: write it before anything else."""


@dataclass(frozen=True, slots=True)
class AwaitConsent:
    """Only a person can go on; `error` says why. What is published stays until it expires."""

    error: LanyardError


@dataclass(frozen=True, slots=True)
class Blocked:
    """The object cannot work as it is."""

    error: LanyardError


Decision = Rest | Acquire | Publish | AwaitConsent | Blocked


def decide(facts: Facts, now: datetime) -> Decision:
    """First that applies. A received token is published even when the object was suspended meanwhile."""
    if facts.received:
        return Publish()
    if facts.suspended:
        return Rest(None)
    if facts.problem is not None:
        return Blocked(facts.problem)
    if facts.awaiting is not None and not _is_still_owed(facts, now):
        return AwaitConsent(facts.awaiting)
    if facts.inputs_digest != facts.attempted_digest:
        return Acquire(Cause.FIRST) if facts.published is None else _repair(facts, now, Cause.INPUTS_CHANGED)
    if facts.asked and facts.published is not None:
        return _repair(facts, now, Cause.ASKED)
    if facts.failed_attempts:
        if facts.nudged or facts.asked:
            return Acquire(Cause.RETRY)
        return _at(facts.next_refresh_at, now, Cause.RETRY, facts.expires_at)
    if facts.published is None:
        return Acquire(Cause.FIRST)
    if not facts.published.intact:
        return _repair(facts, now, Cause.DRIFT)
    if facts.expires_at is None and facts.next_refresh_at is None:
        return Rest(None)
    return _at(_due_at(facts, now), now, Cause.DUE, None)


def _is_still_owed(facts: Facts, now: datetime) -> bool:
    """A grant that is over leaves a token behind, which is published until it expires."""
    lives = facts.expires_at is not None and facts.expires_at > now
    is_intact = facts.published is not None and facts.published.intact
    return facts.grant_ended and lives and not is_intact


def _due_at(facts: Facts, now: datetime) -> datetime | None:
    """What the status says, but never so late that the token expires first: a status can be edited by hand, and a clock
    be set.
    """
    if facts.next_refresh_at is None or facts.issued_at is None or facts.expires_at is None:
        return facts.next_refresh_at
    if is_ahead(facts.issued_at, now):
        return now
    return min(facts.next_refresh_at, latest_refresh(facts.issued_at, facts.expires_at) + ROUNDING)


def _repair(facts: Facts, now: datetime, cause: Cause) -> Decision:
    put_off, due = facts.repairs_from, facts.next_refresh_at
    # What is due anyway is not put off: its moment has passed, and looking at it again would be a busy loop.
    is_due = due is not None and due <= now
    return Rest(put_off) if put_off is not None and put_off > now and not is_due else Acquire(cause)


def _at(when: datetime | None, now: datetime, cause: Cause, expires_at: datetime | None) -> Decision:
    if when is None or when <= now:
        return Acquire(cause)
    # While attempts fail, the moment of expiry must not pass unseen: Ready has to turn.
    return Rest(min(when, expires_at) if expires_at is not None and expires_at > now else when)
