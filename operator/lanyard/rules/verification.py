"""When the product is asked whether what is published works, and what its answer makes of the status (DESIGN 5).

The answer is a condition of its own. `Ready` speaks of the Secret and is left alone: one bad answer of one product
must not take a workload's credential away. Only where the grant is over too does a refusal end it (rules/status.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Status, Verdict, merged
from lanyard.rules.publish import timestamp
from lanyard.rules.schedule import JITTER_SHARE, fraction
from lanyard.rules.status import moment

DEFAULT_INTERVAL = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Published:
    """What there is to ask about: the digest of what it was made from, and its resourceVersion.

    `ended`: why the grant that it comes from is over, empty while it is not.
    """

    digest: str
    version: str
    ended: str = ""


def interval_of(asked: timedelta | None, *, costs: bool) -> timedelta | None:
    """How often, None for never. What the product charges for is asked only where somebody says how often."""
    if asked is None:
        return None if costs else DEFAULT_INTERVAL
    return asked or None


def due_at(
    status: Mapping[str, Any], published: Published, seen: Published | None, interval: timedelta, uid: str
) -> datetime | None:
    """When to ask; None for at once. `seen` is what was asked about last, as far as this process knows.

    Another credential is asked about at once: nothing is known of it. So is another token after a bad answer. Up to
    10 % later by uid, so that those that were made together are not asked about together.
    """
    last, before = moment(status.get("lastVerifiedAt")), verdict_in(status)
    if last is None or before is None:
        return None
    if seen is not None and seen.digest != published.digest:
        return None
    if seen is not None and published.ended not in {"", seen.ended}:
        # Whether what is left still works decides about Ready.
        return None
    if seen is not None and before["status"] != "True" and seen.version != published.version:
        return None
    return last + interval * (1 + JITTER_SHARE * fraction(uid))


def ended_reason(status: Mapping[str, Any]) -> str:
    """Why a consent is missing now; empty where it is there, or where the method needs none."""
    found = (one for one in status.get("conditions") or () if one["type"] == Condition.AUTHORIZED.value)
    return next((one["reason"] for one in found if one["status"] == "False"), "")


def is_first_refusal(status: Mapping[str, Any], verdict: Verdict) -> bool:
    """True when the product refuses what it did not refuse before: a fresh token may be all that is missing."""
    before = verdict_in(status)
    was_refused = before is not None and before["reason"] == Reason.VERIFICATION_REFUSED
    return verdict.reason is Reason.VERIFICATION_REFUSED and not was_refused


def verified_status(previous: Mapping[str, Any], verdict: Verdict | None, now: datetime) -> Status:
    """The status with another verdict, or with none where nobody asks any more."""
    conditions = [one for one in previous.get("conditions") or () if one["type"] != Condition.VERIFIED.value]
    before = verdict_in(previous)
    status = {**previous, "conditions": conditions}
    status.pop("lastVerifiedAt", None)
    if verdict is None:
        return status
    known = [before] if before is not None else []
    conditions += merged(known, [verdict], previous.get("observedGeneration", 0), now)
    return status | {"lastVerifiedAt": timestamp(now)}


def verdict_in(status: Mapping[str, Any]) -> dict[str, Any] | None:
    """The condition as it stands."""
    found = (one for one in status.get("conditions") or () if one["type"] == Condition.VERIFIED.value)
    return next((dict(one) for one in found), None)
