"""What tests ask about a grant that a person gave: the state Secret behind it, and the token that came of it."""

import time
from datetime import datetime

from support.cluster import Object
from support.consenting import MERGE, Team

STATE = "/api/v1/namespaces/lanyard-system/secrets"


def grants(team: Team, name: str = "crm") -> list[Object]:
    items = team.cluster.client.get(STATE, params={"labelSelector": "lanyard.dev/grant"}).json()["items"]
    owner = f"{team.name}/{name}"
    return [one for one in items if one["metadata"]["annotations"]["lanyard.dev/connection"] == owner]


def change_state(team: Team, state: Object, **change: Object) -> None:
    """As the platform's administrator."""
    path = f"{STATE}/{state['metadata']['name']}"
    answer = team.cluster.client.patch(path, json=change, headers=MERGE)
    assert answer.status_code == 200, answer.text


def works(team: Team, name: str = "crm-token") -> bool:
    """Whether the published token is the person's and alive."""
    answer = team.oauth.me(team.cluster.data(name)["access_token"])
    return answer.status_code == 200 and answer.json()["sub"] == team.person


def refreshed_at(one: Object) -> str:
    return str(one["status"].get("lastRefreshedAt", ""))


def ask_anew(team: Team, name: str = "crm") -> None:
    """Ask for a fresh token as people do."""
    mark = datetime.now().astimezone().isoformat()
    team.cluster.merge("Connection", name, {"metadata": {"annotations": {"lanyard.dev/refresh": mark}}})


def refresh(team: Team, name: str = "crm") -> Object:
    """Ask, and wait for it."""
    before = refreshed_at(team.cluster.get("Connection", name))
    # A status has whole seconds.
    time.sleep(max(0.0, datetime.fromisoformat(before).timestamp() + 1.05 - time.time()))
    ask_anew(team, name)
    return team.cluster.wait("Connection", name, lambda one: refreshed_at(one) not in {"", before})
