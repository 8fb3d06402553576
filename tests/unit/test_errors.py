"""Errors, and that no raise site in the package leaves a gap in what users read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

import pytest

import lanyard
from lanyard import errors
from lanyard.errors import (
    MESSAGE_LIMIT,
    KubernetesError,
    KubernetesStatus,
    LanyardError,
    ProviderError,
    PublishError,
    SourceError,
    SpecError,
    SteppedBackError,
    StoreError,
    clip,
    fill,
)
from lanyard.flows.gather import OUTCOMES
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason, Retry

PACKAGE = Path(lanyard.__file__).parent
ERRORS = {"LanyardError", "SpecError", "SourceError", "StoreError", "ProviderError", "PublishError"}
TELLING = ERRORS | {"holds", "said"}


@dataclass(frozen=True)
class Site:
    """A place where a reason of the closed list is told, and the facts that it gives."""

    where: str
    what: str
    reason: Reason
    facts: frozenset[str]


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TELLING:
                yield f"{file.relative_to(PACKAGE)}:{node.lineno}", node.func.id, node


def reason_in(node: ast.expr) -> Reason | None:
    """`Reason.NAME`, written out."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
        return Reason[node.attr]
    return None


def sites() -> Iterator[Site]:
    for where, what, call in calls():
        position = 1 if what == "holds" else 0
        reason = reason_in(call.args[position]) if len(call.args) > position else None
        if reason is not None:
            yield Site(where, what, reason, frozenset(keyword.arg or "**" for keyword in call.keywords))


SITES = list(sites())
# Sites whose reason is chosen elsewhere: (module, function called) -> the facts they give. Each is looked at by hand.
CHOSEN_ELSEWHERE = {
    ("connectors/selection.py", "SpecError"): {"connector", "field"},
    ("flows/gather.py", "LanyardError"): {"why"},
    ("flows/inspect.py", "holds"): set(),
    ("flows/refresh.py", "LanyardError"): set(),
    ("oauth/device.py", "ProviderError"): {"host", "status", "proof"},
    ("oauth/probes.py", "SpecError"): {"connector", "field"},
    ("oauth/responses.py", "ProviderError"): {"host", "status", "proof"},
    ("rules/conditions.py", "said"): set(),
    ("rules/status.py", "holds"): {"secret"},
}
ANSWERS = {
    Reason.CLIENT_REJECTED,
    Reason.CREDENTIALS_REJECTED,
    Reason.SCOPE_REJECTED,
    Reason.REQUEST_REJECTED,
    Reason.PROVIDER_THROTTLED,
    Reason.PROVIDER_UNAVAILABLE,
    Reason.PROVIDER_ANSWER_INVALID,
    Reason.PROVIDER_REDIRECTED,
    Reason.TOKEN_ENDPOINT_DENIED,
    Reason.TOKEN_ENDPOINT_NOT_FOUND,
    Reason.GRANT_REVOKED,
}
ENDINGS = {Reason.GRANT_REVOKED, Reason.GRANT_EXPIRED, Reason.NO_REFRESH_TOKEN, Reason.REFRESH_TOKEN_LOST}
CHOICES = {
    ("connectors/selection.py", "SpecError"): {
        Reason.PARAMETER_MISSING,
        Reason.PARAMETER_UNKNOWN,
        Reason.PARAMETER_INVALID,
    },
    ("flows/gather.py", "LanyardError"): OUTCOMES | ENDINGS,
    ("flows/refresh.py", "LanyardError"): ENDINGS | {Reason.REFRESH_OUTCOME_UNKNOWN},
    ("flows/inspect.py", "holds"): {Reason.VALID, Reason.RESOLVED, Reason.REACHABLE, Reason.LOGGED_IN},
    ("oauth/device.py", "ProviderError"): ANSWERS,
    ("oauth/responses.py", "ProviderError"): ANSWERS,
    ("oauth/probes.py", "SpecError"): {Reason.PARAMETER_MISSING, Reason.PARAMETER_INVALID},
    ("rules/conditions.py", "said"): {Reason.ACQUIRING, Reason.SUSPENDED, Reason.TOKEN_EXPIRED},
    ("rules/status.py", "holds"): {Reason.TOKEN_PUBLISHED, Reason.CREDENTIALS_PUBLISHED},
}


def fields(reason: Reason) -> set[str]:
    entry = CATALOGUE[reason]
    text = entry.message + entry.hint
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


@pytest.mark.spec("C11")
@pytest.mark.parametrize("site", SITES, ids=lambda site: f"{site.where} {site.reason}")
def test_every_fact_of_a_message_is_given_where_it_is_told(site: Site) -> None:
    given = site.facts - {"retry_after"}
    assert fields(site.reason) <= given, "the message would show a question mark"


