"""`kubectl lanyard` against a real API server, through a real kubectl, beside a running operator."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster import Cluster, status_of
from support.connecting import asks
from support.lanyard_command import Person, person

pytestmark = pytest.mark.spec("K7")

SECRET = "s3cret-of-the-app"


@pytest.fixture
def admin(kubernetes: Any, cluster: Any, tmp_path: Path) -> Person:
    return Person(kubernetes.kubeconfig, tmp_path, cluster.namespace)


@pytest.fixture
def client_id(oauth: Any) -> Iterator[str]:
    name = f"app-{uuid.uuid4().hex[:8]}"
    oauth.add_client(name, secret=SECRET, scopes=["read"])
    yield name
    oauth.remove_client(name)


def make(cluster: Any, oauth: Any, client_id: str, *, secret: str = SECRET) -> None:
    cluster.secret("client", secret=secret)
    asks(cluster, "crm", oauth.token_url, auth={"clientId": client_id, "scopes": ["read"]})


@pytest.mark.spec("C4", "C8")
def test_a_ready_connection_is_told_without_any_of_its_secrets(
    operator: Any, cluster: Any, oauth: Any, client_id: str, admin: Person
) -> None:
    make(cluster, oauth, client_id)
    cluster.wait_ready("crm")
    told = [admin.lanyard("status", "crm", *form) for form in ((), ("-o", "json"), ("-o", "yaml"))]
    assert [one.code for one in told] == [0, 0, 0]
    assert told[0].out.startswith("✔ crm (Connection, ")
    assert "✔ clientSecret Secret client in " in told[0].out
    assert "has the key secret, marked readable" in told[0].out
    assert "✔ secret       crm-token: carries access_token, authorization_header, expires_at, provider" in told[0].out
    assert told[0].out.endswith("► next step    Nothing to do.\n")
    assert json.loads(told[1].out) == yaml.safe_load(told[2].out)
    token = cluster.data("crm-token")["access_token"]
    for one in told:
        assert token not in one.out + one.err
        assert SECRET not in one.out + one.err
        assert "\x1b" not in one.out + one.err


@pytest.mark.spec("C4")
def test_a_failing_and_a_pending_connection_each_have_one_next_step_and_exit_code_1(
    operator: Any, cluster: Any, oauth: Any, client_id: str, admin: Person
) -> None:
    make(cluster, oauth, client_id, secret="wrong")
    cluster.wait_reason("crm", "ClientRejected")
    told = admin.lanyard("status", "crm")
    assert told.code == 1
    assert "not ready: ClientRejected, stalled" in told.out
    assert "► next step    Compare both with the app's registration" in told.out
    assert told.out.count("next step") == 1
    cluster.delete("Secret", "client")
    cluster.wait_reason("crm", "SecretNotFound")
    told = admin.lanyard("status", "crm")
    assert told.code == 1
    assert "✗ clientSecret Secret client in " in told.out
    assert "► next step    Create it; nothing else is needed." in told.out
    table = admin.lanyard("status")
    assert " ".join(table.out.splitlines()[0].split()) == "NAME READY REASON CONNECTOR ACCOUNT EXPIRES NEXT STEP"
    assert table.out.splitlines()[1].split()[:3] == ["crm", "False", "SecretNotFound"]
    assert table.code == 0
    everywhere = admin.lanyard("status", "-A", "-o", "json", namespaced=False)
    assert (cluster.namespace, "crm") in {(row["namespace"], row["name"]) for row in json.loads(everywhere.out)}


def test_a_refresh_is_asked_for_by_an_annotation(
    operator: Any, cluster: Any, oauth: Any, client_id: str, admin: Person
) -> None:
    make(cluster, oauth, client_id)
    before = cluster.wait_ready("crm")
    told = admin.lanyard("refresh", "crm", "-o", "json")
    assert told.code == 0
    after = cluster.get("Connection", "crm")
    assert after["metadata"]["annotations"]["lanyard.dev/refresh"] == json.loads(told.out)["askedAt"]
    assert after["spec"] == before["spec"]


DRAFTED = Path(__file__).parents[1] / "support" / "openapi"


@pytest.mark.spec("C19")
@pytest.mark.parametrize("file", sorted(DRAFTED.iterdir()), ids=lambda file: file.stem)
def test_a_drafted_connector_is_taken_by_the_api_server_and_by_the_operator(
    operator: Any, cluster: Any, admin: Person, file: Path
) -> None:
    name = f"{cluster.namespace}-drafted"
    told = admin.lanyard("connector", "from-openapi", str(file), "--name", name, namespaced=False)
    assert (told.code, told.err) == (0, "")
    cluster.apply("Connector", name, yaml.safe_load(told.out)["spec"])
    try:
        made = cluster.wait("Connector", name, lambda one: status_of(one, "Ready") is not None)
        assert status_of(made, "Ready") == "True", made["status"]
        shown = admin.lanyard("connector", "show", name)
        assert "(cluster)" in shown.out
        listed = admin.lanyard("connectors", "-o", "name", "--search", name)
        assert listed.out == f"{name}\n"
    finally:
        cluster.delete("Connector", name)


@pytest.mark.spec("C8")
def test_a_viewer_sees_the_story_but_no_secret_and_refreshes_nothing(
    operator: Any, kubernetes: Any, cluster: Any, oauth: Any, client_id: str, tmp_path: Path
) -> None:
    make(cluster, oauth, client_id)
    cluster.wait_ready("crm")
    ann = person(kubernetes, cluster, tmp_path, "view")
    told = ann.lanyard("status", "crm")
    assert told.code == 0
    assert "◎ secret       crm-token: you may not see it\n" in told.out
    refused = ann.lanyard("refresh", "crm")
    assert refused.code == 1
    assert "✗ kubectl annotate" in refused.err
    assert "  cause        Error from server (Forbidden)" in refused.err
    assert "  next step    Ask for a role of Lanyard" in refused.err
    everywhere = ann.lanyard("links")
    assert everywhere.code == 1
    assert "(Forbidden)" in everywhere.err
    listed = ann.lanyard("connectors", "-o", "name")
    assert listed.code == 0


@pytest.mark.spec("C13")
def test_what_may_be_linked_is_listed_until_its_owner_withdraws(
    operator: Any, kubernetes: Any, cluster: Any, oauth: Any, client_id: str, admin: Person, tmp_path: Path
) -> None:
    make(cluster, oauth, client_id)
    cluster.wait_ready("crm")
    here = f"{cluster.namespace}-b"
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": here, "labels": {"team": "b"}}})
    with kubernetes.client() as client:
        place = Cluster(client, here)
        user = Person(kubernetes.kubeconfig, tmp_path, here)
        mine = f"{cluster.namespace}/crm"
        assert mine not in user.lanyard("links", "-o", "name").out.split()
        grant = {"selector": {"matchLabels": {"team": "b"}}}
        cluster.merge("Connection", "crm", {"spec": {"allowedNamespaces": grant}})
        assert mine in user.lanyard("links", "-o", "name").out.split()
        row = next(
            row for row in json.loads(user.lanyard("links", "-o", "json").out) if row["namespace"] == cluster.namespace
        )
        assert (row["name"], row["ready"], row["connector"]) == ("crm", "True", "oauth2")
        assert mine not in admin.lanyard("links", "-o", "name").out.split(), "one's own need no admission"

        place.connection("crm", linkTo={"namespace": cluster.namespace, "name": "crm"})
        place.wait_ready("crm")
        told = user.lanyard("status", "crm")
        assert f"  connector    a link to {mine}\n" in told.out
        assert f"✔ linkTo       Connection crm in {cluster.namespace}: is there\n" in told.out
        assert told.code == 0
        refused = user.lanyard("refresh", "crm")
        assert refused.code == 1
        assert f"kubectl lanyard refresh crm -n {cluster.namespace}" in refused.err
        cluster.merge("Connection", "crm", {"spec": {"allowedNamespaces": None}})
        assert mine not in user.lanyard("links", "-o", "name").out.split()
        place.wait_reason("crm", "LinkNotAllowed")
        assert "► next step    Its owner adds this namespace" in user.lanyard("status", "crm").out
        client.delete(f"/api/v1/namespaces/{here}")


def test_the_check_says_what_is_there_and_what_one_may_do(
    operator: Any, kubernetes: Any, cluster: Any, admin: Person, tmp_path: Path
) -> None:
    found = {one["about"]: one for one in json.loads(admin.lanyard("check", "-o", "json").out)}
    assert found["API server"]["fine"]
    assert found["clock"]["says"].startswith("agrees with the API server within")
    for plural in ("connections", "connectors", "credentialstores", "credentialassetrefs"):
        assert found[f"{plural}.lanyard.dev"]["says"] == "serves v1alpha1 with this plugin's schema"
    ann = person(kubernetes, cluster, tmp_path, "view")
    seen = ann.lanyard("check")
    assert seen.code == 0, seen.out
    assert f"◎ you may not          refresh Connections in {cluster.namespace}\n" in seen.out
    assert f"✔ you may              see Connections in {cluster.namespace}\n" in seen.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["status", "nope"], 1, "it is not there"),
        (["status", "--kubeconfig", "/no/such/file"], 1, "the kubeconfig does not work"),
        (["status", "--context", "nope"], 1, "the kubeconfig does not work"),
        (["status", "-o", "xml"], 2, "kubectl lanyard status"),
        (["nothing"], 2, "kubectl lanyard"),
        (["refresh", "nope"], 1, "it is not there"),
        (["authorize", "nope"], 1, "it is not there"),
        (["explain", "Nonsense"], 2, "There is no reason"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_failure_has_its_exit_code_and_its_words(
    admin: Person, arguments: list[str], code: int, says: str
) -> None:
    told = admin.lanyard(*arguments, namespaced=arguments[0] not in {"nothing", "explain"})
    assert (told.code, told.out) == (code, "")
    assert says in told.err


def test_a_server_that_is_down_and_a_kubectl_that_is_not_there_are_told(admin: Person, tmp_path: Path) -> None:
    config = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    content = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster]}
    config.write_text(
        yaml.safe_dump(content | {"contexts": [context], "users": [{"name": "u", "user": {"token": "x"}}]})
    )
    down = admin.lanyard("status", KUBECONFIG=str(config))
    assert down.code == 1
    assert "the API server does not answer" in down.err
    command = [str(Path(sys.executable).parent / "kubectl-lanyard"), "status"]
    done = subprocess.run(command, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("✗ kubectl is not there.\n")
