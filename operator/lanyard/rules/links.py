"""What to do about a link now, and what its status says (DESIGN 1, linkTo): from facts gathered once.

A link publishes what another Connection has published. Whether it may is looked at first and whatever else is true:
what may no longer be linked is taken back, also from a link that is suspended or cannot be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanyard.errors import LanyardError, SourceError, SpecError
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Status, Verdict, fails, holds, merged, summary
from lanyard.rules.lifecycle import PublishedFacts
from lanyard.rules.publish import timestamp


@dataclass(frozen=True, slots=True)
class Place:
    """The Connection that a link names."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Source:
    """That Connection as it is known now. `marker` stands for what it has published.

    It is empty while nothing is there, and while what is there is not known to be what Lanyard wrote.
    """

    uid: str
    is_link: bool
    admits: bool
    ready: bool
    marker: str
    expires_at: datetime | None

    @property
    def origin(self) -> str:
        """What a link that carries this content notes: whose it is, and which."""
        return f"{self.uid}/{self.marker}" if self.marker else ""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """Everything a decision depends on. `problem` is that of a spec that cannot be read."""

    place: Place
    source: Source | None
    suspended: bool
    problem: LanyardError | None
    published: PublishedFacts | None
    carries: str
    """Origin of what our own Secret carries; empty when that is not known."""
    expires_at: datetime | None
    """When what our own Secret carries expires."""
    tried: str = ""
    """Origin of what was last published in vain."""
    retry_at: datetime | None = None
    nudged: bool = False
    repairs_from: datetime | None = None
    """Not before this our Secret is mended: somebody else may be undoing it. None puts nothing off."""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Nothing of that Connection may be here: delete what is."""

    error: LanyardError


@dataclass(frozen=True, slots=True)
class Copy:
    """Read what the source has published and publish it here."""

    source: Source


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave everything as it is, at least `until`; None when only a change brings something to do."""

    until: datetime | None = None


LinkDecision = TakeBack | Copy | Keep


def decide(facts: LinkFacts, now: datetime) -> LinkDecision:
    """First that applies."""
    source, place = facts.source, facts.place
    if source is None:
        return TakeBack(SourceError(Reason.LINK_TARGET_NOT_FOUND, name=place.name, namespace=place.namespace))
    if source.is_link:
        return TakeBack(SpecError(Reason.LINK_TO_LINK, name=place.name, namespace=place.namespace))
    if not source.admits:
        return TakeBack(SourceError(Reason.LINK_NOT_ALLOWED, name=place.name, namespace=place.namespace))
    put_off = facts.tried == source.origin and not facts.nudged and _ahead(facts.retry_at, now)
    if facts.suspended or facts.problem is not None or not source.marker or put_off:
        # A namesake took its place, or the link names another one now: what is here is of neither.
        if facts.published is not None and not facts.carries.startswith(f"{source.uid}/"):
            return TakeBack(facts.problem or _not_ready(place))
        return Keep(facts.retry_at if put_off else None)
    if facts.carries == source.origin and facts.published is not None:
        if facts.published.intact:
            return Keep()
        if _ahead(facts.repairs_from, now):
            return Keep(facts.repairs_from)
    return Copy(source)


def _ahead(when: datetime | None, now: datetime) -> bool:
    return when is not None and when > now


@dataclass(frozen=True, slots=True)
class LinkView:
    """What one pass knows when it ends. `failure` is what acting on the decision met."""

    place: Place
    generation: int
    secret: str
    suspended: bool
    source: Source | None
    problem: LanyardError | None
    failure: LanyardError | None
    published_version: str | None
    """resourceVersion of our Secret as it stands; None when it is not there."""
    intact: bool
    carries: str
    expires_at: datetime | None
    failed_attempts: int
    next_at: datetime | None


def link_status(previous: Mapping[str, Any], view: LinkView, now: datetime) -> tuple[Status, list[Verdict]]:
    """The status to write, and its verdicts for Events."""
    there = view.published_version is not None
    live = there and view.intact and view.problem is None and _is_live(view, now)
    problem = view.problem or (None if live or view.suspended else view.failure or _missing(view))
    verdicts = [*_ready(view, problem, live=live), *_facts(view, problem, live=live)]
    status: Status = {
        "observedGeneration": view.generation,
        "conditions": merged(previous.get("conditions") or (), verdicts, view.generation, now),
        "failedAttempts": view.failed_attempts,
        "nextRefreshAt": timestamp(view.next_at) if view.next_at is not None else None,
    }
    if there:
        status |= {
            "inputsDigest": view.carries,
            "expiresAt": timestamp(view.expires_at) if view.expires_at is not None else None,
            # A version whose content is not ours is never noted as the one that we wrote.
            "publishedVersion": view.published_version if view.intact else previous.get("publishedVersion"),
            "binding": {"name": view.secret},
        }
    return {name: value for name, value in status.items() if value not in (None, "")}, verdicts


def _is_live(view: LinkView, now: datetime) -> bool:
    """What a link carries is as good as its source says while both carry the same, else until it expires."""
    if view.source is not None and view.carries == view.source.origin:
        return view.source.ready
    return view.expires_at is None or view.expires_at > now


def _missing(view: LinkView) -> LanyardError | None:
    """Why there is nothing to use; None where our own Secret was damaged and is about to be mended."""
    damaged = view.published_version is not None and not view.intact
    mendable = view.source is not None and view.source.ready and view.source.marker != ""
    return None if damaged and mendable else _not_ready(view.place)


def _ready(view: LinkView, problem: LanyardError | None, *, live: bool) -> list[Verdict]:
    usable, place = None, view.place
    if live:
        usable = holds(Condition.READY, Reason.LINKED, secret=view.secret, name=place.name, namespace=place.namespace)
    return summary(usable=usable, blocker=problem, waiting=Reason.SUSPENDED if view.suspended else Reason.ACQUIRING)


def _facts(view: LinkView, problem: LanyardError | None, *, live: bool) -> list[Verdict]:
    found = []
    if problem is not None and problem.condition is Condition.SPEC_VALID:
        found.append(fails(Condition.SPEC_VALID, problem))
    else:
        found.append(holds(Condition.SPEC_VALID, Reason.VALID))
    if problem is not None and problem.condition is Condition.CREDENTIALS_RESOLVED:
        found.append(fails(Condition.CREDENTIALS_RESOLVED, problem))
    elif live or (view.source is not None and view.source.marker):
        found.append(holds(Condition.CREDENTIALS_RESOLVED, Reason.RESOLVED))
    if view.failure is not None:
        found.append(fails(Condition.SECRET_PUBLISHED, view.failure))
    elif view.published_version is not None and view.intact:
        found.append(holds(Condition.SECRET_PUBLISHED, Reason.PUBLISHED, secret=view.secret))
    return found


def _not_ready(place: Place) -> LanyardError:
    return SourceError(Reason.LINK_TARGET_NOT_READY, name=place.name, namespace=place.namespace)
