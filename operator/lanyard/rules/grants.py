"""What a person granted once, and what may be done with it: the refresh protocol as decisions (DESIGN 4, Refresh).

A refresh token can be spent: many providers take each only once. Whether a request that got no answer may be repeated
is therefore the provider's `rotation`, and is written down before the request is sent (the intent).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from lanyard.api.connector import Rotation
from lanyard.api.meta import parse_duration
from lanyard.reasons import Reason
from lanyard.rules.schedule import is_ahead, refresh_at
from lanyard.sensitive import MASK, Sensitive


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """One generation of a grant: the tokens of one answer and what the next request needs.

    `expires_at` is None for an access token that does not expire, `refresh_token` None where none was given.
    `captured` is published beside the token; `learned` are parameters that answers brought. Times are aware.
    """

    generation: int
    access_token: Sensitive
    token_type: str
    refresh_token: Sensitive | None
    issued_at: datetime
    expires_at: datetime | None
    refresh_expires_at: datetime | None
    scopes: tuple[str, ...]
    account: str
    client_id: str
    redirect_uri: str
    token_host: str
    consented_at: datetime
    captured: Mapping[str, str] = field(default_factory=dict)
    learned: Mapping[str, str] = field(default_factory=dict)
    rotated: bool = False
    """Its refresh token has changed at least once: it is rotating for good, whatever the catalogue says."""
    previous_refresh_token: Sensitive | None = None
    consent: str = ""
    """Name of the consent record that brought it: one approval brings one grant."""

    def __repr__(self) -> str:
        return f"Grant(generation={self.generation}, {MASK})"


@dataclass(frozen=True, slots=True)
class Intent:
    """Written before a refresh token is sent: who is about to spend which generation, and until when it may be under
    way. One that is still there when nobody holds it means that the answer is not known.

    `started_at` is when the first request for this generation was sent whose answer is not known.
    """

    id: str
    generation: int
    holder: str
    started_at: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """A grant as it lies in its state Secret; `version` and `uid` are the Secret's. `ended`: a terminal answer."""

    grant: Grant
    intent: Intent | None
    ended: Reason | None
    version: str
    uid: str
    unread: Sensitive | None = None
    """What a newer Lanyard has stored beside it, as JSON: kept when the grant is written back."""

    def __repr__(self) -> str:
        return f"Stored({self.grant!r}, intent={self.intent is not None}, ended={self.ended})"


class Safety(Enum):
    """What a second use of a refresh token does."""

    REPEATABLE = "it may be sent again at any time"
    WITHIN_GRACE = "it may be sent again for a while"
    ONCE = "a second use may end the grant"


@dataclass(frozen=True, slots=True)
class Current:
    """The access token at hand is fresh: publish it, ask nobody."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the refresh token. `intent_first`: write down before that it is about to be spent.

    `risky`: an earlier request may have spent it; `invalid_grant` now means that its answer was lost.
    """

    intent_first: bool
    risky: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """An earlier request may still be under way, or a repetition is put off until shortly before the expiry."""

    until: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Ended:
    """Only a new consent helps."""

    reason: Reason


Step = Current | Ask | Hold | Ended

LAST_MOMENT = timedelta(minutes=2)
"""How long before the expiry a refresh is repeated whose answer was lost, where repeating may end the grant."""


def safety(rotation: Rotation, grant: Grant) -> Safety:
    """By the catalogue, and by what this grant has shown: one that has rotated once never counts as fixed again."""
    match rotation.mode:
        case "fixed":
            return Safety.ONCE if grant.rotated else Safety.REPEATABLE
        case "rotatesWithGrace":
            return Safety.WITHIN_GRACE
        case "rotates" | "unknown":
            return Safety.ONCE


def due_at(grant: Grant, rotation: Rotation, default_life: timedelta, uid: str) -> datetime | None:
    """When its access token is to be replaced: ahead of its expiry, and before an unused grant would end. In whole
    seconds, as a status has it: who comes by the status would otherwise come too early, and publish the same again.

    Without a refresh token that is when a person is to be told that it will end; None for one that never does.
    """
    if grant.refresh_token is None:
        if grant.expires_at is None:
            return None
        return refresh_at(grant.issued_at, grant.expires_at, uid).replace(microsecond=0)
    ends = [grant.expires_at if grant.expires_at is not None else grant.issued_at + default_life]
    if rotation.idle_lifetime is not None:
        ends.append(grant.issued_at + parse_duration(rotation.idle_lifetime))
    if grant.refresh_expires_at is not None:
        ends.append(grant.refresh_expires_at)
    return refresh_at(grant.issued_at, min(ends), uid).replace(microsecond=0)


