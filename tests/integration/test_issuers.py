"""Issuers' keys from the operator to the gateways: real API server, both with their own ServiceAccounts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lanyard.api.meta import ISSUER_KEYS_LABEL
from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.clients.reflector import Reflector
from lanyard.flows.key_sets import KeySetMirror, KeySets
from lanyard.oauth.jwk import KeySet
from lanyard.oauth.presented import Flaw, PresentedError, presented
from lanyard.stores.issuer_keys import IssuerKeys, IssuerKeyStore, key_set_name
from support.cluster import Cluster, message_of, status_of
from support.consenting import SECRETS
from support.issuing import Fetches, StaticIssuer
from support.provider import Answer

pytestmark = pytest.mark.spec("F5")

EXCHANGE = "lanyard-exchange"
SECONDS = 20.0
GATEWAY_URL = "https://lanyard.test"


@pytest.fixture(scope="module")
def issuer_settings() -> Mapping[str, str]:
    return {"gateway_url": GATEWAY_URL, "issuer_refresh": "2s", "issuer_keys_life": "240s"}


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], issuer_settings: Mapping[str, str]) -> Any:
    """Refreshes every 2 s, and writes the time of an idle set every 10 s."""
    return operator_process(**issuer_settings).start()


def trust(cluster: Cluster, name: str, issuer: str, **spec: Any) -> str:
    """A FederatedCredential; returns the name of its key set."""
    fields = {"connectionRef": {"name": "crm"}, "issuer": issuer, "audience": "a", "subject": "s"} | spec
    cluster.apply("FederatedCredential", name, fields)
    return key_set_name(issuer, spec.get("jwksURI"), spec.get("caBundle"))


def trusted(cluster: Cluster, issuer: StaticIssuer, name: str = "ci") -> str:
    return trust(cluster, name, issuer.url, caBundle=issuer.ca_pem)


def key_set(cluster: Cluster, name: str) -> IssuerKeys | None:
    answer = cluster.client.get(f"{SECRETS}/{name}")
    return IssuerKeys.of(answer.json()) if answer.status_code == 200 else None


def key_ids(found: IssuerKeys) -> set[str | None]:
    return {key.key_id for key in KeySet.of(found.jwks).keys}


def until(look: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def stored(cluster: Cluster, name: str) -> IssuerKeys:
    found: IssuerKeys = until(lambda: key_set(cluster, name))
    return found


@pytest.fixture(autouse=True)
def clean(cluster: Cluster) -> Iterator[None]:
    yield
    path = cluster.path("FederatedCredential")
    cluster.client.delete(path)


@asynccontextmanager
async def gateway(kubernetes: Any, **settings: Any) -> AsyncIterator[KeySets]:
    """The part of a gateway that finds keys, by the gateway's own rights."""
    path: Path = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-gateway")
    async with Kube(from_file(path)) as kube:
        mirror = KeySetMirror()
        secrets = f"/api/v1/namespaces/{EXCHANGE}/secrets"
        reflector = Reflector(kube, secrets, mirror, selector=ISSUER_KEYS_LABEL, metadata_only=False)
        watching = asyncio.create_task(reflector.run())
        await reflector.synced.wait()
        yield KeySets(mirror, IssuerKeyStore(kube, EXCHANGE), lambda: datetime.now(UTC), **settings)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_rotated_key_is_known_to_two_gateways_two_seconds_after_its_first_token(
    cluster: Cluster, kubernetes: Any, operator_process: Callable[..., Any], operator: Any, issuer: StaticIssuer
) -> None:
    """Two gateways and fifty requests at once ask once."""
    name = trusted(cluster, issuer)
    stored(cluster, name)
    issuer.answer_keys(Answer.of_json(issuer.key_set()))
    async with gateway(kubernetes) as one, gateway(kubernetes) as two:
        old = presented(issuer.token())
        assert (await one.find(name, old)).key_id == old.key_id
        issuer.rotate()
        issuer.mend()
        # The operator looks every 2 s by itself: the question has to come in between.
        issuer.wait_for_keys(issuer.fetches.keys + 1)
        issuer.rotate()
        new = presented(issuer.token())
        before = issuer.fetches.keys
        began = time.monotonic()
        requests = [sets.find(name, new) for sets in (one, two) for _ in range(25)]
        found = await asyncio.gather(*requests)
        assert time.monotonic() - began < 2
        assert {key.key_id for key in found} == {new.key_id}
        assert issuer.fetches.keys - before <= 2, "one for the question, and one that was due"
        with pytest.raises(PresentedError) as caught:
            await two.find(name, old)
        assert caught.value.flaw is Flaw.KEY_UNKNOWN


async def test_junk_makes_the_operator_fetch_once(
    cluster: Cluster, kubernetes: Any, operator_process: Callable[..., Any], operator: Any, issuer: StaticIssuer
) -> None:
    name = trusted(cluster, issuer)
    stored(cluster, name)
    async with gateway(kubernetes) as one, gateway(kubernetes) as two:
        for number in range(20):
            junk = presented(issuer.token(header={"kid": f"junk-{number}"}))
            for sets in (one, two):
                with pytest.raises(PresentedError):
                    await sets.find(name, junk)
    seen = stored(cluster, name)
    assert seen.refetch_at is not None
    assert not seen.asked, "the question was answered, though nothing was new"
    assert (datetime.now(UTC) - seen.refetch_at) < timedelta(seconds=20)


