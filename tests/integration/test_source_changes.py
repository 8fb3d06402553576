"""A credential changes, a store comes and goes, an owner has second thoughts: nobody touches a Connection."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lanyard.reasons import Reason
from localenv.proxy import FaultProxy
from support.cluster import Cluster, Object, message_of, reason_of, status_of
from support.connect_proxy import ConnectProxy
from support.people import eventually
from support.tenant import Tenant

IDLE_SECONDS = 5.0
WITHIN_SECONDS = 6.0


@pytest.fixture
def tenant(cluster: Cluster, environment: Any, operator: Any) -> Iterator[Tenant]:
    assert operator.running
    tenant = Tenant(cluster, environment)
    yield tenant
    tenant.close()


@pytest.fixture
def other(kubernetes: Any, cluster: Cluster) -> Iterator[Cluster]:
    """A second namespace."""
    name = f"{cluster.namespace}-b"
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    with kubernetes.client() as client:
        yield Cluster(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


LOGINS = {
    "the tenant's ServiceAccount by the Kubernetes method": Tenant.in_vault,
    "the tenant's ServiceAccount by the JWT method": Tenant.in_vault_by_jwt,
    "an AppRole": Tenant.in_vault_by_app_role,
    "a token": Tenant.in_vault_by_token,
}


@pytest.mark.spec("A1", "A10", "A11", "C10")
@pytest.mark.parametrize("place", LOGINS.values(), ids=LOGINS.keys())
def test_a_new_version_in_vault_takes_effect_within_its_cache_ttl(tenant: Tenant, place: Any) -> None:
    cluster = tenant.cluster
    place(tenant)
    tenant.connect("crm")
    tenant.hand_on("plain")
    for name in ("crm", "plain"):
        cluster.wait_ready(name)
    first, since = tenant.token_of("crm"), tenant.oauth.marker()
    tenant.rotate("second-secret")
    tenant.put_in_vault()
    eventually(lambda: cluster.data("plain-token")["token"] == "second-secret", seconds=WITHIN_SECONDS)
    eventually(lambda: tenant.token_of("crm") != first, seconds=WITHIN_SECONDS)
    cluster.wait_ready("crm")
    asked = tenant.oauth.requests(since=since, client_id=tenant.name)
    assert [one.status for one in asked] == [200], "the refused one was never sent again"
    asset = cluster.get("CredentialAssetRef", "crm")
    assert asset["status"]["version"].startswith("2-")


@pytest.mark.spec("A1", "C10")
@pytest.mark.parametrize("place", [Tenant.in_secret, Tenant.in_asset], ids=["by itself", "behind an asset"])
def test_a_changed_secret_takes_effect_within_seconds(tenant: Tenant, place: Any) -> None:
    cluster = tenant.cluster
    place(tenant)
    tenant.connect("crm")
    tenant.hand_on("plain")
    for name in ("crm", "plain"):
        cluster.wait_ready(name)
    first = tenant.token_of("crm")
    tenant.rotate("second-secret")
    tenant.put_in_secret()
    eventually(lambda: cluster.data("plain-token")["token"] == "second-secret", seconds=3)
    eventually(lambda: tenant.token_of("crm") != first, seconds=3)
    assert tenant.oauth.me(tenant.token_of("crm")).status_code == 200


@pytest.mark.spec("A3", "A4", "C10")
def test_a_rotated_secret_is_seen_at_the_rejection_although_the_old_one_is_still_cached(tenant: Tenant) -> None:
    cluster = tenant.cluster
    tenant.in_vault()
    tenant.asset(store=tenant.name, cacheTTL="1h")
    # An asset that changes under a Connection is read anew, and what is cached under the former one is not asked.
    cluster.wait_ready("crm", kind="CredentialAssetRef")
    tenant.oauth.change_client(tenant.name, token_ttl=8)
    tenant.connect("crm")
    cluster.wait_ready("crm")
    tenant.put_in_vault(client_id=tenant.name, client_secret="second-secret")
    tenant.rotate("second-secret")
    # Only from here on is the old secret refused: a refresh that came before the rotation is none of this test's.
    since, first = tenant.oauth.marker(), tenant.token_of("crm")
    eventually(lambda: tenant.token_of("crm") != first, seconds=10)
    assert tenant.oauth.me(first).status_code == 200, "replaced while it was alive"
    statuses = [one.status for one in tenant.oauth.requests(since=since, client_id=tenant.name)]
    assert statuses[:2] == [401, 200], "refused, looked at afresh, tried once more"
    found = cluster.wait_ready("crm")
    assert status_of(found, "TokenFresh") == "True"
    assert not any(event["reason"] == Reason.CLIENT_REJECTED for event in cluster.events("crm"))
    # The next refresh goes with the new one at once.
    second, since = tenant.token_of("crm"), tenant.oauth.marker()
    eventually(lambda: tenant.token_of("crm") != second, seconds=10)
    assert {one.status for one in tenant.oauth.requests(since=since, client_id=tenant.name)} == {200}


@pytest.mark.spec("A+1")
def test_a_sealed_vault_is_told_and_left_behind_when_it_is_unsealed(tenant: Tenant) -> None:
    cluster = tenant.cluster
    tenant.in_vault()
    tenant.connect("early")
    cluster.wait_ready("early")
    token = tenant.token_of("early")
    tenant.vault.seal()
    try:
        time.sleep(1.2)
        tenant.connect("late")
        tenant.connect("early", scopes=("api",))
        found = cluster.wait_reason("late", Reason.STORE_SEALED)
        assert "Unseal it" in message_of(found, "Ready")
        found = cluster.wait_reason("early", Reason.STORE_SEALED, condition="TokenFresh")
        assert status_of(found, "Ready") == "True"
        cluster.wait_reason("crm", Reason.STORE_SEALED, kind="CredentialAssetRef")
        cluster.wait_reason(tenant.name, Reason.STORE_SEALED, kind="CredentialStore")
        assert tenant.token_of("early") == token
    finally:
        tenant.vault.unseal()
    cluster.wait_ready("late")
    cluster.wait("Connection", "early", lambda one: status_of(one, "TokenFresh") == "True")
    cluster.wait_ready("crm", kind="CredentialAssetRef")
    cluster.wait_ready(tenant.name, kind="CredentialStore")


@pytest.mark.spec("A10", "A+1")
@pytest.mark.parametrize("how", ["its lease ends", "it is revoked"])
def test_an_ended_login_is_made_anew_and_nobody_notices(tenant: Tenant, how: str) -> None:
    cluster = tenant.cluster
    tenant.in_vault()
    if how == "its lease ends":
        tenant.role(token_ttl="2s", token_max_ttl="2s")
    tenant.hand_on("plain")
    cluster.wait_ready("plain")
    if how == "its lease ends":
        time.sleep(3)
    else:
        tenant.vault.write("sys/leases/revoke-prefix/auth/kubernetes/login", {})
    tenant.put_in_vault(client_id=tenant.name, client_secret="second-secret")
    eventually(lambda: cluster.data("plain-token")["token"] == "second-secret", seconds=WITHIN_SECONDS)
    for name in ("plain", "crm"):
        assert {event["type"] for event in cluster.events(name)} <= {"Normal"}, cluster.events(name)


@pytest.mark.spec("A9")
@pytest.mark.parametrize(
    ("grant", "withdrawn"),
    [
        ({"names": ["{}"]}, {"names": ["elsewhere"]}),
        ({"selector": {"matchLabels": {"team": "sales"}}}, None),
    ],
    ids=["by name", "by label"],
)
def test_an_asset_of_another_namespace_is_used_while_its_owner_admits_it(
    tenant: Tenant, other: Cluster, environment: Any, grant: Object, withdrawn: Object | None
) -> None:
    owner = tenant.cluster
    tenant.in_vault()
    tenant.asset(store=tenant.name, cacheTTL="1h")
    user = Tenant(other, environment)
    user.place = tenant.place
    tenant.put_in_vault(client_id=user.name, client_secret=user.secret)
    user.connect("crm", namespace=tenant.name)
    found = other.wait_reason("crm", Reason.ASSET_NOT_ADMITTED)
    assert "spec.allowedNamespaces" in message_of(found, "Ready")

    names = {"allowedNamespaces": {"names": [other.namespace]} if "names" in grant else grant}
    owner.merge("CredentialAssetRef", "crm", {"spec": names})
    if "selector" in grant:
        time.sleep(1)
        other.wait_reason("crm", Reason.ASSET_NOT_ADMITTED)
        environment.kubernetes.kubectl("label", "namespace", other.namespace, "team=sales")
    other.wait_ready("crm")
    token = user.token_of("crm")

    if withdrawn is not None:
        owner.merge("CredentialAssetRef", "crm", {"spec": {"allowedNamespaces": withdrawn}})
    else:
        environment.kubernetes.kubectl("label", "namespace", other.namespace, "team-")
    found = other.wait_reason("crm", Reason.ASSET_NOT_ADMITTED, condition="CredentialsResolved")
    assert status_of(found, "Ready") == "True", "the token that it has lives on"
    since = user.oauth.marker()
    user.connect("crm", scopes=("api",), namespace=tenant.name)
    other.wait("Connection", "crm", lambda one: one["status"]["observedGeneration"] == one["metadata"]["generation"])
    time.sleep(2)
    assert user.oauth.requests(since=since, client_id=user.name) == [], "not even with the value that is still cached"
    assert user.token_of("crm") == token
    user.close()


@pytest.mark.spec("A12", "A10")
def test_a_store_is_reached_through_its_own_proxy_and_only_through_it(tenant: Tenant) -> None:
    cluster = tenant.cluster
    with ConnectProxy() as proxy:
        tenant.in_vault()
        tenant.change_store(proxy=proxy.url)
        tenant.hand_on("plain")
        cluster.wait_ready("plain")
        cluster.wait_ready(tenant.name, kind="CredentialStore")
        address = tenant.vault.url.removeprefix("https://")
        eventually(lambda: address in proxy.tunnels())
        assert set(proxy.tunnels()) == {address}
    cluster.wait_reason(tenant.name, Reason.STORE_UNAVAILABLE, kind="CredentialStore")
    tenant.change_store(proxy=None)
    cluster.wait_ready(tenant.name, kind="CredentialStore")


@pytest.mark.spec("A11", "A3", "C+2")
def test_what_is_in_order_says_so_once_and_is_then_left_alone(tenant: Tenant, kubernetes: Any) -> None:
    cluster = tenant.cluster
    tenant.in_vault()
    tenant.connect("sales")
    name = f"own-{tenant.name}"
    cluster.apply("Connector", name, {"methods": [{"name": "apiKey"}]})
    try:
        cluster.wait_ready("sales")
        objects = [("CredentialAssetRef", "crm"), ("CredentialStore", tenant.name), ("Connector", name)]
        for kind, one in objects:
            found = cluster.wait_ready(one, kind=kind)
            assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
        assert reason_of(cluster.get("CredentialStore", tenant.name), "Ready") == Reason.REACHABLE
        time.sleep(1.5)
        offset = kubernetes.audit_offset()
        time.sleep(IDLE_SECONDS)
        writes = [
            (one["verb"], one["requestURI"])
            for one in kubernetes.audit_events(offset)
            if "lanyard-operator" in one["user"]["username"]
            and one["verb"] in {"create", "update", "patch", "delete"}
            and one.get("objectRef", {}).get("subresource") != "token"
            and (tenant.name in one["requestURI"])
        ]
        assert writes == [], "the asset was looked at again and again, and nothing was new"
        cluster.apply("Connector", name, {"methods": [{"name": "clientCredentials"}]})
        cluster.wait_reason(name, Reason.CONNECTOR_INVALID, kind="Connector")
        cluster.apply("Connector", name, {"methods": [{"name": "apiKey"}]})
        cluster.wait_ready(name, kind="Connector")
    finally:
        cluster.delete("Connector", name)
    assert [event["reason"] for event in cluster.events("crm")] == ["Resolved"]
    events = cluster.client.get("/api/v1/namespaces/default/events").json()["items"]
    told = sorted(event["reason"] for event in events if event["involvedObject"]["name"] == name)
    assert told == ["ConnectorInvalid", "Valid", "Valid"], "events of cluster-wide objects lie in default"


@pytest.mark.spec("A6")
def test_a_client_id_may_lie_beside_its_secret(tenant: Tenant) -> None:
    tenant.in_vault()
    cluster = tenant.cluster
    cluster.connection(
        "crm",
        connector="oauth2",
        parameters={"token_url": tenant.oauth.token_url},
        auth={"method": "clientCredentials"},
        credentials={
            "clientId": {"credentialAssetRef": {"name": "crm", "key": "username"}},
            "clientSecret": {"credentialAssetRef": {"name": "crm", "key": "password"}},
        },
    )
    cluster.wait_ready("crm")
    assert tenant.oauth.me(tenant.token_of("crm")).json()["client_id"] == tenant.name


@pytest.mark.spec("A3")
def test_an_outage_of_the_store_between_two_uses_is_not_even_noticed(tenant: Tenant, environment: Any) -> None:
    """A value is good for its cacheTTL: within it a refresh needs no store."""
    cluster = tenant.cluster
    with FaultProxy(environment.processes, environment.pki, f"vault-of-{tenant.name}", tenant.vault.url) as faults:
        tenant.reach_vault_through(faults)
        tenant.in_vault()
        tenant.asset(store=tenant.name, cacheTTL="1h")
        cluster.wait_ready("crm", kind="CredentialAssetRef")  # else it may be read anew in the outage
        tenant.oauth.change_client(tenant.name, token_ttl=4)
        tenant.connect("crm")
        cluster.wait_ready("crm")
        faults.refuse()
        first = tenant.token_of("crm")
        eventually(lambda: tenant.token_of("crm") != first, seconds=8)
        found = cluster.get("Connection", "crm")
        assert status_of(found, "Ready") == status_of(found, "TokenFresh") == "True"
