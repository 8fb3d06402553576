"""What the operator and people may do, asked of the API server: every verb on everything it knows."""

import itertools
import re
import ssl
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import yaml

from docsgen.pages import committed
from docsgen.rights import SERVED, operator_rights
from support.install import NAMESPACE, install_chart, rendered, second_release
from support.people import bind, eventually

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
OPERATOR = f"system:serviceaccount:{NAMESPACE}:lanyard-operator"
GATEWAY = f"system:serviceaccount:{NAMESPACE}:lanyard-gateway"
KEYS = f"system:serviceaccount:{NAMESPACE}:lanyard-keys"
EXCHANGE = "lanyard-exchange"
NARROW_RELEASE = "lanyard-narrow"
NARROW_EXCHANGE = "lanyard-narrow-exchange"
NARROW = f"system:serviceaccount:{NARROW_RELEASE}:lanyard-operator"
LEASES = "coordination.k8s.io", "leases"

Allowed = frozenset[tuple[str, str, str]]
"""(API group, resource, verb)."""


@dataclass(frozen=True)
class Access:
    """SubjectAccessReviews, many at once."""

    client: httpx.Client
    resources: tuple[tuple[str, str], ...]

    def may(self, user: str, group: str, resource: str, verb: str, namespace: str = "") -> bool:
        name, _, subresource = resource.partition("/")
        asked = {"group": group, "resource": name, "subresource": subresource, "verb": verb, "namespace": namespace}
        place, _, account = user.removeprefix("system:serviceaccount:").partition(":")
        groups = ["system:authenticated"]
        if account:
            groups += ["system:serviceaccounts", f"system:serviceaccounts:{place}"]
        body = {"spec": {"user": user, "groups": groups, "resourceAttributes": asked}}
        answer = self.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=body)
        assert answer.status_code == 201, answer.text
        return bool(answer.json()["status"]["allowed"])

    def everything(self, user: str, namespace: str, verbs: Iterable[str] = VERBS) -> Allowed:
        """All that a user may do in a namespace (empty: cluster-wide), of all the API server has."""
        asked = [(*resource, verb) for resource, verb in itertools.product(self.resources, verbs)]
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda one: self.may(user, *one, namespace), asked)
        return frozenset(one for one, allowed in zip(asked, answers, strict=True) if allowed)


@pytest.fixture(scope="module")
def access(kubernetes: Any) -> Iterator[Access]:
    with kubernetes.client() as client:
        yield Access(client, tuple(sorted(discovered(client))))


def discovered(client: httpx.Client) -> set[tuple[str, str]]:
    """Every (API group, resource or resource/subresource), and all of each group under `*`."""
    found = {("*", "*")}
    versions = [
        ("", "/api/v1"),
        *(
            (group["name"], f"/apis/{version['groupVersion']}")
            for group in client.get("/apis").json()["groups"]
            for version in group["versions"]
        ),
    ]
    for group, path in versions:
        found |= {(group, "*")} | {(group, one["name"]) for one in client.get(path).json()["resources"]}
    return found


def basic_rights(access: Access, namespace: str) -> Allowed:
    """What Kubernetes gives to every ServiceAccount: discovery, asking about itself, published trust anchors."""
    return access.everything("system:serviceaccount:default:nobody", namespace)


