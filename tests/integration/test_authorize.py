"""From a consent to a Secret that works, and on from there: real API server, OAuth server, gateway and operator."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.api.meta import CONSENT_ANNOTATION
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentRecord, ConsentStore
from support.cluster import conditions, message_of, reason_of, status_of
from support.consenting import Team
from support.granted import grants, refresh, refreshed_at, works

ASK = {"metadata": {"annotations": {"lanyard.dev/refresh": "2030-01-01T00:00:00Z"}}}


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    """One whose operator holds the Lease itself."""
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], gateway: Any) -> Any:
    """One that knows the address of the gateway."""
    return operator_process(gateway_url=gateway.url).start()


@pytest.mark.spec("C1", "C6", "C13")
def test_before_anybody_consents_the_status_says_what_to_do(make_team: Callable[..., Team]) -> None:
    team = make_team()
    found = team.cluster.wait_reason("crm", "AuthorizationRequired")
    assert not conditions(found).keys() & {"Stalled", "Reconciling"}
    assert reason_of(found, "Authorized") == "AuthorizationRequired"
    status = found["status"]
    assert status["account"] == "System"
    assert status["redirectURI"] == f"{team.gateway.url}/oauth/callback/{team.name}"
    assert status["authorizationURL"] == team.page_url()
    assert not team.cluster.exists("Secret", "crm-token")
    assert team.token_requests() == 0


@pytest.mark.spec("C1", "C5", "C8", "C17", "A7")
def test_one_consent_becomes_a_secret_that_works(make_team: Callable[..., Team]) -> None:
    team = make_team()
    page = team.consent()
    found = team.cluster.wait_ready("crm")
    assert works(team)
    assert found["status"]["account"] == team.person
    assert set(found["status"]["grantedScopes"]) == {"api", "more"}
    assert status_of(found, "Authorized") == "True"
    assert message_of(found, "Authorized") == f"{team.person} has authorized this Connection."
    assert found["metadata"]["finalizers"] == ["lanyard.dev/grant"]
    (state,) = grants(team)
    data = team.cluster.data("crm-token")
    assert set(data) >= {"access_token", "authorization_header", "expires_at", "type", "provider"}
    assert "refresh_token" not in data
    assert "grant" in state["data"]
    assert team.token_requests() == 1
    assert page.status_code == 200
    (record,) = team.records()
    assert "record" not in record["data"]


@pytest.mark.spec("C7", "C+1")
@pytest.mark.parametrize("rotates", [True, False], ids=["rotating", "fixed"])
def test_a_grant_is_refreshed_without_the_person(make_team: Callable[..., Team], rotates: bool) -> None:
    team = make_team(rotation={"mode": "rotates" if rotates else "fixed"})
    team.oauth.change_client(team.name, rotate_refresh_tokens=rotates)
    team.consent()
    team.cluster.wait_ready("crm")
    for _ in range(2):
        found = refresh(team)
        assert status_of(found, "Ready") == "True"
        assert works(team)
    (state,) = grants(team)
    assert state["metadata"]["annotations"]["lanyard.dev/grant-generation"] == "3"
    assert "intent" not in state["data"]
    assert team.token_requests() == 3


@pytest.mark.spec("C11", "C18")
def test_a_grant_that_is_revoked_at_the_provider_stops_and_a_new_consent_mends_it(
    make_team: Callable[..., Team],
) -> None:
    team = make_team()
    team.consent()
    before = team.cluster.wait_ready("crm")
    uid = team.cluster.get("Secret", "crm-token")["metadata"]["uid"]
    assert team.oauth.end_grants(team.name) == 1
    team.cluster.merge("Connection", "crm", ASK)
    found = team.cluster.wait_reason("crm", "GrantRevoked", condition="Authorized")
    assert status_of(found, "Ready") == "True"
    asked = team.token_requests()
    time.sleep(3)
    assert team.token_requests() == asked
    team.consent()
    found = team.cluster.wait(
        "Connection",
        "crm",
        lambda one: status_of(one, "Authorized") == "True" and refreshed_at(one) != refreshed_at(before),
    )
    assert works(team)
    assert team.cluster.get("Secret", "crm-token")["metadata"]["uid"] == uid


@pytest.mark.spec("C11", "C18")
def test_where_the_product_refuses_the_last_token_too_ready_ends_with_the_grant(
    make_team: Callable[..., Team], oauth: Any
) -> None:
    team = make_team(verification={"request": {"url": oauth.me_url}})
    team.consent()
    team.cluster.wait_ready("crm")
    team.cluster.wait("Connection", "crm", lambda one: status_of(one, "Verified") == "True")
    assert oauth.end_grants(team.name, tokens=True) == 2
    team.cluster.merge("Connection", "crm", ASK)
    found = team.cluster.wait_reason("crm", "GrantRevoked")
    assert reason_of(found, "Stalled") == "GrantRevoked"
    assert reason_of(found, "Verified") == "VerificationRefused"
    team.consent()
    team.cluster.wait_ready("crm")
    assert works(team)


@pytest.mark.spec("C4")
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(timedelta(0), "AuthorizationOutdated", id="one that brought a grant just now"),
        pytest.param(timedelta(minutes=15), "AuthorizationExpired", id="one of long ago"),
    ],
)
def test_with_a_former_approval_nobody_who_may_write_records_spends_a_code(
    make_team: Callable[..., Team], age: timedelta, expected: str
) -> None:
    """As somebody could who has taken over the gateway, which holds the ring `token`."""
    team = make_team()
    visitor = team.visitor()
    back = team.answered(visitor)
    began = team.read_record().consent
    assert began is not None
    visitor.get(back, follow_redirects=True)
    found = team.cluster.wait_ready("crm")
    metadata = found["metadata"]
    now = datetime.now(UTC)
    entries = [
        one | {"time": (now - age).strftime("%Y-%m-%dT%H:%M:%SZ")} if CONSENT_ANNOTATION in str(one) else one
        for one in metadata["managedFields"]
    ]
    team.cluster.merge("Connection", "crm", {"metadata": {"managedFields": entries}})
    approved = metadata["annotations"][CONSENT_ANNOTATION].partition(".")[0]

    async def forge(store: ConsentStore, record: ConsentRecord) -> ConsentRecord:
        await store.delete(record)
        made = await store.create(
            approved, uid=record.uid, owner=record.owner, consent=began, expires_at=now + timedelta(minutes=9), now=now
        )
        mine = began.answered(now=now, code=Sensitive("a code of an account of mine"), callback={})
        return await store.answer(made, mine, now=now)

    team.operate(forge)
    done = team.until(team.read_record, lambda one: one.outcome is not None)
    assert done.outcome.reason == expected
    assert team.token_requests() == 1


@pytest.mark.spec("C11")
def test_a_declined_consent_is_told_and_the_next_one_works(make_team: Callable[..., Team]) -> None:
    team = make_team()
    team.consent(agree=False)
    team.cluster.wait_reason("crm", "ConsentDenied")
    assert team.token_requests() == 0
    team.consent()
    team.cluster.wait_ready("crm")


@pytest.mark.spec("C11", "C1")
def test_another_account_than_expected_is_refused_and_an_older_grant_goes_on(make_team: Callable[..., Team]) -> None:
    team = make_team()
    team.consent()
    before = team.cluster.wait_ready("crm")
    team.cluster.merge("Connection", "crm", {"spec": {"auth": {"expectedAccount": "somebody-else"}}})
    team.cluster.wait(
        "Connection", "crm", lambda one: one["status"]["observedGeneration"] == one["metadata"]["generation"]
    )
    asked = team.token_requests()
    team.consent()
    team.until(lambda: team.cluster.events("crm"), lambda seen: any(one["reason"] == "AccountMismatch" for one in seen))
    found = team.cluster.get("Connection", "crm")
    assert status_of(found, "Ready") == "True"
    assert found["status"]["account"] == before["status"]["account"]
    assert team.token_requests() == asked + 1
    # The same account as before: to revoke what it granted now would end what works.
    assert team.oauth.count(client_id=team.name, endpoint="/token/revocation") == 0
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11")
def test_an_account_that_nobody_names_is_not_called_another_one(make_team: Callable[..., Team], oauth: Any) -> None:
    """The server's answer has no e-mail address."""
    team = make_team(identity={"request": {"url": oauth.me_url}, "account": ["/email"]})
    team.cluster.merge("Connection", "crm", {"spec": {"auth": {"expectedAccount": "crm-bot@acme.com"}}})
    page = team.consent()
    team.cluster.wait_reason("crm", "AccountUnknown")
    assert "another account" not in page.text
    assert grants(team) == []


