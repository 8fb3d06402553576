"""Resolve references to values, at run time, through the encrypted cache. The only place that reads credentials.

1. a Secret: in the Connection's own namespace, labelled as readable
2. an asset: admitted for this namespace (checked on every use, also when the value is cached)
3. behind an asset: a Secret beside it, or a store that admits the asset's namespace, with the asset's ServiceAccount
4. the value of the key, or the reason why there is none

A value is cached under the versions of everything that leads to it, so a change is a different key.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from lanyard.api.asset import AssetSpec
from lanyard.api.connection import ConnectionSpec, CredentialSource
from lanyard.api.meta import PRESENTABLE_LABEL, PlatformSecretKeyRef, misfit, parse_duration
from lanyard.api.store import StoreSpec
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError, SourceError, StoreError
from lanyard.flows.inputs import asset_key
from lanyard.flows.keys import Key, What
from lanyard.flows.tally import Tally, audit
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores import secrets
from lanyard.stores.cache import CredentialCache
from lanyard.stores.value import KEYED, CacheKey, StoreValue
from lanyard.stores.vault import Login, VaultReader

USABLE = "text of at most 64 KiB without a NUL character"
SECRET_TTL = parse_duration("1h")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value, and where to look afresh when it is refused."""

    value: Sensitive
    cache_key: CacheKey
    version: str
    marker: str
    """What stands for the version in a digest: another process can compare it."""


