"""The cluster's own issuer: when it is read through the API server, and what is said when that is not to be had."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lanyard.clients.http import FailureKind, OutboundError
from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError
from lanyard.flows.issuer_fetch import CLUSTER_ISSUER_LIFE, IssuerFetch, KeySource
from lanyard.flows.issuer_probe import IssuerProbe
from lanyard.oauth.jwk import KeySet
from lanyard.reasons import Reason

pytestmark = pytest.mark.spec("F5")

OWN = "https://kubernetes.default.svc.cluster.local"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


def encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).decode().rstrip("=")


@dataclass(slots=True)
class Cluster:
    """An API server; `refusals` by path."""

    refusals: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, path: str, *, accept: str = "application/json") -> dict[str, Any]:
        self.asked.append(path)
        if path in self.refusals:
            raise KubernetesError(KubernetesStatus(self.refusals[path]))
        if path == DISCOVERY:
            return {"issuer": OWN, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks"}
        assert (path, accept) == (KEYS, "application/jwk-set+json")
        numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
        key = {"kty": "EC", "crv": "P-256", "kid": "own", "x": encoded(numbers.x), "y": encoded(numbers.y)}
        return {"keys": [key]}


@dataclass(slots=True)
class Nowhere:
    """A network that leads nowhere."""

    asked: list[str] = field(default_factory=list)

    async def send(self, request: Any, **_: Any) -> Any:
        self.asked.append(request.url)
        raise OutboundError(FailureKind.UNREACHABLE, "issuer.example")


class Place:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 12, tzinfo=UTC)
        self.cluster, self.network = Cluster(), Nowhere()
        outbound: Any = self.network
        kube: Any = self.cluster
        self.fetch = IssuerFetch(outbound, kube, lambda: self.now)

    async def failure(self, source: KeySource) -> Reason:
        with pytest.raises(LanyardError) as caught:
            await self.fetch.fetch(source)
        return caught.value.reason


SOURCES = {"its name alone": KeySource(OWN), "a CA beside it": KeySource(OWN, ca_bundle="pem")}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
async def test_the_cluster_s_own_keys_come_from_the_api_server(source: KeySource) -> None:
    place = Place()
    found = await place.fetch.fetch(source)
    assert [key.key_id for key in KeySet.of(found.jwks).keys] == ["own"]
    assert (place.cluster.asked, place.network.asked) == ([DISCOVERY, KEYS], [])


OTHERS = {
    "another issuer": KeySource("https://issuer.example"),
    "a slash more": KeySource(f"{OWN}/"),
    "an address of its own": KeySource(OWN, "https://issuer.example/keys"),
}


@pytest.mark.parametrize("source", OTHERS.values(), ids=OTHERS.keys())
async def test_every_other_issuer_is_asked_over_the_network(source: KeySource) -> None:
    place = Place()
    assert await place.failure(source) is Reason.ISSUER_UNREACHABLE
    assert KEYS not in place.cluster.asked
    assert len(place.network.asked) == 1


async def test_who_the_cluster_s_issuer_is_is_asked_once_in_a_while() -> None:
    place = Place()
    for _ in range(5):
        await place.fetch.fetch(KeySource(OWN))
    assert place.cluster.asked.count(DISCOVERY) == 1
    place.now += CLUSTER_ISSUER_LIFE + timedelta(seconds=1)
    await place.fetch.fetch(KeySource(OWN))
    assert place.cluster.asked.count(DISCOVERY) == 2


@pytest.mark.parametrize("code", [403, 404])
async def test_a_cluster_that_tells_nobody_has_no_issuer_of_its_own(code: int) -> None:
    place = Place()
    place.cluster.refusals[DISCOVERY] = code
    assert await place.failure(KeySource(OWN)) is Reason.ISSUER_UNREACHABLE


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize("code", [0, 500])
async def test_an_api_server_that_does_not_answer_is_told_as_such(path: str, code: int) -> None:
    """To ask the network then would be to take another's word for the cluster's own keys."""
    place = Place()
    place.cluster.refusals[path] = code
    assert await place.failure(KeySource(OWN)) is Reason.KUBERNETES_UNAVAILABLE
    assert place.network.asked == []


async def test_a_probe_says_yes_or_no() -> None:
    probe = IssuerProbe(Place().fetch)
    assert await probe(OWN, jwks_uri=None, ca=None)
    assert not await probe("https://issuer.example", jwks_uri=None, ca=None)
