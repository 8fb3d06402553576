"""Subjects that lead to somebody else one day: repositories by name, at hosts where names are given out anew.

GitHub: a repository created, renamed or moved after 2026-07-15, or that opted in, has `repo:OWNER@ID/REPO@ID:...` for
its subject (docs.github.com, "OpenID Connect reference"). GitLab.com: `ci_id_token_sub_claim_components` can name
`project_id` in place of `project_path` (docs.gitlab.com, "OpenID Connect in CI/CD").
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lanyard.api.federation import ClaimRule

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"

_REPOSITORY = re.compile(r"repo:([^/:@]+)(?:@[0-9]+)?/([^/:@]+)(?:@[0-9]+)?(:|$)")
_ID = re.compile(r"@[0-9]+|_id:[0-9]+")


@dataclass(frozen=True, slots=True)
class Lasting:
    """What to write in place of a name: the subject's other form, or a rule on a claim that never changes hands."""

    form: str
    claim: str


def lasting(issuer: str, subject: str, rules: Iterable[ClaimRule]) -> Lasting | None:
    """How to say it for good; None where the subject has an id, a rule holds one, or the issuer is another one."""
    if issuer == GITHUB or issuer.startswith(f"{GITHUB}/"):
        better = Lasting(_github(subject), "repository_id")
    elif issuer == GITLAB:
        better = Lasting("project_id:PROJECT_ID:...", "project_id")
    else:
        return None
    # In a branch or an environment, which people name, an id proves nothing.
    repository = _REPOSITORY.match(subject)
    named = repository.group() if repository is not None else subject
    has_id = named.count("@") == 2 if repository is not None else _ID.search(named) is not None
    is_held = any(rule.claim == better.claim and rule.glob is None for rule in rules)
    return None if has_id or is_held else better


def _github(subject: str) -> str:
    repository = _REPOSITORY.match(subject)
    owner, name = repository.group(1, 2) if repository is not None else ("OWNER", "REPO")
    return f"repo:{owner}@OWNER_ID/{name}@REPO_ID:..."
