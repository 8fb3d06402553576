"""What the gateway knows of the cluster: Connections with their approvals, and Connectors. Nothing here is secret."""

import json
import sys
from dataclasses import dataclass, field
from typing import Any, Self

from lanyard.api.connection import ConnectionSpec
from lanyard.api.meta import CONSENT_ANNOTATION
from lanyard.flows.keys import Key, What
from lanyard.flows.world import World

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
        metadata = body["metadata"]
        spec = b"" if metadata.get("deletionTimestamp") else json.dumps(body.get("spec") or {}).encode()
        approval = (metadata.get("annotations") or {}).get(CONSENT_ANNOTATION, "")
        generation = metadata.get("generation", 0)
        place = sys.intern(metadata["namespace"])
        return cls(place, metadata["name"], metadata["uid"], generation, spec, approval)


@dataclass(slots=True)
class View:
    """`connections` by place; Connectors live in `world`, where the catalogue looks for them."""

    world: World = field(default_factory=lambda: World(wake=_nobody, sources_of=lambda _key, _spec: ()))
    connections: dict[Place, SeenConnection] = field(default_factory=dict)


class ConnectionMirror:
    """Mirror of the Connections of one namespace, or of all (empty)."""

    def __init__(self, view: View, namespace: str = "") -> None:
        self._known = view.connections
        self._namespace = namespace

    def slim(self, body: dict[str, Any]) -> SeenConnection:
        return SeenConnection.of(body)

    def replace(self, everything: list[SeenConnection], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        now = {(one.namespace, one.name): one for one in everything}
        for place in [place for place in self._known if not self._namespace or place[0] == self._namespace]:
            if place not in now:
                del self._known[place]
        self._known.update(now)

    def change(self, one: SeenConnection) -> None:
        self._known[one.namespace, one.name] = one

    def forget(self, one: SeenConnection) -> None:
        self._known.pop((one.namespace, one.name), None)


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


def _nobody(_: Key) -> None:
    """The gateway reconciles nothing, so nobody is woken."""
