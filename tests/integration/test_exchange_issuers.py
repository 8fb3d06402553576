"""JWTs of real issuers become tokens, with an operator that fetches their keys by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import yaml

from localenv.vault import Vault
from support.claim_shapes import GITHUB_ACTIONS, SHAPES, Shape
from support.cluster import Object
from support.connecting import asks
from support.federating import APPLICATION, JWT_TYPE, OAUTH_PATH, TOKEN_EXCHANGE, FederationTeam
from support.gateway import Visitor, query_of
from support.issuing import StaticIssuer
from support.jwts import claims_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "federation"
VAULT_ROLE = "crm"


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    """One whose operator holds the Lease itself."""
    return gateway_process().start()


@pytest.fixture(scope="module", autouse=True)
def operator(operator_process: Callable[..., Any], gateway: Any) -> Any:
    return operator_process(gateway_url=gateway.url).start()


@pytest.fixture
def make_team(cluster: Any, environment: Any, gateway: Any) -> Iterator[Callable[..., FederationTeam]]:
    made: list[FederationTeam] = []

    def make(issuer: StaticIssuer, **more: Any) -> FederationTeam:
        made.append(FederationTeam(cluster, environment, gateway, issuer, **more))
        return made[-1]

    yield make
    for team in made:
        team.close()


def trust(team: FederationTeam, token: str, **spec: Any) -> Object:
    """A credential for exactly this JWT, once the operator says that its issuer's keys are there."""
    claims = claims_of(token)
    audience = claims["aud"][0] if isinstance(claims["aud"], list) else claims["aud"]
    team.trust(issuer=claims["iss"], subject=claims["sub"], audience=audience, **spec)
    return team.cluster.wait_ready("ci", kind="FederatedCredential", seconds=30)


def assert_minted(team: FederationTeam, answer: httpx.Response) -> None:
    assert answer.json()["token_type"] == "Bearer"
    assert claims_of(answer.json()["access_token"])["client_id"] == team.client_id()


# the cluster's own


def projected_token(team: FederationTeam, account: str, audience: str, seconds: int = 3600) -> str:
    """What a projected volume of a pod would hold: same API, same fields (kubelet asks the same way)."""
    accounts = team.cluster.path("ServiceAccount")
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
    assert team.cluster.client.post(accounts, json=body).status_code in {201, 409}
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": seconds},
    }
    answer = team.cluster.client.post(f"{accounts}/{account}/token", json=request)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["status"]["token"])


@pytest.mark.spec("F1", "F+1")
def test_a_service_account_of_the_cluster_needs_nothing_but_its_token(federation_team: FederationTeam) -> None:
    token = projected_token(federation_team, "crm", "https://lanyard.example")
    trust(federation_team, token, caBundle=None)
    assert_minted(federation_team, federation_team.until_taken(token))


