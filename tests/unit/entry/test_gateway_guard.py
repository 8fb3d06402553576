import ipaddress

import pytest

from lanyard.entry.gateway_guard import Limiter, client_address

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("203.0.113.9", [], "203.0.113.9", id="straight"),
        pytest.param("203.0.113.9", ["198.51.100.1"], "203.0.113.9", id="a header that nobody of ours wrote"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="behind our proxy"),
        pytest.param("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1", id="what the client wrote in front"),
        pytest.param("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1", id="behind two of ours"),
        pytest.param("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1", id="in two lines"),
        pytest.param("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1", id="what is no address"),
        pytest.param("10.0.0.1", [""], "10.0.0.1", id="an empty header"),
        pytest.param("10.0.0.1", ["10.0.0.3"], "10.0.0.3", id="from inside"),
        pytest.param("::ffff:203.0.113.9", [], "203.0.113.9", id="an IPv4 address in an IPv6 one"),
        pytest.param("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64", id="one subscriber of IPv6"),
        pytest.param("", [], "unknown", id="no peer"),
    ],
)
def test_who_asks(peer: str, forwarded: list[str], expected: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected


def test_an_asker_may_burst_and_then_waits_its_turn() -> None:
    clock = Clock()
    limiter = Limiter(60, clock)
    assert [limiter.wait("a") for _ in range(20)] == [0.0] * 20
    assert limiter.wait("a") == pytest.approx(1.0)
    assert limiter.wait("b") == 0.0
    clock.now = 1.0
    assert limiter.wait("a") == 0.0
    assert limiter.wait("a") > 0.0


def test_asking_while_refused_does_not_lengthen_the_wait() -> None:
    clock = Clock()
    limiter = Limiter(3, clock)
    assert limiter.wait("a") == 0.0
    for _ in range(50):
        assert limiter.wait("a") == pytest.approx(20.0)
    clock.now = 20.0
    assert limiter.wait("a") == 0.0


def test_a_flood_of_addresses_takes_no_more_memory_than_a_bounded_list() -> None:
    limiter = Limiter(3, Clock())
    for number in range(25_000):
        limiter.wait(str(number))
    assert len(limiter._buckets) == 20_000
