from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lanyard.flows.keys import Key, What
from lanyard.flows.limits import FORGET_AFTER, RETURN_SPREAD, HostLimits, Later

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOST = "id.example"


def keys(count: int) -> list[Key]:
    return [Key(What.CONNECTION, "sales", f"crm-{number}") for number in range(count)]


@dataclass
class Door:
    """The limits of one host, and who was called."""

    concurrent: int = 1
    per_minute: int | None = None
    called: list[Key] = field(default_factory=list)
    limits: HostLimits = field(init=False)

    def __post_init__(self) -> None:
        self.limits = HostLimits(self.called.append)

    def enter(self, key: Key, now: datetime = NOW, host: str = HOST) -> Later | None:
        return self.limits.enter(host, key, now, concurrent=self.concurrent, per_minute=self.per_minute)

    def enter_all(self, many: Iterable[Key], now: datetime = NOW) -> list[Later | None]:
        return [self.enter(key, now) for key in many]


@pytest.mark.spec("C7")
def test_only_so_many_go_at_once_and_the_others_are_called_in_order() -> None:
    door, (a, b, c, d) = Door(concurrent=2), keys(4)
    assert door.enter_all([a, b, c, d]) == [None, None, Later(None), Later(None)]
    door.limits.leave(HOST)
    assert door.called == [c]
    assert door.enter(c) is None
    door.limits.leave(HOST)
    assert door.called == [c, d]


def test_hosts_do_not_wait_for_one_another() -> None:
    door, (a, b) = Door(), keys(2)
    assert door.enter(a) is None
    assert door.enter(b, host="other.example") is None


def test_whoever_asks_twice_keeps_the_place_in_the_row() -> None:
    door, (a, b, c) = Door(), keys(3)
    door.enter_all([a, b, c, b])
    door.limits.leave(HOST)
    assert door.called == [b]


def test_a_place_is_offered_to_one_key_only() -> None:
    door, (a, b, c, d) = Door(concurrent=2), keys(4)
    door.enter_all([a, b, c, d])
    door.limits.leave(HOST)
    door.limits.leave(HOST)
    assert door.called == [c, d]


def test_a_place_that_was_not_taken_goes_to_the_next() -> None:
    """The object may have been deleted, suspended or moved to another host while it waited."""
    door, (a, b, c) = Door(), keys(3)
    door.enter_all([a, b, c])
    door.limits.leave(HOST)
    door.limits.settle(b)
    assert door.called == [b, c]
    assert door.enter(c) is None


def test_a_place_that_was_taken_is_not_given_away_at_the_end_of_the_pass() -> None:
    door, (a, b, c) = Door(), keys(3)
    door.enter_all([a, b, c])
    door.limits.leave(HOST)
    assert door.enter(b) is None
    door.limits.settle(b)
    assert door.called == [b]
    door.limits.leave(HOST)
    assert door.called == [b, c]


def test_settling_a_key_that_was_offered_nothing_changes_nothing() -> None:
    door, (a, b) = Door(), keys(2)
    door.enter_all([a, b])
    door.limits.settle(b)
    door.limits.settle(Key(What.CONNECTION, "sales", "unknown"))
    assert door.called == []


def test_a_key_that_came_by_itself_is_not_called_again() -> None:
    door, (a, b) = Door(), keys(2)
    door.enter_all([a, b])
    door.limits.leave(HOST)
    assert door.enter(b) is None
    door.limits.leave(HOST)
    assert door.called == [b]


def test_a_rate_gives_each_key_a_time_of_its_own() -> None:
    door, many = Door(concurrent=100, per_minute=60), keys(4)
    assert door.enter_all(many) == [None, Later(NOW + SECOND), Later(NOW + 2 * SECOND), Later(NOW + 3 * SECOND)]


def test_a_key_keeps_its_reserved_time_and_goes_then() -> None:
    door, (a, b, c) = Door(concurrent=100, per_minute=60), keys(3)
    door.enter_all([a, b])
    assert door.enter(b, NOW + SECOND / 2) == Later(NOW + SECOND)
    assert door.enter(b, NOW + SECOND) is None
    assert door.enter(c, NOW + SECOND) == Later(NOW + 2 * SECOND)


def test_a_quiet_host_saves_up_no_places() -> None:
    door, (a, b, c) = Door(concurrent=100, per_minute=60), keys(3)
    door.enter(a)
    later = NOW + timedelta(minutes=5)
    assert door.enter_all([b, c], later) == [None, Later(later + SECOND)]


def test_a_connector_that_changes_its_limits_is_followed() -> None:
    door, (a, b, c) = Door(), keys(3)
    door.enter_all([a, b])
    door.concurrent = 2
    assert door.enter(b) is None
    door.per_minute = 60
    assert door.enter(c) == Later(None)


