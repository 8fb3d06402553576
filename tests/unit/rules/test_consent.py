from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.rules.consent import (
    LIFE,
    Approval,
    Browser,
    Consent,
    approval_of,
    approved_at,
    approved_by,
    hash_of_state,
    is_browser_secret,
    is_form_of,
    is_in_time,
    is_state,
    lease_is_live,
)
from lanyard.rules.schedule import CLOCK_TOLERANCE
from lanyard.sensitive import Sensitive

pytestmark = pytest.mark.spec("C4")

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
BROWSER = Browser(Sensitive("s" * 43), "uid-1", "sales/crm", NOW)
HASH = BROWSER.hash
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param(f"{HASH}.ada", Approval(HASH, "ada"), id="a name"),
        pytest.param(f"{HASH}.ada@acme.com", Approval(HASH, "ada@acme.com"), id="a name with dots"),
        pytest.param(
            f"{HASH}.system:serviceaccount:a:b", Approval(HASH, "system:serviceaccount:a:b"), id="a service account"
        ),
        pytest.param(None, None, id="nothing"),
        pytest.param("", None, id="an empty text"),
        pytest.param(HASH, None, id="no name"),
        pytest.param(f"{HASH}.", None, id="an empty name"),
        pytest.param("short.ada", None, id="a short hash"),
        pytest.param(f"{HASH} .ada", None, id="a blank"),
        pytest.param(f"{HASH}.ada\nx", None, id="a second line"),
        pytest.param(f"{HASH}.{'a' * 600}", None, id="a huge name"),
    ],
)
def test_an_approval_is_a_hash_and_a_name(annotation: str | None, expected: Approval | None) -> None:
    assert approval_of(annotation) == expected


def written(manager: str, when: datetime, *names: str) -> dict[str, Any]:
    annotations = {f"f:{name}": {} for name in names}
    owned = {"f:metadata": {"f:annotations": annotations}} if names else {"f:spec": {}}
    return {"manager": manager, "time": when.isoformat().replace("+00:00", "Z"), "fieldsV1": owned}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([], None, id="nobody is known"),
        pytest.param(
            [written("a", NOW), written("b", NOW, "lanyard.dev/refresh")], None, id="others wrote other things"
        ),
        pytest.param(
            [written("a", NOW, "x"), written("b", NOW + SECOND, "lanyard.dev/consent")], NOW + SECOND, id="one"
        ),
        pytest.param(
            [written("a", NOW + SECOND, "lanyard.dev/consent"), written("b", NOW, "lanyard.dev/consent", "x")],
            NOW,
            id="two who wrote the same",
        ),
    ],
)
def test_an_approval_is_as_old_as_who_wrote_it_first(entries: list[dict[str, Any]], expected: datetime | None) -> None:
    assert approved_at(entries) == expected


@pytest.mark.parametrize(
    ("approved", "expected"),
    [
        pytest.param(NOW, True, id="just now"),
        pytest.param(NOW - LIFE + SECOND, True, id="almost too long ago"),
        pytest.param(NOW - LIFE - CLOCK_TOLERANCE, False, id="too long ago"),
        pytest.param(NOW + CLOCK_TOLERANCE, True, id="by the clock of another API server"),
        pytest.param(NOW + LIFE, False, id="in the future"),
        pytest.param(None, False, id="never"),
    ],
)
def test_an_approval_is_in_time_for_ten_minutes(approved: datetime | None, expected: bool) -> None:
    assert is_in_time(approved, NOW) is expected


@given(st.text(max_size=80))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    found = approval_of(text)
    assert found is None or f"{found.hash}.{found.user}" == text


@pytest.mark.parametrize(
    ("uid", "annotation", "after", "expected"),
    [
        pytest.param("uid-1", f"{HASH}.ada", SECOND, "ada", id="approved"),
        pytest.param("uid-1", f"{HASH}.ada", LIFE - SECOND, "ada", id="just in time"),
        pytest.param("uid-1", f"{HASH}.ada", LIFE, None, id="ten minutes are over"),
        pytest.param("uid-2", f"{HASH}.ada", SECOND, None, id="another object of that name"),
        pytest.param("uid-1", f"{'0' * 40}.ada", SECOND, None, id="another browser"),
        pytest.param("uid-1", f"{HASH.upper()}.ada", SECOND, None, id="nearly the same hash"),
        pytest.param("uid-1", "", SECOND, None, id="no approval"),
        pytest.param("uid-1", f"{HASH}.ada", -CLOCK_TOLERANCE - SECOND, None, id="a start in the future"),
        pytest.param("uid-1", f"{HASH}.ada", -SECOND, "ada", id="a clock that is a little behind"),
    ],
)
def test_who_approved(uid: str, annotation: str, after: timedelta, expected: str | None) -> None:
    assert approved_by(BROWSER, uid=uid, annotation=annotation, now=NOW + after) == expected


