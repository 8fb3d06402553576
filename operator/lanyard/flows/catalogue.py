"""Which connector a name means: a `Connector` object of that name, else the built-in one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from lanyard.connectors.loader import Connector, from_object
from lanyard.errors import LanyardError, SpecError
from lanyard.flows.keys import Key, What
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.minting import foreign_audience


@dataclass(frozen=True, slots=True)
class _Parsed:
    generation: int
    connector: Connector | None
    error: LanyardError | None


class Catalogue:
    """Built-in connectors and those of the cluster; an object is parsed once per generation.

    `issuer` is that of Lanyard's own tokens; empty where there is none.
    """

    def __init__(self, built_in: Mapping[str, Connector], world: World, issuer: str = "") -> None:
        self._built_in = built_in
        self._world = world
        self._issuer = issuer

    def find(self, name: str) -> Connector:
        """SpecError when there is none of that name, or when it is not usable."""
        record = self._world.get(Key(What.CONNECTOR, "", name))
        if record is not None:
            return self.parsed(record)
        found = self._built_in.get(name)
        if found is None:
            raise SpecError(Reason.CONNECTOR_NOT_FOUND, connector=name)
        return found

    def mints(self, record: Record) -> bool:
        """Whether Lanyard makes the tokens of this Connection itself. False as long as its connector is not usable."""
        name = next((source.name for source in record.sources if source.what is What.CONNECTOR), "")
        try:
            return self.find(name).spec.mints is not None
        except LanyardError:
            return False

    def parsed(self, record: Record) -> Connector:
        """The connector of an object; SpecError when it is not usable."""
        parsed = record.memory
        if not isinstance(parsed, _Parsed) or parsed.generation != record.generation:
            try:
                connector = from_object(record.key.name, json.loads(record.spec))
                self._hold_audiences(connector)
                parsed = _Parsed(record.generation, connector, None)
            except LanyardError as error:
                parsed = _Parsed(record.generation, None, error)
            record.memory = parsed
        if parsed.connector is None:
            raise parsed.error or SpecError(Reason.CONNECTOR_INVALID, connector=record.key.name, field="spec")
        return parsed.connector

    def _hold_audiences(self, connector: Connector) -> None:
        """What lies under our own address is no platform's to give away: each part of it is one tenant's."""
        index = foreign_audience(connector.spec.mints or (), self._issuer) if self._issuer else None
        if index is not None:
            raise SpecError(Reason.CONNECTOR_INVALID, connector=connector.name, field=f"mints[{index}].audiences")
