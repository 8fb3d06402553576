from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.rules.lease import (
    NOBODYS,
    RELEASED_SECONDS,
    TRUSTED_SHARE,
    Claim,
    Pace,
    Sight,
    claim_of,
    is_ours,
    looked,
    may_go_on,
    may_take,
    spec_of_release,
    spec_of_term,
    spec_unclaimed,
)

PACE = Pace(duration=10, renew=3, retry=1)
ME, OTHER = "me_1", "other_1"
STAMP, LATER = "2026-03-01T12:00:00.000000Z", "2026-03-01T12:00:03.000000Z"

gaps = st.lists(st.floats(min_value=0, max_value=100), max_size=60)


def lease(version: str = "7", uid: str = "uid-1", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": version}, "spec": spec}


def held(by: str = OTHER, version: str = "7", renewed: str = STAMP) -> Claim:
    return claim_of(lease(version, **spec_of_term(by, STAMP, 1, PACE, renewed)))


def watched(claim: Claim, *pauses: float) -> Sight:
    """Looked at again and again, the same each time."""
    now = 1000.0
    sight = looked(None, claim, now, PACE)
    for pause in pauses:
        now += pause
        sight = looked(sight, claim, now, PACE)
    return sight


@pytest.mark.spec("K6")
def test_a_lease_is_taken_after_its_duration_without_a_renewal() -> None:
    assert not may_take(watched(held(), *[1.0] * 9), PACE)
    assert may_take(watched(held(), *[1.0] * 10), PACE)


@pytest.mark.spec("K6")
@given(gaps)
def test_it_is_never_taken_before_its_holder_has_stopped_to_trust_it(pauses: list[float]) -> None:
    """The holder asked for its last renewal before the first look, so it has stopped `trusted` after that look."""
    if may_take(watched(held(), *pauses), PACE):
        assert sum(pauses) >= PACE.duration > PACE.trusted


@pytest.mark.spec("K6")
@given(gaps)
def test_of_the_time_in_which_nobody_could_look_only_a_little_counts(pauses: list[float]) -> None:
    """After an outage of the API server the holder gets its chance before others."""
    assert watched(held(), *pauses).silence <= PACE.longest_gap * len(pauses)


@given(gaps, gaps)
def test_a_renewal_begins_the_count_anew(before: list[float], after: list[float]) -> None:
    sight = looked(watched(held(), *before), held(version="8", renewed=LATER), 5000, PACE)
    assert sight.silence == 0
    now = 5000.0
    for pause in after:
        now += pause
        sight = looked(sight, held(version="8", renewed=LATER), now, PACE)
    assert sight.silence <= sum(after) + 1e-6


@given(st.floats(min_value=-1e6, max_value=0))
def test_a_clock_that_goes_back_counts_nothing(step: float) -> None:
    sight = watched(held(), 1.0)
    assert looked(sight, held(), sight.at + step, PACE).silence == sight.silence


def test_an_edit_beside_the_spec_is_no_renewal() -> None:
    """Else whoever writes an annotation every second would keep a dead leader in office."""
    edited = held(version="9")
    sight = looked(watched(held(), *[1.0] * 9), edited, 1010, PACE)
    assert may_take(sight, PACE)
    assert sight.claim.version == "9", "what is taken is the version that was seen last"


@pytest.mark.parametrize(
    ("claim", "at_once"),
    [
        pytest.param(claim_of(lease(**spec_of_release(STAMP))), True, id="given back by its holder"),
        pytest.param(claim_of(lease(holderIdentity="", leaseDurationSeconds=10)), False, id="holder erased by hand"),
        pytest.param(claim_of(lease(leaseDurationSeconds=RELEASED_SECONDS, holderIdentity=OTHER)), False, id="short"),
        pytest.param(claim_of(lease()), False, id="made anew by hand, empty"),
        pytest.param(claim_of({"metadata": {"uid": "u", "resourceVersion": "1"}}), False, id="without a spec"),
        pytest.param(held(OTHER), False, id="somebody's"),
        pytest.param(held(ME), False, id="our name, written by somebody else"),
    ],
)
@pytest.mark.spec("K6")
def test_only_a_lease_that_was_given_back_is_taken_without_waiting(claim: Claim, at_once: bool) -> None:
    assert may_take(watched(claim), PACE) is at_once
    assert may_take(watched(claim, *[1.0] * 10), PACE), "and any other after the duration"


def test_a_lease_that_is_not_there_is_never_taken() -> None:
    """Between two looks it may have been made, taken and deleted; one that was made can be told from the next one."""
    assert not may_take(watched(NOBODYS, *[1.0] * 100), PACE)


@pytest.mark.spec("K6")
@pytest.mark.parametrize(
    ("found", "in_time", "late"),
    [
        pytest.param(held(ME, version="8"), True, True, id="edited beside the holder"),
        pytest.param(NOBODYS, True, False, id="deleted"),
        pytest.param(claim_of(lease(**spec_unclaimed(PACE))), True, False, id="deleted and made anew"),
        pytest.param(held(OTHER), False, False, id="somebody's"),
        pytest.param(claim_of(lease(holderIdentity=ME, acquireTime=LATER)), False, False, id="ours of another term"),
        pytest.param(claim_of(lease(acquireTime=STAMP, leaseDurationSeconds=10)), False, False, id="holder erased"),
        pytest.param(claim_of(lease(**spec_of_release(STAMP))), False, False, id="given back"),
    ],
)
def test_a_holder_that_finds_a_change_goes_on_unless_somebody_else_may_have_had_it(
    found: Claim, in_time: bool, late: bool
) -> None:
    """`late`: it no longer trusts its last renewal."""
    assert may_go_on(found, ME, STAMP, holds=True) is in_time
    assert may_go_on(found, ME, STAMP, holds=False) is late


def test_a_longer_duration_that_a_holder_promised_is_waited_for() -> None:
    patient = claim_of(lease(holderIdentity=OTHER, leaseDurationSeconds=30, renewTime=STAMP))
    assert not may_take(watched(patient, *[1.0] * 29), PACE)
    assert may_take(watched(patient, *[1.0] * 30), PACE)


FIELDS = {
    "holderIdentity": st.text(max_size=5),
    "leaseDurationSeconds": st.integers(1, 100),
    "acquireTime": st.sampled_from([STAMP, LATER]),
    "renewTime": st.sampled_from([STAMP, LATER]),
    "leaseTransitions": st.integers(0, 9),
    "preferredHolder": st.text(max_size=5),
}
specs = st.fixed_dictionaries({}, optional=FIELDS)


@given(specs, specs)
def test_what_the_api_server_takes_is_read_and_told_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (claim_of(lease(**one)).mark == claim_of(lease(**other)).mark) is (one == other)
    assert claim_of(lease(**one)).mark != claim_of(lease(uid="uid-2", **one)).mark


def test_a_term_is_ours_by_name_and_by_the_time_it_began() -> None:
    assert is_ours(held(ME), ME, STAMP)
    assert not is_ours(held(ME), ME, LATER), "an earlier term"
    assert not is_ours(held(OTHER), ME, STAMP)
    assert not is_ours(NOBODYS, ME, "")


def test_a_term_is_written_as_kubectl_and_the_gateway_read_it() -> None:
    assert spec_of_term(ME, STAMP, 4, PACE, LATER) == {
        "holderIdentity": ME,
        "leaseDurationSeconds": 10,
        "acquireTime": STAMP,
        "renewTime": LATER,
        "leaseTransitions": 4,
    }
    assert 0 < TRUSTED_SHARE < 1
