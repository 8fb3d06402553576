from typing import Any

import pytest

from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.world import World

CONNECTION = Key(What.CONNECTION, "sales", "crm")
ASSET = Key(What.ASSET, "shared", "crm-app")
STORE = Key(What.STORE, "", "team-vault")
CREDENTIAL = Key(What.CREDENTIAL, "sales", "ci")
LOGIN = Key(What.SECRET, "platform", "approle")
SPECS: dict[What, dict[str, Any]] = {
    What.CONNECTION: {
        "connector": "salesforce",
        "credentials": {"clientSecret": {"credentialAssetRef": {"name": "crm-app", "namespace": "shared", "key": "p"}}},
    },
    What.CREDENTIAL: {"connectionRef": {"name": "crm"}},
    What.ASSET: {"store": "team-vault", "path": "apps/crm", "keys": {"p": "password"}},
    What.STORE: {
        "vault": {"auth": {"appRole": {"secretIdRef": {"namespace": "platform", "name": "approle", "key": "id"}}}}
    },
}


class Woken(list[Key]):
    def take(self) -> list[Key]:
        taken = list(self)
        self.clear()
        return taken


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def world(woken: Woken) -> World:
    return World(wake=woken.append, sources_of=sources_of)


def body(key: Key, *, uid: str = "uid-1", generation: int = 1, **members: Any) -> dict[str, Any]:
    metadata = {"name": key.name, "uid": uid, "generation": generation}
    if key.namespace:
        metadata["namespace"] = key.namespace
    return {"metadata": metadata, "spec": SPECS[key.what]} | members


def see(world: World, *keys: Key, **members: Any) -> None:
    for key in keys:
        world.observe(key.what, body(key, **members))


def test_an_object_that_appears_is_known_and_woken(world: World, woken: Woken) -> None:
    see(world, CONNECTION, status={"expiresAt": "2026-03-01T12:00:00Z"})
    record = world.get(CONNECTION)
    assert record is not None
    assert (record.uid, record.generation) == ("uid-1", 1)
    assert record.parsed_status() == {"expiresAt": "2026-03-01T12:00:00Z"}
    assert woken == [CONNECTION]


