"""Token copies: a Connection's live token where the gateway can hand it out, at a real API server and OAuth server."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.meters import ACCOUNT, WRITES
from lanyard.sensitive import Sensitive
from lanyard.stores.copies import TokenCopy, opened_copy, sealed_text
from lanyard.stores.keyring_file import KeyringFile
from support.cluster import Cluster, Object, checked, conditions, message_of, reason_of
from support.consenting import SECRETS, Team
from support.federating import FederationTeam
from support.granted import refresh
from support.tenant import Tenant

pytestmark = pytest.mark.spec("F1", "F12")

until = Team.until
ISSUER = "https://issuer.example"


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    """One whose operator holds the Lease itself."""
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], gateway: Any) -> Any:
    """One that knows the address of the gateway."""
    return operator_process(gateway_url=gateway.url).start()


@pytest.fixture
def tenant(cluster: Cluster, environment: Any, operator: Any) -> Any:
    """A team that asks for tokens with client credentials."""
    tenant = Tenant(cluster, environment)
    tenant.in_secret()
    yield tenant
    tenant.close()


@pytest.fixture
def copies(cluster: Cluster, rings: Mapping[str, str]) -> "Copies":
    return Copies(cluster, Path(rings["keyring_token"]))


class Copies:
    """The copies of a namespace's Connections, opened as the gateway opens them."""

    def __init__(self, cluster: Cluster, ring: Path) -> None:
        self._cluster = cluster
        self._ring = KeyringFile(ring, "token")
        self._ring.look()

    def path(self, name: str) -> str:
        return f"{SECRETS}/token-{self._cluster.get('Connection', name)['metadata']['uid']}"

    def secret(self, name: str = "crm") -> Object | None:
        answer = self._cluster.client.get(self.path(name))
        return answer.json() if answer.status_code == 200 else None

    def opened(self, name: str = "crm") -> TokenCopy | None:
        secret, uid = self.secret(name), self._cluster.get("Connection", name)["metadata"]["uid"]
        if secret is None:
            return None
        return opened_copy(self._ring.current(), sealed_text(secret), uid, f"{self._cluster.namespace}/{name}")

    def token(self, name: str = "crm") -> str:
        copy = self.opened(name)
        return copy.access_token.reveal() if copy is not None else ""

    def wait(self, name: str = "crm", *, unlike: str = "") -> str:
        return str(until(lambda: self.token(name), lambda token: token not in {"", unlike}))

    def delete(self, name: str = "crm") -> None:
        checked(self._cluster.client.delete(self.path(name)))


def trust(cluster: Cluster, connection: str = "crm", name: str = "ci") -> None:
    spec = {"connectionRef": {"name": connection}, "issuer": ISSUER, "audience": "https://x.example", "subject": name}
    cluster.apply("FederatedCredential", name, spec)


def writes_since(kubernetes: Any, offset: int, cluster: Cluster, *names: str) -> list[str]:
    """What the operator wrote for these Connections, Events aside; a copy is named by the uid of its Connection.

    Of FederatedCredentials the operator says things too, which are not looked at here.
    """
    time.sleep(0.5)  # the audit log has what was answered a moment ago
    marks = [cluster.namespace, *(cluster.get("Connection", name)["metadata"]["uid"] for name in names)]
    return [
        f"{event['verb']} {event['objectRef']['resource']}"
        for event in kubernetes.audit_events(offset)
        if event["user"]["username"] == ACCOUNT
        and event["verb"] in WRITES
        and event["objectRef"]["resource"] in {"connections", "secrets"}
        and any(mark in f"{event['requestURI']} {event['objectRef'].get('name', '')}" for mark in marks)
    ]


def test_an_application_needs_no_sign_in_and_publishes_nothing(cluster: Cluster, operator: Any) -> None:
    cluster.connection("app", connector="lanyard")
    found = cluster.wait_ready("app")
    assert reason_of(found, "Ready") == "TokensByExchange"
    assert found["status"]["clientId"] == found["metadata"]["uid"]
    assert conditions(found).keys() == {"Ready", "SpecValid"}
    assert not cluster.exists("Secret", "app-token")
    cluster.connection("app", connector="lanyard", suspend=True)
    cluster.wait_reason("app", "Suspended")


def test_a_field_that_only_a_sign_in_needs_is_refused_by_name(cluster: Cluster, operator: Any) -> None:
    cluster.connection("app", connector="lanyard", auth={"method": "clientCredentials"})
    found = cluster.wait_reason("app", "SignInNotOffered")
    assert "auth.method" in message_of(found, "Ready")
    cluster.connection("app", connector="lanyard")
    cluster.wait_ready("app")