@pytest.mark.spec("C11")
def test_every_reason_is_told_somewhere() -> None:
    """A reason that nothing raises is a promise that nobody keeps."""
    source = "".join(
        file.read_text() for file in PACKAGE.rglob("*.py") if file.name not in {"reasons.py", "reason_texts.py"}
    )
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in source] == []


def test_a_message_has_no_gap_and_no_brace() -> None:
    for reason in Reason:
        message = LanyardError(reason, **dict.fromkeys(fields(reason), "x")).message
        assert not set("?{}") & set(message), reason


@pytest.mark.spec("C11")
@pytest.mark.parametrize("reason", Reason)
def test_a_reason_s_condition_and_pace_fit_together(reason: Reason) -> None:
    entry = CATALOGUE[reason]
    error = LanyardError(reason)
    assert (error.condition, error.retry, error.stalled) == (entry.condition, entry.retry, entry.stalled)
    assert entry.condition not in {Condition.RECONCILING, Condition.STALLED}, "these are derived"
    if entry.retry is Retry.NONE:
        assert not entry.stalled, "good news asks nobody to act"
    if entry.retry in {Retry.TRANSIENT, Retry.THROTTLED}:
        assert not entry.stalled, "it goes away by itself"
    if entry.retry is Retry.CONFIGURATION:
        assert entry.stalled, "somebody must change something"


def test_an_error_reads_as_what_happened_and_the_next_step() -> None:
    error = SourceError(Reason.SECRET_KEY_MISSING, name="crm-app", key="password")
    assert (
        str(error)
        == error.message
        == ("The Secret crm-app has no key password. Add the key to the Secret, or correct the reference.")
    )
    assert error.hint == "Add the key to the Secret, or correct the reference."


def test_an_error_reads_the_same_on_every_retry() -> None:
    assert (
        ProviderError(Reason.PROVIDER_THROTTLED, host="h", retry_after=3).message
        == ProviderError(Reason.PROVIDER_THROTTLED, host="h", retry_after=99).message
    )


@pytest.mark.spec("A4")
@pytest.mark.parametrize("reason", Reason)
def test_only_refused_credentials_are_worth_a_fresh_look(reason: Reason) -> None:
    assert ProviderError(reason).rejected == (reason in {Reason.CLIENT_REJECTED, Reason.CREDENTIALS_REJECTED})


def test_the_tree_has_these_branches() -> None:
    assert issubclass(StoreError, SourceError)
    for branch in (SpecError, SourceError, ProviderError, PublishError):
        assert branch.__base__ is LanyardError
    assert not issubclass(KubernetesError, LanyardError), "it says what the API server did, not what to do"
    assert not issubclass(SteppedBackError, LanyardError), "it is nobody's failure, so no status tells it"
    assert {name for name in vars(errors) if name.endswith("Error")} == ERRORS | {"KubernetesError", "SteppedBackError"}


def test_an_api_error_tells_status_and_reason_only() -> None:
    error = KubernetesError(KubernetesStatus(409, "AlreadyExists"), retry_after=2.0)
    assert (str(error), error.code, error.retry_after) == ("the API server answered 409 AlreadyExists", 409, 2.0)
    assert str(KubernetesError(KubernetesStatus(0))) == "the API server answered 0"


@pytest.mark.parametrize(
    ("template", "facts", "text"),
    [
        ("a {b} c", {"b": "x"}, "a x c"),
        ("a {b} c", {}, "a ? c"),
        ("{b}", {"b": "{c}", "c": "d"}, "{c}"),
        ("{b}", {"b": "{b.__class__}"}, "{b.__class__}"),
        ("plain", {}, "plain"),
    ],
    ids=["a fact", "a gap", "a fact is no template", "a fact is no expression", "no field"],
)
def test_a_template_is_filled_with_facts(template: str, facts: dict[str, str], text: str) -> None:
    assert fill(template, facts) == text


def test_a_long_line_is_clipped() -> None:
    assert clip("a  b\n c\t") == "a b c"
    assert clip("x" * MESSAGE_LIMIT) == "x" * MESSAGE_LIMIT
    clipped = clip("x" * (MESSAGE_LIMIT + 1))
    assert len(clipped) == MESSAGE_LIMIT
    assert clipped.endswith("…")


def test_sites_that_choose_their_reason_are_known() -> None:
    """Whoever adds one lists the reasons that it can choose."""
    found = set()
    for where, what, call in calls():
        position = 1 if what == "holds" else 0
        if len(call.args) > position and reason_in(call.args[position]) is None:
            module = where.partition(":")[0]
            found.add((module, what))
    assert found == CHOSEN_ELSEWHERE.keys()


@pytest.mark.parametrize("site", CHOICES, ids=lambda site: f"{site[0]} {site[1]}")
def test_sites_that_choose_their_reason_give_its_facts(site: tuple[str, str]) -> None:
    for reason in CHOICES[site]:
        assert fields(reason) <= CHOSEN_ELSEWHERE[site], reason
