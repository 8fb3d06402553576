"""Starts, stops and deaths of the operator: nothing is done twice, nothing that was received is lost."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from support.cluster import Cluster, is_current, reason_of, status_of
from support.connecting import asks, from_secret, token_of
from support.people import eventually
from support.provider import Answer, ScriptedProvider
from support.tenant import Tenant

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
OURS = "system:serviceaccount:lanyard-system:lanyard-operator"
PATH = "/token"


@pytest.fixture
def process(operator_process: Callable[..., Any]) -> Iterator[Any]:
    """An operator of the test's own, to be stopped, killed and started."""
    process = operator_process()
    yield process.start()
    if process.running:
        process.stop()


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(tls=False) as provider:
        provider.script(PATH, Answer.of_token())
        yield provider


@pytest.fixture
def tenant(cluster: Cluster, environment: Any) -> Iterator[Tenant]:
    tenant = Tenant(cluster, environment)
    yield tenant
    tenant.close()


def at_rest(process: Any) -> None:
    """Wait until it has nothing to do, and has had nothing to do for a moment."""
    quiet_since = time.monotonic()
    until = quiet_since + 20
    while time.monotonic() - quiet_since < 1.5:
        metrics = process.metrics()
        if metrics["lanyard_queue_length"] or metrics["lanyard_in_flight"]:
            quiet_since = time.monotonic()
        assert time.monotonic() < until, "it never rests"
        time.sleep(0.2)


def writes_since(kubernetes: Any, offset: int, namespace: str) -> list[str]:
    """What the operator wrote, by the API server's audit log; tokens of ServiceAccounts are no writes.

    Of this namespace, whose name the objects outside of it carry too: others may be ending at the same time.
    """
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == OURS
        and event["verb"] in WRITES
        and namespace in event["requestURI"]
        and event["objectRef"].get("subresource") != "token"
    ]


@pytest.mark.spec("K2", "C7", "A2")
def test_a_restart_with_fresh_tokens_asks_no_provider_and_writes_nothing(
    process: Any, kubernetes: Any, cluster: Cluster, tenant: Tenant
) -> None:
    tenant.in_vault()
    tenant.asset(store=tenant.name, cacheTTL="1h")
    names = [f"vaulted-{number}" for number in range(5)] + [f"plain-{number}" for number in range(5)]
    for name in names:
        if name.startswith("plain"):
            tenant.in_secret()
        tenant.connect(name, scopes=("api",))
    tenant.hand_on("static")
    cluster.connection("broken", connector="no-such-connector")
    asleep = {"auth": {"clientId": tenant.name}, "source": tenant.place, "suspend": True}
    asks(cluster, "suspended", tenant.oauth.token_url, **asleep)
    for name in [*names, "static"]:
        cluster.wait_ready(name)
    cluster.wait_reason("broken", "ConnectorNotFound")
    cluster.wait_reason("suspended", "Suspended")
    for kind, name in (("CredentialAssetRef", "crm"), ("CredentialStore", tenant.name)):
        cluster.wait_ready(name, kind=kind)
    at_rest(process)
    assert process.stop() == 0

    before = {name: cluster.get("Connection", name) for name in [*names, "static", "broken", "suspended"]}
    offset, since = kubernetes.audit_offset(), tenant.oauth.marker()
    process.start()
    at_rest(process)
    assert writes_since(kubernetes, offset, cluster.namespace) == []
    assert tenant.oauth.count(since=since, client_id=tenant.name) == 0
    assert {name: cluster.get("Connection", name) for name in before} == before


@pytest.mark.spec("C7", "C+2")
def test_a_termination_during_a_refresh_waits_for_the_answer_and_publishes_it(
    process: Any, cluster: Cluster, provider: ScriptedProvider
) -> None:
    provider.script(PATH, Answer.of_token("sl0w-t0ken", delay=2))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", provider.url + PATH)
    provider.wait_for(1)
    assert process.stop() == 0
    assert token_of(cluster, "crm") == "sl0w-t0ken"
    found = cluster.get("Connection", "crm")
    assert status_of(found, "Ready") == "True"

    process.start()
    at_rest(process)
    assert len(provider.requests()) == 1
    assert cluster.get("Connection", "crm") == found


@pytest.mark.spec("C7", "C+2", "C+3")
def test_a_kill_during_a_refresh_leaves_the_old_token_and_the_next_start_refreshes(
    process: Any, cluster: Cluster, provider: ScriptedProvider
) -> None:
    provider.script(PATH, Answer.of_token("f1rst-t0ken"))
    cluster.secret("client", secret="s3cret-one")
    asks(cluster, "crm", provider.url + PATH)
    asks(cluster, "other", provider.url + "/other", source=from_secret("client-of-other"))
    provider.script("/other", Answer.of_token("oth3r-t0ken"))
    cluster.secret("client-of-other", secret="s3cret-two")
    for name in ("crm", "other"):
        cluster.wait_ready(name)

    provider.forget()
    provider.script(PATH, Answer.of_token("l0st-t0ken", delay=2))
    cluster.secret("client", secret="s3cret-three")
    provider.wait_for(1)
    process.kill()
    assert token_of(cluster, "crm") == "f1rst-t0ken"

    provider.script(PATH, Answer.of_token("s3cond-t0ken"))
    process.start()
    cluster.wait("Secret", "crm-token", lambda _: token_of(cluster, "crm") == "s3cond-t0ken")
    cluster.wait_ready("crm")
    at_rest(process)
    assert len(provider.requests(PATH)) == 2
    assert provider.requests("/other") == []


