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
from lanyard.entry.gateway_guard import Limiter, guard
from lanyard.entry.gateway_machines import MachineGuard, is_for_machines
from lanyard.entry.gateway_metadata import MetadataRoutes
from lanyard.entry.gateway_own_tokens import OwnTokenRoutes
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
from lanyard.flows.tidy import Tidy
from lanyard.flows.token_copies import CopyMirror
from lanyard.flows.view import ConnectionMirror, ConnectorMirror, CredentialMirror, LabelMirror, View
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


def assemble_gateway(
    settings: Settings,
    *,
    kube: Kube,
    rings: GatewayRings,
    live: Callable[[], bool],
    clock: Callable[[], datetime],
) -> GatewayParts:
    shared = settings.exchange_namespace
    view, copies, key_sets, labels = View(), CopyMirror(), KeySetMirror(), LabelMirror()
    catalogue = Catalogue(load_catalogue(), view.world, issuer=settings.gateway_url)
    consents = Tidy(kube, shared, EXPIRES_ANNOTATION, clock)
    spent = Tidy(kube, shared, UNTIL_ANNOTATION, clock)
    last_use = LastUse(kube, shared, socket.gethostname())
    pages = GatewayRoutes(
        flow=ConsentFlow(
            kube=kube,
            view=view,
            catalogue=catalogue,
            store=ConsentStore(kube, shared, rings.token.current),
            clock=clock,
            gateway_url=settings.gateway_url,
            exchange_namespace=shared,
        ),
        keyring=rings.token.current,
        clock=clock,
        live=live,
        per_browser=settings.gateway_browser_requests_per_minute,
    )
    exchange = Exchange(
        view=view,
        key_sets=KeySets(
            key_sets,
            IssuerKeyStore(kube, shared),
            clock,
            life=settings.issuer_keys_life,
            pause=settings.issuer_refetch_pause,
        ),
        mint=Mint(
            catalogue=catalogue,
            labels=labels.known,
            ring=rings.signing_ring,
            issuer=settings.gateway_url,
            lifetime=settings.token_lifetime,
        ),
        copies=copies,
        keyring=rings.token.current,
        spent=SpentStore(kube, shared),
        clients=Limiter(settings.exchange_client_requests_per_minute),
        namespaces=Limiter(settings.exchange_namespace_requests_per_minute),
        used=last_use.note,
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
    pages.add_to(app)
    TokenRoutes(exchange).add_to(app)
    MetadataRoutes(settings.gateway_url, rings.signing_ring if rings.signing is not None else None).add_to(app)
    revocations = Revocations(SpentStore(kube, shared), spent, settings.gateway_url)
    own = OwnTokens(
        keys=lambda: rings.signing_ring().keys,
        revocations=revocations,
        view=view,
        issuer=settings.gateway_url,
        clock=clock,
    )
    OwnTokenRoutes(own, exchange).add_to(app)
    group, secrets = f"/apis/{API_VERSION}", f"/api/v1/namespaces/{shared}/secrets"
    reflectors: list[Reflector[Any]] = [
        Reflector(kube, f"{group}/connectors", ConnectorMirror(view.world), metadata_only=False),
        Reflector(kube, "/api/v1/namespaces", labels),
        Reflector(kube, secrets, consents, selector=CONSENT_LABEL),
        Reflector(kube, secrets, spent, selector=SPENT_LABEL),
        Reflector(kube, secrets, copies, selector=COPY_LABEL, metadata_only=False),
        Reflector(kube, secrets, key_sets, selector=ISSUER_KEYS_LABEL, metadata_only=False),
    ]
    for namespace in settings.namespaces or ("",):
        place = f"{group}/namespaces/{namespace}" if namespace else group
        reflectors += [
            Reflector(kube, f"{place}/connections", ConnectionMirror(view, namespace), metadata_only=False),
            Reflector(kube, f"{place}/federatedcredentials", CredentialMirror(view), metadata_only=False),
        ]
    chores = [
        ("tidy", consents.run(TIDY_SECONDS)),
        ("tidy", spent.run(TIDY_SECONDS)),
        ("last use", last_use.run(settings.last_use_interval.total_seconds())),
    ]
    return GatewayParts(app, reflectors, chores, last_use)
