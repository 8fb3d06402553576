"""A refresh token that works once, two operators, and a Lease that is lost at the worst moment."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from localenv.proxy import FaultProxy
from support.cluster import Cluster, Object, status_of
from support.consenting import Team
from support.fleet import frozen, leads, wait_until

STATE = "/api/v1/namespaces/lanyard-system/secrets"
LIFE = 10
"""Seconds; a token is replaced after four to five of them."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    """One whose operator holds the Lease itself."""
    return gateway_process().start()


@pytest.fixture
def start(operator_process: Callable[..., Any], gateway: Any) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def one(*, leads: bool = True, **settings: Any) -> Any:
        made.append(operator_process(gateway_url=gateway.url, **settings).start(leads=leads))
        return made[-1]

    yield one
    for process in made:
        if process.running:
            process.stop()


@pytest.fixture
def make_team(cluster: Cluster, environment: Any, gateway: Any) -> Iterator[Callable[..., Team]]:
    """Whose provider ends a grant when one of its refresh tokens comes twice."""
    made: list[Team] = []

    def make(*, life: int) -> Team:
        team = Team(cluster, environment, gateway)
        made.append(team)
        team.oauth.change_client(team.name, rotate_refresh_tokens=True, token_ttl=life)
        return team

    yield make
    for team in made:
        team.close()


def state_of(team: Team) -> Object:
    items = team.cluster.client.get(STATE, params={"labelSelector": "lanyard.dev/grant"}).json()["items"]
    owner = f"{team.name}/crm"
    found: Object = next(one for one in items if one["metadata"]["annotations"]["lanyard.dev/connection"] == owner)
    return found


def generation(team: Team) -> int:
    return int(state_of(team)["metadata"]["annotations"]["lanyard.dev/grant-generation"])


def wait_refreshed(team: Team) -> None:
    """To the end of the refresh: until the next one is due nothing is in flight."""
    before = generation(team)
    wait_until(lambda: generation(team) > before, seconds=20)
    team.cluster.wait(
        "Connection", "crm", lambda one: one["status"]["nextRefreshAt"] > one["status"]["lastRefreshedAt"]
    )


@pytest.mark.spec("K6", "C7", "C+2")
def test_a_rotating_grant_goes_from_one_operator_to_the_next_and_no_refresh_token_is_sent_twice(
    start: Callable[..., Any], make_team: Callable[..., Team]
) -> None:
    first = start()
    team = make_team(life=LIFE)
    team.consent()
    team.cluster.wait_ready("crm")
    second = start(leads=False)
    wait_refreshed(team)

    first.stop()
    wait_until(lambda: leads(second), seconds=5)
    wait_refreshed(team)

    third = start(leads=False)
    wait_refreshed(team)
    with frozen(second):
        wait_until(lambda: leads(third), seconds=15)
        wait_refreshed(team)
    second.wait_for("the Lease is somebody else's")
    wait_refreshed(team)
    assert (leads(second), leads(third)) == (False, True)
    found = team.cluster.get("Connection", "crm")
    assert status_of(found, "Authorized") == status_of(found, "TokenFresh") == "True"
    assert abs(team.token_requests() - generation(team)) <= 1, "one of them may be under way"


@pytest.fixture
def api(environment: Any, kubernetes: Any) -> Iterator[FaultProxy]:
    """Between an operator and the API server."""
    with FaultProxy(environment.processes, environment.pki, "takeover-grants", kubernetes.url) as proxy:
        yield proxy


@pytest.fixture
def behind(start: Callable[..., Any], kubernetes: Any, api: FaultProxy) -> Any:
    return start(kubeconfig=kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator", server=api.url))


def lose_lease_at(operator: Any, api: FaultProxy, namespace: str, act: Callable[[], object]) -> None:
    """The next write to a Secret there is done, and answered when the operator has lost the Lease."""
    api.hold({"method": "PATCH", "path_regex": f"/{namespace}/secrets/"}, "after", count=1)
    api.fail(503, count=None, match={"method": "PATCH", "path_regex": "/leases/"})
    act()
    api.wait_parked()
    wait_until(lambda: not leads(operator), seconds=10)
    api.release()


@pytest.mark.spec("K6", "C7", "C+2")
def test_a_lease_that_is_lost_between_the_intent_and_the_request_leaves_no_doubt_about_the_grant(
    behind: Any, api: FaultProxy, make_team: Callable[..., Team]
) -> None:
    team = make_team(life=3600)
    team.consent()
    team.cluster.wait_ready("crm")
    asked = team.token_requests()

    def refresh() -> None:
        wish = {"lanyard.dev/refresh": "2030-01-01T00:00:00Z"}
        team.cluster.merge("Connection", "crm", {"metadata": {"annotations": wish}})

    lose_lease_at(behind, api, "lanyard-system", refresh)
    wait_until(lambda: "intent" not in state_of(team)["data"], seconds=10)
    assert team.token_requests() == asked
    assert (leads(behind), generation(team)) == (False, 1)

    api.pass_through()
    wait_until(lambda: generation(team) == 2, seconds=10)
    assert team.token_requests() == asked + 1
    found = team.cluster.wait_ready("crm")
    assert status_of(found, "TokenFresh") == "True"


@pytest.mark.spec("K6", "C11", "C+2")
def test_a_lease_that_is_lost_between_the_claim_and_the_code_is_told_and_the_next_consent_works(
    behind: Any, api: FaultProxy, make_team: Callable[..., Team]
) -> None:
    team = make_team(life=3600)
    lose_lease_at(behind, api, "lanyard-exchange", team.consent)
    team.until(
        lambda: team.cluster.events("crm"), lambda seen: any(one["reason"] == "AuthorizationLost" for one in seen)
    )
    assert team.token_requests() == 0
    assert not leads(behind)

    api.pass_through()
    team.cluster.wait_reason("crm", "AuthorizationLost", condition="Authorized")
    team.consent()
    team.cluster.wait_ready("crm")
    assert team.token_requests() == 1
