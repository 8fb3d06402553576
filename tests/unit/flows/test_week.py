"""A week in a minute: one Connection, its operator, its provider and its API server, in all weathers.

The flows are the real ones; what is simulated are the two places where they meet the world, and time. Hypothesis tells
the story of a week, `support.week_judge` watches it, and at its end a calm lets everything come that is waited for.
"""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.virtual_time import run_virtually
from support.week import (
    Aim,
    ApiOutage,
    Asked,
    Drop,
    Grant,
    Jump,
    Kill,
    Mishaps,
    Nothing,
    Outage,
    Revoke,
    Setting,
    Slip,
    Slips,
    Step,
    Suspend,
    TakeOver,
    Week,
)
from support.week_judge import CONNECTION, STATE, WORKLOAD
from support.week_provider import Habit, Habits, Mishap

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PROVIDERS = [
    ("fixed", Habit.FIXED),
    ("rotates", Habit.REVOKES),
    ("rotates", Habit.REFUSES),
    ("rotates", Habit.FIXED),
    ("rotatesWithGrace", Habit.GRACE),
    ("unknown", Habit.FIXED),
    ("unknown", Habit.REVOKES),
    ("unknown", Habit.GRACE),
    ("fixed", Habit.REVOKES),
]
"""What the catalogue says, and what the provider does: the last one is a catalogue that errs."""


@st.composite
def all_settings(draw: st.DrawFn) -> Setting:
    declared, habit = draw(st.sampled_from(PROVIDERS))
    habits = Habits(
        habit,
        life=draw(st.sampled_from([HOUR, 90.0, 10 * MINUTE, 8 * HOUR, DAY])),
        told_life=draw(st.sampled_from([True, True, False])),
        never=draw(st.sampled_from([False, False, False, True])),
        grace=draw(st.sampled_from([5 * MINUTE, MINUTE, 2 * HOUR])),
        kills_old_access_token=draw(st.booleans()),
    )
    return Setting(habits, declared, unbroken=draw(st.booleans()))


mishaps = st.lists(st.sampled_from(Mishap), min_size=1, max_size=4).map(lambda kinds: Mishaps(tuple(kinds)))
outages = st.builds(Outage, st.sampled_from(Mishap), st.sampled_from([MINUTE, 10 * MINUTE, 2 * HOUR, 12 * HOUR]))
slips = st.builds(
    Slips,
    st.sampled_from(Aim),
    st.integers(0, 5),
    st.lists(st.sampled_from(Slip), min_size=1, max_size=4).map(tuple),
)
api_outages = st.builds(ApiOutage, st.sampled_from([2.0, 20.0, MINUTE, 10 * MINUTE, 2 * HOUR]))
kills = st.builds(Kill, st.integers(0, 30), st.sampled_from([1.0, 20.0, 5 * MINUTE, 2 * HOUR]))
takeovers = st.builds(TakeOver, st.sampled_from([0.0, 5.0, MINUTE]))
jumps = st.builds(Jump, st.sampled_from([-10 * MINUTE, -5.0, 5.0, 10 * MINUTE, 3 * HOUR, -HOUR]))
deeds = st.one_of(
    mishaps, outages, slips, api_outages, kills, takeovers, jumps,
    st.builds(Grant), st.builds(Revoke), st.builds(Asked), st.builds(Suspend, st.booleans()), st.builds(Drop),
)  # fmt: skip
waits = st.one_of(
    st.builds(lambda due: {"due": due}, st.sampled_from([-1.0, 0.0, 0.1, 0.2, 0.4, 0.7, 1.5, 5.0])),
    st.builds(lambda seconds: {"seconds": seconds}, st.sampled_from([0.0, 0.05, 0.3, 2.0, 30.0])),
    st.builds(lambda lives: {"lives": lives}, st.sampled_from([0.1, 0.5, 0.9, 1.3])),
)
steps = st.lists(st.builds(lambda deed, wait: Step(deed, **wait), deeds, waits), min_size=4, max_size=14)
GRACE = Setting(Habits(Habit.GRACE, 8 * HOUR, grace=MINUTE), "rotatesWithGrace")
ROTATES = Setting(Habits(Habit.REVOKES, HOUR), "rotates")


