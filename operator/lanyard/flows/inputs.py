"""What a Connection is made from: its sources, and one digest over the versions of all of them.

The digest is kept in the status. A restart that finds the same digest needs no call; a different one means that
something a credential depends on has changed, and when it also differs from that of a failed attempt, the next
attempt is made at once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec, CredentialSource
from lanyard.api.meta import NamespaceGrant
from lanyard.connectors.loader import Connector
from lanyard.flows.keys import Key, What
from lanyard.flows.world import Record, Sources, World
from lanyard.stores.issuer_keys import key_set_name

# Free text, the switch, who may link and what is asked afterwards change nothing about the credential.
_IRRELEVANT = ("displayName", "description", "suspend", "deletionPolicy", "allowedNamespaces", "verify")


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
        case What.CREDENTIAL:
            return _credential_sources(key, spec)
        case What.CONNECTOR | What.SECRET | What.CONSENT | What.ISSUER:
            return ()


def published_key(key: Key, spec: Mapping[str, Any]) -> Key:
    """The Secret that a Connection publishes; from the bare spec."""
    return Key(What.SECRET, key.namespace, (spec.get("secret") or {}).get("name") or f"{key.name}-token")


def link_target(record: Record) -> Key | None:
    """The Connection that a link names; None for a Connection that is no link."""
    return next((source for source in record.sources if source.what is What.CONNECTION), None)


def _connection_sources(key: Key, spec: Mapping[str, Any]) -> set[Key]:
    target, link = published_key(key, spec), spec.get("linkTo")
    if link:
        # What the other one publishes is not named here: that one tells when it has changed.
        return {Key(What.CONNECTION, link["namespace"], link["name"]), target}
    found = {Key(What.CONNECTOR, "", spec.get("connector", "")), target}
    for source in (spec.get("credentials") or {}).values():
        asset, secret = source.get("credentialAssetRef"), source.get("secretRef")
        if asset:
            found.add(Key(What.ASSET, asset.get("namespace") or key.namespace, asset["name"]))
        elif secret:
            found.add(Key(What.SECRET, key.namespace, secret["name"]))
    return found


def _credential_sources(key: Key, spec: Mapping[str, Any]) -> Sources:
    connection = Key(What.CONNECTION, key.namespace, (spec.get("connectionRef") or {}).get("name", ""))
    if spec.get("jwks") is not None:
        return (connection,)
    issuer = key_set_name(spec.get("issuer", ""), spec.get("jwksURI"), spec.get("caBundle"))
    return connection, Key(What.ISSUER, "", issuer)


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a credential is made from: the versions of the objects that lead to it, and a marker of its content.

    `told`: the watch shows the marker; otherwise what was read last stands for it.
    `in_store`: the marker is what a read brings, for no watch tells of it.
    """

    name: str
    version: str
    marker: str = ""
    told: bool = True
    in_store: bool = False


def inputs_of(namespace: str, spec: ConnectionSpec, connector: Connector | None, world: World) -> tuple[Input, ...]:
    """The versions as known now. Taken before anything is read: what changes meanwhile then counts as a change."""
    found = [Input("", connector.digest if connector is not None else "no connector")]
    for name, source in sorted(spec.credentials.items()):
        key = asset_key(namespace, source)
        if key is not None:
            found.append(_asset_input(name, namespace, key, world))
        elif source.secret_ref is not None:
            found.append(_secret_input(name, "", Key(What.SECRET, namespace, source.secret_ref.name), world))
    return tuple(found)


def digest_of(spec_text: bytes, inputs: tuple[Input, ...], read: Mapping[str, str] = MappingProxyType({})) -> str:
    """Digest over the spec that matters and its inputs; `read` has the markers of what was in fact read, by name.

    A Secret that the watch had not told of counts by the version that was read: what the watch then tells is no change.
    """
    relevant: Mapping[str, Any] = json.loads(spec_text)
    kept = {name: value for name, value in relevant.items() if name not in _IRRELEVANT}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for one in inputs:
        marker = read.get(one.name, one.marker) if one.in_store or not one.told else one.marker
        digest.update(f"\0{one.name}={one.version}/{marker}".encode())
    return digest.hexdigest()[:16]


def _secret_input(name: str, version: str, key: Key, world: World) -> Input:
    known = world.readable.get(key)
    return Input(name, version, known.marker if known is not None else "", told=known is not None)


def _asset_input(name: str, namespace: str, key: Key, world: World) -> Input:
    record = world.get(key)
    if record is None:
        return Input(name, "absent")
    parts = [record.uid, str(record.generation), admission(namespace, record, world)]
    for source in record.sources:
        if source.what is What.SECRET:
            return _secret_input(name, "/".join(parts), source, world)
        store = world.get(source)
        if store is None:
            return Input(name, "/".join((*parts, "absent")))
        parts += [store.uid, str(store.generation), _verdict(store, record.key.namespace, world)]
    return Input(name, "/".join(parts), world.asset_versions.get(key, ""), in_store=True)


def admission(namespace: str, shared: Record, world: World) -> str:
    """Whether an asset or a Connection admits a namespace: `own`, `admitted` or `refused`.

    The verdict and not the labels, most of which say nothing about it.
    """
    return "own" if shared.key.namespace == namespace else _verdict(shared, namespace, world)


def _verdict(owner: Record, namespace: str, world: World) -> str:
    grant = _grant(owner.spec)
    return "admitted" if grant is not None and grant.admits(namespace, world.namespaces.get(namespace)) else "refused"


@lru_cache(maxsize=1024)
def _grant(spec: bytes) -> NamespaceGrant | None:
    """Parsed once for each generation of an asset or a store, whose text is another; not in every pass of its users."""
    try:
        return NamespaceGrant.model_validate(json.loads(spec).get("allowedNamespaces"))
    except ValidationError:
        return None
