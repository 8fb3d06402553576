"""Put the flows of the operator together: every part once, each given what it needs and nothing else."""

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from lanyard.clients.http import Outbound
from lanyard.clients.kube import Kube
from lanyard.connectors.loader import load_catalogue
from lanyard.entry.settings import SecretAccess, Settings
from lanyard.flows.acquire import Acquirer
from lanyard.flows.application import Application
from lanyard.flows.authorize import Authorizer
from lanyard.flows.authorize_device import DeviceAuthorizer
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.connect import Connect
from lanyard.flows.copies import Copies
from lanyard.flows.delete import Deletion
from lanyard.flows.duty import Confirmer
from lanyard.flows.federate import Federate
from lanyard.flows.finalizer import Finalizers
from lanyard.flows.gather import Gatherer
from lanyard.flows.gather_link import LinkGatherer
from lanyard.flows.inspect import Inspect
from lanyard.flows.issuer_fetch import IssuerFetch
from lanyard.flows.issuers import Issuers
from lanyard.flows.last_exchange import LastUses
from lanyard.flows.limits import HostLimits
from lanyard.flows.link import Link
from lanyard.flows.orphans import Orphans
from lanyard.flows.outlet import Outlet
from lanyard.flows.pages import Pages
from lanyard.flows.publish import Publisher
from lanyard.flows.refresh import Refresher
from lanyard.flows.report import Reporter
from lanyard.flows.resolve import Resolver
from lanyard.flows.settlement import Settlement
from lanyard.flows.tally import Tally
from lanyard.flows.token_endpoint import TokenEndpoint
from lanyard.flows.verify import Verify
from lanyard.flows.world import World
from lanyard.rules.schedule import Backoff
from lanyard.stores.adoption import Adopter
from lanyard.stores.cache import CredentialCache
from lanyard.stores.consents import ConsentStore
from lanyard.stores.copies import CopyStore
from lanyard.stores.grants import GrantStore
from lanyard.stores.issuer_keys import IssuerKeyStore
from lanyard.stores.keyring import Keyring
from lanyard.stores.vault import VaultReader

INTENT_LIVES = 3  # times the provider's deadline: after that, whoever wrote an intent is not at it any more
CLAIM_LIVES = 2


@dataclass(frozen=True, slots=True)
class Consents:
    """What it takes to keep what people grant: both rings, and the id of this install."""

    grant_ring: Callable[[], Keyring]
    token_ring: Callable[[], Keyring]
    install: str


@dataclass(frozen=True, slots=True)
class Flows:
    """One of each. Authorizer, grants, orphans and copies are None where consents are not set up, issuers where there
    is no gateway.
    """

    catalogue: Catalogue
    connect: Connect
    application: Application
    link: Link
    verify: Verify
    inspect: Inspect
    deletion: Deletion
    federate: Federate
    uses: LastUses
    authorizer: Authorizer | None
    grants: GrantStore | None
    orphans: Orphans | None
    issuers: Issuers | None
    copies: Copies | None


