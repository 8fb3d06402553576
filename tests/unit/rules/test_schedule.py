from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lanyard.errors import LanyardError, ProviderError
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason, Retry
from lanyard.rules.schedule import AT_ONCE, JITTER_SHARE, LEAST_MARGIN, Backoff, Repairs, fraction, refresh_at, retry_at

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PACE = Backoff()
SECOND = timedelta(seconds=1)

lives = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=3650))
uids = st.uuids().map(str)


def a_reason(retry: Retry) -> Reason:
    return next(reason for reason, entry in CATALOGUE.items() if entry.retry is retry)


@pytest.mark.spec("C7")
@given(lives, uids)
def test_a_refresh_lies_between_issue_and_expiry(life: timedelta, uid: str) -> None:
    when = refresh_at(NOW, NOW + life, uid)
    assert NOW < when < NOW + life


@pytest.mark.spec("C7")
@given(lives, lives, uids)
def test_a_longer_life_is_never_refreshed_earlier(one: timedelta, other: timedelta, uid: str) -> None:
    shorter, longer = sorted((one, other))
    # A timedelta counts whole microseconds.
    assert refresh_at(NOW, NOW + shorter, uid) <= refresh_at(NOW, NOW + longer, uid) + timedelta(microseconds=2)


@pytest.mark.spec("C7")
@given(lives, uids)
def test_the_margin_is_a_fifth_at_least_five_minutes_and_at_most_half(life: timedelta, uid: str) -> None:
    margin = min(max(life * 0.2, LEAST_MARGIN), life * 0.5)
    latest = NOW + life - margin
    jitter = latest - refresh_at(NOW, NOW + life, uid)
    assert timedelta(microseconds=-2) <= jitter <= life * JITTER_SHARE + timedelta(microseconds=2)


@pytest.mark.parametrize(
    ("life", "earliest", "latest"),
    [
        (timedelta(hours=10), timedelta(hours=7), timedelta(hours=8)),
        (timedelta(minutes=20), timedelta(minutes=13), timedelta(minutes=15)),
        (timedelta(seconds=20), timedelta(seconds=8), timedelta(seconds=10)),
    ],
    ids=["a long life keeps a fifth", "a middling life keeps five minutes", "a short life keeps half"],
)
def test_the_margin_follows_the_length_of_the_life(life: timedelta, earliest: timedelta, latest: timedelta) -> None:
    for number in range(50):
        assert earliest <= refresh_at(NOW, NOW + life, f"uid-{number}") - NOW <= latest


def test_a_restart_does_not_reshuffle() -> None:
    assert refresh_at(NOW, NOW + timedelta(hours=1), "a") == refresh_at(NOW, NOW + timedelta(hours=1), "a")


def test_a_bulk_create_spreads_over_a_tenth_of_the_life() -> None:
    life = timedelta(hours=1)
    moments = sorted(refresh_at(NOW, NOW + life, f"uid-{number}") for number in range(200))
    assert moments[-1] - moments[0] > life * 0.09
    assert max(later - earlier for earlier, later in pairwise(moments)) < life * 0.01


@given(st.text(max_size=20))
def test_a_fraction_lies_in_the_unit_interval(text: str) -> None:
    assert 0.0 <= fraction(text) < 1.0


def pause(error: LanyardError, attempts: int = 1, uid: str = "uid") -> timedelta:
    """The pause before its jitter of at most a tenth."""
    exact = (retry_at(error, attempts, NOW, uid, PACE) - NOW) / (1 + JITTER_SHARE * fraction(f"{uid}/{attempts}"))
    return timedelta(seconds=round(exact.total_seconds(), 3))


@pytest.mark.spec("C+2")
@pytest.mark.parametrize(
    ("retry", "attempts", "seconds"),
    [
        (Retry.ON_CHANGE, 1, 3600),
        (Retry.ON_CHANGE, 9, 3600),
        (Retry.CONFIGURATION, 1, 300),
        (Retry.CONFIGURATION, 2, 900),
        (Retry.CONFIGURATION, 3, 3600),
        (Retry.CONFIGURATION, 1000, 3600),
        (Retry.TRANSIENT, 1, 5),
        (Retry.TRANSIENT, 2, 10),
        (Retry.TRANSIENT, 7, 300),
        (Retry.TRANSIENT, 10_000, 300),
        (Retry.SOURCE, 1, 5),
        (Retry.SOURCE, 10_000, 300),
        (Retry.THROTTLED, 1, 5),
        (Retry.THROTTLED, 10_000, 300),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Retry) else str(value),
)
def test_each_kind_of_retry_has_its_pace(retry: Retry, attempts: int, seconds: int) -> None:
    assert pause(LanyardError(a_reason(retry)), attempts) == timedelta(seconds=seconds)


