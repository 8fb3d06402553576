"""Token copies: a Connection's live access token, sealed, where the gateway can read it (DESIGN 4, Refresh).

One Secret for each Connection that needs one, in the namespace that operator and gateway share. The operator writes
and removes, the gateway reads. What is in clear says whose it is: the install, the Connection, what it was made from
and when the token ends. What is sealed, with the ring `token`, is bound to the Connection's uid and name.

A copy of another install is left alone while its token lives.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanyard.api.meta import CONNECTION_ANNOTATION, COPY_LABEL, GROUP
from lanyard.clients.kube import Kube, Object
from lanyard.errors import KubernetesError, LanyardError, PublishError
from lanyard.reasons import Reason
from lanyard.rules.publish import Content
from lanyard.sensitive import MASK, Sensitive
from lanyard.stores.keyring import NONCE_BYTES, Context, Keyring, key_id_of

MADE_FROM = f"{GROUP}/copy-of"
"""What a copy was made from; tells without opening it whether it is the newest."""
EXPIRES = f"{GROUP}/token-expires"
"""RFC 3339: when the token ends; empty for one that does not."""
SEALED_WITH = f"{GROUP}/copy-key"
"""Id of the key that sealed it: whether it opens is known without reading it."""
FIELD = "access_token"
FORMAT = 1
_PREFIX = "token-"
_ROUNDS = 3  # a copy may be deleted or replaced between our look and our write


@dataclass(frozen=True, slots=True, repr=False)
class TokenCopy:
    """An access token as it is handed out. `expires_at` is None for one that does not expire."""

    access_token: Sensitive
    token_type: str
    expires_at: datetime | None
    scopes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"TokenCopy({MASK})"


@dataclass(frozen=True, slots=True)
class SeenCopy:
    """A copy by its metadata. `uid` and `owner` (`namespace/name`) are the Connection's; `made_from` is empty when it
    does not say.
    """

    name: str
    secret_uid: str
    version: str
    uid: str
    owner: str
    install: str
    made_from: str
    expires_at: datetime | None
    key_id: str = ""

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "SeenCopy":
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        return cls(
            name=metadata["name"],
            secret_uid=metadata["uid"],
            version=metadata["resourceVersion"],
            uid=metadata["name"].removeprefix(_PREFIX),
            owner=annotations.get(CONNECTION_ANNOTATION, ""),
            install=labels.get(COPY_LABEL, ""),
            made_from=annotations.get(MADE_FROM, ""),
            expires_at=_known_moment(annotations.get(EXPIRES, "")),
            key_id=annotations.get(SEALED_WITH, ""),
        )


def copy_of(content: Content) -> TokenCopy | None:
    """The token in what is published; None where there is none."""
    token = content.get("access_token")
    if token is None:
        return None
    kind, ends_at, scope = (content.get(name, Sensitive("")).reveal() for name in ("token_type", "expires_at", "scope"))
    return TokenCopy(token, kind, _known_moment(ends_at), tuple(scope.split()))


def secret_name(uid: str) -> str:
    return f"{_PREFIX}{uid}"


class CopyStore:
    """The copies of one install. `keyring` gives the ring `token` as it is now. KubernetesError passes."""

    def __init__(self, kube: Kube, namespace: str, keyring: Callable[[], Keyring], install: str) -> None:
        self._kube = kube
        self.path = f"/api/v1/namespaces/{namespace}/secrets"
        self._keyring = keyring
        self.install = install

    async def write(
        self, uid: str, owner: str, copy: TokenCopy, *, made_from: str, now: datetime, known: SeenCopy | None = None
    ) -> SeenCopy:
        """Write the copy of a Connection, in place of the one that is `known` as ours. PublishError when there is one
        of another install whose token lives.
        """
        path = f"{self.path}/{secret_name(uid)}"
        secret_uid, refused_with = (known.secret_uid if known is not None else None), 0
        for _ in range(_ROUNDS):
            body = self._secret(uid, owner, copy, made_from, now)
            try:
                if secret_uid is None:
                    return SeenCopy.of((await self._kube.create(self.path, body))["metadata"])
                # With its uid an apply takes no other one for its own: replaced answers 422, deleted 409.
                body["metadata"]["uid"] = secret_uid
                return SeenCopy.of((await self._kube.apply(path, body))["metadata"])
            except KubernetesError as error:
                if error.code not in {409, 422}:
                    raise
                refused_with = error.code
            there = await self.seen(uid)
            if there is not None:
                self._hold_ours(there, now)
            secret_uid = there.secret_uid if there is not None else None
        raise PublishError(Reason.SECRET_REFUSED, secret=secret_name(uid), status=refused_with)

    def opens(self, seen: SeenCopy) -> bool:
        """Whether the ring has the key of a copy. One that was sealed with a ring that is lost is good for nothing."""
        try:
            return seen.key_id in self._keyring()
        except LanyardError:
            # Without a ring nothing could be sealed in its place.
            return True

    async def read(self, uid: str, owner: str) -> TokenCopy | None:
        """None when there is none. LanyardError: KEYRING_LOST, STATE_INVALID."""
        try:
            secret = await self._kube.get(f"{self.path}/{secret_name(uid)}")
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise
        return opened_copy(self._keyring(), sealed_text(secret), uid, owner)

    async def remove(self, seen: SeenCopy) -> None:
        """Delete exactly this one; what is gone already, or came after it, is no error."""
        try:
            if seen.install == self.install:
                await self._kube.delete(f"{self.path}/{seen.name}", uid=seen.secret_uid)
        except KubernetesError as error:
            if error.code not in {404, 409}:
                raise

    def _hold_ours(self, there: SeenCopy, now: datetime) -> None:
        is_over = there.expires_at is not None and there.expires_at <= now
        if there.install != self.install and not is_over:
            raise PublishError(Reason.COPY_CONFLICT, secret=there.name)

    async def seen(self, uid: str) -> SeenCopy | None:
        """That of a Connection by its metadata, also another install's; None when there is none."""
        try:
            found = await self._kube.get(f"{self.path}/{secret_name(uid)}", metadata_only=True)
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise
        return SeenCopy.of(found["metadata"])

    def _secret(self, uid: str, owner: str, copy: TokenCopy, made_from: str, now: datetime) -> Object:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._keyring().seal(_text(copy), Context(FIELD, uid, owner), now=now, nonce=nonce)
        # All of them each time: an apply does not take away what a create has set.
        ends_at = _moment(copy.expires_at) if copy.expires_at is not None else ""
        annotations = {
            CONNECTION_ANNOTATION: owner, MADE_FROM: made_from, EXPIRES: ends_at, SEALED_WITH: key_id_of(sealed),
        }  # fmt: skip
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": secret_name(uid),
                "labels": {COPY_LABEL: self.install},
                "annotations": annotations,
            },
            "data": {"token": base64.b64encode(sealed.encode()).decode()},
        }


