"""Links: one Connection's token in another namespace, for as long as its owner allows it and not a moment longer.

The operator reaches the API server through a proxy, so that an owner can have second thoughts between two of its calls.
"""

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lanyard.reasons import Reason
from localenv.proxy import FaultProxy
from support.cluster import Cluster, Object, conditions, is_current, message_of, reason_of, status_of
from support.connecting import asks, token_of
from support.people import eventually
from support.provider import Answer, Recorded, ScriptedProvider

PATH = "/token"
TOKEN = "crm-token"
OURS = "system:serviceaccount:lanyard-system:lanyard-operator"
WRITES = {"create", "update", "patch", "delete"}
WITHIN_SECONDS = 5.0
QUIET_SECONDS = 1.5

pytestmark = pytest.mark.spec("C13")


@pytest.fixture(scope="module")
def api(environment: Any, kubernetes: Any) -> Iterator[FaultProxy]:
    with FaultProxy(environment.processes, environment.pki, "links", kubernetes.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], kubernetes: Any, api: FaultProxy) -> Any:
    kubeconfig = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator", server=api.url)
    return operator_process(kubeconfig=kubeconfig).start()


@pytest.fixture(autouse=True)
def _alive(api: FaultProxy, operator: Any) -> Iterator[None]:
    yield
    api.pass_through()
    assert operator.running
    assert operator.metrics()["lanyard_faults_total"] == 0


class Owner:
    """The namespace of the Connection that others link to, at a provider that answers t0ken-1, t0ken-2, ..."""

    def __init__(self, cluster: Cluster, provider: ScriptedProvider) -> None:
        self.cluster = cluster
        self.namespace = cluster.namespace
        self.provider = provider
        self.answering = True
        cluster.secret("client", secret="s3cret")
        provider.script(PATH, self._answer)

    def _answer(self, _: Recorded) -> Answer:
        return Answer.of_token(f"t0ken-{self.asked}") if self.answering else Answer.of_json({}, 503)

    @property
    def asked(self) -> int:
        return len(self.provider.requests(PATH))

    @property
    def token(self) -> str:
        return token_of(self.cluster, "crm")

    def connects(self, name: str = "crm", **spec: Any) -> Object:
        return asks(self.cluster, name, self.provider.url + PATH, **spec)

    def allows(self, grant: Object | None) -> None:
        self.cluster.merge("Connection", "crm", {"spec": {"allowedNamespaces": grant}})

    def refreshes(self) -> str:
        """Fetches another token, and returns it."""
        before = self.token
        self.cluster.merge("Connection", "crm", {"metadata": {"annotations": {"lanyard.dev/refresh": _stamp()}}})
        eventually(lambda: self.token != before, seconds=WITHIN_SECONDS)
        return self.token


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(tls=False) as provider:
        yield provider


