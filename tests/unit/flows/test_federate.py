"""What a pass over a FederatedCredential knows, whom it wakes, and when it comes back."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import LanyardError, SourceError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.federate import Federate
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.last_exchange import LastUses
from lanyard.flows.tally import Tally
from lanyard.flows.world import World
from lanyard.reasons import Reason
from lanyard.rules.federation import UNUSED_AFTER
from support.plans import connector, token_method

pytestmark = [pytest.mark.spec("K2"), pytest.mark.asyncio]

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CRM = Key(What.CONNECTION, "sales", "crm")
JWKS = json.dumps(
    {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "kid": "1",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }
        ]
    }
)
ACME = connector(token_method())
BASIC = connector({"name": "basic"}, name="basic")


def credential(name: str) -> Key:
    return Key(What.CREDENTIAL, "sales", name)


CI = credential("ci")


@dataclass
class Stage:
    """Everything around a pass, played: keys that were woken wait in `woken` until `settle` works on them."""

    now: datetime = NOW
    is_served: bool = True
    woken: list[Key] = field(default_factory=list)
    passes: list[Key] = field(default_factory=list)
    writes: int = 0
    appointments: dict[Key, datetime | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(wake=self.wake, sources_of=sources_of)
        self.restart()

    def restart(self) -> None:
        around: Any = self
        self.uses = LastUses(self.world, around, "shared", timedelta(hours=1))
        catalogue = Catalogue({"acme": ACME, "basic": BASIC}, self.world)
        self.federate = Federate(
            world=self.world, catalogue=catalogue, uses=self.uses, reporter=around, tally=Tally(),
            is_served=self.is_served, clock=lambda: self.now,
        )  # fmt: skip
        for objects in self.world.objects.values():
            for record in objects.values():
                record.memory = None

    def wake(self, key: Key) -> None:
        if key not in self.woken:
            self.woken.append(key)

    def connection(self, generation: int = 1, status: Any = None, **spec: Any) -> None:
        metadata = {"namespace": "sales", "name": "crm", "uid": "crm", "generation": generation}
        body = {"metadata": metadata, "spec": {"connector": "acme"} | spec, "status": status or {}}
        self.world.observe(What.CONNECTION, body)

    def sees(self, name: str = "ci", generation: int = 1, minute: int = 0, **spec: Any) -> None:
        trust = {"issuer": "https://i", "audience": "a", "subject": name, "jwks": JWKS}
        metadata = {
            "namespace": "sales", "name": name, "uid": f"uid-{name}", "generation": generation,
            "creationTimestamp": f"2026-11-25T11:{minute:02}:00Z",
        }  # fmt: skip
        known = {"connectionRef": {"name": "crm"}} | trust | spec
        self.world.observe(What.CREDENTIAL, {"metadata": metadata, "spec": known})

    async def settle(self) -> None:
        self.passes.clear()
        queue: Any = self
        while self.woken:
            key = self.woken.pop(0)
            if key.what is What.CREDENTIAL:
                self.passes.append(key)
                await self.federate.reconcile(key, queue)

    def said(self, key: Key = CI, condition: str = "Ready") -> str:
        record = self.world.get(key)
        assert record is not None
        found = record.parsed_status().get("conditions", ())
        return next((one["reason"] for one in found if one["type"] == condition), "")

    # the queue
    def at(self, key: Key, when: datetime | None) -> None:
        self.appointments[key] = when

    # the reporter
    async def report(self, record: Any, status: Any, _verdicts: Any, _now: datetime) -> None:
        if status != record.parsed_status():
            self.writes += 1
            record.status = json.dumps(status).encode()


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.connection()
    return made


async def test_one_in_order_is_ready_and_comes_back_when_nobody_has_used_it_for_long(stage: Stage) -> None:
    stage.sees()
    await stage.settle()
    assert stage.said() == "Trusted"
    assert stage.appointments[CI] == NOW - timedelta(hours=1) + UNUSED_AFTER


async def test_a_connection_that_appears_later_wakes_it() -> None:
    stage = Stage()
    stage.sees()
    await stage.settle()
    assert stage.said() == "ConnectionNotFound"
    stage.connection()
    await stage.settle()
    assert stage.said() == "Trusted"
    stage.world.forget(CRM)
    await stage.settle()
    assert stage.said() == "ConnectionNotFound"


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        pytest.param({"connector": "basic"}, {}, "NoTokenToHandOut", id="the only method has no token"),
        pytest.param({"auth": {"method": "apiKey"}}, {}, "NoTokenToHandOut", id="the method in the spec has none"),
        pytest.param({"linkTo": {"namespace": "x", "name": "y"}}, {}, "ConnectionIsLink", id="a link"),
        pytest.param({}, {"grantedScopes": ["a", "b"]}, "ScopesNotEnforceable", id="more was granted than may go out"),
        pytest.param({}, {"grantedScopes": ["a"]}, "Trusted", id="no more was granted"),
        pytest.param({"connector": "nobody"}, {}, "Trusted", id="a missing connector is the Connection's affair"),
    ],
)
async def test_the_connection_decides(spec: Any, status: Any, reason: str) -> None:
    stage = Stage()
    stage.connection(status=status, **spec)
    stage.sees(scopes=["a"])
    await stage.settle()
    assert stage.said() == reason


async def test_at_its_expiry_it_is_over(stage: Stage) -> None:
    stage.sees(expiresAt="2026-11-25T12:01:00Z")
    await stage.settle()
    assert (stage.said(), stage.appointments[CI]) == ("Trusted", NOW + MINUTE)
    stage.now += MINUTE
    stage.wake(CI)
    await stage.settle()
    assert stage.said() == "Expired"


async def test_keys_in_the_spec_that_are_none_are_refused(stage: Stage) -> None:
    stage.sees(jwks='{"keys": [{"kty": "oct", "k": "AAAA"}]}')
    await stage.settle()
    assert stage.said() == "JWKSInvalid"


async def test_the_issuer_s_keys_are_waited_for_and_what_is_wrong_with_them_is_told(stage: Stage) -> None:
    stage.sees(jwks=None)
    await stage.settle()
    assert stage.said() == "IssuerKeysPending"
    record = stage.world.get(CI)
    assert record is not None
    issuer = record.sources[1]
    for problem, reason in ((SourceError(Reason.JWKS_INVALID), "JWKSInvalid"), (None, "Trusted")):
        stage.world.issuer_problems[issuer.name] = problem
        stage.world.touch(issuer)
        await stage.settle()
        assert stage.said() == reason


async def test_after_a_restart_nothing_is_said_of_an_issuer_before_it_was_looked_at(stage: Stage) -> None:
    stage.sees(jwks=None)
    await stage.settle()
    record = stage.world.get(CI)
    assert record is not None
    problem: LanyardError | None
    for problem in (None, SourceError(Reason.JWKS_INVALID)):
        stage.world.issuer_problems[record.sources[1].name] = problem
        stage.wake(CI)
        await stage.settle()
        writes, said = stage.writes, stage.said()
        stage.world.issuer_problems.clear()
        stage.restart()
        stage.wake(CI)
        await stage.settle()
        assert (stage.writes, stage.said()) == (writes, said)


@pytest.mark.spec("F3")
async def test_the_youngest_of_twenty_one_does_not_count_until_another_goes(stage: Stage) -> None:
    for minute in range(21):
        stage.sees(f"ci-{minute}", minute=minute)
    await stage.settle()
    said = {key.name: stage.said(key) for key in stage.world.objects[What.CREDENTIAL]}
    assert [name for name in said if said[name] != "Trusted"] == ["ci-20"]
    assert said["ci-20"] == "LimitExceeded"
    stage.world.forget(credential("ci-3"))
    await stage.settle()
    assert stage.said(credential("ci-20")) == "Trusted"


@pytest.mark.spec("F3")
async def test_a_name_is_free_when_the_older_one_is_renamed(stage: Stage) -> None:
    stage.sees("old", displayName="CI")
    stage.sees("new", minute=1, displayName="CI")
    await stage.settle()
    assert (stage.said(credential("old")), stage.said(credential("new"))) == ("Trusted", "DuplicateName")
    stage.sees("old", generation=2, displayName="Old CI")
    await stage.settle()
    assert stage.said(credential("new")) == "Trusted"


async def test_a_namesake_that_took_its_place_is_judged_by_its_own_age(stage: Stage) -> None:
    stage.sees("old", displayName="CI")
    stage.sees("new", minute=1, displayName="CI")
    await stage.settle()
    stage.world.forget(credential("old"))
    trust = {"issuer": "https://i", "audience": "a", "subject": "s", "jwks": JWKS, "displayName": "CI"}
    metadata = {"namespace": "sales", "name": "old", "uid": "other", "creationTimestamp": "2026-11-25T11:02:00Z"}
    spec = {"connectionRef": {"name": "crm"}} | trust
    stage.world.observe(What.CREDENTIAL, {"metadata": metadata | {"generation": 1}, "spec": spec})
    await stage.settle()
    assert (stage.said(credential("old")), stage.said(credential("new"))) == ("DuplicateName", "Trusted")


async def test_siblings_are_woken_when_one_comes_or_changes_and_then_rest(stage: Stage) -> None:
    for minute in range(5):
        stage.sees(f"ci-{minute}", minute=minute)
    await stage.settle()
    assert len(stage.passes) == 5, "all of them at once wake nobody twice"
    stage.sees("late", minute=9)
    await stage.settle()
    assert len(stage.passes) == 6
    stage.sees("late", generation=2, minute=9, description="prose")
    await stage.settle()
    assert len(stage.passes) == 1, "what the others are not judged by does not concern them"


async def test_two_that_trust_the_same_know_of_each_other(stage: Stage) -> None:
    stage.sees("one", subject="s")
    stage.sees("two", subject="s", minute=1)
    await stage.settle()
    assert {stage.said(credential(name), "TrustUnique") for name in ("one", "two")} == {"DuplicateTrust"}
    stage.world.forget(credential("two"))
    await stage.settle()
    assert stage.said(credential("one"), "TrustUnique") == ""


async def test_an_object_that_is_older_than_the_schema_says_so_and_counts_for_nothing(stage: Stage) -> None:
    stage.sees("odd", displayName="CI", audience=None)
    stage.sees("new", minute=1, displayName="CI")
    await stage.settle()
    assert (stage.said(credential("odd")), stage.said(credential("new"))) == ("InvalidSpec", "Trusted")


async def test_a_restart_writes_nothing(stage: Stage) -> None:
    for minute in range(22):
        stage.sees(f"ci-{minute}", minute=minute, expiresAt="2026-11-25T13:00:00Z", subject="same")
    await stage.settle()
    writes = stage.writes
    stage.restart()
    for key in stage.world.objects[What.CREDENTIAL]:
        stage.wake(key)
    await stage.settle()
    assert (stage.writes, len(stage.passes)) == (writes, 22)


@pytest.mark.spec("F+2")
async def test_its_last_use_is_told_and_it_comes_back_for_the_next(stage: Stage) -> None:
    stage.sees()
    await stage.settle()
    metadata = {"name": "r", "uid": "r", "resourceVersion": "1", "creationTimestamp": "2026-11-25T11:00:00Z"}
    used = "eyJ1aWQtY2kiOiAiMjAyNi0xMS0yNVQxMTo1OTowMFoifQ=="  # {"uid-ci": "2026-11-25T11:59:00Z"}
    stage.uses.change(stage.uses.slim({"metadata": metadata, "data": {"used": used}}))
    await stage.settle()
    record = stage.world.get(CI)
    assert record is not None
    assert record.parsed_status()["lastExchangeAt"] == "2026-11-25T11:59:00Z"
    assert stage.appointments[CI] == NOW + timedelta(hours=1)


async def test_where_there_is_no_gateway_nothing_is_promised() -> None:
    stage = Stage(is_served=False)
    stage.connection()
    stage.sees()
    await stage.settle()
    assert stage.said() == "ExchangeNotSetUp"


@pytest.mark.spec("F+2")
async def test_a_last_use_that_lies_ahead_was_not_written_by_us(stage: Stage) -> None:
    stage.sees()
    record = stage.world.get(CI)
    assert record is not None
    record.status = b'{"lastExchangeAt": "9999-12-31T23:59:59Z"}'
    await stage.settle()
    assert stage.said() == "Trusted"
    assert stage.appointments[CI] == NOW - timedelta(hours=1) + UNUSED_AFTER
