"""The gateway's mirror of FederatedCredentials, with what the REST API shows of them, and how to wait for it."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from lanyard.flows.view import Place
from lanyard.rules.dto import updated_at


@dataclass(frozen=True, slots=True)
class SeenCredential:
    """A FederatedCredential as the API server has it. `spec` is JSON text, parsed when needed."""

    namespace: str
    name: str
    uid: str
    generation: int
    version: str
    """resourceVersion."""
    connection: str
    """Name of the Connection that it belongs to; empty when it says none."""
    created_at: str
    updated_at: str
    spec: bytes
    going: bool
    """True for one that is being deleted."""

    @property
    def place(self) -> Place:
        """Of the Connection."""
        return self.namespace, self.connection

    @property
    def owner(self) -> str:
        return f"{self.namespace}/{self.name}"

    def parsed(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads(self.spec)
        return spec

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        metadata, spec = body["metadata"], body.get("spec") or {}
        return cls(
            namespace=sys.intern(metadata["namespace"]),
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            version=metadata["resourceVersion"],
            connection=sys.intern((spec.get("connectionRef") or {}).get("name", "")),
            created_at=metadata["creationTimestamp"],
            updated_at=updated_at(metadata),
            spec=json.dumps(spec, separators=(",", ":")).encode(),
            going=bool(metadata.get("deletionTimestamp")),
        )


class CredentialView:
    """What is known, by Connection; the credentials of each in the order in which they were first heard of.

    One watch tells creations in the order in which the API server made them, so of two siblings that were made at
    once every process agrees who came first, which a creation time in whole seconds does not say.
    """

    def __init__(self) -> None:
        self._by_place: dict[Place, dict[str, SeenCredential]] = {}
        self._places: dict[str, Place] = {}
        self._turn = asyncio.Event()

    def of(self, place: Place) -> list[SeenCredential]:
        """All of a Connection that are not being deleted, first heard of first."""
        return [one for one in self._by_place.get(place, {}).values() if not one.going]

    def find(self, place: Place, uid: str) -> SeenCredential | None:
        one = self._by_place.get(place, {}).get(uid)
        return one if one is not None and not one.going else None

    def known(self) -> list[SeenCredential]:
        return [one for siblings in self._by_place.values() for one in siblings.values()]

    def put(self, one: SeenCredential) -> None:
        before = self._places.get(one.uid)
        if before is not None and before != one.place:
            self.drop(one.uid)
        self._places[one.uid] = one.place
        self._by_place.setdefault(one.place, {})[one.uid] = one
        self._wake()

    def drop(self, uid: str) -> None:
        place = self._places.pop(uid, None)
        if place is None:
            return
        del self._by_place[place][uid]
        if not self._by_place[place]:
            del self._by_place[place]
        self._wake()

    async def comes_to(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether something holds, now or after a change within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self._turn.wait()
        except TimeoutError:
            return holds()
        return True

    def _wake(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()


class KnownCredentials:
    """Mirror of the FederatedCredentials of one namespace, or of all (empty)."""

    def __init__(self, view: CredentialView, namespace: str = "") -> None:
        self._view = view
        self._namespace = namespace

    def slim(self, body: dict[str, Any]) -> SeenCredential:
        return SeenCredential.of(body)

    def replace(self, everything: list[SeenCredential], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        now = {one.uid for one in everything}
        for one in self._view.known():
            if one.uid not in now and (not self._namespace or one.namespace == self._namespace):
                self._view.drop(one.uid)
        for one in everything:
            self._view.put(one)

    def change(self, one: SeenCredential) -> None:
        self._view.put(one)

    def forget(self, one: SeenCredential) -> None:
        self._view.drop(one.uid)
