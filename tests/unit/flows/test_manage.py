"""The REST API's use cases against an API server that is played: what each write says, and what races lead to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from lanyard.api.dto import Refusal, WrittenCredential
from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.credential_mirror import CredentialView, KnownCredentials
from lanyard.flows.issuer_fetch import KeySource
from lanyard.flows.manage import Managed, Manager, ManageRefusedError, path_of
from lanyard.flows.view import SeenConnection
from lanyard.reasons import Reason

NAMESPACE, CLIENT = "sales", "uid-of-crm"
ISSUER = "https://idp.example.com"
SPEC = {"issuer": ISSUER, "audience": "a", "subject": "s"}
COLLECTION = path_of(NAMESPACE)


def written(name: str = "ci", **more: Any) -> WrittenCredential:
    return WrittenCredential.model_validate(
        {"name": name, "issuer": ISSUER, "audience": "https://lanyard.example/sales", "subject": "repo:a/b"} | more
    )


@dataclass
class Stage:
    """The API server as far as credentials go, the mirror behind it, and an issuer."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    probes: list[KeySource] = field(default_factory=list)
    fetchable: bool = True
    blind: bool = False
    """The watch is late: the mirror hears of nothing."""
    before_write: list[Callable[[], None]] = field(default_factory=list)
    """Taken one by one: what others do right before a write of ours arrives."""
    before_seen: list[Callable[[], None]] = field(default_factory=list)
    """Likewise: what the watch tells before it tells of a creation of ours."""
    refuse: int | None = None
    link: bool = False
    going: bool = False
    """The Connection is being deleted."""
    version: int = 100
    uids: list[str] = field(default_factory=lambda: [f"u-{number:03}" for number in range(50, 99)])
    seconds: int = 0

    def __post_init__(self) -> None:
        self.view = CredentialView()
        self.mirror = KnownCredentials(self.view)
        around: Any = self
        self.manager = Manager(
            kube=around,
            applications=self.application,
            credentials=self.view,
            probe=around.probe,
            new_name=lambda: f"fc-{len(self.calls)}",
        )

    def application(self, namespace: str, client_id: str) -> SeenConnection | None:
        spec = {"linkTo": {"namespace": "a", "name": "b"}} if self.link else {"connector": "acme"}
        there = (namespace, client_id) == (NAMESPACE, CLIENT)
        metadata = {"namespace": NAMESPACE, "name": "crm", "uid": CLIENT, "generation": 1}
        body = {"metadata": metadata | ({"deletionTimestamp": "now"} if self.going else {}), "spec": spec}
        return SeenConnection.of(body) if there else None

    async def probe(self, source: KeySource) -> Reason | None:
        self.probes.append(source)
        return None if self.fetchable else Reason.ISSUER_MISMATCH

    def holds(self, uid: str, name: str, *, heard: bool = True, **spec: Any) -> dict[str, Any]:
        """Somebody has made one by other means."""
        body = {
            "metadata": {"namespace": NAMESPACE, "name": f"fc-{uid}", "uid": uid},
            "spec": {"connectionRef": {"name": "crm"}, "displayName": name, **SPEC} | spec,
        }
        return self._store(body, heard=heard)

    def touch(self, uid: str, **spec: Any) -> None:
        """Somebody writes: the status, and the spec where it is given."""
        body = self.objects[uid]
        body = body | {"spec": body["spec"] | spec}
        self._store(body, generation=body["metadata"]["generation"] + bool(spec))

    def _store(self, body: dict[str, Any], *, generation: int = 1, heard: bool = True) -> dict[str, Any]:
        self.version += 1
        at = body["metadata"].get("creationTimestamp", f"2026-03-01T12:00:{self.seconds:02}Z")
        body["metadata"] |= {"resourceVersion": str(self.version), "generation": generation, "creationTimestamp": at}
        self.objects[body["metadata"]["uid"]] = body
        if heard and not self.blind:
            self.mirror.change(self.mirror.slim(body))
        return body

    def _arrive(self, call: str) -> None:
        self.calls.append(call)
        if self.before_write:
            self.before_write.pop(0)()
        if self.refuse is not None:
            raise KubernetesError(KubernetesStatus(self.refuse))

    def _at(self, path: str) -> dict[str, Any] | None:
        name = path.rpartition("/")[2]
        return next((one for one in self.objects.values() if one["metadata"]["name"] == name), None)

    # the API server
    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == COLLECTION
        self._arrive("create")
        if self.before_seen:
            self.before_seen.pop(0)()
        made = {"metadata": body["metadata"] | {"uid": self.uids.pop(0)}, "spec": body["spec"]}
        return self._store(made)

    async def merge(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._arrive("merge")
        there = self._at(path)
        if there is None:
            raise KubernetesError(KubernetesStatus(404))
        if there["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise KubernetesError(KubernetesStatus(409))
        spec = {name: value for name, value in (there["spec"] | body["spec"]).items() if value is not None}
        generation = there["metadata"]["generation"] + (spec != there["spec"])
        return self._store({"metadata": dict(there["metadata"]), "spec": spec}, generation=generation)

    async def delete(self, path: str, *, uid: str, version: str | None = None) -> None:
        self._arrive("delete")
        there = self._at(path)
        if there is None:
            raise KubernetesError(KubernetesStatus(404))
        if there["metadata"]["uid"] != uid or version not in (None, there["metadata"]["resourceVersion"]):
            raise KubernetesError(KubernetesStatus(409))
        del self.objects[uid]
        if not self.blind:
            self.mirror.forget(self.mirror.slim(there))

    # what a client asks
    async def create_one(self, name: str = "ci", **more: Any) -> Managed:
        return await self.manager.create(NAMESPACE, CLIENT, written(name, **more))

    async def replace_one(self, uid: str, name: str = "ci", if_match: str | None = None, **more: Any) -> Managed:
        return await self.manager.replace(NAMESPACE, CLIENT, uid, written(name, **more), if_match)

    async def delete_one(self, uid: str, if_match: str | None = None) -> str:
        return await self.manager.delete(NAMESPACE, CLIENT, uid, if_match)

    def names(self) -> list[str]:
        return [one.credential.name for one in self.manager.listed(NAMESPACE, CLIENT)]


async def refused(call: Any, expected: Refusal) -> None:
    with pytest.raises(ManageRefusedError) as caught:
        await call
    assert caught.value.refusal is expected


@pytest.mark.spec("F4")
async def test_what_was_created_is_read_at_once_and_belongs_to_the_application() -> None:
    stage = Stage()
    made = await stage.create_one(description="of the build")
    assert stage.manager.one(NAMESPACE, CLIENT, made.credential.id) == made
    assert stage.manager.listed(NAMESPACE, CLIENT) == [made]
    assert (made.credential.client_id, made.credential.description) == (CLIENT, "of the build")
    assert stage.probes == [KeySource(ISSUER)]


@pytest.mark.spec("F4")
async def test_a_list_is_in_the_order_of_creation() -> None:
    stage = Stage(uids=["b", "a", "c"])
    for stage.seconds, name in ((2, "second"), (1, "first"), (2, "third")):
        await stage.create_one(name)
    assert stage.names() == ["first", "second", "third"]


@pytest.mark.spec("F5")
@pytest.mark.parametrize(("namespace", "client"), [("sales", "other"), ("other", CLIENT)])
async def test_an_application_of_somebody_else_is_not_there(namespace: str, client: str) -> None:
    stage = Stage()
    uid = (await stage.create_one()).credential.id
    with pytest.raises(ManageRefusedError):
        stage.manager.listed(namespace, client)
    await refused(stage.manager.create(namespace, client, written()), Refusal.NOT_FOUND)
    await refused(stage.manager.replace(namespace, client, uid, written(), None), Refusal.NOT_FOUND)
    await refused(stage.manager.delete(namespace, client, uid, None), Refusal.NOT_FOUND)
    assert stage.manager.known(namespace, client, uid) == ("", "")
    assert stage.names() == ["ci"]


async def test_an_application_that_is_being_deleted_is_not_there() -> None:
    stage = Stage(going=True)
    await refused(stage.create_one(), Refusal.NOT_FOUND)
    with pytest.raises(ManageRefusedError):
        stage.names()


async def test_a_link_takes_no_credential_and_loses_one_that_it_has() -> None:
    stage = Stage(link=True)
    await refused(stage.create_one(), Refusal.NOT_FOR_LINKS)
    stage.holds("u-1", "old")
    await refused(stage.replace_one("u-1"), Refusal.NOT_FOR_LINKS)
    assert await stage.delete_one("u-1") == "sales/fc-u-1"


@pytest.mark.spec("F5")
async def test_a_name_is_taken_once_and_nothing_is_asked_or_written_for_a_second() -> None:
    stage = Stage()
    await stage.create_one()
    await refused(stage.create_one(), Refusal.DUPLICATE_NAME)
    assert (stage.calls, len(stage.probes)) == (["create"], 1)


@pytest.mark.spec("F3", "F5")
async def test_twenty_are_taken_and_then_none() -> None:
    stage = Stage()
    for number in range(20):
        await stage.create_one(str(number))
    await refused(stage.create_one("one more"), Refusal.LIMIT_EXCEEDED)
    await stage.delete_one(stage.manager.listed(NAMESPACE, CLIENT)[7].credential.id)
    await stage.create_one("one more")


@pytest.mark.spec("F5")
async def test_an_issuer_whose_keys_cannot_be_fetched_is_refused_at_create_and_at_replace() -> None:
    stage = Stage()
    uid = (await stage.create_one()).credential.id
    stage.fetchable = False
    with pytest.raises(ManageRefusedError) as caught:
        await stage.create_one("another")
    assert (caught.value.refusal, caught.value.cause) == (Refusal.ISSUER_UNREACHABLE, Reason.ISSUER_MISMATCH)
    await refused(stage.replace_one(uid, subject="changed"), Refusal.ISSUER_UNREACHABLE)
    assert stage.manager.one(NAMESPACE, CLIENT, uid).credential.subject == "repo:a/b"


@pytest.mark.spec("F5")
async def test_an_address_that_is_no_issuer_is_never_asked() -> None:
    stage = Stage()
    await refused(stage.create_one(issuer="https://idp.example.com?x=1"), Refusal.ISSUER_INVALID)
    assert stage.probes == []


async def test_keys_given_inline_are_not_fetched_and_a_source_of_keys_is_asked_instead_of_the_issuer() -> None:
    stage = Stage(fetchable=False)
    stage.holds("u-1", "inline", jwks='{"keys": []}')
    assert (await stage.replace_one("u-1", "inline", subject="new")).credential.subject == "new"
    assert stage.probes == []
    await refused(stage.replace_one("u-1", "inline", issuer="https://A.example"), Refusal.ISSUER_INVALID)
    stage.holds("u-2", "by address", jwksURI="https://keys.example.com/k", caBundle="PEM")
    await refused(stage.replace_one("u-2", "by address"), Refusal.ISSUER_UNREACHABLE)
    assert stage.probes == [KeySource(ISSUER, "https://keys.example.com/k", "PEM")]


@pytest.mark.spec("F6")
async def test_a_replacement_changes_what_the_reference_knows_and_nothing_else() -> None:
    stage = Stage()
    extra = {"claims": [{"claim": "ref", "equals": "main"}], "scopes": ["api"], "suspend": True}
    stage.holds("u-1", "old", description="old", **extra)
    made = await stage.replace_one("u-1", "new", subject="other")
    assert (made.credential.name, made.credential.description, made.credential.subject) == ("new", None, "other")
    spec = stage.objects["u-1"]["spec"]
    assert {name: spec[name] for name in extra} == extra
    assert "description" not in spec


@pytest.mark.spec("F5")
async def test_a_replacement_may_not_take_another_one_s_name_and_may_keep_its_own() -> None:
    stage = Stage()
    for name in ("first", "second"):
        await stage.create_one(name)
    first, second = (one.credential.id for one in stage.manager.listed(NAMESPACE, CLIENT))
    await refused(stage.replace_one(first, "second"), Refusal.DUPLICATE_NAME)
    await refused(stage.replace_one(second, "first"), Refusal.DUPLICATE_NAME)
    await stage.replace_one(first, "first", subject="changed")


@pytest.mark.spec("F5")
async def test_of_two_of_one_name_at_once_the_second_to_arrive_is_taken_back() -> None:
    stage = Stage()
    stage.before_seen = [lambda: stage.holds("u-zz", "ci") and None]
    await refused(stage.create_one(), Refusal.DUPLICATE_NAME)
    assert list(stage.objects) == ["u-zz"]
    assert stage.names() == ["ci"]


@pytest.mark.spec("F3", "F5")
async def test_of_two_that_come_to_the_last_place_at_once_the_second_to_arrive_is_taken_back() -> None:
    stage = Stage()
    for number in range(19):
        await stage.create_one(str(number))
    # Made within the same second, so that the age alone would give the place to the second one.
    stage.before_seen = [lambda: stage.holds("u-zz", "the other") and None]
    await refused(stage.create_one("mine"), Refusal.LIMIT_EXCEEDED)
    assert "u-zz" in stage.objects
    assert len(stage.objects) == 20


async def test_the_first_to_arrive_stays_when_another_one_is_heard_of_before_it_is_judged() -> None:
    stage = Stage()
    create = stage.create

    async def then_another(path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = await create(path, body)
        stage.holds("u-00", "ci")
        return made

    stage.create = then_another  # type: ignore[method-assign]
    assert (await stage.create_one()).credential.name == "ci"


@pytest.mark.spec("F5")
async def test_of_two_that_are_renamed_alike_at_once_the_second_is_renamed_back() -> None:
    stage = Stage()
    stage.holds("u-1", "one", description="kept", scopes=["api"])
    stage.holds("u-2", "two")
    stage.before_write = [lambda: stage.touch("u-2", displayName="same")]
    await refused(stage.replace_one("u-1", "same", subject="changed"), Refusal.DUPLICATE_NAME)
    spec = stage.objects["u-1"]["spec"]
    assert (spec["displayName"], spec["description"], spec["subject"], spec["scopes"]) == ("one", "kept", "s", ["api"])


async def test_a_status_in_between_stops_no_replacement() -> None:
    stage = Stage()
    stage.holds("u-1", "ci")
    tag = stage.manager.one(NAMESPACE, CLIENT, "u-1").tag
    stage.before_write = [lambda: stage.touch("u-1")] * 2
    await stage.replace_one("u-1", subject="new", if_match=tag)
    assert stage.calls == ["merge"] * 3
    assert stage.objects["u-1"]["spec"]["subject"] == "new"


async def test_a_change_in_between_fails_the_condition_of_a_replacement_and_of_a_deletion() -> None:
    stage = Stage()
    stage.holds("u-1", "ci")
    tag = stage.manager.one(NAMESPACE, CLIENT, "u-1").tag
    stage.before_write = [lambda: stage.touch("u-1", subject="theirs")]
    await refused(stage.replace_one("u-1", subject="mine", if_match=tag), Refusal.CHANGED)
    await refused(stage.delete_one("u-1", tag), Refusal.CHANGED)
    tag = stage.manager.one(NAMESPACE, CLIENT, "u-1").tag
    stage.before_write = [lambda: stage.touch("u-1", subject="theirs again")]
    await refused(stage.delete_one("u-1", tag), Refusal.CHANGED)
    assert stage.objects["u-1"]["spec"]["subject"] == "theirs again"


async def test_a_status_in_between_stops_no_deletion() -> None:
    stage = Stage()
    stage.holds("u-1", "ci")
    tag = stage.manager.one(NAMESPACE, CLIENT, "u-1").tag
    stage.before_write = [lambda: stage.touch("u-1")]
    assert await stage.delete_one("u-1", tag) == "sales/fc-u-1"
    assert stage.objects == {}


async def test_who_is_written_over_without_end_is_told_to_come_again() -> None:
    stage = Stage()
    stage.holds("u-1", "ci")
    stage.before_write = [lambda: stage.touch("u-1")] * 9
    with pytest.raises(KubernetesError):
        await stage.replace_one("u-1", subject="new")


@pytest.mark.spec("F9")
async def test_a_deletion_answers_when_this_gateway_has_seen_it() -> None:
    stage = Stage()
    made = await stage.create_one()
    await stage.delete_one(made.credential.id)
    assert stage.names() == []
    await refused(stage.delete_one(made.credential.id), Refusal.NOT_FOUND)


async def test_one_that_is_being_deleted_is_gone() -> None:
    stage = Stage()
    body = stage.holds("u-1", "ci")
    body["metadata"]["deletionTimestamp"] = "2026-03-01T13:00:00Z"
    stage.mirror.change(stage.mirror.slim(body))
    assert stage.names() == []
    await refused(stage.replace_one("u-1"), Refusal.NOT_FOUND)
    await stage.create_one()


@pytest.mark.spec("F5")
@pytest.mark.parametrize(
    ("code", "expected"),
    [(400, Refusal.RULE_BROKEN), (422, Refusal.RULE_BROKEN), (403, Refusal.NOT_WRITABLE), (404, Refusal.NOT_FOUND)],
)
async def test_what_the_api_server_refuses_is_said_in_our_words(code: int, expected: Refusal) -> None:
    stage = Stage()
    stage.holds("u-1", "ci")
    stage.refuse = code
    await refused(stage.create_one("another"), expected)
    await refused(stage.replace_one("u-1"), expected)
    if code != 404:
        await refused(stage.delete_one("u-1"), expected)


@pytest.mark.parametrize("code", [0, 429, 500, 503])
async def test_an_api_server_that_does_not_help_is_no_refusal(code: int) -> None:
    stage = Stage()
    stage.holds("u-1", "ci")
    stage.refuse = code
    for call in (stage.create_one("another"), stage.replace_one("u-1"), stage.delete_one("u-1")):
        with pytest.raises(KubernetesError):
            await call


async def test_a_watch_that_is_late_holds_an_answer_up_for_a_second_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lanyard.flows.manage.SEEN_WITHIN", 0.02)
    stage = Stage(blind=True)
    assert (await stage.create_one()).credential.name == "ci"


async def test_a_sibling_that_is_older_than_the_schema_counts_nowhere() -> None:
    stage = Stage()
    stage.holds("u-1", "ci", replay="Sometimes")
    await stage.create_one()
    await refused(stage.replace_one("u-1"), Refusal.RULE_BROKEN)


async def test_a_list_that_is_made_anew_forgets_what_is_gone_in_its_own_namespace_only() -> None:
    stage = Stage()
    kept = stage.mirror.slim(stage.holds("u-1", "one"))
    stage.holds("u-2", "two")
    KnownCredentials(stage.view, "elsewhere").replace([], "9")
    assert stage.names() == ["one", "two"]
    KnownCredentials(stage.view, NAMESPACE).replace([kept], "9")
    assert stage.names() == ["one"]