@given(st.sampled_from(Retry), st.integers(1, 10**6), uids)
def test_no_failure_is_ever_given_up(retry: Retry, attempts: int, uid: str) -> None:
    when = retry_at(LanyardError(a_reason(retry)), attempts, NOW, uid, PACE)
    assert NOW < when <= NOW + timedelta(minutes=66)


@given(st.sampled_from(Retry), st.floats(1.0, 3600.0), st.integers(1, 100), uids)
def test_nobody_comes_back_before_retry_after(retry: Retry, seconds: float, attempts: int, uid: str) -> None:
    error = LanyardError(a_reason(retry), retry_after=seconds)
    assert retry_at(error, attempts, NOW, uid, PACE) >= NOW + timedelta(seconds=seconds)


def test_a_throttled_request_comes_back_when_it_was_told_to_and_not_after_a_long_back_off() -> None:
    assert pause(ProviderError(Reason.PROVIDER_THROTTLED, retry_after=3), attempts=50) == timedelta(seconds=3)


def test_a_retry_after_of_nothing_is_no_reason_to_come_back_at_once() -> None:
    assert pause(ProviderError(Reason.PROVIDER_THROTTLED, retry_after=0), attempts=3) == timedelta(seconds=20)


@given(uids, uids)
def test_those_who_failed_together_come_back_apart(one: str, other: str) -> None:
    assume(one != other)
    error = LanyardError(Reason.PROVIDER_UNAVAILABLE)
    moments = {retry_at(error, 7, NOW, uid, PACE) for uid in (one, other)}
    assert len(moments) == 2
    assert all(NOW + timedelta(minutes=5) <= moment <= NOW + timedelta(minutes=5, seconds=30) for moment in moments)


def test_the_pace_is_a_setting() -> None:
    quick = Backoff(SECOND, 2 * SECOND, (3 * SECOND, 6 * SECOND), 4 * SECOND)
    paces = {
        retry: [
            int((retry_at(LanyardError(a_reason(retry)), attempts, NOW, "u", quick) - NOW) / SECOND)
            for attempts in (1, 9)
        ]
        for retry in (Retry.ON_CHANGE, Retry.CONFIGURATION, Retry.TRANSIENT)
    }
    assert paces == {Retry.ON_CHANGE: [4, 4], Retry.CONFIGURATION: [3, 6], Retry.TRANSIENT: [1, 2]}


def undone_at_once(count: int, pace: Backoff) -> list[timedelta]:
    """The pauses between repairs that somebody undoes the moment they are made."""
    repairs, pauses = Repairs.after(None, NOW, pace), []
    for _ in range(count):
        when = max(repairs.not_before(pace), repairs.last)
        pauses.append(when - repairs.last)
        repairs = Repairs.after(repairs, when, pace)
    return pauses


@pytest.mark.spec("C8")
def test_the_first_repairs_are_immediate() -> None:
    assert undone_at_once(AT_ONCE + 1, PACE) == [timedelta(0)] * (AT_ONCE + 1)


@pytest.mark.spec("C8")
def test_who_undoes_every_repair_is_answered_ever_more_slowly_and_never_faster_again() -> None:
    pauses = undone_at_once(40, PACE)
    assert all(earlier <= later for earlier, later in pairwise(pauses))
    assert pauses[AT_ONCE + 1 : AT_ONCE + 4] == [PACE.first, PACE.first * 2, PACE.first * 4]
    assert pauses[-1] == PACE.longest


@pytest.mark.spec("C8")
def test_after_a_quiet_time_a_repair_is_immediate_again() -> None:
    repairs = None
    for _ in range(20):
        repairs = Repairs.after(repairs, NOW, PACE)
    assert repairs is not None
    assert repairs.not_before(PACE) > NOW
    later = NOW + PACE.longest * 2
    repairs = Repairs.after(repairs, later, PACE)
    assert repairs.not_before(PACE) == later
