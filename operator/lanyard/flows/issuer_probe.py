"""Whether an issuer's keys can be fetched from here, right now: what the REST API asks before it writes a credential.

It decides on an answer and on nothing else: keys that JWTs are verified with come from the operator, never from here.
"""

import asyncio
from typing import Protocol

from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError
from lanyard.flows.issuer_fetch import IssuerFetch, KeySource
from lanyard.reasons import Reason

LONGEST_PROBE = 5.0
"""Seconds in all: discovery and keys together."""


class Probe(Protocol):
    async def __call__(self, source: KeySource) -> Reason | None:
        """Why there are no keys; None when there are. KubernetesError when only the API server could have said."""


class IssuerProbe:
    """By the same steps as the operator, and so with the same outcome."""

    def __init__(self, fetch: IssuerFetch, *, seconds: float = LONGEST_PROBE) -> None:
        self._fetch = fetch
        self._seconds = seconds

    async def __call__(self, source: KeySource) -> Reason | None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._fetch.fetch(source)
        except TimeoutError:
            return Reason.ISSUER_UNREACHABLE
        except LanyardError as error:
            if error.reason is Reason.KUBERNETES_UNAVAILABLE:
                raise KubernetesError(KubernetesStatus(503), error.retry_after) from None
            return error.reason
        return None
