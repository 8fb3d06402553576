import asyncio
import gc
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import SourceError, StoreError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores.cache import ENTRY_OVERHEAD, CredentialCache
from lanyard.stores.value import CacheKey, StoreValue

HOUR = timedelta(hours=1)
CANARY = "c4n4ry-value-of-a-secret"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """What stands behind the cache: counts how often it is asked."""

    def __init__(self, value: str = CANARY) -> None:
        self.value = value
        self.version = 1
        self.asked = 0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> StoreValue:
        self.asked += 1
        version = str(self.version)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return StoreValue({"password": Sensitive(self.value)}, version, frozenset({"keystore"}))


def key(
    asset: str = "uid-1/1", *, namespace: str = "sales", store: str = "store/1", account: str = "sales/x"
) -> CacheKey:
    return CacheKey(namespace=namespace, asset=asset, store=store, service_account=account)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> CredentialCache:
    return CredentialCache(clock=clock)


@pytest.mark.spec("A3")
async def test_a_value_is_fetched_once_and_kept_for_its_time(cache: CredentialCache, clock: Clock) -> None:
    source = Source()
    for _ in range(3):
        value = await cache.get_or_fetch(key(), HOUR, source)
        assert value.fields["password"].reveal() == CANARY
        assert value.unusable == {"keystore"}
    assert (source.asked, cache.misses, cache.hits) == (1, 1, 2)
    clock.now += 3599
    await cache.get_or_fetch(key(), HOUR, source)
    assert source.asked == 1
    clock.now += 1
    assert cache.peek_version(key()) is None
    await cache.get_or_fetch(key(), HOUR, source)
    assert source.asked == 2


@pytest.mark.spec("A3")
async def test_an_asset_may_ask_for_a_shorter_time(cache: CredentialCache, clock: Clock) -> None:
    source = Source()
    await cache.get_or_fetch(key(), timedelta(seconds=30), source)
    clock.now += 30
    await cache.get_or_fetch(key(), timedelta(seconds=30), source)
    assert source.asked == 2


async def test_the_time_begins_before_the_fetch_so_a_slow_store_does_not_stretch_it(
    cache: CredentialCache, clock: Clock
) -> None:
    async def slow() -> StoreValue:
        clock.now += 20
        return StoreValue({}, "1")

    await cache.get_or_fetch(key(), timedelta(seconds=30), slow)
    clock.now += 10
    assert cache.peek_version(key()) is None


@pytest.mark.spec("A2", "A3")
async def test_a_value_that_nobody_asks_for_again_is_gone_soon_after_its_time(
    cache: CredentialCache, clock: Clock
) -> None:
    await cache.get_or_fetch(key("old"), HOUR, Source())
    clock.now += 3661
    await cache.get_or_fetch(key("other", namespace="elsewhere"), HOUR, Source())
    assert len(cache) == 1
    assert list(cache._shares) == ["elsewhere"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(key(namespace="hr"), id="another namespace"),
        pytest.param(key("uid-1/2"), id="another generation of the asset"),
        pytest.param(key(store="store/2"), id="another generation of the store"),
        pytest.param(key(account="sales/y"), id="another ServiceAccount"),
    ],
)
async def test_a_value_is_never_answered_for(cache: CredentialCache, other: CacheKey) -> None:
    await cache.get_or_fetch(key(), HOUR, Source("mine"))
    value = await cache.get_or_fetch(other, HOUR, Source("theirs"))
    assert value.fields["password"].reveal() == "theirs"


async def test_a_hundred_that_ask_at_once_are_one_fetch(cache: CredentialCache) -> None:
    source = Source()
    source.gate = asyncio.Event()
    asking = [asyncio.create_task(cache.get_or_fetch(key(), HOUR, source)) for _ in range(100)]
    await asyncio.sleep(0)
    source.gate.set()
    assert {value.version for value in await asyncio.gather(*asking)} == {"1"}
    assert source.asked == 1
    assert len(cache._flights) == 0


