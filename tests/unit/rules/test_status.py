from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import LanyardError, ProviderError, PublishError, SourceError, SpecError
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import changes
from lanyard.rules.status import Consented, View, Window, connection_status, counted, moment

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
DOWN = ProviderError(Reason.PROVIDER_UNAVAILABLE, host="id.example", status=503)
REFUSED = ProviderError(Reason.CLIENT_REJECTED, host="id.example")
MISSING = SourceError(Reason.SECRET_NOT_FOUND, name="crm-app", namespace="sales")
BROKEN = SpecError(Reason.CONNECTOR_NOT_FOUND, connector="nope")
TAKEN = PublishError(Reason.SECRET_CONFLICT, secret="crm-token")
AWAY = LanyardError(Reason.KUBERNETES_UNAVAILABLE)

# A pass that fetched and published; one that finds all in order; one that failed. Changed a little by each test.
FETCHED = View(
    generation=1,
    secret="crm-token",
    needs_token=True,
    suspended=False,
    problem=None,
    failure=None,
    acquired=True,
    published_version="100",
    inputs_digest="one",
    failed_attempts=0,
    next_at=NOW + HOUR,
    window=Window(issued_at=NOW, expires_at=NOW + 2 * HOUR, next_at=NOW + HOUR),
    granted=("api",),
)
LOOKED = replace(FETCHED, acquired=False, window=None, granted=None)
FAILED = replace(LOOKED, failure=DOWN, failed_attempts=1, next_at=NOW + HOUR)
FAILED_FIRST = replace(FAILED, published_version=None, intact=False)
STATIC = replace(FETCHED, needs_token=False, window=None, granted=None, next_at=None)


def passes(*views: View, at: datetime = NOW, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """The status after these passes, at one moment."""
    status = status or {}
    for view in views:
        status, _ = connection_status(status, view, at)
    return status


def told(status: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: f"{condition['status']} {condition['reason']}" for condition in status["conditions"]}


@pytest.mark.spec("C7", "K2")
def test_a_first_token_is_told_in_full() -> None:
    assert passes(FETCHED) == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-03-01T12:00:00Z",
                "reason": reason,
                "message": message,
            }
            for kind, reason, message in [
                ("Ready", "TokenPublished", "The Secret crm-token carries a live token."),
                ("SpecValid", "Valid", "The object is complete and consistent."),
                ("CredentialsResolved", "Resolved", "Every reference was resolved."),
                ("TokenFresh", "Fresh", "The token is refreshed ahead of its expiry."),
                ("ScopesGranted", "Granted", "Every scope asked for was granted."),
                ("SecretPublished", "Published", "The Secret crm-token is up to date."),
            ]
        ],
        "failedAttempts": 0,
        "inputsDigest": "one",
        "expiresAt": "2026-03-01T14:00:00Z",
        "lastRefreshedAt": "2026-03-01T12:00:00Z",
        "nextRefreshAt": "2026-03-01T13:00:00Z",
        "grantedScopes": ["api"],
        "publishedVersion": "100",
        "binding": {"name": "crm-token"},
    }


def test_a_static_credential_has_no_times_and_no_token_conditions() -> None:
    status = passes(STATIC)
    assert told(status) == {
        "Ready": "True CredentialsPublished",
        "SpecValid": "True Valid",
        "CredentialsResolved": "True Resolved",
        "SecretPublished": "True Published",
    }
    assert not status.keys() & {"expiresAt", "lastRefreshedAt", "nextRefreshAt", "grantedScopes"}


def test_a_look_that_finds_all_in_order_says_nothing_new() -> None:
    status = passes(FETCHED)
    assert passes(LOOKED, status=status, at=NOW + SECOND) == status
    static = passes(STATIC)
    assert passes(replace(STATIC, acquired=False), status=static, at=NOW + SECOND) == static


