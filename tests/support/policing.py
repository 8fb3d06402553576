"""A policy of the chart for one namespace, with values of a test's own, and what is applied there."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from support.install import rendered
from support.people import bind

EDITOR = "erin"
GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"
REPOSITORY = "repo:acme/crm:ref:refs/heads/main"
PROJECT = "project_path:acme/crm:ref_type:branch:ref:main"
# Policies that are on by themselves: the session's chart has them already.
SHIPPED = ("consent", "lockedFields", "sharedNamespaces", "trust")


@dataclass(frozen=True)
class Federating:
    """A namespace whose editor writes FederatedCredentials, and the name that the policy's objects begin with."""

    client: httpx.Client
    namespace: str
    release: str = ""

    def credential(self, issuer: str = GITHUB, **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "FederatedCredential",
            "metadata": {"name": f"f-{uuid.uuid4().hex[:8]}", "namespace": self.namespace},
            "spec": {
                "connectionRef": {"name": "crm"},
                "issuer": issuer,
                "audience": "https://lanyard.example/sales",
                "subject": PROJECT if issuer.startswith(GITLAB) else REPOSITORY,
                **spec,
            },
        }

    def connection(self, connector: str, **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "Connection",
            "metadata": {"name": f"c-{uuid.uuid4().hex[:8]}", "namespace": self.namespace},
            "spec": {"connector": connector, **spec},
        }


@contextmanager
def namespace_of(client: httpx.Client, *, user: str = EDITOR) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert client.post("/api/v1/namespaces", json=body).status_code == 201
    bind(client, namespace=name, user=user, roles=["lanyard-view", "lanyard-edit"])
    yield name
    client.delete(f"/api/v1/namespaces/{name}")


@contextmanager
def policed(kubernetes: Any, client: httpx.Client, policy: str, values: Mapping[str, Any]) -> Iterator[Federating]:
    """The policy named `policy` with these values, in use in a namespace of its own and nowhere else."""
    with namespace_of(client) as namespace:
        release = f"p-{uuid.uuid4().hex[:8]}"
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
        off = {name: {"enabled": False} for name in SHIPPED}
        chosen = {**off, policy: {"enabled": True, **here, **values}}
        manifests = [
            one
            for one in rendered({"nameOverride": release, "policies": chosen})
            if one["kind"].startswith("ValidatingAdmissionPolicy") or one["metadata"]["name"].endswith("-use")
        ]
        text = yaml.safe_dump_all(manifests)
        kubernetes.kubectl("apply", "-f", "-", input=text)
        try:
            yield Federating(client, namespace, release)
        finally:
            kubernetes.kubectl("delete", "--wait=false", "-f", "-", input=text)
