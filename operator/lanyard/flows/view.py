"""What the gateway knows of the cluster: Connections with their approvals, FederatedCredentials, and Connectors.

Nothing here is secret.
"""

import json
import sys
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec
from lanyard.api.federation import FederatedCredentialSpec
from lanyard.api.meta import CONSENT_ANNOTATION
from lanyard.flows.keys import Key, What
from lanyard.flows.world import World
from lanyard.rules.trust import Credential, TrustIndex, credential_of
from lanyard.stores.issuer_keys import key_set_name

Place = tuple[str, str]
"""(namespace, name) of a Connection."""


@dataclass(frozen=True, slots=True)
class SeenConnection:
    """A Connection as the API server has it. `spec` is JSON text, parsed when needed."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: bytes
    approval: str
    """The consent annotation, as it is; empty when absent."""
    connector: str = ""
    """Empty for a link."""
    suspended: bool = False

    @property
    def owner(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def going(self) -> bool:
        """True for one that is being deleted."""
        return not self.spec

    def parsed(self) -> ConnectionSpec:
        """pydantic.ValidationError where the object is older than the schema."""
        return ConnectionSpec.model_validate_json(self.spec)

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        metadata, spec = body["metadata"], body.get("spec") or {}
        return cls(
            namespace=sys.intern(metadata["namespace"]),
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            spec=b"" if metadata.get("deletionTimestamp") else json.dumps(spec).encode(),
            approval=(metadata.get("annotations") or {}).get(CONSENT_ANNOTATION, ""),
            connector=sys.intern(spec.get("connector") or ""),
            suspended=bool(spec.get("suspend")),
        )


@dataclass(slots=True)
class View:
    """Connections by place and by uid; Connectors live in `world`, where the catalogue looks for them."""

    world: World = field(default_factory=lambda: World(wake=_nobody, sources_of=lambda _key, _spec: ()))
    connections: dict[Place, SeenConnection] = field(default_factory=dict)
    applications: dict[str, SeenConnection] = field(default_factory=dict)
    credentials: TrustIndex = field(default_factory=TrustIndex)


class ConnectionMirror:
    """Mirror of the Connections of one namespace, or of all (empty)."""

    def __init__(self, view: View, namespace: str = "") -> None:
        self._view = view
        self._namespace = namespace

    def slim(self, body: dict[str, Any]) -> SeenConnection:
        return SeenConnection.of(body)

    def replace(self, everything: list[SeenConnection], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        now = {(one.namespace, one.name) for one in everything}
        for place, known in list(self._view.connections.items()):
            if (not self._namespace or place[0] == self._namespace) and place not in now:
                self.forget(known)
        for one in everything:
            self.change(one)

    def change(self, one: SeenConnection) -> None:
        before = self._view.connections.get((one.namespace, one.name))
        if before is not None and before.uid != one.uid:
            self._view.applications.pop(before.uid, None)
        self._view.connections[one.namespace, one.name] = self._view.applications[one.uid] = one

    def forget(self, one: SeenConnection) -> None:
        self._view.applications.pop(one.uid, None)
        known = self._view.connections.get((one.namespace, one.name))
        if known is not None and known.uid == one.uid:
            del self._view.connections[one.namespace, one.name]


class CredentialMirror:
    """Mirror of the FederatedCredentials of one namespace, or of all (empty)."""

    def __init__(self, view: View) -> None:
        self._index = view.credentials
        self._known: set[str] = set()

    def slim(self, body: dict[str, Any]) -> tuple[str, Credential | None]:
        """uid, and what is trusted: nothing for an object that is older than the schema, or is being deleted."""
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp"):
            return metadata["uid"], None
        try:
            spec = FederatedCredentialSpec.model_validate(body.get("spec") or {})
        except ValidationError:
            return metadata["uid"], None
        keys = key_set_name(spec.issuer, spec.jwks_uri, spec.ca_bundle)
        return metadata["uid"], credential_of(metadata, spec, keys)

    def replace(self, everything: list[tuple[str, Credential | None]], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        for uid in self._known - {uid for uid, _ in everything}:
            self.forget((uid, None))
        for one in everything:
            self.change(one)

    def change(self, one: tuple[str, Credential | None]) -> None:
        uid, credential = one
        if credential is None:
            self.forget(one)
            return
        self._known.add(uid)
        self._index.put(credential)

    def forget(self, one: tuple[str, Credential | None]) -> None:
        self._known.discard(one[0])
        self._index.drop(one[0])


class ConnectorMirror:
    """Mirror of the Connector objects."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slim(self, body: dict[str, Any]) -> dict[str, Any]:
        metadata = {name: body["metadata"].get(name) for name in ("name", "uid", "generation", "deletionTimestamp")}
        return {"metadata": metadata, "spec": body.get("spec") or {}}

    def replace(self, everything: list[dict[str, Any]], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        names = {one["metadata"]["name"] for one in everything}
        for key in [key for key in self._world.objects[What.CONNECTOR] if key.name not in names]:
            self._world.forget(key)
        for one in everything:
            self._world.observe(What.CONNECTOR, one)

    def change(self, one: dict[str, Any]) -> None:
        self._world.observe(What.CONNECTOR, one)

    def forget(self, one: dict[str, Any]) -> None:
        self._world.forget(Key(What.CONNECTOR, "", one["metadata"]["name"]), one["metadata"]["uid"])


class LabelMirror:
    """Mirror of the labels of namespaces, by name: a Connector may say by label who gets which tokens."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, str]] = {}

    def slim(self, metadata: dict[str, Any]) -> tuple[str, dict[str, str]]:
        return metadata["name"], metadata.get("labels") or {}

    def replace(self, everything: list[tuple[str, dict[str, str]]], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        self.known.clear()
        self.known.update(everything)

    def change(self, one: tuple[str, dict[str, str]]) -> None:
        self.known[one[0]] = one[1]

    def forget(self, one: tuple[str, dict[str, str]]) -> None:
        self.known.pop(one[0], None)


def _nobody(_: Key) -> None:
    """The gateway reconciles nothing, so nobody is woken."""