any_view = st.builds(
    replace,
    st.sampled_from([FETCHED, LOOKED, FAILED, FAILED_FIRST, STATIC]),
    suspended=st.booleans(),
    problem=st.sampled_from([None, BROKEN]),
    failure=st.sampled_from([None, DOWN, REFUSED, MISSING, TAKEN, AWAY]),
    published_version=st.sampled_from([None, "100", "101"]),
    failed_attempts=st.integers(0, 2),
)
any_time = st.sampled_from([NOW, NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR])


@pytest.mark.spec("K2")
@given(st.lists(st.tuples(any_view, any_time), min_size=1, max_size=4))
def test_whatever_happens_the_conditions_follow_kstatus(history: list[tuple[View, datetime]]) -> None:
    status: dict[str, Any] = {}
    for view, now in history:
        status, verdicts = connection_status(status, view, now)
        conditions = {condition["type"]: condition for condition in status["conditions"]}
        assert len(conditions) == len(status["conditions"]) == len(verdicts)
        ready = conditions["Ready"]["status"]
        assert not {"Reconciling", "Stalled"} <= conditions.keys()
        if ready == "True":
            assert not {"Reconciling", "Stalled"} & conditions.keys()
        for one in conditions.keys() & {"Reconciling", "Stalled"}:
            assert conditions[one]["status"] == "True"
            assert conditions[one]["reason"] == conditions["Ready"]["reason"]
        if view.published_version is None:
            assert ready == "False"
            assert conditions.get("SecretPublished", {"status": "False"})["status"] == "False"
        expires_at = moment(status.get("expiresAt"))
        if view.needs_token and expires_at is not None and expires_at <= now:
            assert ready == "False"
            assert conditions.get("TokenFresh", {"status": "False"})["status"] == "False"
        for condition in conditions.values():
            assert len(condition["message"]) <= 256
            assert condition["reason"] in list(Reason)
            assert condition["observedGeneration"] == status["observedGeneration"] == view.generation
        if ready == "False" and "Stalled" in conditions:
            assert CATALOGUE[Reason(conditions["Stalled"]["reason"])].stalled


@pytest.mark.spec("K2")
@given(st.lists(st.tuples(any_view, any_time), min_size=1, max_size=3))
def test_the_same_pass_twice_says_the_same(history: list[tuple[View, datetime]]) -> None:
    status: dict[str, Any] = {}
    for view, now in history:
        status, _ = connection_status(status, view, now)
    view, now = history[-1]
    again, verdicts = connection_status(status, view, now + SECOND / 2)
    assert again == status
    assert changes(status["conditions"], verdicts) == []


@pytest.mark.spec("C11")
def test_a_failing_refresh_leaves_a_live_token_ready_and_says_so() -> None:
    status = passes(FETCHED, FAILED)
    assert told(status) == {
        "Ready": "True TokenPublished",
        "SpecValid": "True Valid",
        "CredentialsResolved": "True Resolved",
        "TokenFresh": "False ProviderUnavailable",
        "ScopesGranted": "True Granted",
        "SecretPublished": "True Published",
    }
    assert status["expiresAt"] == "2026-03-01T14:00:00Z"
    assert status["failedAttempts"] == 1


def test_sources_that_cannot_be_resolved_leave_a_live_token_ready() -> None:
    status = passes(FETCHED, replace(FAILED, failure=MISSING))
    assert told(status)["Ready"] == "True TokenPublished"
    assert told(status)["CredentialsResolved"] == "False SecretNotFound"
    assert told(status)["TokenFresh"] == "False SecretNotFound"


def test_a_connector_that_vanished_leaves_a_live_token_ready() -> None:
    status = passes(FETCHED, replace(LOOKED, problem=BROKEN))
    assert told(status)["Ready"] == "True TokenPublished"
    assert told(status)["SpecValid"] == "False ConnectorNotFound"


