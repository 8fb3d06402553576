"""Put the parts of the gateway together: what it mirrors, what it answers, what it does now and then."""

import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from lanyard.api.meta import API_VERSION, CONSENT_LABEL, COPY_LABEL, ISSUER_KEYS_LABEL, SPENT_LABEL
from lanyard.clients.kube import Kube
from lanyard.clients.reflector import Reflector
from lanyard.connectors.loader import load_catalogue
from lanyard.entry.gateway_api import add_api_routes
from lanyard.entry.gateway_guard import Limiter, guard
from lanyard.entry.gateway_machines import MachineGuard, is_for_machines
from lanyard.entry.gateway_metadata import MetadataRoutes
from lanyard.entry.gateway_own_tokens import OwnTokenRoutes
from lanyard.entry.gateway_rest import assemble_rest
from lanyard.entry.gateway_routes import LARGEST_BODY, GatewayRoutes
from lanyard.entry.gateway_token import TokenRoutes
from lanyard.entry.settings import Settings
from lanyard.errors import LanyardError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.consent import ConsentFlow
from lanyard.flows.exchange import Exchange
from lanyard.flows.key_sets import KeySetMirror, KeySets
from lanyard.flows.last_use import LastUse
from lanyard.flows.mint import Mint
from lanyard.flows.own_tokens import OwnTokens, Revocations
from lanyard.flows.tally import Tally
from lanyard.flows.tidy import Tidy
from lanyard.flows.token_copies import CopyMirror
from lanyard.flows.view import (
    ConnectionMirror,
    ConnectorMirror,
    CredentialMirror,
    LabelMirror,
    SeenConnection,
    View,
)
from lanyard.reasons import Reason
from lanyard.stores.consents import EXPIRES_ANNOTATION, ConsentStore
from lanyard.stores.issuer_keys import IssuerKeyStore
from lanyard.stores.keyring_file import KeyringFile
from lanyard.stores.signing import SigningFile, SigningRing
from lanyard.stores.spent import UNTIL_ANNOTATION, SpentStore

TIDY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class GatewayRings:
    """`signing` is None where no ring is given: then only tokens of Connections are handed out."""

    token: KeyringFile
    signing: SigningFile | None

    def signing_ring(self) -> SigningRing:
        if self.signing is None:
            raise LanyardError(Reason.KEYRING_LOST, key="signing")
        return self.signing.current()


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """`chores` run for as long as the gateway does."""

    app: web.Application
    reflectors: list[Reflector[Any]]
    chores: list[tuple[str, Coroutine[Any, Any, None]]]
    last_use: LastUse
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Given:
    """What every part is given."""

    settings: Settings
    kube: Kube
    rings: GatewayRings
    catalogue: Catalogue
    live: Callable[[], bool]
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Knowledge:
    """What is mirrored of the cluster."""

    view: View
    labels: LabelMirror
    copies: CopyMirror
    key_sets: KeySetMirror
    consents: Tidy
    spent: Tidy

    def application(self, namespace: str, client_id: str) -> SeenConnection | None:
        """The Connection of a namespace with this uid."""
        found = self.view.applications.get(client_id)
        return found if found is not None and found.namespace == namespace else None