def assemble(
    settings: Settings,
    *,
    world: World,
    kube: Kube,
    outbound: Outbound,
    limits: HostLimits,
    tally: Tally,
    cache: CredentialCache,
    consents: Consents | None,
    clock: Callable[[], datetime],
    to_issuers: Outbound | None = None,
) -> Flows:
    pace = Backoff(settings.retry_first, settings.retry_longest, settings.retry_configuration)
    catalogue = Catalogue(load_catalogue(), world, issuer=settings.gateway_url)
    resolver = Resolver(
        kube=kube,
        world=world,
        cache=cache,
        vault=VaultReader(outbound),
        tally=tally,
        labels_required=settings.secret_access is SecretAccess.LABEL,
    )
    reporter = Reporter(kube, world, instance=socket.gethostname())
    publisher = Publisher(kube, world, secrets.token_bytes(32))
    endpoint = TokenEndpoint(
        resolver=resolver,
        outbound=outbound,
        limits=limits,
        tally=tally,
        deadline=settings.provider_deadline,
        clock=clock,
    )
    pages = Pages(settings.gateway_url)
    refresher, authorizer, grants, orphans, copies, finalizers = None, None, None, None, None, Finalizers(kube)
    if consents is not None:
        grants = GrantStore(kube, settings.system_namespace, consents.grant_ring, consents.install)
        orphans = Orphans(
            world=world, grants=grants, namespaces=settings.namespaces, after=settings.orphan_after, clock=clock
        )
        copies = Copies(
            kube=kube,
            world=world,
            catalogue=catalogue,
            store=CopyStore(kube, settings.exchange_namespace, consents.token_ring, consents.install),
            tally=tally,
            pace=pace,
            clock=clock,
        )
        refresher = Refresher(
            world=world,
            store=grants,
            adopter=Adopter(kube, grants),
            endpoint=endpoint,
            redirect_uri=pages.redirect_uri,
            holder=socket.gethostname(),
            intent_life=settings.provider_deadline * INTENT_LIVES,
            clock=clock,
        )
        records = ConsentStore(kube, settings.exchange_namespace, consents.token_ring)
        settlement = Settlement(
            world=world,
            catalogue=catalogue,
            consents=records,
            grants=grants,
            endpoint=endpoint,
            reporter=reporter,
            pages=pages,
            clock=clock,
        )
        device = DeviceAuthorizer(
            kube=kube,
            consents=records,
            settlement=settlement,
            finalizers=finalizers,
            endpoint=endpoint,
            clock=clock,
        )
        authorizer = Authorizer(
            kube=kube,
            consents=records,
            settlement=settlement,
            device=device,
            finalizers=finalizers,
            endpoint=endpoint,
            code_lifetime=settings.code_lifetime,
            claim_life=settings.provider_deadline * CLAIM_LIVES,
            clock=clock,
        )
    deletion = Deletion(
        world=world,
        catalogue=catalogue,
        grants=grants,
        finalizers=finalizers,
        endpoint=endpoint,
        reporter=reporter,
        deadline=settings.revocation_deadline,
        pause=settings.retry_first,
        clock=clock,
    )
    outlet = Outlet(publisher, copies, world)
    connect = Connect(
        world=world,
        gatherer=Gatherer(
            world=world,
            catalogue=catalogue,
            outlet=outlet,
            pace=pace,
            clock=clock,
            takes_consents=consents is not None,
        ),
        acquirer=Acquirer(endpoint),
        refresher=refresher,
        pages=pages,
        confirmer=Confirmer(kube, world),
        outlet=outlet,
        reporter=reporter,
        tally=tally,
        pace=pace,
        clock=clock,
    )
    application = Application(
        world=world,
        catalogue=catalogue,
        publisher=publisher,
        reporter=reporter,
        pace=pace,
        clock=clock,
        issuer=settings.gateway_url,
    )
    link = Link(
        kube=kube,
        world=world,
        gatherer=LinkGatherer(world=world, publisher=publisher, pace=pace),
        confirmer=Confirmer(kube, world),
        publisher=publisher,
        reporter=reporter,
        tally=tally,
        pace=pace,
        clock=clock,
    )
    verify = Verify(
        kube=kube,
        world=world,
        catalogue=catalogue,
        endpoint=endpoint,
        limits=limits,
        reporter=reporter,
        tally=tally,
        clock=clock,
    )
    inspect = Inspect(world=world, catalogue=catalogue, resolver=resolver, reporter=reporter, pace=pace, clock=clock)
    uses = LastUses(world, kube, settings.exchange_namespace, settings.last_exchange_interval)
    federate = Federate(
        world=world,
        catalogue=catalogue,
        uses=uses,
        reporter=reporter,
        tally=tally,
        is_served=bool(settings.gateway_url),
        clock=clock,
    )
    issuers = None
    if to_issuers is not None:
        issuers = Issuers(
            world=world,
            fetch=IssuerFetch(to_issuers, kube, clock),
            store=IssuerKeyStore(kube, settings.exchange_namespace),
            limits=limits,
            tally=tally,
            refresh=settings.issuer_refresh,
            life=settings.issuer_keys_life,
            clock=clock,
        )
    return Flows(
        catalogue=catalogue,
        connect=connect,
        application=application,
        link=link,
        verify=verify,
        inspect=inspect,
        deletion=deletion,
        federate=federate,
        uses=uses,
        authorizer=authorizer,
        grants=grants,
        orphans=orphans,
        issuers=issuers,
        copies=copies,
    )
