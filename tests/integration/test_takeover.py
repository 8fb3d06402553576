"""Two operators on the real API server: one works, the other takes over, and no token is asked for twice."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from localenv.proxy import FaultProxy
from support.cluster import Cluster
from support.fleet import Fleet, audited, frozen, leads, logged_at, wait_until

PRODUCTION = {"lease_duration": "10s", "lease_renew": "3s", "lease_retry": "1s"}
# Short, and yet longer than a busy machine keeps a process waiting.
BRIEF = {"lease_duration": "5s", "lease_renew": "1s", "lease_retry": "1s"}
TRUSTED = 0.8 * 5

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def fleet(cluster: Cluster) -> Iterator[Fleet]:
    with Fleet(cluster) as fleet:
        yield fleet


@pytest.fixture
def two(operator_process: Callable[..., Any], fleet: Fleet) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Starts two operators; the first leads and every Connection is Ready when they are returned."""
    made: list[Any] = []

    def start(*, standby: Path | None = None, **settings: Any) -> tuple[Any, Any]:
        made.append(operator_process(**settings).start())
        made.append(operator_process(**{"kubeconfig": standby, **settings}).start(leads=False))
        fleet.wait_ready()
        return made[0], made[1]

    yield start
    for process in made:
        if process.running:
            process.stop()


@pytest.fixture
def proxy(environment: Any, kubernetes: Any) -> Iterator[FaultProxy]:
    with FaultProxy(environment.processes, environment.pki, "takeover", kubernetes.url) as proxy:
        yield proxy


@pytest.fixture
def proxied(kubernetes: Any, proxy: FaultProxy) -> Path:
    path: Path = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator", server=proxy.url)
    return path


@pytest.mark.spec("K6")
def test_of_two_operators_one_works_and_the_other_is_ready_and_does_nothing(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet, proxy: FaultProxy, proxied: Path
) -> None:
    first, second = two(standby=proxied, **BRIEF)
    since, stamp = time.monotonic(), time.time()
    fleet.wait_all_asked(since=since)
    fleet.wait_all_asked(since=time.monotonic())
    assert fleet.doubles() == []
    assert fleet.went_back == []
    for action in ("resolve", "token request", "publish"):
        assert audited(first, action, stamp)
        assert audited(second, action) == []
    assert {one.method for one in proxy.log()} == {"GET"}
    assert (leads(first), leads(second)) == (True, False)
    assert httpx.get(f"{second.address}/readyz").status_code == 200
    assert fleet.lease()["holderIdentity"] == first.wait_for("leading")["holder"]


@pytest.mark.spec("K6")
def test_after_a_kill_the_other_refreshes_within_fifteen_seconds(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet
) -> None:
    first, second = two(**PRODUCTION)
    first.kill()
    killed = time.monotonic()
    wait_until(lambda: bool(fleet.requests(since=killed + 1.0)), seconds=20)
    took = fleet.requests(since=killed + 1.0)[0].at - killed
    assert took <= 15
    assert took > 5, "before that the first one could still have been at work"
    fleet.wait_all_asked(since=killed + 1.0)
    fleet.wait_ready()
    assert fleet.doubles(lost_at=killed) == []
    assert fleet.went_back == []
    assert second.wait_for("leading")["unbroken"] is False


@pytest.mark.spec("K6")
def test_after_a_clean_stop_the_other_refreshes_within_two_seconds_and_nothing_is_asked_twice(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet
) -> None:
    first, second = two(**PRODUCTION)
    fleet.wait_all_asked(since=time.monotonic())
    first.terminate()
    stopped = time.time()
    wait_until(lambda: leads(second), seconds=10)
    wait_until(lambda: not first.running, seconds=10)
    wait_until(lambda: bool(audited(second, "token request")), seconds=10)
    assert logged_at(audited(second, "token request")[0]) - stopped <= 2
    assert first.stop() == 0
    fleet.wait_all_asked(since=time.monotonic())
    assert fleet.doubles() == []
    assert fleet.went_back == []


