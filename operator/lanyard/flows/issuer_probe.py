"""Whether an issuer's keys can be fetched from here, right now: what the REST API asks before it writes a credential.

It decides on an answer and on nothing else: keys that JWTs are verified with come from the operator, never from here.
"""

import asyncio
from typing import Protocol

from lanyard.errors import LanyardError
from lanyard.flows.issuer_fetch import IssuerFetch, KeySource

LONGEST_PROBE = 5.0


class Probe(Protocol):
    """`jwks_uri` takes the place of the discovery document, `ca` (PEM) that of the public trust."""

    async def __call__(self, issuer: str, *, jwks_uri: str | None, ca: str | None) -> bool: ...


class IssuerProbe:
    """Fetches as the operator will, and keeps nothing."""

    def __init__(self, fetch: IssuerFetch, *, seconds: float = LONGEST_PROBE) -> None:
        self._fetch = fetch
        self._seconds = seconds

    async def __call__(self, issuer: str, *, jwks_uri: str | None, ca: str | None) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                await self._fetch.fetch(KeySource(issuer, jwks_uri, ca))
        except (LanyardError, TimeoutError):
            return False
        return True