@pytest.fixture
def other(kubernetes: Any, cluster: Cluster) -> Iterator[Cluster]:
    """A second namespace."""
    name = f"{cluster.namespace}-b"
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    with kubernetes.client() as client:
        yield Cluster(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def owner(cluster: Cluster, provider: ScriptedProvider, operator: Any) -> Owner:
    return Owner(cluster, provider)


@pytest.fixture
def shared(owner: Owner, other: Cluster) -> Owner:
    """`crm` of the owner, ready, and linked as `crm` in the other namespace, ready too."""
    owner.connects(allowedNamespaces={"names": [other.namespace]})
    owner.cluster.wait_ready("crm")
    link(other, owner)
    other.wait_ready("crm")
    return owner


def link(place: Cluster, owner: Owner, name: str = "crm", *, to: str = "crm", **spec: Any) -> Object:
    return place.connection(name, linkTo={"namespace": owner.namespace, "name": to}, **spec)


def assert_taken_back(place: Cluster, reason: Reason, name: str = "crm") -> Object:
    """The Secret is gone and the status says why, without a trace of what it carried."""
    eventually(lambda: not place.exists("Secret", f"{name}-token"), seconds=WITHIN_SECONDS)
    found = place.wait_reason(name, reason)
    assert not {"binding", "publishedVersion", "expiresAt", "inputsDigest"} & found["status"].keys()
    assert "SecretPublished" not in conditions(found)
    return found


@pytest.mark.spec("C17", "K2")
def test_a_link_publishes_what_its_source_has_published(shared: Owner, other: Cluster, kubernetes: Any) -> None:
    kubernetes.kubectl("wait", "--for=condition=Ready", "conn/crm", "-n", other.namespace, "--timeout=10s")
    source, found = shared.cluster.get("Connection", "crm"), other.get("Connection", "crm")
    assert other.data(TOKEN) == shared.cluster.data(TOKEN)
    assert other.data(TOKEN)["access_token"] == "t0ken-1"
    assert found["status"]["binding"] == {"name": TOKEN}
    assert found["status"]["expiresAt"] == source["status"]["expiresAt"]
    assert found["status"]["observedGeneration"] == 1
    assert reason_of(found, "Ready") == Reason.LINKED
    assert {"Ready", "SpecValid", "CredentialsResolved", "SecretPublished"} == conditions(found).keys()
    assert "finalizers" not in found["metadata"]
    owners = other.get("Secret", TOKEN)["metadata"]["ownerReferences"]
    assert [one["uid"] for one in owners] == [found["metadata"]["uid"]]
    assert [event["reason"] for event in other.events("crm")] == ["Linked"]
    assert shared.asked == 1, "a link asks no provider"


def test_a_link_has_a_secret_name_and_type_of_its_own_and_may_change_the_name(owner: Owner, other: Cluster) -> None:
    owner.connects(allowedNamespaces={"selector": {}})
    link(other, owner, secret={"name": "binding", "type": "servicebinding.io/crm"})
    other.wait_ready("crm")
    assert other.get("Secret", "binding")["type"] == "servicebinding.io/crm"
    link(other, owner, secret={"name": "another"})
    other.wait("Secret", "another", lambda one: one["type"] == "Opaque")
    eventually(lambda: not other.exists("Secret", "binding"), seconds=WITHIN_SECONDS)
    assert other.data("another") == owner.cluster.data(TOKEN)


def test_a_link_within_the_namespace_needs_no_admission(owner: Owner) -> None:
    owner.connects()
    link(owner.cluster, owner, "again")
    owner.cluster.wait_ready("again")
    assert owner.cluster.data("again-token") == owner.cluster.data(TOKEN)


@pytest.mark.spec("C7")
def test_a_new_token_reaches_the_link_within_seconds_at_two_writes(
    shared: Owner, other: Cluster, kubernetes: Any
) -> None:
    time.sleep(QUIET_SECONDS)
    offset = kubernetes.audit_offset()
    token = shared.refreshes()
    eventually(lambda: token_of(other, "crm") == token, seconds=WITHIN_SECONDS)
    source = shared.cluster.get("Connection", "crm")
    other.wait("Connection", "crm", lambda one: one["status"].get("expiresAt") == source["status"]["expiresAt"])
    time.sleep(QUIET_SECONDS)
    written = [
        f"{event['verb']} {event['objectRef']['resource']}"
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == OURS
        and event["verb"] in WRITES
        and event.get("objectRef", {}).get("namespace") == other.namespace
    ]
    assert written == ["patch secrets", "patch connections"]
    assert shared.asked == 2


def test_a_link_may_be_there_before_its_source_and_before_its_source_has_anything(owner: Owner, other: Cluster) -> None:
    link(other, owner)
    found = other.wait_reason("crm", Reason.LINK_TARGET_NOT_FOUND)
    assert "Reconciling" in conditions(found)
    owner.answering = False
    owner.connects(allowedNamespaces={"names": [other.namespace]})
    found = other.wait_reason("crm", Reason.LINK_TARGET_NOT_READY)
    assert "Reconciling" in conditions(found)
    owner.answering = True
    other.wait_ready("crm")
    assert token_of(other, "crm") == owner.token


GRANTS = {
    "by name": ({"names": ["{}"]}, {"names": ["elsewhere"]}),
    "by name, and then by nothing at all": ({"names": ["{}"]}, None),
    "by label": ({"selector": {"matchLabels": {"team": "sales"}}}, {"selector": {"matchLabels": {"team": "hr"}}}),
    "by an expression": (
        {"selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["sales"]}]}},
        {"selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["sales"]}]}},
    ),
}


@pytest.mark.spec("C8")
@pytest.mark.parametrize(("grant", "withdrawn"), GRANTS.values(), ids=GRANTS.keys())
def test_a_token_is_in_another_namespace_exactly_while_its_owner_admits_it(
    owner: Owner, other: Cluster, kubernetes: Any, grant: Object, withdrawn: Object | None
) -> None:
    kubernetes.kubectl("label", "namespace", other.namespace, "team=sales")
    owner.connects()
    owner.cluster.wait_ready("crm")
    link(other, owner)
    found = assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    assert "Stalled" in conditions(found)
    assert "spec.allowedNamespaces" in message_of(found, "Ready")
    owner.allows(withdrawn)
    time.sleep(QUIET_SECONDS)
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    # A merge patch keeps what is there: names and selector are set apart.
    owner.allows(None)
    owner.allows({"names": [other.namespace]} if "names" in grant else grant)
    other.wait_ready("crm")
    assert token_of(other, "crm") == owner.token
    owner.allows(withdrawn)
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    assert owner.asked == 1, "who may link is no question to the provider"
    owner.refreshes()
    time.sleep(QUIET_SECONDS)
    assert not other.exists("Secret", TOKEN)


@pytest.mark.spec("C8")
def test_a_namespace_that_loses_its_label_loses_the_token(owner: Owner, other: Cluster, kubernetes: Any) -> None:
    owner.connects(allowedNamespaces={"selector": {"matchLabels": {"team": "sales"}}})
    owner.cluster.wait_ready("crm")
    link(other, owner)
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    kubernetes.kubectl("label", "namespace", other.namespace, "team=sales")
    other.wait_ready("crm")
    kubernetes.kubectl("label", "namespace", other.namespace, "team-")
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)


@pytest.mark.spec("C8")
@pytest.mark.parametrize("suspended", [False, True], ids=["as ever", "while the link is suspended"])
def test_a_source_that_is_deleted_takes_the_linked_secret_with_it(
    shared: Owner, other: Cluster, suspended: bool
) -> None:
    other.merge("Connection", "crm", {"spec": {"suspend": suspended}})
    other.wait("Connection", "crm", is_current)
    shared.cluster.delete("Connection", "crm")
    found = assert_taken_back(other, Reason.LINK_TARGET_NOT_FOUND)
    assert "Reconciling" in conditions(found)


@pytest.mark.spec("C8")
def test_a_namesake_of_a_deleted_source_is_somebody_else_s(shared: Owner, other: Cluster) -> None:
    shared.cluster.delete("Connection", "crm")
    shared.connects(description="another team's")
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    shared.cluster.wait_ready("crm")
    time.sleep(QUIET_SECONDS)
    assert not other.exists("Secret", TOKEN), "the one that admitted is gone"
    shared.allows({"names": [other.namespace]})
    other.wait_ready("crm")
    assert token_of(other, "crm") == shared.token != "t0ken-1"


@pytest.mark.spec("C8")
def test_what_a_deleted_source_left_goes_although_its_namesake_admits_and_has_nothing(
    shared: Owner, other: Cluster
) -> None:
    shared.answering = False
    shared.cluster.delete("Connection", "crm")
    shared.connects(allowedNamespaces={"names": [other.namespace]})
    assert_taken_back(other, Reason.LINK_TARGET_NOT_READY)


@pytest.mark.spec("C8")
def test_a_link_that_names_another_connection_has_that_one_s_token_or_none(shared: Owner, other: Cluster) -> None:
    shared.connects("open", allowedNamespaces={"selector": {}})
    shared.connects("closed")
    for name in ("open", "closed"):
        shared.cluster.wait_ready(name)
    link(other, shared, to="open")
    eventually(lambda: token_of(other, "crm") == token_of(shared.cluster, "open"), seconds=WITHIN_SECONDS)
    other.wait_ready("crm")
    link(other, shared, to="closed")
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    link(other, shared, to="nothing")
    assert_taken_back(other, Reason.LINK_TARGET_NOT_FOUND)


def test_a_link_to_a_link_and_a_link_to_itself_have_nothing(shared: Owner, other: Cluster) -> None:
    other.connection("second", linkTo={"namespace": other.namespace, "name": "crm"})
    other.connection("self", linkTo={"namespace": other.namespace, "name": "self"})
    for name in ("second", "self"):
        found = assert_taken_back(other, Reason.LINK_TO_LINK, name)
        assert "Stalled" in conditions(found)
        assert reason_of(found, "SpecValid") == Reason.LINK_TO_LINK
    assert token_of(other, "crm") == shared.token


@pytest.mark.spec("C8")
def test_two_links_that_name_each_other_have_nothing_and_come_to_rest(owner: Owner, other: Cluster) -> None:
    other.connection("a", linkTo={"namespace": other.namespace, "name": "b"})
    other.connection("b", linkTo={"namespace": other.namespace, "name": "a"})
    for name in ("a", "b"):
        assert_taken_back(other, Reason.LINK_TO_LINK, name)
    version = other.get("Connection", "a")["metadata"]["resourceVersion"]
    time.sleep(QUIET_SECONDS)
    assert other.get("Connection", "a")["metadata"]["resourceVersion"] == version


@pytest.mark.spec("C8")
@pytest.mark.parametrize("how", ["withdrawn", "deleted", "deleted and made anew", "withdrawn, and the name changed"])
def test_what_was_withdrawn_while_the_operator_was_down_is_taken_back_at_its_start(
    operator: Any, shared: Owner, other: Cluster, how: str
) -> None:
    operator.stop()
    try:
        if "withdrawn" in how:
            shared.allows({"names": ["elsewhere"]})
        if "name changed" in how:
            link(other, shared, secret={"name": "elsewhere"})
        if "deleted" in how:
            shared.cluster.delete("Connection", "crm")
        if "made anew" in how:
            shared.connects()
        assert other.exists("Secret", TOKEN)
    finally:
        operator.start()
    assert_taken_back(other, Reason.LINK_TARGET_NOT_FOUND if how == "deleted" else Reason.LINK_NOT_ALLOWED)
    assert not other.exists("Secret", "elsewhere")


@pytest.mark.spec("C8")
def test_a_secret_that_lost_its_label_is_taken_back_too(operator: Any, shared: Owner, other: Cluster) -> None:
    operator.stop()
    try:
        other.merge("Secret", TOKEN, {"metadata": {"labels": {"lanyard.dev/connection-uid": None}}})
        shared.allows(None)
    finally:
        operator.start()
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)


@pytest.mark.spec("K2")
def test_a_restart_with_fresh_tokens_writes_nothing(
    operator: Any, shared: Owner, other: Cluster, kubernetes: Any
) -> None:
    time.sleep(QUIET_SECONDS)
    operator.stop()
    offset = kubernetes.audit_offset()
    operator.start()
    time.sleep(2 * QUIET_SECONDS)
    written = [
        f"{event['verb']} {event['requestURI']}"
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == OURS and event["verb"] in WRITES and shared.namespace in event["requestURI"]
    ]
    assert written == []
    token = shared.refreshes()
    eventually(lambda: token_of(other, "crm") == token, seconds=WITHIN_SECONDS)


@pytest.mark.spec("C8")
def test_what_somebody_wrote_into_the_source_s_secret_does_not_travel(shared: Owner, other: Cluster) -> None:
    """Whoever may edit a Secret of the owner's could else have it handed to pods of another namespace."""
    shared.answering = False
    stolen = base64.b64encode(b"another token").decode()
    shared.cluster.merge("Secret", TOKEN, {"data": {"access_token": stolen}})
    shared.cluster.wait_reason("crm", Reason.PROVIDER_UNAVAILABLE)
    time.sleep(QUIET_SECONDS)
    assert token_of(other, "crm") == "t0ken-1"
    assert status_of(other.get("Connection", "crm"), "Ready") == "True", "what is here lives"
    link(other, shared, "late")
    other.wait_reason("late", Reason.LINK_TARGET_NOT_READY)
    shared.answering = True
    other.wait_ready("late")
    eventually(lambda: token_of(other, "crm") == token_of(other, "late") == shared.token, seconds=10)
    assert shared.token not in {"t0ken-1", "another token"}


@pytest.mark.spec("C8")
def test_keys_that_somebody_added_to_the_source_s_secret_stay_there(shared: Owner, other: Cluster) -> None:
    before = other.data(TOKEN)
    added = base64.b64encode(b"\xff\xfe").decode()
    shared.cluster.merge("Secret", TOKEN, {"data": {"LD_PRELOAD": added}})
    noted = shared.cluster.get("Secret", TOKEN)["metadata"]["resourceVersion"]
    shared.cluster.wait("Connection", "crm", lambda one: one["status"]["publishedVersion"] == noted)
    link(other, shared, "late")
    other.wait_ready("late")
    assert "LD_PRELOAD" not in other.data("late-token")
    assert other.data(TOKEN) == other.data("late-token") == before


@pytest.mark.spec("C8")
@pytest.mark.parametrize("damage", ["edited", "deleted"])
def test_a_linked_secret_that_was_damaged_is_mended_without_the_provider(
    shared: Owner, other: Cluster, damage: str
) -> None:
    if damage == "edited":
        other.merge("Secret", TOKEN, {"data": {"access_token": "c3RvbGVu"}})
    else:
        other.delete("Secret", TOKEN)
    eventually(lambda: other.exists("Secret", TOKEN) and token_of(other, "crm") == "t0ken-1", seconds=WITHIN_SECONDS)
    other.wait_ready("crm")
    assert shared.asked == 1


@pytest.mark.spec("C8")
def test_a_linked_secret_that_is_edited_again_and_again_is_not_mended_each_time(shared: Owner, other: Cluster) -> None:
    versions = set()
    for number in range(12):
        found = other.merge(
            "Secret", TOKEN, {"data": {"access_token": base64.b64encode(f"{number}".encode()).decode()}}
        )
        versions.add(found["metadata"]["resourceVersion"])
        time.sleep(0.25)
    found = other.get("Connection", "crm")
    assert status_of(found, "Ready") == "True" or reason_of(found, "Ready") == Reason.ACQUIRING
    eventually(lambda: token_of(other, "crm") == "t0ken-1", seconds=10)
    other.wait_ready("crm")


@pytest.mark.spec("C8")
def test_a_strangers_secret_under_the_name_of_a_link_is_never_touched(owner: Owner, other: Cluster) -> None:
    owner.connects(allowedNamespaces={"selector": {}})
    owner.cluster.wait_ready("crm")
    foreign = other.secret(TOKEN, readable=False, precious="thing")
    link(other, owner)
    found = other.wait_reason("crm", Reason.SECRET_CONFLICT)
    assert "Stalled" in conditions(found)
    owner.allows(None)
    other.wait_reason("crm", Reason.LINK_NOT_ALLOWED)
    time.sleep(QUIET_SECONDS)
    assert other.get("Secret", TOKEN) == foreign, "byte for byte"
    owner.allows({"selector": {}})
    other.delete("Secret", TOKEN)
    other.wait_ready("crm")


def test_a_link_in_the_owner_s_namespace_cannot_take_the_source_s_own_secret(owner: Owner) -> None:
    owner.connects()
    owner.cluster.wait_ready("crm")
    before = owner.cluster.get("Secret", TOKEN)
    link(owner.cluster, owner, "thief", secret={"name": TOKEN})
    owner.cluster.wait_reason("thief", Reason.SECRET_CONFLICT)
    owner.cluster.delete("Connection", "thief")
    time.sleep(QUIET_SECONDS)
    assert owner.cluster.get("Secret", TOKEN) == before


def test_a_suspended_link_keeps_what_it_has_and_goes_on_afterwards(shared: Owner, other: Cluster) -> None:
    other.merge("Connection", "crm", {"spec": {"suspend": True}})
    other.wait("Connection", "crm", is_current)
    token = shared.refreshes()
    time.sleep(QUIET_SECONDS)
    assert token_of(other, "crm") == "t0ken-1"
    other.merge("Connection", "crm", {"spec": {"suspend": False}})
    eventually(lambda: token_of(other, "crm") == token, seconds=WITHIN_SECONDS)
    other.wait_ready("crm")


@pytest.mark.spec("C14")
def test_a_link_that_is_deleted_takes_its_secret_and_leaves_the_source(shared: Owner, other: Cluster) -> None:
    other.delete("Connection", "crm")
    eventually(lambda: not other.exists("Secret", TOKEN), seconds=20)
    time.sleep(QUIET_SECONDS)
    assert shared.token == "t0ken-1"
    assert shared.asked == 1


def test_a_link_says_when_its_source_works_no_more(shared: Owner, other: Cluster, provider: ScriptedProvider) -> None:
    fields: Object = {"access_token": "short", "token_type": "Bearer", "expires_in": 4}
    provider.script(PATH, Answer.of_json(fields))
    shared.refreshes()
    eventually(lambda: token_of(other, "crm") == "short", seconds=WITHIN_SECONDS)
    provider.script(PATH, Answer.of_json({}, 503))
    found = other.wait_reason("crm", Reason.LINK_TARGET_NOT_READY, seconds=15)
    assert other.data(TOKEN) == shared.cluster.data(TOKEN), "it stays where it is, as the source's does"
    assert status_of(found, "SecretPublished") == "True"
    provider.script(PATH, Answer.of_token("fresh"))
    eventually(lambda: token_of(other, "crm") == "fresh", seconds=15)
    other.wait_ready("crm")


def make_static(owner: Owner, **spec: Any) -> None:
    owner.cluster.secret("key", key="k3y")
    owner.cluster.connection(
        "crm",
        connector="bearer",
        auth={"method": "bearerToken"},
        credentials={"token": {"secretRef": {"name": "key", "key": "key"}}},
        **spec,
    )


@pytest.mark.spec("C10")
def test_static_credentials_are_linked_and_followed_too(owner: Owner, other: Cluster) -> None:
    make_static(owner, allowedNamespaces={"names": [other.namespace]})
    link(other, owner)
    found = other.wait_ready("crm")
    assert other.data(TOKEN)["token"] == "k3y"
    assert "expiresAt" not in found["status"]
    owner.cluster.secret("key", key="another")
    eventually(lambda: other.data(TOKEN)["token"] == "another", seconds=WITHIN_SECONDS)


def secrets_of(namespace: str, method: str) -> dict[Any, str]:
    return {"method": method, "path_regex": f"/namespaces/{namespace}/secrets"}


def written_in(kubernetes: Any, offset: int, namespace: str) -> list[str]:
    """Verbs on Secrets of a namespace by the operator, in their order."""
    return [
        event["verb"]
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == OURS
        and event["verb"] in WRITES
        and event.get("objectRef", {}).get("resource") == "secrets"
        and event["objectRef"].get("namespace") == namespace
    ]


@pytest.mark.spec("C8")
@pytest.mark.parametrize("thought", ["withdrawn", "deleted", "the link names another one"])
def test_what_is_withdrawn_while_the_source_is_read_is_not_written_at_all(
    owner: Owner, other: Cluster, api: FaultProxy, kubernetes: Any, thought: str
) -> None:
    owner.connects(allowedNamespaces={"names": [other.namespace]})
    owner.cluster.wait_ready("crm")
    offset = kubernetes.audit_offset()
    api.hold(secrets_of(owner.namespace, "GET"), "after", count=1)
    link(other, owner)
    api.wait_parked()
    if thought == "withdrawn":
        owner.allows(None)
    elif thought == "deleted":
        owner.cluster.delete("Connection", "crm")
    else:
        link(other, owner, to="nothing")
    time.sleep(QUIET_SECONDS)  # the watch has told of it
    api.release()
    other.wait_reason("crm", Reason.LINK_NOT_ALLOWED if thought == "withdrawn" else Reason.LINK_TARGET_NOT_FOUND)
    assert written_in(kubernetes, offset, other.namespace) == []


@pytest.mark.spec("C8")
def test_what_is_withdrawn_while_it_is_written_is_taken_back_right_after(
    owner: Owner, other: Cluster, api: FaultProxy, kubernetes: Any
) -> None:
    owner.connects(allowedNamespaces={"names": [other.namespace]})
    owner.cluster.wait_ready("crm")
    offset = kubernetes.audit_offset()
    api.hold(secrets_of(other.namespace, "POST"), count=1)
    link(other, owner)
    api.wait_parked()
    owner.allows(None)
    time.sleep(QUIET_SECONDS)
    api.release()
    eventually(lambda: written_in(kubernetes, offset, other.namespace) == ["create", "delete"], seconds=WITHIN_SECONDS)
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)


