"""When a refresh token may be sent: a grant in perfect order, what differs from it, and the step that follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.connector import Rotation
from lanyard.reasons import Reason
from lanyard.rules.grants import (
    LAST_MOMENT,
    Ask,
    Current,
    Ended,
    Grant,
    Hold,
    Intent,
    Safety,
    Step,
    Stored,
    due_at,
    is_older_consent,
    next_step,
    renewed,
    safety,
)
from lanyard.rules.publish import timestamp
from lanyard.rules.schedule import CLOCK_TOLERANCE
from lanyard.sensitive import Sensitive

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FIXED, ROTATES, UNKNOWN = Rotation(mode="fixed"), Rotation(mode="rotates"), Rotation()
GRACE = Rotation(mode="rotatesWithGrace", grace="10m")
GRANT = Grant(
    generation=3,
    access_token=Sensitive("at-3"),
    token_type="Bearer",
    refresh_token=Sensitive("rt-3"),
    issued_at=NOW - HOUR,
    expires_at=NOW + HOUR,
    refresh_expires_at=None,
    scopes=("api",),
    account="bot",
    client_id="app",
    redirect_uri="https://lanyard.example/oauth/callback/acme",
    token_host="login.example.com",
    consented_at=NOW - 24 * HOUR,
)
STARTED = Intent("i1", 3, "pod-a", NOW - 2 * MINUTE, NOW - MINUTE)
AHEAD = replace(STARTED, started_at=NOW + HOUR, not_after=NOW + HOUR + MINUTE)
RUNNING = replace(STARTED, started_at=NOW - MINUTE / 2, not_after=NOW + MINUTE / 2)


def step(rotation: Rotation, *, due: bool = True, intent: Intent | None = None, ended: Reason | None = None,
         **grant: Any) -> Step:  # fmt: skip
    return next_step(Stored(replace(GRANT, **grant), intent, ended, "7", "u"), rotation, due=due, now=NOW)


@pytest.mark.spec("C7", "C+1")
@pytest.mark.parametrize(
    ("taken", "follows"),
    [
        (step(ROTATES, due=False), Current()),
        (step(ROTATES, due=False, expires_at=None), Current()),
        (step(ROTATES, due=False, intent=STARTED), Current()),
        (step(FIXED), Ask(intent_first=False)),
        (step(FIXED, rotated=True), Ask(intent_first=True)),
        (step(ROTATES), Ask(intent_first=True)),
        (step(UNKNOWN), Ask(intent_first=True)),
        (step(GRACE), Ask(intent_first=True)),
        (step(ROTATES, due=False, expires_at=NOW), Ask(intent_first=True)),
        (step(ROTATES, intent=replace(STARTED, generation=2)), Ask(intent_first=True)),
        (step(ROTATES, ended=Reason.GRANT_REVOKED), Ended(Reason.GRANT_REVOKED)),
        (step(ROTATES, refresh_token=None), Hold(NOW + HOUR, Reason.NO_REFRESH_TOKEN)),
        (step(ROTATES, refresh_token=None, expires_at=NOW), Ended(Reason.NO_REFRESH_TOKEN)),
        (step(ROTATES, refresh_expires_at=NOW), Ended(Reason.GRANT_EXPIRED)),
    ],
    ids=[
        "a fresh token is published, nobody is asked",
        "a token without an end is fresh",
        "a fresh token is published although an answer was lost: a crash came between keeping and publishing",
        "a fixed refresh token needs no intent",
        "a fixed one that has rotated once counts as rotating",
        "a rotating one is announced before it is spent",
        "one of which nothing is known is treated as rotating",
        "grace does not spare the announcement",
        "an expired token is due by itself",
        "an intent of an earlier generation was answered",
        "what the provider has ended is ended",
        "without a refresh token the rest of the life is waited out",
        "without a refresh token and a live token only consent helps",
        "an expired refresh token is not sent",
    ],
)
def test_one_step_follows_from_a_grant(taken: Step, follows: Step) -> None:
    assert taken == follows


@pytest.mark.spec("C+1")
@pytest.mark.parametrize(
    ("taken", "follows"),
    [
        (step(ROTATES, intent=RUNNING), Hold(RUNNING.not_after, Reason.REFRESH_OUTCOME_UNKNOWN)),
        (step(FIXED, intent=RUNNING), Hold(RUNNING.not_after, Reason.REFRESH_OUTCOME_UNKNOWN)),
        (step(FIXED, intent=STARTED), Ask(intent_first=False)),
        (step(GRACE, intent=STARTED), Ask(intent_first=True)),
        (
            step(GRACE, intent=replace(STARTED, started_at=NOW - 10 * MINUTE)),
            Hold(NOW + HOUR - LAST_MOMENT, Reason.REFRESH_OUTCOME_UNKNOWN),
        ),
        (step(ROTATES, intent=STARTED), Hold(NOW + HOUR - LAST_MOMENT, Reason.REFRESH_OUTCOME_UNKNOWN)),
        (step(UNKNOWN, intent=STARTED), Hold(NOW + HOUR - LAST_MOMENT, Reason.REFRESH_OUTCOME_UNKNOWN)),
        (step(FIXED, intent=AHEAD), Ask(intent_first=False)),
        (step(GRACE, intent=AHEAD), Hold(NOW + HOUR - LAST_MOMENT, Reason.REFRESH_OUTCOME_UNKNOWN)),
        (step(ROTATES, intent=STARTED, expires_at=NOW + MINUTE), Ask(intent_first=True, risky=True)),
        (step(ROTATES, intent=STARTED, expires_at=None), Ask(intent_first=True, risky=True)),
    ],
    ids=[
        "a request that may be under way is waited for",
        "also where it could be repeated",
        "a fixed refresh token is sent again",
        "within its grace a rotated one is sent again",
        "after its grace it is kept for the last moment",
        "a rotating one is kept for the last moment",
        "so is one of which nothing is known",
        "a request of a clock that was set back is waited for no longer",
        "nor is it known when its grace began",
        "in the last moment it is sent, and a refusal means that the answer was lost",
        "a refused token without an end has no last moment to wait for",
    ],
)
def test_an_answer_that_was_lost_is_followed_by_what_the_provider_allows(taken: Step, follows: Step) -> None:
    assert taken == follows


moments = st.timedeltas(timedelta(hours=-3), timedelta(hours=3)).map(lambda shift: NOW + shift)
rotations = st.sampled_from([FIXED, ROTATES, UNKNOWN, GRACE])
intents = st.none() | st.builds(
    lambda started, generation: Intent("i", generation, "pod", started, started + MINUTE), moments, st.integers(2, 3)
)
grants = st.builds(
    lambda **changes: replace(GRANT, **changes),
    refresh_token=st.sampled_from([None, Sensitive("rt-3")]),
    issued_at=moments,
    expires_at=st.none() | moments,
    refresh_expires_at=st.none() | moments,
    rotated=st.booleans(),
)


@pytest.mark.spec("C+1", "C+2")
@given(rotation=rotations, grant=grants, intent=intents, due=st.booleans())
def test_a_refresh_token_is_spent_twice_only_where_that_is_safe_or_said_to_be_a_risk(
    rotation: Rotation, grant: Grant, intent: Intent | None, due: bool
) -> None:
    match next_step(Stored(grant, intent, None, "7", "u"), rotation, due=due, now=NOW):
        case Hold(until, _):
            assert until > NOW, "whoever waits has something to wait for"
            lengths = [MINUTE + CLOCK_TOLERANCE]  # of an intent, and the clock of whoever has written it
            lengths += [grant.expires_at - NOW] if grant.expires_at is not None else []
            assert until - NOW <= max(lengths), "nobody waits for what a clock says that was set back"
        case Ask(intent_first, risky):
            assert grant.refresh_token is not None
            assert intent_first or safety(rotation, grant) is Safety.REPEATABLE
            unanswered = intent is not None and intent.generation == grant.generation
            if not unanswered:
                assert not risky
            elif safety(rotation, grant) is Safety.ONCE:
                assert risky
                assert grant.expires_at is None or grant.expires_at - LAST_MOMENT <= NOW
            if unanswered and intent is not None and intent.started_at <= NOW + CLOCK_TOLERANCE:
                assert intent.not_after <= NOW
        case Current():
            assert grant.expires_at is None or grant.expires_at > NOW
            assert grant.refresh_token is None or grant.issued_at <= NOW + CLOCK_TOLERANCE
        case Ended(reason):
            assert reason in {Reason.NO_REFRESH_TOKEN, Reason.GRANT_EXPIRED}


def answer(**changes: Any) -> dict[str, Any]:
    return {
        "access_token": Sensitive("at-4"),
        "token_type": "Bearer",
        "refresh_token": None,
        "issued_at": NOW,
        "expires_at": NOW + HOUR,
        "refresh_expires_at": None,
        "scopes": None,
        "captured": {},
        "learned": {},
        "token_host": "login.example.com",
    } | changes


@pytest.mark.spec("C7", "C+1")
def test_a_refresh_token_that_is_not_answered_stays() -> None:
    after = renewed(GRANT, **answer())
    assert (after.generation, after.refresh_token, after.rotated) == (4, GRANT.refresh_token, False)
    assert (after.scopes, after.previous_refresh_token) == (("api",), None)


@pytest.mark.spec("C+1")
def test_a_refresh_token_that_comes_back_as_it_was_is_no_rotation() -> None:
    assert not renewed(GRANT, **answer(refresh_token=Sensitive("rt-3"))).rotated


@pytest.mark.spec("C+1")
def test_a_new_refresh_token_marks_the_grant_as_rotating_for_good() -> None:
    expiring = replace(GRANT, refresh_expires_at=NOW + HOUR)
    after = renewed(expiring, **answer(refresh_token=Sensitive("rt-4")))
    assert (after.refresh_token, after.previous_refresh_token) == (Sensitive("rt-4"), Sensitive("rt-3"))
    assert after.refresh_expires_at is None, "that was the expiry of the token it replaced"
    again = renewed(after, **answer())
    assert again.rotated
    assert safety(FIXED, again) is Safety.ONCE


@pytest.mark.spec("C11")
@pytest.mark.parametrize(
    ("stored", "is_older"),
    [
        pytest.param((NOW - MINUTE).isoformat(), False, id="an earlier one is replaced"),
        pytest.param(NOW.isoformat(), False, id="the same one is written once more"),
        pytest.param((NOW + MINUTE).isoformat(), True, id="a later one stays"),
        pytest.param((NOW + HOUR).isoformat(), False, id="one of a clock that was set back is replaced"),
        pytest.param("", False, id="one without a date is replaced"),
        pytest.param("yesterday", False, id="one with a date that is none is replaced"),
        pytest.param("2026-03-01T12:00:30", False, id="one with a date without a zone is replaced"),
    ],
)
def test_a_grant_waits_for_its_write_and_finds_that_of_another_consent(stored: str, is_older: bool) -> None:
    assert is_older_consent(NOW, stored, NOW + 2 * MINUTE) is is_older


@pytest.mark.spec("C8")
def test_neither_a_grant_nor_what_is_stored_of_it_shows_a_token() -> None:
    assert "at-3" not in repr(GRANT) + repr(Stored(GRANT, None, None, "7", "u"))
    assert "rt-3" not in repr(GRANT) + repr(Stored(GRANT, None, None, "7", "u"))


@pytest.mark.spec("C7", "C+3")
@pytest.mark.parametrize(
    ("rotation", "grant", "before"),
    [
        pytest.param({}, {}, NOW + HOUR - 24 * MINUTE, id="a fifth of its life ahead of its expiry"),
        pytest.param({"idleLifetime": "90m"}, {}, NOW + 30 * MINUTE - 18 * MINUTE, id="before an unused grant ends"),
        pytest.param({}, {"refresh_expires_at": NOW}, NOW - 12 * MINUTE, id="before the refresh token expires"),
        pytest.param({}, {"expires_at": None}, NOW - 12 * MINUTE, id="after the default life where no expiry is told"),
    ],
)
def test_a_grant_is_refreshed(rotation: dict[str, Any], grant: dict[str, Any], before: datetime) -> None:
    found = due_at(replace(GRANT, **grant), Rotation.model_validate(rotation), HOUR, "uid")
    assert found is not None
    assert before - 12 * MINUTE <= found <= before
    assert found == datetime.fromisoformat(timestamp(found)), "who comes by the status would come too early"


def test_without_a_refresh_token_its_end_is_told_ahead_and_one_without_an_end_has_nothing_to_tell() -> None:
    grant = replace(GRANT, refresh_token=None)
    assert due_at(grant, FIXED, MINUTE, "uid") == due_at(GRANT, FIXED, MINUTE, "uid")
    assert due_at(replace(grant, expires_at=None), FIXED, MINUTE, "uid") is None
    assert step(FIXED, refresh_token=None) == Hold(NOW + HOUR, Reason.NO_REFRESH_TOKEN)


@pytest.mark.spec("C+2")
def test_a_token_of_a_clock_that_was_set_back_is_replaced() -> None:
    """It ends at a time that nobody knows: sooner than it says."""
    ahead = {"issued_at": NOW + HOUR, "expires_at": NOW + 2 * HOUR}
    assert step(ROTATES, due=False, **ahead) == Ask(intent_first=True)
    assert step(ROTATES, due=False, refresh_token=None, **ahead) == Current()


def test_a_token_without_an_end_and_without_a_refresh_token_is_good_for_ever() -> None:
    assert step(ROTATES, refresh_token=None, expires_at=None) == Current()
