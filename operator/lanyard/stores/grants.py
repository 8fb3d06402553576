"""State Secrets: one for each grant that a person gave, sealed with the ring `grant`, in the operator's namespace.

What is in clear says whose it is: the install, the Connection's uid and name, the generation, how it ended, and a
digest of what it is bound to. What is sealed is bound to uid and name, so a Secret that was copied to another
Connection opens nowhere. Every change is made on the version that was read; the API server answers 409 to the second
of two.

A grant of another install, or one whose Connection was made anew, is left alone until the platform has it adopted
(stores/adoption.py).
"""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lanyard.api.meta import CONNECTION_ANNOTATION, CONNECTION_UID_LABEL, GRANT_LABEL, GROUP
from lanyard.clients.kube import Kube, Object
from lanyard.errors import KubernetesError, LanyardError, ProviderError
from lanyard.reasons import Reason
from lanyard.rules.grants import Grant, Stored, is_older_consent
from lanyard.stores.grant_format import grant_text, intent_text, read_grant, read_intent
from lanyard.stores.keyring import NONCE_BYTES, Context, Keyring, key_id_of

GENERATION = f"{GROUP}/grant-generation"
ENDED = f"{GROUP}/grant-ended"
"""A Reason: the terminal answer that ended it."""
MISSING_SINCE = f"{GROUP}/grant-missing-since"
"""RFC 3339: the full list in which its Connection was missing first."""
CONSENTED = f"{GROUP}/grant-consented"
"""RFC 3339: tells one consent from the next."""
BOUND = f"{GROUP}/grant-bound"
"""Digest of client id, redirect URI and token host."""
BOUND_UID = f"{GROUP}/grant-uid"
"""The Connection's uid that the sealed content is bound to; it stays readable when the Connection is gone."""
ADOPT = f"{GROUP}/adopt-for"
"""Written by the platform: the uid of the Connection that may have this grant from now on."""
FIELD = "grant"
MOST_BYTES = 512 * 1024
"""Of a grant before it is sealed: twice written as base64 it stays below what etcd takes in one request."""


@dataclass(frozen=True, slots=True)
class Held:
    """A state Secret by its metadata. `uid` is that of the Connection it is bound to."""

    name: str
    secret_uid: str
    version: str
    uid: str
    owner: str
    install: str
    generation: int
    ended: str
    adopt_for: str
    consented: str = ""
    missing_since: str = ""

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Held":
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        generation = annotations.get(GENERATION, "")
        return cls(
            name=metadata["name"],
            secret_uid=metadata["uid"],
            version=metadata["resourceVersion"],
            uid=annotations.get(BOUND_UID, labels.get(CONNECTION_UID_LABEL, "")),
            owner=annotations.get(CONNECTION_ANNOTATION, ""),
            install=labels.get(GRANT_LABEL, ""),
            generation=int(generation) if generation.isdecimal() and len(generation) < 16 else 0,
            ended=annotations.get(ENDED, ""),
            adopt_for=annotations.get(ADOPT, ""),
            consented=annotations.get(CONSENTED, ""),
            missing_since=annotations.get(MISSING_SINCE, ""),
        )

    @property
    def context(self) -> Context:
        return Context(FIELD, self.uid, self.owner)


def secret_name(uid: str) -> str:
    return f"grant-{uid}"