@pytest.mark.spec("C8", "C+2")
def test_a_secret_that_cannot_be_taken_back_now_is_taken_back_as_soon_as_it_can(
    shared: Owner, other: Cluster, api: FaultProxy
) -> None:
    api.fail(503, None, secrets_of(other.namespace, "DELETE"))
    shared.allows(None)
    found = other.wait_reason("crm", Reason.LINK_NOT_ALLOWED)
    assert reason_of(found, "SecretPublished") == Reason.KUBERNETES_UNAVAILABLE
    assert found["status"]["binding"] == {"name": TOKEN}, "it is still there, and said to be"
    time.sleep(QUIET_SECONDS)
    api.pass_through()
    assert_taken_back(other, Reason.LINK_NOT_ALLOWED)


@pytest.mark.spec("C+2")
def test_a_link_whose_source_cannot_be_read_now_is_written_as_soon_as_it_can(
    owner: Owner, other: Cluster, api: FaultProxy
) -> None:
    owner.connects(allowedNamespaces={"names": [other.namespace]})
    owner.cluster.wait_ready("crm")
    api.fail(503, None, secrets_of(owner.namespace, "GET"))
    link(other, owner)
    found = other.wait_reason("crm", Reason.KUBERNETES_UNAVAILABLE)
    assert "nextRefreshAt" in found["status"]
    api.pass_through()
    found = other.wait_ready("crm")
    assert "nextRefreshAt" not in found["status"]


@pytest.mark.spec("K6", "C8")
def test_a_link_keeps_its_secret_when_another_operator_takes_over_and_loses_it_when_the_owner_says_so(
    operator: Any, operator_process: Callable[..., Any], shared: Owner, other: Cluster, kubernetes: Any
) -> None:
    second = operator_process().start(leads=False)
    shared.refreshes()
    eventually(lambda: token_of(other, "crm") == shared.token, seconds=WITHIN_SECONDS)
    other.wait_ready("crm")
    offset, asked = kubernetes.audit_offset(), shared.asked
    operator.stop()
    try:
        second.wait_for("leading")
        shared.refreshes()
        eventually(lambda: token_of(other, "crm") == shared.token, seconds=WITHIN_SECONDS)
        time.sleep(QUIET_SECONDS)
        written = written_in(kubernetes, offset, other.namespace)
        assert written == ["patch"] * (shared.asked - asked), "each new token once, and nothing beside"
        shared.allows(None)
        assert_taken_back(other, Reason.LINK_NOT_ALLOWED)
    finally:
        second.stop()
        operator.start()
