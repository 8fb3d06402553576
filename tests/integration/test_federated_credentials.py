"""FederatedCredentials at a real API server: what their conditions say, which count, how the last use is told."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.cluster import (
    Cluster,
    Object,
    assert_conditions_coherent,
    checked,
    conditions,
    is_current,
    message_of,
    reason_of,
    status_of,
)
from support.connecting import asks
from support.jwts import IssuerKey, key_pair
from support.people import eventually
from support.provider import Answer, ScriptedProvider

KIND = "FederatedCredential"
SHARED = "/api/v1/namespaces/lanyard-exchange/secrets"
OURS = "system:serviceaccount:lanyard-system:lanyard-operator"
WRITES = {"create", "update", "patch", "delete"}
GITHUB = "https://token.actions.githubusercontent.com"
JWKS = json.dumps({"keys": [IssuerKey("k1", "ES256", key_pair("ES256", 1)).jwk()]})
INTERVAL = 4.0  # seconds between two tellings of a last use
RESYNC = 2.0

pytestmark = pytest.mark.spec("K2")


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any]) -> Any:
    paces = {"last_exchange_interval": f"{INTERVAL:.0f}s", "resync_interval": f"{RESYNC:.0f}s"}
    return operator_process(gateway_url="https://lanyard.example", **paces).start()


@pytest.fixture(autouse=True)
def _alive(operator: Any) -> Iterator[None]:
    yield
    assert operator.running
    assert operator.metrics()["lanyard_faults_total"] == 0


def mints(cluster: Cluster, name: str = "crm") -> None:
    cluster.connection(name, connector="lanyard")


def trusts(cluster: Cluster, name: str, **spec: Any) -> Object:
    trust = {"issuer": "https://issuer.example", "audience": "lanyard", "subject": f"s-{name}", "jwks": JWKS}
    return cluster.apply(KIND, name, {"connectionRef": {"name": "crm"}} | trust | spec)


def wait_reason(cluster: Cluster, name: str, reason: str, **wanted: Any) -> Object:
    return cluster.wait_reason(name, reason, kind=KIND, **wanted)


def stamp(after: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_one_in_order_is_ready_and_reads_well_in_a_table(kubernetes: Any, cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    trusts(cluster, "ci")
    kubernetes.kubectl("wait", "--for=condition=Ready", "fedcred/ci", "-n", cluster.namespace, "--timeout=20s")
    found = cluster.wait_ready("ci", kind=KIND)
    assert {name for name in conditions(found) if status_of(found, name) == "True"} == {
        "Ready",
        "SpecValid",
        "Accepted",
        "ConnectionResolved",
        "IssuerKeysKnown",
    }
    header, row = kubernetes.kubectl("get", "fedcred", "-n", cluster.namespace).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "CONNECTION", "ISSUER", "SUBJECT", "LAST-EXCHANGE", "AGE"]
    assert row.split()[:6] == ["ci", "True", "Trusted", "crm", "https://issuer.example", "s-ci"]


def test_a_connection_that_is_applied_a_second_later_is_waited_for(cluster: Cluster, operator: Any) -> None:
    trusts(cluster, "ci")
    found = wait_reason(cluster, "ci", "ConnectionNotFound")
    assert status_of(found, "Reconciling") == "True"
    mints(cluster)
    cluster.wait_ready("ci", kind=KIND)
    cluster.delete("Connection", "crm")
    wait_reason(cluster, "ci", "ConnectionNotFound")


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        pytest.param({"linkTo": {"namespace": "elsewhere", "name": "crm"}}, "ConnectionIsLink", id="a link"),
        pytest.param({"connector": "basic", "auth": {"method": "basic"}}, "NoTokenToHandOut", id="no token"),
    ],
)
def test_a_connection_with_nothing_to_hand_out(
    cluster: Cluster, operator: Any, connection: Mapping[str, Any], reason: str
) -> None:
    cluster.connection("crm", **connection)
    trusts(cluster, "ci")
    assert status_of(wait_reason(cluster, "ci", reason), "Stalled") == "True"


def test_a_suspended_one_says_so_for_the_spec_of_now(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    trusts(cluster, "ci", suspend=True)
    found = cluster.wait(KIND, "ci", lambda one: is_current(one) and reason_of(one, "Ready") == "Suspended")
    assert_conditions_coherent(found)
    assert not {"Stalled", "Reconciling"} & conditions(found).keys()
    cluster.merge(KIND, "ci", {"spec": {"suspend": False}})
    cluster.wait_ready("ci", kind=KIND)


def test_it_expires_when_its_time_comes(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    trusts(cluster, "ci", expiresAt=stamp(4.0))
    cluster.wait_ready("ci", kind=KIND)
    assert status_of(wait_reason(cluster, "ci", "Expired"), "Stalled") == "True"
    cluster.merge(KIND, "ci", {"spec": {"expiresAt": stamp(3600.0)}})
    cluster.wait_ready("ci", kind=KIND)


def test_keys_in_the_spec_that_are_none(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    trusts(cluster, "ci", jwks='{"keys": []}')
    wait_reason(cluster, "ci", "JWKSInvalid")
    trusts(cluster, "ci")
    cluster.wait_ready("ci", kind=KIND)


@pytest.mark.spec("F3")
def test_of_twenty_one_the_oldest_twenty_count_and_the_next_moves_up(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    names = [f"ci-{number}" for number in range(21)]
    for name in names:
        trusts(cluster, name)
    by_age = sorted(
        (cluster.get(KIND, name)["metadata"] for name in names), key=lambda one: (one["creationTimestamp"], one["uid"])
    )
    *winners, loser = [one["name"] for one in by_age]
    found = wait_reason(cluster, loser, "LimitExceeded")
    assert (status_of(found, "Stalled"), status_of(found, "Accepted")) == ("True", "False")
    for name in winners:
        cluster.wait_ready(name, kind=KIND)
    cluster.delete(KIND, winners[0])
    cluster.wait_ready(loser, kind=KIND)


@pytest.mark.spec("F2")
def test_a_display_name_that_is_taken_is_free_when_the_older_one_goes(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    trusts(cluster, "old", displayName="CI")
    cluster.wait_ready("old", kind=KIND)
    time.sleep(1.1)  # ages are whole seconds
    trusts(cluster, "new", displayName="CI")
    assert status_of(wait_reason(cluster, "new", "DuplicateName"), "Stalled") == "True"
    cluster.wait_ready("old", kind=KIND)
    cluster.delete(KIND, "old")
    cluster.wait_ready("new", kind=KIND)


@pytest.mark.spec("F+1")
def test_a_token_that_cannot_be_narrowed_is_not_promised(cluster: Cluster, operator: Any) -> None:
    with ScriptedProvider(tls=False) as provider:
        provider.script("/token", lambda _: Answer.of_token("t0ken", scope="api admin"))
        cluster.secret("client", secret="s3cret")
        asks(cluster, "crm", f"{provider.url}/token")
        cluster.wait("Connection", "crm", lambda one: "grantedScopes" in one.get("status", {}))
        trusts(cluster, "ci", scopes=["api"])
        found = wait_reason(cluster, "ci", "ScopesNotEnforceable")
        assert status_of(found, "ScopesEnforceable") == "False"
        cluster.merge(KIND, "ci", {"spec": {"scopes": ["api", "admin"]}})
        found = cluster.wait_ready("ci", kind=KIND)
        assert "ScopesEnforceable" not in conditions(found)


@pytest.mark.spec("F+2")
def test_warnings_are_shown_and_leave_it_ready(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    mutable = {"issuer": GITHUB, "subject": "repo:acme/crm:ref:refs/heads/main"}
    trusts(cluster, "one", **mutable)
    trusts(cluster, "two", **mutable)
    for name, other in (("one", "two"), ("two", "one")):
        found = cluster.wait(KIND, name, lambda one: reason_of(one, "TrustUnique") == "DuplicateTrust")
        assert_conditions_coherent(found)
        assert f" {other} " in message_of(found, "TrustUnique")
        assert reason_of(found, "SubjectLasting") == "MutableSubject"
        assert "repo:acme@OWNER_ID/crm@REPO_ID:" in message_of(found, "SubjectLasting")
        assert status_of(found, "Ready") == "True"
    cluster.delete(KIND, "two")
    cluster.wait(KIND, "one", lambda one: "TrustUnique" not in conditions(one))


def used_text(used: Mapping[str, str]) -> Object:
    return {"used": base64.b64encode(json.dumps(used).encode()).decode()}


@contextmanager
def replica(cluster: Cluster, **used: str) -> Iterator[Callable[..., None]]:
    """The Secret of a gateway's replica; `write(uid=moment)` replaces what it says."""
    path = f"{SHARED}/last-use-{cluster.namespace}"
    metadata = {"name": f"last-use-{cluster.namespace}", "labels": {"lanyard.dev/last-use": "true"}}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    checked(cluster.client.post(SHARED, json=body | {"data": used_text(used)}))

    def write(**used: str) -> None:
        checked(cluster.client.put(path, json=body | {"data": used_text(used)}))

    yield write
    cluster.client.delete(path)


