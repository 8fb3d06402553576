"""`authorize` and `refresh`: what is written, what is waited for, and how each end is told."""

from typing import Any

import pytest

from lanyard.entry.plugin.kubectl import Finished
from support.scripted_kubectl import ScriptedKubectl, condition, connection, forbidden, text_of

pytestmark = pytest.mark.spec("C4", "K7")

PAGE = "https://lanyard.example/connect/sales/crm"
HASH = "u0Fq8rW3cX7kP2mN5vB9"
WHOAMI = {"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "ann@acme.com", "groups": ["dev"]}}}


def pending(page: str = PAGE) -> dict[str, Any]:
    wants = condition("Ready", "False", "AuthorizationRequired", "Nobody has authorized it yet.")
    return connection("crm", wants, spec={"auth": {"method": "authorizationCode"}}, status={"authorizationURL": page})


def authorized(at: str = "2026-11-25T09:21:00Z") -> dict[str, Any]:
    is_ready = condition("Ready", "True", "TokenPublished", "The Secret crm-token carries a live token.")
    return connection("crm", is_ready, status={"account": "crm-bot@acme.com", "lastRefreshedAt": at})


def refused(reason: str = "ConsentDenied") -> dict[str, Any]:
    said = condition("Authorized", "False", reason, "The person said no.")
    return connection("crm", condition("Ready", "False", reason, "The person said no."), said)


def answers(*objects: dict[str, Any]) -> list[Finished]:
    return [Finished(0, text_of(one)) for one in objects]


@pytest.fixture
def kubectl() -> ScriptedKubectl:
    scripted = ScriptedKubectl()
    scripted.on("auth", "whoami", out=WHOAMI)
    scripted.on("annotate", out="connection.lanyard.dev/crm annotated")
    return scripted


def annotated(kubectl: ScriptedKubectl) -> list[str]:
    return [asked[-1] for asked in kubectl.asked if "annotate" in asked]


@pytest.mark.parametrize(
    "typed", [HASH, f"lanyard.dev/consent={HASH}.<you>", f" {HASH}.ann@acme.com "], ids=["the code", "the line", "both"]
)
def test_the_code_of_the_page_becomes_an_approval_in_the_callers_name(kubectl: ScriptedKubectl, typed: str) -> None:
    kubectl.then("get", "connections.lanyard.dev", answers=answers(pending(), pending(), authorized()))
    told = kubectl.lanyard("authorize", "crm", "--no-browser", input=f"{typed}\n")
    assert annotated(kubectl) == [f"lanyard.dev/consent={HASH}.ann@acme.com"]
    assert told.stdout.splitlines()[-1] == "✔ crm is ready; connected is crm-bot@acme.com"
    assert f"► open {PAGE}" in told.stderr
    assert told.exit_code == 0
    assert kubectl.pages == []


@pytest.mark.parametrize("typed", ["short", "a b c d e f g h i j k l m n", "--all", f"{HASH}/x"])
def test_what_is_not_the_code_of_the_page_is_never_written(kubectl: ScriptedKubectl, typed: str) -> None:
    kubectl.on("get", "connections.lanyard.dev", out=pending())
    told = kubectl.lanyard("authorize", "crm", "--no-browser", input=f"{typed}\n")
    assert (annotated(kubectl), told.exit_code) == ([], 2)


def test_without_the_right_the_role_is_named(kubectl: ScriptedKubectl) -> None:
    kubectl.on("get", "connections.lanyard.dev", out=pending())
    kubectl.on("annotate", err=forbidden("connections.lanyard.dev", "crm"))
    told = kubectl.lanyard("authorize", "crm", "--no-browser", input=f"{HASH}\n")
    assert told.exit_code == 1
    assert "✗ ann@acme.com may not authorize crm.\n" in told.stderr
    assert "--clusterrole=lanyard-authorizer --user=ann@acme.com -n sales" in told.stderr


def test_a_consent_that_is_denied_ends_the_waiting(kubectl: ScriptedKubectl) -> None:
    kubectl.then("get", "connections.lanyard.dev", answers=answers(pending(), pending(), refused()))
    told = kubectl.lanyard("authorize", "crm", "--no-browser", input=f"{HASH}\n")
    assert told.exit_code == 1
    assert "ConsentDenied: The person said no." in told.stderr


def test_waiting_ends_with_the_time_and_an_exit_code_of_its_own(kubectl: ScriptedKubectl) -> None:
    kubectl.on("get", "connections.lanyard.dev", out=pending())
    told = kubectl.lanyard("authorize", "crm", "--no-browser", "--timeout", "30s", input=f"{HASH}\n")
    assert told.exit_code == 3
    assert "✗ crm did not get there in time.\n" in told.stderr
    assert told.stderr.count("◎ AuthorizationRequired") == 1


def test_an_older_ready_does_not_pass_for_the_new_consent(kubectl: ScriptedKubectl) -> None:
    old = authorized("2026-11-25T08:00:00Z")
    old["status"]["authorizationURL"] = PAGE
    kubectl.then("get", "connections.lanyard.dev", answers=answers(old, old, old, authorized()))
    assert kubectl.lanyard("authorize", "crm", "--no-browser", input=f"{HASH}\n").exit_code == 0
    assert len([asked for asked in kubectl.asked if "get" in asked]) == 4


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("", "has no page"),
        ("http://lanyard.example/connect/sales/crm", "is not opened"),
        ("file:///etc/passwd", "is not opened"),
        ("javascript:alert(1)", "is not opened"),
    ],
)
def test_only_a_page_over_https_is_opened(kubectl: ScriptedKubectl, page: str, says: str) -> None:
    kubectl.on("get", "connections.lanyard.dev", out=pending(page))
    told = kubectl.lanyard("authorize", "crm")
    assert (told.exit_code, kubectl.pages) == (1, [])
    assert says in told.stderr


