"""The two policies of the chart, on the real API server, as people with the chart's own roles."""

import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from support.admission import created, deleted, message, patched
from support.install import ChartError, rendered
from support.people import bind, eventually

LOCKED = "lanyard.dev/locked"
EDITOR, ADMIN = "erin", "ada"


@dataclass(frozen=True)
class Place:
    """A namespace with an editor and an admin in it."""

    client: httpx.Client
    namespace: str

    def connection(self, *, locked: bool = False, method: str | None = "clientCredentials") -> dict[str, Any]:
        manifest: dict[str, Any] = {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "Connection",
            "metadata": {"name": f"c-{uuid.uuid4().hex[:8]}", "namespace": self.namespace},
            "spec": {
                "connector": "oauth2",
                "displayName": "CRM",
                "parameters": {"token_url": "https://login.example/token"},
                "auth": {"clientId": "crm"},
                "credentials": {"clientSecret": {"secretRef": {"name": "crm-app", "key": "client_secret"}}},
            },
        }
        if locked:
            manifest["metadata"]["labels"] = {LOCKED: "true"}
        if method is not None:
            manifest["spec"]["auth"]["method"] = method
        return manifest

    def existing(self, *, locked: bool) -> dict[str, Any]:
        manifest = self.connection(locked=locked)
        answer = created(self.client, manifest, user=EDITOR)
        assert answer.status_code == 201, message(answer)
        return manifest


def place(client: httpx.Client, labels: dict[str, str]) -> Place:
    name = f"t-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    assert client.post("/api/v1/namespaces", json=body).status_code == 201
    bind(client, namespace=name, user=EDITOR, roles=["lanyard-view", "lanyard-edit"])
    bind(client, namespace=name, user=ADMIN, roles=["lanyard-view", "lanyard-edit", "lanyard-admin"])
    return Place(client, name)


@pytest.fixture(scope="module")
def client(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


@pytest.fixture(scope="module")
def team(client: httpx.Client) -> Iterator[Place]:
    """A namespace of a team, with the locking policy in use."""
    here = place(client, {})
    probe = here.connection(locked=True)
    eventually(lambda: created(client, probe, user=EDITOR).status_code in {201, 409})
    eventually(lambda: _describe(client, probe) == 403)
    yield here
    client.delete(f"/api/v1/namespaces/{here.namespace}")


def _describe(client: httpx.Client, manifest: dict[str, Any]) -> int:
    return patched(client, manifest, {"spec": {"description": uuid.uuid4().hex}}, user=EDITOR).status_code


@pytest.fixture(scope="module")
def shared(client: httpx.Client) -> Iterator[Place]:
    """A shared namespace, with its policy in use."""
    here = place(client, {"lanyard.dev/shared": "true"})
    probe = here.connection(method="password")
    eventually(lambda: created(client, probe, dry=True, user=EDITOR).status_code == 403)
    yield here
    client.delete(f"/api/v1/namespaces/{here.namespace}")


@pytest.mark.spec("C12")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            {"spec": {"credentials": {"clientSecret": {"secretRef": {"key": "new"}}}}}, id="another credential"
        ),
        pytest.param({"spec": {"suspend": True}}, id="suspend"),
        pytest.param({"metadata": {"annotations": {"team": "sales"}}}, id="an annotation"),
        pytest.param({"metadata": {"labels": {"team": "sales"}}}, id="another label"),
        pytest.param({"spec": {"displayName": "CRM"}}, id="a field set to what it is"),
    ],
)
def test_a_locked_connection_lets_this_change(team: Place, change: dict[str, Any]) -> None:
    answer = patched(team.client, team.existing(locked=True), change, user=EDITOR)
    assert answer.status_code == 200, message(answer)


@pytest.mark.spec("C12")
@pytest.mark.parametrize("user", [EDITOR, ADMIN])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"displayName": "Mine"}, "spec.displayName", id="the name"),
        pytest.param({"displayName": None}, "spec.displayName", id="the name taken away"),
        pytest.param({"description": "x"}, "spec.description", id="a description that was not there"),
        pytest.param({"auth": {"method": "password"}}, "spec.auth", id="the method"),
        pytest.param({"parameters": {"token_url": "https://x"}}, "spec.parameters", id="where it sends secrets"),
        pytest.param({"parameters": None, "suspend": True}, "spec.parameters", id="all of them with a field that may"),
        pytest.param({"secret": {"name": "other"}}, "spec.secret", id="the published Secret"),
    ],
)
def test_a_locked_connection_keeps(team: Place, user: str, change: dict[str, Any], named: str) -> None:
    answer = patched(team.client, team.existing(locked=True), {"spec": change}, user=user)
    assert answer.status_code == 403
    assert f"this Connection is locked: {named} cannot change" in message(answer)
    assert "editable are credentials, suspend" in message(answer)
    assert "first removes the label lanyard.dev/locked" in message(answer)


