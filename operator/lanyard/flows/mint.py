"""Access tokens of Lanyard's own: who may have which, and making one. ES256, RFC 9068."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache

from lanyard.connectors.loader import Connector
from lanyard.errors import LanyardError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.view import SeenConnection
from lanyard.oauth.minting import SigningKey, access_token
from lanyard.reasons import Reason
from lanyard.rules.minting import Mintable
from lanyard.rules.trust import Credential
from lanyard.sensitive import Sensitive
from lanyard.stores.keyring import KeyringError
from lanyard.stores.signing import SigningRing

KEPT_JUDGED = 10_000
_TOKEN_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Handed:
    """A token that is handed out. `expires_in` is None for one whose end nobody knows."""

    access_token: Sensitive
    token_type: str
    expires_in: int | None
    scopes: tuple[str, ...]
    token_id: str
    """`jti` of a token of our own; empty for a Connection's."""


class Mint:
    """`ring` gives the signing keys as they are now; `labels` the labels of namespaces, as far as they are known."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        labels: Mapping[str, Mapping[str, str]],
        ring: Callable[[], SigningRing],
        issuer: str,
        lifetime: timedelta,
    ) -> None:
        self._catalogue = catalogue
        self._labels = labels
        self._ring = ring
        self._issuer = issuer
        self._lifetime = lifetime
        # What was judged by, and the judgement: a connector or labels that change are other objects.
        self._judged: LRUCache[tuple[str, str], tuple[Connector, Mapping[str, str] | None, Mintable]]
        self._judged = LRUCache(KEPT_JUDGED)

    def mintable(self, client: SeenConnection) -> Mintable | None:
        """None for a Connection whose tokens are another system's. LanyardError when its connector cannot be used."""
        connector, labels = self._catalogue.find(client.connector), self._labels.get(client.namespace)
        mints = connector.spec.mints
        if mints is None:
            return None
        place = connector.name, client.namespace
        seen = self._judged.get(place)
        if seen is not None and seen[0] is connector and seen[1] is labels:
            return seen[2]
        found = Mintable.of(mints, client.namespace, labels, self._issuer)
        self._judged[place] = connector, labels, found
        return found

    def mint(
        self, client: SeenConnection, credential: Credential, *, audience: str, scopes: tuple[str, ...], now: datetime
    ) -> Handed:
        """LanyardError KEYRING_LOST when there is no usable key."""
        token_id = secrets.token_urlsafe(_TOKEN_ID_BYTES)
        token = access_token(
            self._key(now),
            issuer=self._issuer,
            audience=audience,
            client_id=client.uid,
            namespace=client.namespace,
            scope=" ".join(scopes),
            token_id=token_id,
            issued_at=now,
            lifetime=self._lifetime,
            credential=credential.uid,
        )
        return Handed(Sensitive(token), "Bearer", int(self._lifetime.total_seconds()), scopes, token_id)

    def _key(self, now: datetime) -> SigningKey:
        try:
            return self._ring().signing_key(now)
        except KeyringError:
            raise LanyardError(Reason.KEYRING_LOST, key="signing") from None
