"""The finalizer that keeps a Connection until its grant was taken back: set before a code is exchanged.

When there is nobody left who would take a grant back, every Connection is let go (`clear`): otherwise what is deleted
then would never go, nor its namespace.
"""

from collections.abc import Sequence

from lanyard.api.connection import CONNECTION
from lanyard.api.meta import FINALIZER
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.keys import Key, What
from lanyard.flows.sweep import kind_path, object_path
from lanyard.flows.world import Record
from lanyard.reasons import Reason

ROUNDS = 5  # others may change the object between our look and our write


class Finalizers:
    """Adds and removes ours; whatever finalizers others have set stay."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def add(self, record: Record) -> None:
        """LanyardError AUTHORIZATION_OUTDATED when the object is gone or going; KubernetesError passes."""
        if not await self._change(object_path(record.key), record.uid, wanted=True):
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)

    async def remove(self, record: Record) -> None:
        await self._change(object_path(record.key), record.uid, wanted=False)

    async def clear(self, namespaces: Sequence[str]) -> int:
        """Remove ours from every Connection of these namespaces, none named: of all. Returns of how many."""
        cleared = 0
        for namespace in namespaces or ("",):
            async for page in self._kube.pages(kind_path(CONNECTION, namespace), metadata_only=True):
                for metadata in (item["metadata"] for item in page.items):
                    if FINALIZER in (metadata.get("finalizers") or ()):
                        key = Key(What.CONNECTION, metadata["namespace"], metadata["name"])
                        await self._change(object_path(key), metadata["uid"], wanted=False)
                        cleared += 1
        return cleared

    async def _change(self, path: str, uid: str, *, wanted: bool) -> bool:
        """False when there is nothing to change: the object is gone, or going while it is to be kept."""
        for _ in range(ROUNDS):
            try:
                metadata = (await self._kube.get(path, metadata_only=True))["metadata"]
                if metadata["uid"] != uid or (wanted and metadata.get("deletionTimestamp")):
                    return False
                present = list(metadata.get("finalizers") or ())
                if (FINALIZER in present) == wanted:
                    return True
                changed = [*present, FINALIZER] if wanted else [one for one in present if one != FINALIZER]
                exact = {"uid": uid, "resourceVersion": metadata["resourceVersion"]}
                await self._kube.merge(path, {"metadata": exact | {"finalizers": changed or None}})
            except KubernetesError as error:
                if error.code == 404:
                    return False
                if error.code != 409:
                    raise
            else:
                return True
        raise LanyardError(Reason.KUBERNETES_UNAVAILABLE)
