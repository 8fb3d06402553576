"""How what the gateways say of the last use reaches statuses: slowly, and nothing of it is lost."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.last_exchange import LastUses, used_of
from lanyard.flows.world import World

pytestmark = [pytest.mark.spec("F+2"), pytest.mark.asyncio]

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CI = Key(What.CREDENTIAL, "sales", "ci")


def text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def secret(name: str = "replica-1", created: datetime = NOW - 30 * DAY, version: str = "1", **used: datetime) -> Any:
    content = json.dumps({uid: text(when) for uid, when in used.items()})
    return {
        "metadata": {
            "name": name, "uid": f"uid-{name}", "resourceVersion": version, "creationTimestamp": text(created)
        },
        "data": {"used": base64.b64encode(content.encode()).decode()},
    }  # fmt: skip


class Stage:
    """A world with the credential `u`, whose status says `told`; deletions are noted, or met with `refusal`."""

    def __init__(self, told: datetime | None = None) -> None:
        self.woken: list[Key] = []
        self.deleted: list[tuple[str, str, str | None]] = []
        self.refusal = 0
        self.world = World(wake=self.woken.append, sources_of=sources_of)
        kube: Any = self
        self.uses = LastUses(self.world, kube, "shared", HOUR)
        self.says(told)

    def says(self, told: datetime | None) -> None:
        self.world.forget(CI)
        metadata = {"namespace": "sales", "name": "ci", "uid": "u", "generation": 1}
        spec = {"connectionRef": {"name": "crm"}, "issuer": "https://i", "audience": "a", "subject": "s"}
        status = {"lastExchangeAt": text(told)} if told else {}
        self.world.observe(What.CREDENTIAL, {"metadata": metadata, "spec": spec, "status": status})
        self.woken.clear()

    def hears(self, **parts: Any) -> None:
        self.uses.change(self.uses.slim(secret(**parts)))

    async def delete(self, path: str, *, uid: str, version: str | None = None) -> None:
        if self.refusal:
            raise KubernetesError(KubernetesStatus(self.refusal))
        self.deleted.append((path, uid, version))


async def test_the_first_use_is_told_at_once() -> None:
    stage = Stage()
    stage.hears(u=NOW - MINUTE)
    assert stage.woken == [CI]
    assert stage.uses.due("u", None, NOW) == NOW - MINUTE


async def test_of_several_replicas_the_newest_counts() -> None:
    stage = Stage()
    stage.hears(name="a", u=NOW - MINUTE)
    stage.hears(name="b", u=NOW - HOUR)
    assert stage.uses.newest("u", NOW) == NOW - MINUTE


async def test_a_clock_that_is_ahead_does_not_use_up_the_future() -> None:
    stage = Stage()
    stage.hears(u=NOW + DAY)
    assert stage.uses.due("u", None, NOW) == NOW


async def test_within_the_interval_news_wakes_nobody_and_is_told_when_it_is_over() -> None:
    stage = Stage()
    stage.hears(u=NOW)
    assert stage.uses.due("u", None, NOW) == NOW
    stage.says(NOW)
    stage.hears(u=NOW + 10 * MINUTE)
    assert stage.woken == []
    assert stage.uses.due("u", NOW, NOW + 11 * MINUTE) is None
    assert stage.uses.next_look("u") == NOW + HOUR
    assert stage.uses.due("u", NOW, NOW + HOUR) == NOW + 10 * MINUTE


async def test_after_the_interval_news_wakes_it() -> None:
    stage = Stage(told=NOW)
    stage.hears(u=NOW)
    assert stage.uses.due("u", NOW, NOW) is None
    assert stage.uses.due("u", NOW, NOW + HOUR) is None
    stage.woken.clear()
    stage.hears(u=NOW + HOUR + MINUTE)
    assert stage.woken == [CI]


async def test_the_last_use_of_an_interval_that_comes_late_wakes_it_too() -> None:
    """A replica writes once a minute: the interval may be over when it tells of what was still within."""
    stage = Stage(told=NOW)
    assert stage.uses.due("u", NOW, NOW) is None
    assert stage.uses.due("u", NOW, NOW + HOUR) is None
    assert stage.uses.next_look("u") is None
    stage.hears(u=NOW + HOUR - MINUTE)
    assert stage.woken == [CI]


async def test_what_the_status_says_already_is_no_news_after_a_restart() -> None:
    stage = Stage(told=NOW - 2 * HOUR)
    stage.hears(u=NOW - 2 * HOUR + timedelta(milliseconds=700))
    assert stage.uses.due("u", NOW - 2 * HOUR, NOW) is None


async def test_one_that_was_told_late_is_still_told_once_an_interval() -> None:
    """The operator was away: the use it tells of first is hours old, and the next one comes a minute later."""
    stage = Stage(told=NOW - 9 * HOUR)
    stage.hears(u=NOW - 3 * HOUR)
    assert stage.uses.due("u", NOW - 9 * HOUR, NOW) == NOW - 3 * HOUR
    stage.hears(u=NOW + MINUTE)
    assert stage.uses.due("u", NOW - 3 * HOUR, NOW + MINUTE) is None


async def test_a_list_replaces_what_was_known() -> None:
    stage = Stage()
    stage.hears(name="gone", u=NOW)
    stage.uses.replace([stage.uses.slim(secret(u=NOW - HOUR))], "7")
    assert stage.uses.newest("u", NOW) == NOW - HOUR
    stage.uses.forget(stage.uses.slim(secret(u=NOW)))
    assert stage.uses.newest("u", NOW) is None


OLD = NOW - DAY - MINUTE


@pytest.mark.parametrize(
    ("told", "parts", "goes"),
    [
        pytest.param(OLD, {"u": OLD}, True, id="told, and a day old"),
        pytest.param(None, {"u": OLD}, False, id="not told yet"),
        pytest.param(OLD - HOUR, {"u": OLD}, False, id="something older was told"),
        pytest.param(NOW, {"u": NOW - DAY}, False, id="not a day old"),
        pytest.param(NOW, {"u": OLD, "another": NOW}, False, id="the replica is alive"),
        pytest.param(OLD, {"u": OLD, "another": OLD - DAY}, True, id="a credential that is gone is not waited for"),
        pytest.param(None, {"created": OLD}, True, id="a replica that never handed out anything, and is old"),
        pytest.param(None, {"created": NOW - HOUR}, False, id="a replica that has just begun"),
    ],
)
async def test_what_a_replica_has_left_behind(told: datetime | None, parts: dict[str, Any], goes: bool) -> None:
    stage = Stage(told)
    stage.hears(version="7", **parts)
    await stage.uses.tidy(NOW)
    path = "/api/v1/namespaces/shared/secrets/replica-1"
    assert stage.deleted == ([(path, "uid-replica-1", "7")] if goes else [])


@pytest.mark.parametrize("code", [404, 409, 403, 0])
async def test_a_removal_that_is_refused_stops_nothing(code: int) -> None:
    stage = Stage(told=OLD)
    stage.hears(u=OLD)
    stage.refusal = code
    await stage.uses.tidy(NOW)
    assert stage.uses.newest("u", NOW) == OLD


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="no data"),
        pytest.param({}, id="no such key"),
        pytest.param({"used": "%%%"}, id="no base64"),
        pytest.param({"used": base64.b64encode(b"{").decode()}, id="no JSON"),
        pytest.param({"used": base64.b64encode(b"[" * 100_000).decode()}, id="too deep"),
        pytest.param({"used": base64.b64encode(b"[]").decode()}, id="no object"),
        pytest.param({"used": base64.b64encode(b'{"u": 3, "v": "soon", "w": null}').decode()}, id="no times"),
        pytest.param({"used": base64.b64encode(b'{"u": "2026-11-25T12:00:00"}').decode()}, id="a time of no zone"),
        pytest.param({"used": base64.b64encode(b"\xff\xfe").decode()}, id="no UTF-8"),
        pytest.param({"used": base64.b64encode(b'{"u": "0001-01-01T00:00:00+10:00"}').decode()}, id="no year of ours"),
    ],
)
async def test_what_cannot_be_read_says_nothing(data: Any) -> None:
    assert used_of({"data": data}) == {}


async def test_times_are_told_in_utc() -> None:
    content = base64.b64encode(b'{"u": "2026-11-25T14:00:00+02:00"}').decode()
    assert str(used_of({"data": {"used": content}})["u"]) == "2026-11-25 12:00:00+00:00"


async def test_the_end_of_time_stops_nothing() -> None:
    stage = Stage()
    stage.hears(u=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert stage.uses.due("u", None, NOW) == NOW
    await stage.uses.tidy(NOW)
    assert stage.deleted == []
