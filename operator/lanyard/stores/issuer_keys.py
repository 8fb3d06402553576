"""Key sets of issuers: one Secret for each place that keys are fetched from, shared by operator and gateways.

The operator writes what it fetched; a gateway that meets an unknown key id asks it to fetch once more. Both change the
version that they read, so of two that ask at once one is told 409. Nothing in it is secret: it is a Secret because that
is what both may write in the namespace they share. What the operator needs is in the metadata, which is all it watches.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from lanyard.api.meta import GROUP, ISSUER_KEYS_LABEL, REFETCH_ANNOTATION
from lanyard.clients.kube import Kube, Object
from lanyard.errors import KubernetesError

ISSUER_ANNOTATION = f"{GROUP}/issuer"
"""For people: whose keys these are."""
FETCHED_ANNOTATION = f"{GROUP}/fetched-at"
"""RFC 3339: when the issuer said last that these are its keys, or up to an hour before that (see flows/issuers.py)."""
ANSWERED_ANNOTATION = f"{GROUP}/refetch-answered"
"""The value of REFETCH_ANNOTATION after which keys were fetched: two clocks need not agree to tell what is open."""
DIGEST_ANNOTATION = f"{GROUP}/keys-digest"
NEVER = datetime.min.replace(tzinfo=UTC)


def key_set_name(issuer: str, jwks_uri: str | None, ca_bundle: str | None) -> str:
    """Name of the key set that is fetched from there: `issuer-<base32 of SHA-256>`, 59 characters.

    Who trusts another source or another CA for the same issuer has a set of their own.
    """
    source = json.dumps([issuer, jwks_uri, ca_bundle], separators=(",", ":")).encode()
    return f"issuer-{base64.b32encode(hashlib.sha256(source).digest()).decode().rstrip('=').lower()}"


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """A key set as a gateway needs it. `jwks` (RFC 7517) is as fetched; empty when the Secret cannot be read."""

    name: str
    issuer: str
    jwks: bytes
    fetched_at: datetime
    refetch_at: datetime | None
    """When a gateway asked last for newer keys, by its clock."""
    version: str
    answered_at: datetime | None = None
    """The `refetch_at` that was answered last."""

    @property
    def asked(self) -> bool:
        """True while somebody waits for newer keys."""
        return self.refetch_at is not None and self.refetch_at != self.answered_at

    @classmethod
    def of(cls, secret: Object) -> Self:
        """Never fails, for a watch must go on: what is odd is old and empty, so that no key of it is used."""
        stored = StoredKeys.of(secret["metadata"])
        try:
            jwks = base64.b64decode((secret.get("data") or {}).get("jwks", ""), validate=True)
        except (ValueError, TypeError):
            jwks = b""
        return cls(
            stored.name, stored.issuer, jwks, stored.fetched_at, stored.refetch_at, stored.version, stored.answered_at
        )


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """A key set as its metadata shows it. `digest` is that of the keys, however they were written."""

    name: str
    uid: str
    version: str
    issuer: str
    digest: str
    fetched_at: datetime
    refetch_at: datetime | None
    answered_at: datetime | None

    @property
    def asked(self) -> bool:
        return self.refetch_at is not None and self.refetch_at != self.answered_at

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Self:
        notes = metadata.get("annotations") or {}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            issuer=notes.get(ISSUER_ANNOTATION, ""),
            digest=notes.get(DIGEST_ANNOTATION, ""),
            fetched_at=_moment(notes.get(FETCHED_ANNOTATION)) or NEVER,
            refetch_at=_moment(notes.get(REFETCH_ANNOTATION)),
            answered_at=_moment(notes.get(ANSWERED_ANNOTATION)),
        )


class IssuerKeyStore:
    """Key sets in `namespace`. KubernetesError passes: 409 means that somebody else was first."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/secrets"

    async def read(self, name: str) -> IssuerKeys | None:
        try:
            return IssuerKeys.of(await self._kube.get(f"{self._path}/{name}"))
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise

    async def create(self, name: str, *, issuer: str, jwks: bytes, digest: str, fetched_at: datetime) -> StoredKeys:
        """The first keys of an issuer."""
        body: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": name,
                "labels": {ISSUER_KEYS_LABEL: "true"},
                "annotations": {
                    ISSUER_ANNOTATION: issuer,
                    FETCHED_ANNOTATION: _text(fetched_at),
                    DIGEST_ANNOTATION: digest,
                },
            },
            "data": {"jwks": base64.b64encode(jwks).decode()},
        }
        return StoredKeys.of((await self._kube.create(self._path, body))["metadata"])

    async def replace(self, before: StoredKeys, *, jwks: bytes, digest: str, fetched_at: datetime) -> StoredKeys:
        """What the issuer says now; it answers whoever asked before. Keys that did not change are not sent."""
        notes = {FETCHED_ANNOTATION: _text(fetched_at), DIGEST_ANNOTATION: digest}
        if before.refetch_at is not None:
            notes[ANSWERED_ANNOTATION] = _text(before.refetch_at)
        exact = {"uid": before.uid, "resourceVersion": before.version, "annotations": notes}
        data = {"data": {"jwks": base64.b64encode(jwks).decode()}} if digest != before.digest else {}
        answer = await self._kube.merge(f"{self._path}/{before.name}", {"metadata": exact} | data)
        return StoredKeys.of(answer["metadata"])

    async def ask_again(self, name: str, seen: str, now: datetime) -> None:
        """Have newer keys fetched than those of the version `seen`."""
        metadata = {"resourceVersion": seen, "annotations": {REFETCH_ANNOTATION: _text(now)}}
        await self._kube.merge(f"{self._path}/{name}", {"metadata": metadata})

    async def delete(self, stored: StoredKeys) -> None:
        try:
            await self._kube.delete(f"{self._path}/{stored.name}", uid=stored.uid)
        except KubernetesError as error:
            if error.code not in {404, 409}:  # gone, or another one that came after it
                raise


def _moment(text: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return when if when.tzinfo is not None else None


def _text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")
