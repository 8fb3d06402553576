"""Whether a pass asks for a new token of a grant, or publishes the one at hand."""

from datetime import UTC, datetime, timedelta

import pytest

from lanyard.flows.refresh import Wish
from lanyard.rules.publish import timestamp
from support.stored import grant

DUE = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
ISSUED = DUE - timedelta(minutes=30)


@pytest.mark.spec("C+2")
@pytest.mark.parametrize(
    ("wish", "due", "now", "asks"),
    [
        pytest.param(Wish(), DUE, datetime.fromisoformat(timestamp(DUE)), True, id="at the time that the status tells"),
        pytest.param(Wish(), DUE, DUE - timedelta(seconds=1), False, id="a second before it is due"),
        pytest.param(Wish(), None, DUE, False, id="never due"),
        pytest.param(Wish(anew=True), DUE, ISSUED, True, id="somebody asked"),
        pytest.param(Wish(retry=True, published_at=ISSUED), DUE, ISSUED, True, id="again, and nothing newer is stored"),
        pytest.param(
            Wish(retry=True, published_at=ISSUED - timedelta(hours=1)),
            DUE,
            ISSUED,
            False,
            id="again, a newer is stored",
        ),
    ],
)
def test_a_new_token_is_asked_for_when_it_is_due_or_wished(
    wish: Wish, due: datetime | None, now: datetime, asks: bool
) -> None:
    assert wish.is_due(grant(issued_at=ISSUED), due, now) is asks
