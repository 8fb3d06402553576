from typing import Any

import pytest

from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.mirrors import Namespaces, OpenConsents, PublishedSecrets, ReadableSecrets, StoredGrants
from lanyard.flows.world import SecretVersion, World

CRM = Key(What.CONNECTION, "sales", "crm")
SHOP = Key(What.CONNECTION, "shop", "till")
SHOP_ASSET = Key(What.ASSET, "shop", "till-app")
APP = Key(What.SECRET, "sales", "crm-app")
TOKEN = Key(What.SECRET, "sales", "crm-token")


def secret(key: Key = APP, version: str = "10", uid: str = "uid-1", owner: str = "") -> SecretVersion:
    return SecretVersion(key.namespace, key.name, uid, version, owner)


def metadata(one: SecretVersion) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "namespace": one.namespace,
        "name": one.name,
        "uid": one.uid,
        "resourceVersion": one.version,
    }
    if one.owner:
        shown["ownerReferences"] = [{"uid": "somebody"}, {"uid": one.owner, "controller": True}]
    return shown


@pytest.fixture
def woken() -> list[Key]:
    return []


@pytest.fixture
def world(woken: list[Key]) -> World:
    world = World(wake=woken.append, sources_of=sources_of)
    for key in (CRM, SHOP):
        ref = {"secretRef": {"name": f"{key.name}-app", "key": "password"}}
        observed = {
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": f"uid-of-{key.name}", "generation": 1},
            "spec": {"connector": "salesforce", "credentials": {"clientSecret": ref}},
        }
        world.observe(What.CONNECTION, observed)
    asset = {"metadata": {"namespace": "shop", "name": "till-app", "uid": "a"}, "spec": {"path": "x"}}
    world.observe(What.ASSET, asset)
    woken.clear()
    return world


def test_a_secret_is_kept_by_name_uid_and_version_only() -> None:
    full = metadata(secret()) | {"managedFields": [{"much": "text"}], "annotations": {"a": "b"}, "labels": None}
    mirror = ReadableSecrets(World(wake=lambda _: None, sources_of=sources_of))
    assert mirror.slim(full) == secret()


def test_a_published_secret_tells_whose_it_is_by_its_owner_and_not_by_a_label() -> None:
    mirror = PublishedSecrets(World(wake=lambda _: None, sources_of=sources_of))
    assert mirror.slim(metadata(secret(owner="u"))).owner == "u"
    copied = metadata(secret()) | {"labels": {"lanyard.dev/connection-uid": "u"}}
    assert mirror.slim(copied).owner == ""


@pytest.mark.spec("C10")
def test_a_new_version_of_a_readable_secret_wakes_who_uses_it(world: World, woken: list[Key]) -> None:
    mirror = ReadableSecrets(world)
    mirror.change(secret())
    mirror.change(secret(version="11"))
    assert woken == [CRM, CRM]
    assert world.readable == {APP: secret(version="11")}


def test_the_same_version_told_twice_wakes_nobody(world: World, woken: list[Key]) -> None:
    mirror = ReadableSecrets(world)
    mirror.change(secret())
    woken.clear()
    mirror.change(secret())
    mirror.replace([secret()], "50")
    assert woken == []


@pytest.mark.spec("C10")
def test_a_readable_secret_that_vanished_wakes_who_used_it(world: World, woken: list[Key]) -> None:
    mirror = ReadableSecrets(world)
    mirror.change(secret())
    woken.clear()
    mirror.forget(secret(version="12"))
    mirror.forget(secret(version="12"))
    assert woken == [CRM]
    assert world.readable == {}


def test_a_full_list_replaces_and_wakes_only_what_differs(world: World, woken: list[Key]) -> None:
    mirror = ReadableSecrets(world)
    ghost, same, changed = (Key(What.SECRET, "sales", name) for name in ("ghost", "same", "crm-app"))
    mirror.replace([secret(ghost), secret(same), secret(changed)], "50")
    woken.clear()
    mirror.replace([secret(same), secret(changed, "11"), secret(Key(What.SECRET, "shop", "till-app"))], "60")
    assert {*woken} == {CRM, SHOP}
    assert world.readable.keys() == {same, changed, Key(What.SECRET, "shop", "till-app")}


