"""The policy of connectors on the real API server: who may set up a Connection of which product."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.admission import created, message, patched
from support.install import rendered
from support.people import bind, eventually
from support.policing import EDITOR, Federating, policed

pytestmark = pytest.mark.spec("C3")

ALL, SOME = "ada", "sam"
"""Who may use every connector here, and who one of them; both may edit, as erin may."""


USERS = Path(__file__).parents[2] / "examples" / "rights" / "connector-users.yaml"


def may_use_one(client: httpx.Client, namespace: str, user: str, connector: str) -> None:
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    group = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": "use-one"},
        "rules": [
            {"apiGroups": ["lanyard.dev"], "resources": ["connectors"], "resourceNames": [connector], "verbs": ["use"]}
        ],
    }  # fmt: skip
    binding = {
        "apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": "use-one"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "use-one"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }  # fmt: skip
    assert client.post(f"{path}/roles", json=role).status_code == 201
    assert client.post(f"{path}/rolebindings", json=binding).status_code == 201


@pytest.fixture(scope="module")
def client(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


@pytest.fixture(scope="module")
def team(kubernetes: Any, client: httpx.Client) -> Iterator[Federating]:
    with policed(kubernetes, client, "connectors", {"free": ["hubspot"]}) as here:
        edit = ["lanyard-view", "lanyard-edit"]
        bind(client, namespace=here.namespace, user=ALL, roles=[*edit, f"{here.release}-connectors-use"])
        bind(client, namespace=here.namespace, user=SOME, roles=edit)
        may_use_one(client, here.namespace, SOME, "github")
        slack, github = here.connection("slack"), here.connection("github")
        eventually(lambda: created(client, slack, dry=True, user=EDITOR).status_code == 403)
        eventually(lambda: created(client, slack, dry=True, user=ALL).status_code == 201)
        eventually(lambda: created(client, github, dry=True, user=SOME).status_code == 201)
        yield here


@pytest.mark.parametrize(
    ("user", "connector", "taken"),
    [
        pytest.param(ALL, "slack", True, id="who may use every connector uses one"),
        pytest.param(ALL, "home-made", True, id="and one that nobody knows yet"),
        pytest.param(SOME, "github", True, id="who may use one connector uses it"),
        pytest.param(SOME, "slack", False, id="and no other"),
        pytest.param(EDITOR, "github", False, id="an editor alone may use none"),
        pytest.param(EDITOR, "oauth2", False, id="nor a generic one"),
        pytest.param(EDITOR, "hubspot", True, id="but one that is free for all"),
    ],
)
def test_who_may_create_a_connection_of_a_connector(team: Federating, user: str, connector: str, taken: bool) -> None:
    answer = created(team.client, team.connection(connector), dry=True, user=user)
    assert answer.status_code == (201 if taken else 403), message(answer)
    if not taken:
        says = (
            f"{user} may not set up Connections of the connector {connector} in this namespace: ask the platform team"
        )
        assert says in message(answer)
        assert f"the role {team.release}-connectors-use" in message(answer)


def test_a_link_uses_no_connector_and_is_admitted_by_its_owner(team: Federating) -> None:
    link = team.connection("x")
    link["spec"] = {"linkTo": {"namespace": "people", "name": "crm"}}
    assert created(team.client, link, dry=True, user=EDITOR).status_code == 201


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        pytest.param({"suspend": True}, True, id="suspend"),
        pytest.param({"displayName": "CRM", "description": "x"}, True, id="the name"),
        pytest.param(
            {"credentials": {"clientSecret": {"secretRef": {"name": "a", "key": "b"}}}}, True, id="a new secret"
        ),
        pytest.param({"verify": {"interval": "1h"}}, True, id="how often it is verified"),
        pytest.param({"connector": "slack", "parameters": {"host": "a.example"}}, True, id="what is there already"),
        pytest.param({"parameters": {"host": "b.example"}}, False, id="where it goes"),
        pytest.param({"parameters": None}, False, id="where it went taken away"),
        pytest.param({"auth": {"method": "authorizationCode"}}, False, id="as whom it goes"),
    ],
)
def test_an_editor_without_the_verb_keeps_up_what_others_set_up(
    team: Federating, change: dict[str, Any], taken: bool
) -> None:
    manifest = team.connection("slack", parameters={"host": "a.example"})
    assert created(team.client, manifest, user=ALL).status_code == 201
    answer = patched(team.client, manifest, {"spec": change}, user=EDITOR)
    assert answer.status_code == (200 if taken else 403), message(answer)
    assert patched(team.client, manifest, {"spec": change}, user=ALL).status_code == 200


def test_a_right_in_one_namespace_is_none_in_another(kubernetes: Any, team: Federating) -> None:
    with policed(kubernetes, team.client, "connectors", {}) as other:
        bind(team.client, namespace=other.namespace, user=ALL, roles=["lanyard-view", "lanyard-edit"])
        probe = other.connection("slack")
        eventually(lambda: created(team.client, probe, dry=True, user=EDITOR).status_code == 403)
        eventually(lambda: "may not set up" in message(created(team.client, probe, dry=True, user=ALL)))


def test_the_example_gives_a_group_and_a_controller_two_connectors(team: Federating) -> None:
    """As a member of the group would be seen; the namespace is this test's."""
    for one in yaml.safe_load_all(USERS.read_text()):
        one["metadata"]["namespace"] = team.namespace
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{team.namespace}/{one['kind'].lower()}s"
        assert team.client.post(path, json=one).status_code == 201

    def says(connector: str, **headers: str) -> int:
        path = f"/apis/lanyard.dev/v1alpha1/namespaces/{team.namespace}/connections"
        body = team.connection(connector)
        return team.client.post(path, json=body, params={"dryRun": "All"}, headers=headers).status_code

    member = {"Impersonate-User": EDITOR, "Impersonate-Group": "sales-developers"}
    eventually(lambda: says("jira", **member) == 201)
    assert says("slack", **member) == 403
    assert says("jira", **{"Impersonate-User": EDITOR}) == 403


def test_role_and_policy_are_there_only_when_switched_on() -> None:
    def names(**policies: Any) -> set[str]:
        return {
            one["metadata"]["name"] for one in rendered({"policies": policies}) if one["kind"][:3] in {"Clu", "Val"}
        }

    on = names(connectors={"enabled": True})
    assert on - names() == {"lanyard-connectors", "lanyard-connectors-use"}


def test_the_api_server_finds_nothing_to_warn_of(team: Federating) -> None:
    path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{team.release}-connectors"
    eventually(lambda: "observedGeneration" in team.client.get(path).json().get("status", {}))
    assert team.client.get(path).json()["status"].get("typeChecking", {}) == {}
    assert team.client.get(path).json()["spec"]["failurePolicy"] == "Fail"
