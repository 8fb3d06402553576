"""The policy of what a FederatedCredential may trust, as the chart ships it, on the real API server."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.admission import created, message, patched
from support.install import ChartError, rendered
from support.people import eventually
from support.policing import EDITOR, GITHUB, GITLAB, Federating, namespace_of, policed

pytestmark = pytest.mark.spec("F2", "F+2")

OTHER = "https://login.example.com"
ENTERPRISE = f"{GITHUB}/acme-inc"


def rule(claim: str, **how: Any) -> dict[str, Any]:
    return {"claims": [{"claim": claim, **how}]}


@pytest.fixture(scope="module")
def client(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


@pytest.fixture(scope="module")
def team(client: httpx.Client) -> Iterator[Federating]:
    """A namespace under the policy that the session's chart has brought."""
    with namespace_of(client) as name:
        here = Federating(client, name)
        probe = here.credential(audience="sts.amazonaws.com")
        eventually(lambda: created(client, probe, dry=True, user=EDITOR).status_code == 422)
        yield here


@pytest.mark.parametrize(
    ("issuer", "spec"),
    [
        pytest.param(GITHUB, {"subject": "repo:acme/crm:ref:refs/heads/main"}, id="a branch of a repository"),
        pytest.param(GITHUB, {"subject": "repo:acme@12/crm@34:environment:prod"}, id="owner and repository with ids"),
        pytest.param(GITHUB, {"subject": "repo:acme/crm:pull_request"}, id="pull requests"),
        pytest.param(GITHUB, {"subject": "repository_owner_id:12:environment:prod"}, id="a template by owner id"),
        pytest.param(
            GITHUB,
            {"subject": "environment:prod", **rule("repository_owner_id", equals="12")},
            id="a template without owner, and a rule that names them",
        ),
        pytest.param(
            GITHUB,
            {"subject": "environment:prod", **rule("/repository", **{"in": ["acme/crm", "acme/erp"]})},
            id="the same rule as a pointer and a list",
        ),
        pytest.param(GITHUB, rule("repository", glob="acme/*"), id="any repository of one owner"),
        pytest.param(GITHUB, rule("sub", glob="repo:acme/*:ref:refs/heads/main"), id="a glob on sub after the owner"),
        pytest.param(GITHUB, rule("job_workflow_ref", glob="*/deploy.yml"), id="a glob on a claim that names no owner"),
        pytest.param(ENTERPRISE, {"subject": "repo:acme/crm:pull_request"}, id="an enterprise's own issuer"),
        pytest.param(GITLAB, {"subject": "project_path:acme/sales/crm:ref_type:tag:ref:v1"}, id="a project in a group"),
        pytest.param(GITLAB, {"subject": "project_id:34:ref_type:branch:ref:main"}, id="a project by its id"),
        pytest.param(GITLAB, rule("namespace_path", glob="acme/*"), id="any group below one"),
        pytest.param(OTHER, {"subject": "a*b"}, id="another issuer's subjects are its own matter"),
        pytest.param(OTHER, {"audience": "api://AzureADTokenExchange"}, id="the audience that Azure's SDKs ask for"),
        pytest.param(OTHER, {"audience": "https://kubernetes.example/"}, id="an audience that only resembles one"),
    ],
)
def test_the_api_server_takes(team: Federating, issuer: str, spec: dict[str, Any]) -> None:
    answer = created(team.client, team.credential(issuer, **spec), dry=True, user=EDITOR)
    assert answer.status_code == 201, message(answer)


WHOLE = "* stands for nothing in it: write it whole"
OWNER = "so the subject begins with the owner, such as"


@pytest.mark.parametrize(
    ("issuer", "spec", "says"),
    [
        pytest.param(GITHUB, {"subject": "repo:acme/*"}, WHOLE, id="a star in the subject, as at AWS"),
        pytest.param(GITHUB, {"subject": "repo:*/crm:pull_request"}, WHOLE, id="a star for the owner"),
        pytest.param(GITHUB, {"subject": "environment:prod"}, OWNER, id="a template without owner"),
        pytest.param(GITHUB, {"subject": "x:repo:acme/crm"}, OWNER, id="the owner further back"),
        pytest.param(GITHUB, {"subject": "repo:acme"}, OWNER, id="an owner without repository"),
        pytest.param(GITHUB, {"subject": "repo:/crm:pull_request"}, OWNER, id="an empty owner"),
        pytest.param(GITHUB, {"subject": "repo:acme:x/crm"}, OWNER, id="a colon in the owner"),
        pytest.param(
            GITHUB, {"subject": "job_workflow_ref:acme/w/.github/x"}, OWNER, id="a workflow that anybody calls"
        ),
        pytest.param(
            GITHUB,
            {"subject": "environment:prod", **rule("repository", glob="acme/crm*")},
            OWNER,
            id="a template without owner, and a glob",
        ),
        pytest.param(
            GITHUB,
            {"subject": "environment:prod", **rule("environment", equals="prod")},
            OWNER,
            id="a template without owner, and a rule on something else",
        ),
        pytest.param(ENTERPRISE, {"subject": "environment:prod"}, OWNER, id="an enterprise's own issuer"),
        pytest.param(f"{GITLAB}/", {"subject": "ref:main"}, OWNER, id="the issuer with a slash at its end"),
        pytest.param(GITHUB, rule("repository", glob="*/crm"), "a glob on repository names", id="anybody's crm"),
        pytest.param(
            GITHUB, rule("/repository", glob="ac*/crm"), "a glob on repository names", id="the same, a pointer"
        ),
        pytest.param(GITHUB, rule("repository", glob="acme*"), "a glob on repository names", id="owners beginning so"),
        pytest.param(GITHUB, rule("repository_owner", glob="acme*"), "a glob on repository_owner", id="such owners"),
        pytest.param(GITHUB, rule("sub", glob="repo:*/crm:*"), "a glob on sub names", id="a glob on sub"),
        pytest.param(GITLAB, {"subject": "project_path:acme"}, OWNER, id="a group without project"),
        pytest.param(GITLAB, rule("project_path", glob="*/crm"), "a glob on project_path", id="anybody's project"),
        pytest.param(
            GITLAB, rule("namespace_path", glob="acme*"), "a glob on namespace_path", id="groups beginning so"
        ),
        pytest.param(OTHER, {"audience": "sts.amazonaws.com"}, "made for another service", id="tokens for AWS"),
        pytest.param(
            OTHER,
            {"audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"},
            "made for another service",
            id="tokens for Google",
        ),
        pytest.param(
            OTHER,
            {"audience": "https://kubernetes.default.svc.cluster.local"},
            "made for another service",
            id="tokens for the API server",
        ),
    ],
)
def test_the_api_server_refuses(team: Federating, issuer: str, spec: dict[str, Any], says: str) -> None:
    answer = created(team.client, team.credential(issuer, **spec), dry=True, user=EDITOR)
    assert answer.status_code == 422
    assert says in message(answer)


