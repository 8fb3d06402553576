"""Clients of other people, as they are, get their tokens here: each by its ordinary federated flow, over TLS.

Each trusts the gateway's certificate by its own option, and none is told anything but addresses, ids and a JWT.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import authlib.integrations.requests_client as authlib_client
import azure.identity
import google.auth.identity_pool
import google.auth.transport.requests
import jwt
import msal
import oauthlib.oauth2
import pytest
import requests
import requests_oauthlib
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import RSAKey

from localenv import toolchain, tools
from support.federating import (
    ASSERTION_TYPE,
    JWT_TYPE,
    OAUTH_PATH,
    REFERENCE_PATH,
    TOKEN_EXCHANGE,
    FederationTeam,
)
from support.issuing import AUDIENCE, SUBJECT, StaticIssuer
from support.signing import pem

pytestmark = pytest.mark.spec("F1", "F7", "F+2")
SURROUNDINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
OPENID_CLIENT = Path(tools.__file__).parent / "openid_client" / "client.mjs"


@pytest.fixture(autouse=True)
def _only_what_the_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` puts the machine's authorities and proxies before what it is told."""
    for name in SURROUNDINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusting(federation_team: FederationTeam, issuer: StaticIssuer) -> FederationTeam:
    """A team whose gateway has heard that the issuer's workload is trusted."""
    federation_team.trust()
    federation_team.publish_keys()
    federation_team.until_taken(issuer.token())
    return federation_team


@pytest.fixture
def token_file(tmp_path: Path, issuer: StaticIssuer) -> Path:
    path = tmp_path / "token"
    path.write_text(issuer.token())
    return path


@pytest.fixture
def session(trusting: FederationTeam) -> Iterator[requests.Session]:
    with requests.Session() as one:
        one.verify = str(trusting.ca_path)
        yield one


def made_for(team: FederationTeam, access_token: str) -> dict[str, Any]:
    """What the token says to a resource server that knows nothing but the gateway's address."""
    found = team.client.get(team.url("/.well-known/openid-configuration")).json()
    keys = jwt.PyJWKSet.from_dict(team.client.get(found["jwks_uri"]).json())
    header = jwt.get_unverified_header(access_token)
    assert header["typ"] == "at+jwt"
    claims: dict[str, Any] = jwt.decode(
        access_token,
        keys[header["kid"]].key,
        algorithms=["ES256"],
        issuer=found["issuer"],
        audience=f"{found['issuer']}/{team.name}",
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti"]},
    )
    assert claims["sub"] == claims["client_id"] == team.client_id()
    assert claims["namespace"] == team.name
    return claims


# Authlib


@pytest.mark.parametrize("path", [REFERENCE_PATH, OAUTH_PATH])
def test_authlib_presents_a_jwt_that_somebody_else_signed(
    trusting: FederationTeam, issuer: StaticIssuer, path: str
) -> None:
    with authlib_client.OAuth2Session(trusting.client_id(), token_endpoint_auth_method="none") as client:
        token = client.fetch_token(
            trusting.url(path),
            grant_type="client_credentials",
            client_assertion_type=ASSERTION_TYPE,
            client_assertion=issuer.token(),
            verify=str(trusting.ca_path),
        )
    assert token["token_type"] == "Bearer"
    assert made_for(trusting, token["access_token"])


def test_authlib_signs_its_client_assertion_itself(trusting: FederationTeam, issuer: StaticIssuer) -> None:
    url = trusting.url(OAUTH_PATH)
    method = PrivateKeyJWT(
        url,
        claims={"iss": issuer.url, "sub": SUBJECT, "aud": AUDIENCE},
        headers={"kid": issuer.key.key_id},
        alg=issuer.key.algorithm,
    )
    with authlib_client.OAuth2Session(
        trusting.client_id(),
        pem(issuer.key.private),
        token_endpoint_auth_method="private_key_jwt",
    ) as client:
        client.register_client_auth_method(method)
        token = client.fetch_token(url, grant_type="client_credentials", verify=str(trusting.ca_path))
    assert made_for(trusting, token["access_token"])


def test_authlib_asks_with_an_assertion_grant_and_calls_an_api_with_the_token(
    trusting: FederationTeam, issuer: StaticIssuer
) -> None:
    """RFC 7523 section 2.1; it sends no client id, so the application is found by who may be it."""
    with authlib_client.AssertionSession(
        trusting.url(OAUTH_PATH),
        issuer=issuer.url,
        subject=SUBJECT,
        audience=AUDIENCE,
        key=RSAKey.import_key(pem(issuer.key.private)),
        header={"alg": issuer.key.algorithm, "kid": issuer.key.key_id},
    ) as client:
        client.verify = str(trusting.ca_path)
        assert client.get(trusting.url("/.well-known/openid-configuration")).status_code == 200
        assert made_for(trusting, client.token["access_token"])


