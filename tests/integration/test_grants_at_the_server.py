"""What happens to a grant from outside, at the real OAuth server: rotation and reuse detection on, PKCE required."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from bench.meters import ACCOUNT, WRITES
from support.cluster import message_of, reason_of, status_of
from support.consenting import Team
from support.granted import STATE, ask_anew, change_state, grants, refresh, works
from support.provider import ScriptedProvider
from support.signing import signing_keys


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    """One whose operator holds the Lease itself."""
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], gateway: Any) -> Any:
    """One that knows the address of the gateway."""
    return operator_process(gateway_url=gateway.url).start()


@pytest.fixture
def authorized(make_team: Callable[..., Team]) -> Team:
    """A team whose person has consented."""
    team = make_team()
    team.consent()
    team.cluster.wait_ready("crm")
    return team


def wait_authorized(team: Team) -> None:
    team.cluster.wait(
        "Connection",
        "crm",
        lambda one: status_of(one, "Authorized") == status_of(one, "TokenFresh") == status_of(one, "Ready") == "True",
    )


@pytest.mark.spec("C7")
def test_a_token_of_ten_seconds_is_replaced_again_and_again_and_the_one_before_still_lives(
    make_team: Callable[..., Team],
) -> None:
    team = make_team()
    team.oauth.change_client(team.name, token_ttl=10)
    team.consent()
    found = team.cluster.wait_ready("crm")
    assert reason_of(found, "TokenFresh") == "TokenOutlivedByPropagation"
    token = team.cluster.data("crm-token")["access_token"]
    for _ in range(3):
        old = token
        team.until(lambda: team.cluster.data("crm-token")["access_token"], lambda now, old=old: now != old)
        assert team.oauth.me(old).status_code == 200, "whoever still has the old one can go on"
        token = team.cluster.data("crm-token")["access_token"]
        assert works(team)
    (state,) = grants(team)
    assert int(state["metadata"]["annotations"]["lanyard.dev/grant-generation"]) >= 4
    assert team.oauth.count(client_id=team.name, status=400) == 0


@pytest.mark.spec("C5", "C16", "C7")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_client_that_signs_exchanges_the_code_and_refreshes(make_team: Callable[..., Team], algorithm: str) -> None:
    private, public = signing_keys()[algorithm]
    team = make_team(clientAuth={"methods": ["private_key_jwt"]})
    jwks = {"keys": [public | {"kid": "k1", "use": "sig", "alg": algorithm}]}
    team.oauth.change_client(team.name, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    team.cluster.secret("app", key=private)
    team.cluster.connection(
        "crm",
        connector=team.name,
        auth={"method": "authorizationCode", "clientId": team.name, "keyId": "k1", "scopes": ["api"]},
        credentials={"privateKey": {"secretRef": {"name": "app", "key": "key"}}},
    )
    team.cluster.wait_reason("crm", "AuthorizationRequired")
    team.consent()
    team.cluster.wait_ready("crm")
    refresh(team)
    assert works(team)
    kinds = [seen.grant_type for seen in team.oauth.requests(client_id=team.name, status=200)]
    assert kinds == ["authorization_code", "refresh_token"]


@pytest.mark.spec("C1", "C11")
def test_a_scope_that_is_withheld_is_named_and_the_token_is_published_all_the_same(
    make_team: Callable[..., Team],
) -> None:
    team = make_team()
    team.oauth.change_client(team.name, withheld_scopes=["more"])
    team.consent()
    found = team.cluster.wait_ready("crm")
    assert found["status"]["grantedScopes"] == ["api"]
    assert (status_of(found, "ScopesGranted"), reason_of(found, "ScopesGranted")) == ("False", "ScopeMissing")
    assert message_of(found, "ScopesGranted").startswith("Not granted: more.")
    assert works(team)


@pytest.mark.spec("C10", "C11")
def test_a_client_secret_that_was_rotated_needs_no_new_consent(authorized: Team) -> None:
    team = authorized
    team.oauth.rotate_secret(team.name, "second")
    ask_anew(team)
    found = team.cluster.wait_reason("crm", "ClientRejected", condition="TokenFresh")
    assert (status_of(found, "Ready"), status_of(found, "Authorized")) == ("True", "True")
    team.cluster.secret("app", client_secret="second")
    wait_authorized(team)
    refresh(team)
    assert works(team)
    assert len(team.records()) == 1


@pytest.mark.spec("C+1", "C10")
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_operator_that_starts_again_leaves_a_fresh_grant_alone(
    authorized: Team, kubernetes: Any, operator: Any, end: str
) -> None:
    team = authorized
    asked, version = team.token_requests(), grants(team)[0]["metadata"]["resourceVersion"]
    before = [team.cluster.get(*one)["metadata"]["resourceVersion"] for one in PARTS]
    getattr(operator, end)()
    offset = kubernetes.audit_offset()
    operator.start()
    team.until(lambda: rested(operator), lambda count: count > 0)
    assert operator.metrics()["lanyard_queue_length"] == 0
    assert written_for(team, kubernetes, offset) == []
    assert [team.cluster.get(*one)["metadata"]["resourceVersion"] for one in PARTS] == before
    assert grants(team)[0]["metadata"]["resourceVersion"] == version
    assert team.token_requests() == asked
    refresh(team)
    assert works(team)


PARTS = [("Connection", "crm"), ("Secret", "crm-token")]


def written_for(team: Team, kubernetes: Any, offset: int) -> list[str]:
    """What the operator wrote in a team's namespace, or to its state Secret."""
    places = {grants(team)[0]["metadata"]["name"], team.name}
    return [
        f"{one['verb']} {one['objectRef']['resource']}"
        for one in kubernetes.audit_events(offset)
        if one["user"]["username"] == ACCOUNT
        and one["verb"] in WRITES
        and places & {one["objectRef"].get("name"), one["objectRef"].get("namespace")}
    ]