@pytest.mark.spec("C12")
@pytest.mark.parametrize("value", [None, "false", ""], ids=["removed", "set to false", "emptied"])
def test_an_editor_cannot_open_the_lock_and_an_admin_can(team: Place, value: str | None) -> None:
    manifest = team.existing(locked=True)
    opening = {"metadata": {"labels": {LOCKED: value}}}
    refused = patched(team.client, manifest, opening, user=EDITOR)
    assert refused.status_code == 403
    assert "only by who holds the verb unlock on this Connection: ask an admin of the namespace" in message(refused)
    assert patched(team.client, manifest, opening, user=ADMIN).status_code == 200
    assert patched(team.client, manifest, {"spec": {"displayName": "Mine"}}, user=EDITOR).status_code == 200


@pytest.mark.spec("C12")
def test_an_admin_opens_the_lock_before_and_not_while_changing(team: Place) -> None:
    both = {"metadata": {"labels": {LOCKED: None}}, "spec": {"displayName": "Mine"}}
    assert patched(team.client, team.existing(locked=True), both, user=ADMIN).status_code == 403


@pytest.mark.spec("C12")
def test_an_unlocked_connection_is_locked_by_an_admin_only(team: Place) -> None:
    manifest = team.existing(locked=False)
    locking = {"metadata": {"labels": {LOCKED: "true"}}}
    assert patched(team.client, manifest, locking, user=EDITOR).status_code == 403
    assert patched(team.client, manifest, locking, user=ADMIN).status_code == 200


@pytest.mark.spec("C12")
def test_name_description_and_method_are_editable_unless_locked(team: Place) -> None:
    change = {"spec": {"displayName": "Mine", "description": "x", "auth": {"method": "password"}}}
    assert patched(team.client, team.existing(locked=False), change, user=EDITOR).status_code == 200


