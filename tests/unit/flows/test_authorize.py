"""Before a code is spent: what a record says is held against what the API server says."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError
from lanyard.flows.authorize import LOOK_AGAIN, Authorizer
from lanyard.flows.keys import Key, What
from lanyard.flows.token_endpoint import Errand
from lanyard.flows.world import Record
from lanyard.oauth.responses import Token
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, Phase
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentRecord, record_name
from support.plans import code_plan, connection

pytestmark = pytest.mark.spec("C4")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SERVER_NOW = NOW + timedelta(hours=1)
"""The clock of the API server dates approvals, and is not ours."""
HASH = "a" * 40
KEY = Key(What.CONSENT, "", record_name(HASH))
TOKEN = Token(Sensitive("t"), "Bearer", None, NOW, None, {}, None)
CONSENT = Consent(
    connector="acme", connector_digest="d", client_id="client", redirect_uri="https://l.example/cb", scopes=(),
    state_hash="", code_verifier=Sensitive("v"), spec_generation=1, approved_by="ada", started_at=NOW,
    answered_at=NOW, code=Sensitive("c0de"),
)  # fmt: skip


@dataclass
class Stage:
    """Everything around one answered record, played. `metadata` is what the API server has of the Connection."""

    metadata: dict[str, Any] | KubernetesError
    spent: bool = False
    claimed: bool = False
    kept: bool = False
    ended: list[Reason] = field(default_factory=list)
    next_at: datetime | None = None

    def __post_init__(self) -> None:
        around: Any = self
        self.record = Record(Key(What.CONNECTION, "sales", "crm"), "uid", 1, b"{}", b"{}")
        self.errand = Errand(self.record, connection("clientSecret", clientId="client"), code_plan())
        self.authorizer = Authorizer(
            kube=around, consents=around, settlement=around, device=around, finalizers=around, endpoint=around,
            code_lifetime=timedelta(seconds=60), claim_life=timedelta(seconds=60), clock=lambda: NOW,
        )  # fmt: skip

    async def look(self) -> None:
        queue: Any = self
        await self.authorizer.reconcile(KEY, queue)

    def at(self, _key: Key, when: datetime | None) -> None:
        self.next_at = when

    async def dated_metadata(self, _path: str) -> tuple[dict[str, Any], datetime]:
        if isinstance(self.metadata, KubernetesError):
            raise self.metadata
        return self.metadata, SERVER_NOW

    async def stored_of(self, _held: ConsentRecord) -> str | None:
        return "a grant" if self.spent else None

    async def read(self, name: str) -> ConsentRecord:
        return ConsentRecord(name, "s", "1", "uid", "sales/crm", Phase.ANSWERED, CONSENT, None)

    async def claim(self, held: ConsentRecord) -> ConsentRecord:
        self.claimed = True
        return held

    def spending(self, _held: ConsentRecord) -> Any:
        return nullcontext()

    def agreed(self, _held: ConsentRecord, _consent: Consent) -> Errand:
        return self.errand

    async def keep(self, *_: Any) -> None:
        self.kept = True

    async def end(self, _held: ConsentRecord, error: LanyardError) -> None:
        self.ended.append(error.reason)

    async def credentials(self, _errand: Errand) -> dict[str, Any]:
        return {}

    async def add(self, _record: Record) -> None:
        assert not self.claimed

    async def token(self, *_: Any) -> Token:
        assert self.claimed
        return TOKEN


def approved(text: str | None, uid: str = "uid", *, ago: timedelta = timedelta(minutes=1)) -> dict[str, Any]:
    if text is None:
        return {"uid": uid}
    owned = {"f:metadata": {"f:annotations": {"f:lanyard.dev/consent": {}}}}
    entry = {"manager": "kubectl-annotate", "time": (SERVER_NOW - ago).isoformat(), "fieldsV1": owned}
    return {"uid": uid, "annotations": {"lanyard.dev/consent": text}, "managedFields": [entry]}


async def test_a_code_is_spent_for_the_browser_that_is_approved() -> None:
    stage = Stage(approved(f"{HASH}.ada"))
    await stage.look()
    assert (stage.claimed, stage.kept, stage.ended) == (True, True, [])


UNAPPROVED = {
    "nobody": approved(None),
    "another browser": approved(f"{'b' * 40}.ada"),
    "somebody else": approved(f"{HASH}.eve"),
    "a namesake": approved(f"{HASH}.ada", uid="another"),
    "a Connection that is gone": KubernetesError(KubernetesStatus(404)),
}


@pytest.mark.parametrize("metadata", UNAPPROVED.values(), ids=UNAPPROVED.keys())
async def test_a_record_alone_puts_no_account_behind_a_connection(metadata: Any) -> None:
    """Whoever controls the gateway can write any record, with a code of an account of theirs."""
    stage = Stage(metadata)
    await stage.look()
    assert (stage.claimed, stage.kept, stage.ended) == (False, False, [Reason.AUTHORIZATION_OUTDATED])


async def test_an_old_approval_is_not_used_again() -> None:
    """The annotation is never taken away, and the record of its consent is: whoever may write records makes it anew."""
    stage = Stage(approved(f"{HASH}.ada", ago=timedelta(minutes=11)))
    await stage.look()
    assert (stage.claimed, stage.kept, stage.ended) == (False, False, [Reason.AUTHORIZATION_EXPIRED])


async def test_an_approval_that_brought_the_grant_brings_no_second_one() -> None:
    stage = Stage(approved(f"{HASH}.ada"), spent=True)
    await stage.look()
    assert (stage.claimed, stage.kept, stage.ended) == (False, False, [Reason.AUTHORIZATION_OUTDATED])


async def test_while_the_api_server_does_not_say_who_approved_nothing_is_spent() -> None:
    stage = Stage(KubernetesError(KubernetesStatus(503)))
    await stage.look()
    assert (stage.claimed, stage.ended, stage.next_at) == (False, [], NOW + LOOK_AGAIN)