class Resolver:
    def __init__(
        self,
        *,
        kube: Kube,
        world: World,
        cache: CredentialCache,
        vault: VaultReader,
        tally: Tally,
        labels_required: bool,
    ) -> None:
        self._kube = kube
        self._world = world
        self._cache = cache
        self._vault = vault
        self._tally = tally
        self._labels_required = labels_required
        self._seen: dict[Key, str] = {}

    async def resolve(self, record: Record, spec: ConnectionSpec) -> dict[str, Resolved]:
        """Every credential of a Connection. SourceError names the first that cannot be had."""
        return {name: await self._source(record, source) for name, source in spec.credentials.items()}

    async def afresh(
        self, record: Record, spec: ConnectionSpec, refused: Mapping[str, Resolved]
    ) -> dict[str, Resolved]:
        """The same, past the cache: what was refused is not used again."""
        for one in refused.values():
            self._cache.invalidate(one.cache_key, one.version)
        return await self.resolve(record, spec)

    async def check_asset(self, record: Record) -> None:
        """Resolve an asset and every key that it declares, from its store if that holds another version than seen."""
        spec = parsed_asset(record)
        seen = self._seen.get(record.key)
        if spec.store is not None and seen is not None:
            store, store_spec = self._store(spec.store, record.key.namespace)
            login = self._login(record, spec, store, store_spec)
            if await self._vault.current_version(login, spec.path, spec.version) != seen:
                self._cache.invalidate(_cache_key(record, login), seen)
        value, _ = await self._behind(record, spec)
        for field in spec.keys.values():
            _field(value, spec, field)

    async def check_store(self, record: Record) -> Reason:
        """The store answers and, where the login is shared, lets us in."""
        spec = parsed_store(record)
        login = Login(
            store=record.key.name,
            store_id=f"{record.uid}/{record.generation}",
            spec=spec,
            namespace="",
            service_account="",
            present=_nobody,
            shared_secret=self._shared_secret,
        )
        await self._vault.check(login)
        own = spec.vault.auth.kubernetes is not None or spec.vault.auth.jwt is not None
        return Reason.REACHABLE if own else Reason.LOGGED_IN

    async def _source(self, record: Record, source: CredentialSource) -> Resolved:
        key, outcome = record.key, "resolved"
        asset = asset_key(key.namespace, source)
        secret = Key(What.SECRET, key.namespace, source.secret_ref.name) if source.secret_ref is not None else None
        try:
            if asset is not None and source.credential_asset_ref is not None:
                resolved = await self._from_asset(key, asset, source.credential_asset_ref.key)
            elif source.secret_ref is not None:
                resolved = await self._from_secret(key.namespace, source.secret_ref.name, source.secret_ref.key)
            else:
                raise SourceError(Reason.INVALID_SPEC, field="credentials", kind="connection")
        except LanyardError as error:
            outcome = error.reason.value
            raise
        finally:
            self._tally.count("lanyard_credential_resolutions", "asset" if asset else "secret", outcome)
            audit("resolve", outcome, object_name=str(record.key), uid=record.uid, source=str(asset or secret))
        return resolved

    async def _from_secret(self, namespace: str, name: str, key: str) -> Resolved:
        cache_key, value = await self._secret(namespace, name)
        return Resolved(_secret_field(value, name, key), cache_key, value.version, value.version)

    async def _from_asset(self, key: Key, asset: Key, name: str) -> Resolved:
        record = self._world.get(asset)
        if record is None:
            raise SourceError(Reason.ASSET_NOT_FOUND, name=asset.name, namespace=asset.namespace)
        spec = parsed_asset(record)
        if not self._admits(spec, asset.namespace, key.namespace):
            raise SourceError(Reason.ASSET_NOT_ADMITTED, name=asset.name, namespace=asset.namespace)
        if name not in spec.keys:
            raise SourceError(Reason.ASSET_KEY_MISSING, name=asset.name, key=name)
        value, cache_key = await self._behind(record, spec)
        marker = self._world.asset_versions[asset] if spec.store is not None else value.version
        return Resolved(_field(value, spec, spec.keys[name]), cache_key, value.version, marker)

    def _admits(self, spec: AssetSpec, owner: str, user: str) -> bool:
        if owner == user:
            return True
        return spec.allowed_namespaces is not None and spec.allowed_namespaces.admits(
            user, self._world.namespaces.get(user)
        )

    async def _behind(self, record: Record, spec: AssetSpec) -> tuple[StoreValue, CacheKey]:
        if spec.store is None:
            cache_key, value = await self._secret(record.key.namespace, spec.path)
            return value, cache_key
        store, store_spec = self._store(spec.store, record.key.namespace)
        login = self._login(record, spec, store, store_spec)
        cache_key = _cache_key(record, login)
        value = await self._cache.get_or_fetch(
            cache_key,
            parse_duration(spec.cache_ttl),
            lambda: self._vault.read(login, spec.path, spec.version),
        )
        self._note(record.key, value.version)
        return value, cache_key

    def forget(self, asset: Key) -> None:
        self._seen.pop(asset, None)

    def _note(self, asset: Key, version: str) -> None:
        """Remember a version that a store answered, by a marker that another process can compare.

        A digest keyed in this process becomes a marker that changes whenever the digest does; after a restart the
        first digest changes nothing, for nothing is known of what it was before.
        """
        before, marker = self._seen.get(asset), self._world.asset_versions.get(asset)
        self._seen[asset] = version
        if not version.startswith(KEYED):
            self._world.asset_versions[asset] = version
        elif marker is None or before not in {None, version}:
            self._world.asset_versions[asset] = f"seen-{uuid.uuid4().hex[:8]}"
        if marker not in {None, self._world.asset_versions[asset]}:
            # Whoever read it first, all that use it have to follow, and the asset's own status too.
            self._world.wake(asset)
            self._world.touch(asset)

    async def _secret(self, namespace: str, name: str) -> tuple[CacheKey, StoreValue]:
        known = self._world.readable.get(Key(What.SECRET, namespace, name))
        seen = f"{known.uid}/{known.version}" if known is not None else "unseen"
        cache_key = CacheKey(namespace=namespace, asset=f"secret/{name}", store=seen, service_account="")

        async def fetch() -> StoreValue:
            return await secrets.read(self._get_secret, namespace, name, labels_required=self._labels_required)

        if known is None:
            # Not in the watch yet, or not readable: the answer of the API server decides and is not kept.
            return cache_key, await fetch()
        return cache_key, await self._cache.get_or_fetch(cache_key, SECRET_TTL, fetch)

    async def _get_secret(self, namespace: str, name: str) -> dict[str, object]:
        return await self._kube.get(_secret_path(namespace, name))

    def _store(self, name: str, namespace: str) -> tuple[Record, StoreSpec]:
        record = self._world.get(Key(What.STORE, "", name))
        if record is None:
            raise SourceError(Reason.STORE_NOT_FOUND, store=name)
        spec = parsed_store(record)
        if not spec.allowed_namespaces.admits(namespace, self._world.namespaces.get(namespace)):
            raise SourceError(Reason.STORE_NOT_ADMITTED, store=name)
        return record, spec

    def _login(self, record: Record, spec: AssetSpec, store: Record, store_spec: StoreSpec) -> Login:
        account = spec.service_account_name or "default"
        namespace = record.key.namespace

        async def present(audience: str) -> Sensitive:
            return await self._present(namespace, account, audience)

        return Login(
            store=store.key.name,
            store_id=f"{store.uid}/{store.generation}",
            spec=store_spec,
            namespace=namespace,
            service_account=f"{namespace}/{account}",
            present=present,
            shared_secret=self._shared_secret,
        )

    async def _present(self, namespace: str, account: str, audience: str) -> Sensitive:
        """A token of the tenant's own ServiceAccount, which its owner marked as presentable."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
        try:
            labels = (await self._kube.get(path, metadata_only=True))["metadata"].get("labels") or {}
            if self._labels_required and labels.get(PRESENTABLE_LABEL) != "true":
                raise SourceError(
                    Reason.SERVICE_ACCOUNT_NOT_PRESENTABLE, kind="serviceaccount", name=account, namespace=namespace
                )
            return await self._kube.token_request(namespace, account, audience)
        except KubernetesError as error:
            if error.code == 404:
                raise SourceError(Reason.SERVICE_ACCOUNT_NOT_FOUND, name=account, namespace=namespace) from None
            raise

    async def _shared_secret(self, ref: PlatformSecretKeyRef) -> Sensitive:
        _, value = await self._secret(ref.namespace, ref.name)
        return _secret_field(value, ref.name, ref.key)


def _secret_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def _cache_key(record: Record, login: Login) -> CacheKey:
    return CacheKey(
        namespace=record.key.namespace,
        asset=f"{record.uid}/{record.generation}",
        store=login.store_id,
        service_account=login.service_account,
    )


def parsed_asset(record: Record) -> AssetSpec:
    """SourceError when the object does not fit the schema of this version."""
    try:
        return AssetSpec.model_validate_json(record.spec)
    except ValidationError as error:
        raise SourceError(Reason.ASSET_INVALID, name=record.key.name, field=misfit(error)) from None


def parsed_store(record: Record) -> StoreSpec:
    """SourceError when the object does not fit the schema of this version."""
    try:
        return StoreSpec.model_validate_json(record.spec)
    except ValidationError as error:
        raise SourceError(Reason.STORE_INVALID, store=record.key.name, field=misfit(error)) from None


def _field(value: StoreValue, spec: AssetSpec, field: str) -> Sensitive:
    if spec.store is None:
        return _secret_field(value, spec.path, field)
    if field in value.fields:
        return value.fields[field]
    if field in value.unusable:
        raise SourceError(Reason.CREDENTIAL_INVALID, field=field, expected=USABLE)
    raise StoreError(Reason.STORE_FIELD_MISSING, store=spec.store, path=spec.path, field=field)


def _secret_field(value: StoreValue, name: str, key: str) -> Sensitive:
    if key in value.fields:
        return value.fields[key]
    if key in value.unusable:
        raise SourceError(Reason.CREDENTIAL_INVALID, field=key, expected=USABLE)
    raise SourceError(Reason.SECRET_KEY_MISSING, name=name, key=key)


async def _nobody(audience: str) -> Sensitive:
    raise SourceError(Reason.SERVICE_ACCOUNT_NOT_FOUND, name=audience, namespace="")