async def test_when_the_one_that_fetches_is_cancelled_another_takes_over(cache: CredentialCache) -> None:
    source = Source()
    source.gate = asyncio.Event()
    first, second = (asyncio.create_task(cache.get_or_fetch(key(), HOUR, source)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    source.gate.set()
    assert (await second).version == "1"
    assert source.asked == 2
    assert len(cache._flights) == 0


async def test_one_key_does_not_wait_for_another(cache: CredentialCache) -> None:
    slow = Source()
    slow.gate = asyncio.Event()
    waiting = asyncio.create_task(cache.get_or_fetch(key("slow"), HOUR, slow))
    await asyncio.sleep(0)
    await asyncio.wait_for(cache.get_or_fetch(key("quick"), HOUR, Source()), 1)
    slow.gate.set()
    await waiting


@pytest.mark.spec("A4")
async def test_a_refused_value_is_dropped_and_fetched_afresh(cache: CredentialCache) -> None:
    source = Source()
    old = await cache.get_or_fetch(key(), HOUR, source)
    source.version = 2
    cache.invalidate(key(), old.version)
    assert (await cache.get_or_fetch(key(), HOUR, source)).version == "2"


@pytest.mark.spec("A4")
async def test_a_value_that_came_since_is_not_dropped(cache: CredentialCache) -> None:
    source = Source()
    old = await cache.get_or_fetch(key(), HOUR, source)
    cache.invalidate(key(), old.version)
    source.version = 2
    await cache.get_or_fetch(key(), HOUR, source)
    cache.invalidate(key(), old.version)
    cache.invalidate(key("never seen"), "1")
    assert cache.peek_version(key()) == "2"
    assert source.asked == 2


async def test_a_refusal_that_a_change_must_mend_is_remembered_for_seconds(
    cache: CredentialCache, clock: Clock
) -> None:
    source = Source()
    source.error = StoreError(Reason.STORE_PATH_NOT_FOUND, store="vault", path="apps/crm")
    for _ in range(3):
        with pytest.raises(StoreError, match="apps/crm") as caught:
            await cache.get_or_fetch(key(), HOUR, source)
        assert caught.value.reason is Reason.STORE_PATH_NOT_FOUND
    assert source.asked == 1
    source.error = None
    clock.now += 5
    assert (await cache.get_or_fetch(key(), HOUR, source)).version == "1"


@pytest.mark.spec("A+1")
@pytest.mark.parametrize(
    "error",
    [
        StoreError(Reason.STORE_SEALED, store="vault"),
        StoreError(Reason.STORE_UNAVAILABLE, store="vault"),
        StoreError(Reason.STORE_TLS_FAILED, store="vault"),
        SourceError(Reason.KUBERNETES_UNAVAILABLE),
        RuntimeError("anything else"),
    ],
    ids=lambda error: getattr(error, "reason", "a fault of ours"),
)
async def test_a_fault_of_the_weather_is_not_remembered(cache: CredentialCache, error: Exception) -> None:
    source = Source()
    source.error = error
    with pytest.raises(type(error)):
        await cache.get_or_fetch(key(), HOUR, source)
    source.error = None
    assert (await cache.get_or_fetch(key(), HOUR, source)).version == "1"


@pytest.mark.spec("A2", "A3")
async def test_nothing_that_the_cache_holds_contains_the_value(cache: CredentialCache) -> None:
    await cache.get_or_fetch(key(), HOUR, Source())
    await cache.get_or_fetch(key("other"), HOUR, Source(CANARY * 2))
    held = everything_below(cache)
    assert any(isinstance(one, bytes) and len(one) > len(CANARY) for one in held), "the scan sees the ciphertexts"
    assert not [one for one in held if CANARY in str(one) or (isinstance(one, bytes) and CANARY.encode() in one)]


def everything_below(root: object) -> list[Any]:
    """Every object that is reachable, without the modules and classes of the interpreter."""
    seen: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ in {"module", "function", "frame"}:
            continue
        seen[id(one)] = one
        waiting.extend(gc.get_referents(one))
    return list(seen.values())


async def test_a_ciphertext_that_was_moved_to_another_key_does_not_open(cache: CredentialCache) -> None:
    await cache.get_or_fetch(key("mine"), HOUR, Source("mine"))
    await cache.get_or_fetch(key("theirs"), HOUR, Source("theirs"))
    entries = cache._shares["sales"].entries
    entries[key("mine")] = entries[key("theirs")]
    with pytest.raises(InvalidTag):
        await cache.get_or_fetch(key("mine"), HOUR, Source())


@pytest.mark.spec("A3")
async def test_a_namespace_that_fills_its_share_evicts_its_own_values(clock: Clock) -> None:
    cache = CredentialCache(namespace_bytes=10 * (ENTRY_OVERHEAD + 200), clock=clock)
    await cache.get_or_fetch(key(namespace="quiet"), HOUR, Source())
    for number in range(50):
        await cache.get_or_fetch(key(str(number), namespace="greedy"), HOUR, Source())
    assert cache.peek_version(key(namespace="quiet")) == "1"
    assert len(cache) <= 12
    assert cache.evictions >= 39
    assert cache.peek_version(key("49", namespace="greedy")) == "1"


@pytest.mark.spec("A3")
async def test_the_whole_is_bounded_at_the_cost_of_the_largest(clock: Clock) -> None:
    cache = CredentialCache(total_bytes=10 * (ENTRY_OVERHEAD + 200), clock=clock)
    await cache.get_or_fetch(key(namespace="quiet"), HOUR, Source())
    for number in range(50):
        await cache.get_or_fetch(key(str(number), namespace="greedy"), HOUR, Source())
    assert cache.peek_version(key(namespace="quiet")) == "1"
    assert len(cache) <= 12


async def test_a_value_larger_than_a_share_is_answered_and_not_kept(clock: Clock) -> None:
    cache = CredentialCache(namespace_bytes=2048, clock=clock)
    value = await cache.get_or_fetch(key(), HOUR, Source("x" * 4096))
    assert len(value.fields["password"].reveal()) == 4096
    assert len(cache) == 0


steps = st.lists(
    st.tuples(
        st.sampled_from(["get", "invalidate", "wait"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 40),
        st.integers(1, 3000),
    ),
    max_size=60,
)


@given(steps)
def test_the_books_are_right_whatever_happens(story: list[tuple[str, str, int, int]]) -> None:
    with pytest.raises(StopIteration):  # nothing in it has to wait, so it needs no loop
        _tell(story).send(None)


async def _tell(story: list[tuple[str, str, int, int]]) -> None:
    clock = Clock()
    cache = CredentialCache(namespace_bytes=8192, total_bytes=16384, clock=clock)
    for what, namespace, number, amount in story:
        one = key(str(number), namespace=namespace)
        match what:
            case "get":
                source = Source(f"{namespace}/{number}" + "x" * amount)
                value = await cache.get_or_fetch(one, timedelta(seconds=amount), source)
                assert value.fields["password"].reveal().startswith(f"{namespace}/{number}x")
            case "invalidate":
                cache.invalidate(one, "1")
                assert cache.peek_version(one) is None
            case _:
                clock.now += amount
        shares = cache._shares
        sizes = {
            name: sum(len(entry.sealed) + ENTRY_OVERHEAD for entry in share.entries.values())
            for name, share in shares.items()
        }
        assert sizes == {name: share.size for name, share in shares.items()}
        assert cache._bytes == sum(sizes.values()) <= 16384
        assert all(0 < size <= 8192 for size in sizes.values())