def test_a_connector_of_the_platform_cannot_give_away_a_tenant_s_audience(
    cluster: Cluster, operator: Any, gateway: Any
) -> None:
    name = f"mints-{cluster.namespace}"
    mints = [{"namespaces": {"selector": {}}, "audiences": [f"{gateway.url}/{cluster.namespace}"], "scopes": ["read"]}]
    cluster.apply("Connector", name, {"mints": mints})
    try:
        cluster.connection("app", connector=name)
        cluster.wait_reason(name, "ConnectorInvalid", kind="Connector")
        assert "mints[0].audiences" in message_of(cluster.wait_reason("app", "ConnectorInvalid"), "Ready")
        mints[0]["audiences"] = ["https://api.example"]
        cluster.apply("Connector", name, {"mints": mints})
        cluster.wait_ready("app")
    finally:
        cluster.delete("Connector", name)


def test_a_connector_that_comes_to_mint_takes_back_what_was_published(cluster: Cluster, operator: Any) -> None:
    name = f"turns-{cluster.namespace}"
    cluster.apply("Connector", name, {"methods": [{"name": "bearerToken"}]})
    try:
        cluster.secret("source", token="t0ken")
        cluster.connection(
            "app", connector=name, credentials={"token": {"secretRef": {"name": "source", "key": "token"}}}
        )
        cluster.wait_ready("app")
        cluster.connection("app", connector=name)
        cluster.apply("Connector", name, {"mints": []})
        found = cluster.wait("Connection", "app", lambda one: reason_of(one, "Ready") == "TokensByExchange")
        assert "binding" not in found["status"]
        assert not cluster.exists("Secret", "app-token")
    finally:
        cluster.delete("Connector", name)


def test_a_credential_that_appears_later_has_the_published_token_copied_and_no_provider_asked(
    cluster: Cluster, tenant: Tenant, copies: Copies, kubernetes: Any
) -> None:
    tenant.connect("crm", scopes=("api",))
    cluster.wait_ready("crm")
    assert copies.secret() is None
    since, offset = tenant.oauth.marker(), kubernetes.audit_offset()
    trust(cluster)
    assert copies.wait() == cluster.data("crm-token")["access_token"]
    copy = copies.opened()
    assert copy is not None
    assert (copy.token_type, copy.scopes) == ("Bearer", ("api",))
    assert copy.expires_at is not None
    assert tenant.oauth.count(since=since, client_id=tenant.name) == 0
    assert writes_since(kubernetes, offset, cluster, "crm") == ["create secrets"]
    assert tenant.oauth.me(copies.token()).status_code != 401
    trust(cluster, name="second")
    cluster.delete("FederatedCredential", "ci")
    time.sleep(0.5)
    assert copies.secret() is not None, "there is still one that needs it"
    cluster.delete("FederatedCredential", "second")
    until(copies.secret, lambda found: found is None)
    cluster.wait_ready("crm")


def test_a_refresh_writes_the_copy_with_it(cluster: Cluster, tenant: Tenant, copies: Copies, kubernetes: Any) -> None:
    trust(cluster)
    tenant.connect("crm", scopes=("api",))
    cluster.wait_ready("crm")
    before = copies.wait()
    offset = kubernetes.audit_offset()
    mark = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    cluster.merge("Connection", "crm", {"metadata": {"annotations": {"lanyard.dev/refresh": mark}}})
    token = copies.wait(unlike=before)
    assert token == cluster.data("crm-token")["access_token"]
    writes = writes_since(kubernetes, offset, cluster, "crm")
    assert sorted(writes) == ["patch connections", "patch secrets", "patch secrets"]


def test_a_copy_goes_with_its_connection(cluster: Cluster, tenant: Tenant, copies: Copies) -> None:
    trust(cluster)
    tenant.connect("crm", scopes=("api",))
    copies.wait()
    path = copies.path("crm")
    cluster.delete("Connection", "crm")
    until(lambda: cluster.client.get(path).status_code, lambda code: code == 404)


def test_a_restart_with_fresh_copies_writes_nothing_and_a_lost_one_is_made_from_the_secret(
    cluster: Cluster, tenant: Tenant, copies: Copies, operator: Any, kubernetes: Any
) -> None:
    for name in ("crm", "erp"):
        trust(cluster, name, f"ci-{name}")
        tenant.connect(name, scopes=("api",))
        cluster.wait_ready(name)
        copies.wait(name)
    tenant.connect("alone", scopes=("api",), secret={"publish": False})
    cluster.wait_ready("alone")
    trust(cluster, "gone", "ci-gone")
    tenant.connect("gone", scopes=("api",))
    copies.wait("gone")
    path = copies.path("gone")
    time.sleep(1)
    operator.stop()
    copies.delete("erp")
    cluster.delete("Connection", "gone")
    since, offset = tenant.oauth.marker(), kubernetes.audit_offset()
    operator.start()
    assert copies.wait("erp") == cluster.data("erp-token")["access_token"]
    until(lambda: cluster.client.get(path).status_code, lambda code: code == 404)
    time.sleep(1)
    assert tenant.oauth.count(since=since, client_id=tenant.name) == 0
    writes = writes_since(kubernetes, offset, cluster, "crm", "erp", "alone")
    assert writes == ["create secrets"]


