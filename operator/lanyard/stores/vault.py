"""Vault and OpenBao: KV version 1 and 2, read with the tenant's own ServiceAccount or a login shared and confined.

What the server answers for what, tried on 1.21:

    403  no policy, also for a mount that does not exist; an ended token
    404  `errors: []`                    nothing at this path, or no such version; also a KV v2 path on a v1 mount
    404  `data.metadata`                 this version was deleted or destroyed
    404  `data: null` and a warning      a KV v1 path on a v2 mount
    404  `errors: ["no handler ..."]`    no such mount

`sys/internal/ui/mounts/<mount>` tells the engine to whoever may read anything in it, so it settles most doubts.
"""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from cachetools import TTLCache

from lanyard.clients.http import Outbound
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.stores.sealed import SealedBox
from lanyard.stores.value import KEYED, StoreValue
from lanyard.stores.vault_session import Login, Session, Sessions
from lanyard.stores.vault_wire import DEADLINE_SECONDS, Reply, Wire

__all__ = ["Login", "VaultReader"]

METADATA_DENIED_SECONDS = 3600.0


class VaultReader:
    """Reads from every store of type vault; sessions are kept inside, values are not."""

    def __init__(
        self, outbound: Outbound, *, deadline: float = DEADLINE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wire = Wire(outbound, deadline=deadline)
        self._sessions = Sessions(self._wire, clock=clock)
        self._box = SealedBox()
        self._metadata_denied: TTLCache[tuple[str, str, str], bool] = TTLCache(4096, METADATA_DENIED_SECONDS, clock)

    @property
    def logins(self) -> int:
        return self._sessions.logins

    async def read(self, login: Login, path: str, version: str | None) -> StoreValue:
        """The fields at a path, newest or pinned version. StoreError says why not; `present` may raise its own."""
        _confine(login, path)
        return await self._read(login, path, version)

    async def current_version(self, login: Login, path: str, version: str | None) -> str:
        """What `read` would answer as version, by the cheapest call that the login's policy allows."""
        _confine(login, path)
        denied = (login.store_id, login.service_account, path)
        if login.spec.vault.kv_version == 2 and denied not in self._metadata_denied:
            reply, _ = await self._get(login, f"{login.spec.vault.mount}/metadata/{quote(path)}")
            if reply.status == 403:
                self._metadata_denied[denied] = True
            elif reply.status == 200:
                found = self._from_metadata(reply, version)
                if found is not None:
                    return found
        return (await self._read(login, path, version)).version

    async def check(self, login: Login) -> None:
        """The store answers, is unsealed, and takes the shared login, if that is what it has."""
        await self._wire.check_seal(login.store, login.spec.vault)
        if not login.shared:
            return
        session = await self._sessions.get(login)
        if not session.fresh and not await self._lives(login, session):
            self._sessions.drop(login, session)
            session = await self._sessions.get(login)
        if login.spec.vault.auth.token_secret_ref is not None and not await self._lives(login, session):
            raise StoreError(Reason.STORE_LOGIN_REFUSED, store=login.store)

    async def _read(self, login: Login, path: str, version: str | None) -> StoreValue:
        vault = login.spec.vault
        if vault.kv_version == 1:
            if version is not None:
                raise StoreError(Reason.STORE_VERSION_NOT_FOUND, store=login.store, path=path, version=version)
            resource = f"{vault.mount}/{quote(path)}"
        else:
            pin = f"?version={version}" if version is not None else ""
            resource = f"{vault.mount}/data/{quote(path)}{pin}"
        reply, session = await self._get(login, resource)
        found = self._value(reply, vault.kv_version) if reply.status == 200 else None
        if found is not None:
            return found
        raise await self._refusal(login, session, reply, path, version)

    def _value(self, reply: Reply, kv_version: int) -> StoreValue | None:
        """None when the answer does not have the shape of this KV version."""
        data = reply.data
        if data is None:
            return None
        if kv_version == 1:
            if data.keys() == {"data", "metadata"} and isinstance(data["metadata"], dict):
                return None
            content = json.dumps(data, sort_keys=True).encode()
            return StoreValue.sort(data, KEYED + self._box.fingerprint(content))
        fields, metadata = data.get("data"), data.get("metadata")
        if not isinstance(fields, dict) or not isinstance(metadata, dict) or "version" not in metadata:
            return None
        return StoreValue.sort(fields, self._version(metadata["version"], metadata))

    def _version(self, number: object, metadata: dict[str, Any]) -> str:
        """The time is part of it: a secret that was removed and written again begins at version 1 again.

        Not keyed, for it says nothing of the content: a restart has to know the version again.
        """
        written = hashlib.sha256(str(metadata.get("created_time")).encode()).hexdigest()[:8]
        return f"{number}-{written}"

    def _from_metadata(self, reply: Reply, version: str | None) -> str | None:
        """None when a read has to decide: no such version, destroyed, deleted now or at a time to come."""
        data = reply.data or {}
        number = version or str(data.get("current_version"))
        versions = data.get("versions")
        entry = versions.get(number) if isinstance(versions, dict) else None
        if not isinstance(entry, dict) or entry.get("destroyed") or entry.get("deletion_time"):
            return None
        return self._version(number, entry)

    async def _get(self, login: Login, resource: str) -> tuple[Reply, Session]:
        """With a kept session that the store refuses: log in once more, try once more."""
        session = await self._sessions.get(login)
        reply = await self._call(login, session, resource)
        if reply.status == 403 and not session.fresh:
            self._sessions.drop(login, session)
            session = await self._sessions.get(login)
            reply = await self._call(login, session, resource)
        return reply, session

    async def _call(self, login: Login, session: Session, resource: str) -> Reply:
        return await self._wire.call(login.store, login.spec.vault, "GET", resource, token=session.token)

    async def _refusal(
        self, login: Login, session: Session, reply: Reply, path: str, version: str | None
    ) -> StoreError:
        """Why a read gave no value; looks around where the answer alone does not tell."""
        if await self._other_engine(login, session, reply):
            return StoreError(Reason.STORE_KV_MISMATCH, store=login.store)
        match reply.status:
            case 403:
                given = login.spec.vault.auth.token_secret_ref is not None
                if given and not await self._lives(login, session):
                    return StoreError(Reason.STORE_LOGIN_REFUSED, store=login.store)
                return StoreError(Reason.STORE_DENIED, store=login.store, path=path)
            case 404:
                if version is not None and await self._has_other_versions(login, session, reply, path):
                    return StoreError(Reason.STORE_VERSION_NOT_FOUND, store=login.store, path=path, version=version)
                return StoreError(Reason.STORE_PATH_NOT_FOUND, store=login.store, path=path)
            case _:
                return StoreError(Reason.STORE_ANSWER_INVALID, store=login.store)

    async def _lives(self, login: Login, session: Session) -> bool:
        """The token is known to the server. The policy `default` lets it ask; one without it can read the mount."""
        for resource in ("auth/token/lookup-self", f"sys/internal/ui/mounts/{login.spec.vault.mount}"):
            if (await self._call(login, session, resource)).status == 200:
                return True
        return False

    async def _other_engine(self, login: Login, session: Session, reply: Reply) -> bool:
        """The mount is not a KV engine of the version that spec says."""
        vault = login.spec.vault
        mount = (await self._call(login, session, f"sys/internal/ui/mounts/{vault.mount}")).data
        if mount is not None and isinstance(mount.get("type"), str):
            options = mount.get("options")
            engine = str(options.get("version") or 1) if isinstance(options, dict) else "1"
            at = str(mount.get("path", "")).strip("/")
            return mount["type"] not in {"kv", "generic"} or engine != str(vault.kv_version) or at != vault.mount
        if reply.status != 404:
            return False
        if vault.kv_version == 1 and "data" in reply.body and reply.data is None:
            return bool(reply.body.get("warnings"))
        errors = reply.body.get("errors")
        return isinstance(errors, list) and any("no handler for route" in str(error) for error in errors)

    async def _has_other_versions(self, login: Login, session: Session, reply: Reply, path: str) -> bool:
        if _deleted(reply):
            return True
        newest = await self._call(login, session, f"{login.spec.vault.mount}/data/{quote(path)}")
        return newest.status == 200 or _deleted(newest)


def _deleted(reply: Reply) -> bool:
    return reply.status == 404 and reply.data is not None and isinstance(reply.data.get("metadata"), dict)


def _confine(login: Login, path: str) -> None:
    """A shared login reads below the tenant's own prefix only, whatever the schema has let through."""
    prefix = login.spec.path_prefix
    if login.shared and (prefix is None or "{namespace}/" not in prefix):
        raise StoreError(Reason.STORE_INVALID, store=login.store, field="spec.pathPrefix")
    allowed = prefix.replace("{namespace}", login.namespace) if prefix is not None else ""
    plain = all(part not in {"", ".", ".."} for part in path.split("/")) and not set(path) & set("%?#\\")
    if not plain or not path.startswith(allowed):
        raise StoreError(Reason.STORE_PATH_NOT_ALLOWED, store=login.store, prefix=allowed)
