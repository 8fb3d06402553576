"""Whether an issuer's keys can be fetched from here, right now: what the REST API asks before it writes a credential.

It decides on an answer and on nothing else: keys that JWTs are verified with come from the operator, never from here.
"""

import asyncio
from typing import Protocol

from lanyard.clients.http import Outbound, OutboundError, Request
from lanyard.oauth.documents import Document, parse_object
from lanyard.oauth.jwk import KeySet, KeySetError

LONGEST_PROBE = 5.0
_DISCOVERY = "/.well-known/openid-configuration"


class Probe(Protocol):
    """`jwks_uri` takes the place of the discovery document, `ca` (PEM) that of the public trust."""

    async def __call__(self, issuer: str, *, jwks_uri: str | None, ca: str | None) -> bool: ...


class IssuerProbe:
    """OpenID Connect Discovery 1.0, 4: the document names the issuer byte for byte, and its `jwks_uri` has keys."""

    def __init__(self, outbound: Outbound, *, seconds: float = LONGEST_PROBE) -> None:
        self._outbound = outbound
        self._seconds = seconds

    async def __call__(self, issuer: str, *, jwks_uri: str | None, ca: str | None) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                if jwks_uri is None:
                    # Section 4.1: a slash at the end of the issuer is not doubled.
                    document = await self._document(issuer.removesuffix("/") + _DISCOVERY, ca)
                    if document.get("issuer") != issuer or not isinstance(document.get("jwks_uri"), str):
                        return False
                    jwks_uri = document["jwks_uri"]
                keys = KeySet.of(await self._fetched(jwks_uri, ca))
        except (OutboundError, TimeoutError, KeySetError, ValueError):
            return False
        return bool(keys.keys)

    async def _document(self, url: str, ca: str | None) -> Document:
        document = parse_object(await self._fetched(url, ca))
        if document is None:
            raise ValueError("not a document") from None
        return document

    async def _fetched(self, url: str, ca: str | None) -> bytes:
        """ValueError for any status but 200: a redirect may lead to whoever runs another part of that host."""
        request = Request("GET", url, {"Accept": "application/json"})
        answer = await self._outbound.send(request, deadline=self._seconds, guard=True, ca=ca)
        if answer.status != 200:
            raise ValueError("not a document") from None
        return answer.body