def documented(name: str) -> dict[str, Allowed]:
    """The table of docs/security.md, by its first column."""
    text = committed("docs/security.md")
    part = text[text.index(f"<!-- begin {name} -->") : text.index(f"<!-- end {name} -->")]
    found: dict[str, set[tuple[str, str, str]]] = {}
    for row in re.findall(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \| (.+?) \| .+ \|$", part, re.MULTILINE):
        place, group, resource, verbs = row
        group = "" if group == "core" else group
        found.setdefault(place, set()).update((group, resource, verb) for verb in verbs.split(", "))
    return {place: frozenset(rights) for place, rights in found.items()}


def of_one_object(table: Allowed) -> Allowed:
    """The rights that RBAC gives for the one Lease only: a question without a name is answered with no."""
    return table & frozenset({(*LEASES, "get"), (*LEASES, "patch")})


def test_the_operator_may_do_what_is_documented_and_nothing_else(access: Access) -> None:
    tables = documented("rights-cluster")
    assert set(tables) == {"cluster", f"`{EXCHANGE}`"}
    for namespace in ("", "default", NAMESPACE, "kube-system"):
        allowed = access.everything(OPERATOR, namespace) - basic_rights(access, namespace)
        assert allowed == tables["cluster"], namespace
    beside = tables[f"`{EXCHANGE}`"]
    allowed = access.everything(OPERATOR, EXCHANGE) - basic_rights(access, EXCHANGE)
    assert allowed == tables["cluster"] | beside - of_one_object(beside)


@pytest.mark.parametrize(("name", "may"), [("lanyard-operator", True), ("another", False)])
def test_the_operator_may_read_and_change_its_own_lease_only(kubernetes: Any, name: str, may: bool) -> None:
    token = kubernetes.service_account_token(NAMESPACE, "lanyard-operator")
    path = f"/apis/coordination.k8s.io/v1/namespaces/{EXCHANGE}/leases/{name}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
    with httpx.Client(base_url=kubernetes.url, verify=_trust(kubernetes), trust_env=False, headers=headers) as operator:
        read, changed = operator.get(path), operator.patch(path, json={"metadata": {"labels": {"a": "b"}}})
        gone = operator.delete(path)
    assert {read.status_code == 403, changed.status_code == 403} == {not may}
    assert gone.status_code == 403


def test_the_gateway_may_do_what_is_documented_and_nothing_else(access: Access) -> None:
    tables = documented("rights-gateway")
    assert set(tables) == {"cluster", f"`{EXCHANGE}`"}
    for namespace in ("", "default", NAMESPACE, "kube-system"):
        allowed = access.everything(GATEWAY, namespace) - basic_rights(access, namespace)
        assert allowed == tables["cluster"], namespace
    allowed = access.everything(GATEWAY, EXCHANGE) - basic_rights(access, EXCHANGE)
    beside = tables[f"`{EXCHANGE}`"]
    assert allowed == tables["cluster"] | beside - of_one_object(beside)


def test_what_makes_keyrings_may_do_what_is_documented_and_nothing_else(access: Access) -> None:
    tables = documented("rights-keys")
    # As above: these two are of two objects alone.
    named = frozenset({("", "secrets", "get")})
    assert set(tables) == {"the release's namespace", f"`{EXCHANGE}`"}
    for namespace in ("", "default", "kube-system"):
        assert access.everything(KEYS, namespace) == basic_rights(access, namespace)
    for place, namespace in (("the release's namespace", NAMESPACE), (f"`{EXCHANGE}`", EXCHANGE)):
        allowed = access.everything(KEYS, namespace) - basic_rights(access, namespace)
        assert allowed == tables[place] - named, namespace


@pytest.mark.parametrize(
    ("group", "resource", "verb"),
    [
        ("", "pods", "list"),
        ("", "pods/exec", "create"),
        ("", "nodes", "get"),
        ("", "secrets", "update"),
        ("", "secrets", "deletecollection"),
        ("", "configmaps", "get"),
        ("", "serviceaccounts", "list"),
        ("", "serviceaccounts", "create"),
        ("", "serviceaccounts", "impersonate"),
        ("", "users", "impersonate"),
        ("", "groups", "impersonate"),
        ("", "namespaces", "delete"),
        ("rbac.authorization.k8s.io", "clusterroles", "bind"),
        ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
        ("rbac.authorization.k8s.io", "rolebindings", "create"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"),
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("certificates.k8s.io", "certificatesigningrequests", "create"),
        ("coordination.k8s.io", "leases", "create"),
        ("lanyard.dev", "connections", "update"),
        ("lanyard.dev", "connections", "unlock"),
        ("lanyard.dev", "connections", "delete"),
        ("lanyard.dev", "connections/status", "update"),
        ("lanyard.dev", "credentialstores", "create"),
        ("lanyard.dev", "connectors", "create"),
        ("*", "*", "*"),
    ],
)
def test_the_operator_may_not(access: Access, group: str, resource: str, verb: str) -> None:
    assert not access.may(OPERATOR, group, resource, verb)
    assert not access.may(OPERATOR, group, resource, verb, "default")


def test_the_operator_with_its_own_token_is_refused_a_write_of_a_spec(kubernetes: Any) -> None:
    """Not only reviewed: done, with the ServiceAccount's token."""
    token = kubernetes.service_account_token(NAMESPACE, "lanyard-operator")
    with kubernetes.client() as client:
        connection = {
            "apiVersion": "lanyard.dev/v1alpha1", "kind": "Connection", "metadata": {"name": "mine"},
            "spec": {"connector": "basic", "suspend": True},
        }  # fmt: skip
        path = "/apis/lanyard.dev/v1alpha1/namespaces/default/connections"
        assert client.post(path, json=connection).status_code == 201
        bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        with httpx.Client(base_url=kubernetes.url, verify=_trust(kubernetes), trust_env=False) as operator:
            spec = operator.patch(f"{path}/mine", json={"spec": {"suspend": False}}, headers=bearer)
            label = operator.patch(f"{path}/mine", json={"metadata": {"labels": {"a": "b"}}}, headers=bearer)
            status = operator.patch(f"{path}/mine/status", json={"status": {"failedAttempts": 1}}, headers=bearer)
        client.delete(f"{path}/mine")
    assert [spec.status_code, label.status_code, status.status_code] == [403, 403, 200]


def _trust(kubernetes: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(kubernetes.ca_path))


@pytest.fixture(scope="module")
def narrow(kubernetes: Any) -> Iterator[str]:
    """A second operator that serves one namespace; its rights only, the kinds and policies are there already."""
    values = second_release("narrow", [SERVED])
    install_chart(kubernetes, namespace=NARROW_RELEASE, values=values)
    yield NARROW
    manifests = [one for one in rendered(values, namespace=NARROW_RELEASE) if one["kind"] != "Namespace"]
    kubernetes.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(manifests))
    kubernetes.kubectl("delete", "namespace", NARROW_RELEASE, NARROW_EXCHANGE, SERVED, "--wait=false")


def test_an_operator_of_named_namespaces_may_do_what_is_documented_and_nothing_else(
    access: Access, narrow: str
) -> None:
    tables = documented("rights-namespaced")
    cluster = tables.pop("cluster")
    for place, namespace in (
        ("each served namespace", SERVED),
        ("the release's namespace", NARROW_RELEASE),
        (f"`{EXCHANGE}`", NARROW_EXCHANGE),
        ("`default`", "default"),
        ("", "kube-system"),
        ("", NAMESPACE),
        ("", EXCHANGE),
    ):
        expected = cluster | tables.get(place, frozenset())
        expected -= of_one_object(expected)
        assert access.everything(narrow, namespace) - basic_rights(access, namespace) == expected, namespace
    assert access.everything(narrow, "") - basic_rights(access, "") == cluster
    assert set(tables) == {"each served namespace", "the release's namespace", f"`{EXCHANGE}`", "`default`"}


def test_the_documented_tables_are_those_of_the_chart() -> None:
    found: dict[str, set[tuple[str, str, str]]] = {}
    for place, group, resource, verbs in operator_rights(rendered()):
        found.setdefault(f"`{place}`" if place else "cluster", set()).update((group, resource, verb) for verb in verbs)
    assert documented("rights-cluster") == found


READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}
OURS = ("connections", "credentialassetrefs", "federatedcredentials")


