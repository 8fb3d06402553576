"""Logins to Vault or OpenBao: how each is made, and the tokens kept, encrypted, for 90 % of their lease."""

import json
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lanyard.api.meta import PlatformSecretKeyRef
from lanyard.api.store import AppRoleAuth, JwtAuth, KubernetesAuth, StoreSpec
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores.sealed import Flights, SealedBox
from lanyard.stores.vault_wire import Reply, Wire

KEPT = 4096
LEASE_SHARE = 0.9
LONGEST_SECONDS = 3600.0  # a role that was narrowed takes effect within this time

Present = Callable[[str], Awaitable[Sensitive]]
SharedSecret = Callable[[PlatformSecretKeyRef], Awaitable[Sensitive]]


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks which store. `store_id` is uid and generation; `namespace` the tenant's; `service_account` its own.

    `present(audience)` gives a token of that ServiceAccount; `shared_secret(ref)` reads a Secret of the platform.
    """

    store: str
    store_id: str
    spec: StoreSpec
    namespace: str
    service_account: str
    present: Present = field(repr=False)
    shared_secret: SharedSecret = field(repr=False)

    @property
    def shared(self) -> bool:
        """All tenants of the store use the same login."""
        auth = self.spec.vault.auth
        return auth.app_role is not None or auth.token_secret_ref is not None


@dataclass(frozen=True, slots=True)
class Session:
    """A token to call with. `number` tells it from the ones before and after; `fresh`: made just now."""

    token: Sensitive
    number: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    sealed: bytes
    number: int
    ends: float


class Sessions:
    """The tokens of this process, one per store and ServiceAccount, one per store for shared logins."""

    def __init__(self, wire: Wire, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._wire = wire
        self._clock = clock
        self._box = SealedBox()
        self._flights = Flights()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._number = 0
        self.logins = 0

    async def get(self, login: Login) -> Session:
        """A kept session, else a new one. StoreError when the store refuses."""
        ref = login.spec.vault.auth.token_secret_ref
        if ref is not None:
            token = _header_safe(await login.shared_secret(ref), login)
            return Session(token, 0, fresh=True)
        key = _key(login)
        async with self._flights.alone(key):
            kept = self._kept.get(key)
            if kept is not None and self._clock() < kept.ends:
                self._kept.move_to_end(key)
                plain = self._box.open(kept.sealed, _bound_to(key))
                return Session(Sensitive(plain.decode()), kept.number, fresh=False)
            return await self._log_in(login, key)

    def drop(self, login: Login, session: Session) -> None:
        """The store no longer takes this session; one that was made since stays."""
        kept = self._kept.get(_key(login))
        if kept is not None and kept.number == session.number:
            del self._kept[_key(login)]

    async def _log_in(self, login: Login, key: tuple[str, str]) -> Session:
        mount, body = await _credentials(login)
        began = self._clock()
        reply = await self._wire.call(login.store, login.spec.vault, "POST", f"auth/{mount}/login", body=body)
        token, lease = _token(reply, login)
        self.logins += 1
        self._number += 1
        seconds = min(lease * LEASE_SHARE, LONGEST_SECONDS)
        sealed = self._box.seal(token.reveal().encode(), _bound_to(key))
        self._kept[key] = _Kept(sealed, self._number, began + seconds)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return Session(token, self._number, fresh=True)


def _key(login: Login) -> tuple[str, str]:
    return login.store_id, "" if login.shared else login.service_account


def _bound_to(key: tuple[str, str]) -> bytes:
    return json.dumps(key).encode()


async def _credentials(login: Login) -> tuple[str, dict[str, str]]:
    """The mount of the auth method and the body of its login."""
    auth = login.spec.vault.auth
    match auth.kubernetes or auth.jwt or auth.app_role:
        case (
            KubernetesAuth(mount=mount, role=role, audience=audience)
            | JwtAuth(mount=mount, role=role, audience=audience)
        ):
            return mount, {"role": role, "jwt": (await login.present(audience)).reveal()}
        case AppRoleAuth(mount=mount, role_id=role_id, secret_id_ref=ref):
            # Files put into Secrets often end in a newline; a secret id never does.
            return mount, {"role_id": role_id, "secret_id": (await login.shared_secret(ref)).reveal().strip()}
        case None:
            raise StoreError(Reason.STORE_INVALID, store=login.store, field="spec.vault.auth")


def _token(reply: Reply, login: Login) -> tuple[Sensitive, float]:
    """Token and lease in seconds. Every refusal is 400 or 403, whatever was wrong: role, token, audience or mount."""
    if reply.status >= 400:
        raise StoreError(Reason.STORE_LOGIN_REFUSED, store=login.store)
    auth = reply.body.get("auth")
    token, lease = (auth.get("client_token"), auth.get("lease_duration")) if isinstance(auth, dict) else (None, None)
    if not isinstance(token, str) or not isinstance(lease, int):
        raise StoreError(Reason.STORE_ANSWER_INVALID, store=login.store)
    return _header_safe(Sensitive(token), login), lease if lease > 0 else math.inf


def _header_safe(token: Sensitive, login: Login) -> Sensitive:
    text = token.reveal().strip()
    if not text or not all("!" <= character <= "~" for character in text):
        raise StoreError(Reason.STORE_LOGIN_REFUSED, store=login.store)
    return Sensitive(text)