class GrantStore:
    """The grants of one install. `keyring` gives the ring `grant` as it is now.

    KubernetesError passes. LanyardError: KEYRING_LOST, STATE_INVALID, STATE_NOT_ADOPTED.
    """

    def __init__(self, kube: Kube, namespace: str, keyring: Callable[[], Keyring], install: str) -> None:
        self._kube = kube
        self.path = f"/api/v1/namespaces/{namespace}/secrets"
        self._keyring = keyring
        self.install = install

    async def read(self, uid: str, owner: str) -> Stored | None:
        """None when there is none. `owner` is the Connection's `namespace/name`."""
        secret = await self._found(uid)
        if secret is None:
            return None
        held = Held.of(secret["metadata"])
        if held.install != self.install or held.uid != uid or held.owner != owner:
            raise LanyardError(Reason.STATE_NOT_ADOPTED)
        return self.opened(secret, Context(FIELD, uid, owner))

    async def create(self, uid: str, owner: str, grant: Grant, *, now: datetime) -> Stored | None:
        """Store what a consent brought, in place of what was there, which may be anything but the grant of a later
        consent: then that stays, and None is returned. The generation goes on, intent and end are gone.
        KubernetesError 409 when the old one was changed meanwhile.
        """
        before = await self._found(uid)
        if before is None:
            stored = Stored(grant, None, None, "", "")
            return self._written(await self._kube.create(self.path, self.secret(uid, owner, stored, now=now)), stored)
        held = Held.of(before["metadata"])
        if is_older_consent(grant.consented_at, held.consented, now):
            return None
        next_one = replace(grant, generation=max(grant.generation, held.generation + 1))
        return await self.write(uid, owner, Stored(next_one, None, None, held.version, held.secret_uid), now=now)

    async def write(self, uid: str, owner: str, stored: Stored, *, now: datetime) -> Stored:
        """Write on the version that was read: KubernetesError 409 when it is no longer that one, 404 when it is gone.

        Sealing anew (`reseal`) is such a change too: on a 409, read again and look at generation and intent.
        """
        body = self.secret(uid, owner, stored, now=now)
        body["metadata"] |= {"uid": stored.uid, "resourceVersion": stored.version}
        for name in (ENDED, ADOPT):
            body["metadata"]["annotations"].setdefault(name, None)
        body["data"].setdefault("intent", None)
        return self._written(await self._kube.merge(f"{self.path}/{secret_name(uid)}", body), stored)

    async def delete(self, uid: str, *, version: str | None = None) -> None:
        """Delete the grant of a Connection; one of another install stays. KubernetesError 409 when it was changed since
        `version`.
        """
        try:
            found = await self._kube.get(f"{self.path}/{secret_name(uid)}", metadata_only=True)
            held = Held.of(found["metadata"])
            if held.install == self.install:
                await self._kube.delete(f"{self.path}/{held.name}", uid=held.secret_uid, version=version)
        except KubernetesError as error:
            if error.code != 404:
                raise

    async def note_missing(self, held: Held, since: datetime | None) -> None:
        """Note since when its Connection is missing, None when it is back. KubernetesError 409 when it was changed."""
        mark = since.isoformat(timespec="seconds") if since is not None else None
        exact = {"uid": held.secret_uid, "resourceVersion": held.version}
        await self._kube.merge(f"{self.path}/{held.name}", {"metadata": exact | {"annotations": {MISSING_SINCE: mark}}})

    async def held(self) -> AsyncIterator[Held]:
        """Every state Secret of the namespace by its metadata, those of other installs included."""
        async for page in self._kube.pages(self.path, selector=GRANT_LABEL, metadata_only=True):
            for item in page.items:
                yield Held.of(item["metadata"])

    async def sealed(self) -> AsyncIterator[tuple[Held, str]]:
        """Every state Secret with the id of the key that sealed it; the id is empty where nothing is sealed."""
        async for page in self._kube.pages(self.path, selector=GRANT_LABEL):
            for item in page.items:
                yield Held.of(item["metadata"]), _key_id(item)

    async def reseal(self, held: Held, *, now: datetime) -> bool:
        """Seal one anew with the key that seals now, its content untouched. False when that was not to be done: it is
        another install's, has been written or deleted since, or an answer to its refresh may still come.
        """
        if held.install != self.install:
            return False
        try:
            secret = await self._kube.get(f"{self.path}/{held.name}")
            keyring = self._keyring()
            if _key_id(secret) == keyring.sealing_key(now) or _is_awaited(secret, now):
                return False
            plain = keyring.open(_decoded(secret, "grant").decode(), held.context)
            exact = {"uid": held.secret_uid, "resourceVersion": secret["metadata"]["resourceVersion"]}
            data = {"grant": _encoded(self.seal(plain, held.context, now=now).encode())}
            await self._kube.merge(f"{self.path}/{held.name}", {"metadata": exact, "data": data})
        except KubernetesError as error:
            if error.code in {404, 409}:
                return False
            raise
        return True

    def secret(self, uid: str, owner: str, stored: Stored, *, now: datetime) -> Object:
        """The state Secret as it is created."""
        grant, context = stored.grant, Context(FIELD, uid, owner)
        annotations: dict[str, str | None] = {
            CONNECTION_ANNOTATION: owner,
            GENERATION: str(grant.generation),
            BOUND: digest(grant.client_id, grant.redirect_uri, grant.token_host),
            BOUND_UID: uid,
            CONSENTED: grant.consented_at.isoformat(timespec="milliseconds"),
        }
        if stored.ended is not None:
            annotations[ENDED] = stored.ended.value
        data: dict[str, str | None] = {"grant": _encoded(self.seal(_bounded(grant, stored), context, now=now).encode())}
        if stored.intent is not None:
            data["intent"] = _encoded(intent_text(stored.intent))
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": secret_name(uid),
                "labels": {GRANT_LABEL: self.install, CONNECTION_UID_LABEL: uid},
                "annotations": annotations,
            },
            "data": data,
        }

    def seal(self, plain: bytes, context: Context, *, now: datetime) -> str:
        return self._keyring().seal(plain, context, now=now, nonce=secrets.token_bytes(NONCE_BYTES))

    def opened(self, secret: Object, context: Context) -> Stored:
        """What a state Secret holds, believed only as far as the seal confirms it."""
        metadata, data = secret["metadata"], secret.get("data") or {}
        ended = (metadata.get("annotations") or {}).get(ENDED)
        try:
            plain = self._keyring().open(_decoded(secret, "grant").decode(), context)
            grant, unread = read_grant(plain)
            intent = read_intent(_decoded(secret, "intent")) if "intent" in data else None
        except (ValueError, KeyError):
            raise LanyardError(Reason.STATE_INVALID) from None
        return Stored(
            grant,
            intent,
            ending_of(ended) if ended is not None else None,
            metadata["resourceVersion"],
            metadata["uid"],
            unread,
        )

    async def _found(self, uid: str) -> Object | None:
        try:
            return await self._kube.get(f"{self.path}/{secret_name(uid)}")
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise

    @staticmethod
    def _written(answer: Object, stored: Stored) -> Stored:
        return replace(stored, version=answer["metadata"]["resourceVersion"], uid=answer["metadata"]["uid"])