def next_step(stored: Stored, rotation: Rotation, *, due: bool, now: datetime) -> Step:
    """What to do about a grant; `due`: its access token is to be replaced (late in its life, or refused).

    An intent from the future is nobody's any more: whoever is at work now has the clock that is right now.
    """
    grant, intent = stored.grant, stored.intent
    if stored.ended is not None:
        return Ended(stored.ended)
    # Its times say nothing when they are those of a clock that was set back: only a new token has times that do.
    due = due or (is_ahead(grant.issued_at, now) and grant.refresh_token is not None)
    if not due and (grant.expires_at is None or grant.expires_at > now):
        return Current()
    if grant.refresh_token is None:
        if grant.expires_at is None:
            return Current()
        if grant.expires_at > now:
            return Hold(grant.expires_at, Reason.NO_REFRESH_TOKEN)
        return Ended(Reason.NO_REFRESH_TOKEN)
    if grant.refresh_expires_at is not None and grant.refresh_expires_at <= now:
        return Ended(Reason.GRANT_EXPIRED)
    kind = safety(rotation, grant)
    if intent is None or intent.generation != grant.generation:
        return Ask(intent_first=kind is not Safety.REPEATABLE)
    is_dated = not is_ahead(intent.started_at, now)
    if is_dated and now < intent.not_after:
        return Hold(intent.not_after, Reason.REFRESH_OUTCOME_UNKNOWN)
    match kind:
        case Safety.REPEATABLE:
            return Ask(intent_first=False)
        case Safety.WITHIN_GRACE if is_dated and now < intent.started_at + _grace(rotation):
            return Ask(intent_first=True)
        case Safety.WITHIN_GRACE | Safety.ONCE:
            last = grant.expires_at - LAST_MOMENT if grant.expires_at is not None else now
            return Hold(last, Reason.REFRESH_OUTCOME_UNKNOWN) if last > now else Ask(intent_first=True, risky=True)


def renewed(
    before: Grant,
    *,
    access_token: Sensitive,
    token_type: str,
    refresh_token: Sensitive | None,
    issued_at: datetime,
    expires_at: datetime | None,
    refresh_expires_at: datetime | None,
    scopes: tuple[str, ...] | None,
    captured: Mapping[str, str],
    learned: Mapping[str, str],
    token_host: str,
) -> Grant:
    """The next generation. A refresh token that is not answered stays (RFC 6749 6); one that differs marks the grant
    as rotating.
    """
    changed = refresh_token is not None and refresh_token != before.refresh_token
    return replace(
        before,
        generation=before.generation + 1,
        access_token=access_token,
        token_type=token_type,
        refresh_token=refresh_token if changed else before.refresh_token,
        issued_at=issued_at,
        expires_at=expires_at,
        refresh_expires_at=refresh_expires_at if refresh_expires_at is not None else _kept_expiry(before, changed),
        scopes=scopes if scopes is not None else before.scopes,
        captured={**before.captured, **captured},
        learned={**before.learned, **learned},
        token_host=token_host,
        rotated=before.rotated or changed,
        previous_refresh_token=before.refresh_token if changed else before.previous_refresh_token,
    )


def is_older_consent(consented_at: datetime, stored: str, now: datetime) -> bool:
    """Whether what is stored came of a later consent (`stored`: when that was, RFC 3339; empty where nobody knows).

    Two people may consent at a time, and a grant may wait for the API server. What lies in the future is no later
    consent but one before a clock was set back.
    """
    try:
        found = datetime.fromisoformat(stored)
        return consented_at < found and not is_ahead(found, now)
    except (ValueError, TypeError):
        return False


def _kept_expiry(before: Grant, changed: bool) -> datetime | None:
    """The expiry of a refresh token is that token's own: it says nothing about the one that replaced it."""
    return None if changed else before.refresh_expires_at


def _grace(rotation: Rotation) -> timedelta:
    return parse_duration(rotation.grace) if rotation.grace is not None else timedelta(0)
