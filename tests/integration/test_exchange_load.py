"""Two gateways under load while trust comes and goes, keys rotate, and the API server goes away for a moment.

Nothing wrong is taken, nothing right is refused, and what was withdrawn is refused within its bound. A gateway that has
not heard of the cluster for longer than that hands out nothing.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from lanyard.stores.ring_format import RingKey, parse_keys, ring_text
from lanyard.stores.signing import fresh_scalar
from localenv.proxy import FaultProxy
from support.federating import REFERENCE_PATH, FederationTeam
from support.issuing import StaticIssuer
from support.jwts import IssuerKey, key_pair

FRESH = 1.0
"""Within so many seconds a withdrawn trust is refused while the watch is fresh (issue: at the 99th percentile)."""


@dataclass
class Replica:
    """A gateway behind an API server that can go away."""

    gateway: Any
    proxy: FaultProxy


@dataclass
class Load:
    """Threads that ask until told to end; `answers` counts statuses by what was asked."""

    over: threading.Event = field(default_factory=threading.Event)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    tokens: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, what: str, ask: Callable[[], httpx.Response], expect: int) -> threading.Thread:
        def work() -> None:
            while not self.over.is_set():
                answer = ask()
                with self._lock:
                    self.answers[what, answer.status_code] += 1
                    if answer.status_code != expect:
                        self.faults.append(f"{what}: {answer.status_code} {answer.text}")
                    if answer.status_code == 200:
                        self.tokens.append(answer.json()["access_token"])
                time.sleep(0.005)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def replicas(environment: Any, kubernetes: Any, gateway_process: Callable[..., Any]) -> Iterator[list[Replica]]:
    proxies = [
        FaultProxy(environment.processes, environment.pki, f"exchange-{letter}", kubernetes.url).start()
        for letter in "ab"
    ]
    found: list[Replica] = []
    for proxy in proxies:
        kubeconfig = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-gateway", server=proxy.url)
        name = {"gateway_url": found[0].gateway.url} if found else {}
        many = dict.fromkeys(("client", "namespace", "address"), "1000000")
        limits = {f"exchange_{what}_requests_per_minute": value for what, value in many.items()}
        gateway = gateway_process(kubeconfig=kubeconfig, **name, **limits)
        found.append(Replica(gateway.start(), proxy))
    yield found
    for one in found:
        one.gateway.stop()
        one.proxy.stop()


@pytest.mark.spec("F9", "K6")
@pytest.mark.timeout(180)
def test_two_replicas_under_load_take_nothing_wrong_and_refuse_nothing_right(
    cluster: Any, environment: Any, issuer: StaticIssuer, replicas: list[Replica], rings: dict[str, str]
) -> None:
    team = FederationTeam(cluster, environment, replicas[0].gateway, issuer)
    client_id, forged = team.client_id(), IssuerKey(issuer.key.key_id, "RS256", key_pair("RS256", 99))
    team.trust()
    team.publish_keys()
    turns, load, revoked = itertools.cycle(replicas), Load(), []

    def ask(token: str, replica: Replica | None = None) -> httpx.Response:
        url = (replica or next(turns)).gateway.url + REFERENCE_PATH
        return team.client.post(url, data=team.reference_form(token, client_id=client_id))

    def withdraw(number: int) -> float:
        """Trust somebody, withdraw it, and see how long either replica goes on."""
        name, subject = f"gone-{number}", f"workload:gone-{number}"
        team.trust(name, subject=subject)
        for one in replicas:
            team.until(lambda one=one: ask(issuer.token(sub=subject), one), lambda answer: answer.status_code == 200)
        team.distrust(name)
        deleted = last = time.monotonic()
        while time.monotonic() - last < 0.3:
            for one in replicas:
                asked = time.monotonic()
                if ask(issuer.token(sub=subject), one).status_code == 200:
                    last = asked
        return last - deleted

    try:
        for one in replicas:
            team.until(lambda one=one: ask(issuer.token(), one), lambda answer: answer.status_code == 200)
        threads = [
            load.run("valid", lambda: ask(issuer.token()), 200),
            load.run("forged", lambda: ask(issuer.token(key=forged)), 400),
            load.run("stranger", lambda: ask(issuer.token(sub="workload:stranger")), 400),
        ]
        revoked += [withdraw(number) for number in range(5)]
        _rotate(Path(rings["keyring_signing"]))
        for one in replicas:
            one.proxy.cut()  # every watch ends, and begins anew
        revoked += [withdraw(number) for number in range(5, 10)]
        for one in replicas:  # an API server that starts anew: nobody answers for two seconds
            one.proxy.refuse()
        time.sleep(2.0)
        for one in replicas:
            one.proxy.pass_through()
        revoked += [withdraw(number) for number in range(10, 15)]
        load.over.set()
        for thread in threads:
            thread.join(10)
        assert not load.faults, load.faults[:3]
        assert max(revoked) < FRESH, revoked
        keys = _verifiable(team, load.tokens, replicas)
        assert keys == 2, "the key was rotated under load"
        told = {f"{what} {status}": count for (what, status), count in sorted(load.answers.items())}
        print(f"\n{told}; withdrawn: longest {max(revoked):.3f} s of {len(revoked)}")
        assert all(
            load.answers[what, status] > 50 for what, status in (("valid", 200), ("forged", 400), ("stranger", 400))
        )
    finally:
        load.over.set()
        team.close()


@pytest.mark.spec("F9")
def test_a_gateway_that_has_not_heard_of_the_cluster_hands_out_nothing(
    federation_team: FederationTeam, issuer: StaticIssuer, gateway_process: Callable[..., Any]
) -> None:
    """Nothing happens in this cluster for longer than the two seconds that this gateway is told to believe."""
    team = federation_team
    team.trust()
    team.publish_keys()
    team.until_taken(issuer.token())
    deaf = gateway_process(gateway_url=team.gateway.url, watch_silence="2s").start()

    def ask() -> httpx.Response:
        return team.client.post(deaf.url + REFERENCE_PATH, data=team.reference_form(issuer.token()))

    answer = team.until(ask, lambda answer: answer.status_code == 503)
    assert answer.json()["error"] == "temporarily_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert team.client.get(f"{deaf.url}/oauth/jwks").status_code == 200, "tokens that are out can still be checked"


def _rotate(path: Path) -> None:
    """A new key that signs at once; in life it is published for an hour before."""
    keys = parse_keys(path.read_text())
    active = datetime.now(UTC) - timedelta(seconds=1)
    path.write_text(ring_text((RingKey("rotated", fresh_scalar(), active), *keys)))


def _verifiable(team: FederationTeam, tokens: list[str], replicas: list[Replica]) -> int:
    """Every token that was handed out is good by the keys that either replica publishes. How many keys signed."""
    signed = set()
    for one in replicas:
        found = team.client.get(f"{one.gateway.url}/oauth/jwks").json()
        keys = {key["kid"]: jwt.PyJWK(key) for key in found["keys"]}
        for token in tokens:
            key_id = jwt.get_unverified_header(token)["kid"]
            jwt.decode(token, keys[key_id], algorithms=["ES256"], options={"verify_aud": False})
            signed.add(key_id)
    return len(signed)
