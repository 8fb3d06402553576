"""Does what is published work? The product is asked, seldom, and its answer is a condition of its own."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lanyard.connectors.loader import load_catalogue
from lanyard.reasons import Reason
from support.cluster import Cluster, Object, conditions, is_current, reason_of, status_of
from support.connecting import asks, token_of
from support.people import eventually
from support.provider import Answer, Recorded, ScriptedProvider

PATH, ME = "/token", "/me"
OURS = "system:serviceaccount:lanyard-system:lanyard-operator"
WRITES = {"create", "update", "patch", "delete"}
QUIET_SECONDS = 2.0

pytestmark = pytest.mark.spec("C4")


@pytest.fixture(autouse=True)
def _alive(operator: Any) -> Iterator[None]:
    yield
    assert operator.running
    assert operator.metrics()["lanyard_faults_total"] == 0


class Product(ScriptedProvider):
    """Gives t0ken-1, t0ken-2, ... and takes at /me those of `taken`; without a list, all."""

    taken: tuple[str, ...] | None = None
    status = 401

    def open(self) -> None:
        self.script(PATH, lambda _: Answer.of_token(f"t0ken-{len(self.requests(PATH))}"))
        self.script(ME, self._me)

    def _me(self, asked: Recorded) -> Answer:
        token = (asked.header("Authorization") or "").removeprefix("Bearer ")
        fine = self.taken is None or token in self.taken
        return Answer.of_json({"login": "bot"}) if fine else Answer.of_json({}, self.status)

    @property
    def asked(self) -> list[str]:
        return [one.header("Authorization") or "" for one in self.requests(ME)]


@pytest.fixture
def product() -> Iterator[Product]:
    with Product(tls=False) as product:
        product.open()
        yield product


@pytest.fixture
def here(cluster: Cluster) -> Cluster:
    cluster.secret("client", secret="s3cret")
    return cluster


@pytest.fixture
def connect(here: Cluster, product: Product) -> Iterator[Callable[..., Object]]:
    """Makes `crm` of a connector with a request that verifies it; the connector goes with the test."""
    name = f"acme-{here.namespace}"

    def make(kind: str = "oauth2", *, verification: Object | None = None, **spec: Any) -> Object:
        found = load_catalogue()[kind].spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        method = "clientCredentials" if kind == "oauth2" else "bearerToken"
        found["methods"] = [one for one in found["methods"] if one["name"] == method]
        headers = {} if kind == "oauth2" else {"Authorization": "Bearer {token}"}
        asked = {"request": {"url": product.url + ME, "headers": headers}} | (verification or {})
        found["methods"][0]["verification"] = asked
        here.apply("Connector", name, found)
        if kind == "oauth2":
            return asks(here, "crm", product.url + PATH, connector=name, **spec)
        token = {"secretRef": {"name": "client", "key": "secret"}}
        return here.connection("crm", connector=name, auth={"method": method}, credentials={"token": token}, **spec)

    yield make
    here.client.delete(here.path("Connector", name))


def wait_verified(cluster: Cluster, status: str, reason: Reason) -> Object:
    found = cluster.wait(
        "Connection", "crm", lambda one: (status_of(one, "Verified"), reason_of(one, "Verified")) == (status, reason)
    )
    assert "lastVerifiedAt" in found["status"]
    return found


@pytest.mark.spec("K2")
def test_what_is_published_is_shown_to_the_product_as_a_workload_would(
    here: Cluster, product: Product, connect: Callable[..., Object], kubernetes: Any
) -> None:
    connect()
    found = wait_verified(here, "True", Reason.VERIFIED)
    assert status_of(found, "Ready") == "True"
    assert product.asked == ["Bearer t0ken-1"]
    kubernetes.kubectl("wait", "--for=condition=Verified", "conn/crm", "-n", here.namespace, "--timeout=10s")
    time.sleep(QUIET_SECONDS)
    assert len(product.asked) == 1
    assert [event["reason"] for event in here.events("crm")] == ["TokenPublished"]


@pytest.mark.spec("C10")
def test_another_credential_is_asked_about_at_once(
    here: Cluster, product: Product, connect: Callable[..., Object]
) -> None:
    connect("bearer", verify={"interval": "720h"})
    wait_verified(here, "True", Reason.VERIFIED)
    product.taken = ("s3cret",)
    here.secret("client", secret="rotated")
    found = wait_verified(here, "False", Reason.VERIFICATION_REFUSED)
    assert product.asked == ["Bearer s3cret", "Bearer rotated"]
    assert status_of(found, "Ready") == "True", "one bad answer takes nothing away"
    assert not {"Stalled", "Reconciling"} & conditions(found).keys()
    eventually(lambda: "VerificationRefused" in {event["reason"] for event in here.events("crm")}, seconds=5)
    time.sleep(QUIET_SECONDS)
    assert len(product.asked) == 2, "a static credential is not asked about again and again"
    here.secret("client", secret="s3cret")
    wait_verified(here, "True", Reason.VERIFIED)


@pytest.mark.spec("C7")
def test_a_token_that_is_refused_is_fetched_once_more_and_no_more_than_that(
    here: Cluster, product: Product, connect: Callable[..., Object]
) -> None:
    product.taken = ("t0ken-2",)
    connect()
    wait_verified(here, "True", Reason.VERIFIED)
    assert product.asked == ["Bearer t0ken-1", "Bearer t0ken-2"]
    assert token_of(here, "crm") == "t0ken-2"
    product.taken = ()
    here.merge("Connection", "crm", {"spec": {"auth": {"scopes": ["another"]}}})
    wait_verified(here, "False", Reason.VERIFICATION_REFUSED)
    eventually(lambda: len(product.asked) == 4, seconds=5)
    time.sleep(QUIET_SECONDS)
    assert len(product.requests(PATH)) == len(product.asked) == 4
    assert status_of(here.get("Connection", "crm"), "Ready") == "True"


ANSWERS = {
    "403 is a permission": (403, {}, "False", Reason.VERIFICATION_FORBIDDEN),
    "403 proves the credential where the connector says so": (403, {"forbiddenProves": True}, "True", Reason.VERIFIED),
    "429 says nothing": (429, {}, "Unknown", Reason.VERIFICATION_UNANSWERED),
    "503 says nothing": (503, {}, "Unknown", Reason.VERIFICATION_UNANSWERED),
    "404 says nothing": (404, {}, "Unknown", Reason.VERIFICATION_UNANSWERED),
}


@pytest.mark.parametrize(("code", "changes", "status", "reason"), ANSWERS.values(), ids=ANSWERS.keys())
def test_each_answer_has_its_word(
    here: Cluster,
    product: Product,
    connect: Callable[..., Object],
    code: int,
    changes: Object,
    status: str,
    reason: Reason,
) -> None:
    product.taken, product.status = (), code
    connect(verification={"request": {"url": product.url + ME}} | changes)
    found = wait_verified(here, status, reason)
    assert status_of(found, "Ready") == "True"
    time.sleep(QUIET_SECONDS)
    assert len(product.asked) == len(product.requests(PATH)) == 1


def test_a_product_that_is_not_there_says_nothing(here: Cluster, connect: Callable[..., Object]) -> None:
    connect(verification={"request": {"url": "http://127.0.0.1:1/me"}})
    found = wait_verified(here, "Unknown", Reason.VERIFICATION_UNANSWERED)
    assert status_of(found, "Ready") == "True"


@pytest.mark.parametrize(
    ("verification", "spec"),
    [({}, {"verify": {"interval": "0s"}}), ({"costs": True}, {}), (None, {"suspend": True})],
    ids=["where the team says never", "where it costs and nobody asked for it", "while it is suspended"],
)
def test_the_product_is_not_asked(
    here: Cluster, product: Product, connect: Callable[..., Object], verification: Object | None, spec: Object
) -> None:
    connect(verification={"request": {"url": product.url + ME}} | (verification or {}), **spec)
    here.wait("Connection", "crm", is_current)
    if "suspend" not in spec:
        here.wait_ready("crm")
    time.sleep(QUIET_SECONDS)
    assert product.asked == []
    assert "Verified" not in conditions(here.get("Connection", "crm"))


def test_what_costs_is_asked_where_the_team_says_how_often(
    here: Cluster, product: Product, connect: Callable[..., Object]
) -> None:
    connect(verification={"request": {"url": product.url + ME}, "costs": True}, verify={"interval": "24h"})
    wait_verified(here, "True", Reason.VERIFIED)
    here.merge("Connection", "crm", {"spec": {"verify": {"interval": "0s"}}})
    here.wait("Connection", "crm", lambda one: "Verified" not in conditions(one))
    assert "lastVerifiedAt" not in here.get("Connection", "crm")["status"]
    assert len(product.requests(PATH)) == 1, "how often it is asked is no part of the credential"


@pytest.mark.spec("C7")
def test_a_refresh_is_no_reason_to_ask_and_leaves_the_verdict(
    here: Cluster, product: Product, connect: Callable[..., Object], kubernetes: Any
) -> None:
    connect()
    wait_verified(here, "True", Reason.VERIFIED)
    time.sleep(QUIET_SECONDS)
    offset = kubernetes.audit_offset()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    here.merge("Connection", "crm", {"metadata": {"annotations": {"lanyard.dev/refresh": stamp}}})
    eventually(lambda: token_of(here, "crm") == "t0ken-2", seconds=5)
    time.sleep(QUIET_SECONDS)
    assert status_of(here.get("Connection", "crm"), "Verified") == "True"
    assert len(product.asked) == 1
    writes = [
        event["objectRef"]["resource"]
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == OURS
        and event["verb"] in WRITES
        and event.get("objectRef", {}).get("namespace") == here.namespace
    ]
    assert writes == ["secrets", "connections"]


@pytest.mark.spec("K2")
def test_a_restart_asks_nobody_before_the_interval_is_over_and_then_once(
    here: Cluster, product: Product, connect: Callable[..., Object], operator: Any
) -> None:
    connect(verify={"interval": "1h"})
    found = wait_verified(here, "True", Reason.VERIFIED)
    operator.stop()
    operator.start()
    time.sleep(QUIET_SECONDS)
    assert len(product.asked) == 1
    assert here.get("Connection", "crm")["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    operator.stop()
    status = found["status"] | {"lastVerifiedAt": "2026-01-01T00:00:00Z"}
    path = here.path("Connection", "crm") + "/status"
    merge = {"Content-Type": "application/merge-patch+json"}
    assert here.client.patch(path, json={"status": status}, headers=merge).status_code == 200
    operator.start()
    eventually(lambda: len(product.asked) == 2, seconds=10)
    time.sleep(QUIET_SECONDS)
    assert len(product.asked) == 2


def test_a_suspended_connection_is_asked_about_afterwards(
    here: Cluster, product: Product, connect: Callable[..., Object]
) -> None:
    connect(verify={"interval": "0s"})
    here.wait_ready("crm")
    here.merge("Connection", "crm", {"spec": {"suspend": True, "verify": {"interval": "1h"}}})
    here.wait("Connection", "crm", is_current)
    time.sleep(QUIET_SECONDS)
    assert product.asked == []
    here.merge("Connection", "crm", {"spec": {"suspend": False}})
    wait_verified(here, "True", Reason.VERIFIED)
