"""When a claim is as a rule wants it, as sentences."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.federation import ClaimRule
from lanyard.rules.claims import broken_rule, fits

pytestmark = pytest.mark.spec("F+2")

CLAIMS = {
    "ref": "refs/heads/main",
    "job_workflow_ref": "acme/crm/.github/workflows/deploy.yml@refs/heads/main",
    "run_attempt": 1,
    "score": 1.5,
    "email_verified": True,
    "nothing": None,
    "groups": ["admins"],
    "kubernetes.io": {"namespace": "sales", "a/b": {"c~d": "deep"}, "pods": [{"name": "first"}]},
    "https://acme.com/team": "crm",
    "/literal/path": "by-name",
    "literal": {"path": "by-pointer"},
    "/kubernetes.io/namespace": ["a list"],
}


def rule(claim: str, **test: Any) -> ClaimRule:
    return ClaimRule.model_validate({"claim": claim} | test)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(rule("ref", equals="refs/heads/main"), id="text is compared as it is"),
        pytest.param(rule("run_attempt", equals="1"), id="a number is compared by its JSON text"),
        pytest.param(rule("score", equals="1.5"), id="also one with a fraction"),
        pytest.param(rule("email_verified", equals="true"), id="true is compared by its JSON text"),
        pytest.param(rule("ref", **{"in": ["refs/heads/dev", "refs/heads/main"]}), id="one of several is enough"),
        pytest.param(rule("ref", glob="refs/heads/*"), id="a star stands for a name"),
        pytest.param(rule("/kubernetes.io/a~1b/c~0d", equals="deep"), id="a pointer leads into objects, escapes too"),
        pytest.param(rule("https://acme.com/team", equals="crm"), id="a URL is a name like any other"),
        pytest.param(rule("/literal/path", equals="by-name"), id="a claim of that very name goes before a pointer"),
    ],
)
def test_it_holds(one: ClaimRule) -> None:
    assert broken_rule([one], CLAIMS) is None


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(rule("ref", equals="refs/heads/Main"), id="case counts"),
        pytest.param(rule("ref", equals="refs/heads/*"), id="a star means nothing to equals"),
        pytest.param(rule("run_attempt", equals="1.0"), id="a number has one text"),
        pytest.param(rule("email_verified", equals="True"), id="true is written as in JSON"),
        pytest.param(rule("email_verified", equals="1"), id="true is no number"),
        pytest.param(rule("absent", glob="*"), id="an absent claim fits nothing"),
        pytest.param(rule("nothing", glob="*"), id="null fits nothing"),
        pytest.param(rule("nothing", equals="null"), id="null is not its text"),
        pytest.param(rule("groups", equals="admins"), id="a list that contains it is not it"),
        pytest.param(rule("groups", glob="*"), id="a list fits no star"),
        pytest.param(rule("kubernetes.io", glob="*"), id="an object fits no star"),
        pytest.param(rule("/kubernetes.io/namespace", equals="sales"), id="a name that is there hides the pointer"),
        pytest.param(rule("/kubernetes.io/pods/0/name", equals="first"), id="no pointer leads into a list"),
        pytest.param(rule("kubernetes.io/namespace", equals="sales"), id="a pointer begins with a slash"),
        pytest.param(rule("/ref/x", equals="refs/heads/main"), id="no pointer leads into a text"),
        pytest.param(ClaimRule.model_construct(claim="ref", equals=None, any_of=None, glob=None), id="no test at all"),
    ],
)
def test_it_does_not_hold(one: ClaimRule) -> None:
    assert broken_rule([one], CLAIMS) is one


def test_all_rules_must_hold_and_the_first_that_does_not_is_named() -> None:
    good, bad, worse = rule("ref", glob="refs/*/main"), rule("ref", equals="x"), rule("absent", equals="x")
    assert broken_rule([], CLAIMS) is None
    assert broken_rule([good, bad, worse], CLAIMS) is bad


@pytest.mark.parametrize(
    ("glob", "value", "expected"),
    [
        pytest.param("refs/heads/*", "refs/heads/a/b", False, id="a star does not cross a slash"),
        pytest.param("repo:acme/*:ref", "repo:acme/x:y:ref", False, id="a star does not cross a colon"),
        pytest.param("repo:*", "repo:acme/x", False, id="also at the end"),
        pytest.param("a*", "a", True, id="a star may stand for nothing"),
        pytest.param("*a*b*", "xxaxxbxx", True, id="several stars"),
        pytest.param("*ab*ab*", "ab", False, id="what one star left behind is not used twice"),
        pytest.param("*aa*aa*", "aaa", False, id="not even in part"),
        pytest.param("ab*ba", "aba", False, id="beginning and end do not overlap"),
        pytest.param("**", "anything", True, id="two stars are one"),
        pytest.param("**", "any/thing", False, id="and cross no more than one"),
        pytest.param("a.c", "abc", False, id="a dot is a dot"),
        pytest.param("[ab]", "a", False, id="brackets are brackets"),
        pytest.param("a?", "ab", False, id="a question mark is one"),
        pytest.param("a\\*", "a*", False, id="a star cannot be escaped"),
        pytest.param("a/b", "a:b", False, id="separators are compared too"),
        pytest.param("*", "a\nb", True, id="a line break is a character"),
    ],
)
def test_a_glob(glob: str, value: str, expected: bool) -> None:
    assert fits(glob, value) is expected


def slowly_fits(glob: str, value: str) -> bool:
    """The same by its definition: a star is nothing, or one character that is no separator and a star."""
    if not glob:
        return not value
    if glob[0] == "*":
        longer = bool(value) and value[0] not in "/:" and slowly_fits(glob, value[1:])
        return longer or slowly_fits(glob[1:], value)
    return bool(value) and glob[0] == value[0] and slowly_fits(glob[1:], value[1:])


@given(st.text("ab*/:", max_size=8), st.text("ab*/:", max_size=8))
def test_a_glob_fits_what_its_definition_says(glob: str, value: str) -> None:
    assert fits(glob, value) is slowly_fits(glob, value)


@pytest.mark.parametrize(
    ("glob", "value"),
    [
        pytest.param("*a" * 300, "a" * 8000 + "b", id="many stars"),
        pytest.param("*" + "a" * 298 + "b*", "a" * 8000, id="a long piece that nearly fits everywhere"),
        pytest.param("*/" * 300, "/" * 8000, id="many separators"),
    ],
)
def test_no_pattern_is_slow(glob: str, value: str) -> None:
    """Backtracking would take for ever; the bound leaves room for a busy machine."""
    began = time.process_time()
    for _ in range(10):
        assert not fits(glob, value)
    assert time.process_time() - began < 1.0
