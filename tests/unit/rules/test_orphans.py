"""What becomes of a grant whose Connection is gone, as sentences."""

from datetime import UTC, datetime, timedelta

import pytest

from lanyard.rules.orphans import Care, care

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.mark.spec("C8")
@pytest.mark.parametrize(
    ("is_missing", "since", "expected"),
    [
        pytest.param(False, None, Care.LEAVE, id="one that has its Connection is left alone"),
        pytest.param(True, None, Care.MARK, id="the first list that misses it removes nothing"),
        pytest.param(True, NOW - WEEK + timedelta(seconds=1), Care.LEAVE, id="for a week it is kept"),
        pytest.param(True, NOW - WEEK, Care.REMOVE, id="after a week it goes"),
        pytest.param(False, NOW - 2 * WEEK, Care.UNMARK, id="a Connection that is back keeps it, however late"),
    ],
)
def test_a_grant_without_its_connection(is_missing: bool, since: datetime | None, expected: Care) -> None:
    assert care(is_missing=is_missing, since=since, after=WEEK, now=NOW) is expected