def test_what_is_taken_once_cannot_turn_into_what_is_refused(team: Federating) -> None:
    manifest = team.credential()
    assert created(team.client, manifest, user=EDITOR).status_code == 201
    for change in ({"subject": "repo:acme/*"}, {"audience": "sts.amazonaws.com"}, rule("repository", glob="*/crm")):
        assert patched(team.client, manifest, {"spec": change}, user=EDITOR).status_code == 422
    assert patched(team.client, manifest, {"spec": {"subject": "repo:acme/erp:pull_request"}}).status_code == 200


def test_the_status_is_written_as_ever(team: Federating) -> None:
    manifest = team.credential()
    assert created(team.client, manifest, user=EDITOR).status_code == 201
    name = manifest["metadata"]["name"]
    answer = team.client.patch(
        f"/apis/lanyard.dev/v1alpha1/namespaces/{team.namespace}/federatedcredentials/{name}/status",
        json={"status": {"lastExchangeAt": "2026-01-01T00:00:00Z"}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert answer.status_code == 200, message(answer)


MINE = {
    "name": "our GitLab",
    "issuers": ["https://git.acme.example"],
    "subject": "^project_path:acme/",
    "example": "project_path:acme/crm:ref_type:branch:ref:main",
    "owners": [],
    "required": ["environment"],
}


def test_a_platform_gives_rules_of_its_own_and_what_was_there_before_can_be_suspended(
    kubernetes: Any, client: httpx.Client
) -> None:
    old_subject = {"subject": "project_path:other/crm:ref_type:branch:ref:main"}
    values = {"issuers": [MINE], "foreignAudiences": []}
    with policed(kubernetes, client, "trust", {**values, "actions": ["Audit"]}) as before:
        old = before.credential(MINE["issuers"][0], **old_subject)
        assert created(client, old, user=EDITOR).status_code == 201
        binding = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{before.release}-trust"
        merge = {"Content-Type": "application/merge-patch+json"}
        client.patch(binding, json={"spec": {"validationActions": ["Deny"]}}, headers=merge)
        another = before.credential(MINE["issuers"][0], **old_subject)
        eventually(lambda: created(client, another, dry=True, user=EDITOR).status_code == 422)
        assert OWNER in message(created(client, another, dry=True, user=EDITOR))
        for harmless in ({"suspend": True}, {"displayName": "CRM"}, {"expiresAt": "2027-01-01T00:00:00Z"}):
            assert patched(client, old, {"spec": harmless}, user=EDITOR).status_code == 200
        for change in ({"audience": "https://other.example"}, rule("environment", equals="prod")):
            assert patched(client, old, {"spec": change}, user=EDITOR).status_code == 422
        good = before.credential(MINE["issuers"][0], subject="project_path:acme/crm:ref_type:branch:ref:main")
        answer = created(client, good, dry=True, user=EDITOR)
        assert "the platform wants a rule on environment in claims for this issuer" in message(answer)
        good["spec"] |= rule("environment", equals="prod")
        assert created(client, good, dry=True, user=EDITOR).status_code == 201


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"issuers": [{**MINE, "issuers": ["https://*.acme.example"]}]}, "/policies/trust/issuers/0/issuers/0"),
        ({"issuers": [{**MINE, "issuers": ["https://git.acme.example/"]}]}, "/policies/trust/issuers/0/issuers/0"),
        ({"issuers": [{**MINE, "subject": "acme"}]}, "/policies/trust/issuers/0/subject"),
        ({"foreignAudiences": ["*"]}, "/policies/trust/foreignAudiences/0"),
    ],
    ids=["a star in the host", "a slash at the end", "a pattern without its beginning", "every audience"],
)
def test_the_chart_refuses_values_that_hold_nothing(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ChartError, match="values don't meet the specifications") as refused:
        rendered({"policies": {"trust": values}})
    assert says in str(refused.value)


def test_the_api_server_finds_nothing_to_warn_of(client: httpx.Client) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/lanyard-trust"
    eventually(lambda: "observedGeneration" in client.get(path).json().get("status", {}))
    assert client.get(path).json()["status"].get("typeChecking", {}) == {}
    assert client.get(path).json()["spec"]["failurePolicy"] == "Fail"