@pytest.mark.spec("C7", "C10", "C14", "C+2")
def test_a_start_finds_what_happened_while_nobody_looked(
    process: Any, cluster: Cluster, provider: ScriptedProvider
) -> None:
    provider.script("/brief", Answer.of_token("f1rst-t0ken", expires_in=2))
    cluster.secret("client", secret="s3cret-one")
    cluster.secret("source", pat="st4tic-one")
    asks(cluster, "brief", provider.url + "/brief")
    static = {"connector": "bearer", "credentials": {"token": from_secret("source", "pat")}}
    for name in ("changed", "edited", "gone", "same"):
        cluster.connection(name, **static)
    for name in ("brief", "changed", "edited", "gone", "same"):
        cluster.wait_ready(name)
    same = cluster.get("Connection", "same")
    process.kill()

    cluster.merge("Connection", "changed", {"spec": {"parameters": {"base_url": "https://api.example.com"}}})
    cluster.merge("Secret", "edited-token", {"data": {"token": None}})
    cluster.delete("Connection", "gone")
    cluster.connection("made", **static)
    time.sleep(2)  # the brief token expires
    provider.script("/brief", Answer.of_token("s3cond-t0ken"))
    process.start()
    for name in ("brief", "changed", "edited", "made"):
        cluster.wait("Connection", name, lambda one: is_current(one) and status_of(one, "Ready") == "True")
    cluster.wait("Secret", "brief-token", lambda _: token_of(cluster, "brief") == "s3cond-t0ken")
    cluster.wait("Secret", "edited-token", lambda _: cluster.data("edited-token").get("token") == "st4tic-one")
    assert cluster.data("changed-token")["base_url"] == "https://api.example.com"
    eventually(lambda: not cluster.exists("Secret", "gone-token"))
    assert cluster.get("Connection", "same") == same
    assert not any('name="gone"' in sample for sample in process.metrics())


@pytest.mark.spec("C14", "C8", "C+2")
@pytest.mark.parametrize("comes_back", [False, True], ids=["for good", "and made anew"])
def test_a_connection_deleted_during_a_refresh_leaves_neither_secret_nor_ghost(
    process: Any, cluster: Cluster, provider: ScriptedProvider, comes_back: bool
) -> None:
    provider.script(PATH, Answer.of_token("0rphan-t0ken", delay=1.5))
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", provider.url + PATH)
    asks(cluster, "published", provider.url + "/published")
    provider.script("/published", Answer.of_token("f1rst-t0ken"))
    cluster.wait_ready("published")
    provider.wait_for(1, PATH)
    provider.script("/published", Answer.of_token("0rphan-t0ken", delay=1.5))
    cluster.merge("Connection", "published", {"spec": {"auth": {"scopes": ["more"]}}})
    provider.wait_for(2, "/published")

    for name in ("crm", "published"):
        cluster.delete("Connection", name)
    if comes_back:
        provider.script(PATH, Answer.of_token("s3cond-t0ken"))
        asks(cluster, "crm", provider.url + PATH)
        cluster.wait_ready("crm")
        assert token_of(cluster, "crm") == "s3cond-t0ken"
    time.sleep(2)
    at_rest(process)
    eventually(lambda: not cluster.exists("Secret", "published-token"))
    assert cluster.exists("Secret", "crm-token") is comes_back
    if comes_back:
        assert token_of(cluster, "crm") == "s3cond-t0ken", "the answer to the first one came too late"
        owner = cluster.get("Secret", "crm-token")["metadata"]["ownerReferences"][0]["uid"]
        assert owner == cluster.get("Connection", "crm")["metadata"]["uid"]
    assert not any(f'namespace="{cluster.namespace}",name="published"' in sample for sample in process.metrics())
    assert [line for line in process.lines() if line["level"] == "error"] == []


@pytest.mark.spec("C+2", "K8")
def test_a_stop_does_not_wait_for_a_provider_for_ever(
    operator_process: Callable[..., Any], cluster: Cluster, provider: ScriptedProvider
) -> None:
    with operator_process(drain_deadline="1s", provider_deadline="30s") as process:
        process.start()
        provider.script(PATH, Answer.of_token("l0st-t0ken", delay=20))
        cluster.secret("client", secret="s3cret")
        asks(cluster, "crm", provider.url + PATH)
        provider.wait_for(1)
        began = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began < 6
        assert process.wait_for("stopped")["unfinished"] == 1
        assert [line for line in process.lines() if line.get("level", "error") == "error"] == []
    assert reason_of(cluster.get("Connection", "crm"), "Ready") is None


@pytest.mark.spec("K8")
def test_health_tells_alive_from_ready(operator_process: Callable[..., Any], cluster: Cluster) -> None:
    with operator_process() as process:
        process.start()
        answers = {path: httpx.get(process.address + path).status_code for path in ("/healthz", "/readyz", "/metrics")}
        assert answers == {"/healthz": 200, "/readyz": 200, "/metrics": 200}
