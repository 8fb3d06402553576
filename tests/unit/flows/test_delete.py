"""What a deletion may tell a provider, and what it does not wait for."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.clients.http import Answer
from lanyard.errors import KubernetesError, KubernetesStatus, SteppedBackError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.delete import Deletion
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.token_endpoint import Errand
from lanyard.flows.world import World
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.rules.grants import Stored
from support.plans import connector, token_method
from support.stored import grant

pytestmark = pytest.mark.spec("C16")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CRM = Key(What.CONNECTION, "sales", "crm")
DEADLINE = timedelta(seconds=60)
PAUSE = timedelta(seconds=5)
PLACES = {name: {"type": "url", "anyHost": True, "required": False} for name in ("token_url", "revocation_url")}
GIVEN = {"token_url": "https://login.example.com/token", "revocation_url": "https://login.example.com/revoke"}
ANYWHERE = connector(
    token_method(
        "authorizationCode",
        tokenRequest={"url": "{token_url}"},
        authorization={"url": "https://login.example.com/authorize"},
        clientAuth={"methods": ["none"]},
        revocation=[{"url": "{revocation_url}"}],
    ),
    parameters=PLACES,
)


LIVE = Stored(replace(grant(), scopes=()), None, None, "1", "s")


@dataclass
class Stage:
    """Everything around a deletion, played; `credentials_fail` is met on the way to the provider."""

    credentials_fail: Exception | None = None
    stored: Stored | None = LIVE
    now: datetime = NOW
    sent: list[WireRequest] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    released: bool = False
    next_at: datetime | None = None

    def __post_init__(self) -> None:
        self.world = World(wake=lambda _: None, sources_of=sources_of)
        around: Any = self
        self.deletion = Deletion(
            world=self.world, catalogue=Catalogue({"acme": ANYWHERE}, self.world), grants=around, finalizers=around,
            endpoint=around, reporter=around, deadline=DEADLINE, pause=PAUSE, clock=lambda: self.now,
        )  # fmt: skip

    async def begin(self, *, client_id: str = "app", **parameters: str) -> None:
        spec = {
            "connector": "acme",
            "auth": {"clientId": client_id, "method": "authorizationCode"},
            "parameters": {**GIVEN, **parameters},
        }
        metadata = {
            "namespace": "sales", "name": "crm", "uid": "uid", "generation": 2, "finalizers": ["lanyard.dev/grant"],
            "deletionTimestamp": NOW.isoformat(),
        }  # fmt: skip
        self.world.observe(What.CONNECTION, {"metadata": metadata, "spec": spec})
        await self.look()

    async def look(self, *, after: timedelta = timedelta(0)) -> None:
        self.now += after
        queue: Any = self
        await self.deletion.reconcile(CRM, queue)

    # the queue
    def at(self, _key: Key, when: datetime | None) -> None:
        self.next_at = when

    # what is stored
    async def read(self, _uid: str, _owner: str) -> Stored | None:
        return self.stored

    async def delete(self, _uid: str) -> None:
        assert not self.released

    async def remove(self, _record: Any) -> None:
        self.released = True

    # the provider
    async def credentials(self, _errand: Errand) -> dict[str, Any]:
        if self.credentials_fail is not None:
            raise self.credentials_fail
        return {}

    async def send(self, request: WireRequest, _plan: Any) -> Answer:
        self.sent.append(request)
        return Answer(200, {}, b"")

    # Events
    async def announce(self, _record: Any, _reason: Any, message: str, *, warning: bool, now: datetime) -> None:
        assert (warning, now) == (True, self.now)
        self.told.append(message)


async def test_a_grant_is_taken_back_where_it_was_given() -> None:
    stage = Stage()
    await stage.begin()
    assert [request.url for request in stage.sent] == [GIVEN["revocation_url"]]
    assert (stage.released, stage.told, stage.next_at) == (True, [], None)


@pytest.mark.spec("C19")
@pytest.mark.parametrize(
    ("stored", "outcome"),
    [
        pytest.param(LIVE, "revoked", id="a grant that lived"),
        pytest.param(replace(LIVE, ended=Reason.GRANT_REVOKED), "ended before", id="a grant that had ended"),
        pytest.param(None, "no grant", id="no grant"),
    ],
)
async def test_the_audit_log_says_what_became_of(
    stored: Stored | None, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(stored=stored)
    with caplog.at_level("INFO"):
        await stage.begin()
    (told,) = [one for one in caplog.records if getattr(one, "action", "") == "deletion"]
    assert (told.__dict__["outcome"], stage.told) == (outcome, [])
    assert len(stage.sent) == (outcome == "revoked")


EDITS = {
    "to another address for revocations": ({"revocation_url": "https://evil.example/r"}, "at the host that gave it"),
    "to another token endpoint": ({"token_url": "https://evil.example/token"}, "ConnectorChanged"),
    "to both": (
        {"token_url": "https://evil.example/t", "revocation_url": "https://evil.example/r"},
        "ConnectorChanged",
    ),
    "to another client": ({"client_id": "evil"}, "ClientChanged"),
}


@pytest.mark.parametrize(("edited", "why"), EDITS.values(), ids=EDITS.keys())
async def test_who_edits_a_connection_does_not_learn_its_refresh_token_by_deleting_it(
    edited: dict[str, str], why: str
) -> None:
    stage = Stage()
    await stage.begin(**edited)
    assert stage.sent == []
    assert stage.released
    (told,) = stage.told
    assert why in told


async def test_credentials_that_the_api_server_refuses_hold_a_deletion_up_no_longer_than_its_deadline() -> None:
    """It presents no ServiceAccount in a namespace that is being deleted, which would then never end."""
    stage = Stage(credentials_fail=KubernetesError(KubernetesStatus(403)))
    await stage.begin()
    assert (stage.released, stage.next_at) == (False, NOW + PAUSE)
    await stage.look(after=DEADLINE)
    assert (stage.released, stage.sent, stage.next_at) == (True, [], None)
    (told,) = stage.told
    assert "KubernetesUnavailable" in told


async def test_who_may_not_act_any_more_gives_nothing_up() -> None:
    stage = Stage(credentials_fail=SteppedBackError(), now=NOW + 2 * DEADLINE)
    with pytest.raises(SteppedBackError):
        await stage.begin()
    assert not stage.released


async def test_a_deletion_waits_for_the_last_of_those_that_spend() -> None:
    """A refresh of the old grant ends while the code of a new consent is still on its way."""
    stage = Stage()
    with stage.world.spend("uid"):
        with stage.world.spend("uid"):
            pass
        await stage.begin()
        assert (stage.released, stage.next_at) == (False, NOW + PAUSE)
    await stage.look()
    assert stage.released
