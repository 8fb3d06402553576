from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import Any

import pytest

from lanyard.errors import MESSAGE_LIMIT, LanyardError
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Change, Verdict, changes, fails, holds, merged, said, summary

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
READY = holds(Condition.READY, Reason.TOKEN_PUBLISHED, secret="crm-token")
REFUSED = LanyardError(Reason.CLIENT_REJECTED, host="id.example")
DOWN = LanyardError(Reason.PROVIDER_UNAVAILABLE, host="id.example", status=503)


def shown(*verdicts: Verdict, now: datetime = NOW) -> list[dict[str, Any]]:
    return merged((), verdicts, 1, now)


def types(verdicts: list[Verdict]) -> list[str]:
    return [f"{verdict.type}={verdict.status}" for verdict in verdicts]


@pytest.mark.spec("K2")
def test_whoever_is_ready_is_neither_reconciling_nor_stalled() -> None:
    assert summary(usable=READY, blocker=REFUSED, waiting=Reason.ACQUIRING) == [READY]


@pytest.mark.spec("K2")
def test_what_a_human_must_mend_is_stalled() -> None:
    verdicts = summary(usable=None, blocker=REFUSED, waiting=Reason.ACQUIRING)
    assert types(verdicts) == ["Ready=False", "Stalled=True"]
    assert {verdict.reason for verdict in verdicts} == {Reason.CLIENT_REJECTED}


@pytest.mark.spec("K2")
def test_what_mends_itself_is_reconciling() -> None:
    assert types(summary(usable=None, blocker=DOWN, waiting=Reason.ACQUIRING)) == ["Ready=False", "Reconciling=True"]


@pytest.mark.spec("K2")
def test_the_first_token_is_on_its_way() -> None:
    verdicts = summary(usable=None, blocker=None, waiting=Reason.ACQUIRING)
    assert types(verdicts) == ["Ready=False", "Reconciling=True"]
    assert verdicts[0].reason is Reason.ACQUIRING


@pytest.mark.spec("K2")
@pytest.mark.parametrize("waiting", [Reason.SUSPENDED, Reason.TOKEN_EXPIRED])
def test_whoever_is_told_to_rest_is_not_reconciling(waiting: Reason) -> None:
    assert types(summary(usable=None, blocker=None, waiting=waiting)) == ["Ready=False"]


@pytest.mark.spec("K2")
def test_every_condition_names_the_generation_it_speaks_of() -> None:
    assert [condition["observedGeneration"] for condition in merged(shown(READY), [READY], 7, NOW)] == [7]


@pytest.mark.spec("K2")
def test_the_time_of_transition_moves_only_when_the_status_flips() -> None:
    bad = fails(Condition.READY, DOWN)
    worse = fails(Condition.READY, REFUSED)
    first = shown(bad)
    same_status = merged(first, [worse], 2, LATER)
    flipped = merged(same_status, [READY], 2, LATER)
    assert [condition["lastTransitionTime"] for condition in (*first, *same_status, *flipped)] == [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00Z",
        "2026-03-01T13:00:00Z",
    ]
    assert same_status[0]["reason"] == "ClientRejected"


def test_a_condition_that_is_not_told_anymore_vanishes() -> None:
    before = shown(fails(Condition.READY, DOWN), Verdict(Condition.RECONCILING, True, DOWN.reason, "…"))
    assert [condition["type"] for condition in merged(before, [READY], 1, LATER)] == ["Ready"]


def test_a_new_reason_of_ready_deserves_an_event() -> None:
    assert changes((), [READY]) == [Change(Reason.TOKEN_PUBLISHED, READY.message, warning=False)]
    bad = fails(Condition.READY, REFUSED)
    assert changes(shown(READY), [bad]) == [Change(Reason.CLIENT_REJECTED, bad.message, warning=True)]
    assert changes(shown(fails(Condition.READY, DOWN)), [bad]) == [Change(bad.reason, bad.message, warning=True)]
    assert changes(shown(bad), [READY]) == [Change(READY.reason, READY.message, warning=False)]


def test_a_routine_refresh_deserves_none() -> None:
    facts = [READY, holds(Condition.TOKEN_FRESH, Reason.FRESH), holds(Condition.SPEC_VALID, Reason.VALID)]
    assert changes(shown(*facts), facts) == []


def test_another_time_or_message_deserves_none() -> None:
    before = merged(shown(fails(Condition.READY, DOWN), now=NOW - timedelta(days=1)), [], 1, NOW)
    before = shown(fails(Condition.READY, DOWN))
    other_text = LanyardError(Reason.PROVIDER_UNAVAILABLE, host="id.example", status=500)
    assert changes(before, [fails(Condition.READY, other_text)]) == []


def test_a_failing_refresh_beside_a_live_token_deserves_one() -> None:
    failing = fails(Condition.TOKEN_FRESH, DOWN)
    before = shown(READY, holds(Condition.TOKEN_FRESH, Reason.FRESH))
    assert changes(before, [READY, failing]) == [Change(DOWN.reason, DOWN.message, warning=True)]
    assert changes(shown(READY, failing), [READY, failing]) == []


def test_good_news_about_a_fact_deserves_none() -> None:
    before = shown(READY, fails(Condition.TOKEN_FRESH, DOWN))
    assert changes(before, [READY, holds(Condition.TOKEN_FRESH, Reason.FRESH)]) == []


def test_one_pass_has_one_event_and_it_is_that_of_ready() -> None:
    verdicts = [
        fails(Condition.TOKEN_FRESH, DOWN),
        *summary(usable=None, blocker=REFUSED, waiting=Reason.ACQUIRING),
        holds(Condition.SPEC_VALID, Reason.VALID),
    ]
    assert changes((), verdicts) == [Change(Reason.CLIENT_REJECTED, REFUSED.message, warning=True)]


def fields(template: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(template) if field is not None}


def test_every_reason_is_in_the_catalogue() -> None:
    assert set(CATALOGUE) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_a_short_message_and_a_next_step(reason: Reason) -> None:
    entry = CATALOGUE[reason]
    assert 0 < len(entry.message) <= 200
    assert entry.message.endswith(".")
    assert entry.hint
    # metav1.Condition asks for a CamelCase word.
    assert reason.value.isalnum()
    assert reason.value[0].isupper()


@pytest.mark.parametrize("reason", Reason)
def test_a_message_is_one_line_of_at_most_256_characters(reason: Reason) -> None:
    facts = dict.fromkeys(fields(CATALOGUE[reason].message) | fields(CATALOGUE[reason].hint), "x\n" * 300)
    for text in (LanyardError(reason, **facts).message, said(reason, **facts)):
        assert len(text) <= MESSAGE_LIMIT
        assert "\n" not in text


@pytest.mark.parametrize("reason", Reason)
def test_a_message_is_whole_when_its_facts_are_short(reason: Reason) -> None:
    """Names of usual length leave room for the next step."""
    facts = dict.fromkeys(fields(CATALOGUE[reason].message) | fields(CATALOGUE[reason].hint), "n" * 20)
    assert not LanyardError(reason, **facts).message.endswith("…")


@pytest.mark.parametrize("reason", [r for r in Reason if CATALOGUE[r].hint == "Nothing to do."])
def test_good_news_has_no_next_step(reason: Reason) -> None:
    assert "Nothing to do" not in said(reason)


def test_good_news_that_asks_for_something_says_it() -> None:
    assert said(Reason.SUSPENDED).endswith("Set spec.suspend to false to go on.")
    assert "NTP" in said(Reason.CLOCK_SKEW, host="id.example")
