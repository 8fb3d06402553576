"""Consents without a browser: records as the gateway leaves them once the provider has answered."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lanyard.api.connection import ConnectionSpec
from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.connectors.loader import from_object
from lanyard.connectors.selection import pinned, plan_for
from lanyard.oauth.pkce import code_verifier
from lanyard.rules.consent import LIFE, Consent, Device
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentStore, record_name
from lanyard.stores.keyring import Keyring
from support.cluster import Object


@dataclass(frozen=True, slots=True)
class Agreement:
    """What somebody agreed to: the Connection and its Connector as the API has them, and the code that came back, which
    is empty where the operator is to ask for one (RFC 8628).
    """

    connection: Object
    connector: Object
    code: str
    browser_hash: str
    approved_by: str

    @property
    def record(self) -> str:
        """The Secret's name."""
        return record_name(self.browser_hash)


def agreement(connection: Object, connector: Object, code: str, approved_by: str) -> Agreement:
    return Agreement(connection, connector, code, secrets.token_hex(20), approved_by)


def agree(
    kubeconfig: Path, namespace: str, ring: Path, redirect_uri: Callable[[str], str], agreements: Sequence[Agreement]
) -> None:
    """Write the records, with the gateway's own identity and ring."""
    keyring = Keyring.parse(ring.read_text())

    async def write() -> None:
        async with Kube(from_file(kubeconfig)) as kube:
            store = ConsentStore(kube, namespace, lambda: keyring)
            await asyncio.gather(*(_write(store, one, redirect_uri) for one in agreements))

    asyncio.run(write())


async def _write(store: ConsentStore, one: Agreement, redirect_uri: Callable[[str], str]) -> None:
    now, metadata = datetime.now(UTC), one.connection["metadata"]
    spec = ConnectionSpec.model_validate(one.connection["spec"])
    connector = from_object(one.connector["metadata"]["name"], one.connector["spec"])
    plan = plan_for(spec, connector)
    consent = Consent(
        connector=connector.name,
        connector_digest=pinned(plan),
        client_id=spec.auth.client_id or "",
        redirect_uri=redirect_uri(connector.name) if one.code else "",
        scopes=plan.scopes,
        state_hash="0" * 64,
        code_verifier=code_verifier(secrets.token_bytes(32)),
        spec_generation=metadata["generation"],
        approved_by=one.approved_by,
        started_at=now,
        device=None if one.code else Device(ends_at=now + LIFE),
    )
    record = await store.create(
        one.browser_hash,
        uid=metadata["uid"],
        owner=f"{metadata['namespace']}/{metadata['name']}",
        consent=consent,
        expires_at=now + LIFE,
        now=now,
    )
    if one.code:
        await store.answer(record, consent.answered(now=now, code=Sensitive(one.code), callback={}), now=now)
