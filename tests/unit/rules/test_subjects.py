"""Which subjects are names that can change hands, and what to write in their place."""

from typing import Any

import pytest

from lanyard.api.federation import ClaimRule
from lanyard.rules.subjects import GITHUB, GITLAB, lasting

pytestmark = pytest.mark.spec("F+2")


CRM = "repo:acme@OWNER_ID/crm@REPO_ID:..."


def rule(claim: str, **test: Any) -> ClaimRule:
    return ClaimRule.model_validate({"claim": claim} | test)


@pytest.mark.parametrize(
    ("issuer", "subject", "form"),
    [
        pytest.param(
            GITHUB,
            "repo:acme/crm:ref:refs/heads/main",
            CRM,
            id="a repository by its name",
        ),
        pytest.param(
            f"{GITHUB}/acme",
            "repo:acme/crm:environment:prod",
            CRM,
            id="of an enterprise",
        ),
        pytest.param(GITHUB, "repo:acme@1/crm:ref:x", CRM, id="an owner's id does not name it"),
        pytest.param(
            GITHUB,
            "repo:acme/crm:environment:a@1@2_id:3",
            CRM,
            id="an id that somebody typed into an environment's name is none",
        ),
        pytest.param(
            GITHUB, "job_workflow_ref:acme/crm/w.yml@main", "repo:OWNER@OWNER_ID/REPO@REPO_ID:...", id="another form"
        ),
        pytest.param(
            GITLAB,
            "project_path:acme/crm:ref_type:branch:ref:main",
            "project_id:PROJECT_ID:...",
            id="a project by its path",
        ),
    ],
)
def test_a_name_that_can_change_hands(issuer: str, subject: str, form: str) -> None:
    better = lasting(issuer, subject, [])
    assert better is not None
    assert better.form == form


@pytest.mark.parametrize(
    ("issuer", "subject", "rules"),
    [
        pytest.param(GITHUB, "repo:acme@1/crm@22:ref:refs/heads/main", [], id="a repository with its ids"),
        pytest.param(GITHUB, "repo:acme@1/crm@22", [], id="and nothing after it"),
        pytest.param(GITHUB, "repository_id:22:environment:prod", [], id="a subject made of an id"),
        pytest.param(GITLAB, "project_id:7:ref_type:branch:ref:main", [], id="a project with its id"),
        pytest.param("https://gitlab.acme.com", "project_path:acme/crm", [], id="a host of one's own"),
        pytest.param(f"{GITHUB}.evil.example", "repo:acme/crm", [], id="a host that only begins alike"),
        pytest.param(GITHUB, "repo:acme/crm", [rule("repository_id", equals="22")], id="a rule holds the id"),
        pytest.param(GITLAB, "project_path:a/b", [rule("project_id", **{"in": ["1", "2"]})], id="a rule lists ids"),
    ],
)
def test_a_subject_that_lasts(issuer: str, subject: str, rules: list[ClaimRule]) -> None:
    assert lasting(issuer, subject, rules) is None


def test_a_pattern_of_ids_holds_none() -> None:
    assert lasting(GITHUB, "repo:acme/crm", [rule("repository_id", glob="*")]) is not None