def test_authlib_exchanges_a_token(trusting: FederationTeam, issuer: StaticIssuer) -> None:
    with authlib_client.OAuth2Session(trusting.client_id(), token_endpoint_auth_method="none") as client:
        token = client.fetch_token(
            trusting.url(OAUTH_PATH),
            grant_type=TOKEN_EXCHANGE,
            subject_token=issuer.token(),
            subject_token_type=JWT_TYPE,
            verify=str(trusting.ca_path),
        )
    assert token["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert made_for(trusting, token["access_token"])


# requests-oauthlib


def test_requests_oauthlib_presents_a_jwt_as_a_backend_application(
    trusting: FederationTeam, issuer: StaticIssuer
) -> None:
    backend = oauthlib.oauth2.BackendApplicationClient(trusting.client_id())
    with requests_oauthlib.OAuth2Session(client=backend) as client:
        token = client.fetch_token(
            trusting.url(REFERENCE_PATH),
            include_client_id=True,
            client_assertion_type=ASSERTION_TYPE,
            client_assertion=issuer.token(),
            verify=str(trusting.ca_path),
        )
    assert made_for(trusting, token["access_token"])


def test_requests_oauthlib_signs_an_assertion_that_names_no_key(trusting: FederationTeam, issuer: StaticIssuer) -> None:
    """As a service application (RFC 7523); its header has no `kid`, which is enough while the issuer has one key."""
    service = oauthlib.oauth2.ServiceApplicationClient(
        trusting.client_id(),
        private_key=pem(issuer.key.private),
        subject=SUBJECT,
        issuer=issuer.url,
        audience=AUDIENCE,
    )
    with requests_oauthlib.OAuth2Session(client=service) as client:
        token = client.fetch_token(trusting.url(OAUTH_PATH), include_client_id=True, verify=str(trusting.ca_path))
    assert made_for(trusting, token["access_token"])


# Microsoft's


def msal_client(team: FederationTeam, assertion: str, session: requests.Session) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        team.client_id(),
        authority=team.url(f"/{team.name}"),
        client_credential={"client_assertion": lambda: assertion},
        instance_discovery=False,
        http_client=session,
    )


def test_msal_takes_the_namespace_for_its_tenant(
    trusting: FederationTeam, issuer: StaticIssuer, session: requests.Session
) -> None:
    client = msal_client(trusting, issuer.token(), session)
    answer = client.acquire_token_for_client(["api://lanyard/.default"])
    assert "access_token" in answer, answer
    assert made_for(trusting, answer["access_token"])
    assert client.acquire_token_for_client(["api://lanyard/.default"])["token_source"] == "cache"


def test_azure_identity_reads_a_projected_token_from_its_file(trusting: FederationTeam, token_file: Path) -> None:
    """As a pod does that the azure-workload-identity webhook has prepared."""
    credential = azure.identity.WorkloadIdentityCredential(
        tenant_id=trusting.name,
        client_id=trusting.client_id(),
        token_file_path=str(token_file),
        authority=trusting.gateway.url,
        disable_instance_discovery=True,
        connection_verify=str(trusting.ca_path),
    )
    with credential:
        assert made_for(trusting, credential.get_token("api://lanyard/.default").token)


# Google's


def test_google_auth_exchanges_the_token_in_a_file(
    trusting: FederationTeam, token_file: Path, session: requests.Session
) -> None:
    """Its `audience` is the application: it sends no client id."""
    credentials = google.auth.identity_pool.Credentials(
        audience=trusting.client_id(),
        subject_token_type=JWT_TYPE,
        token_url=trusting.url(OAUTH_PATH),
        credential_source={"file": str(token_file)},
    )
    credentials.refresh(google.auth.transport.requests.Request(session))
    assert credentials.valid
    assert made_for(trusting, credentials.token)


# Node's openid-client


def openid_client(team: FederationTeam, assertion: str, flow: str, **more: Any) -> dict[str, Any]:
    task = {
        "modules": str(tools.openid_client()),
        "issuer": team.gateway.url,
        "clientId": team.client_id(),
        "assertion": assertion,
        "flow": flow,
        "metadata": "oidc",
        "parameters": {},
        **more,
    }
    done = subprocess.run(
        [str(toolchain.node()), str(OPENID_CLIENT), json.dumps(task)],
        env={"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(team.ca_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not done.returncode, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("metadata", ["oidc", "oauth2"])
@pytest.mark.parametrize("flow", ["clientCredentials", "tokenExchange"])
def test_openid_client_finds_the_endpoint_and_gets_a_token(
    trusting: FederationTeam, issuer: StaticIssuer, flow: str, metadata: str
) -> None:
    answer = openid_client(trusting, issuer.token(), flow, metadata=metadata)
    assert "tokens" in answer, answer
    assert answer["issuer"] == trusting.gateway.url
    assert answer["token_endpoint"].startswith(trusting.gateway.url)
    assert made_for(trusting, answer["tokens"]["access_token"])


# what they say when they are refused


def test_each_client_tells_its_user_the_error_of_the_standard(
    trusting: FederationTeam, issuer: StaticIssuer, session: requests.Session
) -> None:
    wrong = issuer.token(sub="somebody else")
    assert openid_client(trusting, wrong, "clientCredentials")["error"] == "invalid_client"
    assert openid_client(trusting, wrong, "tokenExchange")["error"] == "invalid_request"
    answer = msal_client(trusting, wrong, session).acquire_token_for_client(["api://lanyard/.default"])
    assert answer["error"] == "invalid_client"
    backend = oauthlib.oauth2.BackendApplicationClient(trusting.client_id())
    with (
        requests_oauthlib.OAuth2Session(client=backend) as client,
        pytest.raises(oauthlib.oauth2.InvalidClientError),
    ):
        client.fetch_token(
            trusting.url(REFERENCE_PATH),
            include_client_id=True,
            client_assertion_type=ASSERTION_TYPE,
            client_assertion=wrong,
            verify=str(trusting.ca_path),
        )
