"""Keys of issuers on the gateway: when the operator is asked for newer ones, and when a request is told to go."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.key_sets import KeySetMirror, KeySets, KeysUnavailableError
from lanyard.oauth.presented import Flaw, Presented, PresentedError
from lanyard.stores.issuer_keys import IssuerKeys

pytestmark = pytest.mark.spec("F5")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WAIT = timedelta(milliseconds=50)


def encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).decode().rstrip("=")


def jwks(*key_ids: str) -> bytes:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    point = {"kty": "EC", "crv": "P-256", "x": encoded(numbers.x), "y": encoded(numbers.y)}
    return json.dumps({"keys": [point | {"kid": one} for one in key_ids]}).encode()


def presented(key_id: str | None, algorithm: str = "ES256") -> Presented:
    return Presented(
        algorithm=algorithm, key_id=key_id, type="", signing_input=b"", signature=b"", unverified_claims={},
        unverified_issuer="i", unverified_subject="s", unverified_audiences=("a",), digest="",
    )  # fmt: skip


SEEN = IssuerKeys("set", "https://issuer.example", jwks("k1"), NOW - timedelta(minutes=5), None, "1")


@dataclass(slots=True)
class Operator:
    """Takes questions, and answers them with `answer` when there is one."""

    mirror: KeySetMirror
    answer: Callable[[], bytes] | None = None
    refusal: int | None = None
    asked: list[str] = field(default_factory=list)

    async def ask_again(self, name: str, seen: str, now: datetime) -> None:
        self.asked.append(seen)
        if self.refusal is not None:
            raise KubernetesError(KubernetesStatus(self.refusal))
        question = replace(self.mirror.known[name], refetch_at=now, version="2")
        self.mirror.change(question)
        if self.answer is not None:
            news = replace(question, jwks=self.answer(), answered_at=now, fetched_at=now, version="3")
            asyncio.get_running_loop().call_soon(self.mirror.change, news)


@dataclass(slots=True)
class Place:
    """A gateway with one key set, at a time that the test sets."""

    now: datetime = NOW
    mirror: KeySetMirror = field(default_factory=KeySetMirror)

    def gateway(self, operator: Any) -> KeySets:
        return KeySets(self.mirror, operator, lambda: self.now, wait=WAIT)


@pytest.fixture
async def place() -> Place:
    found = Place()
    found.mirror.replace([SEEN], "1")
    return found


async def test_a_known_key_asks_nobody(place: Place) -> None:
    operator = Operator(place.mirror)
    key = await place.gateway(operator).find("set", presented("k1"))
    assert (key.key_id, operator.asked) == ("k1", [])


async def test_an_unknown_key_id_has_the_keys_fetched_and_is_found(place: Place) -> None:
    operator = Operator(place.mirror, answer=lambda: jwks("k1", "k2"))
    key = await place.gateway(operator).find("set", presented("k2"))
    assert (key.key_id, operator.asked) == ("k2", ["1"])


NEVER_ASKED: dict[str, tuple[str | None, str, Flaw]] = {
    "a key for another algorithm": ("k1", "RS256", Flaw.KEY_UNFIT),
    "no key id, and no key for the algorithm": (None, "RS256", Flaw.KEY_UNKNOWN),
}


async def flaw_of(sets: KeySets, one: Presented) -> Flaw:
    with pytest.raises(PresentedError) as caught:
        await sets.find("set", one)
    return caught.value.flaw


@pytest.mark.parametrize(("key_id", "algorithm", "flaw"), NEVER_ASKED.values(), ids=NEVER_ASKED.keys())
async def test_what_no_newer_keys_would_mend_asks_nobody(
    place: Place, key_id: str | None, algorithm: str, flaw: Flaw
) -> None:
    operator = Operator(place.mirror)
    assert await flaw_of(place.gateway(operator), presented(key_id, algorithm)) is flaw
    assert operator.asked == []


async def test_junk_is_refused_as_soon_as_the_operator_has_looked(place: Place) -> None:
    operator = Operator(place.mirror, answer=lambda: SEEN.jwks)
    sets = KeySets(place.mirror, operator, lambda: NOW, wait=timedelta(seconds=60))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        assert await flaw_of(sets, presented("junk")) is Flaw.KEY_UNKNOWN


async def test_a_flood_of_junk_asks_once_in_the_pause(place: Place) -> None:
    operator = Operator(place.mirror, answer=lambda: SEEN.jwks)
    sets = place.gateway(operator)
    await asyncio.gather(*(flaw_of(sets, presented(f"junk-{number}")) for number in range(50)))
    place.now += timedelta(seconds=29)
    await flaw_of(sets, presented("junk"))
    assert len(operator.asked) == 1
    place.now += timedelta(seconds=1)
    await flaw_of(sets, presented("junk"))
    assert len(operator.asked) == 2


async def test_requests_that_come_while_the_keys_are_fetched_wait_for_the_same_answer(place: Place) -> None:
    operator = Operator(place.mirror, answer=lambda: jwks("k2"))
    sets = place.gateway(operator)
    found = await asyncio.gather(*(sets.find("set", presented("k2")) for _ in range(10)))
    assert ({key.key_id for key in found}, len(operator.asked)) == ({"k2"}, 1)


async def test_a_question_of_another_gateway_is_waited_for_and_not_asked_again(place: Place) -> None:
    place.mirror.change(replace(SEEN, refetch_at=NOW - timedelta(milliseconds=10), version="2"))
    operator = Operator(place.mirror)
    waiting = asyncio.create_task(place.gateway(operator).find("set", presented("k2")))
    await asyncio.sleep(0)
    place.mirror.change(replace(SEEN, refetch_at=NOW, answered_at=NOW, jwks=jwks("k2"), version="3"))
    assert ((await waiting).key_id, operator.asked) == ("k2", [])


EARLIER = {"a clock behind ours": timedelta(seconds=-29), "a clock ahead of ours": timedelta(seconds=29)}


@pytest.mark.parametrize("distance", EARLIER.values(), ids=EARLIER.keys())
async def test_an_open_question_of_another_gateway_holds_nobody_up_for_long(place: Place, distance: timedelta) -> None:
    """The issuer may be down: only who comes right after the question waits."""
    place.mirror.change(replace(SEEN, refetch_at=NOW + distance, version="2"))
    operator = Operator(place.mirror)
    sets = KeySets(place.mirror, operator, lambda: NOW, wait=timedelta(seconds=20))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        assert await flaw_of(sets, presented("k2")) is Flaw.KEY_UNKNOWN
    assert operator.asked == []


async def test_a_clock_that_is_an_hour_ahead_does_not_keep_others_from_asking(place: Place) -> None:
    place.mirror.change(replace(SEEN, refetch_at=NOW + timedelta(hours=1), version="2"))
    operator = Operator(place.mirror, answer=lambda: jwks("k2"))
    assert (await place.gateway(operator).find("set", presented("k2"))).key_id == "k2"


async def test_who_loses_the_race_to_ask_waits_for_the_winner(place: Place) -> None:
    operator = Operator(place.mirror, refusal=409)
    waiting = asyncio.create_task(place.gateway(operator).find("set", presented("k2")))
    await asyncio.sleep(0.01)
    place.mirror.change(replace(SEEN, refetch_at=NOW, answered_at=NOW, jwks=jwks("k2"), version="3"))
    assert (await waiting).key_id == "k2"


async def test_a_write_of_the_operator_that_came_first_takes_no_question_away(place: Place) -> None:
    """It may be of a fetch that was made before the issuer had the key."""
    operator = Operator(place.mirror, answer=lambda: jwks("k3"), refusal=409)
    waiting = asyncio.create_task(place.gateway(operator).find("set", presented("k3")))
    await asyncio.sleep(0.01)
    operator.refusal = None
    place.mirror.change(replace(SEEN, jwks=jwks("k2"), version="1b"))
    assert ((await waiting).key_id, operator.asked) == ("k3", ["1", "1b"])


@pytest.mark.parametrize("code", [0, 403, 404, 500])
async def test_an_api_server_that_takes_no_question_is_not_asked_in_a_loop(place: Place, code: int) -> None:
    operator = Operator(place.mirror, refusal=code)
    sets = place.gateway(operator)
    assert await flaw_of(sets, presented("k2")) is Flaw.KEY_UNKNOWN
    place.now += timedelta(seconds=10)
    assert await flaw_of(sets, presented("k2")) is Flaw.KEY_UNKNOWN
    assert len(operator.asked) == 1


async def test_an_operator_that_says_nothing_is_not_waited_for_long(place: Place) -> None:
    async with asyncio.timeout(5):
        assert await flaw_of(place.gateway(Operator(place.mirror)), presented("k2")) is Flaw.KEY_UNKNOWN


UNAVAILABLE = {
    "never fetched": None,
    "fetched over a day ago": replace(SEEN, fetched_at=NOW - timedelta(hours=24, seconds=1)),
    "not a key set": replace(SEEN, jwks=b"[]"),
}


@pytest.mark.parametrize("seen", UNAVAILABLE.values(), ids=UNAVAILABLE.keys())
async def test_keys_that_nobody_can_vouch_for_are_told_apart_from_wrong_ones(
    place: Place, seen: IssuerKeys | None
) -> None:
    place.mirror.replace([seen] if seen is not None else [], "2")
    with pytest.raises(KeysUnavailableError):
        await place.gateway(Operator(place.mirror)).find("set", presented("k1"))


async def test_keys_that_are_a_day_old_are_still_taken(place: Place) -> None:
    place.mirror.change(replace(SEEN, fetched_at=NOW - timedelta(hours=24)))
    assert (await place.gateway(Operator(place.mirror)).find("set", presented("k1"))).key_id == "k1"


async def test_a_withdrawn_key_is_gone_with_the_next_version(place: Place) -> None:
    sets = place.gateway(Operator(place.mirror))
    first = await sets.find("set", presented("k1"))
    place.mirror.change(replace(SEEN, version="2", fetched_at=NOW))
    assert await sets.find("set", presented("k1")) is first
    place.mirror.change(replace(SEEN, version="3", jwks=jwks("k2")))
    assert await flaw_of(sets, presented("k1")) is Flaw.KEY_UNKNOWN


async def test_a_set_that_is_gone_is_gone(place: Place) -> None:
    sets = place.gateway(Operator(place.mirror))
    await sets.find("set", presented("k1"))
    place.mirror.forget(SEEN)
    with pytest.raises(KeysUnavailableError):
        await sets.find("set", presented("k1"))


async def test_a_credential_may_carry_its_keys_itself(place: Place) -> None:
    sets = place.gateway(Operator(place.mirror))
    own = jwks("own").decode()
    assert sets.find_inline(own, presented("own")) is sets.find_inline(own, presented("own"))
    with pytest.raises(PresentedError) as caught:
        sets.find_inline("no keys", presented("own"))
    assert caught.value.flaw is Flaw.KEY_UNKNOWN
