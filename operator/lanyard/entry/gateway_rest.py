"""Put the REST API together. The gateway reaches issuers for it, and only then."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanyard.api.federation import FEDERATED_CREDENTIAL
from lanyard.api.meta import API_VERSION
from lanyard.clients.http import Outbound
from lanyard.clients.kube import Kube
from lanyard.clients.reflector import Reflector
from lanyard.clients.reviews import Reviews
from lanyard.entry.gateway_api import ApiRoutes, Quotas
from lanyard.entry.outbound import outbound_of
from lanyard.entry.settings import Settings
from lanyard.flows.callers import Callers
from lanyard.flows.credential_mirror import CredentialView, KnownCredentials
from lanyard.flows.issuer_fetch import IssuerFetch
from lanyard.flows.issuer_probe import IssuerProbe
from lanyard.flows.manage import Applications, Manager
from lanyard.oauth.minting import Minted

_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class RestParts:
    """`chore` runs for as long as the gateway does."""

    routes: ApiRoutes
    reflectors: list[Reflector[Any]]
    chore: Coroutine[Any, Any, None]


def assemble_rest(
    settings: Settings,
    *,
    kube: Kube,
    applications: Applications,
    live: Callable[[str], Minted | None],
    clock: Callable[[], datetime],
) -> RestParts | None:
    """None when the setting leaves it off. `live` says what a token of ours says, if it is one."""
    if not settings.rest_api:
        return None
    outbound, known = outbound_of(settings), CredentialView()
    manager = Manager(
        kube=kube,
        applications=applications,
        credentials=known,
        probe=IssuerProbe(IssuerFetch(outbound, kube, clock)),
        new_name=lambda: f"fc-{secrets.token_hex(_NAME_BYTES)}",
    )
    callers = Callers(reviews=Reviews(kube), live=live, issuer=settings.gateway_url)
    quotas = Quotas(
        reads=settings.rest_api_reads, creations=settings.rest_api_creations, changes=settings.rest_api_changes
    )
    group = f"/apis/{API_VERSION}"
    places = [(one, f"{group}/namespaces/{one}") for one in settings.namespaces] or [("", group)]
    reflectors: list[Reflector[Any]] = [
        Reflector(
            kube, f"{path}/{FEDERATED_CREDENTIAL.plural}", KnownCredentials(known, namespace), metadata_only=False
        )
        for namespace, path in places
    ]
    return RestParts(ApiRoutes(manager, callers, quotas), reflectors, _kept_open(outbound))


async def _kept_open(outbound: Outbound) -> None:
    async with outbound:
        await asyncio.Event().wait()
