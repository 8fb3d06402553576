"""What the running operator tells machines: metrics, health, logs, the audit log, and conditions for kubectl."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from localenv.proxy import FaultProxy
from support.cluster import Cluster
from support.connecting import asks, from_secret, token_of
from support.people import eventually
from support.provider import Answer, ScriptedProvider

PATH = "/token"


@pytest.fixture
def ready(operator: Any, cluster: Cluster) -> None:
    """One Connection with a token, one without."""
    with ScriptedProvider(tls=False) as provider:
        provider.script(PATH, Answer.of_token(cluster.namespace))
        provider.script("/refused", Answer.of_error("invalid_client", 401))
        cluster.secret("client", secret="s3cret")
        asks(cluster, "good", provider.url + PATH)
        asks(cluster, "bad", provider.url + "/refused")
        cluster.wait_ready("good")
        cluster.wait_reason("bad", "ClientRejected")


@pytest.mark.spec("K8")
@pytest.mark.usefixtures("ready")
def test_metrics_show_every_condition_and_forget_what_is_gone(operator: Any, cluster: Cluster) -> None:
    metrics = operator.metrics()
    place = f'namespace="{cluster.namespace}"'
    refused = f'lanyard_connection_condition{{name="bad",{place},reason="ClientRejected",status="False",type="Ready"}}'
    live = f'lanyard_connection_condition{{name="good",{place},reason="TokenPublished",status="True",type="Ready"}}'
    assert (metrics[refused], metrics[live]) == (1.0, 1.0)
    status = cluster.get("Connection", "good")["status"]
    for metric, field in (("token_expiration", "expiresAt"), ("next_refresh", "nextRefreshAt")):
        shown = metrics[f'lanyard_connection_{metric}_timestamp_seconds{{name="good",{place}}}']
        assert shown == datetime.fromisoformat(status[field]).timestamp()
    assert metrics['lanyard_token_requests_total{method="clientCredentials",outcome="issued"}'] >= 1
    assert metrics['lanyard_token_requests_total{method="clientCredentials",outcome="ClientRejected"}'] >= 1
    assert metrics["lanyard_faults_total"] == 0
    for name in ("good", "bad"):
        cluster.delete("Connection", name)
    eventually(lambda: not any(place in sample for sample in operator.metrics()), seconds=10)


@pytest.mark.spec("K8", "C8")
@pytest.mark.usefixtures("ready")
def test_every_line_is_json_and_the_audit_log_names_a_token_by_its_digest_only(operator: Any, cluster: Cluster) -> None:
    lines = operator.lines()
    assert not [line for line in lines if "text" in line], "every line is JSON"
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    audited = [line for line in lines if line["logger"] == "lanyard.audit" and cluster.namespace in json.dumps(line)]
    token = token_of(cluster, "good")
    digest = hashlib.sha256(token.encode()).hexdigest()
    uid = cluster.get("Connection", "good")["metadata"]["uid"]
    issued = [line for line in audited if line.get("token_sha256") == digest]
    assert [(line["action"], line["outcome"], line["uid"]) for line in issued] == [("token request", "issued", uid)]
    assert any(line["action"] == "publish" and line["uid"] == uid for line in audited)
    refused = cluster.get("Connection", "bad")["metadata"]["uid"]
    assert any(line["outcome"] == "ClientRejected" and line["uid"] == refused for line in audited)


@pytest.mark.spec("K2", "K1", "C11")
@pytest.mark.usefixtures("ready")
def test_kubectl_waits_for_what_is_true_and_lists_it(kubernetes: Any, cluster: Cluster) -> None:
    at = ("-n", cluster.namespace)
    assert "condition met" in kubernetes.kubectl(
        *at, "wait", "--for=condition=Ready", "connection/good", "--timeout=10s"
    )
    assert "condition met" in kubernetes.kubectl(*at, "wait", "--for=condition=Stalled", "conn/bad", "--timeout=10s")
    assert "timed out" in kubernetes.kubectl(
        *at, "wait", "--for=condition=Ready", "conn/bad", "--timeout=1s", check=False
    )
    table = {line.split()[0]: line for line in kubernetes.kubectl(*at, "get", "connections").splitlines()}
    assert "True" in table["good"]
    assert "good-token" in table["good"]
    assert "False" in table["bad"]
    assert "ClientRejected" in table["bad"]
    wide = kubernetes.kubectl(*at, "get", "conn", "bad", "-o", "wide")
    assert "app's registration" in wide
    described = kubernetes.kubectl(*at, "describe", "connection", "bad")
    assert "Warning" in described
    assert "ClientRejected" in described


@pytest.mark.spec("K2")
@pytest.mark.usefixtures("operator")
def test_kubectl_does_not_take_the_past_for_the_present(kubernetes: Any, cluster: Cluster) -> None:
    """A spec that was just changed is not Ready before it was looked at: apply and wait, as a pipeline does."""
    cluster.secret("source", pat="st4tic")
    cluster.connection("crm", connector="bearer", credentials={"token": from_secret("source", "pat")})
    cluster.wait_ready("crm")
    cluster.connection("crm", connector="bearer", credentials={"token": from_secret("source", "missing")})
    found = cluster.wait("Connection", "crm", lambda one: one["status"]["observedGeneration"] == 2)
    reasons = {one["type"]: (one["status"], one["reason"]) for one in found["status"]["conditions"]}
    assert reasons["CredentialsResolved"] == ("False", "SecretKeyMissing")
    assert reasons["Ready"][0] == "True", "what is published still serves"


@pytest.mark.spec("K8", "C+2")
def test_readiness_waits_for_the_first_list_and_liveness_does_not(
    environment: Any, kubernetes: Any, operator_process: Callable[..., Any]
) -> None:
    with FaultProxy(environment.processes, environment.pki, "unready", kubernetes.url) as proxy:
        kubeconfig = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator", server=proxy.url)
        proxy.refuse()
        with operator_process(kubeconfig=kubeconfig, namespaces="nowhere") as process:
            process.start(ready=False)
            process.wait_for("started")

            def answers() -> dict[str, int]:
                return {path: httpx.get(process.address + path).status_code for path in ("/healthz", "/readyz")}

            assert answers() == {"/healthz": 200, "/readyz": 503}
            proxy.pass_through()
            process.wait_for("ready")
            assert answers() == {"/healthz": 200, "/readyz": 200}
