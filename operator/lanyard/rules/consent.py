"""Consent as decisions: which browser was approved by whom, for how long, and whether what began is what ends.

A consent binds a browser to a person with Kubernetes rights (DESIGN 4, Consent). The browser holds a secret; its hash
is what the person approves by an annotation on the Connection. Nothing here knows a clock: `now` is passed in.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lanyard.api.meta import CONSENT_ANNOTATION
from lanyard.rules.schedule import CLOCK_TOLERANCE
from lanyard.sensitive import MASK, Sensitive

LIFE = timedelta(minutes=10)
"""How long a browser's secret, its approval and the state made from them are good, by the gateway's clock."""
SECRET_BYTES = 32
STATE_BYTES = 32

_HASH_LENGTH = 40
_APPROVAL = re.compile(r"(?P<hash>[A-Za-z0-9_-]{16,128})\.(?P<user>.{1,512})")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class Phase(StrEnum):
    """How far a consent has come; the value of the record's label. REQUESTED and SHOWN belong to device codes."""

    STARTED = "started"
    ANSWERED = "answered"
    CLAIMED = "claimed"
    REQUESTED = "requested"
    SHOWN = "shown"
    DONE = "done"


FOR_THE_OPERATOR = (Phase.ANSWERED, Phase.CLAIMED, Phase.REQUESTED, Phase.SHOWN)
"""Phases in which the operator has something to do."""


@dataclass(frozen=True, slots=True, repr=False)
class Browser:
    """What the sealed cookie says: the secret of one browser, and the Connection it is meant for."""

    secret: Sensitive
    uid: str
    owner: str
    """`namespace/name`."""
    started_at: datetime

    def __repr__(self) -> str:
        return f"Browser({self.owner}, {MASK})"

    @property
    def hash(self) -> str:
        """What a person approves: 160 bits that lead back to no secret."""
        return _digest("browser", self.secret)[:_HASH_LENGTH]

    @property
    def csrf_token(self) -> str:
        """What a form of ours carries beside the cookie."""
        return _digest("form", self.secret)

    @property
    def ends_at(self) -> datetime:
        return self.started_at + LIFE

    def is_over(self, now: datetime) -> bool:
        """Also for a start that lies in the future, which no clock of ours has written."""
        return not self.started_at - CLOCK_TOLERANCE <= now < self.ends_at


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved which browser; admission has made sure that `user` wrote it and may authorize."""

    hash: str
    user: str


@dataclass(frozen=True, slots=True, repr=False)
class Device:
    """A consent by device code (RFC 8628): until when, and what the provider gave to poll with and to show.

    `ends_at` is when the approval ends, or the code where that is sooner. The rest is empty until the operator knows.
    """

    ends_at: datetime
    code: Sensitive | None = None
    user_code: str = ""
    verification_uri: str = ""
    interval: timedelta = timedelta(0)

    def __repr__(self) -> str:
        return f"Device({MASK})"


@dataclass(frozen=True, slots=True, repr=False)
class Consent:
    """What was decided when a consent began and, once the provider has answered, what came back.

    `connector_digest`, `client_id`, `redirect_uri`, `scopes` and `spec_generation` are pinned: a Connection that was
    edited in between is not the one that somebody agreed to. `callback` holds parameters that the connector declares,
    by the provider's names; `error` is empty or a word of the closed list of `oauth.authorization`. `raw_query` is
    kept only where the connector signs its answer with the client secret, which the gateway has not. With a `device`
    nothing comes back to the gateway: redirect URI and state are empty.
    """

    connector: str
    connector_digest: str
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state_hash: str
    code_verifier: Sensitive | None
    spec_generation: int
    approved_by: str
    started_at: datetime
    answered_at: datetime | None = None
    code: Sensitive | None = None
    callback: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    raw_query: Sensitive | None = None
    device: Device | None = None

    def __repr__(self) -> str:
        return f"Consent({self.connector}, {MASK})"

    def answered(
        self,
        *,
        now: datetime,
        code: Sensitive | None,
        callback: Mapping[str, str],
        error: str = "",
        raw_query: Sensitive | None = None,
    ) -> "Consent":
        return replace(
            self, answered_at=now, code=code, callback=dict(callback), error=error, raw_query=raw_query, state_hash=""
        )

    def is_still(self, *, generation: int, client_id: str | None, connector_digest: str, redirect_uri: str) -> bool:
        """Whether the Connection and its connector are as they were when the consent began."""
        return (self.spec_generation, self.client_id, self.connector_digest, self.redirect_uri) == (
            generation, client_id, connector_digest, redirect_uri,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a consent ended: a `Reason` value, and the account that is connected (empty when unknown or none)."""

    reason: str
    account: str = ""


def approval_of(annotation: str | None) -> Approval | None:
    """`<hash>.<user>`; None for anything else. User names may have dots."""
    found = _APPROVAL.fullmatch(annotation or "")
    return Approval(found["hash"], found["user"]) if found is not None else None


def approved_by(browser: Browser, *, uid: str, annotation: str | None, now: datetime) -> str | None:
    """Who approved this browser for the Connection that has `uid` now; None when nobody did, or no longer."""
    approval = approval_of(annotation)
    if approval is None or browser.is_over(now) or uid != browser.uid:
        return None
    return approval.user if hmac.compare_digest(approval.hash, browser.hash) else None


def approved_at(managed_fields: Sequence[Mapping[str, Any]]) -> datetime | None:
    """When the annotation of an approval was written, by the API server's clock (`metadata.managedFields`); None where
    nobody is known to have. Who writes the same value once more is named beside the first, so the oldest time counts.
    """
    times = []
    for entry in managed_fields:
        annotations = entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations", {})
        if f"f:{CONSENT_ANNOTATION}" in annotations and "time" in entry:
            times.append(datetime.fromisoformat(entry["time"]))
    return min(times, default=None)


def is_in_time(approved: datetime | None, now: datetime) -> bool:
    """Whether an approval may still be used; both by the API server's clock. The annotation stays for ever."""
    return approved is not None and approved - CLOCK_TOLERANCE <= now < approved + LIFE + CLOCK_TOLERANCE


def is_form_of(browser: Browser, unverified_token: str) -> bool:
    """Whether a form was served to this browser."""
    return hmac.compare_digest(browser.csrf_token.encode(), unverified_token.encode())


def hash_of_state(state: Sensitive) -> str:
    """What is kept of a state."""
    return _digest("state", state)


def is_state(unverified_state: str, state_hash: str) -> bool:
    """In constant time; an empty hash, which an answered consent has, fits nothing."""
    found = hash_of_state(Sensitive(unverified_state))
    return bool(state_hash) and hmac.compare_digest(found.encode(), state_hash.encode())


def is_browser_secret(unverified_text: str) -> bool:
    return _SECRET.fullmatch(unverified_text) is not None


def lease_is_live(lease: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether somebody holds the operator's Lease (coordination.k8s.io/v1, its `spec`)."""
    if not lease or not lease.get("holderIdentity"):
        return False
    try:
        renewed = datetime.fromisoformat(str(lease["renewTime"]))
        life = timedelta(seconds=int(lease["leaseDurationSeconds"]))
        return now < renewed + life + CLOCK_TOLERANCE
    except (KeyError, ValueError, TypeError, OverflowError):
        return False


def _digest(purpose: str, secret: Sensitive) -> str:
    """SHA-256, told apart by purpose: what is shown for one says nothing about another."""
    return hashlib.sha256(f"lanyard {purpose}\0{secret.reveal()}".encode()).hexdigest()