def test_the_cluster_s_own_issuer_is_read_through_the_api_server(
    cluster: Cluster, kubernetes: Any, operator: Any
) -> None:
    """Its certificate is that of no public CA, and nobody gave the operator another one for it."""
    name = trust(cluster, "pod", kubernetes.url)
    found = stored(cluster, name)
    token = kubernetes.service_account_token(cluster.namespace, "default", audiences=("a",))
    assert presented(token).key_id in key_ids(found)


def test_the_keys_of_the_certified_server_are_stored(cluster: Cluster, environment: Any, operator: Any) -> None:
    name = trust(cluster, "oidc", environment.oauth.issuer, caBundle=environment.pki.ca_path.read_text())
    assert key_ids(stored(cluster, name))


def test_an_outage_leaves_the_last_good_keys_and_the_end_of_it_brings_new_ones(
    cluster: Cluster, operator: Any, issuer: StaticIssuer
) -> None:
    name = trusted(cluster, issuer)
    before = stored(cluster, name)
    issuer.answer_keys(Answer(503))
    issuer.answer_discovery(Answer(503))
    until(lambda: outcomes(operator).get("IssuerUnreachable", 0) >= 2)
    after = key_set(cluster, name)
    assert after is not None
    assert after.jwks == before.jwks
    issuer.mend()
    new = issuer.rotate()
    until(lambda: key_ids(stored(cluster, name)) == {new.key_id})


def outcomes(operator: Any) -> dict[str, float]:
    prefix = 'lanyard_issuer_fetches_total{outcome="'
    return {
        name.removeprefix(prefix).rstrip('"}'): value
        for name, value in operator.metrics().items()
        if name.startswith(prefix)
    }


def test_keys_go_when_the_last_credential_that_names_them_goes(
    cluster: Cluster, operator: Any, issuer: StaticIssuer
) -> None:
    name = trusted(cluster, issuer, "one")
    trusted(cluster, issuer, "two")
    stored(cluster, name)
    cluster.delete("FederatedCredential", "one")
    issuer.wait_for_keys(issuer.fetches.keys + 1)
    assert key_set(cluster, name) is not None
    cluster.delete("FederatedCredential", "two")
    until(lambda: key_set(cluster, name) is None)


def test_keys_that_somebody_deleted_come_back(cluster: Cluster, operator: Any, issuer: StaticIssuer) -> None:
    name = trusted(cluster, issuer)
    stored(cluster, name)
    cluster.client.delete(f"{SECRETS}/{name}")
    stored(cluster, name)


def test_the_age_of_keys_is_a_metric(cluster: Cluster, operator: Any, issuer: StaticIssuer) -> None:
    stored(cluster, trusted(cluster, issuer))
    assert abs(until(lambda: fetched_at(operator, issuer)) - time.time()) < 10


def fetched_at(operator: Any, issuer: StaticIssuer) -> float | None:
    name = key_set_name(issuer.url, None, issuer.ca_pem)
    sample = f'lanyard_issuer_keys_fetched_timestamp_seconds{{issuer="{issuer.url}",key_set="{name}"}}'
    found: float | None = operator.metrics().get(sample)
    return found


def test_an_idle_issuer_costs_few_writes_and_a_restart_none(
    cluster: Cluster, operator_process: Callable[..., Any], operator: Any, issuer: StaticIssuer
) -> None:
    """By day the same: one write in 24 parts of the keys' life."""
    name = trusted(cluster, issuer)
    versions = {stored(cluster, name).version}
    fetches, ends = issuer.fetches.keys, time.monotonic() + 21
    while time.monotonic() < ends:
        versions.add(stored(cluster, name).version)
        time.sleep(0.1)
    assert issuer.fetches.keys - fetches >= 8
    assert len(versions) - 1 <= 2
    before = stored(cluster, name)
    operator.stop()
    issuer.forget()
    # What a restart does is then all that happens.
    patient = operator_process(gateway_url=GATEWAY_URL, issuer_refresh="10h").start()
    until(lambda: fetched_at(patient, issuer))
    fetches, after = issuer.fetches, stored(cluster, name)
    patient.stop()
    operator.start()
    assert (fetches, after.version) == (Fetches(0, 0), before.version)


def test_a_private_address_that_the_platform_does_not_allow_is_never_asked(
    cluster: Cluster, operator_process: Callable[..., Any], operator: Any, issuer: StaticIssuer,
    issuer_settings: Mapping[str, str],
) -> None:  # fmt: skip
    operator.stop()
    strict = operator_process(**issuer_settings, egress_allowed_networks="").start()
    try:
        name = trusted(cluster, issuer)
        until(lambda: outcomes(strict).get("EgressNotAllowed"))
        assert key_set(cluster, name) is None
        assert issuer.fetches.discovery == 0
    finally:
        strict.stop()
        operator.start()


def test_a_credential_says_what_is_wrong_with_its_issuer_and_that_it_was_mended(
    cluster: Cluster, operator: Any, issuer: StaticIssuer
) -> None:
    issuer.answer_discovery(Answer.of_json(issuer.discovery(issuer=f"{issuer.url}/")))
    trusted(cluster, issuer)
    kind, condition = "FederatedCredential", "IssuerKeysKnown"
    seen = cluster.wait_reason("ci", "IssuerMismatch", kind=kind, condition=condition)
    assert "a slash at the end counts" in message_of(seen, condition)
    issuer.mend()
    cluster.wait(kind, "ci", lambda one: status_of(one, condition) == "True")
