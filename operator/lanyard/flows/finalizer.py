"""The finalizer that keeps a Connection until its grant was taken back: set before a code is exchanged."""

from lanyard.api.meta import FINALIZER
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.sweep import object_path
from lanyard.flows.world import Record
from lanyard.reasons import Reason

ROUNDS = 5  # others may change the object between our look and our write


class Finalizers:
    """Adds and removes ours; whatever finalizers others have set stay."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def add(self, record: Record) -> None:
        """LanyardError AUTHORIZATION_OUTDATED when the object is gone or going; KubernetesError passes."""
        if not await self._change(record, wanted=True):
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)

    async def remove(self, record: Record) -> None:
        await self._change(record, wanted=False)

    async def _change(self, record: Record, *, wanted: bool) -> bool:
        """False when there is nothing to change: the object is gone, or going while it is to be kept."""
        path = object_path(record.key)
        for _ in range(ROUNDS):
            try:
                metadata = (await self._kube.get(path, metadata_only=True))["metadata"]
                if metadata["uid"] != record.uid or (wanted and metadata.get("deletionTimestamp")):
                    return False
                present = list(metadata.get("finalizers") or ())
                if (FINALIZER in present) == wanted:
                    return True
                changed = [*present, FINALIZER] if wanted else [one for one in present if one != FINALIZER]
                exact = {"uid": record.uid, "resourceVersion": metadata["resourceVersion"]}
                await self._kube.merge(path, {"metadata": exact | {"finalizers": changed or None}})
            except KubernetesError as error:
                if error.code == 404:
                    return False
                if error.code != 409:
                    raise
            else:
                return True
        raise LanyardError(Reason.KUBERNETES_UNAVAILABLE)
