"""Lanyard's own access tokens after they were handed out: whether one is live, who may be told, and its revocation.

A token says itself until when it is good, and a resource server that checks its signature asks nobody. Who asks here
learns more: a token is dead as soon as it was revoked, its application or its credential is suspended or gone.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import TTLCache

from lanyard.flows.view import SeenConnection, View
from lanyard.oauth.flaws import PresentedError
from lanyard.oauth.minting import Minted, SigningKey, opened
from lanyard.stores.spent import SpentKind, SpentStore, spent_name

_KEPT = 10_000
_UNTIL_SEEN = 60.0
"""Seconds in which the watch tells of a mark that was written here."""
INACTIVE: Mapping[str, Any] = {"active": False}


@dataclass(frozen=True, slots=True)
class Asker:
    """An application that has proved who it is. `client_id` is a Connection's uid."""

    client_id: str
    namespace: str


class Revocations:
    """Tokens that were revoked, at whichever gateway. `known` are the names of the marks that are there."""

    def __init__(self, store: SpentStore, known: Container[str], issuer: str) -> None:
        self._store = store
        self._known = known
        self._issuer = issuer
        self._fresh: TTLCache[str, None] = TTLCache(_KEPT, _UNTIL_SEEN)

    def is_revoked(self, token_id: str) -> bool:
        name = spent_name(SpentKind.REVOKED, self._issuer, token_id)
        return name in self._fresh or name in self._known

    async def revoke(self, token: Minted) -> None:
        """KubernetesError passes: then it is not revoked."""
        await self._store.spend(SpentKind.REVOKED, self._issuer, token.token_id, token.expires_at)
        self._fresh[spent_name(SpentKind.REVOKED, self._issuer, token.token_id)] = None


class OwnTokens:
    """`keys` gives our keys by key id, also those that do not sign yet or any more."""

    def __init__(
        self,
        *,
        keys: Callable[[], Mapping[str, SigningKey]],
        revocations: Revocations,
        view: View,
        issuer: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._view = view
        self._issuer = issuer
        self._clock = clock

    def live(self, unverified_token: str) -> Minted | None:
        """What a token says; None for one that is not ours, has ended, was revoked or has lost what it was given for.

        LanyardError KEYRING_LOST where there is no usable ring.
        """
        now = self._clock()
        try:
            token = opened(unverified_token, self._keys(), issuer=self._issuer, now=now)
        except PresentedError:
            return None
        client = self._view.applications.get(token.client_id)
        if client is None or client.going or client.suspended:
            return None
        if not self._is_founded(token, client, now) or self._revocations.is_revoked(token.token_id):
            return None
        return token

    def told(self, asker: Asker, unverified_token: str) -> Mapping[str, Any]:
        """The answer to an introspection (RFC 7662 2.2): to the token's owner, and to whom it was made for."""
        token = self.live(unverified_token)
        if token is None or not self._may_know(asker, token):
            return INACTIVE
        return {
            "active": True,
            "iss": token.issuer,
            "sub": token.client_id,
            "aud": token.audiences[0] if len(token.audiences) == 1 else token.audiences,
            "client_id": token.client_id,
            "namespace": token.namespace,
            "scope": " ".join(token.scopes),
            "token_type": "Bearer",
            "iat": int(token.issued_at.timestamp()),
            "exp": int(token.expires_at.timestamp()),
            "jti": token.token_id,
        }

    async def revoke(self, unverified_token: str) -> tuple[Minted, str] | None:
        """Whoever holds a token may end it (RFC 7009 2.1). None when there is nothing to end, else it and its owner.

        One write for a token, however often it is asked for. KubernetesError passes.
        """
        token = self.live(unverified_token)
        if token is None:
            return None
        owner = self._view.applications[token.client_id].owner
        await self._revocations.revoke(token)
        return token, owner

    def _is_founded(self, token: Minted, client: SeenConnection, now: datetime) -> bool:
        """Whether the credential that the token was given for is still there and good."""
        if token.credential is None:
            return True
        return any(
            one.uid == token.credential and not one.suspended and (one.expires_at is None or one.expires_at > now)
            for one in self._view.credentials.of(client.namespace, client.name)
        )

    def _may_know(self, asker: Asker, token: Minted) -> bool:
        made_for = {asker.client_id, f"{self._issuer}/{asker.namespace}"}
        return asker.client_id == token.client_id or not made_for.isdisjoint(token.audiences)