def test_what_is_shown_leads_to_nothing_else() -> None:
    """The hash is on screens and in annotations: neither the form's token nor a state follows from it."""
    shown = {HASH, BROWSER.csrf_token, hash_of_state(BROWSER.secret), BROWSER.secret.reveal()}
    assert len(shown) == 4
    assert len(HASH) == 40
    assert not any(one != other and (one in other) for one in shown for other in shown)
    assert BROWSER.secret.reveal() not in repr(BROWSER)


@given(st.text(max_size=100))
def test_only_its_own_token_makes_a_form(text: str) -> None:
    assert is_form_of(BROWSER, text) is (text == BROWSER.csrf_token)


@given(st.text(max_size=100), st.text(max_size=100))
def test_a_state_fits_its_own_hash_only(state: str, other: str) -> None:
    assert is_state(state, hash_of_state(Sensitive(state)))
    assert is_state(other, hash_of_state(Sensitive(state))) is (other == state)
    assert not is_state(state, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s" * 43, True), ("s" * 42, False), ("s" * 44, False), ("s" * 42 + ".", False), ("", False)],
)
def test_a_browser_secret_has_256_bits(text: str, expected: bool) -> None:
    assert is_browser_secret(text) is expected


def consent() -> Consent:
    return Consent(
        connector="acme",
        connector_digest="d",
        client_id="app",
        redirect_uri="https://l.example/oauth/callback/acme",
        scopes=("api",),
        state_hash=hash_of_state(Sensitive("state")),
        code_verifier=Sensitive("v" * 43),
        spec_generation=3,
        approved_by="ada",
        started_at=NOW,
    )


PINS: dict[str, Any] = {
    "generation": 3,
    "client_id": "app",
    "connector_digest": "d",
    "redirect_uri": "https://l.example/oauth/callback/acme",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, True, id="as it was"),
        pytest.param({"generation": 4}, False, id="an edited Connection"),
        pytest.param({"client_id": "other"}, False, id="another app"),
        pytest.param({"client_id": None}, False, id="no app"),
        pytest.param({"connector_digest": "e"}, False, id="an edited connector"),
        pytest.param({"redirect_uri": "https://m.example/x"}, False, id="another address of the gateway"),
    ],
)
def test_what_was_agreed_to_is_what_is_answered(change: dict[str, Any], expected: bool) -> None:
    assert consent().is_still(**(PINS | change)) is expected


def test_an_answered_consent_takes_no_second_state() -> None:
    answered = consent().answered(now=NOW, code=Sensitive("c"), callback={})
    assert not is_state("state", answered.state_hash)
    assert answered.code_verifier == consent().code_verifier
    assert "v" * 43 not in repr(answered)


def lease(**changes: Any) -> dict[str, Any]:
    return {"holderIdentity": "a", "renewTime": "2026-11-25T12:00:00.000000Z", "leaseDurationSeconds": 10} | changes


@pytest.mark.parametrize(
    ("spec", "after", "expected"),
    [
        pytest.param(lease(), 0, True, id="just renewed"),
        pytest.param(lease(), 14, True, id="within the tolerance of clocks"),
        pytest.param(lease(), 15, False, id="stale"),
        pytest.param(None, 0, False, id="no Lease"),
        pytest.param({}, 0, False, id="an empty one"),
        pytest.param(lease(holderIdentity=""), 0, False, id="given up"),
        pytest.param(lease(renewTime=None), 0, False, id="never renewed"),
        pytest.param(lease(renewTime="yesterday"), 0, False, id="no time"),
        pytest.param(lease(renewTime="2026-11-25T12:00:00"), 0, False, id="a time without a zone"),
        pytest.param(lease(leaseDurationSeconds="x"), 0, False, id="no number"),
        pytest.param(lease(leaseDurationSeconds=10**30), 0, False, id="a huge number"),
    ],
)
def test_the_operator_is_there_while_its_lease_lives(spec: dict[str, Any] | None, after: int, expected: bool) -> None:
    assert lease_is_live(spec, NOW + timedelta(seconds=after)) is expected