@pytest.mark.spec("C12", "K2")
def test_the_status_of_a_locked_connection_is_written_as_ever(team: Place) -> None:
    manifest = team.existing(locked=True)
    path = f"/apis/lanyard.dev/v1alpha1/namespaces/{team.namespace}/connections/{manifest['metadata']['name']}/status"
    answer = team.client.patch(
        path, json={"status": {"failedAttempts": 1}}, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert answer.status_code == 200, message(answer)


SERVICE_ACCOUNTS = [
    "clientCredentials", "jwtBearer", "githubApp", "apiKey", "bearerToken", "basic", "awsSigV4", "custom",
]  # fmt: skip


@pytest.mark.spec("C2")
@pytest.mark.parametrize("method", SERVICE_ACCOUNTS)
def test_a_shared_namespace_takes_methods_of_service_accounts(shared: Place, method: str) -> None:
    answer = created(shared.client, shared.connection(method=method), dry=True, user=EDITOR)
    assert answer.status_code == 201, message(answer)


@pytest.mark.spec("C2")
@pytest.mark.parametrize("method", ["authorizationCode", "deviceCode", "password"])
@pytest.mark.parametrize("user", [EDITOR, ADMIN])
def test_a_shared_namespace_refuses_a_persons_own_account(shared: Place, user: str, method: str) -> None:
    answer = created(shared.client, shared.connection(method=method), dry=True, user=user)
    assert answer.status_code == 403
    assert f"the method {method} uses a person's own account: take one of clientCredentials" in message(answer)
    assert "or create the Connection in a namespace of your own" in message(answer)


@pytest.mark.spec("C2")
def test_a_shared_namespace_wants_the_method_named(shared: Place) -> None:
    answer = created(shared.client, shared.connection(method=None), dry=True, user=EDITOR)
    assert answer.status_code == 422
    assert "this namespace is shared: name the method in spec.auth.method, one of clientCredentials" in message(answer)


@pytest.mark.spec("C2")
def test_a_connection_cannot_turn_to_a_persons_account_later(shared: Place) -> None:
    manifest = shared.existing(locked=False)
    change = {"spec": {"auth": {"method": "password"}}}
    assert patched(shared.client, manifest, change, user=EDITOR).status_code == 403


def link_in(here: Place, *, to: str = "crm") -> dict[str, Any]:
    manifest = here.connection()
    manifest["spec"] = {"linkTo": {"namespace": "people", "name": to}}
    return manifest


@pytest.mark.spec("C2", "C13")
@pytest.mark.parametrize("user", [EDITOR, ADMIN])
def test_a_shared_namespace_refuses_links_for_they_may_bring_in_a_persons_own_account(shared: Place, user: str) -> None:
    answer = created(shared.client, link_in(shared), dry=True, user=user)
    assert answer.status_code == 403
    assert "a link brings in an account of another namespace, which may be a person's own" in message(answer)


@pytest.mark.spec("C2", "C13")
def test_a_link_from_before_can_be_suspended_but_not_turned_to_another_connection(client: httpx.Client) -> None:
    here = place(client, {})
    manifest = link_in(here)
    eventually(lambda: created(client, manifest, user=EDITOR).status_code in {201, 409})
    path = f"/api/v1/namespaces/{here.namespace}"
    merge = {"Content-Type": "application/merge-patch+json"}
    client.patch(path, json={"metadata": {"labels": {"lanyard.dev/shared": "true"}}}, headers=merge)
    eventually(lambda: created(client, link_in(here), dry=True, user=EDITOR).status_code == 403)
    assert patched(client, manifest, {"spec": {"suspend": True}}, user=EDITOR).status_code == 200
    turned = patched(client, manifest, {"spec": {"linkTo": {"name": "another"}}}, user=EDITOR)
    assert turned.status_code == 403
    deleted(client, manifest)
    client.delete(path)


@pytest.mark.spec("C12", "C13")
def test_a_locked_connection_keeps_who_may_link_to_it_and_what_it_links_to(team: Place) -> None:
    change = {"spec": {"allowedNamespaces": {"selector": {}}}}
    answer = patched(team.client, team.existing(locked=True), change, user=EDITOR)
    assert answer.status_code == 403
    assert "spec.allowedNamespaces cannot change" in message(answer)
    link = link_in(team)
    link["metadata"]["labels"] = {LOCKED: "true"}
    assert created(team.client, link, user=EDITOR).status_code == 201
    turned = patched(team.client, link, {"spec": {"linkTo": {"name": "another"}}}, user=EDITOR)
    assert turned.status_code == 403
    assert "spec.linkTo cannot change" in message(turned)


@pytest.mark.spec("C2")
def test_what_was_there_before_the_namespace_was_shared_can_be_suspended_and_not_spread(client: httpx.Client) -> None:
    here = place(client, {})
    manifest = here.connection(method="password")
    eventually(lambda: created(client, manifest, user=EDITOR).status_code in {201, 409})
    path = f"/api/v1/namespaces/{here.namespace}"
    merge = {"Content-Type": "application/merge-patch+json"}
    client.patch(path, json={"metadata": {"labels": {"lanyard.dev/shared": "true"}}}, headers=merge)
    another = here.connection(method="password")
    eventually(lambda: created(client, another, dry=True, user=EDITOR).status_code == 403)
    assert patched(client, manifest, {"spec": {"suspend": True}}, user=EDITOR).status_code == 200
    deleted(client, manifest)
    client.delete(path)


@pytest.mark.spec("C2")
def test_a_namespace_of_ones_own_takes_every_method(team: Place) -> None:
    for method in ("authorizationCode", "deviceCode", "password", None):
        answer = created(team.client, team.connection(method=method), dry=True, user=EDITOR)
        assert answer.status_code == 201, message(answer)


def policies(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one for one in rendered(values) if one["kind"].startswith("ValidatingAdmissionPolicy")
    }


@pytest.mark.spec("C2", "C12")
def test_policies_are_off_when_the_values_say_so() -> None:
    shipped = ("consent", "lockedFields", "sharedNamespaces", "trust")
    assert policies({"policies": {name: {"enabled": False} for name in shipped}}) == {}
    names = ("consent", "locked-fields", "shared-namespaces", "trust")
    assert set(policies({})) == {f"lanyard-{name}" for name in names}


@pytest.mark.spec("C2", "C13")
def test_links_are_taken_in_shared_namespaces_where_the_platform_says_so() -> None:
    def rules(*, links: bool) -> str:
        found = rendered({"policies": {"sharedNamespaces": {"links": links}}})
        kept = [one["spec"] for one in found if one["metadata"]["name"] == "lanyard-shared-namespaces"]
        return str(kept)

    assert "a link brings in" in rules(links=False)
    assert "a link brings in" not in rules(links=True)


@pytest.mark.spec("C2", "C12")
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"lockedFields": {"editable": ["connector"]}}, "/policies/lockedFields/editable"),
        ({"lockedFields": {"actions": ["Deny", "Warn"]}}, "/policies/lockedFields/actions"),
        ({"sharedNamespaces": {"methods": []}}, "/policies/sharedNamespaces/methods"),
        ({"sharedNamespace": {}}, "'sharedNamespace' not allowed"),
    ],
    ids=["an immutable field", "two answers at once", "no method at all", "a misspelt policy"],
)
def test_the_chart_refuses_values_that_make_no_policy(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ChartError, match="values don't meet the specifications") as refused:
        policies({"policies": copy.deepcopy(values)})
    assert says in str(refused.value)


@pytest.mark.spec("C2", "C12")
@pytest.mark.parametrize("name", ["lanyard-locked-fields", "lanyard-shared-namespaces"])
def test_the_api_server_finds_nothing_to_warn_of_in_a_policy(client: httpx.Client, name: str) -> None:
    path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{name}"

    def status() -> dict[str, Any]:
        return client.get(path).json().get("status", {})

    eventually(lambda: "observedGeneration" in status())
    assert status().get("typeChecking", {}) == {}
