"""What the JWTs of well-known issuers look like, as their vendors document them. Only `iss` is put in by the test."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UID = "6f0f4e6c-3c0a-4b5e-9a57-0f4d0f5f7d11"
TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"


@dataclass(frozen=True, slots=True)
class Shape:
    """One issuer's tokens: `issuer` as documented, `path` what of it a stand-in can keep, `life` in seconds."""

    name: str
    issuer: str
    subject: str
    audience: str
    life: int = 600
    algorithm: str = "RS256"
    audience_is_list: bool = False
    has_token_id: bool = True
    header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return "/" + self.issuer.removeprefix("https://").partition("/")[2] if "/" in self.issuer[8:] else ""

    def filled(
        self, *, issuer: str = "", audience: str = "", now: float | None = None, **changes: Any
    ) -> dict[str, Any]:
        """All claims of a token made now; a claim changed to None is left out."""
        at = int(time.time() if now is None else now)
        target = audience or self.audience
        found = {
            "iss": issuer or self.issuer,
            "sub": self.subject,
            "aud": [target] if self.audience_is_list else target,
            "iat": at,
            "exp": at + self.life,
            **({"jti": UID} if self.has_token_id else {}),
            **self.claims,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}


# docs.github.com, "OpenID Connect reference", the example token.
GITHUB_ACTIONS = Shape(
    name="GitHub Actions",
    issuer="https://token.actions.githubusercontent.com",
    subject="repo:acme@65/crm@74:ref:refs/heads/main",
    audience="https://github.com/acme",
    life=300,
    header={"x5t": "example-thumbprint"},
    claims={
        "ref": "refs/heads/main",
        "sha": "example-sha",
        "repository": "acme/crm",
        "repository_owner": "acme",
        "repository_id": "74",
        "repository_owner_id": "65",
        "repository_visibility": "private",
        "actor": "octocat",
        "actor_id": "12",
        "run_id": "1658821493",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "workflow": "deploy",
        "event_name": "workflow_dispatch",
        "ref_type": "branch",
        "job_workflow_ref": "acme/automation/.github/workflows/oidc.yml@refs/heads/main",
        "head_ref": "",
        "base_ref": "",
    },
)
# docs.gitlab.com, "OpenID Connect (OIDC) Authentication Using ID Tokens", token payload.
GITLAB = Shape(
    name="GitLab",
    issuer="https://gitlab.com",
    subject="project_path:acme/crm:ref_type:branch:ref:main",
    audience="https://lanyard.example",
    life=3600,
    claims={
        "namespace_id": "72",
        "namespace_path": "acme",
        "project_id": "20",
        "project_path": "acme/crm",
        "user_id": "1",
        "user_login": "sample-user",
        "user_email": "sample-user@example.com",
        "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": "main",
        "ref_type": "branch",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "groups_direct": ["acme/platform"],
        "environment": "production",
        "environment_protected": "true",
        "deployment_tier": "production",
        "runner_id": 1,
        "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "project_visibility": "private",
        "ci_config_ref_uri": "gitlab.com/acme/crm//.gitlab-ci.yml@refs/heads/main",
    },
)
# cloud.google.com, "Verifying VM identity": token of a service account from the metadata server, format=full.
GOOGLE = Shape(
    name="Google",
    issuer="https://accounts.google.com",
    subject="112179062720391305885",
    audience="https://lanyard.example",
    life=3600,
    has_token_id=False,
    claims={
        "azp": "112179062720391305885",
        "email": "crm@acme.iam.gserviceaccount.com",
        "email_verified": True,
        "google": {
            "compute_engine": {
                "project_id": "acme",
                "project_number": 739419398126,
                "zone": "europe-west1-b",
                "instance_id": "152986662232938449",
                "instance_name": "crm-1",
                "instance_creation_timestamp": 1496952205,
            }
        },
    },
)
# learn.microsoft.com, "Access tokens in the Microsoft identity platform", v2.0, of an application or managed identity.
# `uti` takes the place of `jti`.
ENTRA = Shape(
    name="Microsoft Entra",
    issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
    subject="00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
    audience="00001111-aaaa-2222-bbbb-3333cccc4444",
    life=3900,
    has_token_id=False,
    header={"x5t": "example-thumbprint"},
    claims={
        "aio": "k2RgYGhYzsjqfDNJZ1Z2",
        "azp": "11112222-bbbb-3333-cccc-4444dddd5555",
        "azpacr": "2",
        "idtyp": "app",
        "oid": "00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "rh": "0.AAAA",
        "roles": ["Exchange"],
        "tid": TENANT,
        "uti": "zs02CPZBr0e3LJfyEXAMPL",
        "ver": "2.0",
    },
)
# The same document, v1.0: its issuer ends in a slash.
ENTRA_V1 = Shape(
    name="Microsoft Entra v1",
    issuer=f"https://sts.windows.net/{TENANT}/",
    subject="00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
    audience="api://lanyard",
    life=3900,
    has_token_id=False,
    header={"x5t": "example-thumbprint"},
    claims={
        "appid": "11112222-bbbb-3333-cccc-4444dddd5555",
        "appidacr": "2",
        "idp": f"https://sts.windows.net/{TENANT}/",
        "idtyp": "app",
        "oid": "00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "tid": TENANT,
        "uti": "zs02CPZBr0e3LJfyEXAMPL",
        "ver": "1.0",
    },
)
KUBERNETES_CLAIMS = {
    "kubernetes.io": {
        "namespace": "apps",
        "node": {"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
        "pod": {"name": "crm-7d9", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "crm", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
    }
}
# kubernetes.io, "Managing Service Accounts", "Schema for service account private claims".
KUBERNETES = Shape(
    name="Kubernetes",
    issuer="https://kubernetes.default.svc.cluster.local",
    subject="system:serviceaccount:apps:crm",
    audience="https://lanyard.example",
    audience_is_list=True,
    life=3600,
    header={"typ": None},
    claims=KUBERNETES_CLAIMS,
)
# docs.aws.amazon.com, EKS, "IAM roles for service accounts": an issuer for each cluster. The audience is our own: the
# shipped policy refuses sts.amazonaws.com, for such a token would be good at both places.
EKS = Shape(
    name="Amazon EKS",
    issuer="https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
    subject="system:serviceaccount:apps:crm",
    audience="https://lanyard.example",
    audience_is_list=True,
    life=3600,
    header={"typ": None},
    claims=KUBERNETES_CLAIMS,
)
# docs.aws.amazon.com, IAM, "Understanding token claims" of outbound identity federation (GetWebIdentityToken).
AWS = Shape(
    name="AWS",
    issuer="https://abc12345-def4-5678-90ab-cdef12345678.tokens.sts.global.api.aws",
    subject="arn:aws:iam::123456789012:role/DataProcessingRole",
    audience="https://lanyard.example",
    life=900,
    claims={
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012",
            "source_region": "us-east-1",
            "org_id": "o-abc1234567",
            "principal_tags": {"environment": "production", "team": "data-engineering"},
            "lambda_source_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:process-data",
        }
    },
)
# spiffe.io, "JWT-SVID": sub, aud and exp are required; SPIRE adds iat, and iss where `jwt_issuer` is set.
SPIFFE = Shape(
    name="SPIFFE",
    issuer="https://oidc.example.org",
    subject="spiffe://example.org/ns/apps/sa/crm",
    audience="https://lanyard.example",
    audience_is_list=True,
    life=300,
    algorithm="ES256",
    has_token_id=False,
)
# keycloak.org, "Server Administration Guide": access token of a service account.
KEYCLOAK = Shape(
    name="Keycloak",
    issuer="https://keycloak.example.com/realms/acme",
    subject="2e4b5f6a-90ab-4c31-8e27-8f0f2f4a9d10",
    audience="https://lanyard.example",
    audience_is_list=True,
    life=300,
    claims={
        "typ": "Bearer",
        "azp": "crm",
        "acr": "1",
        "realm_access": {"roles": ["offline_access", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "scope": "email profile",
        "clientHost": "10.0.0.7",
        "email_verified": False,
        "preferred_username": "service-account-crm",
        "clientAddress": "10.0.0.7",
        "client_id": "crm",
    },
)
SHAPES = (GITHUB_ACTIONS, GITLAB, GOOGLE, ENTRA, ENTRA_V1, KUBERNETES, EKS, AWS, SPIFFE, KEYCLOAK)
