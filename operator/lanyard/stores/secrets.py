"""The Kubernetes store: values in a Secret beside the object that refers to it.

A Secret is read only where its owner marked it as readable. Otherwise whoever may write a Connection, but not read
Secrets, could have any Secret of the namespace sent to a token URL of their own choice.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any

from lanyard.api.meta import READABLE_LABEL
from lanyard.errors import KubernetesError, SourceError
from lanyard.reasons import Reason
from lanyard.stores.value import StoreValue

GetSecret = Callable[[str, str], Awaitable[dict[str, Any]]]


async def read(get_secret: GetSecret, namespace: str, name: str, *, labels_required: bool) -> StoreValue:
    """A Secret's values; SourceError when it is not there or not marked. Other KubernetesErrors pass."""
    try:
        secret = await get_secret(namespace, name)
    except KubernetesError as error:
        if error.code == 404:
            raise SourceError(Reason.SECRET_NOT_FOUND, name=name, namespace=namespace) from None
        raise
    metadata = secret["metadata"]
    if labels_required and (metadata.get("labels") or {}).get(READABLE_LABEL) != "true":
        raise SourceError(Reason.SECRET_NOT_READABLE, kind="secret", name=name, namespace=namespace)
    decoded = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
    return StoreValue.sort(decoded, f"{metadata['uid']}/{metadata['resourceVersion']}")


def _text(encoded: str) -> str | None:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
