"""An operator of named namespaces, with the rights of that mode only."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from support.cluster import Cluster
from support.install import install_chart, rendered, second_release
from support.people import eventually

RELEASE = "lanyard-scoped"
SERVED = "t-served"
EXCHANGE = "lanyard-scoped-exchange"


@pytest.fixture(scope="module")
def served(kubernetes: Any, operator_process: Callable[..., Any]) -> Iterator[tuple[Cluster, Any]]:
    """The namespace it serves, and the running operator."""
    values = second_release("scoped", [SERVED])
    account = install_chart(kubernetes, namespace=RELEASE, values=values)
    kubeconfig = kubernetes.service_account_kubeconfig(RELEASE, account)
    process = operator_process(kubeconfig=kubeconfig, namespaces=SERVED, exchange_namespace=EXCHANGE).start()
    with kubernetes.client() as client:
        yield Cluster(client, SERVED), process
    process.stop()
    manifests = yaml.safe_dump_all(rendered(values, namespace=RELEASE))
    kubernetes.kubectl("delete", "--ignore-not-found", "-f", "-", input=manifests)
    kubernetes.kubectl("delete", "namespace", RELEASE, SERVED, "--wait=false")


def basic(cluster: Cluster, name: str) -> None:
    cluster.secret("robot", password="a-password")
    cluster.connection(
        name,
        connector="basic",
        auth={"method": "basic", "username": "robot"},
        credentials={"password": {"secretRef": {"name": "robot", "key": "password"}}},
    )


@pytest.mark.spec("C2", "C17")
def test_it_serves_a_namespace_that_is_named(served: tuple[Cluster, Any]) -> None:
    here, _ = served
    basic(here, "crm")
    here.wait_ready("crm")
    assert here.data("crm-token")["password"] == "a-password"
    here.secret("robot", password="another")
    here.wait("Secret", "crm-token", lambda _: here.data("crm-token")["password"] == "another")


@pytest.mark.spec("C2")
def test_it_leaves_a_namespace_that_is_not_named(served: tuple[Cluster, Any], cluster: Cluster) -> None:
    here, _ = served
    basic(cluster, "elsewhere")
    basic(here, "after")
    here.wait_ready("after")
    assert cluster.get("Connection", "elsewhere")["status"] == {"observedGeneration": -1}
    assert not cluster.exists("Secret", "elsewhere-token")


@pytest.mark.spec("K2")
def test_it_reports_on_cluster_wide_kinds_and_is_refused_nothing(served: tuple[Cluster, Any]) -> None:
    here, process = served
    here.apply("Connector", "scoped-acme", {"methods": [{"name": "basic"}]})
    try:
        here.wait("Connector", "scoped-acme", lambda one: bool(one["status"].get("conditions")))
        events = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=scoped-acme"
        eventually(lambda: bool(here.client.get(events).json()["items"]))
    finally:
        here.delete("Connector", "scoped-acme")
    assert [line for line in process.lines() if 403 in line.values()] == []
