"""The table of docs/crash-safety.md: what becomes of a Connection when a step of a flow is cut short.

tests/integration/test_kill.py makes each cell happen and holds what comes of it against this table. A request that
changes something and has no row here fails it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from lanyard.reasons import Reason
from support.checkpoint import Moment


class Flow(Enum):
    """What a Connection is going through. The value is the heading of its table."""

    FIRST_TOKEN = "The first token of a machine"
    MACHINE = "A new token of a machine"


ABOUT = {
    Flow.FIRST_TOKEN: "Method `clientCredentials`; nothing is published yet.",
    Flow.MACHINE: "Method `clientCredentials`; the published token is due. There is no grant that could be lost.",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What is in the table, and what holds at the end: `asked` is how many token requests of the flow have reached the
    provider; `human` the reason that tells somebody to authorize again.
    """

    says: str
    asked: int = 1
    human: Reason | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a flow. `provoked`: it is only taken when something goes wrong, so the test has the provider fail."""

    step: str
    request: str
    cells: Mapping[Moment, Cell]
    provoked: bool = False


def _cells(before: Cell, after: Cell, lost: Cell | None = None, refused: Cell | None = None) -> Mapping[Moment, Cell]:
    """Most often an answer that was lost is as a kill after, and a refusal as a kill before."""
    return {
        Moment.KILLED_BEFORE: before,
        Moment.KILLED_AFTER: after,
        Moment.ANSWER_LOST: lost or after,
        Moment.REFUSED: refused or before,
    }


ASKED = Cell("asked for at the next start")
ASKED_AGAIN = Cell("asked for again; the token that nobody saw expires unused", asked=2)
RETRIED = Cell("asked for again after a pause")
RETRIED_AGAIN = Cell("asked for again after a pause", asked=2)
FETCHED_ANEW = Cell("a new token is asked for and published", asked=2)
FROM_MEMORY = Cell("written again from memory; the provider is not asked again")
NOTHING = Cell("nothing is missing")
TOLD_SOON = Cell("told after a pause")
NO_EVENT = Cell("the Event is missing; the status says it all")

STATUS = Row("status", "PATCH of the status", _cells(FETCHED_ANEW, NOTHING, TOLD_SOON, TOLD_SOON))
EVENT = Row("event", "POST of an Event", _cells(NO_EVENT, NOTHING, NO_EVENT, NO_EVENT))
EVENT_OF_FAILURE = Row("event", "POST of an Event, when a reason changes", EVENT.cells, provoked=True)
MACHINE_REQUEST = Row("token request", "POST to the token endpoint", _cells(ASKED, ASKED_AGAIN, RETRIED_AGAIN, RETRIED))
MACHINE_SECRET = _cells(FETCHED_ANEW, FETCHED_ANEW, FROM_MEMORY, FROM_MEMORY)

ROWS: Mapping[Flow, tuple[Row, ...]] = {
    Flow.FIRST_TOKEN: (MACHINE_REQUEST, Row("workload secret", "POST of the Secret", MACHINE_SECRET), STATUS, EVENT),
    Flow.MACHINE: (
        MACHINE_REQUEST,
        Row("workload secret", "PATCH of the Secret", MACHINE_SECRET),
        STATUS,
        EVENT_OF_FAILURE,
    ),
}


def cells() -> Iterator[tuple[Flow, Row, Moment]]:
    for flow, rows in ROWS.items():
        for row in rows:
            yield from ((flow, row, moment) for moment in Moment)
