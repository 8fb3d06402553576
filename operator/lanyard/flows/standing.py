"""Where a browser stands with a Connection, and why a consent does not go on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lanyard.rules.consent import Browser, Outcome, Phase


class Trouble(StrEnum):
    """Why a consent does not go on. Each has a page of its own."""

    NOT_FOUND = "not found"
    OTHER_METHOD = "other method"
    LINK = "a link"
    SUSPENDED = "suspended"
    NOT_READY = "not ready"
    OPERATOR_AWAY = "operator away"
    NOT_APPROVED = "not approved"
    FORGED = "forged form"
    TOO_LATE = "too late"
    OTHER_BROWSER = "other browser"
    USED_TWICE = "used twice"
    UNKNOWN_STATE = "unknown state"
    CHANGED = "changed meanwhile"
    BAD_ANSWER = "bad answer"


class ConsentRefusedError(Exception):
    """A consent does not go on. `owner` (`namespace/name`) is empty where it is not known."""

    def __init__(self, trouble: Trouble, owner: str = "") -> None:
        self.trouble = trouble
        self.owner = owner
        super().__init__(trouble.value)


@dataclass(frozen=True, slots=True)
class Details:
    """What somebody is about to agree to."""

    owner: str
    display_name: str
    product: str
    provider_host: str
    expected_account: str
    scopes: tuple[str, ...]
    by_device: bool = False


@dataclass(frozen=True, slots=True)
class Unapproved:
    """The browser waits for its approval."""

    browser: Browser


@dataclass(frozen=True, slots=True)
class Approved:
    """One button is left."""

    browser: Browser
    details: Details
    user: str


@dataclass(frozen=True, slots=True)
class Underway:
    """The browser was sent to the provider, or the operator is at work."""

    browser: Browser
    phase: Phase


@dataclass(frozen=True, slots=True)
class Coded:
    """The provider waits for somebody who enters `user_code` on its page, until `ends_at`."""

    browser: Browser
    user_code: str
    page: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """`outcome` of the operator; `error` while only the provider's refusal is known."""

    browser: Browser
    outcome: Outcome | None
    error: str
    expected_account: str


Standing = Unapproved | Approved | Underway | Coded | Ended
