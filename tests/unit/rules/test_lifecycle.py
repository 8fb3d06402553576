"""Every decision as a sentence: the facts that differ from a Connection in perfect order, and what follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import LanyardError, SpecError
from lanyard.reasons import Reason
from lanyard.rules.lifecycle import (
    ROUNDING,
    Acquire,
    AwaitConsent,
    Blocked,
    Cause,
    Decision,
    Facts,
    Publish,
    PublishedFacts,
    Rest,
    decide,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
PROBLEM = SpecError(Reason.CONNECTOR_NOT_FOUND, connector="nope")

IN_ORDER = Facts(
    suspended=False,
    problem=None,
    inputs_digest="one",
    attempted_digest="one",
    published=PublishedFacts(intact=True),
    received=False,
    failed_attempts=0,
    nudged=False,
    next_refresh_at=NOW + HOUR,
    expires_at=NOW + 2 * HOUR,
)
NEW = {"attempted_digest": "", "published": None, "next_refresh_at": None, "expires_at": None}
FAILING = {"failed_attempts": 3, "next_refresh_at": NOW + MINUTE}
UNASKED = LanyardError(Reason.AUTHORIZATION_REQUIRED)
REVOKED = LanyardError(Reason.GRANT_REVOKED)
OVER = {"awaiting": REVOKED, "grant_ended": True}
SOON = {"issued_at": NOW - HOUR, "expires_at": NOW + HOUR, "next_refresh_at": NOW + 5 * HOUR}
STATIC = {"next_refresh_at": None, "expires_at": None}

SENTENCES: dict[str, tuple[dict[str, Any], Decision]] = {
    "a live token is left alone until it is due": ({}, Rest(NOW + HOUR)),
    "a due token is fetched": ({"next_refresh_at": NOW}, Acquire(Cause.DUE)),
    "a token without a date for its refresh is fetched": ({"next_refresh_at": None}, Acquire(Cause.DUE)),
    "an expired token is fetched": (
        {"next_refresh_at": NOW - HOUR, "expires_at": NOW - MINUTE},
        Acquire(Cause.DUE),
    ),
    "a token that would expire before its refresh is fetched ahead of its expiry": (
        SOON,
        Rest(NOW + HOUR - 24 * MINUTE + ROUNDING),
    ),
    "a token that would have expired before its refresh is fetched": (
        SOON | {"issued_at": NOW - 2 * HOUR, "expires_at": NOW - MINUTE},
        Acquire(Cause.DUE),
    ),
    "a token of a clock that was set back is fetched": ({"issued_at": NOW + MINUTE}, Acquire(Cause.DUE)),
    "a token of a clock that is a little ahead is left alone": ({"issued_at": NOW + ROUNDING}, Rest(NOW + HOUR)),
    "a new Connection fetches its first token": (NEW, Acquire(Cause.FIRST)),
    "without a consent nothing is fetched": (NEW | {"awaiting": UNASKED}, AwaitConsent(UNASKED)),
    "without a consent changed inputs bring nothing": (
        {"awaiting": UNASKED, "inputs_digest": "two"},
        AwaitConsent(UNASKED),
    ),
    "an attempt that somebody asks for needs a consent too": (
        NEW | {"awaiting": UNASKED, "asked": True},
        AwaitConsent(UNASKED),
    ),
    "a suspended Connection awaits no consent": (NEW | {"awaiting": UNASKED, "suspended": True}, Rest(None)),
    "what is wrong with the object comes before its consent": (
        NEW | {"awaiting": UNASKED, "problem": PROBLEM},
        Blocked(PROBLEM),
    ),
    "a grant that is over leaves its last token published": (OVER, AwaitConsent(REVOKED)),
    "the last token of a grant that is over is written again when it was deleted": (
        OVER | {"published": None},
        Acquire(Cause.FIRST),
    ),
    "the last token of a grant that is over is written again when it was edited": (
        OVER | {"published": PublishedFacts(intact=False)},
        Acquire(Cause.DRIFT),
    ),
    "an expired token of a grant that is over is not written again": (
        OVER | {"published": None, "expires_at": NOW - MINUTE},
        AwaitConsent(REVOKED),
    ),
    "a Secret that was deleted is written again": ({"published": None}, Acquire(Cause.FIRST)),
    "a Secret that was edited is written again": ({"published": PublishedFacts(intact=False)}, Acquire(Cause.DRIFT)),
    "changed inputs are taken up at once": ({"inputs_digest": "two"}, Acquire(Cause.INPUTS_CHANGED)),
    "changed inputs beat a back-off": (FAILING | {"inputs_digest": "two"}, Acquire(Cause.INPUTS_CHANGED)),
    "a back-off is slept through": (FAILING, Rest(NOW + MINUTE)),
    "a back-off that is over ends in a new attempt": (
        FAILING | {"next_refresh_at": NOW},
        Acquire(Cause.RETRY),
    ),
    "a back-off without an end is no back-off": (FAILING | {"next_refresh_at": None}, Acquire(Cause.RETRY)),
    "a source that works again beats a back-off": (FAILING | {"nudged": True}, Acquire(Cause.RETRY)),
    "a source that works again is no news to a Connection in order": ({"nudged": True}, Rest(NOW + HOUR)),
    "the first token waits for its back-off too": (NEW | FAILING | {"attempted_digest": "one"}, Rest(NOW + MINUTE)),
    "an edited Secret cannot be mended while attempts fail": (
        FAILING | {"published": PublishedFacts(intact=False)},
        Rest(NOW + MINUTE),
    ),
    "expiry is not slept through while attempts fail": (
        FAILING | {"next_refresh_at": NOW + HOUR, "expires_at": NOW + MINUTE},
        Rest(NOW + MINUTE),
    ),
    "an expiry that has passed does not wake again": (
        FAILING | {"next_refresh_at": NOW + HOUR, "expires_at": NOW},
        Rest(NOW + HOUR),
    ),
    "a token in hand is published": ({"received": True}, Publish()),
    "a token in hand is published before a new one is fetched": ({"received": True, **NEW}, Publish()),
    "a token in hand is published although attempts fail": ({"received": True, **FAILING}, Publish()),
    "a token in hand is published also when suspended meanwhile": ({"received": True, "suspended": True}, Publish()),
    "a token in hand is published also when the spec broke meanwhile": (
        {"received": True, "problem": PROBLEM},
        Publish(),
    ),
    "a suspended Connection does nothing": ({"suspended": True}, Rest(None)),
    "a suspended Connection does nothing when its token is due": (
        {"suspended": True, "next_refresh_at": NOW - HOUR},
        Rest(None),
    ),
    "a suspended Connection does nothing when its inputs change": (
        {"suspended": True, "inputs_digest": "two"},
        Rest(None),
    ),
    "a suspended Connection does nothing when its Secret is gone": ({"suspended": True, "published": None}, Rest(None)),
    "a Connection that cannot work says so": ({"problem": PROBLEM}, Blocked(PROBLEM)),
    "a Connection that cannot work does not try": ({"problem": PROBLEM, "inputs_digest": "two"}, Blocked(PROBLEM)),
    "a repair that follows others closely is put off": (
        {"published": PublishedFacts(intact=False), "repairs_from": NOW + MINUTE},
        Rest(NOW + MINUTE),
    ),
    "changed inputs that follow others closely are put off": (
        {"inputs_digest": "two", "repairs_from": NOW + MINUTE},
        Rest(NOW + MINUTE),
    ),
    "a repair whose pause is over is made": (
        {"published": PublishedFacts(intact=False), "repairs_from": NOW},
        Acquire(Cause.DRIFT),
    ),
    "fresh credentials that somebody asked for are fetched": ({"asked": True}, Acquire(Cause.ASKED)),
    "whoever asks while attempts fail gets one at once": (FAILING | {"asked": True}, Acquire(Cause.ASKED)),
    "whoever asks for the first token gets an attempt at once": (
        NEW | FAILING | {"attempted_digest": "one", "asked": True},
        Acquire(Cause.RETRY),
    ),
    "whoever asks again and again is put off": (
        {"asked": True, "repairs_from": NOW + MINUTE},
        Rest(NOW + MINUTE),
    ),
    "whoever asks again and again is not put off once the token is due": (
        {"asked": True, "repairs_from": NOW + MINUTE, "next_refresh_at": NOW},
        Acquire(Cause.ASKED),
    ),
    "a repair that is put off does not keep a due token from being replaced": (
        {"published": PublishedFacts(intact=False), "repairs_from": NOW + MINUTE, "next_refresh_at": NOW},
        Acquire(Cause.DRIFT),
    ),
    "a suspended Connection fetches nothing for whoever asks": ({"asked": True, "suspended": True}, Rest(None)),
    "the first token is never put off as a repair": (NEW | {"repairs_from": NOW + MINUTE}, Acquire(Cause.FIRST)),
    "a due token is never put off as a repair": (
        {"next_refresh_at": NOW, "repairs_from": NOW + MINUTE},
        Acquire(Cause.DUE),
    ),
    "a static credential rests until something changes": (STATIC, Rest(None)),
    "a static credential follows its source": (STATIC | {"inputs_digest": "two"}, Acquire(Cause.INPUTS_CHANGED)),
    "a static credential's Secret is mended": (
        STATIC | {"published": PublishedFacts(intact=False)},
        Acquire(Cause.DRIFT),
    ),
    "a token that never expires is fetched anew when that was promised": (
        {"expires_at": None, "next_refresh_at": NOW - MINUTE},
        Acquire(Cause.DUE),
    ),
    "a token that never expires rests until then": ({"expires_at": None}, Rest(NOW + HOUR)),
}


@pytest.mark.spec("C7", "C+2")
@pytest.mark.parametrize(("differing", "decision"), SENTENCES.values(), ids=SENTENCES)
def test_one_decision_follows_from_the_facts(differing: dict[str, Any], decision: Decision) -> None:
    assert decide(replace(IN_ORDER, **differing), NOW) == decision


moments = st.none() | st.timedeltas(timedelta(days=-2), timedelta(days=2)).map(lambda shift: NOW + shift)
any_facts = st.builds(
    Facts,
    suspended=st.booleans(),
    problem=st.sampled_from([None, PROBLEM]),
    inputs_digest=st.sampled_from(["one", "two"]),
    attempted_digest=st.sampled_from(["", "one"]),
    published=st.sampled_from([None, PublishedFacts(intact=True), PublishedFacts(intact=False)]),
    received=st.booleans(),
    failed_attempts=st.integers(0, 3),
    nudged=st.booleans(),
    next_refresh_at=moments,
    expires_at=moments,
    issued_at=moments,
    asked=st.booleans(),
    repairs_from=moments,
)


@pytest.mark.spec("C+2")
@given(any_facts)
def test_whoever_rests_without_an_end_is_suspended_or_has_credentials_that_do_not_end(facts: Facts) -> None:
    match decide(facts, NOW):
        case Rest(None):
            assert facts.suspended or (facts.expires_at is None and facts.published == PublishedFacts(intact=True))
        case Rest(until):
            assert until is not None
            assert until > NOW
            if facts.published and not facts.failed_attempts and facts.issued_at and facts.expires_at:
                assert facts.repairs_from is not None or until <= facts.expires_at + ROUNDING
        case Blocked(error):
            assert isinstance(error, LanyardError)
        case Acquire() | Publish():
            pass
