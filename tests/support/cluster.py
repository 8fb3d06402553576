"""What tests do to a cluster: apply, read, wait; and the check that every status they end with is coherent."""

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

GROUP = "/apis/lanyard.dev/v1alpha1"
PLURALS = {
    "Connection": "connections",
    "Connector": "connectors",
    "CredentialStore": "credentialstores",
    "CredentialAssetRef": "credentialassetrefs",
    "FederatedCredential": "federatedcredentials",
}
Object = dict[str, Any]
WAIT_SECONDS = 20.0


class Cluster:
    """One namespace, seen as an administrator."""

    def __init__(self, client: httpx.Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def path(self, kind: str, name: str = "", namespace: str | None = None) -> str:
        suffix = f"/{name}" if name else ""
        place = namespace or self.namespace
        if kind in {"Connector", "CredentialStore"}:
            return f"{GROUP}/{PLURALS[kind]}{suffix}"
        if kind in PLURALS:
            return f"{GROUP}/namespaces/{place}/{PLURALS[kind]}{suffix}"
        plural = {"Secret": "secrets", "ServiceAccount": "serviceaccounts", "Event": "events"}[kind]
        return f"/api/v1/namespaces/{place}/{plural}{suffix}"

    def apply(self, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Object:
        body = {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        params = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return checked(self.client.patch(self.path(kind, name), json=body, params=params, headers=headers))

    def connection(self, name: str, **spec: Any) -> Object:
        return self.apply("Connection", name, spec)

    def secret(self, name: str, *, readable: bool = True, namespace: str | None = None, **data: str) -> Object:
        """Create or replace a Secret with text values."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {"lanyard.dev/readable": "true"} if readable else {}},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }
        made = self.client.post(self.path("Secret", namespace=namespace), json=body)
        if made.status_code == 409:
            made = self.client.put(self.path("Secret", name, namespace), json=body)
        return checked(made)

    def merge(self, kind: str, name: str, change: Mapping[str, Any]) -> Object:
        headers = {"Content-Type": "application/merge-patch+json"}
        return checked(self.client.patch(self.path(kind, name), json=change, headers=headers))

    def get(self, kind: str, name: str) -> Object:
        return checked(self.client.get(self.path(kind, name)))

    def exists(self, kind: str, name: str) -> bool:
        return self.client.get(self.path(kind, name)).status_code == 200

    def delete(self, kind: str, name: str) -> None:
        checked(self.client.delete(self.path(kind, name)))

    def data(self, name: str) -> dict[str, str]:
        """A Secret's values, decoded."""
        return {
            key: base64.b64decode(value).decode() for key, value in self.get("Secret", name).get("data", {}).items()
        }

    def events(self, name: str) -> list[Object]:
        items = checked(self.client.get(self.path("Event")))["items"]
        return [event for event in items if event["involvedObject"]["name"] == name]

    def wait(self, kind: str, name: str, holds: Callable[[Object], bool], *, seconds: float = WAIT_SECONDS) -> Object:
        """The object, once `holds` says yes; AssertionError shows its status otherwise."""
        deadline = time.monotonic() + seconds
        seen: Object = {}
        while time.monotonic() < deadline:
            answer = self.client.get(self.path(kind, name))
            if answer.status_code == 200:
                seen = answer.json()
                if holds(seen):
                    return seen
            time.sleep(0.05)
        raise AssertionError(f"{kind} {name} did not get there in {seconds} s: {seen.get('status', seen)}")

    def wait_ready(self, name: str, *, kind: str = "Connection", seconds: float = WAIT_SECONDS) -> Object:
        found = self.wait(
            kind, name, lambda one: is_current(one) and status_of(one, "Ready") == "True", seconds=seconds
        )
        assert_conditions_coherent(found)
        return found

    def wait_reason(
        self,
        name: str,
        reason: str,
        *,
        condition: str = "Ready",
        kind: str = "Connection",
        seconds: float = WAIT_SECONDS,
    ) -> Object:
        """The object, once a condition is not true for exactly this reason."""
        found = self.wait(
            kind,
            name,
            lambda one: reason_of(one, condition) == reason and status_of(one, condition) == "False",
            seconds=seconds,
        )
        assert_conditions_coherent(found)
        return found


def checked(answer: httpx.Response) -> Object:
    assert answer.status_code < 400, f"{answer.request.method} {answer.request.url.path}: {answer.text[:600]}"
    body: Object = answer.json()
    return body


def conditions(one: Object) -> dict[str, Object]:
    return {condition["type"]: condition for condition in one.get("status", {}).get("conditions", ())}


def status_of(one: Object, condition: str) -> str | None:
    return conditions(one).get(condition, {}).get("status")


def reason_of(one: Object, condition: str) -> str | None:
    return conditions(one).get(condition, {}).get("reason")


def message_of(one: Object, condition: str) -> str:
    return str(conditions(one).get(condition, {}).get("message", ""))


def is_current(one: Object) -> bool:
    return bool(one.get("status", {}).get("observedGeneration") == one["metadata"]["generation"])


def assert_conditions_coherent(one: Object) -> None:
    """The rules that kubectl wait, Flux, Argo CD and Helm rely on (kstatus; fluxcd/pkg runtime/conditions/check)."""
    status, generation = one["status"], one["metadata"]["generation"]
    found = conditions(one)
    assert "Ready" in found, "Ready is always present"
    assert status["observedGeneration"] <= generation
    assert not ({"Reconciling", "Stalled"} <= found.keys()), "never both"
    if found["Ready"]["status"] == "True":
        assert not ({"Reconciling", "Stalled"} & found.keys()), "neither beside Ready=True"
    for name in ("Reconciling", "Stalled"):
        assert name not in found or found[name]["status"] == "True", "absent when not true"
    for condition in found.values():
        assert len(condition["message"]) <= 256, condition
        assert condition["reason"], condition
        assert condition["observedGeneration"] <= generation
