"""What may not be used again, known to every replica: JWTs that are taken once, and tokens of ours that were revoked.

One small Secret each, whose name is made from what it stands for: creating it a second time is refused by the API
server, which is all the coordination there is. It says nothing but until when it has to stay.
"""

import base64
import hashlib
import json
from datetime import datetime
from enum import StrEnum

from lanyard.api.meta import GROUP, SPENT_LABEL
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError

UNTIL_ANNOTATION = f"{GROUP}/spent-until"
"""RFC 3339: from then on the thing has expired by itself, and the mark may go."""


class SpentKind(StrEnum):
    """What was spent; the value of the label."""

    ASSERTION = "assertion"
    REVOKED = "revoked"


def spent_name(kind: SpentKind, issuer: str, token_id: str) -> str:
    """`token_id` is the `jti`: two issuers may give the same one, and neither burns the other's."""
    mark = hashlib.sha256(json.dumps([kind.value, issuer, token_id]).encode()).digest()
    return f"spent-{base64.b32encode(mark).decode().rstrip('=').lower()}"


class SpentStore:
    """Marks in `namespace`. KubernetesError passes: nothing is known then."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/secrets"

    async def spend(self, kind: SpentKind, issuer: str, token_id: str, until: datetime) -> bool:
        """False when it was spent before."""
        metadata = {
            "name": spent_name(kind, issuer, token_id),
            "labels": {SPENT_LABEL: kind.value},
            "annotations": {UNTIL_ANNOTATION: until.isoformat(timespec="seconds").replace("+00:00", "Z")},
        }
        body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": True, "metadata": metadata}
        try:
            await self._kube.create(self._path, body)
        except KubernetesError as error:
            if error.code == 409:
                return False
            raise
        return True