@pytest.mark.spec("C11")
def test_a_host_that_asked_for_a_pause_gets_nobody_before_its_end() -> None:
    door, (a, *others) = Door(concurrent=100), keys(50)
    door.enter(a)
    until = NOW + timedelta(seconds=30)
    door.limits.close(HOST, until)
    moments = [answer.when for answer in door.enter_all(others) if answer is not None]
    assert len(moments) == len(others)
    assert all(moment is not None and until <= moment <= until + RETURN_SPREAD for moment in moments)
    assert len(set(moments)) == len(moments), "they come back apart"
    assert door.enter(others[0], until) is None


def test_a_host_may_ask_for_a_pause_before_anybody_had_a_place_there() -> None:
    """Codes are spent ahead of all others, without one."""
    door, (a,), until = Door(), keys(1), NOW + 60 * SECOND
    door.limits.close(HOST, until)
    door.limits.tidy(NOW)
    refusal = door.enter(a)
    assert isinstance(refusal, Later)
    assert refusal.when is not None
    assert refusal.when >= until


def test_the_longer_of_two_pauses_counts() -> None:
    door, (a, b) = Door(concurrent=2), keys(2)
    door.enter(a)
    door.limits.close(HOST, NOW + 60 * SECOND)
    door.limits.close(HOST, NOW + SECOND)
    assert isinstance(door.enter(b, NOW + 2 * SECOND), Later)


def test_a_pause_does_not_gather_reserved_places_for_its_end() -> None:
    door, (first, *others) = Door(concurrent=100, per_minute=60), keys(31)
    door.enter(first)
    door.enter_all(others)
    until = NOW + 60 * SECOND
    door.limits.close(HOST, until)
    went = [key for key in others if door.enter(key, until + RETURN_SPREAD) is None]
    assert len(went) == 1


def test_keys_that_wait_at_a_closed_host_all_get_a_time() -> None:
    door, (a, b, c) = Door(), keys(3)
    door.enter_all([a, b, c])
    door.limits.close(HOST, NOW + 60 * SECOND)
    door.limits.leave(HOST)
    assert door.called == [b]
    assert isinstance(door.enter(b, NOW + SECOND), Later)
    door.limits.settle(b)
    assert door.called == [b, c]


def idle(door: Door) -> bool:
    """Nothing is kept of any host."""
    limits: Any = door.limits
    return not limits._hosts and not limits._offers


def test_a_host_is_forgotten_when_nobody_asks_for_it() -> None:
    door, (a,) = Door(), keys(1)
    door.enter(a)
    door.limits.leave(HOST)
    door.limits.tidy(NOW + FORGET_AFTER)
    assert not idle(door)
    door.limits.tidy(NOW + FORGET_AFTER + SECOND)
    assert idle(door)


def test_a_host_that_is_in_use_is_kept() -> None:
    door, (a, b) = Door(), keys(2)
    door.enter(a)
    door.limits.tidy(NOW + 2 * FORGET_AFTER)
    assert door.enter(b) == Later(None)


def test_a_long_pause_is_not_forgotten() -> None:
    door, (a, b) = Door(), keys(2)
    door.enter(a)
    door.limits.close(HOST, NOW + timedelta(hours=1))
    door.limits.leave(HOST)
    door.limits.tidy(NOW + timedelta(minutes=30))
    assert isinstance(door.enter(b, NOW + timedelta(minutes=31)), Later)


def test_a_reservation_of_a_key_that_never_came_back_is_forgotten() -> None:
    door, (a, b) = Door(concurrent=2, per_minute=60), keys(2)
    door.enter_all([a, b])
    door.limits.leave(HOST)
    door.limits.tidy(NOW + 2 * FORGET_AFTER)
    assert idle(door)


def test_tidying_calls_whoever_was_forgotten() -> None:
    door, (a, b, c) = Door(), keys(3)
    door.enter_all([a, b, c])
    door.limits.leave(HOST)
    door.limits.tidy(NOW)
    assert door.called == [b, c], "b was called and did not answer"


class Crowd(RuleBasedStateMachine):
    """Whatever the order, the limit holds and nobody is left standing while there is room."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Door(concurrent=2)
        self.inside: list[Key] = []
        self.waiting: set[Key] = set()

    @rule(key=st.sampled_from(keys(6)))
    def ask(self, key: Key) -> None:
        if key in self.inside:
            return
        self.waiting.discard(key)
        if self.door.enter(key) is None:
            self.inside.append(key)
        else:
            self.waiting.add(key)
        self.door.limits.settle(key)

    @rule(answers=st.booleans())
    def answer_the_call(self, answers: bool) -> None:
        while self.door.called:
            key = self.door.called.pop(0)
            self.waiting.discard(key)
            if answers and key not in self.inside:
                if self.door.enter(key) is None:
                    self.inside.append(key)
                else:
                    self.waiting.add(key)
            self.door.limits.settle(key)

    @rule()
    def leave(self) -> None:
        if self.inside:
            self.door.limits.settle(self.inside.pop(0))
            self.door.limits.leave(HOST)

    @invariant()
    def the_limit_holds(self) -> None:
        assert len(self.inside) <= 2

    @invariant()
    def nobody_is_left_standing(self) -> None:
        if len(self.inside) < 2 and self.waiting:
            assert self.door.called, "room, someone waiting, and nobody called"


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