@pytest.mark.parametrize(
    ("failure", "also"),
    [(DOWN, "Reconciling"), (REFUSED, "Stalled"), (MISSING, "Reconciling"), (AWAY, "Reconciling")],
    ids=lambda value: value.reason.value if isinstance(value, LanyardError) else value,
)
def test_a_token_that_expires_while_refreshing_fails_is_not_ready_for_that_reason(
    failure: LanyardError, also: str
) -> None:
    status = passes(FETCHED, replace(FAILED, failure=failure))
    # The look at the moment of expiry makes no attempt: the back-off runs on.
    status = passes(replace(LOOKED, failed_attempts=1), status=status, at=NOW + 2 * HOUR)
    assert told(status)["Ready"] == f"False {failure.reason}"
    assert told(status)[also] == f"True {failure.reason}"
    assert told(status)["TokenFresh"] == f"False {failure.reason}"


@pytest.mark.parametrize("failure", [DOWN, REFUSED, MISSING, TAKEN, AWAY], ids=lambda error: error.reason.value)
@pytest.mark.parametrize("needs_token", [True, False], ids=["a token", "a static credential"])
def test_a_look_during_a_back_off_does_not_forget_why(failure: LanyardError, needs_token: bool) -> None:
    status = passes(replace(FAILED_FIRST, failure=failure, needs_token=needs_token))
    look = replace(LOOKED, published_version=None, failed_attempts=1, needs_token=needs_token)
    assert passes(look, status=status, at=NOW + SECOND) == status


def test_a_publication_that_fails_is_not_blamed_on_the_provider() -> None:
    status = passes(FAILED_FIRST, replace(FAILED_FIRST, failure=TAKEN, failed_attempts=2))
    look = replace(LOOKED, published_version=None, failed_attempts=2)
    assert told(passes(look, status=status))["Ready"] == "False SecretConflict"
    assert told(passes(look, status=status))["SecretPublished"] == "False SecretConflict"


def test_a_connector_that_came_back_is_not_the_reason_anymore() -> None:
    status = passes(replace(FAILED_FIRST, failure=None, problem=BROKEN))
    assert told(status)["Ready"] == "False ConnectorNotFound"
    status = passes(replace(LOOKED, published_version=None, failed_attempts=1), status=status)
    assert told(status)["Ready"] == "False Acquiring"


def test_nothing_tried_yet_is_acquiring() -> None:
    assert told(passes(replace(LOOKED, published_version=None))) == {
        "Ready": "False Acquiring",
        "Reconciling": "True Acquiring",
        "SpecValid": "True Valid",
    }


def test_success_ends_every_complaint() -> None:
    status = passes(FETCHED, FAILED, replace(FAILED, failure=TAKEN), replace(LOOKED, problem=BROKEN), FETCHED)
    assert status == passes(FETCHED)


def test_a_suspended_connection_keeps_what_is_published() -> None:
    status = passes(FETCHED)
    suspended = passes(replace(LOOKED, suspended=True, next_at=None, generation=2), status=status)
    assert told(suspended) == told(status)
    assert suspended["observedGeneration"] == 2
    assert "nextRefreshAt" not in suspended


@pytest.mark.spec("K2")
def test_a_suspended_connection_without_a_token_says_so_and_is_not_reconciling() -> None:
    view = replace(LOOKED, suspended=True, published_version=None, next_at=None)
    assert told(passes(view)) == {"Ready": "False Suspended", "SpecValid": "True Valid"}


@pytest.mark.spec("K2")
def test_a_suspended_connection_whose_token_expired_is_not_ready_and_not_reconciling() -> None:
    status = passes(replace(LOOKED, suspended=True, next_at=None), status=passes(FETCHED), at=NOW + 2 * HOUR)
    assert told(status) == {
        "Ready": "False TokenExpired",
        "SpecValid": "True Valid",
        "CredentialsResolved": "True Resolved",
        "TokenFresh": "False Suspended",
        "ScopesGranted": "True Granted",
        "SecretPublished": "True Published",
    }


def test_a_secret_that_is_gone_is_neither_published_nor_ready() -> None:
    status = passes(replace(LOOKED, published_version=None), status=passes(FETCHED))
    assert told(status)["Ready"] == "False Acquiring"
    assert "SecretPublished" not in told(status)
    assert "publishedVersion" not in status