def test_a_refresh_is_asked_for_with_the_time_of_asking(kubectl: ScriptedKubectl) -> None:
    kubectl.on("get", "connections.lanyard.dev", out=authorized())
    told = kubectl.lanyard("refresh", "crm")
    assert annotated(kubectl) == ["lanyard.dev/refresh=2026-11-25T09:20:00Z"]
    assert (told.stdout, told.exit_code) == ("", 0)


def test_waiting_for_a_refresh_ends_when_a_newer_token_is_published(kubectl: ScriptedKubectl) -> None:
    old, new = authorized("2026-11-25T08:00:00Z"), authorized("2026-11-25T09:20:00Z")
    kubectl.then("get", "connections.lanyard.dev", answers=answers(old, old, new))
    told = kubectl.lanyard("refresh", "crm", "--wait")
    assert told.stdout == "✔ crm is ready; its token expires never\n"
    assert told.exit_code == 0


def test_a_refresh_that_fails_ends_the_waiting(kubectl: ScriptedKubectl) -> None:
    old, failing = authorized("2026-11-25T08:00:00Z"), authorized("2026-11-25T08:00:00Z")
    failing["status"]["failedAttempts"] = 1
    failing["status"]["conditions"].append(condition("TokenFresh", "False", "ProviderUnavailable", "It is down."))
    kubectl.then("get", "connections.lanyard.dev", answers=answers(old, old, failing))
    told = kubectl.lanyard("refresh", "crm", "--wait")
    assert told.exit_code == 1
    assert "ProviderUnavailable: It is down." in told.stderr


def test_a_refresh_that_never_comes_times_out(kubectl: ScriptedKubectl) -> None:
    kubectl.on("get", "connections.lanyard.dev", out=authorized("2026-11-25T08:00:00Z"))
    assert kubectl.lanyard("refresh", "crm", "--wait", "--timeout", "10s").exit_code == 3


def test_a_length_of_time_that_is_none_is_wrong_usage(kubectl: ScriptedKubectl) -> None:
    told = kubectl.lanyard("refresh", "crm", "--timeout", "soon")
    assert told.exit_code == 2
    assert "10m" in told.stderr


@pytest.mark.spec("C13")
@pytest.mark.parametrize("verb", ["refresh", "authorize"])
def test_a_link_is_neither_refreshed_nor_authorized_and_its_source_is_named(
    kubectl: ScriptedKubectl, verb: str
) -> None:
    link = connection("crm", spec={"linkTo": {"namespace": "shared", "name": "sales-crm"}})
    kubectl.on("get", "connections.lanyard.dev", out=link)
    told = kubectl.lanyard(verb, "crm")
    assert (annotated(kubectl), told.exit_code) == ([], 1)
    assert "crm is a link and has no access of its own" in told.stderr
    assert f"kubectl lanyard {verb} sales-crm -n shared" in told.stderr
