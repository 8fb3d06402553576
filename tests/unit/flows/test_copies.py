"""When a token copy is written, from what, and when it goes; and where a Connection's credentials go at all."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.connectors.loader import load_catalogue
from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError, PublishError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.copies import Copies, is_unpublished
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.mirrors import KeptCopies
from lanyard.flows.outlet import Outlet
from lanyard.flows.publish import Target
from lanyard.flows.tally import Tally
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.reasons import Reason
from lanyard.rules.publish import secret_object
from lanyard.rules.schedule import Backoff
from lanyard.sensitive import Sensitive
from lanyard.stores.copies import SeenCopy, TokenCopy, copy_of

pytestmark = pytest.mark.spec("F1")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACE = Backoff(timedelta(seconds=5), timedelta(minutes=5), (timedelta(minutes=5),))
CRM = Key(What.CONNECTION, "sales", "crm")
SECRET = Key(What.SECRET, "sales", "crm-token")
VERSION = SecretVersion("sales", "crm-token", "secret-uid", "7", "uid")
CONTENT = {
    name: Sensitive(text)
    for name, text in {
        "access_token": "t0ken", "token_type": "Bearer", "expires_at": "2026-11-25T13:00:00Z", "scope": "read write",
        "type": "clientCredentials", "provider": "acme",
    }.items()
}  # fmt: skip
TOKEN = TokenCopy(Sensitive("t0ken"), "Bearer", NOW + HOUR, ("read", "write"))


@dataclass
class Stage:
    """Everything around the copies, played. `refuses` is met by the next write or deletion."""

    refuses: Exception | None = None
    written: list[TokenCopy] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    reads: int = 0
    content: dict[str, Sensitive] = field(default_factory=lambda: dict(CONTENT))
    appointments: list[datetime] = field(default_factory=list)
    install: str = "here"
    withdrawn: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(wake=lambda _: None, sources_of=sources_of)
        around: Any = self
        self.copies = Copies(
            kube=around, world=self.world, catalogue=Catalogue(load_catalogue(), self.world), store=around,
            tally=Tally(), pace=PACE, clock=lambda: NOW,
        )  # fmt: skip

    def connect(self, *, uid: str = "uid", status: dict[str, Any] | None = None, **spec: Any) -> Record:
        body = {
            "metadata": {"namespace": "sales", "name": "crm", "uid": uid, "generation": 1},
            "spec": {"connector": "oauth2", **spec},
            "status": {"publishedVersion": "7", "lastRefreshedAt": "2026-11-25T12:00:00Z"}
            if status is None
            else status,
        }
        self.world.observe(What.CONNECTION, body)
        self.world.published[SECRET] = VERSION
        record = self.world.get(CRM)
        assert record is not None
        return record

    def trust(self) -> None:
        metadata = {"namespace": "sales", "name": "ci", "uid": "c", "generation": 1}
        self.world.observe(What.CREDENTIAL, {"metadata": metadata, "spec": {"connectionRef": {"name": "crm"}}})

    async def look(self) -> None:
        queue: Any = self
        await self.copies.reconcile(CRM, queue)

    # the queue
    def at(self, _key: Key, when: datetime | None) -> None:
        assert when is not None
        self.appointments.append(when)

    def appointment(self, _key: Key) -> datetime | None:
        return None

    # the store
    async def write(
        self, uid: str, owner: str, copy: TokenCopy, *, made_from: str, now: datetime, known: Any
    ) -> SeenCopy:
        assert now == NOW
        self._met()
        self.written.append(copy)
        return seen(uid, version=str(len(self.written)), owner=owner, made_from=made_from)

    async def remove(self, one: SeenCopy) -> None:
        self._met()
        self.removed.append(one.uid)

    # the API server
    async def get(self, _path: str) -> dict[str, Any]:
        self.reads += 1
        body = secret_object(
            namespace="sales", name="crm-token", secret_type="Opaque", owner_name="crm", owner_uid="uid",
            content=self.content, uid="secret-uid",
        )  # fmt: skip
        keys = {f"f:{name}": {} for name in self.content}
        body["metadata"] |= {
            "resourceVersion": "7",
            "managedFields": [{"manager": "lanyard", "operation": "Apply", "fieldsV1": {"f:data": keys}}],
        }
        return body

    # the publisher
    async def withdraw(self, _record: Record, noted: str, _before: Any) -> int:
        assert self.written, "the copy is there before the Secret goes"
        self.withdrawn.append(noted)
        return 1

    def _met(self) -> None:
        if self.refuses is not None:
            error, self.refuses = self.refuses, None
            raise error


def seen(
    uid: str = "uid", *, version: str = "1", owner: str = "sales/crm", made_from: str = VERSION.marker, secret: str = ""
) -> SeenCopy:
    return SeenCopy(f"token-{uid}", secret or f"s-{uid}", version, uid, owner, "here", made_from, NOW + HOUR)


async def test_without_a_credential_there_is_no_copy() -> None:
    stage = Stage()
    stage.connect()
    await stage.look()
    assert (stage.written, stage.reads) == ([], 0)


async def test_a_copy_that_is_needed_is_made_from_the_secret_and_then_left_alone() -> None:
    stage = Stage()
    stage.connect()
    stage.trust()
    await stage.look()
    await stage.look()
    assert (stage.written, stage.reads) == ([TOKEN], 1)


async def test_what_was_published_a_moment_ago_is_copied_without_a_call() -> None:
    stage = Stage()
    record = stage.connect()
    stage.trust()
    stage.copies.hold(record, VERSION, CONTENT)
    await stage.look()
    assert (stage.written, stage.reads) == ([TOKEN], 0)


async def test_what_was_at_hand_for_another_version_is_not_copied() -> None:
    stage = Stage()
    record = stage.connect()
    stage.trust()
    stage.copies.hold(record, SecretVersion("sales", "crm-token", "secret-uid", "6", "uid"), {})
    await stage.look()
    assert (stage.written, stage.reads) == ([TOKEN], 1)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda stage: stage.connect(status={"publishedVersion": "7"}), id="credentials without a token"),
        pytest.param(
            lambda stage: stage.connect(status={"publishedVersion": "6"}), id="a Secret that is not as written"
        ),
        pytest.param(lambda stage: stage.connect(connector="lanyard"), id="tokens that Lanyard makes"),
        pytest.param(lambda stage: stage.connect(linkTo={"namespace": "a", "name": "b"}, connector=""), id="a link"),
        pytest.param(lambda stage: stage.connect(secret={"publish": False}), id="the copy is what is published"),
    ],
)
async def test_no_copy_is_made_of(make: Any) -> None:
    stage = Stage()
    stage.trust()
    make(stage)
    await stage.look()
    assert (stage.written, stage.reads) == ([], 0)


async def test_a_token_that_has_ended_is_not_copied() -> None:
    stage = Stage(content=CONTENT | {"expires_at": Sensitive("2026-11-25T12:00:00Z")})
    stage.connect()
    stage.trust()
    await stage.look()
    assert stage.written == []


@pytest.mark.parametrize(
    ("before", "gone"),
    [
        pytest.param(lambda stage: stage.connect(), ["uid"], id="no credential names it any more"),
        pytest.param(lambda stage: stage.connect(uid="new"), ["uid"], id="a namesake took its place"),
        pytest.param(lambda stage: None, ["uid"], id="the object is gone"),
        pytest.param(lambda stage: stage.connect(connector="lanyard"), ["uid"], id="Lanyard makes its tokens now"),
        pytest.param(lambda stage: (stage.connect(), stage.trust()), [], id="a credential names it"),
        pytest.param(lambda stage: stage.connect(secret={"publish": False}), [], id="the copy is what is published"),
        pytest.param(lambda stage: stage.connect(suspend=True), ["uid"], id="suspended and not named"),
        pytest.param(lambda stage: (stage.connect(suspend=True), stage.trust()), [], id="suspended and named"),
    ],
)
async def test_a_copy_goes_when_nobody_needs_it(before: Any, gone: list[str]) -> None:
    stage = Stage()
    before(stage)
    stage.world.keep_copy(seen())
    await stage.look()
    assert stage.removed == gone
    assert (CRM in stage.world.copies) is not bool(gone)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KubernetesError(KubernetesStatus(503)), id="the API server is away"),
        pytest.param(PublishError(Reason.COPY_CONFLICT, secret="token-uid"), id="another install has one"),
        pytest.param(LanyardError(Reason.KEYRING_LOST, key="k"), id="the ring cannot be used"),
    ],
)
async def test_what_failed_is_tried_again_after_a_pause(error: Exception) -> None:
    stage = Stage(refuses=error)
    stage.connect()
    stage.trust()
    await stage.look()
    assert stage.written == []
    assert all(when > NOW for when in stage.appointments)
    assert len(stage.appointments) == 1
    await stage.look()
    assert stage.written == [TOKEN]


async def test_a_removal_that_failed_is_tried_again() -> None:
    stage = Stage(refuses=KubernetesError(KubernetesStatus(0)))
    stage.world.keep_copy(seen())
    await stage.look()
    assert CRM in stage.world.copies
    await stage.look()
    assert stage.removed == ["uid"]


def outlet(stage: Stage) -> Outlet:
    publisher: Any = stage
    return Outlet(publisher, stage.copies, stage.world)


ALONE = Target("token-uid", "", publish=False)


async def test_on_the_way_to_exchange_alone_the_copy_is_written_before_the_secret_goes() -> None:
    stage = Stage()
    record = stage.connect(secret={"publish": False})
    written = await outlet(stage).publish(record, ALONE, CONTENT, "crm-token", None)
    assert (stage.written, stage.withdrawn) == ([TOKEN], ["crm-token"])
    assert outlet(stage).standing(record, ALONE, None) == written.version
    assert not await outlet(stage).is_intact(record, ALONE, written)


async def test_a_secret_stays_when_the_copy_in_its_place_cannot_be_written() -> None:
    stage = Stage(refuses=KubernetesError(KubernetesStatus(403)))
    record = stage.connect(secret={"publish": False})
    with pytest.raises(LanyardError) as caught:
        await outlet(stage).publish(record, ALONE, CONTENT, "crm-token", None)
    assert (caught.value.reason, stage.withdrawn) == (Reason.SECRET_REFUSED, [])


def test_what_is_published_is_a_token_or_not() -> None:
    assert copy_of(CONTENT) == TOKEN
    assert copy_of({"api_key": Sensitive("k")}) is None
    forever = copy_of(CONTENT | {"expires_at": Sensitive("")})
    assert forever is not None
    assert forever.expires_at is None


@pytest.mark.parametrize(
    ("spec", "unpublished"),
    [
        ({}, False),
        ({"secret": {}}, False),
        ({"secret": {"publish": True}}, False),
        ({"secret": {"publish": False}}, True),
    ],
)
def test_whether_a_secret_is_published_is_read_from_the_bare_spec(spec: dict[str, Any], unpublished: bool) -> None:
    assert is_unpublished(Stage().connect(**spec)) is unpublished


def mirrored() -> tuple[World, KeptCopies, list[Key]]:
    woken: list[Key] = []
    world = World(wake=woken.append, sources_of=sources_of)
    return world, KeptCopies(world), woken


def test_a_copy_that_changes_wakes_its_connection_and_our_own_write_does_not() -> None:
    world, mirror, woken = mirrored()
    world.keep_copy(seen(version="5"))
    mirror.change(seen(version="5"))
    mirror.change(seen(version="4"))
    assert woken == []
    assert world.copy_of(CRM, "uid") == seen(version="5")
    mirror.change(seen(version="6"))
    assert woken == [CRM]
    mirror.forget(seen(version="6"))
    assert (woken, world.copies) == ([CRM, CRM], {})


def test_a_list_that_is_older_than_our_write_does_not_make_it_undone() -> None:
    world, mirror, woken = mirrored()
    world.keep_copy(seen(version="5"))
    world.keep_copy(seen("old", version="3"))
    mirror.replace([], "4")
    assert world.copy_of(CRM, "uid") == seen(version="5")
    assert world.copy_of(CRM, "old") is None
    assert woken == [CRM]
    mirror.replace([seen(version="6")], "6")
    assert world.copy_of(CRM, "uid") == seen(version="6")


def test_the_end_of_a_former_copy_takes_the_present_one_nothing() -> None:
    world, mirror, woken = mirrored()
    world.keep_copy(seen(version="5", secret="new"))
    mirror.forget(seen(version="4", secret="old"))
    assert world.copy_of(CRM, "uid") is not None
    assert woken == []
