"""What the status of a FederatedCredential says, from facts gathered once (DESIGN 5)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lanyard.api.federation import MOST_CREDENTIALS
from lanyard.errors import LanyardError, SourceError, SpecError
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Status, fails, holds, merged, summary
from lanyard.rules.conditions import Verdict as Said
from lanyard.rules.exchange import is_gate_open
from lanyard.rules.publish import timestamp
from lanyard.rules.subjects import lasting
from lanyard.rules.trust import Credential, Verdict

UNUSED_AFTER = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Application:
    """The Connection as it is known now."""

    is_link: bool
    mints: bool
    """Its tokens are Lanyard's own."""
    without_token: str
    """Its method, where that is one that fetches no token; else empty."""
    granted: tuple[str, ...]
    """Scopes of its token, as its status says."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the status depends on. `keys`: what is wrong with the issuer's keys, None when they are there."""

    one: Credential
    created_at: datetime
    verdict: Verdict
    application: Application | None
    keys: LanyardError | None
    twin: str
    """Name of another that counts, of the same application and with the same issuer, subject and audience."""
    used_at: datetime | None
    """When it was used last, as far as anybody knows."""
    is_served: bool = True
    """False where this install has no gateway, at which anything could be exchanged."""


def unused_from(facts: Facts) -> datetime:
    return max(facts.created_at, facts.used_at or facts.created_at) + UNUSED_AFTER


def next_look(facts: Facts, now: datetime) -> datetime | None:
    """When the status changes by time alone."""
    return min((when for when in (facts.one.expires_at, unused_from(facts)) if when and when > now), default=None)


def unreadable_status(
    previous: Mapping[str, Any], problem: LanyardError, generation: int, now: datetime
) -> tuple[Status, list[Said]]:
    """Of an object that is older than the schema."""
    verdicts = summary(usable=None, blocker=problem, waiting=Reason.ACQUIRING)
    return _status(previous, [*verdicts, fails(Condition.SPEC_VALID, problem)], generation, None, now)


def credential_status(
    previous: Mapping[str, Any], facts: Facts, last_exchange_at: datetime | None, now: datetime
) -> tuple[Status, list[Said]]:
    """The status to write, and its verdicts for Events. `last_exchange_at`: None leaves what is there."""
    one = facts.one
    problems = {error.condition: error for error in _problems(facts)}
    blocker = next(iter(problems.values()), None)
    if blocker is None and not one.suspended:
        is_over = one.expires_at is not None and one.expires_at <= now
        unserved = None if facts.is_served else SpecError(Reason.EXCHANGE_NOT_SET_UP)
        blocker = SpecError(Reason.EXPIRED) if is_over else unserved or facts.keys
    usable = None
    if blocker is None and not one.suspended:
        usable = holds(Condition.READY, Reason.TRUSTED, connection=one.connection)
    verdicts = [
        *summary(usable=usable, blocker=blocker, waiting=Reason.SUSPENDED),
        *_details(facts, problems),
        *_warnings(facts, now),
    ]
    return _status(previous, verdicts, one.generation, last_exchange_at, now)


def _details(facts: Facts, problems: Mapping[Condition, LanyardError]) -> Iterator[Said]:
    yield holds(Condition.SPEC_VALID, Reason.VALID)
    if Condition.ACCEPTED not in problems:
        yield holds(Condition.ACCEPTED, Reason.ACCEPTED)
    if Condition.CONNECTION_RESOLVED not in problems:
        yield holds(Condition.CONNECTION_RESOLVED, Reason.RESOLVED)
    yield from (fails(condition, error) for condition, error in problems.items())
    if facts.keys is None:
        yield holds(Condition.ISSUER_KEYS_KNOWN, Reason.KEYS_KNOWN)
    else:
        yield fails(Condition.ISSUER_KEYS_KNOWN, facts.keys)


def _status(
    previous: Mapping[str, Any], verdicts: list[Said], generation: int, last_exchange_at: datetime | None, now: datetime
) -> tuple[Status, list[Said]]:
    status: Status = {
        "observedGeneration": generation,
        "conditions": merged(previous.get("conditions") or (), verdicts, generation, now),
    }
    used = timestamp(last_exchange_at) if last_exchange_at is not None else previous.get("lastExchangeAt")
    return (status | {"lastExchangeAt": used} if used else status), verdicts


def _problems(facts: Facts) -> Iterator[LanyardError]:
    """What is wrong whether or not it is suspended; the first goes into the summary."""
    name, application = facts.one.connection, facts.application
    match facts.verdict:
        case Verdict.LIMIT_EXCEEDED:
            yield SpecError(Reason.LIMIT_EXCEEDED, name=name, limit=MOST_CREDENTIALS)
        case Verdict.DUPLICATE_NAME:
            yield SpecError(Reason.DUPLICATE_NAME, name=name)
        case Verdict.COUNTS:
            pass
    if application is None:
        yield SourceError(Reason.CONNECTION_NOT_FOUND, name=name)
    elif application.is_link:
        yield SpecError(Reason.CONNECTION_IS_LINK, name=name)
    elif application.without_token:
        yield SpecError(Reason.NO_TOKEN_TO_HAND_OUT, name=name, method=application.without_token)
    elif not application.mints and not is_gate_open(application.granted, facts.one.scopes):
        yield SourceError(Reason.SCOPES_NOT_ENFORCEABLE, name=name)


def _warnings(facts: Facts, now: datetime) -> Iterator[Said]:
    """Conditions that are there only while something deserves a look; none of them changes `Ready`."""
    better = lasting(facts.one.issuer, facts.one.subject, facts.one.rules)
    if better is not None:
        error = LanyardError(Reason.MUTABLE_SUBJECT, form=better.form, claim=better.claim)
        yield fails(Condition.SUBJECT_LASTING, error)
    if facts.twin:
        yield fails(Condition.TRUST_UNIQUE, LanyardError(Reason.DUPLICATE_TRUST, name=facts.twin))
    if now >= unused_from(facts):
        yield fails(Condition.IN_USE, LanyardError(Reason.UNUSED, days=UNUSED_AFTER.days))
