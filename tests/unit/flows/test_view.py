from typing import Any

from lanyard.flows.keys import Key, What
from lanyard.flows.view import ConnectionMirror, ConnectorMirror, SeenConnection, View


def body(name: str, *, namespace: str = "sales", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1, **metadata},
        "spec": {"connector": "acme"},
    }


def test_a_connection_is_seen_with_its_approval() -> None:
    seen = SeenConnection.of(body("crm", annotations={"lanyard.dev/consent": "h.ada"}))
    assert (seen.owner, seen.uid, seen.approval, seen.going) == ("sales/crm", "uid-crm", "h.ada", False)
    assert seen.parsed().connector == "acme"


def test_one_that_is_being_deleted_is_going() -> None:
    assert SeenConnection.of(body("crm", deletionTimestamp="2026-11-25T12:00:00Z")).going


def test_an_approval_is_seen_though_no_generation_changes() -> None:
    view = View()
    mirror = ConnectionMirror(view)
    mirror.change(mirror.slim(body("crm")))
    mirror.change(mirror.slim(body("crm", annotations={"lanyard.dev/consent": "h.ada"})))
    assert view.connections["sales", "crm"].approval == "h.ada"


def test_a_list_replaces_what_it_covers_and_nothing_else() -> None:
    view = View()
    sales, shop = ConnectionMirror(view, "sales"), ConnectionMirror(view, "shop")
    sales.replace([sales.slim(body("a")), sales.slim(body("b"))], "1")
    shop.replace([shop.slim(body("c", namespace="shop"))], "1")
    sales.replace([sales.slim(body("b"))], "2")
    assert set(view.connections) == {("sales", "b"), ("shop", "c")}
    shop.forget(shop.slim(body("c", namespace="shop")))
    assert set(view.connections) == {("sales", "b")}


def test_connectors_come_and_go() -> None:
    view = View()
    mirror = ConnectorMirror(view.world)

    def connector(name: str, generation: int = 1, url: str = "u") -> dict[str, Any]:
        uid = f"uid-{name}"
        return {"metadata": {"name": name, "uid": uid, "generation": generation}, "spec": {"baseURL": url}}

    mirror.replace([mirror.slim(connector("a")), mirror.slim(connector("b"))], "1")
    mirror.change(mirror.slim(connector("a", 2, "v")))
    record = view.world.get(Key(What.CONNECTOR, "", "a"))
    assert record is not None
    assert (record.generation, record.spec) == (2, b'{"baseURL":"v"}')
    mirror.replace([mirror.slim(connector("b"))], "2")
    assert set(view.world.objects[What.CONNECTOR]) == {Key(What.CONNECTOR, "", "b")}
    mirror.forget(mirror.slim(connector("b")))
    assert view.world.objects[What.CONNECTOR] == {}
