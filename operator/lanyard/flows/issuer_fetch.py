"""Fetch an issuer's keys, from where a FederatedCredential says.

1. `jwksURI`, where it is given
2. the API server, for the cluster's own issuer: its address is private by nature
3. else the discovery document, which must name this very issuer, and the address that it gives

Every host here is one that a tenant chose, so the egress policy holds for each address, and no redirect is followed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from lanyard.clients.egress import is_loopback
from lanyard.clients.http import Answer, FailureKind, Outbound, OutboundError, Request
from lanyard.clients.kube import KEY_SET, Kube
from lanyard.errors import KubernetesError, ProviderError, unavailable
from lanyard.oauth.issuers import PublishedKeys, discovery_address, host_of, keys_address, published_keys
from lanyard.reasons import Reason
from lanyard.stores.issuer_keys import key_set_name

DEADLINE = 5.0
"""Seconds for one document, connecting included."""
CONNECT_SECONDS = 2.0
CLUSTER_ISSUER_LIFE = timedelta(minutes=10)
_DISCOVERY, _KEYS = "discovery document", "keys"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where an issuer's keys come from. `ca_bundle` (PEM) is then the only thing its hosts are trusted by."""

    issuer: str
    jwks_uri: str | None = None
    ca_bundle: str | None = None

    @property
    def name(self) -> str:
        return key_set_name(self.issuer, self.jwks_uri, self.ca_bundle)


class IssuerFetch:
    """Fetches through `outbound`, and from the API server by `kube`."""

    def __init__(self, outbound: Outbound, kube: Kube, clock: Callable[[], datetime]) -> None:
        self._outbound = outbound
        self._kube = kube
        self._clock = clock
        self._own: str | None = None
        self._own_known_at: datetime | None = None

    async def fetch(self, source: KeySource) -> PublishedKeys:
        """LanyardError with the reason why there are none. SteppedBackError passes."""
        if source.jwks_uri is not None:
            return await self._keys(source, source.jwks_uri)
        if await self._is_own(source.issuer):
            return await self._own_keys(source.issuer)
        try:
            found = await self._get(source, discovery_address(source.issuer), _DISCOVERY)
        except ValueError:
            raise _no_url(source.issuer) from None
        address = keys_address(found.body, source.issuer)
        if address.startswith("http:") and not is_loopback(urlsplit(address).hostname or ""):
            raise _no_url(source.issuer)
        return await self._keys(source, address)

    async def _keys(self, source: KeySource, address: str) -> PublishedKeys:
        host = host_of(address)
        try:
            found = await self._get(source, address, _KEYS)
        except ValueError:
            raise ProviderError(Reason.ISSUER_KEYS_INVALID, host=host, what="their address is not a URL") from None
        return published_keys(found.body, host, found.headers.get("cache-control", ""))

    async def _get(self, source: KeySource, address: str, document: str) -> Answer:
        """ValueError for an address that is no URL."""
        request = Request("GET", address, {"Accept": "application/json, application/jwk-set+json"})
        try:
            answer = await self._outbound.send(request, deadline=DEADLINE, guard=True, ca=source.ca_bundle)
        except OutboundError as failure:
            raise _refused(failure, document) from None
        if answer.status == 429 or answer.status >= 500:
            raise ProviderError(Reason.ISSUER_UNREACHABLE, host=host_of(address), status=answer.status)
        if answer.status != 200:
            raise ProviderError(
                Reason.ISSUER_DOCUMENT_MISSING, host=host_of(address), document=document, status=answer.status
            )
        return answer

    async def _is_own(self, issuer: str) -> bool:
        """Whether tokens of this name are those of ServiceAccounts here."""
        now = self._clock()
        if self._own_known_at is None or now - self._own_known_at > CLUSTER_ISSUER_LIFE:
            try:
                self._own = str((await self._kube.get("/.well-known/openid-configuration")).get("issuer"))
            except KubernetesError as error:
                if error.code not in {403, 404}:  # a cluster that tells nobody
                    raise unavailable(error) from None
                self._own = None
            self._own_known_at = now
        return issuer == self._own

    async def _own_keys(self, issuer: str) -> PublishedKeys:
        try:
            document: dict[str, Any] = await self._kube.get("/openid/v1/jwks", accept=KEY_SET)
        except KubernetesError as error:
            raise unavailable(error) from None
        return published_keys(json.dumps(document, separators=(",", ":")).encode(), host_of(issuer))


def _no_url(issuer: str) -> ProviderError:
    return ProviderError(Reason.ISSUER_DISCOVERY_INVALID, host=host_of(issuer), what="its jwks_uri is not an https URL")


def _refused(failure: OutboundError, document: str) -> ProviderError:
    match failure.kind:
        case FailureKind.NOT_ALLOWED:
            return ProviderError(Reason.EGRESS_NOT_ALLOWED, host=failure.host)
        case FailureKind.TLS:
            return ProviderError(Reason.ISSUER_TLS_FAILED, host=failure.host)
        case FailureKind.TOO_LARGE if document is _DISCOVERY:
            return ProviderError(Reason.ISSUER_DISCOVERY_INVALID, host=failure.host, what="it is larger than 64 KiB")
        case FailureKind.TOO_LARGE:
            return ProviderError(Reason.ISSUER_KEYS_INVALID, host=failure.host, what="they are larger than 256 KiB")
        case FailureKind.UNREACHABLE | FailureKind.TIMED_OUT | FailureKind.RESET_AFTER_SEND:
            return ProviderError(Reason.ISSUER_UNREACHABLE, host=failure.host, status="no answer")
