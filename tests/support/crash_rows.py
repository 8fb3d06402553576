"""The table of docs/crash-safety.md: what becomes of a Connection when a step of a flow is cut short.

tests/integration/test_kill.py makes each cell happen and holds what comes of it against this table. A request that
changes something and has no row here fails it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from lanyard.reasons import Reason
from support.checkpoint import Moment, Trap


class Flow(Enum):
    """What a Connection is going through. The value is the heading of its table."""

    CONSENT = "A consent"
    DEVICE = "A consent by device code"
    NEW_CONSENT = "A consent in place of a grant that works"
    ROTATES = "A refresh where each refresh token is taken once"
    GRACE = "A refresh where the former refresh token is taken for a while"
    FIXED = "A refresh where the refresh token stays the same"
    REVOKED = "A refresh after the access was taken back at the provider"
    DELETION = "A deletion"
    FIRST_TOKEN = "The first token of a machine"
    MACHINE = "A new token of a machine"
    COPIED = "A new token that is had by exchange too"
    ALONE = "A new token that is had by exchange alone"
    RESTORED = "A token copy that is lost"
    UNTRUSTED = "The last FederatedCredential goes"


ABOUT = {
    Flow.CONSENT: "A person has agreed and the provider's code lies in the record of the consent.",
    Flow.DEVICE: "A person has begun on the page; the provider is asked for a code, then until they have agreed there.",
    Flow.NEW_CONSENT: "As the first. Where it fails, the older grant goes on, and the page says why.",
    Flow.ROTATES: "`rotation.mode: rotates`, and where the mode is not known.",
    Flow.GRACE: "`rotation.mode: rotatesWithGrace`.",
    Flow.FIXED: "`rotation.mode: fixed`. No intent is needed.",
    Flow.REVOKED: "The provider answers `invalid_grant`. A person must act in every cell, and the status says so.",
    Flow.DELETION: "`deletionPolicy: Revoke`. At the end nothing is left, here and at the provider.",
    Flow.FIRST_TOKEN: "Method `clientCredentials`; nothing is published yet.",
    Flow.MACHINE: "Method `clientCredentials`; the published token is due. There is no grant that could be lost.",
    Flow.COPIED: "As above, and a FederatedCredential names the Connection: the copy is written after the Secret.",
    Flow.ALONE: "As above, with `secret.publish: false`: the copy is what is published.",
    Flow.RESTORED: "Somebody has deleted the copy. It is made from the Secret; the provider is not asked.",
    Flow.UNTRUSTED: "The copy goes; the Secret and its token stay.",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What is in the table, and what holds at the end: `asked` is how many token requests of the flow have reached the
    provider; `human` the reason that tells somebody to authorize again; `page` what the page of the browser says then,
    where that is more exact.
    """

    says: str
    asked: int = 1
    human: Reason | None = None
    page: Reason | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a flow. `provoked_by`: it is only taken when something goes wrong, so that is made to go wrong
    before.
    """

    step: str
    request: str
    cells: Mapping[Moment, Cell]
    provoked_by: Trap | None = None


def _cells(before: Cell, after: Cell, lost: Cell | None = None, refused: Cell | None = None) -> Mapping[Moment, Cell]:
    """Most often an answer that was lost is as a kill after, and a refusal as a kill before."""
    return {
        Moment.KILLED_BEFORE: before,
        Moment.KILLED_AFTER: after,
        Moment.ANSWER_LOST: lost or after,
        Moment.REFUSED: refused or before,
    }


def _unasked(*cells: Cell) -> Mapping[Moment, Cell]:
    """Of a flow in which the provider has no part."""
    return _cells(*(replace(cell, asked=0) for cell in cells))


ASKED = Cell("asked for at the next start")
ASKED_AGAIN = Cell("asked for again; the token that nobody saw expires unused", asked=2)
RETRIED = Cell("asked for again after a pause")
RETRIED_AGAIN = Cell("asked for again after a pause", asked=2)
FETCHED_ANEW = Cell("a new token is asked for and published", asked=2)
FROM_MEMORY = Cell("written again from memory")
NOTHING = Cell("nothing is missing")
COPIED_AT_START = Cell("copied from the Secret at the next start")
COPIED_SOON = Cell("copied from the Secret after a pause")
TOLD_SOON = Cell("told after a pause")
NO_EVENT = Cell("the Event is missing; the status says it all")

# what a grant changes
AFTER_INTENT = Cell("nothing was sent; asked for once the intent is over")
UNSURE = Cell("asked for shortly before the expiry, for nobody knows that nothing was sent")
HARMLESS = Cell("asked for again, which does no harm here", asked=2)
IN_GRACE = Cell("asked for again while the former refresh token is taken", asked=2)
LATE = Cell("asked for again shortly before the expiry, for it may have been spent")
TOKEN_LOST = Cell("the refresh token is spent; authorize again", asked=2, human=Reason.REFRESH_TOKEN_LOST)
FROM_GRANT = Cell("published from the stored grant")
STATUS_FROM_GRANT = Cell("told at the next start, from the stored grant")

REFUSED_TOKEN = Trap("token request", Moment.REFUSED)
STATUS = Row("status", "PATCH of the status", _cells(FETCHED_ANEW, NOTHING, TOLD_SOON, TOLD_SOON))
EVENT = Row("event", "POST of an Event", _cells(NO_EVENT, NOTHING, NO_EVENT, NO_EVENT))
EVENT_OF_FAILURE = Row("event", "POST of an Event, when a reason changes", EVENT.cells, REFUSED_TOKEN)
MACHINE_REQUEST = Row("token request", "POST to the token endpoint", _cells(ASKED, ASKED_AGAIN, RETRIED_AGAIN, RETRIED))
MACHINE_SECRET = _cells(FETCHED_ANEW, FETCHED_ANEW, FROM_MEMORY, FROM_MEMORY)
GRANT_PUBLISHED = (
    Row("workload secret", "PATCH of the Secret", _cells(FROM_GRANT, FROM_GRANT, FROM_MEMORY, FROM_MEMORY)),
    Row("status", "PATCH of the status", _cells(STATUS_FROM_GRANT, NOTHING, TOLD_SOON, TOLD_SOON)),
    EVENT_OF_FAILURE,
)


def _intended(after: Cell) -> Row:
    return Row("state intent", "PATCH of the state Secret", _cells(ASKED, after, after, RETRIED))


def _spent(request: Mapping[Moment, Cell], unstored: Cell) -> tuple[Row, ...]:
    """The request that spends a refresh token, and the write that keeps what it brought."""
    return (
        Row("token request", "POST to the token endpoint", request),
        Row("state grant", "PATCH of the state Secret", _cells(unstored, FROM_GRANT, FROM_MEMORY, FROM_MEMORY)),
    )


def _told(asked: int, reason: Reason) -> Cell:
    return Cell("authorize again", asked=asked, human=reason)


def _declined(asked: int) -> Cell:
    says = "the code is spent; authorize again" if asked else "the code counts as spent; authorize again"
    return Cell(says, asked=asked, human=Reason.AUTHORIZATION_LOST)


REVOKED = Reason.GRANT_REVOKED
GOES_ON = Cell("spent at the next start")
GOES_ON_SOON = Cell("spent after a pause")
FAILED, UNAVAILABLE = Reason.AUTHORIZATION_FAILED, Reason.PROVIDER_UNAVAILABLE
EXCHANGE_LOST = Cell("the code is spent; authorize again", 1, FAILED, UNAVAILABLE)
EXCHANGE_REFUSED = Cell("the code may be spent; authorize again", 0, FAILED, UNAVAILABLE)
FINISHED = Cell("published from the stored grant; the record is finished at the next start")
FINISHED_SOON = Cell("the record is finished after a pause")
NAMELESS = Cell("goes on; the account has no name")
GONE = Cell("goes on and ends", asked=0)
GONE_AGAIN = Cell("revoked a second time, which does no harm; then it ends", asked=0)


CODE_ANEW = Cell("a code is asked for at the next start")
CODE_ANEW_SOON = Cell("a code is asked for after a pause")
POLLED = Cell("polled with the same code at the next start")
POLLED_SOON = Cell("polled with the same code after a pause")
POLL_LOST = Cell("the device code is spent; authorize again", 2, Reason.AUTHORIZATION_LOST)
BY_DEVICE = (
    Row("finalizer", "PATCH of the Connection", _cells(CODE_ANEW, CODE_ANEW, CODE_ANEW_SOON, CODE_ANEW_SOON)),
    Row(
        "device code",
        "POST to the device authorization endpoint",
        _cells(CODE_ANEW, CODE_ANEW, CODE_ANEW_SOON, CODE_ANEW_SOON),
    ),
    Row("consent shown", "PATCH of the record", _cells(CODE_ANEW, POLLED, POLLED_SOON, CODE_ANEW_SOON)),
    Row("poll", "POST to the token endpoint", _cells(POLLED, POLL_LOST, POLL_LOST, POLLED_SOON)),
    Row("identity", "GET at the provider", _cells(POLL_LOST, POLL_LOST, NAMELESS, NAMELESS)),
    Row("state grant", "POST of the state Secret", _cells(POLL_LOST, FROM_GRANT, FROM_MEMORY, FROM_MEMORY)),
    Row("consent done", "PATCH of the record", _cells(FINISHED, FROM_GRANT, NOTHING, FINISHED_SOON)),
)


def _consent(secret: str) -> tuple[Row, ...]:
    return (
        Row("consent claimed", "PATCH of the record", _cells(GOES_ON, _declined(0), _declined(0), GOES_ON_SOON)),
        Row(
            "code exchange",
            "POST to the token endpoint",
            _cells(_declined(0), _declined(1), EXCHANGE_LOST, EXCHANGE_REFUSED),
        ),
        Row("identity", "GET at the provider", _cells(_declined(1), _declined(1), NAMELESS, NAMELESS)),
        Row("state grant", secret, _cells(_declined(1), FROM_GRANT, FROM_MEMORY, FROM_MEMORY)),
        Row("consent done", "PATCH of the record", _cells(FINISHED, FROM_GRANT, NOTHING, FINISHED_SOON)),
    )


LOSS_NOTED = Row(
    "state end",
    "PATCH of the state Secret, when the token is spent",
    _cells(Cell(TOKEN_LOST.says, 3, TOKEN_LOST.human), TOKEN_LOST, TOKEN_LOST, TOKEN_LOST),
    Trap("token request", Moment.ANSWER_LOST),
)
UNTOLD = Cell("the Event is missing; the page says it all", 0, FAILED, UNAVAILABLE)
EVENT_OF_LOSS = Row(
    "event", "POST of an Event, when it fails", _cells(*[UNTOLD] * 4), Trap("code exchange", Moment.REFUSED)
)

ROWS: Mapping[Flow, tuple[Row, ...]] = {
    Flow.CONSENT: (
        Row("finalizer", "PATCH of the Connection", _cells(GOES_ON, GOES_ON, GOES_ON_SOON, GOES_ON_SOON)),
        *_consent("POST of the state Secret"),
        Row("workload secret", "POST of the Secret", GRANT_PUBLISHED[0].cells),
        GRANT_PUBLISHED[1],
        EVENT,
    ),
    Flow.DEVICE: (
        *BY_DEVICE,
        Row("workload secret", "POST of the Secret", GRANT_PUBLISHED[0].cells),
        GRANT_PUBLISHED[1],
        EVENT,
    ),
    Flow.NEW_CONSENT: (*_consent("PATCH of the state Secret"), *GRANT_PUBLISHED[:2], EVENT_OF_LOSS),
    Flow.ROTATES: (
        _intended(UNSURE),
        *_spent(_cells(UNSURE, TOKEN_LOST, TOKEN_LOST, LATE), TOKEN_LOST),
        *GRANT_PUBLISHED,
        LOSS_NOTED,
    ),
    Flow.GRACE: (
        _intended(AFTER_INTENT),
        *_spent(_cells(AFTER_INTENT, IN_GRACE, IN_GRACE, RETRIED), IN_GRACE),
        *GRANT_PUBLISHED,
    ),
    Flow.FIXED: (*_spent(_cells(ASKED, HARMLESS, HARMLESS, RETRIED), HARMLESS), *GRANT_PUBLISHED),
    Flow.REVOKED: (
        Row(
            "token request",
            "POST to the token endpoint",
            _cells(_told(1, REVOKED), _told(2, REVOKED), _told(2, REVOKED), _told(1, REVOKED)),
        ),
        Row(
            "state end",
            "PATCH of the state Secret",
            _cells(_told(2, REVOKED), _told(1, REVOKED), _told(1, REVOKED), _told(1, REVOKED)),
        ),
        Row("status", "PATCH of the status", _cells(*[_told(1, REVOKED)] * 4)),
        Row("event", "POST of an Event", _cells(*[_told(1, REVOKED)] * 4)),
    ),
    Flow.DELETION: (
        Row("refresh token revoked", "POST of the revocation", _cells(*[GONE] * 4)),
        Row("access token revoked", "POST of the revocation", _cells(*[GONE] * 4)),
        Row("state removed", "DELETE of the state Secret", _cells(GONE_AGAIN, GONE, GONE, GONE)),
        Row("finalizer removed", "PATCH of the Connection", _cells(GONE, GONE, GONE, GONE)),
    ),
    Flow.FIRST_TOKEN: (MACHINE_REQUEST, Row("workload secret", "POST of the Secret", MACHINE_SECRET), STATUS, EVENT),
    Flow.MACHINE: (
        MACHINE_REQUEST,
        Row("workload secret", "PATCH of the Secret", MACHINE_SECRET),
        STATUS,
        EVENT_OF_FAILURE,
    ),
    Flow.COPIED: (
        MACHINE_REQUEST,
        Row("workload secret", "PATCH of the Secret", MACHINE_SECRET),
        STATUS,
        EVENT_OF_FAILURE,
        Row("token copy", "PATCH of the copy", _cells(COPIED_AT_START, NOTHING, NOTHING, COPIED_SOON)),
    ),
    Flow.ALONE: (
        MACHINE_REQUEST,
        Row("token copy", "PATCH of the copy", MACHINE_SECRET),
        STATUS,
        EVENT_OF_FAILURE,
    ),
    Flow.RESTORED: (Row("token copy", "POST of the copy", _unasked(COPIED_AT_START, NOTHING, NOTHING, COPIED_SOON)),),
    Flow.UNTRUSTED: (
        Row(
            "token copy removed",
            "DELETE of the copy",
            _unasked(Cell("removed at the next start"), NOTHING, NOTHING, Cell("removed after a pause")),
        ),
    ),
}


def cells() -> Iterator[tuple[Flow, Row, Moment]]:
    for flow, rows in ROWS.items():
        for row in rows:
            yield from ((flow, row, moment) for moment in Moment)
