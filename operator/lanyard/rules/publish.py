"""What the workload Secret contains and how it is marked as ours (DESIGN 1)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lanyard.api.connection import Method
from lanyard.api.meta import API_VERSION, CONNECTION_UID_LABEL, FIELD_MANAGER
from lanyard.sensitive import Sensitive

Content = Mapping[str, Sensitive]


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds: what every status and Secret of Lanyard shows."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def token_content(
    *,
    connector: str,
    method: Method,
    access_token: Sensitive,
    token_type: str,
    expires_at: datetime | None,
    scopes: tuple[str, ...],
    authorization_format: str,
    base_url: str,
    captured: Mapping[str, str],
) -> dict[str, Sensitive]:
    """Keys of the methods that fetch a token. What is captured never replaces a key of ours."""
    header = authorization_format.replace("{access_token}", access_token.reveal())
    plain = {
        **captured,
        "type": method.value,
        "provider": connector,
        "token_type": token_type,
        "expires_at": timestamp(expires_at) if expires_at is not None else "",
        "scope": " ".join(scopes),
    }
    if base_url:
        plain["base_url"] = base_url
    content = {name: Sensitive(value) for name, value in plain.items()}
    return content | {"access_token": access_token, "authorization_header": Sensitive(header)}


STATIC_KEYS = {Method.API_KEY: {"apiKey": "api_key"}, Method.BEARER_TOKEN: {"token": "token"}}


def static_content(
    *,
    connector: str,
    method: Method,
    username: str | None,
    credentials: Content,
    base_url: str,
    parameters: Mapping[str, str],
) -> dict[str, Sensitive]:
    """Keys of the methods whose credentials are handed on as they are."""
    names = STATIC_KEYS.get(method, {})
    content = {names.get(field, field): value for field, value in credentials.items()}
    if username is not None:
        content["username"] = Sensitive(username)
    if method is Method.AWS_SIGV4 and "region" in parameters:
        content["region"] = Sensitive(parameters["region"])
    content |= {"type": Sensitive(method.value), "provider": Sensitive(connector)}
    if base_url:
        content["base_url"] = Sensitive(base_url)
    return content


def secret_object(
    *, namespace: str, name: str, secret_type: str, owner_name: str, owner_uid: str, content: Content, uid: str | None
) -> dict[str, Any]:
    """The Secret. `uid` is that of the Secret we know as ours: with it, an apply cannot take a foreign one."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": {CONNECTION_UID_LABEL: owner_uid, "app.kubernetes.io/managed-by": "lanyard"},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "Connection",
                "name": owner_name,
                "uid": owner_uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    if uid is not None:
        metadata["uid"] = uid
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": secret_type,
        "data": {key: base64.b64encode(value.reveal().encode()).decode() for key, value in sorted(content.items())},
    }


def content_of(secret: Mapping[str, Any]) -> dict[str, Sensitive]:
    """What a Secret of ours carries, as it was handed to `secret_object`; empty when nothing in it is known as ours.

    Keys that somebody else has added stay where they are: in another namespace a pod may take each for a variable.
    """
    ours = _keys_of(secret, {"Apply", "Update"})
    data: Mapping[str, str] = secret.get("data") or {}
    return {name: Sensitive(base64.b64decode(value).decode()) for name, value in data.items() if name in ours}


def is_ours(metadata: Mapping[str, Any], owner_uid: str) -> bool:
    """A Secret is this Connection's when its controlling owner says so; the label is repaired like any other drift."""
    return any(
        owner.get("uid") == owner_uid and owner.get("controller") for owner in metadata.get("ownerReferences") or ()
    )


def leftover_keys(secret: Mapping[str, Any], content: Content) -> frozenset[str]:
    """Keys that an earlier create of ours set and that an apply does not take away.

    A create makes us owner through operation Update, and an apply gives up only what operation Apply owns.
    """
    return frozenset(_keys_of(secret, {"Update"}) & set(secret.get("data") or {}) - set(content))


def _keys_of(secret: Mapping[str, Any], operations: set[str]) -> set[str]:
    """Keys of `data` that we own through these operations (managedFields)."""
    ours: set[str] = set()
    for entry in secret.get("metadata", {}).get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") in operations:
            ours |= {name.removeprefix("f:") for name in entry.get("fieldsV1", {}).get("f:data", {}) if name != "."}
    return ours


def fingerprint(data: Mapping[str, str], secret_type: str, key: bytes) -> bytes:
    """A keyed digest of a Secret's `data` (base64 values), to tell drift without keeping the values.

    The key lives in one process: stored anywhere, an unkeyed digest of a short password could be guessed.
    """
    digest = hmac.new(key, secret_type.encode(), hashlib.sha256)
    for name, value in sorted(data.items()):
        digest.update(b"\0" + name.encode() + b"\0" + value.encode())
    return digest.digest()