def last_exchange(cluster: Cluster) -> str:
    return str(cluster.get(KIND, "ci")["status"].get("lastExchangeAt", ""))


@pytest.mark.spec("F+2")
def test_the_last_use_is_told_once_an_interval(kubernetes: Any, cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    uid = trusts(cluster, "ci")["metadata"]["uid"]
    cluster.wait_ready("ci", kind=KIND)
    offset, first = kubernetes.audit_offset(), stamp(-1.0)
    with replica(cluster, **{uid: first}) as write:
        eventually(lambda: last_exchange(cluster) == first, seconds=5)
        began, used = time.monotonic(), first
        while time.monotonic() - began < 2 * INTERVAL:
            used = stamp()
            write(**{uid: used})
            time.sleep(0.5)
        eventually(lambda: last_exchange(cluster) == used, seconds=INTERVAL + 3)
    told = [write for write in writes_since(kubernetes, offset, cluster.namespace) if "patch" in write]
    assert 2 <= len(told) <= 4, told


@pytest.mark.spec("F+2")
def test_what_a_replica_of_two_days_ago_said_is_told_and_taken_away(cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    uid = trusts(cluster, "ci")["metadata"]["uid"]
    old = stamp(-2 * 86400.0)
    with replica(cluster, **{uid: old}):
        eventually(lambda: last_exchange(cluster) == old, seconds=10)
        path = f"{SHARED}/last-use-{cluster.namespace}"
        eventually(lambda: cluster.client.get(path).status_code == 404, seconds=RESYNC + 10)
    assert last_exchange(cluster) == old


def writes_since(kubernetes: Any, offset: int, namespace: str) -> list[str]:
    """What the operator wrote in this namespace, by the API server's audit log."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == OURS and event["verb"] in WRITES and namespace in event["requestURI"]
    ]


@pytest.mark.spec("C7")
def test_a_restart_and_a_resync_write_nothing(kubernetes: Any, cluster: Cluster, operator: Any) -> None:
    mints(cluster)
    for number in range(22):
        trusts(cluster, f"ci-{number}", subject="same", expiresAt=stamp(3600.0))
    trusts(cluster, "suspended", suspend=True, displayName="ci-1")
    trusts(cluster, "over", connectionRef={"name": "another"}, expiresAt=stamp(-60.0))
    for name in [*(f"ci-{number}" for number in range(22)), "suspended", "over"]:
        cluster.wait(KIND, name, is_current)
    at_rest(operator)
    offset = kubernetes.audit_offset()
    time.sleep(2 * RESYNC)
    assert writes_since(kubernetes, offset, cluster.namespace) == [], "idle"
    operator.stop()
    operator.start()
    at_rest(operator)
    assert writes_since(kubernetes, offset, cluster.namespace) == [], "after a restart"


def at_rest(process: Any) -> None:
    """Wait until it has had nothing to do for a moment."""
    quiet_since = time.monotonic()
    until = quiet_since + 20
    while time.monotonic() - quiet_since < 1.5:
        metrics = process.metrics()
        if metrics["lanyard_queue_length"] or metrics["lanyard_in_flight"]:
            quiet_since = time.monotonic()
        assert time.monotonic() < until, "it never rests"
        time.sleep(0.2)