def test_an_edited_secret_is_not_noted_as_the_one_that_was_written() -> None:
    """Else the edit would be taken for ours after a suspension, or a restart."""
    status = passes(STATIC, replace(STATIC, acquired=False, suspended=True, published_version="101", intact=False))
    assert status["publishedVersion"] == "100"
    assert passes(replace(STATIC, acquired=False, published_version="101"), status=status)["publishedVersion"] == "101"


def test_a_renamed_secret_is_bound_once_it_is_there() -> None:
    """Until then the old name stands, by which the old Secret is found and removed."""
    renamed = replace(FAILED_FIRST, secret="crm-login")
    status = passes(FETCHED, renamed)
    assert status["binding"] == {"name": "crm-token"}
    assert told(status)["Ready"] == "False ProviderUnavailable"
    assert passes(replace(FETCHED, secret="crm-login"), status=status)["binding"] == {"name": "crm-login"}


@pytest.mark.spec("C9")
def test_a_scope_that_was_only_wished_for_is_named_beside_a_live_token() -> None:
    status = passes(replace(FETCHED, missing=("refunds", "payouts")))
    assert told(status)["Ready"] == "True TokenPublished"
    assert told(status)["ScopesGranted"] == "False ScopeMissing"
    message = next(one["message"] for one in status["conditions"] if one["type"] == "ScopesGranted")
    assert message.startswith("Not granted: refunds, payouts.")


@pytest.mark.spec("C9")
def test_a_refused_mandatory_scope_is_told_in_scopes_granted() -> None:
    status = passes(replace(FAILED_FIRST, failure=ProviderError(Reason.SCOPE_MISSING, scopes="api")))
    assert told(status)["ScopesGranted"] == "False ScopeMissing"
    assert told(status)["CredentialsResolved"] == "True Resolved"
    assert told(status)["Stalled"] == "True ScopeMissing"


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        (Window(NOW, NOW + timedelta(minutes=9), NOW), "True TokenOutlivedByPropagation"),
        (Window(NOW, NOW + timedelta(minutes=10), NOW), "True Fresh"),
        (Window(NOW, None, NOW), "True Fresh"),
        (Window(NOW, NOW + HOUR, NOW, skew_host="id.example"), "True ClockSkew"),
    ],
    ids=[
        "a life under ten minutes is shorter than kubelet is quick",
        "ten minutes suffice",
        "a token that never expires is fresh",
        "clocks that differ are told",
    ],
)
def test_the_life_of_a_token_is_judged(window: Window, reason: str) -> None:
    assert told(passes(replace(FETCHED, window=window)))["TokenFresh"] == reason


@pytest.mark.spec("C7")
def test_a_refresh_replaces_the_times() -> None:
    later = NOW + HOUR
    again = replace(FETCHED, window=Window(later, later + 2 * HOUR, later + HOUR), next_at=later + HOUR)
    status = passes(again, status=passes(FETCHED), at=later)
    assert (status["lastRefreshedAt"], status["nextRefreshAt"], status["expiresAt"]) == (
        "2026-03-01T13:00:00Z",
        "2026-03-01T14:00:00Z",
        "2026-03-01T15:00:00Z",
    )
    assert {one["lastTransitionTime"] for one in status["conditions"]} == {"2026-03-01T12:00:00Z"}


def test_a_refresh_to_a_token_that_never_expires_forgets_the_old_expiry() -> None:
    endless = replace(FETCHED, window=Window(NOW, None, NOW + HOUR))
    assert "expiresAt" not in passes(endless, status=passes(FETCHED))


def test_an_object_that_cannot_be_read_has_no_digest() -> None:
    view = replace(LOOKED, published_version=None, problem=SpecError(Reason.INVALID_SPEC, field="auth", kind="x"))
    status = passes(replace(view, inputs_digest="", next_at=None))
    assert told(status)["Ready"] == "False InvalidSpec"
    assert "inputsDigest" not in status