@pytest.mark.parametrize("mirror", [ReadableSecrets, PublishedSecrets])
def test_a_list_of_one_namespace_says_nothing_about_another(mirror: Any, world: World) -> None:
    mirror(world, "sales").replace([secret()], "50")
    mirror(world, "shop").replace([secret(Key(What.SECRET, "shop", "till-app"))], "50")
    mirror(world, "sales").replace([], "60")
    known = {**world.readable, **world.published}
    assert known.keys() == {Key(What.SECRET, "shop", "till-app")}


@pytest.mark.spec("C17")
def test_an_edited_workload_secret_wakes_its_connection(world: World, woken: list[Key]) -> None:
    mirror = PublishedSecrets(world)
    world.published[TOKEN] = secret(TOKEN, "20", owner="uid-of-crm")
    mirror.change(secret(TOKEN, "21", owner="uid-of-crm"))
    assert woken == [CRM]


def test_our_own_write_coming_back_wakes_nobody(world: World, woken: list[Key]) -> None:
    mirror = PublishedSecrets(world)
    world.published[TOKEN] = secret(TOKEN, "20")
    for version in ("18", "19", "20"):
        mirror.change(secret(TOKEN, version))
    assert woken == []
    assert world.published[TOKEN].version == "20"


def test_a_replaced_workload_secret_is_news_whatever_its_version(world: World, woken: list[Key]) -> None:
    mirror = PublishedSecrets(world)
    world.published[TOKEN] = secret(TOKEN, "20")
    mirror.change(secret(TOKEN, "7", uid="uid-2"))
    assert woken == [CRM]


@pytest.mark.spec("C17")
def test_a_deleted_workload_secret_wakes_its_connection(world: World, woken: list[Key]) -> None:
    mirror = PublishedSecrets(world)
    world.published[TOKEN] = secret(TOKEN, "20")
    mirror.forget(secret(TOKEN, "21"))
    assert woken == [CRM]
    assert world.published == {}


def test_the_late_end_of_a_former_secret_does_not_take_its_successor(world: World, woken: list[Key]) -> None:
    mirror = PublishedSecrets(world)
    world.published[TOKEN] = secret(TOKEN, "30", uid="uid-2")
    mirror.forget(secret(TOKEN, "21", uid="uid-1"))
    assert woken == []
    assert TOKEN in world.published


def test_a_list_older_than_our_write_does_not_undo_it(world: World, woken: list[Key]) -> None:
    mirror = PublishedSecrets(world)
    world.published[TOKEN] = secret(TOKEN, "55")
    mirror.replace([], "50")
    assert TOKEN in world.published
    mirror.replace([secret(TOKEN, "40")], "50")
    assert world.published[TOKEN].version == "55"
    assert woken == []
    mirror.replace([], "60")
    assert world.published == {}
    assert woken == [CRM]


@pytest.mark.spec("A9")
def test_changed_labels_of_a_namespace_wake_what_lives_there(world: World, woken: list[Key]) -> None:
    mirror = Namespaces(world)
    mirror.replace([("shop", {"team": "a"}), ("sales", {})], "50")
    woken.clear()
    mirror.change(("shop", {"team": "a"}))
    assert woken == []
    mirror.change(("shop", {"team": "b"}))
    assert woken == [SHOP, SHOP_ASSET]
    assert world.namespaces == {"shop": {"team": "b"}, "sales": {}}


@pytest.mark.spec("A9")
def test_labels_that_changed_while_nobody_watched_wake_too(world: World, woken: list[Key]) -> None:
    mirror = Namespaces(world)
    mirror.replace([("shop", {"team": "a"}), ("sales", {})], "50")
    woken.clear()
    mirror.replace([("shop", {"team": "b"}), ("sales", {})], "60")
    assert woken == [SHOP, SHOP_ASSET]


