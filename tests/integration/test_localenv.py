"""The real servers behave as tests expect of them, and leave nothing behind."""

import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from localenv.environment import Environment
from localenv.kubernetes import Kubernetes
from localenv.process import PortLostError, Processes, free_ports, started_at
from localenv.vault import Vault

TESTS = Path(__file__).parents[1]
WITHIN = 10.0
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts"
CHILD = """
import sys, time
from localenv.environment import Environment
with Environment(oauth=False) as environment:
    print(environment.run_dir, *environment.kubernetes.pids.values(), environment.vault.pid, flush=True)
    time.sleep(600)
"""


def wait_until(condition, *, seconds: float = WITHIN) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def api(environment: Environment) -> Kubernetes:
    return environment.kubernetes


def test_the_api_server_serves_the_rendered_kinds(api: Kubernetes) -> None:
    assert "connections" in api.kubectl("api-resources", "--api-group=lanyard.dev", "-o", "name")


def test_the_issuer_of_service_account_tokens_can_be_discovered_by_anybody(api: Kubernetes) -> None:
    trust = ssl.create_default_context(cafile=str(api.ca_path))
    with httpx.Client(verify=trust, trust_env=False) as anybody:
        document = anybody.get(f"{api.url}/.well-known/openid-configuration").json()
        assert document["issuer"] == api.url
        assert anybody.get(document["jwks_uri"]).json()["keys"]


def test_a_service_account_token_is_let_in_and_has_no_rights(api: Kubernetes) -> None:
    kubeconfig = api.service_account_kubeconfig("default", "default")
    whoami = api.kubectl("--kubeconfig", str(kubeconfig), "auth", "whoami")
    assert "system:serviceaccount:default:default" in whoami
    assert "Forbidden" in api.kubectl("--kubeconfig", str(kubeconfig), "get", "secrets", check=False)


def test_the_audit_log_tells_who_has_written_what(api: Kubernetes) -> None:
    offset = api.audit_offset()
    name = f"audited-{os.urandom(3).hex()}"
    with api.client() as client:
        client.post("/api/v1/namespaces/default/configmaps", json={"metadata": {"name": name}}).raise_for_status()
    (event,) = [
        event
        for event in api.audit_events(offset)
        if event["verb"] == "create" and event.get("objectRef", {}).get("name") == name
    ]
    assert event["user"]["username"] == "lanyard-localenv-admin"
    assert event["responseStatus"]["code"] == 201


def test_what_is_owned_goes_with_its_owner(api: Kubernetes) -> None:
    base = "/api/v1/namespaces/default"
    with api.client() as client:
        owner = client.post(f"{base}/configmaps", json={"metadata": {"generateName": "owner-"}}).json()["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"]}
        metadata = {"name": owner["name"], "ownerReferences": [reference]}
        client.post(f"{base}/secrets", json={"metadata": metadata}).raise_for_status()
        client.delete(f"{base}/configmaps/{owner['name']}").raise_for_status()
        wait_until(lambda: client.get(f"{base}/secrets/{owner['name']}").status_code == 404)


def test_two_environments_run_side_by_side_and_a_killed_api_server_keeps_port_and_data(api: Kubernetes) -> None:
    with Environment(vault=False, oauth=False) as second:
        other = second.kubernetes
        assert other.url != api.url
        with other.client() as client:
            client.post(ACCOUNT, json={"metadata": {"name": "only-here"}}).raise_for_status()
            address = other.url
            other.kill()
            with pytest.raises(httpx.HTTPError):
                client.get("/readyz")
            other.start()
        with other.client() as client, api.client() as first:
            assert other.url == address
            assert client.get(f"{ACCOUNT}/only-here").status_code == 200
            assert first.get(f"{ACCOUNT}/only-here").status_code == 404
    assert not second.run_dir.exists()


def test_nothing_is_left_of_an_environment_whose_parent_is_killed() -> None:
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", CHILD], env=env, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        run_dir, *pids = parent.stdout.readline().split()
        assert all(started_at(int(pid)) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(started_at(int(pid)) for pid in pids))
    wait_until(lambda: not Path(run_dir).exists())
    named = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert run_dir not in named


def test_a_process_that_does_not_come_up_shows_the_end_of_its_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "run")
    processes.run_dir.mkdir()
    try:
        talking = processes.add("talking", [sys.executable, "-c", "print('no such luck')"])
        with pytest.raises(RuntimeError, match="no such luck"):
            talking.start(lambda: False)
        lost = processes.add("lost", [sys.executable, "-c", "print('bind: address already in use')"])
        with pytest.raises(PortLostError):
            lost.start(lambda: False)
    finally:
        processes.close()


def test_free_ports_are_different_and_not_for_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32768


@pytest.mark.parametrize(
    ("mount", "audience", "status"),
    [
        pytest.param("kubernetes", "vault", 200, id="the API server confirms a token with the role's audience"),
        pytest.param("kubernetes", "elsewhere", 403, id="a token for another audience is refused by review"),
        pytest.param("jwt", "vault", 200, id="the issuer's keys confirm a token with the role's audience"),
        pytest.param("jwt", "elsewhere", 400, id="a token for another audience is refused by its claims"),
    ],
)
def test_vault_takes_service_account_tokens(environment: Environment, mount: str, audience: str, status: int) -> None:
    vault, api = environment.vault, environment.kubernetes
    vault.kubernetes_role("localenv", service_accounts=["default"], namespaces=["default"], policies=["none"])
    vault.jwt_role("localenv", subject="system:serviceaccount:default:default", policies=["none"])
    token = api.service_account_token("default", "default", audiences=(audience,))
    with vault.client("") as client:
        answer = client.post(f"auth/{mount}/login", json={"role": "localenv", "jwt": token})
    assert answer.status_code == status


def test_a_role_and_its_secret_log_in_and_read_what_the_policy_names(environment: Environment) -> None:
    vault = environment.vault
    vault.policy("localenv-one", 'path "kv/data/localenv-one" { capabilities = ["read"] }')
    role_id, secret_id = vault.app_role("localenv", policies=["localenv-one"])
    assert vault.put("localenv-one", {"colour": "blue"}) < vault.put("localenv-one", {"colour": "green"})
    vault.put_v1("localenv-one", {"colour": "red"})
    with vault.client("") as client:
        answer = client.post("auth/approle/login", json={"role_id": role_id, "secret_id": secret_id})
    with vault.client(answer.json()["auth"]["client_token"]) as client:
        assert client.get("kv/data/localenv-one").json()["data"]["data"] == {"colour": "green"}
        assert client.get("kv1/localenv-one").status_code == 403
    with vault.client(vault.token(policies=["localenv-one"])) as client:
        assert client.get("kv/data/localenv-one", params={"version": 1}).status_code == 200


def test_a_vault_is_sealed_and_unsealed_and_survives_an_outage() -> None:
    with Environment(kubernetes=False, oauth=False) as second:
        vault: Vault = second.vault
        vault.put("kept", {"colour": "blue"})
        with vault.client() as client:
            vault.seal()
            assert client.get("kv/data/kept").status_code == 503
            vault.unseal()
            assert client.get("kv/data/kept").status_code == 200
            vault.stop()
            with pytest.raises(httpx.HTTPError):
                client.get("sys/health")
            vault.start()
        assert vault.read("kv/data/kept")["data"]["data"] == {"colour": "blue"}
