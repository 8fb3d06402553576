"""What the certified OAuth server refuses or withholds, and how a Connection gets over it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.cluster import message_of, reason_of, status_of
from support.connecting import asks, assert_nowhere, from_secret, token_of
from support.provider import Answer, Recorded, ScriptedProvider
from support.tenant import ASSET_PLACE, Tenant


@pytest.fixture
def tenant(cluster: Any, environment: Any) -> Iterator[Tenant]:
    tenant = Tenant(cluster, environment)
    yield tenant
    tenant.close()


def referring(cluster: Any, token_url: str, **auth: Any) -> None:
    """Id and secret both come from the Secret `client`."""
    credentials = {
        "clientId": from_secret("client", "client_id"),
        "clientSecret": from_secret("client", "client_secret"),
    }
    spec = {"parameters": {"token_url": token_url}, "credentials": credentials}
    cluster.connection("crm", connector="oauth2", auth={"method": "clientCredentials"} | auth, **spec)


@pytest.mark.spec("C11", "C10", "C8")
@pytest.mark.parametrize("wrong", ["client_id", "client_secret"])
@pytest.mark.parametrize("client_authentication", ["client_secret_basic", "client_secret_post"])
def test_a_corrected_secret_is_enough_after_a_refused_client(
    operator: Any, cluster: Any, oauth: Any, wrong: str, client_authentication: str
) -> None:
    good = {"client_id": cluster.namespace, "client_secret": "r1ght-s3cret"}
    oauth.add_client(cluster.namespace, secret=good["client_secret"], auth_method=client_authentication)
    cluster.secret("client", **good | {wrong: "wr0ng-value"})
    referring(cluster, oauth.token_url, clientAuthentication=client_authentication)
    found = cluster.wait_reason("crm", "ClientRejected")
    assert reason_of(found, "Stalled") == "ClientRejected"
    assert "app's registration" in message_of(found, "Ready")
    generation = found["metadata"]["generation"]

    corrected = time.monotonic()
    cluster.secret("client", **good)
    found = cluster.wait_ready("crm")
    assert time.monotonic() - corrected < 2.5, "sooner than the retry that was due anyway"
    assert found["metadata"]["generation"] == generation
    assert oauth.me(token_of(cluster, "crm")).status_code == 200
    assert_nowhere(cluster, operator.log, "r1ght-s3cret", "wr0ng-value", "invalid_client")


@pytest.mark.spec("C9", "C11")
@pytest.mark.parametrize("mended_by", ["the provider", "the team"])
def test_a_scope_that_is_refused_is_told_until_it_is_allowed_or_given_up(
    operator: Any, cluster: Any, tenant: Tenant, mended_by: str
) -> None:
    tenant.in_secret()
    tenant.connect("crm", scopes=("api", "admin"))
    found = cluster.wait_reason("crm", "ScopeRejected")
    assert "spec.auth.scopes" in message_of(found, "Ready")
    if mended_by == "the provider":
        tenant.oauth.change_client(tenant.name, allowed_scopes=["api", "admin"])
    else:
        tenant.connect("crm", scopes=("api",))
    found = cluster.wait_ready("crm")
    assert found["status"]["grantedScopes"] == (["api", "admin"] if mended_by == "the provider" else ["api"])


@pytest.mark.spec("C9", "C11")
def test_a_wish_that_is_not_granted_is_told_and_the_token_used(operator: Any, cluster: Any, tenant: Tenant) -> None:
    tenant.oauth.change_client(tenant.name, withheld_scopes=["more"], token_ttl=4)
    tenant.in_secret()
    tenant.connect("crm", scopes=("api", "more"))
    found = cluster.wait_ready("crm")
    assert (status_of(found, "ScopesGranted"), reason_of(found, "ScopesGranted")) == ("False", "ScopeMissing")
    assert message_of(found, "ScopesGranted").startswith("Not granted: more.")
    assert found["status"]["grantedScopes"] == ["api"]
    assert cluster.data("crm-token")["scope"] == "api"
    tenant.oauth.change_client(tenant.name, withheld_scopes=[])
    found = cluster.wait("Connection", "crm", lambda one: status_of(one, "ScopesGranted") == "True")
    assert cluster.data("crm-token")["scope"] == "api more"


@pytest.mark.spec("C9", "C11")
def test_a_mandatory_scope_that_is_not_granted_keeps_a_token_from_being_published(
    operator: Any, cluster: Any, tenant: Tenant
) -> None:
    method = {"name": "clientCredentials", "tokenRequest": {"url": tenant.oauth.token_url}}
    method["scopes"] = {"default": ["api"], "mandatory": ["more"]}
    cluster.apply("Connector", tenant.name, {"methods": [method]})
    tenant.on_close.append(lambda: cluster.client.delete(cluster.path("Connector", tenant.name)))
    tenant.oauth.change_client(tenant.name, withheld_scopes=["more"])
    tenant.in_secret()
    spec = {"connector": tenant.name, "credentials": {"clientSecret": tenant.place}}
    cluster.connection("crm", auth={"clientId": tenant.name}, **spec)
    found = cluster.wait_reason("crm", "ScopeMissing")
    assert reason_of(found, "Stalled") == "ScopeMissing"
    assert message_of(found, "Ready").startswith("Not granted: more. Add the scopes")
    assert status_of(found, "ScopesGranted") == "False"
    assert not cluster.exists("Secret", "crm-token")

    tenant.oauth.change_client(tenant.name, withheld_scopes=[])
    found = cluster.wait_ready("crm")
    assert status_of(found, "ScopesGranted") == "True"
    assert found["status"]["grantedScopes"] == ["api", "more"]

    # Withdrawn later: the token that has it stays.
    token = token_of(cluster, "crm")
    tenant.oauth.change_client(tenant.name, withheld_scopes=["more"])
    cluster.connection("crm", auth={"clientId": tenant.name, "scopes": ["api", "more"]}, **spec)
    found = cluster.wait_reason("crm", "ScopeMissing", condition="ScopesGranted")
    assert status_of(found, "Ready") == "True"
    assert token_of(cluster, "crm") == token


@pytest.mark.spec("A4", "C10", "C11")
@pytest.mark.parametrize(
    ("changed", "accepted", "requests"),
    [
        pytest.param(True, True, 2, id="a source that has changed, and the new value is taken"),
        pytest.param(True, False, 2, id="a source that has changed, and the new value is refused too"),
        pytest.param(False, False, 1, id="a source that is as it was"),
    ],
)
def test_a_refusal_is_answered_by_one_fresh_look_at_the_source_and_one_retry_if_it_differs(
    operator: Any, cluster: Any, tenant: Tenant, changed: bool, accepted: bool, requests: int
) -> None:
    tenant.in_vault()
    tenant.asset(store=tenant.name, cacheTTL="1h")
    cluster.wait_ready("crm", kind="CredentialAssetRef")  # else its change is one more reason to ask

    def turn(_: Recorded) -> Answer:
        """Refuse; the source changes at the very moment at which the old value is on its way."""
        if changed:
            tenant.put_in_vault(client_id="x", client_secret="n3w-s3cret")
        provider.script("/token", Answer.of_token("s3cond-t0ken") if accepted else refusal)
        return refusal

    refusal = Answer.of_error("invalid_client", 401)
    with ScriptedProvider(tls=False) as provider:
        provider.script("/token", Answer.of_token("f1rst-t0ken", expires_in=5))
        asks(cluster, "crm", f"{provider.url}/token", source=ASSET_PLACE)
        cluster.wait_ready("crm")
        provider.forget()
        provider.script("/token", turn)
        if accepted:
            cluster.wait("Secret", "crm-token", lambda _: token_of(cluster, "crm") == "s3cond-t0ken")
            found = cluster.wait_ready("crm")
            assert status_of(found, "TokenFresh") == "True"
            events = [event for event in cluster.events("crm") if event["involvedObject"]["kind"] == "Connection"]
            assert {event["reason"] for event in events} <= {"TokenPublished"}
        else:
            found = cluster.wait_reason("crm", "ClientRejected", condition="TokenFresh")
            assert status_of(found, "Ready") == "True", "the old token lives"
            assert token_of(cluster, "crm") == "f1rst-t0ken"
            time.sleep(1)
        found = provider.requests("/token")
        assert len(found) == requests
        assert (found[0].header("Authorization") != found[-1].header("Authorization")) is changed
    assert_nowhere(cluster, operator.log, "n3w-s3cret", tenant.secret)
