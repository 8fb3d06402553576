"""When a pass that wants a token may spend a refresh token for it."""

from datetime import UTC, datetime, timedelta

import pytest

from lanyard.flows.refresh import Wish
from support.stored import grant

DUE = datetime(2026, 3, 1, 12, 0, 0, 700_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.spec("C7")
@pytest.mark.parametrize(
    ("now", "is_due"),
    [
        pytest.param(DUE - SECOND, False, id="in the second before, it is not"),
        pytest.param(DUE.replace(microsecond=0), True, id="in the whole second that the status shows, it is"),
        pytest.param(DUE, True, id="at the exact moment, it is"),
    ],
)
def test_a_token_is_due_from_the_second_on_that_its_status_announces(now: datetime, is_due: bool) -> None:
    """Otherwise the pass at that second would publish once more what is published already."""
    assert Wish().is_due(grant(), DUE, now) is is_due


def test_without_a_due_moment_only_a_wish_makes_it_due() -> None:
    assert not Wish().is_due(grant(), None, DUE)
    assert Wish(anew=True).is_due(grant(), None, DUE)


def test_a_retry_is_over_once_something_newer_than_what_is_published_is_stored() -> None:
    one = grant(issued_at=DUE)
    assert Wish(retry=True, published_at=DUE.replace(microsecond=0)).is_due(one, None, DUE)
    assert not Wish(retry=True, published_at=DUE - SECOND).is_due(one, None, DUE)
