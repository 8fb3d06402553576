"""Which of several operators works: what one may conclude from looking at the Lease now and then.

Clocks of other machines are never compared. A holder trusts its Lease for a share of its duration, counted from before
it asked for the renewal. Who waits counts how long it has *seen* the Lease unchanged, and takes it after the whole
duration: it began to count after the holder did, so the holder has stopped before. (client-go, tools/leaderelection,
reads the Lease alike, but counts the time of an outage too: there an API server that was away for a while hands the
Lease to whoever asks first, although its holder lives.)

Times are seconds of one steady clock of the process, which goes on while the machine sleeps.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

TRUSTED_SHARE = 0.8
RELEASED_SECONDS = 1
"""The duration that a holder leaves behind, as client-go does. Where somebody erased it by hand, its own stays."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`duration` is what a holder promises, `renew` how often it renews, `retry` the pause after a vain attempt."""

    duration: float
    renew: float
    retry: float

    @property
    def trusted(self) -> float:
        """How long after a renewal was asked for its holder acts on it."""
        return self.duration * TRUSTED_SHARE

    @property
    def longest_gap(self) -> float:
        """As much of the time between two looks counts: had the holder been able to renew, it would have within it."""
        return max(self.renew, self.retry)


@dataclass(frozen=True, slots=True)
class Claim:
    """The Lease as the API server has it (coordination.k8s.io/v1); `version` is empty where there is none."""

    version: str = ""
    holder: str = ""
    acquired: str = ""
    duration: float = 0.0
    transitions: int = 0
    mark: str = ""
    """Another one after each renewal."""

    @property
    def released(self) -> bool:
        """Given back by its holder, which had nothing in flight any more."""
        return bool(self.version) and not self.holder and self.duration == RELEASED_SECONDS

    @property
    def unclaimed(self) -> bool:
        """There, and nobody has held it since it was made."""
        return bool(self.version) and not self.holder and not self.acquired and not self.released


NOBODYS = Claim()


@dataclass(frozen=True, slots=True)
class Sight:
    """What has been seen: the Lease, when it was last looked at, for how long it was seen unchanged."""

    claim: Claim
    at: float
    silence: float = 0.0


def claim_of(lease: Mapping[str, Any]) -> Claim:
    """Whatever an administrator may have written into it: what makes no sense counts as absent."""
    spec = lease.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    return Claim(
        version=lease["metadata"]["resourceVersion"],
        holder=str(spec.get("holderIdentity") or ""),
        acquired=str(spec.get("acquireTime") or ""),
        duration=float(duration) if isinstance(duration, int) else 0.0,
        transitions=transitions if isinstance(transitions, int) else 0,
        mark=f"{lease['metadata']['uid']} {json.dumps(spec, sort_keys=True)}",
    )


def looked(before: Sight | None, claim: Claim, now: float, pace: Pace) -> Sight:
    """One more look. The first one, and one that finds a change, begin to count anew."""
    if before is None or before.claim.mark != claim.mark:
        return Sight(claim, now)
    passed = min(max(now - before.at, 0.0), pace.longest_gap)
    return replace(before, claim=claim, at=now, silence=before.silence + passed)


def may_take(sight: Sight, pace: Pace) -> bool:
    """A Lease that is new may be the successor of one that was deleted under its holder, so it is waited for as well.

    So is one that names this process without its asking: whoever wrote that may have taken it from one who works. One
    that is not there is never taken: between two looks it may have been made, held and deleted. It is made first.
    """
    claim = sight.claim
    return bool(claim.version) and (claim.released or sight.silence >= max(pace.duration, claim.duration))


def may_go_on(claim: Claim, me: str, acquired: str, *, holds: bool) -> bool:
    """Whether a holder that finds the Lease changed renews it: it is ours, or was deleted and nobody had it since.

    Nobody could have: whoever found it gone waits longer than a holder trusts its last renewal.
    """
    return is_ours(claim, me, acquired) or (holds and (claim is NOBODYS or claim.unclaimed))


def is_ours(claim: Claim, me: str, acquired: str) -> bool:
    """Whether it is that of a term this process asked for, begun at the time it wrote down."""
    return claim.holder == me and claim.acquired == acquired


def spec_of_term(me: str, acquired: str, transitions: int, pace: Pace, stamp: str) -> dict[str, Any]:
    """What a holder writes; times are the wall clock's (RFC 3339, microseconds), for people and the gateway."""
    return {
        "holderIdentity": me,
        "leaseDurationSeconds": int(pace.duration),
        "acquireTime": acquired,
        "renewTime": stamp,
        "leaseTransitions": transitions,
    }


def spec_unclaimed(pace: Pace) -> dict[str, Any]:
    """What is made where there is no Lease."""
    return {"leaseDurationSeconds": int(pace.duration)}


def spec_of_release(stamp: str) -> dict[str, Any]:
    """What changes when a holder gives the Lease back."""
    return {"holderIdentity": "", "leaseDurationSeconds": RELEASED_SECONDS, "renewTime": stamp}