async def install_id(kube: Kube, namespace: str) -> str:
    """The uid of the operator's namespace. In another cluster, or when it was made anew, it is another install: what a
    backup brought there may still be used by the one it came from.
    """
    metadata = (await kube.get(f"/api/v1/namespaces/{namespace}", metadata_only=True))["metadata"]
    return str(metadata["uid"])


def digest(client_id: str, redirect_uri: str, token_host: str) -> str:
    """What a grant is bound to, for people who compare without opening it. Nothing in it is a secret."""
    return hashlib.sha256(json.dumps([client_id, redirect_uri, token_host]).encode()).hexdigest()[:32]


def _bounded(grant: Grant, stored: Stored) -> bytes:
    """A refresh token that was replaced is kept only where there is room; what is still too large is no grant."""
    text = grant_text(grant, stored.unread)
    if len(text) > MOST_BYTES:
        text = grant_text(replace(grant, previous_refresh_token=None), stored.unread)
    if len(text) > MOST_BYTES:
        raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=grant.token_host)
    return text


def ending_of(reason: str) -> Reason:
    """An end whose reason only a newer version knows is an end all the same."""
    try:
        return Reason(reason)
    except ValueError:
        return Reason.GRANT_REVOKED


def _is_awaited(secret: Object, now: datetime) -> bool:
    """Whether somebody may be about to write what a refresh brought: a change in between would stand in the way."""
    try:
        return now < read_intent(_decoded(secret, "intent")).not_after
    except (ValueError, KeyError):
        return False


def _key_id(secret: Object) -> str:
    try:
        return key_id_of(_decoded(secret, "grant").decode())
    except (LanyardError, ValueError, KeyError):
        return ""


def _decoded(secret: Object, member: str) -> bytes:
    """ValueError or KeyError when it is not there."""
    try:
        return base64.b64decode((secret.get("data") or {})[member], validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()
