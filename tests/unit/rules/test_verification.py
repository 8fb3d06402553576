"""When the product is asked whether what is published works, and what the status says afterwards."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Verdict, changes
from lanyard.rules.publish import timestamp
from lanyard.rules.verification import (
    DEFAULT_INTERVAL,
    Published,
    due_at,
    interval_of,
    is_first_refusal,
    verdict_in,
    verified_status,
)

pytestmark = pytest.mark.spec("C4")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORKS = Verdict(Condition.VERIFIED, True, Reason.VERIFIED, "taken")
REFUSED = Verdict(Condition.VERIFIED, False, Reason.VERIFICATION_REFUSED, "refused")
FORBIDDEN = Verdict(Condition.VERIFIED, False, Reason.VERIFICATION_FORBIDDEN, "forbidden")
SILENT = Verdict(Condition.VERIFIED, None, Reason.VERIFICATION_UNANSWERED, "nothing")
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "TokenPublished",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-03-01T10:00:00Z",
}
BEFORE: dict[str, Any] = {"observedGeneration": 1, "conditions": [READY], "publishedVersion": "7", "inputsDigest": "a"}
IT = Published("a", "7")


@pytest.mark.parametrize(
    ("asked", "costs", "interval"),
    [
        (None, False, DEFAULT_INTERVAL),
        (None, True, None),
        (HOUR, False, HOUR),
        (HOUR, True, HOUR),
        (timedelta(0), False, None),
        (timedelta(0), True, None),
    ],
    ids=["not said", "not said, and it costs", "said", "said although it costs", "never", "never, and it costs"],
)
def test_how_often_the_product_is_asked(asked: timedelta | None, costs: bool, interval: timedelta | None) -> None:
    assert interval_of(asked, costs=costs) == interval


def after(verdict: Verdict) -> dict[str, Any]:
    return verified_status(BEFORE, verdict, NOW)


@pytest.mark.parametrize(
    ("status", "published", "seen", "at_once"),
    [
        (BEFORE, IT, None, True),
        (after(WORKS), IT, IT, False),
        (after(WORKS), IT, None, False),
        (after(WORKS), Published("a", "8"), IT, False),
        (after(WORKS), Published("b", "8"), IT, True),
        (after(WORKS), Published("a", "7", "GrantRevoked"), IT, True),
        (after(WORKS), Published("a", "7", "GrantRevoked"), Published("a", "7", "GrantRevoked"), False),
        (after(REFUSED), IT, IT, False),
        (after(REFUSED), Published("a", "8"), IT, True),
        (after(SILENT), Published("a", "8"), IT, True),
        (after(REFUSED), IT, None, False),
        (after(WORKS) | {"conditions": [READY]}, IT, IT, True),
        (after(WORKS) | {"lastVerifiedAt": "yesterday"}, IT, IT, True),
    ],
    ids=[
        "what was never asked about is asked about at once",
        "what works is asked about after the interval",
        "so it is after a restart",
        "another token of a credential that works waits for the interval",
        "another credential is asked about at once",
        "what a grant leaves behind that is over is asked about at once",
        "and once",
        "what was refused is not asked about again and again",
        "another token after a refusal is asked about at once",
        "another token after no answer is asked about at once",
        "a refusal that a restart has forgotten the version of waits",
        "without a verdict it is asked at once",
        "a time that nobody wrote is no time",
    ],
)
def test_when_the_product_is_asked(
    status: dict[str, Any], published: Published, seen: Published | None, at_once: bool
) -> None:
    due = due_at(status, published, seen, HOUR, "uid-1")
    assert (due is None) is at_once
    if due is not None:
        assert NOW + HOUR <= due <= NOW + HOUR * 1.1


@given(st.text(min_size=1, max_size=8), st.integers(60, 30 * 24 * 3600))
def test_it_is_never_asked_before_the_interval_is_over(uid: str, seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    due = due_at(after(WORKS), IT, IT, interval, uid)
    assert due is not None
    assert NOW + interval <= due <= NOW + interval * 1.1


@pytest.mark.parametrize(
    "verdict", [WORKS, REFUSED, FORBIDDEN, SILENT], ids=["works", "refused", "forbidden", "silent"]
)
@pytest.mark.spec("K2")
def test_a_verdict_is_a_condition_of_its_own_and_leaves_all_else_alone(verdict: Verdict) -> None:
    status = after(verdict)
    found = verdict_in(status)
    assert found is not None
    assert (found["status"], found["reason"]) == (
        {True: "True", False: "False", None: "Unknown"}[verdict.status],
        verdict.reason.value,
    )
    assert status["lastVerifiedAt"] == timestamp(NOW)
    assert status["conditions"][0] == READY
    assert {name: value for name, value in status.items() if name not in {"conditions", "lastVerifiedAt"}} == {
        name: value for name, value in BEFORE.items() if name != "conditions"
    }


def test_the_same_verdict_again_keeps_the_time_of_its_turn() -> None:
    again = verified_status(after(WORKS), WORKS, NOW + HOUR)
    found = verdict_in(again)
    assert found is not None
    assert found["lastTransitionTime"] == timestamp(NOW)
    assert again["lastVerifiedAt"] == timestamp(NOW + HOUR)
    assert len(again["conditions"]) == 2


def test_where_nobody_asks_any_more_nothing_is_said() -> None:
    assert verified_status(after(REFUSED), None, NOW + HOUR) == BEFORE


def test_only_the_first_refusal_in_a_row_asks_for_another_token() -> None:
    assert is_first_refusal(BEFORE, REFUSED)
    assert is_first_refusal(after(WORKS), REFUSED)
    assert is_first_refusal(after(SILENT), REFUSED)
    assert not is_first_refusal(after(REFUSED), REFUSED)
    assert not any(is_first_refusal(BEFORE, verdict) for verdict in (WORKS, FORBIDDEN, SILENT))


@pytest.mark.spec("C18")
def test_a_refusal_is_an_event_and_no_answer_is_none() -> None:
    assert [change.reason for change in changes(BEFORE["conditions"], [REFUSED])] == [Reason.VERIFICATION_REFUSED]
    assert changes(BEFORE["conditions"], [SILENT]) == []
    assert changes(after(REFUSED)["conditions"], [REFUSED]) == []