def test_a_reason_that_another_version_wrote_does_not_stop_this_one() -> None:
    status = passes(FETCHED, FAILED)
    for condition in status["conditions"]:
        condition["reason"] = "FromTheFuture"
    assert told(passes(LOOKED, status=status))["Ready"] == "True TokenPublished"
    assert told(passes(replace(LOOKED, published_version=None, failed_attempts=1), status=status))["Ready"] == (
        "False Acquiring"
    )


def test_a_time_is_read_as_it_was_written() -> None:
    assert moment("2026-03-01T12:00:00Z") == NOW
    assert moment(None) is None
    assert moment("") is None


@pytest.mark.parametrize("text", ["garbage", "2026-03-01T12:00:00", "2026-13-01T12:00:00Z", "\0"])
def test_a_time_that_somebody_else_wrote_into_a_status_is_no_time(text: str) -> None:
    assert moment(text) is None


@pytest.mark.parametrize(("edited", "attempts"), [(None, 0), (3, 3), (-5, 0), (2**63 - 1, 1_000_000)])
def test_a_count_that_somebody_else_wrote_into_a_status_stays_countable(edited: int | None, attempts: int) -> None:
    assert counted(edited) == attempts


OF_CREDENTIALS = {
    Condition.ACCEPTED,
    Condition.CONNECTION_RESOLVED,
    Condition.ISSUER_KEYS_KNOWN,
    Condition.SCOPES_ENFORCEABLE,
    Condition.SUBJECT_LASTING,
    Condition.TRUST_UNIQUE,
    Condition.IN_USE,
}
OF_ALL = {Condition.READY, Condition.RECONCILING, Condition.STALLED, Condition.SPEC_VALID}


def test_the_conditions_of_a_kind_are_no_more_than_the_schema_has_room_for() -> None:
    assert len(set(Condition) - OF_CREDENTIALS) <= 16
    assert len(OF_CREDENTIALS | OF_ALL) <= 16


PAGES = Consented("https://lanyard.example/oauth/callback/acme", "https://lanyard.example/connect/sales/crm")


def waits(error: LanyardError) -> Consented:
    return replace(PAGES, awaiting=error)


UNASKED = LanyardError(Reason.AUTHORIZATION_REQUIRED)
NOTHING_YET = replace(LOOKED, published_version=None, intact=False, next_at=None)


@pytest.mark.spec("C1", "C13")
def test_a_consent_to_come_is_neither_progress_nor_a_fault() -> None:
    status = passes(replace(NOTHING_YET, consented=waits(UNASKED)))
    assert told(status) == {
        "Ready": "False AuthorizationRequired",
        "SpecValid": "True Valid",
        "Authorized": "False AuthorizationRequired",
    }
    assert (status["account"], status["redirectURI"]) == ("System", PAGES.redirect_uri)


@pytest.mark.spec("C1")
def test_a_consent_is_told_with_whose_it_is() -> None:
    asked = replace(NOTHING_YET, consented=waits(UNASKED))
    status = passes(asked, replace(FETCHED, consented=replace(PAGES, account="bot@acme.com")))
    assert told(status)["Authorized"] == "True Authorized"
    assert status["account"] == "bot@acme.com"
    assert passes(replace(LOOKED, consented=PAGES), status=status)["account"] == "bot@acme.com"


@pytest.mark.spec("C11")
def test_a_grant_that_is_over_is_told_at_once_and_ready_ends_with_the_token() -> None:
    over = waits(LanyardError(Reason.GRANT_REVOKED))
    status = passes(replace(FETCHED, consented=replace(PAGES, account="bot")), replace(LOOKED, consented=over))
    assert told(status)["Authorized"] == "False GrantRevoked"
    assert told(status)["Ready"] == "True TokenPublished"
    status = passes(replace(LOOKED, consented=over), at=NOW + 2 * HOUR, status=status)
    assert told(status)["Ready"] == "False GrantRevoked"
    assert told(status)["Stalled"] == "True GrantRevoked"


