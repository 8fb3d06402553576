"""Write the workload Secret, and never anybody else's.

1. ours is known → apply with its uid: a replaced one answers 422, a deleted one 409
2. else create → 409: look whose it is
3. ours after all → apply with its uid; a stranger's → `SecretConflict`
4. keys that an earlier method left behind are removed
5. after a rename, our Secret under the old name is deleted

And take it away again: what a link may no longer use.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lanyard.api.meta import CONNECTION_UID_LABEL
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError, PublishError, unavailable
from lanyard.flows.keys import Key, What
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.reasons import Reason
from lanyard.rules.publish import Content, fingerprint, is_ours, leftover_keys, secret_object

ROUNDS = 3  # a Secret may be deleted or replaced between our look and our write


@dataclass(frozen=True, slots=True)
class Target:
    """The Secret a Connection asks for; where it is not to be published, that of its token copy."""

    name: str
    type: str
    publish: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: `fingerprint` is keyed, over `keys` only."""

    version: SecretVersion
    keys: frozenset[str]
    fingerprint: bytes


class Publisher:
    """`key` is this process's own; fingerprints mean nothing outside of it."""

    def __init__(self, kube: Kube, world: World, key: bytes) -> None:
        self._kube = kube
        self._world = world
        self._key = key

    async def publish(
        self, record: Record, target: Target, content: Content, previous_name: str | None, before: Written | None
    ) -> Written:
        """PublishError when it cannot be written now. What was written `before` is ours whatever it looks like now."""
        try:
            secret = await self._write(record, target, content, before)
            stale = leftover_keys(secret, content)
            if stale:
                secret = await self._kube.remove_keys(_path(record, target.name), secret, stale)
            if previous_name is not None and previous_name != target.name:
                await self._remove_former(record, previous_name)
        except KubernetesError as error:
            raise refused(error, target.name) from None
        version = SecretVersion.of(secret["metadata"])
        self._world.published[Key(What.SECRET, version.namespace, version.name)] = version
        keys = _shared(frozenset(content))
        return Written(version, keys, self._fingerprint(secret, keys))

    async def is_intact(self, record: Record, target: Target, written: Written) -> bool:
        """Read the Secret and compare it with what was written; remembers its version when it is the same."""
        try:
            secret = await self._kube.get(_path(record, target.name))
        except KubernetesError as error:
            if error.code == 404:
                return False
            raise refused(error, target.name) from None
        labels = secret["metadata"].get("labels") or {}
        return (
            is_ours(secret["metadata"], record.uid)
            and labels.get(CONNECTION_UID_LABEL) == record.uid
            and self._fingerprint(secret, written.keys) == written.fingerprint
        )

    def standing(self, record: Record, target: Target, before: Written | None) -> SecretVersion | None:
        """Our Secret as the watch shows it, None when there is none. What was written `before` is ours in any case."""
        known = self._world.published.get(Key(What.SECRET, record.key.namespace, target.name))
        return known if known is not None and _is_known_as_ours(known, record, before) else None

    async def withdraw(self, record: Record, noted: str, before: Written | None) -> int:
        """Delete every Secret that was published for a Connection, whatever its name; returns how many.

        `noted` is the name in the status: the watch does not tell of a Secret that has lost our label.
        """
        known = {
            one.name: one.uid
            for one in self._world.published.values()
            if one.namespace == record.key.namespace and _is_known_as_ours(one, record, before)
        }
        try:
            if noted and noted not in known:
                metadata = await self._metadata(record, noted)
                if metadata is not None and (is_ours(metadata, record.uid) or metadata["uid"] == _uid_of(before)):
                    known[noted] = str(metadata["uid"])
            for name, uid in known.items():
                await self._remove(record, name, uid)
        except KubernetesError as error:
            raise refused(error, noted) from None
        return len(known)

    async def _write(self, record: Record, target: Target, content: Content, before: Written | None) -> dict[str, Any]:
        path = _path(record, target.name)
        known = self.standing(record, target, before)
        uid = known.uid if known is not None else None
        refused_with = 0
        for _ in range(ROUNDS):
            body = _body(record, target, content, uid)
            try:
                if uid is not None:
                    return await self._kube.apply(path, body)
                return await self._kube.create(path.rpartition("/")[0], body)
            except KubernetesError as error:
                if error.code not in {404, 409, 422}:
                    raise
                refused_with = error.code
                uid = await self._our_uid(record, target, before)
        raise PublishError(Reason.SECRET_REFUSED, secret=target.name, status=refused_with)

    async def _our_uid(self, record: Record, target: Target, before: Written | None) -> str | None:
        """The uid of our Secret, None when there is none, `SecretConflict` when it is a stranger's."""
        metadata = await self._metadata(record, target.name)
        if metadata is None:
            return None
        if not is_ours(metadata, record.uid) and metadata["uid"] != _uid_of(before):
            raise PublishError(Reason.SECRET_CONFLICT, secret=target.name)
        return str(metadata["uid"])

    async def _metadata(self, record: Record, name: str) -> dict[str, Any] | None:
        """A Secret's metadata, None when it is not there."""
        try:
            metadata: dict[str, Any] = (await self._kube.get(_path(record, name), metadata_only=True))["metadata"]
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise
        return metadata

    async def _remove_former(self, record: Record, name: str) -> None:
        former = self._world.published.get(Key(What.SECRET, record.key.namespace, name))
        if former is not None and former.owner == record.uid:
            await self._remove(record, name, former.uid)

    async def _remove(self, record: Record, name: str, uid: str) -> None:
        try:
            await self._kube.delete(_path(record, name), uid=uid)
        except KubernetesError as error:
            if error.code not in {404, 409}:
                raise

    def _fingerprint(self, secret: dict[str, Any], keys: frozenset[str]) -> bytes:
        data = {name: value for name, value in (secret.get("data") or {}).items() if name in keys}
        return fingerprint(data, secret.get("type", ""), self._key)


def _uid_of(before: Written | None) -> str:
    return before.version.uid if before is not None else ""


def _is_known_as_ours(known: SecretVersion, record: Record, before: Written | None) -> bool:
    return known.owner == record.uid or known.uid == _uid_of(before)


@lru_cache(maxsize=256)
def _shared(keys: frozenset[str]) -> frozenset[str]:
    """One set for all Connections of a shape: a set of its own for each of 10,000 takes 7 MB."""
    return keys


def _body(record: Record, target: Target, content: Content, uid: str | None) -> dict[str, Any]:
    return secret_object(
        namespace=record.key.namespace,
        name=target.name,
        secret_type=target.type,
        owner_name=record.key.name,
        owner_uid=record.uid,
        content=content,
        uid=uid,
    )


def _path(record: Record, name: str) -> str:
    return f"/api/v1/namespaces/{record.key.namespace}/secrets/{name}"


def refused(error: KubernetesError, secret: str) -> LanyardError:
    """Why a Secret could not be written, in words that users can act upon."""
    if error.code in {0, 429} or error.code >= 500:
        return unavailable(error)
    return PublishError(Reason.SECRET_REFUSED, secret=secret, status=error.code)