@pytest.mark.spec("K6", "C+2")
def test_a_leader_that_was_frozen_for_longer_than_its_lease_wakes_and_sends_nothing(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet
) -> None:
    first, second = two(**BRIEF)
    fleet.provider.wait_for(len(fleet.requests()) + 1)
    with frozen(first):
        froze = time.monotonic()
        wait_until(lambda: leads(second), seconds=20)
        fleet.wait_all_asked(since=time.monotonic())
        woke, stamp = time.monotonic(), time.time()
    first.wait_for("the Lease is somebody else's")
    fleet.wait_all_asked(since=time.monotonic())
    fleet.wait_all_asked(since=time.monotonic())
    sent = len(fleet.requests(since=woke))
    assert sent <= len(audited(second, "token request", stamp)) + 3, "a few may be in flight"
    assert audited(first, "publish", stamp) == [], "an answer that was under way is thrown away"
    assert (leads(first), leads(second)) == (False, True)
    assert fleet.doubles(lost_at=froze) == []
    assert fleet.went_back == []

    second.stop()
    wait_until(lambda: leads(first), seconds=10)
    fleet.wait_all_asked(since=time.monotonic())
    assert fleet.doubles(lost_at=froze) == [], "what happened while it was frozen is known when it leads again"


@pytest.mark.spec("K6", "C+2")
def test_in_an_outage_of_the_api_server_both_stop_and_afterwards_the_same_one_goes_on(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet, proxy: FaultProxy, proxied: Path
) -> None:
    first, second = two(kubeconfig=proxied, **BRIEF)
    fleet.wait_all_asked(since=time.monotonic())
    proxy.refuse()
    out = time.monotonic()
    wait_until(lambda: not leads(first), seconds=TRUSTED + 1)
    stopped = time.monotonic()
    time.sleep(2 * TRUSTED)
    assert fleet.requests(since=stopped + 0.1) == []
    assert not leads(second)
    proxy.pass_through()
    back = time.monotonic()
    fleet.wait_all_asked(since=back)
    fleet.wait_ready()
    assert not any(line.get("message") == "leading" for line in second.lines())
    assert fleet.doubles() == [], f"also not of what was received after {out:.2f} and could not be written"
    assert fleet.went_back == []


@pytest.mark.spec("K6")
def test_a_lease_that_is_deleted_by_hand_stays_with_its_holder(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet
) -> None:
    first, second = two(**BRIEF)
    acquired = fleet.lease()["acquireTime"]
    fleet.delete_lease()
    since = time.monotonic()
    fleet.wait_all_asked(since=since)
    fleet.wait_all_asked(since=time.monotonic())
    assert fleet.lease()["acquireTime"] == acquired
    assert (leads(first), leads(second)) == (True, False)
    assert fleet.doubles() == []


@pytest.mark.spec("K6")
def test_a_lease_that_is_edited_by_hand_ends_the_term_and_one_of_them_takes_it_again(
    two: Callable[..., tuple[Any, Any]], fleet: Fleet
) -> None:
    first, second = two(**BRIEF)
    fleet.edit_lease(holderIdentity="somebody-else")
    edited = time.monotonic()
    wait_until(lambda: not leads(first), seconds=3)
    lost = time.monotonic()
    wait_until(lambda: leads(first) != leads(second), seconds=20)
    assert time.monotonic() - edited > TRUSTED, "the holder of before trusts it so long when it does not know"
    fleet.wait_all_asked(since=time.monotonic())
    fleet.wait_ready()
    assert fleet.doubles(lost_at=lost) == []
    assert fleet.went_back == []


@pytest.mark.spec("K6")
def test_an_operator_without_the_right_to_the_lease_says_so_and_does_nothing(
    operator_process: Callable[..., Any], fleet: Fleet
) -> None:
    process = operator_process(exchange_namespace="no-such-place", **BRIEF).start(leads=False)
    said = process.wait_for("the API server did not do what was asked with the Lease")
    assert (said["verb"], said["status"], said["level"]) == ("read", 403, "warning")
    assert httpx.get(f"{process.address}/readyz").status_code == 200
    assert process.stop() == 0
    assert fleet.requests() == []