@pytest.mark.spec("C11")
def test_why_a_consent_failed_survives_a_restart() -> None:
    first = waits(LanyardError(Reason.AUTHORIZATION_FAILED, why="ClientRejected"))
    status = passes(replace(NOTHING_YET, consented=first))
    again = waits(LanyardError(Reason.AUTHORIZATION_FAILED, why="told before"))
    assert passes(replace(NOTHING_YET, consented=again), status=status) == status
    assert "ClientRejected" in status["conditions"][0]["message"]


@pytest.mark.spec("C7", "C+3")
def test_the_token_from_before_is_published_while_a_refresh_is_put_off() -> None:
    late = replace(FETCHED, consented=PAGES, failure=LanyardError(Reason.REFRESH_OUTCOME_UNKNOWN), failed_attempts=1)
    found = told(passes(late))
    assert found["Ready"] == "True TokenPublished"
    assert found["TokenFresh"] == "False RefreshOutcomeUnknown"
    assert found["Authorized"] == "True Authorized"


@pytest.mark.spec("C11")
@pytest.mark.parametrize("is_over", [True, False], ids=["a grant that is over", "a grant that lives"])
def test_a_refusal_of_the_product_ends_ready_only_with_the_grant(is_over: bool) -> None:
    status = passes(replace(FETCHED, consented=replace(PAGES, account="bot")))
    refused = {**status["conditions"][0], "type": "Verified", "status": "False", "reason": "VerificationRefused"}
    status["conditions"].append(refused)
    consented = waits(LanyardError(Reason.GRANT_REVOKED)) if is_over else PAGES
    found = told(passes(replace(LOOKED, consented=consented), status=status))
    assert found["Ready"] == ("False GrantRevoked" if is_over else "True TokenPublished")


ALONE = replace(FETCHED, exchange_only=True, secret="token-uid", client_id="uid")
ALONE_LOOKED = replace(LOOKED, exchange_only=True, secret="token-uid", client_id="uid")


@pytest.mark.spec("F1")
def test_without_a_secret_what_is_told_is_the_token_and_no_secret_is_bound() -> None:
    status = passes(ALONE)
    assert told(status) == {
        "Ready": "True TokenExchangeable",
        "SpecValid": "True Valid",
        "CredentialsResolved": "True Resolved",
        "TokenFresh": "True Fresh",
        "ScopesGranted": "True Granted",
    }
    assert "binding" not in status
    assert (status["publishedVersion"], status["clientId"]) == ("100", "uid")
    assert passes(ALONE_LOOKED, status=status) == status


@pytest.mark.spec("F1")
@pytest.mark.parametrize(
    "version", [pytest.param(None, id="no copy yet"), pytest.param("90", id="a copy from when a credential named it")]
)
def test_a_secret_is_bound_until_the_copy_has_taken_its_place(version: str | None) -> None:
    published = passes(FETCHED)
    failing = replace(ALONE_LOOKED, published_version=version, intact=False, failure=DOWN, failed_attempts=1)
    waiting = passes(failing, status=published)
    assert waiting["binding"] == {"name": "crm-token"}
    assert told(waiting)["Ready"] == "False ProviderUnavailable"
    after = passes(ALONE, status=waiting)
    assert "binding" not in after
    assert "SecretPublished" not in told(after)


@pytest.mark.spec("F1")
def test_a_copy_that_cannot_be_written_says_why_until_it_can() -> None:
    refused = PublishError(Reason.COPY_CONFLICT, secret="token-uid")
    failing = replace(ALONE_LOOKED, published_version=None, failure=refused, failed_attempts=1)
    assert told(passes(failing))["SecretPublished"] == "False CopyConflict"
    assert "SecretPublished" not in told(passes(failing, ALONE))


@pytest.mark.spec("F12")
def test_every_connection_shows_the_client_id_that_workloads_exchange_with() -> None:
    assert passes(replace(FETCHED, client_id="uid"))["clientId"] == "uid"
