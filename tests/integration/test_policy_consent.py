"""The policy of approvals on the real API server: who may approve a browser, for whom, and what else they may not."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from support.admission import created, message, patched
from support.install import rendered
from support.people import bind, eventually

pytestmark = pytest.mark.spec("C4")

APPROVER, EDITOR, BOTH, VIEWER = "ada", "erin", "ben", "vic"
ROLES = {
    APPROVER: ["lanyard-authorizer"],
    EDITOR: ["lanyard-view", "lanyard-edit"],
    BOTH: ["lanyard-view", "lanyard-edit", "lanyard-authorizer"],
    VIEWER: ["lanyard-view"],
}
HASH = "0123456789abcdef0123456789abcdef01234567"
CONSENT = "lanyard.dev/consent"
OPERATOR = "system:serviceaccount:lanyard-system:lanyard-operator"


@dataclass(frozen=True)
class Place:
    client: httpx.Client
    namespace: str

    def manifest(self, **annotations: str) -> dict[str, Any]:
        return {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "Connection",
            "metadata": {
                "name": f"c-{uuid.uuid4().hex[:8]}",
                "namespace": self.namespace,
                "annotations": {"team": "sales", **annotations},
            },
            "spec": {"connector": "oauth2", "auth": {"method": "authorizationCode", "clientId": "crm"}},
        }

    def existing(self, **annotations: str) -> dict[str, Any]:
        manifest = self.manifest(**annotations)
        answer = created(self.client, manifest)
        assert answer.status_code == 201, message(answer)
        return manifest

    def approve(self, manifest: dict[str, Any], value: str | None, *, user: str = "") -> httpx.Response:
        return patched(self.client, manifest, {"metadata": {"annotations": {CONSENT: value}}}, user=user)


@pytest.fixture(scope="module")
def client(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


@pytest.fixture(scope="module")
def place(client: httpx.Client) -> Iterator[Place]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert client.post("/api/v1/namespaces", json=body).status_code == 201
    here = Place(client, name)
    for user, roles in ROLES.items():
        bind(client, namespace=name, user=user, roles=roles)
    probe = here.existing()
    eventually(lambda: here.approve(probe, f"{HASH}.nobody", user=BOTH).status_code == 403)
    eventually(lambda: here.approve(probe, f"{HASH}.{APPROVER}", user=APPROVER).status_code == 200)
    yield here
    client.delete(f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("user", [APPROVER, BOTH])
def test_who_holds_the_verb_approves_in_their_own_name(place: Place, user: str) -> None:
    answer = place.approve(place.existing(), f"{HASH}.{user}", user=user)
    assert answer.status_code == 200, message(answer)


def test_a_name_with_dots_and_colons_is_taken_whole(place: Place) -> None:
    user = "oidc:ada.b@acme.com"
    bind(place.client, namespace=place.namespace, user=user.replace(":", "-").replace("@", "-"), roles=[])
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "dotted"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lanyard-authorizer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place.namespace}/rolebindings"
    assert place.client.post(path, json=binding).status_code == 201
    manifest = place.existing()
    eventually(lambda: place.approve(manifest, f"{HASH}.{user}", user=user).status_code == 200)
    assert place.approve(manifest, f"{HASH}.oidc:ada", user=user).status_code == 403


@pytest.mark.parametrize("user", [APPROVER, BOTH])
@pytest.mark.parametrize("name", ["erin", "ada2", "Ada", "", "ada ", "x.ada"])
def test_nobody_approves_in_anothers_name(place: Place, user: str, name: str) -> None:
    answer = place.approve(place.existing(), f"{HASH}.{name}", user=user)
    assert answer.status_code in {403, 422}
    assert "lanyard.dev/consent" in message(answer)


@pytest.mark.parametrize("value", ["yes", HASH, f"{HASH}.", f"short.{APPROVER}", f"{HASH} .{APPROVER}", f".{APPROVER}"])
def test_what_is_no_approval_is_refused_with_its_form(place: Place, value: str) -> None:
    answer = place.approve(place.existing(), value, user=APPROVER)
    assert answer.status_code in {403, 422}
    assert "lanyard.dev/consent" in message(answer)


def test_an_editor_without_the_verb_may_not_approve(place: Place) -> None:
    answer = place.approve(place.existing(), f"{HASH}.{EDITOR}", user=EDITOR)
    assert answer.status_code == 403
    assert "only by who holds the verb authorize on this Connection" in message(answer)
    assert "lanyard-authorizer" in message(answer)


def test_a_viewer_may_not_even_try(place: Place) -> None:
    assert place.approve(place.existing(), f"{HASH}.{VIEWER}", user=VIEWER).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec": {"auth": {"clientId": "mine"}}}, id="the spec"),
        pytest.param({"spec": {"suspend": True}}, id="suspension"),
        pytest.param({"metadata": {"labels": {"team": "mine"}}}, id="a label"),
        pytest.param({"metadata": {"annotations": {"team": "mine"}}}, id="another annotation"),
        pytest.param({"metadata": {"annotations": {"team": None}}}, id="an annotation taken away"),
        pytest.param({"metadata": {"annotations": {"new": "one"}}}, id="a new annotation"),
        pytest.param({"metadata": {"finalizers": ["x.example/y"]}}, id="a finalizer"),
        pytest.param(
            {"metadata": {"annotations": {CONSENT: f"{HASH}.{APPROVER}"}}, "spec": {"suspend": True}},
            id="the spec beside an approval",
        ),
    ],
)
def test_who_may_only_approve_changes_nothing_else(place: Place, change: dict[str, Any]) -> None:
    answer = patched(place.client, place.existing(), change, user=APPROVER)
    assert answer.status_code == 403
    assert "you may change its annotation lanyard.dev/consent and nothing else" in message(answer)


def test_who_may_update_and_authorize_does_both_at_once(place: Place) -> None:
    change = {"metadata": {"annotations": {CONSENT: f"{HASH}.{BOTH}"}}, "spec": {"suspend": True}}
    assert patched(place.client, place.existing(), change, user=BOTH).status_code == 200


@pytest.mark.parametrize("user", [EDITOR, APPROVER])
def test_an_approval_that_stays_as_it_is_needs_nobody(place: Place, user: str) -> None:
    manifest = place.existing()
    assert place.approve(manifest, f"{HASH}.{APPROVER}", user=APPROVER).status_code == 200
    assert place.approve(manifest, f"{HASH}.{APPROVER}", user=user).status_code == 200
    if user == EDITOR:
        assert patched(place.client, manifest, {"spec": {"suspend": True}}, user=user).status_code == 200


@pytest.mark.parametrize("user", [EDITOR, APPROVER])
def test_an_approval_can_be_taken_back(place: Place, user: str) -> None:
    manifest = place.existing()
    assert place.approve(manifest, f"{HASH}.{APPROVER}", user=APPROVER).status_code == 200
    assert place.approve(manifest, None, user=user).status_code == 200


@pytest.mark.parametrize(("user", "named", "taken"), [(BOTH, BOTH, 201), (BOTH, APPROVER, 403), (EDITOR, EDITOR, 403)])
def test_an_approval_at_creation_follows_the_same_rules(place: Place, user: str, named: str, taken: int) -> None:
    answer = created(place.client, place.manifest(**{CONSENT: f"{HASH}.{named}"}), user=user)
    assert answer.status_code == taken, message(answer)


def test_who_may_create_does_so_without_an_approval(place: Place) -> None:
    answer = created(place.client, place.manifest(), user=EDITOR)
    assert answer.status_code == 201, message(answer)


def test_the_operator_may_patch_finalizers_and_no_spec(place: Place) -> None:
    """Its own role has no patch on Connections yet; bound here, to see what the policy leaves of it."""
    subject = {"kind": "ServiceAccount", "name": "lanyard-operator", "namespace": "lanyard-system"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lanyard-authorizer"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "operator"},
        "roleRef": role, "subjects": [subject],
    }  # fmt: skip
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place.namespace}/rolebindings"
    assert place.client.post(path, json=binding).status_code == 201
    manifest = place.existing()
    on = {"metadata": {"finalizers": ["lanyard.dev/grant"]}}
    eventually(lambda: patched(place.client, manifest, on, user=OPERATOR).status_code == 200)
    assert patched(place.client, manifest, {"spec": {"suspend": True}}, user=OPERATOR).status_code == 403
    assert patched(place.client, manifest, {"metadata": {"finalizers": None}}, user=OPERATOR).status_code == 200


def test_the_role_comes_and_goes_with_the_policy() -> None:
    def names(**values: Any) -> set[str]:
        return {one["metadata"]["name"] for one in rendered(values) if one["kind"].startswith(("Clu", "Val"))}

    off = names(policies={"consent": {"enabled": False}})
    assert names() - off == {"lanyard-authorizer", "lanyard-consent"}


def test_the_api_server_finds_nothing_to_warn_of(client: httpx.Client) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/lanyard-consent"
    eventually(lambda: "observedGeneration" in client.get(path).json().get("status", {}))
    assert client.get(path).json()["status"].get("typeChecking", {}) == {}
    assert client.get(path).json()["spec"]["failurePolicy"] == "Fail"
