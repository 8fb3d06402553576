"""The workload Secret: ours is kept as we wrote it, a stranger's is never touched, a token is never lost on the way.

The operator reaches the API server through a proxy, so that what may happen between two calls can be made to happen.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lanyard.reasons import Reason
from localenv.proxy import FaultProxy
from support.cluster import (
    Cluster,
    Object,
    assert_conditions_coherent,
    checked,
    conditions,
    is_current,
    message_of,
    reason_of,
    status_of,
)
from support.people import eventually
from support.provider import Answer, Recorded, ScriptedProvider

UID_LABEL = "lanyard.dev/connection-uid"
SECRET_WRITE = "/namespaces/{}/secrets"
STATUS_WRITE = "/namespaces/{}/connections/.*/status"
MARGIN_SECONDS = 3.0
QUIET_SECONDS = 1.5


@pytest.fixture(scope="module")
def api(environment: Any, kubernetes: Any) -> Iterator[FaultProxy]:
    with FaultProxy(environment.processes, environment.pki, "publication", kubernetes.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], kubernetes: Any, api: FaultProxy) -> Any:
    kubeconfig = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator", server=api.url)
    return operator_process(kubeconfig=kubeconfig).start()


@pytest.fixture(autouse=True)
def _clear_weather(api: FaultProxy, operator: Any) -> Iterator[None]:
    yield
    api.pass_through()
    assert operator.running


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(tls=False) as provider:
        yield provider


class Account:
    """One account at a provider that answers with another token each time: <namespace>-1, <namespace>-2, ..."""

    def __init__(self, cluster: Cluster, provider: ScriptedProvider) -> None:
        self.cluster = cluster
        self.provider = provider
        self.path = f"/{cluster.namespace}"
        self.delay = 0.0
        provider.script(self.path, self._answer)

    def _answer(self, _: Recorded) -> Answer:
        fields = {"access_token": self.token(self.asked), "token_type": "Bearer", "expires_in": 3600}
        return Answer.of_json(fields, delay=self.delay)

    @property
    def asked(self) -> int:
        return len(self.provider.requests(self.path))

    def token(self, number: int) -> str:
        return f"{self.cluster.namespace}-{number}"

    def connect(self, name: str = "crm", *, path: str | None = None, **spec: Any) -> Object:
        return self.cluster.connection(
            name,
            connector="oauth2",
            parameters={"token_url": f"{self.provider.url}{path or self.path}"},
            auth={"method": "clientCredentials", "clientId": "crm"},
            credentials={"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}},
            **spec,
        )

    def data(self, name: str = "crm-token") -> dict[str, str]:
        return self.cluster.data(name)


@pytest.fixture
def account(cluster: Cluster, provider: ScriptedProvider) -> Account:
    cluster.secret("app", secret="s3cret")
    return Account(cluster, provider)


@pytest.fixture
def published(account: Account) -> Account:
    """`crm` with its first token."""
    account.connect()
    account.cluster.wait_ready("crm")
    return account


def writes(match: str, namespace: str, method: str) -> dict[Any, str]:
    return {"method": method, "path_regex": match.format(namespace)}


def secret_of(cluster: Cluster, name: str = "crm-token") -> Object:
    return cluster.get("Secret", name)


def edit(change: Object) -> Callable[[Cluster], object]:
    return lambda cluster: cluster.merge("Secret", "crm-token", change)


def replace_by_hand(cluster: Cluster) -> None:
    """Deleted and put back from a copy, as a backup does it: another uid, the same owner."""
    secret = secret_of(cluster)
    cluster.delete("Secret", "crm-token")
    kept = {name: secret["metadata"][name] for name in ("name", "labels", "ownerReferences")}
    body = secret | {"metadata": kept, "data": {"access_token": "b2xk"}}
    checked(cluster.client.post(cluster.path("Secret"), json=body))


BY_HAND = {
    "its token is overwritten": edit({"data": {"access_token": "c3RvbGVu"}}),
    "a key is removed": edit({"data": {"token_type": None}}),
    "it is emptied": edit({"data": None}),
    "our label is removed": edit({"metadata": {"labels": {UID_LABEL: None}}}),
    "our label names another owner": edit({"metadata": {"labels": {UID_LABEL: "somebody"}}}),
    "its owner is removed": edit({"metadata": {"ownerReferences": None}}),
    "it is deleted": lambda cluster: cluster.delete("Secret", "crm-token"),
    "it is deleted and put back from a backup": replace_by_hand,
}


@pytest.mark.spec("C8", "C+2")
@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND.keys())
def test_what_is_changed_by_hand_is_repaired(published: Account, change: Callable[[Cluster], object]) -> None:
    cluster = published.cluster
    before = secret_of(cluster)
    change(cluster)

    def is_whole() -> bool:
        if not cluster.exists("Secret", "crm-token"):
            return False
        now = secret_of(cluster)
        uid = cluster.get("Connection", "crm")["metadata"]["uid"]
        return (
            now.get("data", {}).keys() == before["data"].keys()
            and published.data()["access_token"] == published.token(published.asked)
            and now["metadata"]["labels"].get(UID_LABEL) == uid
            and [owner["uid"] for owner in now["metadata"].get("ownerReferences", ())] == [uid]
        )

    eventually(is_whole, seconds=8)
    found = cluster.wait_ready("crm")
    version = secret_of(cluster)["metadata"]["resourceVersion"]
    cluster.wait("Connection", "crm", lambda one: one["status"].get("publishedVersion") == version)
    assert status_of(found, "SecretPublished") == "True"
    assert published.asked == 2, "one repair costs one request"


@pytest.mark.spec("C8")
def test_a_key_or_a_label_that_somebody_adds_is_left_alone(published: Account) -> None:
    cluster = published.cluster
    edit({"data": {"extra": "bWluZQ=="}, "metadata": {"labels": {"team": "sales"}}})(cluster)
    version = secret_of(cluster)["metadata"]["resourceVersion"]
    time.sleep(MARGIN_SECONDS)
    assert secret_of(cluster)["metadata"]["resourceVersion"] == version
    assert published.asked == 1
    edit({"data": {"access_token": "c3RvbGVu"}})(cluster)
    eventually(lambda: published.data()["access_token"] == published.token(2), seconds=8)
    assert published.data()["extra"] == "mine"
    assert secret_of(cluster)["metadata"]["labels"]["team"] == "sales"


@pytest.mark.spec("C8")
def test_a_stranger_s_secret_is_never_touched_and_taken_up_when_it_goes(account: Account) -> None:
    cluster = account.cluster
    cluster.secret("crm-token", readable=False, precious="thing")
    before = secret_of(cluster)
    account.connect()
    found = cluster.wait_reason("crm", Reason.SECRET_CONFLICT)
    assert "Stalled" in conditions(found)
    assert "spec.secret.name" in message_of(found, "Ready")
    time.sleep(MARGIN_SECONDS)
    assert secret_of(cluster) == before, "byte for byte"
    cluster.delete("Secret", "crm-token")
    cluster.wait_ready("crm")
    assert account.data()["access_token"] == account.token(1), "the token that was received is kept, not fetched again"
    assert account.asked == 1


@pytest.mark.spec("C8")
def test_of_two_connections_that_name_one_secret_the_first_wins_and_the_second_follows(account: Account) -> None:
    cluster = account.cluster
    account.connect("first", secret={"name": "shared"})
    cluster.wait_ready("first")
    owner = cluster.get("Connection", "first")["metadata"]["uid"]
    before = secret_of(cluster, "shared")
    account.connect("second", secret={"name": "shared"})
    cluster.wait_reason("second", Reason.SECRET_CONFLICT)
    time.sleep(MARGIN_SECONDS)
    assert secret_of(cluster, "shared") == before
    assert [one["uid"] for one in before["metadata"]["ownerReferences"]] == [owner]
    assert "binding" not in cluster.get("Connection", "second")["status"]

    cluster.delete("Connection", "first")  # its Secret is collected
    found = cluster.wait_ready("second", seconds=40)
    assert [one["uid"] for one in secret_of(cluster, "shared")["metadata"]["ownerReferences"]] == [
        found["metadata"]["uid"]
    ]


@pytest.mark.spec("C8")
@pytest.mark.parametrize("published_before", [False, True], ids=["before the first write", "in place of ours"])
def test_a_stranger_s_secret_that_comes_between_our_look_and_our_write_is_not_taken(
    account: Account, api: FaultProxy, published_before: bool
) -> None:
    cluster = account.cluster
    if published_before:
        account.connect()
        cluster.wait_ready("crm")
    method = "PATCH" if published_before else "POST"
    api.hold(writes(SECRET_WRITE, cluster.namespace, method))
    if published_before:
        cluster.secret("app", secret="another")
    else:
        account.connect()
    api.wait_parked()
    if published_before:
        cluster.delete("Secret", "crm-token")
    cluster.secret("crm-token", readable=False, precious="thing")
    before = secret_of(cluster)
    api.release()
    cluster.wait_reason("crm", Reason.SECRET_CONFLICT)
    assert secret_of(cluster) == before
    cluster.delete("Secret", "crm-token")
    cluster.wait_ready("crm")
    assert account.data()["access_token"] == account.token(account.asked)
    assert account.asked == 1 + published_before


@pytest.mark.spec("C8")
@pytest.mark.parametrize(
    "meanwhile",
    [lambda cluster: cluster.delete("Secret", "crm-token"), replace_by_hand],
    ids=["deleted", "deleted and put back from a backup"],
)
def test_our_secret_may_go_between_our_look_and_our_write(
    published: Account, api: FaultProxy, meanwhile: Callable[[Cluster], object]
) -> None:
    cluster = published.cluster
    api.hold(writes(SECRET_WRITE, cluster.namespace, "PATCH"), count=1)
    cluster.secret("app", secret="another")
    api.wait_parked()
    meanwhile(cluster)
    api.release()
    eventually(lambda: cluster.exists("Secret", "crm-token"), seconds=8)
    eventually(lambda: published.data()["access_token"] == published.token(published.asked), seconds=8)
    assert published.asked <= 3
    cluster.wait_ready("crm")


@pytest.mark.spec("C12")
@pytest.mark.parametrize("type_of_secret", ["Opaque", "servicebinding.io/crm"])
def test_a_renamed_secret_is_there_before_the_old_one_goes(
    published: Account, api: FaultProxy, type_of_secret: str
) -> None:
    cluster = published.cluster
    api.hold(writes(SECRET_WRITE, cluster.namespace, "DELETE"))
    cluster.merge("Connection", "crm", {"spec": {"secret": {"name": "crm-login", "type": type_of_secret}}})
    api.wait_parked()
    assert cluster.exists("Secret", "crm-token")
    assert secret_of(cluster, "crm-login")["type"] == type_of_secret
    api.release()
    eventually(lambda: not cluster.exists("Secret", "crm-token"), seconds=8)
    found = cluster.wait_ready("crm")
    assert found["status"]["binding"] == {"name": "crm-login"}
    assert "crm-login" in message_of(found, "Ready")
    assert published.data("crm-login")["access_token"] == published.token(2)


@pytest.mark.spec("C8")
def test_a_rename_onto_a_stranger_s_secret_keeps_the_old_one(published: Account) -> None:
    cluster = published.cluster
    cluster.secret("taken", readable=False, precious="thing")
    before = secret_of(cluster, "taken")
    cluster.merge("Connection", "crm", {"spec": {"secret": {"name": "taken"}}})
    found = cluster.wait("Connection", "crm", lambda one: reason_of(one, "SecretPublished") == Reason.SECRET_CONFLICT)
    assert_conditions_coherent(found)
    assert secret_of(cluster, "taken") == before
    assert published.data()["access_token"] == published.token(1), "the pods that mount it go on"
    assert found["status"]["binding"] == {"name": "crm-token"}
    cluster.merge("Connection", "crm", {"spec": {"secret": None}})
    cluster.wait_ready("crm")


@pytest.mark.spec("C8")
def test_another_method_leaves_no_key_of_the_one_before(cluster: Cluster) -> None:
    name = f"two-ways-{cluster.namespace}"
    cluster.apply("Connector", name, {"methods": [{"name": "apiKey"}, {"name": "basic"}]})
    try:
        cluster.secret("app", apiKey="k3y", password="p4ss")
        ways = {
            "apiKey": {"auth": {"method": "apiKey"}, "credentials": {"apiKey": _from_app("apiKey")}},
            "basic": {
                "auth": {"method": "basic", "username": "robot"},
                "credentials": {"password": _from_app("password")},
            },
        }
        keys = {
            "apiKey": {"api_key", "type", "provider"},
            "basic": {"username", "password", "type", "provider"},
        }
        for way in ("apiKey", "basic", "apiKey"):
            cluster.connection("crm", connector=name, **ways[way])
            cluster.wait("Connection", "crm", is_current)
            cluster.wait_ready("crm")
            eventually(lambda way=way: set(cluster.data("crm-token")) == keys[way], seconds=8)  # type: ignore[misc]
    finally:
        cluster.delete("Connector", name)


def _from_app(key: str) -> Object:
    return {"secretRef": {"name": "app", "key": key}}


@pytest.mark.spec("C8")
def test_a_namespace_that_goes_takes_all_with_it_and_is_not_fought_over(
    published: Account, kubernetes: Any, operator: Any
) -> None:
    cluster = published.cluster
    place = f"/api/v1/namespaces/{cluster.namespace}"
    body = cluster.client.get(place).json()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    checked(cluster.client.put(place, json=body))
    checked(cluster.client.delete(place))
    # What lies in it goes first; the Connection that is about to be deleted finds its Secret gone.
    eventually(lambda: not cluster.exists("Secret", "crm-token"))
    eventually(lambda: not cluster.exists("Connection", "crm"))
    time.sleep(QUIET_SECONDS)
    offset = kubernetes.audit_offset()
    time.sleep(QUIET_SECONDS)
    calls = [
        one
        for one in kubernetes.audit_events(offset)
        if "lanyard-operator" in one["user"]["username"] and cluster.namespace in one["requestURI"]
    ]
    assert calls == []
    assert not any(line.get("severity") == "ERROR" for line in operator.lines())
    kubernetes.kubectl(
        "patch", "namespace", cluster.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )


@pytest.mark.spec("C8")
def test_a_quota_that_is_used_up_is_told_and_waited_for(account: Account) -> None:
    """Quotas are counted by a controller that does not run here: its word is given by hand."""
    cluster = account.cluster
    quotas = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"secrets": "1"}},
    }
    made = checked(cluster.client.post(quotas, json=quota))
    made["status"] = {"hard": {"secrets": "1"}, "used": {"secrets": "1"}}
    checked(cluster.client.put(f"{quotas}/few/status", json=made))
    account.connect()
    found = cluster.wait_reason("crm", Reason.SECRET_REFUSED)
    assert "status 403" in message_of(found, "Ready")
    assert "quotas" in message_of(found, "Ready")
    assert "Reconciling" in conditions(found)
    checked(cluster.client.delete(f"{quotas}/few"))
    cluster.wait_ready("crm")
    assert account.asked == 1
    assert account.data()["access_token"] == account.token(1)


REFUSALS = {
    "a conflict": (409, 1, None),
    "an admission policy": (422, 4, Reason.SECRET_REFUSED),
    "a missing right": (403, 1, Reason.SECRET_REFUSED),
    "too many requests": (429, 1, Reason.KUBERNETES_UNAVAILABLE),
    "a fault of the API server": (500, 1, Reason.KUBERNETES_UNAVAILABLE),
}


@pytest.mark.spec("C8", "C+2")
@pytest.mark.parametrize("first", [True, False], ids=["at the first write", "at a later one"])
@pytest.mark.parametrize(("status", "count", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_secret_write_that_is_refused_costs_no_token(
    account: Account, api: FaultProxy, status: int, count: int, reason: Reason | None, first: bool
) -> None:
    cluster = account.cluster
    if not first:
        account.connect()
        cluster.wait_ready("crm")
    asked = account.asked
    api.fail(status, count, writes(SECRET_WRITE, cluster.namespace, "POST" if first else "PATCH"))
    if first:
        account.connect()
    else:
        cluster.secret("app", secret="another")
    if reason is not None:
        condition = "Ready" if first else "SecretPublished" if reason is Reason.SECRET_REFUSED else "TokenFresh"
        seen = cluster.wait("Connection", "crm", lambda one: _has_been(cluster, reason, one, condition))
        if first and reason_of(seen, "Ready") == reason and reason is Reason.SECRET_REFUSED:
            assert f"status {status}" in message_of(seen, "Ready")
    eventually(
        lambda: cluster.exists("Secret", "crm-token") and account.data()["access_token"] == account.token(asked + 1),
        seconds=10,
    )
    cluster.wait("Connection", "crm", lambda one: status_of(one, "SecretPublished") == "True")
    cluster.wait_ready("crm")
    assert account.asked == asked + 1


def _has_been(cluster: Cluster, reason: Reason, one: Object, condition: str) -> bool:
    """Now, or as an Event tells."""
    return reason_of(one, condition) == reason or any(
        event["reason"] == reason for event in cluster.events(one["metadata"]["name"])
    )


@pytest.mark.spec("C+2")
@pytest.mark.parametrize("status", [409, 429, 500])
def test_a_status_write_that_is_refused_is_made_again(account: Account, api: FaultProxy, status: int) -> None:
    cluster = account.cluster
    api.fail(status, 2, writes(STATUS_WRITE, cluster.namespace, "PATCH"))
    account.connect()
    cluster.wait_ready("crm")
    assert account.asked == 1
    cluster.secret("app", secret="another")
    eventually(lambda: account.data()["access_token"] == account.token(2), seconds=8)


@pytest.mark.spec("C+2", "K8")
def test_a_token_received_while_the_api_server_is_away_is_published_when_it_is_back(
    account: Account, api: FaultProxy
) -> None:
    cluster = account.cluster
    account.delay = 1.0
    account.connect()
    account.provider.wait_for(1, account.path)
    api.refuse()
    time.sleep(MARGIN_SECONDS)
    assert not cluster.exists("Secret", "crm-token")
    api.pass_through()
    cluster.wait_ready("crm")
    assert account.data()["access_token"] == account.token(1)
    assert account.asked == 1


@pytest.mark.spec("C+2")
@pytest.mark.parametrize("how", ["http", "stream"])
def test_a_watch_that_is_too_old_misses_no_change_by_hand(published: Account, api: FaultProxy, how: Any) -> None:
    cluster = published.cluster
    api.gone(how, match={"path_regex": "/secrets"})
    api.cut()
    edit({"data": {"access_token": "c3RvbGVu"}})(cluster)
    cluster.secret("app", secret="another")
    time.sleep(1)
    api.pass_through()
    eventually(lambda: published.data()["access_token"] == published.token(published.asked) and published.asked > 1)
    cluster.wait_ready("crm")


@pytest.mark.spec("C+2", "C10")
def test_a_secret_that_is_read_before_the_watch_tells_of_it_is_no_change_afterwards(
    cluster: Cluster, provider: ScriptedProvider, api: FaultProxy
) -> None:
    account = Account(cluster, provider)
    api.hold({"path_regex": "watch=true.*readable"})
    api.cut()
    api.wait_parked()
    cluster.secret("app", secret="s3cret")
    account.connect()
    cluster.wait_ready("crm")
    api.release()
    time.sleep(MARGIN_SECONDS)
    assert account.asked == 1
    cluster.secret("app", secret="another")
    eventually(lambda: account.asked == 2, seconds=8)