@pytest.mark.spec("C11", "C1")
def test_what_the_wrong_account_granted_is_taken_back(make_team: Callable[..., Team]) -> None:
    team = make_team()
    team.cluster.merge("Connection", "crm", {"spec": {"auth": {"expectedAccount": "somebody-else"}}})
    team.cluster.wait(
        "Connection", "crm", lambda one: one["status"].get("observedGeneration") == one["metadata"]["generation"]
    )
    team.consent()
    found = team.cluster.wait_reason("crm", "AccountMismatch")
    assert status_of(found, "Stalled") == "True"
    assert grants(team) == []
    assert team.oauth.count(client_id=team.name, endpoint="/token/revocation", status=200) == 1


@pytest.mark.spec("C4")
@pytest.mark.parametrize("policy", ["Revoke", "Orphan"])
def test_deletion_takes_the_grant_back_or_leaves_it(make_team: Callable[..., Team], policy: str) -> None:
    team = make_team()
    team.cluster.merge("Connection", "crm", {"spec": {"deletionPolicy": policy}})
    team.consent()
    team.cluster.wait_ready("crm")
    token = team.cluster.data("crm-token")["access_token"]
    team.cluster.delete("Connection", "crm")
    team.until(lambda: team.cluster.exists("Connection", "crm"), lambda there: not there)
    assert grants(team) == []
    assert team.oauth.me(token).status_code == (401 if policy == "Revoke" else 200)


@pytest.mark.spec("C4")
def test_a_namespace_with_a_grant_goes_without_hanging(make_team: Callable[..., Team]) -> None:
    team = make_team()
    team.consent()
    team.cluster.wait_ready("crm")
    team.cluster.client.delete(f"/api/v1/namespaces/{team.name}")
    path = f"/api/v1/namespaces/{team.name}"
    team.until(lambda: team.cluster.client.get(path).status_code, lambda code: code == 404, seconds=30)
    assert grants(team) == []