def test_our_own_status_coming_back_wakes_nobody(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    record = world.get(CONNECTION)
    assert record is not None
    record.status = b'{"ours":1}'
    woken.clear()
    see(world, CONNECTION, status={"older": 1})
    assert woken == []
    assert record.parsed_status() == {"ours": 1}, "what was written is known better than what comes back"


def test_a_new_generation_replaces_the_spec_and_keeps_the_memory(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    record = world.get(CONNECTION)
    assert record is not None
    record.memory = "kept"
    woken.clear()
    world.observe(What.CONNECTION, body(CONNECTION, generation=2) | {"spec": {"connector": "zoom"}})
    assert world.get(CONNECTION) is record
    assert (record.generation, record.spec, record.memory) == (2, b'{"connector":"zoom"}', "kept")
    assert woken == [CONNECTION]


LINK = Key(What.CONNECTION, "hr", "crm")
LINKED = {"linkTo": {"namespace": "sales", "name": "crm"}}


@pytest.mark.spec("C13")
def test_a_link_is_woken_by_whatever_becomes_of_its_source(world: World, woken: Woken) -> None:
    world.observe(What.CONNECTION, body(LINK) | {"spec": LINKED})
    for change in (
        lambda: see(world, CONNECTION),
        lambda: see(world, CONNECTION, generation=2),
        lambda: see(world, CONNECTION, uid="uid-2"),
        lambda: world.forget(CONNECTION),
    ):
        woken.clear()
        change()
        assert LINK in woken
    see(world, CONNECTION)
    woken.clear()
    world.observe(What.CONNECTION, body(LINK, generation=2) | {"spec": LINKED | {"suspend": True}})
    assert CONNECTION not in woken, "nothing of a link reaches its source"


def ask(world: World, when: str, **members: Any) -> None:
    found = body(CONNECTION, **members)
    found["metadata"]["annotations"] = {"lanyard.dev/refresh": when}
    world.observe(What.CONNECTION, found)


@pytest.mark.spec("C4")
def test_whoever_asks_for_fresh_credentials_wakes_the_object_once(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    record = world.get(CONNECTION)
    assert record is not None
    assert not record.ask
    woken.take()
    ask(world, "2026-03-01T12:00:00Z")
    assert (record.ask, woken.take()) == (True, [CONNECTION])
    record.ask = False
    ask(world, "2026-03-01T12:00:00Z")
    assert (record.ask, woken.take()) == (False, [])
    ask(world, "2026-03-01T12:00:01Z", generation=2)
    assert record.ask


@pytest.mark.spec("C4")
@pytest.mark.parametrize(
    ("asked", "refreshed", "open_still"),
    [
        ("2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z", True),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", False),
        ("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z", False),
        ("2026-03-01T12:00:01Z", None, False),
        ("soon", "2026-03-01T12:00:00Z", False),
        ("2026-03-01", "2026-03-01T12:00:00Z", False),
    ],
    ids=[
        "asked after the last token",
        "asked in the second of the last token",
        "answered before",
        "nothing to compare with",
        "no date",
        "a date without a time zone",
    ],
)
def test_a_restart_finds_what_nobody_has_answered(
    world: World, asked: str, refreshed: str | None, open_still: bool
) -> None:
    ask(world, asked, status={"lastRefreshedAt": refreshed} if refreshed else {})
    record = world.get(CONNECTION)
    assert record is not None
    assert record.ask is open_still


def test_an_older_generation_that_comes_late_changes_nothing(world: World, woken: Woken) -> None:
    see(world, CONNECTION, generation=3)
    woken.clear()
    see(world, CONNECTION, generation=2)
    assert woken == []


@pytest.mark.spec("K2")
def test_a_namesake_is_a_new_object(world: World, woken: Woken) -> None:
    see(world, CONNECTION, status={"expiresAt": "2026-03-01T12:00:00Z"})
    before = world.get(CONNECTION)
    assert before is not None
    before.memory = "of the old one"
    woken.clear()
    see(world, CONNECTION, uid="uid-2")
    after = world.get(CONNECTION)
    assert after is not None
    assert after is not before
    assert (after.uid, after.memory, after.parsed_status()) == ("uid-2", None, {})
    assert woken == [CONNECTION]
    assert world.dependents(ASSET) == {CONNECTION}


def test_the_late_news_of_a_deletion_does_not_take_the_namesake(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    see(world, CONNECTION, uid="uid-2")
    woken.clear()
    world.forget(CONNECTION, "uid-1")
    assert world.get(CONNECTION) is not None
    assert woken == []


def test_a_namesake_of_an_asset_does_not_inherit_its_version(world: World) -> None:
    see(world, ASSET, status={"version": "7"})
    assert world.asset_versions[ASSET] == "7"
    see(world, ASSET, uid="uid-2")
    assert ASSET not in world.asset_versions


def test_what_was_deleted_is_forgotten_and_its_dependents_are_woken(world: World, woken: Woken) -> None:
    see(world, CONNECTION, ASSET, status={"version": "7"})
    woken.clear()
    world.forget(ASSET)
    assert world.get(ASSET) is None
    assert ASSET not in world.asset_versions
    assert woken == [ASSET, CONNECTION]
    assert world.dependents(STORE) == frozenset()


def test_what_is_being_deleted_is_forgotten(world: World) -> None:
    see(world, CONNECTION)
    deleting = body(CONNECTION)
    deleting["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    world.observe(What.CONNECTION, deleting)
    assert world.get(CONNECTION) is None


def test_forgetting_what_is_not_known_changes_nothing(world: World, woken: Woken) -> None:
    world.forget(CONNECTION)
    assert woken == []


def test_a_full_list_drops_ghosts_and_spares_what_came_meanwhile(world: World, woken: Woken) -> None:
    ghost, there, new = (CONNECTION._replace(name=name) for name in ("ghost", "there", "new"))
    see(world, ghost, there)
    before = list(world.objects[What.CONNECTION])
    see(world, new)
    woken.clear()
    assert world.retain(before, {there}) == 1
    assert {*world.objects[What.CONNECTION]} == {there, new}
    assert woken == [ghost]


def test_a_page_that_is_older_than_a_deletion_revives_nothing(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    world.begin_list()
    page = body(CONNECTION)
    world.forget(CONNECTION, "uid-1")
    woken.clear()
    world.list_in(CONNECTION.what, page)
    assert world.get(CONNECTION) is None
    assert woken == []


def test_a_page_that_is_older_than_the_deletion_of_what_was_never_known_revives_nothing(world: World) -> None:
    """Created and deleted between two pages."""
    world.begin_list()
    world.forget(CONNECTION, "uid-1")
    world.list_in(CONNECTION.what, body(CONNECTION))
    assert world.get(CONNECTION) is None


def test_what_began_to_be_deleted_during_a_list_is_not_revived_either(world: World) -> None:
    see(world, CONNECTION)
    world.begin_list()
    ending = body(CONNECTION)
    ending["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    world.observe(CONNECTION.what, ending)
    world.list_in(CONNECTION.what, body(CONNECTION))
    assert world.get(CONNECTION) is None


def test_a_namesake_that_came_after_a_deletion_is_listed_in(world: World) -> None:
    see(world, CONNECTION)
    world.begin_list()
    world.forget(CONNECTION, "uid-1")
    world.list_in(CONNECTION.what, body(CONNECTION, uid="uid-2"))
    record = world.get(CONNECTION)
    assert record is not None
    assert record.uid == "uid-2"


def test_a_list_remembers_only_the_deletions_of_its_own_time(world: World) -> None:
    """Otherwise an object that a backup brought back with its uid would be passed over for ever."""
    world.begin_list()
    world.forget(CONNECTION, "uid-1")
    world.end_list()
    world.list_in(CONNECTION.what, body(CONNECTION))
    assert world.get(CONNECTION) is not None
    world.forget(CONNECTION, "uid-1")
    world.begin_list()
    world.list_in(CONNECTION.what, body(CONNECTION))
    assert world.get(CONNECTION) is not None


@pytest.mark.spec("C10", "A4")
def test_a_change_wakes_all_that_is_made_from_it_also_through_assets(world: World, woken: Woken) -> None:
    see(world, CONNECTION, ASSET, STORE)
    woken.clear()
    world.touch(LOGIN)
    assert woken == [STORE, ASSET, CONNECTION]


@pytest.mark.spec("C10")
def test_a_source_that_appears_later_wakes_who_waits_for_it(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    woken.clear()
    see(world, ASSET)
    assert woken == [ASSET, CONNECTION]


def test_a_reference_that_was_given_up_wakes_nobody(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    world.observe(What.CONNECTION, body(CONNECTION, generation=2) | {"spec": {"connector": "salesforce"}})
    woken.clear()
    world.touch(ASSET)
    assert woken == []
    assert world._dependents.keys() == {
        Key(What.CONNECTOR, "", "salesforce"),
        Key(What.SECRET, "sales", "crm-token"),
    }, "nothing is kept of it"


@pytest.mark.spec("A+1")
def test_a_source_that_works_again_ends_the_back_off_of_all_behind_it(world: World, woken: Woken) -> None:
    see(world, CONNECTION, ASSET, STORE)
    woken.clear()
    world.nudge(STORE)
    assert woken == [ASSET, CONNECTION]
    assert [record.nudged for key in (STORE, ASSET, CONNECTION) if (record := world.get(key))] == [False, True, True]


def test_a_name_means_one_object_of_each_kind_and_namespace(world: World) -> None:
    other = CONNECTION._replace(namespace="shop")
    see(world, CONNECTION, other)
    world.forget(other)
    assert world.get(CONNECTION) is not None


@pytest.mark.spec("K6")
def test_while_another_process_works_its_statuses_are_taken_and_nobody_is_woken(world: World, woken: Woken) -> None:
    see(world, CONNECTION, ASSET, status={"version": "1"})
    world.follow()
    woken.clear()
    see(world, CONNECTION, status={"nextRefreshAt": "2026-03-01T13:00:00Z"})
    see(world, ASSET, status={"version": "2"})
    world.nudge(ASSET)
    record = world.get(CONNECTION)
    assert record is not None
    assert record.heard
    assert record.parsed_status() == {"nextRefreshAt": "2026-03-01T13:00:00Z"}
    assert world.asset_versions[ASSET] == "2"
    assert world.dependents(ASSET) == {CONNECTION}
    assert not record.nudged
    assert woken == [], "all are looked at when a term begins"


@pytest.mark.spec("K6", "C4")
def test_a_wish_for_fresh_credentials_that_another_process_has_answered_is_none(world: World) -> None:
    world.follow()
    ask(world, "2026-03-01T12:00:00Z", status={"lastRefreshedAt": "2026-03-01T11:00:00Z"})
    assert getattr(world.get(CONNECTION), "ask", None) is True
    ask(world, "2026-03-01T12:00:00Z", status={"lastRefreshedAt": "2026-03-01T12:00:01Z"})
    assert getattr(world.get(CONNECTION), "ask", None) is False


@pytest.mark.spec("K6")
def test_what_was_remembered_of_a_term_ends_with_it(world: World) -> None:
    see(world, CONNECTION)
    record = world.get(CONNECTION)
    assert record is not None
    record.memory, record.told, record.refused = "a token that was received", b"{}", 3
    world.follow()
    assert (record.memory, record.told, record.refused, record.heard) == (None, None, 0, True)


@pytest.mark.parametrize("unbroken", [True, False])
def test_what_was_seen_before_a_term_is_hearsay_unless_nobody_was_at_work(world: World, unbroken: bool) -> None:
    world.follow()
    see(world, CONNECTION)
    world.lead(unbroken=unbroken)
    record = world.get(CONNECTION)
    assert record is not None
    assert record.heard is not unbroken
    see(world, ASSET)
    assert getattr(world.get(ASSET), "heard", None) is False


@pytest.mark.spec("C13")
def test_what_a_question_brought_wakes_the_links(world: World, woken: Woken) -> None:
    world.follow()
    see(world, CONNECTION)
    world.observe(What.CONNECTION, body(LINK) | {"spec": LINKED})
    world.lead(unbroken=False)
    before = world.get(CONNECTION)
    assert before is not None
    woken.clear()
    world.confirm(before, body(CONNECTION, status={"publishedVersion": "7"}))
    assert woken == [LINK]


def test_an_answer_to_a_question_is_no_hearsay(world: World, woken: Woken) -> None:
    world.follow()
    see(world, CONNECTION, status={"nextRefreshAt": "2026-03-01T13:00:00Z"})
    world.lead(unbroken=False)
    before = world.get(CONNECTION)
    assert before is not None
    world.confirm(before, body(CONNECTION, generation=2, status={"nextRefreshAt": "2026-03-01T14:00:00Z"}))
    after = world.get(CONNECTION)
    assert after is not None
    assert not after.heard
    assert (after.generation, after.parsed_status()) == (2, {"nextRefreshAt": "2026-03-01T14:00:00Z"})
    world.confirm(before, body(CONNECTION, status={"nextRefreshAt": "2026-03-01T15:00:00Z"}))
    assert world.get(CONNECTION) is after, "an answer about an object that another one has replaced"


@pytest.mark.spec("F1")
def test_a_federated_credential_that_comes_or_goes_wakes_its_connection(world: World, woken: Woken) -> None:
    see(world, CONNECTION)
    assert not world.wants_copy(CONNECTION)
    woken.clear()
    see(world, CREDENTIAL)
    assert world.wants_copy(CONNECTION)
    assert CONNECTION in woken.take()
    see(world, CREDENTIAL)
    assert woken == []
    world.forget(CREDENTIAL)
    assert not world.wants_copy(CONNECTION)
    assert CONNECTION in woken


@pytest.mark.spec("F1")
def test_a_namesake_that_names_another_connection_wakes_both(world: World, woken: Woken) -> None:
    see(world, CREDENTIAL)
    woken.clear()
    other = Key(What.CONNECTION, "sales", "erp")
    world.observe(What.CREDENTIAL, body(CREDENTIAL, uid="uid-2", spec={"connectionRef": {"name": "erp"}}))
    assert {CONNECTION, other} <= set(woken)
    assert (world.wants_copy(CONNECTION), world.wants_copy(other)) == (False, True)