def assemble_gateway(
    settings: Settings,
    *,
    kube: Kube,
    rings: GatewayRings,
    live: Callable[[], bool],
    clock: Callable[[], datetime],
) -> GatewayParts:
    shared = settings.exchange_namespace
    known = _Knowledge(
        view=View(),
        labels=LabelMirror(),
        copies=CopyMirror(),
        key_sets=KeySetMirror(),
        consents=Tidy(kube, shared, EXPIRES_ANNOTATION, clock),
        spent=Tidy(kube, shared, UNTIL_ANNOTATION, clock),
    )
    catalogue = Catalogue(load_catalogue(), known.view.world, issuer=settings.gateway_url)
    last_use = LastUse(kube, shared, socket.gethostname())
    given = _Given(settings, kube, rings, catalogue, live, clock)
    exchange = _exchange(given, known, last_use)
    revocations = Revocations(SpentStore(kube, shared), known.spent, settings.gateway_url)
    own = OwnTokens(
        keys=lambda: rings.signing_ring().keys,
        revocations=revocations,
        view=known.view,
        issuer=settings.gateway_url,
        clock=clock,
    )
    rest = assemble_rest(
        settings,
        kube=kube,
        applications=known.application,
        # Without a ring no token is ours.
        live=own.live if rings.signing is not None else lambda _: None,
        clock=clock,
    )
    machines = MachineGuard(settings.exchange_address_requests_per_minute, settings.gateway_proxies, live)
    first = guard(
        Limiter(settings.gateway_requests_per_minute),
        settings.gateway_proxies,
        live,
        is_for_machines=is_for_machines,
        machines=machines.answer,
    )
    app = web.Application(middlewares=[first], client_max_size=LARGEST_BODY)
    _pages(given, known).add_to(app)
    tally = Tally()
    TokenRoutes(exchange, tally).add_to(app)
    MetadataRoutes(settings.gateway_url, rings.signing_ring if rings.signing is not None else None).add_to(app)
    OwnTokenRoutes(own, exchange).add_to(app)
    add_api_routes(app, rest.routes if rest is not None else None)
    chores = [
        ("tidy", known.consents.run(TIDY_SECONDS)),
        ("tidy", known.spent.run(TIDY_SECONDS)),
        ("last use", last_use.run(settings.last_use_interval.total_seconds())),
    ]
    reflectors = _reflectors(settings, kube, known)
    if rest is not None:
        reflectors += rest.reflectors
        chores.append(("issuers", rest.chore))
    return GatewayParts(app, reflectors, chores, last_use, tally)


def _reflectors(settings: Settings, kube: Kube, known: _Knowledge) -> list[Reflector[Any]]:
    group, secrets = f"/apis/{API_VERSION}", f"/api/v1/namespaces/{settings.exchange_namespace}/secrets"
    found: list[Reflector[Any]] = [
        Reflector(kube, f"{group}/connectors", ConnectorMirror(known.view.world), metadata_only=False),
        Reflector(kube, "/api/v1/namespaces", known.labels),
        Reflector(kube, secrets, known.consents, selector=CONSENT_LABEL),
        Reflector(kube, secrets, known.spent, selector=SPENT_LABEL),
        Reflector(kube, secrets, known.copies, selector=COPY_LABEL, metadata_only=False),
        Reflector(kube, secrets, known.key_sets, selector=ISSUER_KEYS_LABEL, metadata_only=False),
    ]
    for namespace in settings.namespaces or ("",):
        place = f"{group}/namespaces/{namespace}" if namespace else group
        found += [
            Reflector(kube, f"{place}/connections", ConnectionMirror(known.view, namespace), metadata_only=False),
            Reflector(kube, f"{place}/federatedcredentials", CredentialMirror(known.view), metadata_only=False),
        ]
    return found


def _pages(given: _Given, known: _Knowledge) -> GatewayRoutes:
    settings, rings = given.settings, given.rings
    return GatewayRoutes(
        flow=ConsentFlow(
            kube=given.kube,
            view=known.view,
            catalogue=given.catalogue,
            store=ConsentStore(given.kube, settings.exchange_namespace, rings.token.current),
            clock=given.clock,
            gateway_url=settings.gateway_url,
            exchange_namespace=settings.exchange_namespace,
        ),
        keyring=rings.token.current,
        clock=given.clock,
        live=given.live,
        per_browser=settings.gateway_browser_requests_per_minute,
    )


def _exchange(given: _Given, known: _Knowledge, last_use: LastUse) -> Exchange:
    settings, kube, rings = given.settings, given.kube, given.rings
    return Exchange(
        view=known.view,
        key_sets=KeySets(
            known.key_sets,
            IssuerKeyStore(kube, settings.exchange_namespace),
            given.clock,
            life=settings.issuer_keys_life,
            pause=settings.issuer_refetch_pause,
        ),
        mint=Mint(
            catalogue=given.catalogue,
            labels=known.labels.known,
            ring=rings.signing_ring,
            issuer=settings.gateway_url,
            lifetime=settings.token_lifetime,
        ),
        copies=known.copies,
        keyring=rings.token.current,
        spent=SpentStore(kube, settings.exchange_namespace),
        clients=Limiter(settings.exchange_client_requests_per_minute),
        namespaces=Limiter(settings.exchange_namespace_requests_per_minute),
        used=last_use.note,
        clock=given.clock,
    )