@pytest.mark.spec("C2")
@pytest.mark.parametrize(
    ("role", "verbs", "unlocks", "reads_secrets"),
    [
        ("view", READ, False, False),
        ("edit", READ | WRITE, False, True),
        ("admin", READ | WRITE, True, True),
    ],
)
def test_the_clusters_own_roles_carry_our_kinds(
    access: Access, role: str, verbs: set[str], unlocks: bool, reads_secrets: bool
) -> None:
    """Whoever may use the namespace may use the connection: `view`, `edit` and `admin` of Kubernetes itself."""
    user, namespace = f"user-{role}", f"t-role-{role}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    assert access.client.post("/api/v1/namespaces", json=body).status_code == 201
    bind(access.client, namespace=namespace, user=user, roles=[role])
    eventually(lambda: access.may(user, "lanyard.dev", "connections", "get", namespace))
    for resource in OURS:
        found = {verb for verb in VERBS if access.may(user, "lanyard.dev", resource, verb, namespace)}
        assert found == verbs, resource
        assert not access.may(user, "lanyard.dev", f"{resource}/status", "patch", namespace)
    assert access.may(user, "lanyard.dev", "connections", "unlock", namespace) is unlocks
    assert access.may(user, "", "secrets", "get", namespace) is reads_secrets
    for resource in ("connectors", "credentialstores"):
        assert not any(access.may(user, "lanyard.dev", resource, verb) for verb in VERBS)
    assert not access.may(user, "lanyard.dev", "connections", "get", "default")
    access.client.delete(f"/api/v1/namespaces/{namespace}")
