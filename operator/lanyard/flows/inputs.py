"""What a Connection is made from: its sources, and one digest over the versions of all of them.

The digest is kept in the status. A restart that finds the same digest needs no call; a different one means that
something a credential depends on has changed, and when it also differs from that of a failed attempt, the next
attempt is made at once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lanyard.api.connection import ConnectionSpec, CredentialSource
from lanyard.connectors.loader import Connector
from lanyard.flows.keys import Key, What
from lanyard.flows.world import Record, Sources, World

# Free text and the switch change nothing about the credential.
_IRRELEVANT = ("displayName", "description", "suspend")


def asset_key(namespace: str, source: CredentialSource) -> Key | None:
    """The asset behind a source, None for a plain Secret."""
    ref = source.credential_asset_ref
    return Key(What.ASSET, ref.namespace or namespace, ref.name) if ref is not None else None


def sources_of(key: Key, spec: Mapping[str, Any]) -> Sources:
    """Everything whose change wakes this object; for a Connection its own Secret too. From the bare spec, for speed."""
    match key.what:
        case What.CONNECTION:
            return tuple(sorted(_connection_sources(key, spec)))
        case What.ASSET:
            store, path = spec.get("store"), spec.get("path", "")
            return (Key(What.STORE, "", store) if store else Key(What.SECRET, key.namespace, path),)
        case What.STORE:
            auth = spec.get("vault", {}).get("auth", {})
            ref = auth.get("tokenSecretRef") or auth.get("appRole", {}).get("secretIdRef")
            return (Key(What.SECRET, ref["namespace"], ref["name"]),) if ref else ()
        case What.CONNECTOR | What.SECRET:
            return ()


def _connection_sources(key: Key, spec: Mapping[str, Any]) -> set[Key]:
    target = (spec.get("secret") or {}).get("name") or f"{key.name}-token"
    found = {Key(What.CONNECTOR, "", spec.get("connector", "")), Key(What.SECRET, key.namespace, target)}
    for source in (spec.get("credentials") or {}).values():
        asset, secret = source.get("credentialAssetRef"), source.get("secretRef")
        if asset:
            found.add(Key(What.ASSET, asset.get("namespace") or key.namespace, asset["name"]))
        elif secret:
            found.add(Key(What.SECRET, key.namespace, secret["name"]))
    return found


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a credential is made from: its version as the API server shows it, and as a store answered it."""

    name: str
    version: str
    in_store: str | None = None
    """Marker of the version in a store that was seen last; None where no store is involved."""


def inputs_of(namespace: str, spec: ConnectionSpec, connector: Connector | None, world: World) -> tuple[Input, ...]:
    """The versions as known now. Taken before anything is read: what changes meanwhile then counts as a change."""
    found = [Input("", connector.digest if connector is not None else "no connector")]
    for name, source in sorted(spec.credentials.items()):
        key = asset_key(namespace, source)
        if key is not None:
            found.append(_asset_input(name, namespace, key, world))
        elif source.secret_ref is not None:
            found.append(Input(name, _secret_version(Key(What.SECRET, namespace, source.secret_ref.name), world)))
    return tuple(found)


def secrets_behind(namespace: str, spec: ConnectionSpec, world: World) -> frozenset[Key]:
    """The Secrets that its credentials are read from, also through assets."""
    found: set[Key] = set()
    for source in spec.credentials.values():
        key = asset_key(namespace, source)
        record = world.get(key) if key is not None else None
        if record is not None:
            found.update(one for one in record.sources if one.what is What.SECRET)
        elif source.secret_ref is not None:
            found.add(Key(What.SECRET, namespace, source.secret_ref.name))
    return frozenset(found)


def digest_of(record: Record, inputs: tuple[Input, ...], read: Mapping[str, str] = MappingProxyType({})) -> str:
    """Digest over the spec that matters and its inputs; `read` has the markers of what was in fact read, by name."""
    relevant: Mapping[str, Any] = json.loads(record.spec)
    kept = {name: value for name, value in relevant.items() if name not in _IRRELEVANT}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for one in inputs:
        in_store = read.get(one.name, one.in_store) if one.in_store is not None else ""
        digest.update(f"\0{one.name}={one.version}/{in_store}".encode())
    return digest.hexdigest()[:16]


def _secret_version(key: Key, world: World) -> str:
    known = world.readable.get(key)
    return f"{known.uid}/{known.version}" if known is not None else "absent"


def _asset_input(name: str, namespace: str, key: Key, world: World) -> Input:
    record = world.get(key)
    if record is None:
        return Input(name, "absent")
    parts = [record.uid, str(record.generation)]
    if key.namespace != namespace:
        parts.append(json.dumps(world.namespaces.get(namespace), sort_keys=True))
    in_store = None
    for source in record.sources:
        if source.what is What.SECRET:
            parts.append(_secret_version(source, world))
        else:
            store = world.get(source)
            parts.append(f"{store.uid}/{store.generation}" if store is not None else "absent")
            in_store = world.asset_versions.get(key, "")
    return Input(name, "/".join(parts), in_store)
