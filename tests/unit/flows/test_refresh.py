"""When a pass that wants a token may spend a refresh token for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import ProviderError
from lanyard.flows.keys import Key, What
from lanyard.flows.refresh import Refresher, Wish
from lanyard.flows.token_endpoint import Errand
from lanyard.flows.world import Record, World
from lanyard.oauth.responses import Token
from lanyard.reasons import Reason
from lanyard.rules.grants import Stored
from lanyard.sensitive import Sensitive
from support.plans import code_plan, connection
from support.stored import grant

DUE = datetime(2026, 3, 1, 12, 0, 0, 700_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_without_a_due_moment_only_a_wish_makes_it_due() -> None:
    assert not Wish().is_due(grant(), None, DUE)
    assert Wish(anew=True).is_due(grant(), None, DUE)


def test_a_retry_is_over_once_something_newer_than_what_is_published_is_stored() -> None:
    one = grant(issued_at=DUE)
    assert Wish(retry=True, published_at=DUE.replace(microsecond=0)).is_due(one, None, DUE)
    assert not Wish(retry=True, published_at=DUE - SECOND).is_due(one, None, DUE)


class Stuck:
    """A store that cannot take what came, and a provider that gives it."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure
        self.writes = 0
        self.adoption_of = lambda *_: None
        self.spend = World(wake=lambda _: None, sources_of=lambda *_: ()).spend

    async def read(self, _uid: str, _owner: str) -> Stored:
        return Stored(grant(scopes=(), client_id="client"), None, None, "1", "s")

    async def write(self, _uid: str, _owner: str, stored: Stored, *, now: datetime) -> Stored:
        self.writes += 1
        if stored.grant.generation == 1:
            return stored
        raise self.failure

    def enter(self, _errand: Errand) -> None:
        return None

    def leave(self, _errand: Errand) -> None:
        return None

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("it waits to write the same again")

    async def credentials(self, _errand: Errand) -> dict[str, Any]:
        return {}

    async def token(self, _errand: Errand, _resolved: Any, _grant: Any) -> Token:
        return Token(Sensitive("t"), "Bearer", None, DUE, None, {}, None)


async def test_what_is_too_large_to_be_stored_is_not_written_for_ever() -> None:
    """A worker, a place at the host and every deletion would wait for it."""
    around: Any = Stuck(ProviderError(Reason.PROVIDER_ANSWER_INVALID, host="login.example.com"))
    refresher = Refresher(
        world=around, store=around, adopter=around, endpoint=around, redirect_uri=lambda _: "", holder="me",
        intent_life=SECOND, clock=lambda: DUE, sleep=around.sleep,
    )  # fmt: skip
    record = Record(Key(What.CONNECTION, "sales", "crm"), "uid", 1, b"{}", b"{}")
    errand = Errand(record, connection("clientSecret", clientId="client"), code_plan())
    with pytest.raises(ProviderError) as caught:
        await refresher.renew(errand, Wish(anew=True))
    assert (caught.value.reason, around.writes) == (Reason.PROVIDER_ANSWER_INVALID, 2)
