"""What the status of a FederatedCredential says, as sentences."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.federation import FederatedCredentialSpec
from lanyard.errors import LanyardError, SourceError, SpecError
from lanyard.reasons import Condition, Reason
from lanyard.rules.federation import (
    UNUSED_AFTER,
    Application,
    Facts,
    credential_status,
    next_look,
    unreadable_status,
)
from lanyard.rules.trust import Verdict, credential_of

pytestmark = pytest.mark.spec("K2")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
METADATA = {
    "namespace": "sales",
    "name": "ci",
    "uid": "u",
    "creationTimestamp": "2026-11-24T12:00:00Z",
    "generation": 3,
}
SPEC = FederatedCredentialSpec.model_validate(
    {"connectionRef": {"name": "crm"}, "issuer": "https://i.example", "audience": "a", "subject": "s"}
)
ONE = credential_of(METADATA, SPEC, "issuer-x")
CRM = Application(is_link=False, mints=False, without_token="", granted=("api", "refresh_token"))
IN_ORDER = Facts(
    one=ONE, created_at=NOW - DAY, verdict=Verdict.COUNTS, application=CRM, keys=None, twin="", used_at=NOW - DAY
)
UNREACHABLE = SourceError(Reason.ISSUER_KEYS_PENDING)


def said(facts: Facts, now: datetime = NOW, previous: Any = None) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    status, _ = credential_status(previous or {}, facts, None, now)
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def edited(**members: Any) -> Facts:
    return replace(IN_ORDER, one=replace(ONE, **members))


def test_a_credential_in_order_is_ready_and_says_what_was_looked_at() -> None:
    assert said(IN_ORDER) == {
        "Ready": ("True", "Trusted"),
        "SpecValid": ("True", "Valid"),
        "Accepted": ("True", "Accepted"),
        "ConnectionResolved": ("True", "Resolved"),
        "IssuerKeysKnown": ("True", "KeysKnown"),
    }


STALLED, RECONCILING, NEITHER = "Stalled", "Reconciling", ""
MISSING = replace(IN_ORDER, application=None)
LIMITED = replace(IN_ORDER, verdict=Verdict.LIMIT_EXCEEDED)
NARROW = edited(scopes=("api",))


@pytest.mark.parametrize(
    ("facts", "reason", "kind"),
    [
        pytest.param(LIMITED, "LimitExceeded", STALLED, id="one too many", marks=pytest.mark.spec("F3")),
        pytest.param(
            replace(IN_ORDER, verdict=Verdict.DUPLICATE_NAME), "DuplicateName", STALLED, id="a name that is taken"
        ),
        pytest.param(MISSING, "ConnectionNotFound", RECONCILING, id="a Connection that may be applied a second later"),
        pytest.param(
            replace(IN_ORDER, application=replace(CRM, is_link=True)), "ConnectionIsLink", STALLED, id="a link"
        ),
        pytest.param(
            replace(IN_ORDER, application=replace(CRM, without_token="basic")),
            "NoTokenToHandOut",
            STALLED,
            id="a method without a token",
        ),
        pytest.param(NARROW, "ScopesNotEnforceable", STALLED, id="a token that cannot be narrowed"),
        pytest.param(edited(expires_at=NOW), "Expired", STALLED, id="its time is over, to the second"),
        pytest.param(edited(suspended=True), "Suspended", NEITHER, id="suspended, which nobody need act on"),
        pytest.param(replace(IN_ORDER, keys=UNREACHABLE), "IssuerKeysPending", RECONCILING, id="keys under way"),
        pytest.param(
            replace(IN_ORDER, keys=SpecError(Reason.JWKS_INVALID)), "JWKSInvalid", STALLED, id="keys that are none"
        ),
        pytest.param(
            replace(IN_ORDER, is_served=False, keys=UNREACHABLE), "ExchangeNotSetUp", STALLED, id="no gateway here"
        ),
        pytest.param(replace(LIMITED, application=None), "LimitExceeded", STALLED, id="one too many goes first"),
        pytest.param(
            replace(MISSING, one=replace(ONE, suspended=True)),
            "ConnectionNotFound",
            RECONCILING,
            id="what is wrong is said of a suspended one too",
        ),
        pytest.param(
            replace(IN_ORDER, one=replace(ONE, suspended=True, expires_at=NOW), keys=UNREACHABLE),
            "Suspended",
            NEITHER,
            id="but not what only time or the issuer can mend",
        ),
        pytest.param(
            replace(edited(expires_at=NOW), keys=UNREACHABLE), "Expired", STALLED, id="no keys are waited for any more"
        ),
    ],
)
def test_what_stands_in_the_way(facts: Facts, reason: str, kind: str) -> None:
    found = said(facts)
    assert found["Ready"] == ("False", reason)
    assert {one for one in ("Stalled", "Reconciling") if one in found} == ({kind} if kind else set())


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(edited(expires_at=NOW + SECOND), id="the last second"),
        pytest.param(edited(scopes=("refresh_token", "api", "more")), id="a bound that lets the whole token through"),
        pytest.param(
            replace(NARROW, application=replace(CRM, mints=True)), id="a token of our own, which can be narrowed"
        ),
        pytest.param(replace(NARROW, application=replace(CRM, granted=())), id="a token whose scopes nobody knows"),
    ],
)
def test_what_does_not(facts: Facts) -> None:
    assert said(facts)["Ready"] == ("True", "Trusted")


@pytest.mark.spec("F+2")
@pytest.mark.parametrize(
    ("facts", "condition", "reason"),
    [
        pytest.param(
            edited(issuer="https://gitlab.com", subject="project_path:a/b"),
            "SubjectLasting",
            "MutableSubject",
            id="a subject that is a name",
        ),
        pytest.param(replace(IN_ORDER, twin="other"), "TrustUnique", "DuplicateTrust", id="two that trust the same"),
        pytest.param(replace(IN_ORDER, used_at=NOW - UNUSED_AFTER), "InUse", "Unused", id="unused for 90 days"),
    ],
)
def test_a_warning_is_shown_and_changes_nothing_else(facts: Facts, condition: str, reason: str) -> None:
    facts = replace(facts, created_at=NOW - 200 * DAY)
    found = said(facts)
    assert found.pop(condition) == ("False", reason)
    assert found == said(IN_ORDER)


def test_the_warning_about_a_subject_shows_what_to_write() -> None:
    status, _ = credential_status({}, edited(issuer="https://gitlab.com", subject="project_path:a/b"), None, NOW)
    message = next(one["message"] for one in status["conditions"] if one["type"] == "SubjectLasting")
    assert "project_id:PROJECT_ID:..." in message
    assert "a claim rule on project_id" in message


@pytest.mark.spec("F+2")
@pytest.mark.parametrize(
    ("created", "used", "unused"),
    [
        pytest.param(90 * DAY, None, True, id="never, in 90 days"),
        pytest.param(90 * DAY - SECOND, None, False, id="never, but it is younger than that"),
        pytest.param(200 * DAY, 90 * DAY - SECOND, False, id="a second less ago"),
        pytest.param(200 * DAY, 90 * DAY, True, id="90 days ago"),
    ],
)
def test_unused(created: timedelta, used: timedelta | None, unused: bool) -> None:
    facts = replace(IN_ORDER, created_at=NOW - created, used_at=None if used is None else NOW - used)
    assert ("InUse" in said(facts)) is unused
    assert (next_look(facts, NOW) is None) is unused


def test_it_is_looked_at_again_when_time_alone_changes_it() -> None:
    assert next_look(IN_ORDER, NOW) == NOW - DAY + UNUSED_AFTER
    assert next_look(edited(expires_at=NOW + SECOND), NOW) == NOW + SECOND
    assert next_look(edited(expires_at=NOW), NOW) == NOW - DAY + UNUSED_AFTER


def test_the_last_exchange_is_kept_until_there_is_news() -> None:
    status, _ = credential_status({"lastExchangeAt": "2026-11-01T00:00:00Z"}, IN_ORDER, None, NOW)
    assert status["lastExchangeAt"] == "2026-11-01T00:00:00Z"
    status, _ = credential_status(status, IN_ORDER, NOW, NOW)
    assert status["lastExchangeAt"] == "2026-11-25T12:00:00Z"


def test_one_that_cannot_be_read_says_so() -> None:
    error = SpecError(Reason.INVALID_SPEC, field="issuer", kind="fedcred")
    status, _ = unreadable_status({"lastExchangeAt": "2026-11-01T00:00:00Z"}, error, 3, NOW)
    assert [(one["type"], one["status"]) for one in status["conditions"]] == [
        ("Ready", "False"),
        ("Stalled", "True"),
        ("SpecValid", "False"),
    ]
    assert (status["observedGeneration"], status["lastExchangeAt"]) == (3, "2026-11-01T00:00:00Z")


FACTS = st.builds(
    Facts,
    one=st.builds(
        lambda expires_at, suspended, scopes: replace(ONE, expires_at=expires_at, suspended=suspended, scopes=scopes),
        st.sampled_from([None, NOW, NOW + SECOND]),
        st.booleans(),
        st.sampled_from([(), ("api",)]),
    ),
    created_at=st.sampled_from([NOW - DAY, NOW - 91 * DAY]),
    verdict=st.sampled_from(Verdict),
    application=st.sampled_from([None, CRM, replace(CRM, is_link=True), replace(CRM, without_token="basic")]),
    keys=st.sampled_from([None, UNREACHABLE, SpecError(Reason.JWKS_INVALID)]),
    twin=st.sampled_from(["", "x"]),
    used_at=st.sampled_from([None, NOW]),
)


@given(FACTS)
def test_whatever_is_the_case_the_status_is_coherent_and_stays_as_it_is(facts: Facts) -> None:
    status, verdicts = credential_status({}, facts, None, NOW)
    found = {one["type"]: one["status"] for one in status["conditions"]}
    assert len(found) == len(status["conditions"]), "each condition once"
    assert status["observedGeneration"] == 3
    both = {"Stalled", "Reconciling"} & found.keys()
    assert len(both) < 2
    assert found["Ready"] == "False" or not both
    assert all("?" not in one["message"] and len(one["message"]) <= 256 for one in status["conditions"])
    assert credential_status(status, facts, None, NOW + SECOND / 2)[0] == status, "a second look has nothing to write"
    is_well = facts.verdict is Verdict.COUNTS and facts.keys is None and facts.application == CRM
    is_open = not facts.one.suspended and facts.one.expires_at != NOW and not facts.one.scopes
    assert (found["Ready"] == "True") is (is_well and is_open)
    assert verdicts[0].type is Condition.READY


def test_no_reason_of_these_reads_with_a_gap() -> None:
    assert "?" not in LanyardError(Reason.EXPIRED).message
