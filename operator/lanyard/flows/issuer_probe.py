"""Whether an issuer's keys can be fetched from here, right now: what the REST API asks before it writes a credential.

It decides on an answer and on nothing else: keys that JWTs are verified with come from the operator, never from here.
"""

import asyncio
from typing import Protocol

from lanyard.clients.http import Outbound, OutboundError, Request
from lanyard.oauth.documents import Document, parse_object

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
                keys = (await self._document(jwks_uri, ca)).get("keys")
        except (OutboundError, TimeoutError, ValueError):
            return False
        return isinstance(keys, list) and any(isinstance(key, dict) and key.get("kty") for key in keys)

    async def _document(self, url: str, ca: str | None) -> Document:
        """ValueError for anything but a JSON object with status 200."""
        request = Request("GET", url, {"Accept": "application/json"})
        answer = await self._outbound.send(request, deadline=self._seconds, guard=True, ca=ca)
        document = parse_object(answer.body) if answer.status == 200 else None
        if document is None:
            raise ValueError("not a document") from None
        return document
