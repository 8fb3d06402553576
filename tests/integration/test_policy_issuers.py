"""The policy of issuers on the real API server: whom a FederatedCredential may trust, and where its keys come from."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.admission import created, message, patched
from support.install import ChartError, rendered
from support.people import eventually
from support.policing import EDITOR, GITHUB, Federating, namespace_of, policed

pytestmark = pytest.mark.spec("F2", "F+2")

EKS = "https://oidc.eks.eu-central-1.amazonaws.com/id"
CLUSTER = "https://kubernetes.airgapped.example"
ELSEWHERE = "https://only.elsewhere.example"
ALLOWED = [
    {"issuer": GITHUB},
    {"issuer": f"{EKS}/*"},
    {"issuer": CLUSTER, "ownKeys": True},
    {"issuer": ELSEWHERE, "namespaces": ["somewhere-else"]},
]
KEYS = '{"keys": []}'


@pytest.fixture(scope="module")
def client(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


@pytest.fixture(scope="module")
def team(kubernetes: Any, client: httpx.Client) -> Iterator[Federating]:
    with policed(kubernetes, client, "issuers", {"allowed": ALLOWED}) as here:
        probe = here.credential("https://stranger.example")
        eventually(lambda: created(client, probe, dry=True, user=EDITOR).status_code == 403)
        yield here


@pytest.mark.parametrize(
    ("issuer", "spec"),
    [
        pytest.param(GITHUB, {}, id="as it is written"),
        pytest.param(f"{EKS}/0123ABCD", {}, id="below a prefix"),
        pytest.param(CLUSTER, {"jwks": KEYS}, id="with keys of its own where that is allowed"),
        pytest.param(CLUSTER, {}, id="without them there"),
    ],
)
def test_the_platform_lets_a_team_trust(team: Federating, issuer: str, spec: dict[str, Any]) -> None:
    answer = created(team.client, team.credential(issuer, **spec), dry=True, user=EDITOR)
    assert answer.status_code == 201, message(answer)


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("https://stranger.example", id="an issuer that is not listed"),
        pytest.param(f"{GITHUB}/", id="a slash more"),
        pytest.param(f"{GITHUB}/acme", id="a path below one that is no prefix"),
        pytest.param(f"{GITHUB}.stranger.example", id="a host that begins like one"),
        pytest.param(EKS, id="the prefix without its slash"),
        pytest.param(f"{EKS}x/0123", id="a path that begins like a prefix"),
        pytest.param(ELSEWHERE, id="an issuer of other namespaces"),
    ],
)
def test_the_platform_does_not_let_a_team_trust(team: Federating, issuer: str) -> None:
    answer = created(team.client, team.credential(issuer), dry=True, user=EDITOR)
    assert answer.status_code == 403
    assert f"does not let this namespace trust the issuer {issuer}: allowed are" in message(answer)
    assert f"{EKS}/*" in message(answer)


@pytest.mark.parametrize(
    "keys",
    [{"jwks": KEYS}, {"jwksURI": "https://mine.example/jwks"}, {"caBundle": "-----BEGIN CERTIFICATE-----"}],
    ids=["keys", "an address of keys", "who vouches for the host"],
)
def test_who_brings_the_keys_could_play_the_issuer_and_is_refused(team: Federating, keys: dict[str, str]) -> None:
    answer = created(team.client, team.credential(GITHUB, **keys), dry=True, user=EDITOR)
    assert answer.status_code == 403
    assert "take jwks, jwksURI and caBundle out, or have the platform set ownKeys" in message(answer)


def test_a_credential_cannot_turn_to_another_issuer_or_to_keys_of_its_own(team: Federating) -> None:
    manifest = team.credential(GITHUB)
    assert created(team.client, manifest, user=EDITOR).status_code == 201
    for change in ({"issuer": "https://stranger.example"}, {"jwks": KEYS}):
        assert patched(team.client, manifest, {"spec": change}, user=EDITOR).status_code == 403


def test_what_was_trusted_before_can_be_suspended_and_not_widened(kubernetes: Any, client: httpx.Client) -> None:
    with policed(kubernetes, client, "issuers", {"allowed": ALLOWED, "actions": ["Audit"]}) as here:
        manifest = here.credential("https://stranger.example", scopes=["read"])
        assert created(client, manifest, user=EDITOR).status_code == 201
        binding = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{here.release}-issuers"
        merge = {"Content-Type": "application/merge-patch+json"}
        client.patch(binding, json={"spec": {"validationActions": ["Deny"]}}, headers=merge)
        another = here.credential("https://stranger.example")
        eventually(lambda: created(client, another, dry=True, user=EDITOR).status_code == 403)
        for harmless in ({"suspend": True}, {"displayName": "old"}, {"expiresAt": "2027-01-01T00:00:00Z"}):
            assert patched(client, manifest, {"spec": harmless}, user=EDITOR).status_code == 200
        for change in ({"subject": "another"}, {"audience": "another"}, {"scopes": ["read", "write"]}, {"jwks": KEYS}):
            assert patched(client, manifest, {"spec": change}, user=EDITOR).status_code == 403
        assert patched(
            client, manifest, {"spec": {"issuer": GITHUB, "subject": "repo:acme/crm:pull_request"}}
        ).is_success


def test_without_the_policy_every_issuer_is_taken(client: httpx.Client) -> None:
    with namespace_of(client) as name:
        here = Federating(client, name)
        probe = here.credential("https://stranger.example", jwks=KEYS)
        eventually(lambda: created(client, probe, dry=True, user=EDITOR).status_code == 201)
    assert not any(one["metadata"]["name"] == "lanyard-issuers" for one in rendered())


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        ([], "/policies/issuers/allowed"),
        ([{"issuer": "https://*.example.com"}], "/policies/issuers/allowed/0/issuer"),
        ([{"issuer": "https://*"}], "/policies/issuers/allowed/0/issuer"),
        ([{"issuer": "https://a.example*"}], "/policies/issuers/allowed/0/issuer"),
        ([{"issuer": "http://a.example"}], "/policies/issuers/allowed/0/issuer"),
        ([{"issuer": "https://A.example"}], "/policies/issuers/allowed/0/issuer"),
        ([{"issuer": "https://a.example", "namespaces": []}], "/policies/issuers/allowed/0/namespaces"),
    ],
    ids=["nobody", "a star in the host", "every host", "hosts beginning so", "plain http", "capitals", "no namespace"],
)
def test_the_chart_refuses_a_list_that_is_not_meant(allowed: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ChartError, match="values don't meet the specifications") as refused:
        rendered({"policies": {"issuers": {"enabled": True, "allowed": allowed}}})
    assert says in str(refused.value)


def test_the_api_server_finds_nothing_to_warn_of(team: Federating) -> None:
    path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{team.release}-issuers"
    eventually(lambda: "observedGeneration" in team.client.get(path).json().get("status", {}))
    assert team.client.get(path).json()["status"].get("typeChecking", {}) == {}
    assert team.client.get(path).json()["spec"]["failurePolicy"] == "Fail"
