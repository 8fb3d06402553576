"""The whole status of a Connection, from what was known before and what this pass found."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from lanyard.errors import LanyardError
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason, Retry
from lanyard.rules.conditions import Status, Verdict, fails, holds, merged, summary
from lanyard.rules.publish import timestamp
from lanyard.rules.schedule import SHORT_LIFE

SYSTEM = "System"
"""The account of a Connection that nobody has authorized yet (SPEC C13)."""
UNNAMED = "unnamed"
"""The account of somebody whom the provider did not name."""
SKEW_LIMIT = timedelta(seconds=30)
Known = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Window:
    """The life of the published token. `expires_at` is None for one that does not expire."""

    issued_at: datetime
    expires_at: datetime | None
    next_at: datetime | None
    skew_host: str = ""
    """Host whose clock differs from ours, when it does."""


@dataclass(frozen=True, slots=True)
class Consented:
    """What a method with a consent adds to a status. `account` is None where this pass did not learn it."""

    redirect_uri: str
    authorization_url: str
    awaiting: LanyardError | None = None
    """Why only a person can go on now."""
    account: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What one pass knows. `None` for window and granted means: as it was before."""

    generation: int
    secret: str
    needs_token: bool
    suspended: bool
    problem: LanyardError | None
    failure: LanyardError | None
    acquired: bool
    """True when this pass fetched and published anew."""
    published_version: str | None
    """resourceVersion of our Secret as it stands; None when it is not there."""
    inputs_digest: str
    failed_attempts: int
    next_at: datetime | None
    waiting: LanyardError | None = None
    """What keeps an attempt from being made."""
    intact: bool = True
    """False when our Secret is there with another content than ours."""
    window: Window | None = None
    granted: tuple[str, ...] | None = None
    missing: tuple[str, ...] = field(default=())
    consented: Consented | None = None
    """None for methods that need no consent."""
    client_id: str = ""
    exchange_only: bool = False
    """True where no Secret is published: `published_version` and `intact` are those of the token copy."""