@pytest.mark.spec("A9")
def test_a_namespace_that_is_told_after_its_objects_wakes_them(world: World, woken: list[Key]) -> None:
    """Until then nobody could say which selectors it fits."""
    Namespaces(world).change(("shop", {"team": "a"}))
    assert woken == [SHOP, SHOP_ASSET]


def test_a_namespace_that_is_gone_is_forgotten(world: World) -> None:
    mirror = Namespaces(world)
    mirror.replace([("shop", {}), ("sales", {})], "50")
    mirror.forget(("shop", {}))
    mirror.replace([("hr", {})], "60")
    assert world.namespaces == {"hr": {}}


def test_labels_are_kept_and_nothing_else_of_a_namespace() -> None:
    mirror = Namespaces(World(wake=lambda _: None, sources_of=sources_of))
    assert mirror.slim({"name": "shop", "labels": {"a": "b"}, "uid": "u"}) == ("shop", {"a": "b"})
    assert mirror.slim({"name": "shop"}) == ("shop", {})


def state(uid: str = "uid-1", **marks: str) -> dict[str, Any]:
    """Metadata of a state Secret of sales/crm."""
    annotations = {"lanyard.dev/connection": "sales/crm", "lanyard.dev/grant-uid": uid, **marks}
    labels = {"lanyard.dev/grant": "install", "lanyard.dev/connection-uid": uid}
    return {
        "name": f"grant-{uid}",
        "uid": "s",
        "resourceVersion": "1",
        "labels": labels,
        "annotations": annotations,
    }


CONSENTED = {"lanyard.dev/grant-consented": "2026-03-01T12:00:00.000+00:00"}


@pytest.mark.parametrize(
    ("marks", "wakes"),
    [
        pytest.param({"lanyard.dev/grant-consented": "2026-04-01T12:00:00.000+00:00"}, True, id="a new consent"),
        pytest.param(CONSENTED | {"lanyard.dev/grant-ended": "GrantRevoked"}, True, id="its end"),
        pytest.param(CONSENTED | {"lanyard.dev/adopt-for": "uid-2"}, True, id="its adoption"),
        pytest.param(CONSENTED | {"lanyard.dev/grant-generation": "7"}, False, id="a refresh"),
    ],
)
def test_of_a_stored_grant_wakes_its_connection(
    world: World, woken: list[Key], marks: dict[str, str], wakes: bool
) -> None:
    mirror = StoredGrants(world)
    mirror.replace([mirror.slim(state(**CONSENTED))], "1")
    woken.clear()
    mirror.change(mirror.slim(state(**marks)))
    assert (woken == [CRM]) is wakes


def test_a_stored_grant_that_is_gone_wakes_its_connection(world: World, woken: list[Key]) -> None:
    mirror = StoredGrants(world)
    mirror.change(mirror.slim(state(**CONSENTED)))
    assert world.grant_of(CRM, "uid-1") is not None
    assert world.grant_of(CRM, "uid-2") is None
    woken.clear()
    mirror.forget(mirror.slim(state(**CONSENTED)))
    assert (woken, world.grant_of(CRM, "uid-1")) == ([CRM], None)


def test_a_list_that_lost_a_grant_wakes_its_connection(world: World, woken: list[Key]) -> None:
    mirror = StoredGrants(world)
    mirror.replace([mirror.slim(state(**CONSENTED)), mirror.slim(state("uid-0"))], "1")
    woken.clear()
    mirror.replace([mirror.slim(state("uid-0"))], "2")
    assert (woken, world.grant_of(CRM, "uid-1")) == ([CRM], None)
    mirror.replace([mirror.slim(state("uid-0"))], "3")
    assert woken == [CRM]


def test_every_answered_consent_is_handed_on(world: World, woken: list[Key]) -> None:
    mirror = OpenConsents(world)
    mirror.replace([mirror.slim({"name": "consent-1"})], "1")
    mirror.change(mirror.slim({"name": "consent-2"}))
    mirror.forget(mirror.slim({"name": "consent-1"}))
    assert [key.name for key in woken] == ["consent-1", "consent-2"]
    assert {key.name for key in world.consents} == {"consent-2"}
