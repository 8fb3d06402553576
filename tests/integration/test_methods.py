"""Every method that needs no browser, from a Connection to a Secret that works, on the certified OAuth server."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest

from support.cluster import conditions, message_of, reason_of, status_of
from support.connecting import asks, assert_nowhere, from_secret, token_of
from support.provider import Answer, ScriptedProvider
from support.signing import signing_keys

ALWAYS = {"type", "provider"}
TOKEN_KEYS = ALWAYS | {"access_token", "token_type", "expires_at", "scope", "authorization_header"}
PASSWORD = "p4ss of ann:+%"


@pytest.fixture
def client_id(oauth: Any) -> Iterator[str]:
    """An id that only a form-encoded Basic header carries (RFC 6749 2.3.1)."""
    name = f"app:{uuid.uuid4().hex[:8]}"
    yield name
    oauth.remove_client(name)


def assert_works(oauth: Any, data: Mapping[str, str], **expected: str) -> None:
    """The published token is taken by the protected resource, in the header as published."""
    me = oauth.me(data["access_token"])
    assert me.status_code == 200
    assert {name: me.json()[name] for name in expected} == expected
    assert data["authorization_header"] == f"Bearer {data['access_token']}"
    assert data["expires_at"].endswith("Z")


@pytest.mark.spec("C5", "C17", "C8")
@pytest.mark.parametrize("client_authentication", ["client_secret_basic", "client_secret_post"])
def test_a_client_secret_becomes_a_token_that_works(
    operator: Any, cluster: Any, oauth: Any, client_id: str, client_authentication: str
) -> None:
    secret = "s3cret &=+%:/'"
    oauth.add_client(client_id, secret=secret, auth_method=client_authentication, scopes=["read", "write"])
    cluster.secret("client", secret=secret)
    asks(
        cluster,
        "crm",
        oauth.token_url,
        auth={"clientId": client_id, "clientAuthentication": client_authentication, "scopes": ["read", "write"]},
    )
    found = cluster.wait_ready("crm")
    data = cluster.data("crm-token")
    assert data.keys() == TOKEN_KEYS
    assert (data["type"], data["provider"], data["token_type"]) == ("clientCredentials", "oauth2", "Bearer")
    assert data["scope"] == "read write"
    assert found["status"]["grantedScopes"] == ["read", "write"]
    assert found["status"]["binding"] == {"name": "crm-token"}
    assert data["expires_at"] == found["status"]["expiresAt"]
    assert_works(oauth, data, client_id=client_id, scope="read write")
    assert_nowhere(cluster, operator.log, secret, data["access_token"])


@pytest.mark.spec("C5", "C8")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_private_key_becomes_a_token_that_works(
    operator: Any, cluster: Any, oauth: Any, client_id: str, algorithm: str
) -> None:
    private, public = signing_keys()[algorithm]
    public |= {"kid": "k1", "alg": algorithm, "use": "sig"}
    oauth.add_client(client_id, jwks={"keys": [public]}, auth_method="private_key_jwt", scopes=["read"])
    cluster.secret("client", key=private)
    cluster.connection(
        "crm",
        connector="oauth2",
        parameters={"token_url": oauth.token_url},
        auth={
            "method": "clientCredentials",
            "clientAuthentication": "private_key_jwt",
            "clientId": client_id,
            "keyId": "k1",
            "scopes": ["read"],
        },
        credentials={"privateKey": from_secret("client", "key")},
    )
    cluster.wait_ready("crm")
    data = cluster.data("crm-token")
    assert data.keys() == TOKEN_KEYS
    assert_works(oauth, data, client_id=client_id, scope="read")
    assert_nowhere(cluster, operator.log, private.splitlines()[1])


@pytest.mark.spec("C5", "C8")
def test_a_password_becomes_a_token_that_works_and_is_not_published(
    operator: Any, cluster: Any, oauth: Any, client_id: str
) -> None:
    user = f"ann-{cluster.namespace}"
    oauth.add_user(user, PASSWORD)
    oauth.add_client(client_id, secret="s3cret-of-app", scopes=["read"], grant_types=["password", "refresh_token"])
    cluster.secret("client", secret="s3cret-of-app", password=PASSWORD)
    asks(
        cluster,
        "crm",
        oauth.token_url,
        auth={"method": "password", "clientId": client_id, "username": user, "scopes": ["read"]},
        credentials={"clientSecret": from_secret("client"), "password": from_secret("client", "password")},
    )
    cluster.wait_ready("crm")
    data = cluster.data("crm-token")
    assert data.keys() == TOKEN_KEYS
    assert data["type"] == "password"
    assert_works(oauth, data, sub=user)
    assert PASSWORD not in data.values()

    # The refresh token that this client gets was dropped: the next token comes from the password again.
    since = oauth.marker()
    cluster.merge("Connection", "crm", {"spec": {"auth": {"scopes": []}}})
    cluster.wait("Secret", "crm-token", lambda _: token_of(cluster, "crm") != data["access_token"])
    assert [seen.grant_type for seen in oauth.requests(since=since, client_id=client_id)] == ["password"]
    assert_nowhere(cluster, operator.log, PASSWORD, "s3cret-of-app", data["access_token"])
    oauth.remove_user(user)


STATIC: dict[str, dict[str, Any]] = {
    "bearerToken": {"connector": "bearer", "credentials": {"token": from_secret("source", "pat")}},
    "apiKey": {"connector": "api-key", "credentials": {"apiKey": from_secret("source", "pat")}},
    "basic": {
        "connector": "basic",
        "auth": {"method": "basic", "username": "robot"},
        "credentials": {"password": from_secret("source", "pat")},
    },
    "custom": {
        "connector": "custom",
        "credentials": {"one": from_secret("source", "pat"), "two": from_secret("source", "more")},
    },
}
STATIC_DATA = {
    "bearerToken": {"token": "st4tic-one"},
    "apiKey": {"api_key": "st4tic-one"},
    "basic": {"username": "robot", "password": "st4tic-one"},
    "custom": {"one": "st4tic-one", "two": "st4tic-more"},
}


@pytest.mark.spec("C5", "C17", "C10", "C8")
@pytest.mark.parametrize("method", STATIC)
def test_what_needs_no_token_is_handed_on_and_follows_its_source(operator: Any, cluster: Any, method: str) -> None:
    cluster.secret("source", pat="st4tic-one", more="st4tic-more")
    cluster.connection("crm", **({"auth": {"method": method}} | STATIC[method]))
    found = cluster.wait_ready("crm")
    expected = STATIC_DATA[method] | {"type": method, "provider": STATIC[method]["connector"]}
    assert cluster.data("crm-token") == expected
    assert not {"TokenFresh", "ScopesGranted"} & conditions(found).keys()
    assert "expiresAt" not in found["status"]

    cluster.merge("Connection", "crm", {"spec": {"parameters": {"base_url": "https://api.example.com/v2"}}})
    cluster.secret("source", pat="st4tic-two", more="st4tic-more")
    changed = {name: value.replace("one", "two") for name, value in expected.items()}
    wanted = changed | {"base_url": "https://api.example.com/v2"}
    cluster.wait("Secret", "crm-token", lambda _: cluster.data("crm-token") == wanted)
    assert_nowhere(cluster, operator.log, "st4tic-one", "st4tic-two", "st4tic-more")


@pytest.mark.spec("C7", "C+3", "C11")
def test_a_new_token_is_there_while_the_old_one_lives_and_nobody_is_bothered(
    operator: Any, cluster: Any, oauth: Any, client_id: str
) -> None:
    oauth.add_client(client_id, secret="s3cret-of-app", scopes=["read"], ttl=20)
    cluster.secret("client", secret="s3cret-of-app")
    asks(cluster, "crm", oauth.token_url, auth={"clientId": client_id, "scopes": ["read"]})
    before = cluster.wait_ready("crm")
    old = token_of(cluster, "crm")
    assert (status_of(before, "TokenFresh"), reason_of(before, "TokenFresh")) == ("True", "TokenOutlivedByPropagation")
    events = [(event["reason"], event.get("count")) for event in cluster.events("crm")]

    cluster.wait("Secret", "crm-token", lambda _: token_of(cluster, "crm") != old, seconds=15)
    assert oauth.me(old).status_code == 200
    assert oauth.me(token_of(cluster, "crm")).status_code == 200
    after = cluster.wait("Connection", "crm", lambda one: one["status"]["expiresAt"] != before["status"]["expiresAt"])
    life = datetime.fromisoformat(before["status"]["expiresAt"]) - datetime.fromisoformat(
        after["status"]["lastRefreshedAt"]
    )
    assert life.total_seconds() >= 9
    assert conditions(after) == conditions(before)
    assert [(event["reason"], event.get("count")) for event in cluster.events("crm")] == events
    assert oauth.count(client_id=client_id) == 2


@pytest.mark.spec("C7", "K2")
def test_a_suspended_connection_asks_for_nothing_and_goes_on_when_it_is_resumed(operator: Any, cluster: Any) -> None:
    with ScriptedProvider(tls=False) as provider:
        provider.script("/token", Answer.of_token("f1rst-t0ken", expires_in=2))
        cluster.secret("client", secret="s3cret")
        asks(cluster, "crm", f"{provider.url}/token", suspend=True)
        found = cluster.wait("Connection", "crm", lambda one: reason_of(one, "Ready") == "Suspended")
        assert not {"Reconciling", "Stalled"} & conditions(found).keys()
        assert provider.requests() == []
        assert not cluster.exists("Secret", "crm-token")

        cluster.merge("Connection", "crm", {"spec": {"suspend": False}})
        cluster.wait_ready("crm")
        cluster.merge("Connection", "crm", {"spec": {"suspend": True}})
        cluster.wait("Connection", "crm", lambda one: one["status"]["observedGeneration"] == 3)
        asked = len(provider.requests())
        # What is published stays, and so does the truth about it.
        expired = cluster.wait("Connection", "crm", lambda one: status_of(one, "Ready") == "False")
        assert reason_of(expired, "TokenFresh") == "Suspended"
        assert "spec.suspend" in message_of(expired, "TokenFresh")
        assert token_of(cluster, "crm") == "f1rst-t0ken"
        assert len(provider.requests()) == asked

        provider.script("/token", Answer.of_token("s3cond-t0ken"))
        cluster.merge("Connection", "crm", {"spec": {"suspend": False}})
        cluster.wait_ready("crm")
        assert token_of(cluster, "crm") == "s3cond-t0ken"


@pytest.mark.spec("C4")
def test_whoever_asks_gets_a_new_token_at_once_and_one_only(
    operator: Any, cluster: Any, oauth: Any, client_id: str
) -> None:
    oauth.add_client(client_id, secret="s3cret", scopes=["read"])
    cluster.secret("client", secret="s3cret")
    asks(cluster, "crm", oauth.token_url, auth={"clientId": client_id, "scopes": ["read"]})
    cluster.wait_ready("crm")
    first, since = token_of(cluster, "crm"), oauth.marker()
    cluster.merge("Connection", "crm", {"metadata": {"annotations": {"lanyard.dev/refresh": "2026-03-01T12:00:00Z"}}})
    cluster.wait("Secret", "crm-token", lambda _: token_of(cluster, "crm") != first)
    cluster.merge("Connection", "crm", {"spec": {"displayName": "CRM"}})
    cluster.wait("Connection", "crm", lambda one: one["status"]["observedGeneration"] == one["metadata"]["generation"])
    assert len(oauth.requests(since=since, client_id=client_id)) == 1
    assert status_of(cluster.wait_ready("crm"), "TokenFresh") == "True"


@pytest.mark.spec("C5", "K2")
def test_a_method_that_its_connector_only_names_says_so(operator: Any, cluster: Any) -> None:
    name = f"{cluster.namespace}-sketch"
    cluster.apply("Connector", name, {"methods": [{"name": "deviceCode"}, {"name": "bearerToken"}]})
    cluster.connection("crm", connector=name, auth={"method": "deviceCode", "clientId": "app"})
    found = cluster.wait_reason("crm", "MethodNotAvailable")
    assert reason_of(found, "Stalled") == "MethodNotAvailable"
    assert reason_of(found, "SpecValid") == "MethodNotAvailable"
    assert "upgrade Lanyard" in message_of(found, "Ready")
    cluster.secret("source", pat="st4tic")
    cluster.merge(
        "Connection",
        "crm",
        {
            "spec": {
                "auth": {"method": "bearerToken", "clientId": None},
                "credentials": {"token": from_secret("source", "pat")},
            }
        },
    )
    cluster.wait_ready("crm")
    assert cluster.data("crm-token")["token"] == "st4tic"


@pytest.mark.spec("C5", "C11")
def test_a_consent_where_there_is_no_gateway_says_who_sets_it_up(operator: Any, cluster: Any) -> None:
    auth = {"method": "authorizationCode", "clientId": "app"}
    cluster.connection("crm", connector="github", auth=auth, credentials={"clientSecret": from_secret("app")})
    found = cluster.wait_reason("crm", "ConsentNotSetUp")
    assert reason_of(found, "Stalled") == "ConsentNotSetUp"
    assert "The platform team" in message_of(found, "Ready")


@pytest.mark.spec("C5", "C14")
def test_a_connector_object_wins_over_the_built_in_one_of_its_name_as_long_as_it_is_there(
    operator: Any, cluster: Any
) -> None:
    cluster.secret("source", pat="st4tic")
    cluster.connection(
        "crm",
        connector="datadog",
        auth={"method": "apiKey"},
        credentials={"apiKey": from_secret("source", "pat")},
        verify={"interval": "0s"},
    )
    cluster.wait_ready("crm")
    assert cluster.data("crm-token")["base_url"] == "https://api.datadoghq.com/api"
    own = {"baseURL": "https://datadog.acme.example", "methods": [{"name": "apiKey"}]}
    cluster.apply("Connector", "datadog", own)
    try:
        cluster.wait("Secret", "crm-token", lambda _: "acme" in cluster.data("crm-token")["base_url"])
        cluster.wait_ready("crm")
        cluster.wait_ready("datadog", kind="Connector")
        cluster.merge("Connector", "datadog", {"spec": {"methods": [{"name": "basic"}]}})
        found = cluster.wait_reason("crm", "MethodNotOffered", condition="SpecValid")
        assert "basic" in message_of(found, "SpecValid")
        assert cluster.data("crm-token")["api_key"] == "st4tic", "what is published stays"
    finally:
        cluster.delete("Connector", "datadog")
    cluster.wait(
        "Secret", "crm-token", lambda _: cluster.data("crm-token")["base_url"] == "https://api.datadoghq.com/api"
    )
    cluster.wait_ready("crm")
