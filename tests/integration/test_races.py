"""What changes while something else is under way: nothing is lost, nothing of yesterday is published, nothing spins."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from lanyard.connectors.loader import load_catalogue
from lanyard.reasons import Reason
from support.cluster import Cluster, Object, conditions, is_current, reason_of, status_of
from support.connecting import asks, from_secret, token_of
from support.install import install_chart, rendered, second_release
from support.people import eventually
from support.provider import Answer, Recorded, ScriptedProvider
from support.tenant import Tenant

UID_LABEL = "lanyard.dev/connection-uid"
PATH = "/token"
TOKEN = "crm-token"
DAMAGE = {"data": {"access_token": "c3RvbGVu"}}


@pytest.fixture(autouse=True)
def _alive(operator: Any) -> Iterator[None]:
    yield
    assert operator.running
    assert operator.metrics()["lanyard_faults_total"] == 0


class Counting(ScriptedProvider):
    """Answers with t0ken-1, t0ken-2, ... after `delay` seconds."""

    delay = 0.0
    fields: dict[str, Any] = {}

    def count(self) -> None:
        def answer(_: Recorded) -> Answer:
            return Answer.of_token(f"t0ken-{self.asked}", delay=self.delay, **self.fields)

        self.script(PATH, answer)

    @property
    def asked(self) -> int:
        return len(self.requests(PATH))

    @property
    def token_url(self) -> str:
        return self.url + PATH


@pytest.fixture
def provider() -> Iterator[Counting]:
    with Counting(tls=False) as provider:
        provider.count()
        yield provider


@pytest.fixture
def here(cluster: Cluster) -> Cluster:
    """With the client secret that `asks` refers to."""
    cluster.secret("client", secret="s3cret")
    return cluster


@pytest.fixture
def other(kubernetes: Any, cluster: Cluster) -> Iterator[Cluster]:
    """A second namespace."""
    name = f"{cluster.namespace}-b"
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    with kubernetes.client() as client:
        yield Cluster(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def connector(here: Cluster) -> Iterator[Callable[..., str]]:
    """Makes the generic connector anew with another life of tokens or other limits; returns its name."""
    name = f"acme-{here.namespace}"

    def make(*, lifetime: Object | None = None, limits: Object | None = None) -> str:
        spec = load_catalogue()["oauth2"].spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        spec["methods"] = [one for one in spec["methods"] if one["name"] == "clientCredentials"]
        spec["methods"][0] |= {"lifetime": lifetime} if lifetime else {}
        here.apply("Connector", name, spec | ({"limits": limits} if limits else {}))
        return name

    yield make
    here.client.delete(here.path("Connector", name))


def hand_on(cluster: Cluster, name: str, place: Object) -> Object:
    """A Connection that publishes a value as it is."""
    return cluster.connection(name, connector="bearer", auth={"method": "bearerToken"}, credentials={"token": place})


@pytest.mark.spec("C7", "C10")
def test_scopes_that_change_while_the_provider_is_asked_are_asked_for_next(here: Cluster, provider: Counting) -> None:
    provider.delay = 1.5
    asks(here, "crm", provider.token_url, auth={"scopes": ["old"]})
    provider.wait_for(1, PATH)
    asks(here, "crm", provider.token_url, auth={"scopes": ["new"]})
    provider.wait_for(2, PATH)
    here.wait("Secret", TOKEN, lambda _: token_of(here, "crm") == "t0ken-2")
    found = here.wait_ready("crm")
    assert [one.form["scope"] for one in provider.requests(PATH)] == ["old", "new"]
    assert found["status"]["observedGeneration"] == 2
    time.sleep(2)
    assert provider.asked == 2
    assert token_of(here, "crm") == "t0ken-2"


@pytest.mark.spec("A3", "A4", "C10")
def test_a_rotation_that_one_connection_meets_reaches_all_that_use_the_asset(
    cluster: Cluster, environment: Any
) -> None:
    tenant = Tenant(cluster, environment)
    try:
        tenant.in_vault()
        tenant.asset(store=tenant.name, cacheTTL="1h")
        cluster.wait_ready("crm", kind="CredentialAssetRef")  # else it may be read anew before the rotation
        tenant.oauth.change_client(tenant.name, token_ttl=8)
        tenant.hand_on("plain")
        tenant.connect("crm")
        for name in ("plain", "crm"):
            cluster.wait_ready(name)
        first = tenant.token_of("crm")
        tenant.put_in_vault(client_id=tenant.name, client_secret="second-secret")
        tenant.rotate("second-secret")
        eventually(lambda: tenant.token_of("crm") != first, seconds=10)
        eventually(lambda: cluster.data("plain-token")["token"] == "second-secret", seconds=3)
        cluster.wait(
            "CredentialAssetRef", "crm", lambda one: one["status"].get("version", "").startswith("2-"), seconds=3
        )
        for name in ("plain", "crm"):
            cluster.wait_ready(name)
    finally:
        tenant.close()


@pytest.mark.spec("A10", "C8")
def test_what_a_conflict_kept_back_is_not_published_after_the_owner_has_withdrawn_it(
    cluster: Cluster, other: Cluster
) -> None:
    cluster.secret("app", password="the-owner-s")
    spec = {"path": "app", "keys": {"secret": "password"}, "allowedNamespaces": {"names": [other.namespace]}}
    cluster.apply("CredentialAssetRef", "app", spec)
    other.secret(TOKEN, readable=False, precious="thing")
    hand_on(other, "crm", {"credentialAssetRef": {"name": "app", "namespace": cluster.namespace, "key": "secret"}})
    other.wait_reason("crm", Reason.SECRET_CONFLICT)
    cluster.merge("CredentialAssetRef", "app", {"spec": {"allowedNamespaces": {"names": ["somebody-else"]}}})
    other.delete("Secret", TOKEN)
    for _ in range(40):
        assert not other.exists("Secret", TOKEN)
        time.sleep(0.1)
    other.wait_reason("crm", Reason.ASSET_NOT_ADMITTED)


@pytest.mark.spec("C8")
@pytest.mark.parametrize("before", [False, True], ids=["from the start", "after a rename"])
def test_a_copy_of_our_label_does_not_make_a_secret_ours(here: Cluster, provider: Counting, before: bool) -> None:
    if before:
        asks(here, "crm", provider.token_url, secret={"name": "former"})
        made = here.wait_ready("crm")
    else:
        made = asks(here, "crm", provider.token_url, suspend=True)
    here.secret(TOKEN, readable=False, precious="thing")
    here.merge("Secret", TOKEN, {"metadata": {"labels": {UID_LABEL: made["metadata"]["uid"]}}})
    foreign = here.get("Secret", TOKEN)
    time.sleep(0.5)  # its label is seen
    here.merge("Connection", "crm", {"spec": {"suspend": None, "secret": {"name": TOKEN}}})
    found = here.wait_reason("crm", Reason.SECRET_CONFLICT, condition="SecretPublished")
    assert "Stalled" in conditions(found) or status_of(found, "Ready") == "True"
    time.sleep(3)
    assert here.get("Secret", TOKEN) == foreign, "byte for byte"
    here.merge("Connection", "crm", {"spec": {"secret": {"name": "elsewhere"}}})
    here.wait("Secret", "elsewhere", lambda _: True)
    time.sleep(1)
    assert here.get("Secret", TOKEN) == foreign, "not removed as a former one either"


@pytest.mark.spec("C8", "C11")
@pytest.mark.parametrize("name", [None, "chosen"], ids=["by the usual name", "by a chosen name"])
def test_a_connection_that_is_made_from_its_own_secret_is_refused(
    here: Cluster, provider: Counting, name: str | None
) -> None:
    more = {"secret": {"name": name}} if name else {}
    here.secret(name or TOKEN, secret="s3cret")
    asks(here, "crm", provider.token_url, source=from_secret(name or TOKEN), **more)
    here.wait_reason("crm", Reason.INVALID_SPEC)
    time.sleep(2)
    assert provider.asked == 0
    asks(here, "crm", provider.token_url, source=from_secret("client"), secret={"name": "another"})
    here.wait_ready("crm")


@pytest.mark.spec("C8", "C+2")
def test_edits_by_hand_in_quick_succession_are_not_each_a_request(here: Cluster, provider: Counting) -> None:
    asks(here, "crm", provider.token_url)
    here.wait_ready("crm")
    for number in range(10):
        here.merge("Secret", TOKEN, {"data": {"access_token": "c3RvbGVu"}, "metadata": {"labels": {"n": str(number)}}})
        time.sleep(0.35)
    assert 4 <= provider.asked <= 8, "the first few are repaired at once, the others are put off"
    eventually(lambda: token_of(here, "crm") == f"t0ken-{provider.asked}", seconds=6)
    here.wait_ready("crm")
    version = here.get("Secret", TOKEN)["metadata"]["resourceVersion"]
    time.sleep(2.5)
    assert here.get("Secret", TOKEN)["metadata"]["resourceVersion"] == version
    assert provider.asked <= 9


@pytest.mark.spec("C7", "C9")
def test_a_token_that_never_expires_is_fetched_anew_also_after_a_suspension(
    here: Cluster, provider: Counting, connector: Callable[..., str]
) -> None:
    provider.fields = {"expires_in": None}
    name = connector(lifetime={"never": True, "default": "4s"})
    asks(here, "crm", provider.token_url, connector=name)
    found = here.wait_ready("crm")
    assert "expiresAt" not in found["status"]
    provider.wait_for(2, PATH)
    here.merge("Connection", "crm", {"spec": {"suspend": True}})
    here.wait("Connection", "crm", is_current)
    time.sleep(0.5)  # what was under way has ended
    before = provider.asked
    time.sleep(5)
    assert provider.asked == before
    here.merge("Connection", "crm", {"spec": {"suspend": False}})
    provider.wait_for(before + 2, PATH, seconds=12)
    eventually(lambda: token_of(here, "crm") == f"t0ken-{provider.asked}")
    here.wait_ready("crm")


@pytest.mark.spec("C+2", "K8")
@pytest.mark.parametrize("what", ["the provider", "what they are made from"])
def test_all_that_wait_for_one_place_recover_from_an_outage(
    here: Cluster, provider: Counting, connector: Callable[..., str], what: str
) -> None:
    name = connector(limits={"concurrent": 1})
    provider.delay = 0.2
    if what == "the provider":
        provider.script(PATH, Answer.of_json({}, 503, delay=0.2))
    names = [f"crm-{number}" for number in range(12)]
    for one in names:
        asks(here, one, provider.token_url, connector=name)
    if what == "the provider":
        provider.wait_for(3, PATH)
    else:
        provider.wait_for(1, PATH)
        here.delete("Secret", "client")
    here.wait("Connection", names[-1], lambda one: status_of(one, "Ready") == "False")
    time.sleep(2)
    provider.count()
    here.secret("client", secret="s3cret")
    for one in names:
        here.wait_ready(one, seconds=25)
    assert provider.peak == 1


@pytest.mark.spec("C+2", "K8")
def test_a_place_that_is_not_taken_goes_to_the_next(
    here: Cluster, provider: Counting, connector: Callable[..., str]
) -> None:
    """Some of those who wait are suspended or deleted before their turn."""
    name = connector(limits={"concurrent": 1})
    provider.delay = 0.6
    names = [f"crm-{number}" for number in range(9)]
    for one in names:
        asks(here, one, provider.token_url, connector=name)
    provider.wait_for(1, PATH)
    for one in names[3:6]:
        here.merge("Connection", one, {"spec": {"suspend": True}})
    here.delete("Connection", names[6])
    provider.delay = 0.1
    for one in names[:3] + names[7:]:
        here.wait_ready(one)
    for one in names[3:6]:
        here.merge("Connection", one, {"spec": {"suspend": False}})
        here.wait_ready(one)
    assert provider.peak == 1


@pytest.mark.spec("C8", "C11")
def test_a_damaged_secret_is_not_ready_while_it_cannot_be_repaired(here: Cluster, provider: Counting) -> None:
    asks(here, "crm", provider.token_url)
    here.wait_ready("crm")
    provider.script(PATH, Answer.of_json({}, 503))
    here.merge("Secret", TOKEN, DAMAGE)
    found = here.wait_reason("crm", Reason.PROVIDER_UNAVAILABLE)
    assert status_of(found, "SecretPublished") != "True"
    assert reason_of(found, "Reconciling") == Reason.PROVIDER_UNAVAILABLE
    provider.count()
    eventually(lambda: token_of(here, "crm") == f"t0ken-{provider.asked}", seconds=8)
    found = here.wait_ready("crm")
    assert status_of(found, "SecretPublished") == "True"


@pytest.fixture
def nine(kubernetes: Any, operator_process: Callable[..., Any]) -> Iterator[tuple[list[Cluster], Any]]:
    """Nine namespaces and an operator of just these, with the rights of that mode only."""
    release, names = "lanyard-nine", [f"t-nine-{number}" for number in range(9)]
    values = second_release("nine", names)
    account = install_chart(kubernetes, namespace=release, values=values)
    kubeconfig = kubernetes.service_account_kubeconfig(release, account)
    settings = {"namespaces": ",".join(names), "exchange_namespace": "lanyard-nine-exchange"}
    process = operator_process(kubeconfig=kubeconfig, **settings).start()
    with kubernetes.client() as client:
        yield [Cluster(client, name) for name in names], process
    process.stop()
    manifests = yaml.safe_dump_all(rendered(values, namespace=release))
    kubernetes.kubectl("delete", "--ignore-not-found", "-f", "-", input=manifests)
    kubernetes.kubectl("delete", "namespace", release, *names, "--wait=false")


@pytest.mark.spec("C2", "C17")
def test_the_watches_of_nine_namespaces_leave_connections_for_the_calls(nine: tuple[list[Cluster], Any]) -> None:
    """Each namespace has a watch for each kind and two for its Secrets, and each holds a connection for ever."""
    clusters, process = nine
    for cluster in clusters:
        cluster.secret("app", secret="first")
        hand_on(cluster, "plain", from_secret("app"))
    for cluster in clusters:
        cluster.wait_ready("plain")
    for cluster in clusters:
        cluster.secret("app", secret="second")
    for cluster in clusters:
        cluster.wait("Secret", "plain-token", lambda _, here=cluster: here.data("plain-token")["token"] == "second")
    assert process.metrics()["lanyard_faults_total"] == 0
    assert [line for line in process.lines() if line.get("message") == "status not written"] == []
