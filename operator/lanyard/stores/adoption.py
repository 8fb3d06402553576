"""Hand a stored grant to a Connection that was made anew, because the platform says so (DESIGN 4, Delete).

After a restore into another cluster every object has a new uid and the install a new id, so the grants that came with
the backup belong to nobody. The platform names, on the state Secret and where no tenant can write, the uid of the
Connection that may have it:

    kubectl annotate secret -n lanyard-system grant-<old uid> lanyard.dev/adopt-for=<new uid>

1. the Secret says so, and its Connection has the same namespace and name
2. it opens under the old uid, which stands in clear beside it
3. client id, redirect URI and token host are those of the Connection now
4. sealed anew under the new uid, and written under its name
5. the old one is deleted, exactly as it was read
"""

from dataclasses import dataclass
from datetime import datetime

from lanyard.api.meta import GROUP
from lanyard.clients.kube import Kube, Object
from lanyard.errors import KubernetesError, LanyardError
from lanyard.reasons import Reason
from lanyard.rules.grants import Grant, Stored
from lanyard.stores.grants import GrantStore, Held, secret_name

ADOPTED_FROM = f"{GROUP}/grant-adopted-from"
"""The uid of the state Secret that an adopted one was made of: an adoption that was cut short is finished by it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a Connection asks for now; `token_hosts` are its token endpoint's and the connector's `formerHosts`."""

    client_id: str
    redirect_uri: str
    token_hosts: frozenset[str]

    def admit(self, grant: Grant) -> bool:
        return (
            grant.client_id == self.client_id
            and grant.redirect_uri == self.redirect_uri
            and grant.token_host in self.token_hosts
        )


class Adopter:
    """Adopts into the install of `store`."""

    def __init__(self, kube: Kube, store: GrantStore) -> None:
        self._kube = kube
        self._store = store

    async def find(self, uid: str, owner: str) -> Held | None:
        """The grant that the platform gave to this Connection; one list of metadata."""
        async for held in self._store.held():
            if held.adopt_for == uid and held.owner == owner:
                return held
        return None

    async def adopt(self, held: Held, uid: str, owner: str, terms: Terms, *, now: datetime) -> Stored:
        """LanyardError: STATE_NOT_ADOPTED when it does not fit or the Connection has a grant already, KEYRING_LOST and
        STATE_INVALID when it does not open. KubernetesError 409 when it was changed meanwhile: try again.
        """
        secret = await self._kube.get(f"{self._store.path}/{held.name}")
        held = Held.of(secret["metadata"])
        if held.adopt_for != uid or held.owner != owner:
            raise LanyardError(Reason.STATE_NOT_ADOPTED)
        stored = self._store.opened(secret, held.context)
        if not terms.admit(stored.grant):
            raise LanyardError(Reason.STATE_NOT_ADOPTED)
        if held.name == secret_name(uid):
            return await self._store.write(uid, owner, stored, now=now)
        body = self._store.secret(uid, owner, stored, now=now)
        body["metadata"]["annotations"][ADOPTED_FROM] = held.secret_uid
        made = await self._made(body, held)
        try:
            await self._kube.delete(f"{self._store.path}/{held.name}", uid=held.secret_uid, version=held.version)
        except KubernetesError as error:
            if error.code == 409:
                # Somebody who still holds it has written: what was just made is a step behind.
                await self._kube.delete(f"{self._store.path}/{secret_name(uid)}", uid=made["metadata"]["uid"])
            if error.code != 404:
                raise
        return self._store.opened(made, Held.of(made["metadata"]).context)

    async def _made(self, body: Object, held: Held) -> Object:
        """The new state Secret. One that is there is ours only when it was made of this very one."""
        try:
            return await self._kube.create(self._store.path, body)
        except KubernetesError as error:
            if error.code != 409:
                raise
        made = await self._kube.get(f"{self._store.path}/{body['metadata']['name']}")
        if (made["metadata"].get("annotations") or {}).get(ADOPTED_FROM) != held.secret_uid:
            raise LanyardError(Reason.STATE_NOT_ADOPTED)
        return made
