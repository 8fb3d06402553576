"""A team that manages its federated credentials over the REST API, and the rights that the chart gives for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from lanyard.oauth.minting import access_token
from lanyard.stores.keyring import Keyring
from lanyard.stores.signing import SigningRing
from support.cluster import Cluster
from support.gateway import GatewayProcess, Visitor
from support.install import NAMESPACE, Manifest, rendered
from support.issuing import StaticIssuer
from support.people import eventually

AUDIENCE = "https://lanyard.test/sales"
SUBJECT = "repo:acme/crm:ref:refs/heads/main"
ELSEWHERE = "default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def rest_manifests(*namespaces: str) -> list[Manifest]:
    """What the chart renders more with the REST API on."""
    without = rendered()
    with_it = rendered({"gateway": {"restAPI": {"enabled": True, "namespaces": list(namespaces)}}})
    return [one for one in with_it if one not in without and one["kind"] != "NetworkPolicy"]


@contextmanager
def rest_rights(kubernetes: Any) -> Iterator[None]:
    """The chart's cluster-wide rights for the REST API, for as long as it lasts."""
    text = yaml.safe_dump_all(rest_manifests())
    kubernetes.kubectl("apply", "--server-side", "-f", "-", input=text)
    yield
    kubernetes.kubectl("delete", "--ignore-not-found", "-f", "-", input=text)


def let_write(kubernetes: Any, namespace: str) -> None:
    """The chart's rights in one namespace; they go with it."""
    narrow = [one for one in rest_manifests(namespace) if one["metadata"].get("namespace") == namespace]
    kubernetes.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(narrow))


@dataclass
class RestTeam:
    """Lives in the namespace of `cluster`, with one Connection and a ServiceAccount `ci` that may edit."""

    cluster: Cluster
    kubernetes: Any
    gateway: GatewayProcess
    issuer: StaticIssuer
    ca_path: Path
    signing: Path
    """The ring that the gateway has."""
    client_id: str = ""
    _visitors: list[Visitor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client_id = self.connect()
        self.account("ci", "edit")
        self.as_ci = self.caller(self.token_of("ci"))
        self.until_known(self.as_ci)

    def close(self) -> None:
        for visitor in self._visitors:
            visitor.close()
        self.cluster.client.delete(self.cluster.path("Connection", self.name, ELSEWHERE))

    @property
    def name(self) -> str:
        return self.cluster.namespace

    @property
    def audience(self) -> str:
        return f"{self.gateway.url}/identity_"

    def connect(self, name: str = "crm", **spec: Any) -> str:
        spec = spec or {"connector": "lanyard"}
        return str(self.cluster.connection(name, **spec)["metadata"]["uid"])

    # who calls

    def account(self, name: str, role: str = "") -> None:
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        assert self.cluster.client.post(self.cluster.path("ServiceAccount"), json=body).status_code == 201
        if role:
            self.bind(name, {"kind": "ClusterRole", "name": role})

    def bind(self, account: str, role: dict[str, str]) -> None:
        binding = {
            "metadata": {"name": f"{account}-{role['name']}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", **role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self.name}],
        }
        path = f"{RBAC}/namespaces/{self.name}/rolebindings"
        assert self.cluster.client.post(path, json=binding).status_code == 201

    def token_of(self, account: str, *audiences: str) -> str:
        """A Kubernetes token, made for this API unless told otherwise."""
        made: str = self.kubernetes.service_account_token(self.name, account, audiences=audiences or (self.audience,))
        return made

    def minted(self, scope: str = "PM.OAuthApp", **changes: Any) -> str:
        """A token as the gateway's own token endpoint makes it."""
        ring = SigningRing(Keyring.parse(self.signing.read_text()))
        now = datetime.now(UTC)
        facts = {
            "issuer": self.gateway.url, "audience": self.audience, "client_id": self.client_id, "namespace": self.name,
            "scope": scope, "token_id": "t-1", "issued_at": now, "lifetime": timedelta(minutes=10), "credential": None,
        }  # fmt: skip
        return access_token(ring.signing_key(now), **(facts | changes))

    def caller(self, token: str | None, *, gateway: GatewayProcess | None = None) -> httpx.Client:
        """A client that knows the way to this API, with a token or without."""
        visitor = Visitor(self.ca_path)
        self._visitors.append(visitor)
        visitor.client.base_url = httpx.URL((gateway or self.gateway).url)
        if token is not None:
            visitor.client.headers["Authorization"] = f"Bearer {token}"
        return visitor.client

    def stranger(self) -> httpx.Client:
        """An application of another namespace, with every scope there is."""
        elsewhere = Cluster(self.cluster.client, ELSEWHERE)
        uid = str(elsewhere.connection(self.name, connector="lanyard")["metadata"]["uid"])
        client = self.caller(self.minted(namespace=ELSEWHERE, client_id=uid))
        eventually(lambda: client.get(self.path(namespace=ELSEWHERE, client_id=uid)).status_code == 200)
        return client

    # what is asked

    def path(self, uid: str = "", *, namespace: str = "", client_id: str = "") -> str:
        place = f"/identity_/api/ExternalClient/{namespace or self.name}/{client_id or self.client_id}"
        return f"{place}/FederatedCredentials" + (f"/{uid}" if uid else "")

    def body(self, name: str = "build", **changes: Any) -> dict[str, Any]:
        """What a client sends; a member changed to ... is left out."""
        found = {"name": name, "issuer": self.issuer.url, "audience": AUDIENCE, "subject": SUBJECT} | changes
        return {member: value for member, value in found.items() if value is not ...}

    def post(self, name: str = "build", *, by: httpx.Client | None = None, **changes: Any) -> httpx.Response:
        return (by or self.as_ci).post(self.path(), json=self.body(name, **changes))

    def created(self, name: str = "build", **changes: Any) -> dict[str, Any]:
        answer = self.post(name, **changes)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def put(self, uid: str, *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        return self.as_ci.put(self.path(uid), json=self.body(**body), headers=headers)

    def listed(self, by: httpx.Client | None = None) -> list[dict[str, Any]]:
        answer = (by or self.as_ci).get(self.path())
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def until_known(self, client: httpx.Client) -> None:
        """Until the gateway has heard of the Connection, and the API server has taken the rights into use."""
        eventually(lambda: client.get(self.path()).status_code == 200)

    def may_write(self) -> bool:
        """Whether the API server has taken the gateway's rights here into use."""
        attributes = {"verb": "create", "group": "lanyard.dev", "resource": "federatedcredentials"}
        who = f"system:serviceaccount:{NAMESPACE}:lanyard-gateway"
        review = {"spec": {"user": who, "resourceAttributes": attributes | {"namespace": self.name}}}
        answer = self.cluster.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review)
        return bool(answer.json()["status"]["allowed"])

    def object_of(self, uid: str) -> dict[str, Any]:
        """As an administrator sees it."""
        items = self.cluster.client.get(self.cluster.path("FederatedCredential")).json()["items"]
        found: dict[str, Any] = next(one for one in items if one["metadata"]["uid"] == uid)
        return found

    def audit_lines(self) -> list[dict[str, Any]]:
        return [line for line in self.gateway.lines() if line.get("action") == "manage credentials"]