def sealed_text(secret: Mapping[str, Any]) -> str:
    """What lies sealed in a copy's Secret; empty where there is nothing of that kind."""
    try:
        return base64.b64decode((secret.get("data") or {})["token"], validate=True).decode()
    except (KeyError, TypeError, AttributeError, binascii.Error, UnicodeDecodeError):
        return ""


def opened_copy(keyring: Keyring, sealed: str, uid: str, owner: str) -> TokenCopy:
    """LanyardError: KEYRING_LOST when the ring does not have its key, STATE_INVALID for anything that is not the copy
    of this Connection.
    """
    try:
        copy = _copy(json.loads(keyring.open(sealed, Context(FIELD, uid, owner))))
    except (ValueError, TypeError, KeyError, RecursionError):
        copy = None
    if copy is None:
        raise LanyardError(Reason.STATE_INVALID)
    return copy


def _copy(plain: Any) -> TokenCopy | None:
    """None for a document of a later format, whose members may mean other things."""
    if plain["format"] != FORMAT:
        return None
    expires_at = plain["expiresAt"]
    return TokenCopy(
        Sensitive(str(plain["accessToken"])),
        str(plain["tokenType"]),
        _aware(expires_at) if expires_at is not None else None,
        tuple(str(scope) for scope in plain["scopes"]),
    )


def _text(copy: TokenCopy) -> bytes:
    plain = {
        "format": FORMAT,
        "accessToken": copy.access_token.reveal(),
        "tokenType": copy.token_type,
        "expiresAt": _moment(copy.expires_at) if copy.expires_at is not None else None,
        "scopes": copy.scopes,
    }
    return json.dumps(plain, separators=(",", ":")).encode()


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _aware(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a moment without its zone")
    return when


def _known_moment(text: str) -> datetime | None:
    try:
        return _aware(text)
    except ValueError:
        return None
