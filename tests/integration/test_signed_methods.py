"""Methods that sign for themselves, from a Connection to a Secret, on a real API server.

The certified OAuth server has neither of these grants, so a scripted provider answers, after it has held signature and
claims against what the real one asks for.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from lanyard.connectors.loader import load_catalogue
from support.cluster import reason_of, status_of
from support.connecting import assert_nowhere, from_secret, token_of
from support.provider import Answer, Recorded, ScriptedProvider
from support.signing import signing_keys

INSTALLATION = "/app/installations/42/access_tokens"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REFUSED = Answer.of_error("invalid_grant")


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(tls=False) as running:
        yield running


def takes(public: dict[str, Any], algorithm: str, audience: str) -> Callable[[Recorded], Answer]:
    """A token endpoint that checks the grant as RFC 7523 3 asks."""
    key = jwt.PyJWK(public, algorithm).key

    def answer(request: Recorded) -> Answer:
        form = request.form
        if form["grant_type"] != JWT_BEARER:
            return Answer.of_error("unsupported_grant_type")
        try:
            claims = jwt.decode(form["assertion"], key, algorithms=[algorithm], audience=audience, issuer="ledger")
        except jwt.InvalidTokenError:
            return REFUSED
        good = claims["sub"] == "bot@example.com" and claims["jti"] and claims["exp"] - claims["iat"] <= 300
        return Answer.of_token("t0k3n-of-bot", scope=form["scope"]) if good else REFUSED

    return answer


@pytest.mark.spec("C5", "C16", "C8")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_signed_grant_becomes_a_token(
    operator: Any, cluster: Any, provider: ScriptedProvider, algorithm: str
) -> None:
    private, public = signing_keys()[algorithm]
    url = f"{provider.url}/token"
    provider.script("/token", takes(public, algorithm, url))
    cluster.secret("app", key=private)
    cluster.connection(
        "ledger",
        connector="oauth2",
        parameters={"token_url": url, "subject": "bot@example.com"},
        auth={"method": "jwtBearer", "clientId": "ledger", "keyId": "k1", "scopes": ["ledger.read"]},
        credentials={"privateKey": from_secret("app", "key")},
    )
    found = cluster.wait_ready("ledger")
    assert token_of(cluster, "ledger") == "t0k3n-of-bot"
    assert cluster.data("ledger-token")["type"] == "jwtBearer"
    assert found["status"]["grantedScopes"] == ["ledger.read"]
    assert jwt.get_unverified_header(provider.requests()[0].form["assertion"])["kid"] == "k1"
    assert_nowhere(cluster, operator.log, private.splitlines()[1], provider.requests()[0].form["assertion"])


@pytest.mark.spec("C5", "C11", "C10")
def test_a_key_that_the_provider_does_not_know_is_told_and_a_new_one_is_taken_by_itself(
    operator: Any, cluster: Any, provider: ScriptedProvider
) -> None:
    (right, public), (wrong, _) = signing_keys()["ES256"], signing_keys()["ES256"]
    url = f"{provider.url}/token"
    provider.script("/token", takes(public, "ES256", url))
    cluster.secret("app", key=wrong)
    cluster.connection(
        "ledger",
        connector="oauth2",
        parameters={"token_url": url, "subject": "bot@example.com"},
        auth={"method": "jwtBearer", "clientId": "ledger", "scopes": ["ledger.read"]},
        credentials={"privateKey": from_secret("app", "key")},
    )
    found = cluster.wait_reason("ledger", "ClientRejected")
    assert reason_of(found, "Stalled") == "ClientRejected"
    cluster.secret("app", key=right)
    cluster.wait_ready("ledger")
    assert token_of(cluster, "ledger") == "t0k3n-of-bot"


@pytest.mark.spec("C5", "C16", "C7")
def test_an_app_of_github_gets_a_token_of_its_installation_and_a_new_one_before_that_ends(
    operator: Any, cluster: Any, provider: ScriptedProvider
) -> None:
    """The built-in connector, with its host pointed here."""
    private, public = signing_keys()["RS256"]
    key = jwt.PyJWK(public, "RS256").key
    issued: list[str] = []

    def answer(request: Recorded) -> Answer:
        scheme, _, assertion = (request.header("Authorization") or "").partition(" ")
        claims = jwt.decode(assertion, key, algorithms=["RS256"], issuer="Iv1.app")
        good = scheme == "Bearer" and claims["exp"] - time.time() <= 600 and claims["iat"] <= time.time() - 30
        versioned = request.header("X-GitHub-Api-Version") == "2022-11-28"
        if not (good and versioned and json.loads(request.body or b"{}") == {}):
            return Answer.of_json({"message": "Bad credentials"}, 401)
        issued.append(f"ghs_{len(issued)}")
        life = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
        return Answer.of_json({"token": issued[-1], "expires_at": life, "permissions": {"contents": "read"}}, 201)

    provider.script(INSTALLATION, answer)
    built_in = load_catalogue()["github"].spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    here = json.loads(json.dumps(built_in).replace("https://api.github.com/app", f"{provider.url}/app"))
    name = f"github-{cluster.namespace}"
    cluster.apply("Connector", name, here)
    try:
        cluster.secret("app", key=private)
        cluster.connection(
            "releases",
            connector=name,
            parameters={"installation_id": "42"},
            auth={"method": "githubApp", "clientId": "Iv1.app"},
            credentials={"privateKey": from_secret("app", "key")},
        )
        found = cluster.wait_ready("releases")
        assert status_of(found, "TokenFresh") == "True"
        first = cluster.data("releases-token")
        assert first["authorization_header"] == f"Bearer {first['access_token']}"
        cluster.wait("Secret", "releases-token", lambda _: token_of(cluster, "releases") != first["access_token"])
        assert token_of(cluster, "releases") in issued
    finally:
        cluster.delete("Connector", name)


@pytest.mark.spec("C5", "C16")
def test_an_access_key_of_aws_is_published_with_its_region(operator: Any, cluster: Any) -> None:
    cluster.secret("aws", id="AKIAEXAMPLE", secret="wJalr")
    cluster.connection(
        "bedrock",
        connector="amazon-bedrock",
        verify={"interval": "0s"},
        parameters={"region": "eu-central-1"},
        auth={"method": "awsSigV4"},
        credentials={
            "access_key_id": from_secret("aws", "id"),
            "secret_access_key": from_secret("aws", "secret"),
        },
    )
    cluster.wait_ready("bedrock")
    data = cluster.data("bedrock-token")
    assert {name: data[name] for name in ("access_key_id", "secret_access_key", "region", "type")} == {
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": "wJalr",
        "region": "eu-central-1",
        "type": "awsSigV4",
    }
    assert "session_token" not in data
