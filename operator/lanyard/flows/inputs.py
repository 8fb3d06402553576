"""What a Connection is made from: its sources, and one digest over the versions of all of them.

The digest is kept in the status. A restart that finds the same digest needs no call; a different one means that
something a credential depends on has changed, and when it also differs from that of a failed attempt, the next
attempt is made at once.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
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


def digest_of(record: Record, spec: ConnectionSpec, connector: Connector | None, world: World) -> str:
    """Digest over the spec that matters, the connector, and the version of every source as known now."""
    relevant: Mapping[str, Any] = json.loads(record.spec)
    digest = hashlib.sha256(
        json.dumps(
            {name: value for name, value in relevant.items() if name not in _IRRELEVANT}, sort_keys=True
        ).encode()
    )
    for version in _versions(record.key.namespace, spec, connector, world):
        digest.update(b"\0" + version.encode())
    return digest.hexdigest()[:16]


def _versions(namespace: str, spec: ConnectionSpec, connector: Connector | None, world: World) -> Iterator[str]:
    yield connector.digest if connector is not None else "no connector"
    for name, source in sorted(spec.credentials.items()):
        key = asset_key(namespace, source)
        if key is not None:
            yield f"{name}={_asset_version(namespace, key, world)}"
        elif source.secret_ref is not None:
            yield f"{name}={_secret_version(Key(What.SECRET, namespace, source.secret_ref.name), world)}"


def _secret_version(key: Key, world: World) -> str:
    known = world.readable.get(key)
    return f"{known.uid}/{known.version}" if known is not None else "absent"


def _asset_version(namespace: str, key: Key, world: World) -> str:
    record = world.get(key)
    if record is None:
        return "absent"
    own = f"{record.uid}/{record.generation}"
    labels = json.dumps(world.namespaces.get(namespace), sort_keys=True) if key.namespace != namespace else ""
    behind = []
    for source in record.sources:
        if source.what is What.SECRET:
            behind.append(_secret_version(source, world))
        else:
            store = world.get(source)
            behind.append(f"{store.uid}/{store.generation}" if store is not None else "absent")
            behind.append(world.asset_versions.get(key, ""))
    return "/".join((own, labels, *behind))
