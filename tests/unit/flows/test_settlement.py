"""What a consent record says is believed as far as a page at the provider could have said it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from lanyard.connectors.selection import pinned, plan_for
from lanyard.flows.keys import Key, What
from lanyard.flows.settlement import Settlement
from lanyard.flows.world import Record
from lanyard.rules.consent import Consent, Phase
from lanyard.stores.consents import ConsentRecord
from support.plans import code_connector, connection

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
REDIRECT = "https://lanyard.example/oauth/callback/acme"


@pytest.mark.spec("C4")
def test_a_record_names_no_host_that_only_the_token_answer_may_name() -> None:
    """The gateway writes the record: who has taken it over would send the code to a host of the list that suits it."""
    hosts = {"allowedHosts": ["*.example.com"], "required": False, "type": "hostname"}
    connector = code_connector(
        parameters={"home": hosts | {"source": "tokenResponse"}, "door": hosts | {"source": "callback"}}
    )
    spec = connection("clientSecret", clientId="client", method="authorizationCode")
    record = Record(Key(What.CONNECTION, "sales", "crm"), "uid", 1, spec.model_dump_json(by_alias=True).encode(), b"{}")
    consent = Consent(
        connector="acme", connector_digest=pinned(plan_for(spec, connector)), client_id="client",
        redirect_uri=REDIRECT, scopes=(), state_hash="", code_verifier=None, spec_generation=1, approved_by="ada",
        started_at=NOW, callback={"home": "one.example.com", "door": "two.example.com", "stranger": "x"},
    )  # fmt: skip
    around: Any = SimpleNamespace(
        get=lambda _key: record, find=lambda _name: connector, redirect_uri=lambda _plan: REDIRECT
    )
    settlement = Settlement(
        world=around, catalogue=around, consents=around, grants=around, endpoint=around, reporter=around, pages=around,
        clock=lambda: NOW,
    )  # fmt: skip
    held = ConsentRecord("consent-1", "s", "1", "uid", "sales/crm", Phase.ANSWERED, consent, None)
    assert settlement.agreed(held, consent).plan.parameters == {"door": "two.example.com"}
