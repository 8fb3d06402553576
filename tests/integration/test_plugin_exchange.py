"""`kubectl lanyard exchange` against a real gateway, with a real token of a ServiceAccount, through a real kubectl."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from lanyard.entry.plugin.posting import post
from support.lanyard_command import Ended, Person, person

pytestmark = pytest.mark.spec("K7", "F1", "F7")

AUDIENCE = "https://lanyard.example/sales"


@dataclass(frozen=True)
class Workload:
    """A ServiceAccount `crm`, an application of Lanyard's own, and the person who tries."""

    cluster: Any
    gateway: Any
    ca: Path
    admin: Person

    def trust(self, **spec: Any) -> None:
        """The cluster's own issuer, with the keys in the credential: so no operator is needed."""
        read = self.cluster.client.get
        fields = {
            "connectionRef": {"name": "crm"},
            "issuer": read("/.well-known/openid-configuration").json()["issuer"],
            "jwks": read("/openid/v1/jwks").text,
            "audience": AUDIENCE,
            "subject": f"system:serviceaccount:{self.cluster.namespace}:crm",
        }
        self.cluster.apply("FederatedCredential", "crm-from-pods", {**fields, **spec})

    def exchange(self, *more: str, whose: Person | None = None) -> Ended:
        trusted = ("--gateway-url", self.gateway.url, "--certificate-authority", str(self.ca))
        return (whose or self.admin).lanyard("exchange", "crm", "--as-serviceaccount", "crm", *trusted, *more)

    def until(self, says: str) -> Ended:
        """The gateway hears of what was applied a moment later."""
        for _ in range(100):
            told = self.exchange()
            if says in told.out:
                return told
        raise AssertionError(told.out + told.err)


@pytest.fixture
def workload(kubernetes: Any, cluster: Any, gateway: Any, environment: Any, tmp_path: Path) -> Workload:
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
    assert cluster.client.post(path, json={"metadata": {"name": "crm"}}).status_code == 201
    cluster.connection("crm", connector="lanyard")
    admin = Person(kubernetes.kubeconfig, tmp_path, cluster.namespace)
    return Workload(cluster, gateway, Path(environment.pki.ca_path), admin)


def test_a_service_account_gets_a_token_and_every_step_is_shown(workload: Workload) -> None:
    workload.trust()
    told = workload.until("handed out a token of crm")
    assert told.code == 0
    subject = f"system:serviceaccount:{workload.cluster.namespace}:crm"
    assert f"  sub          {subject}" in told.out.splitlines()
    assert f"✔ subject      {subject}" in told.out.splitlines()
    assert "Bearer, expires in 3600 s" in told.out
    assert "eyJ" not in told.out + told.err

    token = workload.exchange("-o", "token").out.strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    uid = workload.cluster.get("Connection", "crm")["metadata"]["uid"]
    assert (claims["iss"], claims["client_id"]) == (workload.gateway.url, uid)
    assert claims["namespace"] == workload.cluster.namespace

    found = json.loads(workload.exchange("-o", "json").out)
    assert found["handedOut"] is True
    assert found["credentials"] == [{"name": "crm-from-pods", "fits": True, "differs": []}]


def test_what_does_not_fit_is_refused_by_the_gateway_and_named_by_the_command(workload: Workload) -> None:
    workload.trust(subject=f"system:serviceaccount:{workload.cluster.namespace}:crm2")
    told = workload.exchange()
    assert told.code == 1
    assert "refused: 400 invalid_request" in told.out
    assert "► next step    Bring subject of the FederatedCredential crm-from-pods and the token together" in told.out
    assert "request id" in told.out
    assert "eyJ" not in told.out + told.err


def test_a_suspended_credential_is_told_by_both(workload: Workload) -> None:
    workload.trust()
    workload.until("handed out")
    workload.trust(suspend=True)
    told = workload.until("the federated credential is suspended")
    assert "✗ suspend      it is suspended" in told.out


def test_who_may_not_ask_for_tokens_of_service_accounts_is_told_so(
    kubernetes: Any, workload: Workload, tmp_path: Path
) -> None:
    workload.trust()
    viewer = person(kubernetes, workload.cluster, tmp_path, "lanyard-view")
    told = workload.exchange(whose=viewer)
    assert told.code == 1
    assert "you are not allowed to" in told.err
    assert f"Ask for the right to create serviceaccounts/token in {workload.cluster.namespace}." in told.err
    nobody = workload.admin.lanyard(
        "exchange", "crm", "--as-serviceaccount", "nobody", "--gateway-url", "https://x.example"
    )
    assert "it is not there" in nobody.err
    assert f"Check its name: kubectl get serviceaccounts -n {workload.cluster.namespace}" in nobody.err


def test_a_gateway_that_is_not_trusted_gets_no_token(workload: Workload) -> None:
    workload.trust()
    told = workload.admin.lanyard(
        "exchange", "crm", "--as-serviceaccount", "crm", "--gateway-url", workload.gateway.url
    )
    assert told.code == 1
    assert "The gateway does not answer at" in told.err
    assert "--certificate-authority" in told.err


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends everybody on to /other, and remembers who came there."""

    came: list[str] = []

    def do_POST(self) -> None:
        Elsewhere.came.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/other")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - as above

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_redirect_is_not_followed(elsewhere: str) -> None:
    answer = post(f"{elsewhere}/oauth/token", {"subject_token": "x"}, None)
    assert (answer.status, Elsewhere.came) == (302, ["/oauth/token"])