def rested(operator: Any) -> float:
    passes = operator.metrics()
    return sum(passes[name] for name in passes if name.startswith("lanyard_reconciles") and '"rest"' in name)


@pytest.mark.spec("C11", "C5")
def test_a_grant_does_not_go_to_another_client(authorized: Team) -> None:
    team = authorized
    asked = team.oauth.marker()
    team.cluster.merge("Connection", "crm", {"spec": {"auth": {"clientId": "another"}}})
    found = team.cluster.wait_reason("crm", "ClientChanged", condition="Authorized")
    assert status_of(found, "Ready") == "True"
    assert team.oauth.requests(since=asked, client_id="another") == []
    team.cluster.merge("Connection", "crm", {"spec": {"auth": {"clientId": team.name}}})
    wait_authorized(team)
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11", "C5")
def test_a_grant_does_not_go_to_another_host(authorized: Team) -> None:
    team = authorized
    with ScriptedProvider(tls=False) as other:
        team.method = {"tokenRequest": {"url": f"{other.url}/token"}}
        team.connector()
        ask_anew(team)
        found = team.cluster.wait_reason("crm", "ConnectorChanged", condition="Authorized")
        assert status_of(found, "Ready") == "True"
        team.method = {}
        team.connector()
        wait_authorized(team)
        assert other.requests() == []
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11")
def test_a_grant_that_was_deleted_by_hand_asks_for_a_consent_and_the_token_lives_on(authorized: Team) -> None:
    team = authorized
    (state,) = grants(team)
    team.cluster.client.delete(f"{STATE}/{state['metadata']['name']}")
    found = team.cluster.wait_reason("crm", "AuthorizationRequired", condition="Authorized")
    assert status_of(found, "Ready") == "True"
    assert works(team)
    team.consent()
    wait_authorized(team)
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11")
@pytest.mark.parametrize("mend", ["restored", "consented"])
def test_a_grant_that_was_tampered_with_is_not_used(authorized: Team, mend: str) -> None:
    team = authorized
    (state,) = grants(team)
    asked, whole = team.token_requests(), state["data"]["grant"]
    change_state(team, state, data={"grant": whole[:-8] + "AAAAAAAA"})
    ask_anew(team)
    found = team.cluster.wait_reason("crm", "StateInvalid", condition="Authorized")
    assert status_of(found, "Ready") == "True"
    assert team.token_requests() == asked
    if mend == "restored":
        change_state(team, state, data={"grant": whole})
    else:
        team.consent()
    wait_authorized(team)
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11", "C7")
def test_a_grant_put_back_from_before_a_rotation_is_found_out_and_a_consent_mends_it(authorized: Team) -> None:
    team = authorized
    (old,) = grants(team)
    refresh(team)
    change_state(team, old, data={"grant": old["data"]["grant"]})
    ask_anew(team)
    found = team.cluster.wait_reason("crm", "GrantRevoked", condition="Authorized")
    assert status_of(found, "Ready") == "True"
    team.consent()
    wait_authorized(team)
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11", "C15")
def test_a_grant_of_a_backup_is_adopted_when_the_platform_says_so_and_it_fits(authorized: Team) -> None:
    team = authorized
    (kept,) = grants(team)
    team.cluster.merge("Connection", "crm", {"spec": {"deletionPolicy": "Orphan"}})
    team.cluster.delete("Connection", "crm")
    for kind, name in PARTS:
        team.until(lambda kind=kind, name=name: team.cluster.exists(kind, name), lambda there: not there)
    asked = team.token_requests()
    metadata = {name: kept["metadata"][name] for name in ("name", "labels", "annotations")}
    body = {"metadata": metadata, "type": kept["type"], "data": kept["data"]}
    assert team.cluster.client.post(STATE, json=body).status_code == 201
    uid = team.connect(auth={"clientId": "another"})["metadata"]["uid"]
    team.cluster.wait_reason("crm", "StateNotAdopted")
    change_state(team, kept, metadata={"annotations": {"lanyard.dev/adopt-for": uid}})
    time.sleep(1)
    team.cluster.wait_reason("crm", "StateNotAdopted")
    assert not team.cluster.exists("Secret", "crm-token")
    team.connect()
    wait_authorized(team)
    assert works(team)
    assert team.token_requests() == asked, "the token of the backup still lives"
    (state,) = grants(team)
    assert state["metadata"]["name"] == f"grant-{uid}"
    refresh(team)
    assert works(team)


@pytest.mark.spec("C11", "C17")
def test_an_answer_that_was_spent_is_not_spent_again(make_team: Callable[..., Team]) -> None:
    team = make_team()
    visitor = team.visitor()
    callback = team.answered(visitor)
    visitor.get(callback, follow_redirects=True)
    team.cluster.wait_ready("crm")
    version = grants(team)[0]["metadata"]["resourceVersion"]
    for browser in (visitor, team.visitor()):
        assert browser.get(callback, follow_redirects=True).status_code < 500
    time.sleep(1)
    assert team.token_requests() == 1, "a second exchange would end the grant at the provider"
    assert grants(team)[0]["metadata"]["resourceVersion"] == version
    refresh(team)
    assert works(team)