def test_without_a_secret_the_copy_is_what_is_published(
    cluster: Cluster, tenant: Tenant, copies: Copies, kubernetes: Any
) -> None:
    tenant.connect("crm", scopes=("api",), secret={"publish": False})
    found = cluster.wait_ready("crm")
    assert reason_of(found, "Ready") == "TokenExchangeable"
    assert "SecretPublished" not in conditions(found)
    assert "binding" not in found["status"]
    assert not cluster.exists("Secret", "crm-token")
    token = copies.wait()

    copies.delete()
    again = copies.wait(unlike=token)
    cluster.wait_ready("crm")

    tenant.connect("crm", scopes=("api",), secret={"publish": True})
    found = cluster.wait("Connection", "crm", lambda one: reason_of(one, "Ready") == "TokenPublished")
    assert found["status"]["binding"] == {"name": "crm-token"}
    until(copies.secret, lambda one: one is None)

    tenant.connect("crm", scopes=("api",), secret={"publish": False})
    cluster.wait("Connection", "crm", lambda one: reason_of(one, "Ready") == "TokenExchangeable")
    assert not cluster.exists("Secret", "crm-token")
    assert copies.wait(unlike=again)


def test_what_has_no_token_is_published_or_refused(cluster: Cluster, operator: Any) -> None:
    cluster.secret("source", token="t0ken")
    credentials = {"token": {"secretRef": {"name": "source", "key": "token"}}}
    cluster.connection("pat", connector="bearer", credentials=credentials, secret={"publish": False})
    cluster.wait_reason("pat", "NothingToExchange")
    cluster.connection("pat", connector="bearer", credentials=credentials)
    cluster.wait_ready("pat")
    trust(cluster, "pat")
    time.sleep(0.5)
    uid = cluster.get("Connection", "pat")["metadata"]["uid"]
    assert cluster.client.get(f"{SECRETS}/token-{uid}").status_code == 404


def test_a_copy_of_another_install_is_left_alone(
    cluster: Cluster, tenant: Tenant, copies: Copies, operator: Any
) -> None:
    tenant.connect("crm", scopes=("api",))
    cluster.wait_ready("crm")
    name = copies.path("crm").rpartition("/")[2]
    theirs = {"metadata": {"name": name, "labels": {"lanyard.dev/token-copy": "another"}}, "data": {"token": "eA=="}}
    checked(cluster.client.post(SECRETS, json={"apiVersion": "v1", "kind": "Secret", **theirs}))
    try:
        failed = 'lanyard_token_copies_total{outcome="failed"}'
        before = operator.metrics().get(failed, 0)
        trust(cluster)
        until(lambda: operator.metrics().get(failed, 0), lambda now: now > before)
        found = copies.secret()
        assert found is not None
        assert found["data"] == {"token": "eA=="}
        assert reason_of(cluster.get("Connection", "crm"), "Ready") == "TokenPublished"
    finally:
        cluster.client.delete(f"{SECRETS}/{name}")
    assert copies.wait(), "once it is gone, the copy is made"


def test_a_rotating_grant_is_copied_with_each_refresh_and_restored_without_the_provider(
    make_team: Callable[..., Team], rings: Mapping[str, str], operator: Any
) -> None:
    team = make_team()
    copies = Copies(team.cluster, Path(rings["keyring_token"]))
    team.connect(secret={"publish": False})
    team.consent()
    team.cluster.wait_ready("crm")
    assert not team.cluster.exists("Secret", "crm-token")
    first = copies.wait()
    assert team.oauth.me(first).json()["sub"] == team.person
    refresh(team)
    second = copies.wait(unlike=first)
    operator.stop()
    copies.delete()
    since = team.oauth.marker()
    operator.start()
    assert copies.wait() == second
    team.cluster.wait_ready("crm")
    assert team.oauth.count(since=since, client_id=team.name) == 0
    assert Sensitive(second) == copies.opened().access_token  # type: ignore[union-attr]
    team.cluster.delete("Connection", "crm")
    until(lambda: team.cluster.exists("Connection", "crm"), lambda there: not there)


def test_a_workload_that_presents_its_jwt_gets_the_connection_s_own_token_and_no_secret_is_anywhere(
    cluster: Cluster, tenant: Tenant, environment: Any, gateway: Any, issuer: Any, copies: Copies
) -> None:
    team = FederationTeam(cluster, environment, gateway, issuer, connect=False)
    try:
        tenant.connect("crm", scopes=("api",), secret={"publish": False})
        cluster.wait_ready("crm")
        team.trust()
        answer = team.until_taken(issuer.token()).json()
        assert answer["access_token"] == copies.token()
        assert (answer["token_type"], answer["scope"]) == ("Bearer", "api")
        assert 0 < answer["expires_in"] <= 3600
        assert tenant.oauth.me(answer["access_token"]).status_code != 401
        assert not cluster.exists("Secret", "crm-token")
        mark = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        cluster.merge("Connection", "crm", {"metadata": {"annotations": {"lanyard.dev/refresh": mark}}})
        newer = copies.wait(unlike=answer["access_token"])
        until(lambda: team.present(issuer.token()).json().get("access_token"), lambda token: token == newer)
    finally:
        team.close()
