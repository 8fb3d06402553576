"""`kubectl lanyard authorize` in one step: a real kubectl and API server, a browser that follows redirects."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.lanyard_command import Person, person
from support.start_page import StartPage

pytestmark = pytest.mark.spec("C4", "K7")

HASH = "h" * 43
BROWSER = f"""{sys.executable} -c "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=20)" %s"""


def report(cluster: Any, page: str = "", **changes: Any) -> None:
    """Writes a status as the operator would."""
    ready = changes.pop("ready", "False")
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "TokenPublished" if ready == "True" else "AuthorizationRequired",
        "message": "As the operator says.",
        "lastTransitionTime": "2026-11-25T09:14:00Z",
        "observedGeneration": 1,
    }
    status = {"observedGeneration": 1, "conditions": [condition], **changes}
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{cluster.path('Connection', 'crm')}/status"
    change = {"status": status | ({"authorizationURL": page} if page else {})}
    answer = cluster.client.patch(path, json=change, headers=headers)
    assert answer.status_code == 200, answer.text


def consent_of(cluster: Any) -> str:
    return str(cluster.get("Connection", "crm")["metadata"].get("annotations", {}).get("lanyard.dev/consent", ""))


@pytest.fixture
def pending(cluster: Any) -> Callable[[str], None]:
    cluster.connection("crm", connector="oauth2", auth={"method": "authorizationCode", "clientId": "app"})
    return lambda page: report(cluster, page, account="System")


def test_one_command_approves_the_browser_and_ends_when_the_connection_is_ready(
    kubernetes: Any, cluster: Any, tmp_path: Path, pending: Callable[[str], None]
) -> None:
    found: list[str] = []

    def consent() -> None:
        found.append(consent_of(cluster))
        report(cluster, ready="True", account="crm-bot@acme.com", lastRefreshedAt="2026-11-25T09:21:00Z")

    ann = person(kubernetes, cluster, tmp_path, "edit", "lanyard-authorizer")
    with StartPage(HASH, consent) as page:
        pending(page.url)
        told = ann.lanyard("authorize", "crm", BROWSER=BROWSER)
        first, second = page.visits
    assert (told.code, told.out) == (0, "✔ crm is ready; connected is crm-bot@acme.com\n"), told.err
    assert found == [f"{HASH}.system:serviceaccount:{cluster.namespace}:ann"]
    assert "?return=" in first
    assert "?" not in second
    assert HASH not in told.out + told.err


def test_without_the_right_nothing_is_approved_and_the_role_is_named(
    kubernetes: Any, cluster: Any, tmp_path: Path, pending: Callable[[str], None]
) -> None:
    ann = person(kubernetes, cluster, tmp_path, "view")
    with StartPage(HASH, lambda: None) as page:
        pending(page.url)
        told = ann.lanyard("authorize", "crm", BROWSER=BROWSER)
    assert (told.code, told.out) == (1, "")
    assert "--clusterrole=lanyard-authorizer" in told.err
    assert consent_of(cluster) == ""


def test_without_a_browser_the_code_of_the_page_is_asked_for(
    kubernetes: Any, cluster: Any, tmp_path: Path, pending: Callable[[str], None]
) -> None:
    admin = Person(kubernetes.kubeconfig, tmp_path, cluster.namespace)
    pending("https://lanyard.example/connect/sales/crm")
    told = admin.lanyard("authorize", "crm", "--no-browser", "--timeout", "3s", stdin=f"{HASH}\n")
    assert told.code == 3
    assert "► open https://lanyard.example/connect/sales/crm\n" in told.err
    assert consent_of(cluster).startswith(f"{HASH}.")


def test_a_browser_that_never_comes_back_is_not_waited_for_beyond_the_time(
    kubernetes: Any, cluster: Any, tmp_path: Path, pending: Callable[[str], None]
) -> None:
    admin = Person(kubernetes.kubeconfig, tmp_path, cluster.namespace)
    pending("https://lanyard.example/connect/sales/crm")
    told = admin.lanyard("authorize", "crm", "--timeout", "1s", BROWSER="true %s")
    assert told.code == 3
    assert "use --no-browser" in told.err
    assert consent_of(cluster) == ""