@pytest.mark.spec("F+1")
def test_the_pod_of_the_examples_reads_a_product_with_its_mounted_file_alone(
    make_team: Callable[..., FederationTeam], issuer: StaticIssuer, oauth: Any, tmp_path: Path
) -> None:
    """Everything is taken from its manifest, but that nothing runs here that would mount the volume."""
    team = make_team(issuer, connect=False)
    pod = next(one for one in yaml.safe_load_all((EXAMPLES / "pod.yaml").read_text()) if one["kind"] == "Pod")
    pod["metadata"]["namespace"] = team.name
    (projection,) = [
        source["serviceAccountToken"]
        for volume in pod["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    ]
    account = pod["spec"]["serviceAccountName"]
    token = projected_token(team, account, projection["audience"], projection["expirationSeconds"])
    pods = f"/api/v1/namespaces/{team.name}/pods"
    assert team.cluster.client.post(pods, json=pod, params={"dryRun": "All"}).status_code == 201
    file = tmp_path / projection["path"]
    file.write_text(token)

    oauth.add_client(team.name, secret="s3cret", scopes=("api",))
    team.cluster.secret("client", secret="s3cret")
    asks(team.cluster, APPLICATION, oauth.token_url, auth={"clientId": team.name, "scopes": ["api"]})
    trust(team, token, caBundle=None, claims=[{"claim": "/kubernetes.io/namespace", "equals": team.name}])
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": JWT_TYPE, "subject_token": file.read_text()}
    answer = team.until(lambda: team.exchange(form, path=OAUTH_PATH), lambda seen: seen.status_code == 200).json()
    assert answer["scope"] == "api"
    assert 0 < answer["expires_in"] <= 3600
    assert oauth.me(answer["access_token"]).json()["client_id"] == team.name
    oauth.remove_client(team.name)


# servers that are certified, or at least somebody else's


@pytest.mark.spec("F1")
def test_an_access_token_of_the_certified_server_is_taken(federation_team: FederationTeam, oauth: Any) -> None:
    name = federation_team.name
    oauth.add_client(name, secret="s3cret", scopes=("api",), token_format="jwt")
    form = {"grant_type": "client_credentials", "scope": "api"}
    answer = federation_team.client.post(oauth.token_url, data=form, auth=(name, "s3cret"))
    token = answer.json()["access_token"]
    assert claims_of(token)["iss"] == oauth.issuer
    trust(federation_team, token, caBundle=federation_team.ca_path.read_text())
    assert_minted(federation_team, federation_team.until_taken(token))
    oauth.remove_client(name)


@pytest.mark.spec("F1")
def test_an_id_token_of_a_person_at_the_certified_server_is_taken(federation_team: FederationTeam, oauth: Any) -> None:
    name, place = federation_team.name, "https://app.example/callback"
    oauth.add_user(name, "correct horse")
    oauth.add_client(
        name, secret="s3cret", grant_types=("authorization_code",), redirect_uris=(place,), pkce_required=False
    )
    question = {"client_id": name, "response_type": "code", "scope": "openid", "redirect_uri": place, "state": "s"}
    visitor = Visitor(federation_team.ca_path)
    back = visitor.at_provider(f"{oauth.authorization_url}?{urlencode(question)}", name=name, password="correct horse")
    form = {"grant_type": "authorization_code", "code": query_of(back)["code"], "redirect_uri": place}
    token = visitor.client.post(oauth.token_url, data=form, auth=(name, "s3cret")).json()["id_token"]
    visitor.close()
    assert claims_of(token)["sub"] == name
    trust(federation_team, token, caBundle=federation_team.ca_path.read_text())
    assert_minted(federation_team, federation_team.until_taken(token))
    oauth.remove_client(name)
    oauth.remove_user(name)


def vault_token(vault: Vault, audience: str) -> str:
    """An identity token of somebody who logged in at Vault (its `identity/oidc`)."""
    vault.write("identity/oidc/config", {"issuer": vault.url})
    vault.write("identity/oidc/key/lanyard", {"allowed_client_ids": ["*"], "algorithm": "ES256"})
    vault.write(f"identity/oidc/role/{VAULT_ROLE}", {"key": "lanyard", "client_id": audience, "ttl": "10m"})
    vault.policy(VAULT_ROLE, f'path "identity/oidc/token/{VAULT_ROLE}" {{ capabilities = ["read"] }}')
    role_id, secret_id = vault.app_role(VAULT_ROLE, policies=[VAULT_ROLE])
    login = vault.write("auth/approle/login", {"role_id": role_id, "secret_id": secret_id})
    with vault.client(login["auth"]["client_token"]) as somebody:
        answer = somebody.get(f"identity/oidc/token/{VAULT_ROLE}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["token"])


@pytest.mark.spec("F1")
def test_an_identity_token_of_vault_is_taken(federation_team: FederationTeam, vault: Vault) -> None:
    token = vault_token(vault, "https://lanyard.example")
    assert claims_of(token)["iss"] == f"{vault.url}/v1/identity/oidc"
    trust(federation_team, token, caBundle=federation_team.ca_path.read_text())
    assert_minted(federation_team, federation_team.until_taken(token))


# tokens as the clouds make them


@pytest.mark.spec("F1")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_token_of_the_documented_shape_is_taken(shape: Shape, make_team: Callable[..., FederationTeam]) -> None:
    with StaticIssuer.like(shape) as issuer:
        team = make_team(issuer)
        token = issuer.token_like(shape)
        trust(team, token)
        assert_minted(team, team.until_taken(token))
        assert team.present(issuer.token_like(shape, sub=f"{shape.subject}x")).status_code == 400


@pytest.mark.spec("F+2")
def test_a_claim_beyond_the_subject_is_held(make_team: Callable[..., FederationTeam]) -> None:
    with StaticIssuer.like(GITHUB_ACTIONS) as issuer:
        team = make_team(issuer)
        rules = [
            {"claim": "repository_id", "equals": "74"},
            {"claim": "job_workflow_ref", "glob": "acme/automation/.github/workflows/*@refs/heads/main"},
        ]
        token = issuer.token_like(GITHUB_ACTIONS)
        trust(team, token, claims=rules)
        assert_minted(team, team.until_taken(token))
        for wrong in ({"repository_id": "75"}, {"job_workflow_ref": "acme/other/.github/workflows/x@refs/heads/main"}):
            answer = team.present(issuer.token_like(GITHUB_ACTIONS, **wrong))
            assert answer.json()["error"] == "invalid_client"


def test_an_issuer_that_changes_its_keys_is_followed_at_the_next_exchange(federation_team: FederationTeam) -> None:
    issuer = federation_team.issuer
    trust(federation_team, issuer.token())
    federation_team.until_taken(issuer.token())
    fetched = issuer.fetches.keys
    issuer.rotate("ES256")
    assert federation_team.present(issuer.token()).status_code == 200
    assert issuer.fetches.keys == fetched + 1