def moment(text: str | None) -> datetime | None:
    """A timestamp of a status; None for what we would not have written: a status can be edited by hand."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def counted(attempts: int | None) -> int:
    """Failed attempts of a status, within what can be counted on: an edited one may be negative or at its limit."""
    return min(max(attempts or 0, 0), 1_000_000)


def connection_status(previous: Mapping[str, Any], view: View, now: datetime) -> tuple[Status, list[Verdict]]:
    """The status to write, and its verdicts for Events. Conditions that this pass did not touch stay."""
    window = view.window
    expires_at = window.expires_at if window is not None else moment(previous.get("expiresAt"))
    expired = view.needs_token and expires_at is not None and expires_at <= now
    before = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    verdicts = _ready(view, before, expired=expired) + _facts(view, before, expired=expired)
    status: Status = {
        "observedGeneration": view.generation,
        "conditions": merged(before.values(), verdicts, view.generation, now),
        "failedAttempts": view.failed_attempts,
        "inputsDigest": view.inputs_digest,
        # The name before a rename, until the Secret of the new name is there and the old one was removed.
        "binding": previous.get("binding"),
        "lastVerifiedAt": previous.get("lastVerifiedAt"),
        "clientId": view.client_id,
    }
    if view.needs_token:
        refreshed = timestamp(window.issued_at) if window is not None else previous.get("lastRefreshedAt")
        status |= {
            "expiresAt": timestamp(expires_at) if expires_at is not None else None,
            "lastRefreshedAt": refreshed,
            "grantedScopes": list(view.granted) if view.granted is not None else previous.get("grantedScopes"),
        }
    if view.consented is not None:
        known = view.consented.account if view.consented.account is not None else previous.get("account")
        status |= {
            "account": SYSTEM if known is None else known,
            "redirectURI": view.consented.redirect_uri,
            "authorizationURL": view.consented.authorization_url,
        }
    if view.next_at is not None:
        status["nextRefreshAt"] = timestamp(view.next_at)
    if view.published_version is not None:
        # A version whose content is not ours is never noted as the one that we wrote.
        version = view.published_version if view.intact else previous.get("publishedVersion")
        status["publishedVersion"] = version
        if not view.exchange_only:
            status["binding"] = {"name": view.secret}
        elif view.intact:
            # Whatever Secret there was before, it was taken back with this.
            status["binding"] = None
    return {name: value for name, value in status.items() if value not in (None, [], "")}, verdicts


def _ready(view: View, before: Known, *, expired: bool) -> list[Verdict]:
    if view.published_version is not None and view.intact and not expired and not _is_void(view, before):
        if view.exchange_only:
            return [holds(Condition.READY, Reason.TOKEN_EXCHANGEABLE)]
        reason = Reason.TOKEN_PUBLISHED if view.needs_token else Reason.CREDENTIALS_PUBLISHED
        return [holds(Condition.READY, reason, secret=view.secret)]
    blocker = view.problem or view.failure or view.waiting
    if blocker is None and view.suspended:
        waiting = Reason.SUSPENDED if view.published_version is None else Reason.TOKEN_EXPIRED
        return summary(usable=None, blocker=None, waiting=waiting)
    awaited = _awaited(view, before) if blocker is None else None
    if awaited is not None:
        kinds = [replace(awaited, type=Condition.STALLED, status=True)] if CATALOGUE[awaited.reason].stalled else []
        return [replace(awaited, type=Condition.READY), *kinds]
    waited_out = _waited_out(before) if blocker is None and view.failed_attempts else None
    if waited_out is not None:
        kind = Condition.STALLED if CATALOGUE[waited_out.reason].stalled else Condition.RECONCILING
        return [replace(waited_out, type=Condition.READY), replace(waited_out, type=kind, status=True)]
    if blocker is None and view.published_version is not None:
        blocker = LanyardError(Reason.TOKEN_EXPIRED)
    return summary(usable=None, blocker=blocker, waiting=Reason.ACQUIRING)


def _is_void(view: View, before: Known) -> bool:
    """The grant is over and the product refuses what is left of it: nobody need wait for the expiry to know."""
    verified = _carried(before.get(Condition.VERIFIED.value), Condition.VERIFIED)
    is_over = view.consented is not None and view.consented.awaiting is not None
    return is_over and verified is not None and verified.reason is Reason.VERIFICATION_REFUSED


def _awaited(view: View, before: Known) -> Verdict | None:
    """Why a person must go on; in the words of the pass that learned it, which a restart has forgotten."""
    error = view.consented.awaiting if view.consented is not None else None
    if error is None:
        return None
    told = _carried(before.get(Condition.AUTHORIZED.value), Condition.AUTHORIZED)
    return told if told is not None and told.reason is error.reason else fails(Condition.AUTHORIZED, error)


def _waited_out(before: Known) -> Verdict | None:
    """The failure whose back-off is running, in the words of the pass that met it."""
    told_in = (Condition.READY, Condition.TOKEN_FRESH, Condition.CREDENTIALS_RESOLVED, Condition.SECRET_PUBLISHED)
    for condition in told_in:
        verdict = _carried(before.get(condition.value), condition)
        if verdict is None or verdict.status or verdict.reason in {Reason.TOKEN_EXPIRED, Reason.SUSPENDED}:
            continue
        entry = CATALOGUE[verdict.reason]
        if entry.retry is not Retry.NONE and entry.condition is not Condition.SPEC_VALID:
            return verdict
    return None


def _facts(view: View, before: Known, *, expired: bool) -> list[Verdict]:
    found: list[Verdict] = []
    types = [Condition.SPEC_VALID, Condition.CREDENTIALS_RESOLVED]
    if view.consented is not None:
        types.append(Condition.AUTHORIZED)
    if view.needs_token:
        types += [Condition.TOKEN_FRESH, Condition.SCOPES_GRANTED]
    if not (view.exchange_only and view.published_version is not None and view.intact):
        types.append(Condition.SECRET_PUBLISHED)
    for condition in types:
        verdict = _fact(condition, view, before) or _carried(before.get(condition.value), condition)
        if condition is Condition.TOKEN_FRESH and expired and verdict is not None and verdict.status:
            reason = Reason.SUSPENDED if view.suspended else Reason.TOKEN_EXPIRED
            verdict = Verdict(condition, False, reason, CATALOGUE[reason].message)
        if verdict is not None:
            found.append(verdict)
    verified = _carried(before.get(Condition.VERIFIED.value), Condition.VERIFIED)
    if verified is not None and view.published_version is not None:
        found.append(verified)
    return found


def _fact(condition: Condition, view: View, before: Known) -> Verdict | None:
    """What this pass says of a condition; None when it says nothing."""
    failure = view.problem or view.failure
    if failure is not None and failure.condition is condition:
        return fails(condition, failure)
    match condition:
        case Condition.SPEC_VALID if view.problem is None:
            return holds(condition, Reason.VALID)
        case Condition.CREDENTIALS_RESOLVED if view.acquired or _got_past(failure, condition):
            return holds(condition, Reason.RESOLVED)
        case Condition.AUTHORIZED:
            return _authorized(view, before)
        case Condition.TOKEN_FRESH if (
            view.failure is not None and view.failure.condition is not Condition.SECRET_PUBLISHED
        ):
            return fails(condition, view.failure)
        case Condition.TOKEN_FRESH if view.window is not None:
            return _fresh(view.window)
        case Condition.SCOPES_GRANTED if view.granted is not None:
            if view.missing:
                return fails(condition, LanyardError(Reason.SCOPE_MISSING, scopes=", ".join(view.missing)))
            return holds(condition, Reason.GRANTED)
        case Condition.SECRET_PUBLISHED if (
            view.published_version is not None and view.intact and not view.exchange_only
        ):
            return holds(condition, Reason.PUBLISHED, secret=view.secret)
        case _:
            return None


def _authorized(view: View, before: Known) -> Verdict | None:
    awaited = _awaited(view, before)
    if awaited is not None or not view.acquired or view.consented is None:
        return awaited
    return holds(Condition.AUTHORIZED, Reason.AUTHORIZED, account=view.consented.account or UNNAMED)


def _got_past(failure: LanyardError | None, condition: Condition) -> bool:
    """A provider is only asked with resolved credentials, and a Secret only written with what it answered."""
    later = {Condition.TOKEN_FRESH, Condition.SCOPES_GRANTED, Condition.SECRET_PUBLISHED}
    return condition is Condition.CREDENTIALS_RESOLVED and failure is not None and failure.condition in later


def _fresh(window: Window) -> Verdict:
    if window.skew_host:
        return holds(Condition.TOKEN_FRESH, Reason.CLOCK_SKEW, host=window.skew_host)
    if window.expires_at is not None and window.expires_at - window.issued_at < SHORT_LIFE:
        return holds(Condition.TOKEN_FRESH, Reason.TOKEN_OUTLIVED)
    return holds(Condition.TOKEN_FRESH, Reason.FRESH)


def _carried(before: Mapping[str, Any] | None, condition: Condition) -> Verdict | None:
    if before is None or (condition is Condition.SECRET_PUBLISHED and before["status"] == "True"):
        # A Secret that is not there is not published, whatever was true before.
        return None
    try:
        reason = Reason(before["reason"])
    except ValueError:  # written by another version of Lanyard, whose list has reasons that ours does not
        return None
    status = {"True": True, "False": False}.get(before["status"])
    return Verdict(condition, status, reason, before["message"])
