"""From facts to the status that all readers share: kubectl wait, Argo CD, Flux and Helm (DESIGN 5, kstatus)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanyard.errors import LanyardError, clip, fill
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason, Retry
from lanyard.rules.publish import timestamp

Status = dict[str, Any]
STATUS = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition to report. `status` is None where it is not known."""

    type: Condition
    status: bool | None
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Change:
    """What deserves an Event: a reason that was not there before. `warning` when it is bad news."""

    reason: Reason
    message: str
    warning: bool


def holds(condition: Condition, reason: Reason, **facts: object) -> Verdict:
    """A condition that is true, with its message from the catalogue."""
    return Verdict(condition, True, reason, said(reason, **facts))


def fails(condition: Condition, error: LanyardError) -> Verdict:
    return Verdict(condition, False, error.reason, error.message)


def said(reason: Reason, **facts: object) -> str:
    """The message of a reason, without its hint when there is nothing to do."""
    entry = CATALOGUE[reason]
    texts = {name: str(value) for name, value in facts.items()}
    hint = "" if entry.hint == "Nothing to do." else f" {fill(entry.hint, texts)}"
    return clip(fill(entry.message, texts) + hint)


def summary(*, usable: Verdict | None, blocker: LanyardError | None, waiting: Reason) -> list[Verdict]:
    """`Ready` and, only when true, `Reconciling` or `Stalled` (never both, never beside Ready=True).

    `usable` is the verdict when a workload can use the Secret now; else `blocker` says why not, or `waiting` does.
    """
    if usable is not None:
        return [usable]
    if blocker is None:
        not_yet = Verdict(Condition.READY, False, waiting, said(waiting))
        if waiting is not Reason.ACQUIRING:
            return [not_yet]
        return [not_yet, Verdict(Condition.RECONCILING, True, waiting, said(waiting))]
    if blocker.retry is Retry.CONSENT and not blocker.stalled:
        # A first consent is still to come: nothing is under way, and nothing is wrong.
        return [fails(Condition.READY, blocker)]
    kind = Condition.STALLED if blocker.stalled else Condition.RECONCILING
    return [fails(Condition.READY, blocker), Verdict(kind, True, blocker.reason, blocker.message)]


def merged(
    previous: Iterable[Mapping[str, Any]], verdicts: Iterable[Verdict], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Conditions as the API shows them; `lastTransitionTime` moves only when the status flips."""
    before = {condition["type"]: condition for condition in previous}
    result = []
    for verdict in verdicts:
        status = STATUS[verdict.status]
        old = before.get(verdict.type.value)
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else timestamp(now)
        result.append(
            {
                "type": verdict.type.value,
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": since,
                "reason": verdict.reason.value,
                "message": verdict.message,
            }
        )
    return result


def changes(previous: Iterable[Mapping[str, Any]], verdicts: Iterable[Verdict]) -> list[Change]:
    """Events are for reasons that change: of Ready, and of whatever has begun to fail. One per pass at most."""
    before = {condition["type"]: (condition["status"], condition["reason"]) for condition in previous}
    found: list[Change] = []
    for verdict in verdicts:
        if verdict.type in {Condition.RECONCILING, Condition.STALLED}:
            continue
        new = (STATUS[verdict.status], verdict.reason.value)
        if before.get(verdict.type.value) == new:
            continue
        if verdict.type is Condition.READY:
            found.insert(0, Change(verdict.reason, verdict.message, warning=not verdict.status))
        elif verdict.status is False:
            found.append(Change(verdict.reason, verdict.message, warning=True))
    return found[:1]