def tell(setting: Setting, story: list[Step]) -> None:
    async def week() -> None:
        await Week(setting).run(story)

    run_virtually(week())


@pytest.mark.spec("C7", "C+1", "C+2")
@pytest.mark.timeout(600)  # a story that fails is made short before it is shown
@settings(
    max_examples=160,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(all_settings(), steps)
def test_whatever_happens_in_a_week_no_grant_is_lost_that_could_be_kept(setting: Setting, story: list[Step]) -> None:
    tell(setting, story)


@pytest.mark.spec("C+1")
@pytest.mark.parametrize(
    ("setting", "story"),
    [
        (GRACE, [Step(Mishaps((Mishap.DROPPED, Mishap.UNREACHABLE, Mishap.DENIED)))]),
        (GRACE, [Step(Mishaps((Mishap.DROPPED, *[Mishap.FAILED] * 5)))]),
        (
            Setting(Habits(Habit.FIXED, 90.0), "fixed"),
            [Step(Asked(), seconds=10.0) for _ in range(30)],
        ),
        (ROTATES, [Step(Slips(Aim.STATE, 1, (Slip.REFUSED, Slip.UNSENT, Slip.BUSY, Slip.MEDDLED)))]),
        (ROTATES, [Step(ApiOutage(MINUTE), due=0.4)]),
        (ROTATES, [Step(Slips(Aim.STATE, 1, (Slip.LOST,)))]),
        (ROTATES, [Step(Slips(Aim.STATE, 1, (Slip.REFUSED,) * 5)), Step(Grant(), due=0.2)]),
        (
            ROTATES,
            [Step(TakeOver(0.0), due=-1.0), Step(ApiOutage(2 * HOUR), seconds=0.5), Step(Nothing(), seconds=HOUR)],
        ),
        (ROTATES, [Step(Slips(Aim.STATE, 0, (Slip.REFUSED,) * 5)), Step(Grant()), Step(Grant(), seconds=0.5)]),
        (ROTATES, [Step(Mishaps((Mishap.DROPPED,)))]),
        (ROTATES, [Step(Revoke())]),
        (ROTATES, [Step(Mishaps((Mishap.THROTTLED,))), Step(Grant())]),
    ],
    ids=[
        "an answer that was lost is not forgotten when the next request did not even leave",
        "the time in which a token may be sent again begins with the first request, not with the last",
        "a wish that is put off does not keep a due token from being replaced",
        "a token that was received is written as soon as the API server takes it",
        "a token that was received survives a minute without the API server",
        "a token that was written although no answer came is found to be written",
        "a consent that comes while a token cannot be written replaces it",
        "who has just begun to lead asks an API server that is silent less and less often",
        "of two consents whose tokens cannot be written at first, the later one stays",
        "where a second use ends the grant, a lost answer is waited out until shortly before the expiry",
        "a grant that somebody has revoked is asked for once",
        "a provider that asks for a pause when a code is spent ends that consent and nothing else",
    ],
)
def test_a_week_with_one_story_to_tell(setting: Setting, story: list[Step]) -> None:
    tell(setting, [*story, Step(Nothing(), lives=2.5)])


@pytest.mark.spec("C7")
def test_a_refresh_of_a_rotating_grant_takes_four_writes() -> None:
    """Announce, keep, publish, report."""

    async def week() -> None:
        seen = Week(ROTATES)
        await seen.run([Step(Nothing(), lives=10.0)])
        refreshes = len(seen.judge.requests)
        assert refreshes > 10
        assert seen.api.writes.count(("PATCH", STATE)) == 2 * refreshes
        assert seen.api.writes.count(("APPLY", WORKLOAD)) == refreshes
        # Beside these: that there is no consent yet, and that there is one.
        assert seen.api.writes.count(("APPLY", f"{CONNECTION}/status")) == refreshes + 2

    run_virtually(week())
