"""The stories of `status`, word by word."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lanyard.entry.plugin.conditions import Condition as Seen
from lanyard.entry.plugin.conditions import halves, next_step
from lanyard.errors import LanyardError
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason
from support.scripted_kubectl import ScriptedKubectl, condition, connection, forbidden, listed

pytestmark = pytest.mark.spec("C4", "K7")

REJECTED = str(LanyardError(Reason.CLIENT_REJECTED, host="id.example.com", proof="client secret"))
FROM_SECRET = {"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}}
OURS = "type=Opaque\ncreated=x\nversion=7\nlabel=lanyard.dev/connection-uid=5d7a\nkey=access_token\nkey=type\n"
READABLE = "type=Opaque\ncreated=x\nversion=3\nlabel=lanyard.dev/readable=true\nkey=secret\n"


@pytest.fixture
def kubectl() -> Iterator[ScriptedKubectl]:
    scripted = ScriptedKubectl()
    scripted.on("get", "events", out=listed())
    return scripted


def ready() -> dict[str, Any]:
    return connection(
        "crm",
        condition("Ready", "True", "TokenPublished", "The Secret crm-token: carries a live token. Nothing to do."),
        spec={"credentials": FROM_SECRET},
        status={
            "account": "crm-bot@acme.com",
            "expiresAt": "2026-11-25T10:14:00Z",
            "lastRefreshedAt": "2026-11-25T09:14:00Z",
            "nextRefreshAt": "2026-11-25T10:02:00Z",
            "binding": {"name": "crm-token"},
        },
    )


def rejected() -> dict[str, Any]:
    return connection(
        "crm",
        condition("Ready", "False", "ClientRejected", REJECTED),
        condition("Stalled", "True", "ClientRejected", REJECTED),
        condition("TokenFresh", "False", "ClientRejected", REJECTED),
        spec={"credentials": FROM_SECRET},
        status={"failedAttempts": 2, "nextRefreshAt": "2026-11-25T09:30:00Z"},
    )


def test_a_ready_connection_is_told_in_one_story(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connections.lanyard.dev", "crm", out=ready())
    kubectl.on("secret", "app", out=READABLE)
    kubectl.on("secret", "crm-token", out=OURS)
    told = kubectl.lanyard("status", "crm")
    assert told.stdout == (
        "✔ crm (Connection, sales)                        ready: TokenPublished\n"
        "  connector    oauth2, clientCredentials\n"
        "  account      crm-bot@acme.com\n"
        "  token        refreshed 09:14 UTC (6 min ago), expires 10:14 UTC (in 54 min), "
        "next attempt 10:02 UTC (in 42 min)\n"
        "✔ clientSecret Secret app in sales: has the key secret, marked readable\n"
        "✔ secret       crm-token: carries access_token, type\n"
        "► next step    Nothing to do.\n"
    )
    assert told.exit_code == 0


def test_a_rejected_client_is_told_with_its_cause_and_one_next_step(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connections.lanyard.dev", "crm", out=rejected())
    event = {"involvedObject": {"uid": "5d7a"}, "metadata": {}, "lastTimestamp": "2026-11-25T09:14:00Z"}
    kubectl.on("get", "events", out=listed({**event, "reason": "ClientRejected", "message": "refused"}))
    told = kubectl.lanyard("status", "crm")
    assert told.stdout == (
        "✗ crm (Connection, sales)                        not ready: ClientRejected, stalled\n"
        "✗ why          The client id or the client secret was refused by id.example.com.\n"
        "  connector    oauth2, clientCredentials\n"
        "  token        next attempt 09:30 UTC (in 10 min)\n"
        "  attempts     2 failed in a row\n"
        "✗ clientSecret Secret app in sales: does not exist\n"
        "✗ secret       crm-token: does not exist\n"
        "  event        09:14 UTC (6 min ago) ClientRejected: refused\n"
        "► next step    Compare both with the app's registration; a rotated one is picked up by itself.\n"
    )
    assert told.exit_code == 1


def test_a_pending_consent_ends_in_the_command_that_gives_it(kubectl: ScriptedKubectl) -> None:
    one = connection(
        "crm",
        condition("Ready", "False", "AuthorizationRequired", "Nobody has authorized it yet."),
        spec={"auth": {"method": "authorizationCode"}},
        status={"account": "System", "authorizationURL": "https://lanyard.example/connect/sales/crm"},
    )
    kubectl.on("connections.lanyard.dev", "crm", out=one)
    told = kubectl.lanyard("status", "crm")
    assert "page         https://lanyard.example/connect/sales/crm\n" in told.stdout
    assert told.stdout.endswith("► next step    someone with access runs: kubectl lanyard authorize crm -n sales\n")
    assert told.stdout.startswith("◎ ")


def test_what_a_person_may_not_see_is_said_to_be_unseen(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connections.lanyard.dev", "crm", out=ready())
    kubectl.on("secret", err=forbidden("secrets", "app"))
    kubectl.on("get", "events", err=forbidden("events", ""))
    told = kubectl.lanyard("status", "crm")
    assert "◎ clientSecret Secret app in sales: you may not see it\n" in told.stdout
    assert told.exit_code == 0


@pytest.mark.parametrize(
    ("asset", "says"),
    [
        ({"keys": {"other": "x"}, "path": "app"}, "declares no key secret"),
        ({"keys": {"secret": "secret"}, "path": "app"}, "reads the field secret of app"),
        ({"keys": {"secret": "secret"}, "path": "-A"}, "reads the field secret of -A"),
    ],
    ids=["a key that it does not declare", "a key of a Secret", "a path that is no name"],
)
def test_an_asset_is_followed_to_where_its_value_is(kubectl: ScriptedKubectl, asset: dict[str, Any], says: str) -> None:
    one = connection(
        "crm", spec={"credentials": {"clientSecret": {"credentialAssetRef": {"name": "a", "key": "secret"}}}}
    )
    kubectl.on("connections.lanyard.dev", "crm", out=one)
    kubectl.on("credentialassetrefs.lanyard.dev", out={"metadata": {"name": "a"}, "spec": asset})
    kubectl.on("secret", "app", out=READABLE)
    found = json.loads(kubectl.lanyard("status", "crm", "-o", "json").stdout)["references"]
    assert found[0]["says"] == says
    assert [reference["kind"] for reference in found[1:]] == (["Secret"] if found[0]["fine"] else [])


def test_an_asset_of_a_store_is_followed_to_store_and_service_account(kubectl: ScriptedKubectl) -> None:
    source = {"credentialAssetRef": {"name": "a", "key": "k", "namespace": "shared"}}
    kubectl.on("connections.lanyard.dev", "crm", out=connection("crm", spec={"credentials": {"clientSecret": source}}))
    spec = {"keys": {"k": "f"}, "path": "apps/crm", "store": "team-vault", "serviceAccountName": "crm"}
    kubectl.on("credentialassetrefs.lanyard.dev", out={"metadata": {"name": "a"}, "spec": spec})
    sealed = {"status": {"conditions": [condition("Ready", "False", "StoreSealed", "sealed")]}}
    store = {"metadata": {"name": "team-vault"}, "spec": {"vault": {"address": "https://vault:8200"}}}
    kubectl.on("credentialstores.lanyard.dev", out=store | sealed)
    kubectl.on("serviceaccount", out={"metadata": {"name": "crm"}})
    found = yaml.safe_load(kubectl.lanyard("status", "crm", "-o", "yaml").stdout)["references"]
    assert [(one["kind"], one["fine"], one["says"]) for one in found] == [
        ("CredentialAssetRef", True, "reads the field f of apps/crm"),
        ("CredentialStore", False, "at https://vault:8200; not ready: StoreSealed"),
        ("ServiceAccount", None, "has not the label lanyard.dev/presentable=true"),
    ]


def test_all_connections_are_a_table_that_puts_the_answer_first(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connections.lanyard.dev", "--all-namespaces", out=listed(ready(), connection("new")))
    told = kubectl.lanyard("status", "-A")
    lines = told.stdout.splitlines()
    assert lines[0].split("  ")[0] == "NAMESPACE"
    row = "sales crm True TokenPublished oauth2 crm-bot@acme.com 2026-11-25T10:14:00Z Nothing to do."
    assert " ".join(lines[1].split()) == row
    assert lines[2].split()[:4] == ["sales", "new", "Unknown", "-"]
    assert told.exit_code == 0


def test_names_are_printed_for_scripts(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connections.lanyard.dev", out=listed(ready()))
    assert kubectl.lanyard("status", "-o", "name").stdout == "connection.lanyard.dev/crm\n"


def test_a_name_and_all_namespaces_do_not_go_together(kubectl: ScriptedKubectl) -> None:
    told = kubectl.lanyard("status", "crm", "-A")
    assert told.exit_code == 2
    assert "Use -n instead of -A." in told.stderr


def test_a_connection_that_is_not_there_is_message_cause_and_next_step(kubectl: ScriptedKubectl) -> None:
    told = kubectl.lanyard("status", "nope")
    assert told.stdout == ""
    assert told.stderr == (
        "✗ kubectl get connections.lanyard.dev nope: it is not there.\n"
        '  cause        Error from server (NotFound): connections.lanyard.dev "nope" not found\n'
        "  next step    Check name and namespace: kubectl get connections -A\n"
    )
    assert told.exit_code == 1


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_a_message_of_any_reason_is_told_apart_into_what_happened_and_what_to_do(reason: Reason) -> None:
    entry = CATALOGUE[reason]
    facts = {"host": "a.b", "name": "x y.", "offered": "a, b", "namespace": "n", "kind": "k", "field": "f", "status": 4}
    error = LanyardError(reason, **facts)
    if not error.message.endswith("…"):
        what, hint = halves(Seen(entry.condition, "False", reason, error.message, ""))
        assert hint == error.hint
        assert what in error.message


def test_a_status_of_an_older_spec_is_not_ready(kubectl: ScriptedKubectl) -> None:
    one = ready()
    one["metadata"]["generation"] = 2
    kubectl.on("connections.lanyard.dev", out=one)
    told = kubectl.lanyard("status", "crm")
    assert "(of an older spec)" in told.stdout
    assert told.exit_code == 1


def test_an_object_that_nobody_looked_at_leads_to_the_check() -> None:
    assert next_step(connection("crm")).startswith("kubectl lanyard check")


def test_what_others_wrote_moves_no_cursor_and_turns_no_writing_around(kubectl: ScriptedKubectl) -> None:
    kubectl.on("connections.lanyard.dev", "crm", out=ready())
    event = {"involvedObject": {"uid": "5d7a"}, "metadata": {}, "lastTimestamp": "2026-11-25T09:14:00Z"}
    evil = "gone\x1b[2J\x1b]0;title\x07\nnext\u202eline\x9b1m"
    kubectl.on("get", "events", out=listed({**event, "reason": evil, "message": evil}))
    kubectl.on("secret", err=f"Error from server (Forbidden): {evil}")
    told = kubectl.lanyard("status", "crm")
    assert not [letter for letter in told.stdout.replace("\n", "") if not letter.isprintable()]
    assert "gone\ufffd[2J\ufffd]0;title\ufffd next\ufffdline" in told.stdout
    kubectl.on("connections.lanyard.dev", "crm", err=f"error: {evil}")
    failed = kubectl.lanyard("status", "crm")
    assert not [letter for letter in failed.stderr.replace("\n", "") if not letter.isprintable()]


SECRETS = {
    "somebody else's Secret": (OURS.replace("5d7a", "other"), "✗ secret       crm-token: exists and is not this"),
    "a Secret of no Connection": (READABLE, "✗ secret       crm-token: exists and is not this Connection's"),
    "a source without the label": (
        READABLE.replace("true", "false"),
        "◎ clientSecret Secret app in sales: has the key secret, but not the label lanyard.dev/readable=true",
    ),
    "a source without the key": (OURS, "✗ clientSecret Secret app in sales: has no key secret"),
}


@pytest.mark.parametrize(("outline", "says"), SECRETS.values(), ids=SECRETS.keys())
def test_what_is_wrong_with_a_secret_is_said(kubectl: ScriptedKubectl, outline: str, says: str) -> None:
    kubectl.on("connections.lanyard.dev", "crm", out=ready())
    kubectl.on("secret", out=outline)
    assert says in kubectl.lanyard("status", "crm").stdout


def test_the_last_events_of_this_very_object_are_told_in_their_order(kubectl: ScriptedKubectl) -> None:
    def event(minute: int, uid: str = "5d7a") -> dict[str, Any]:
        time = f"2026-11-25T09:{minute:02}:00Z"
        involved = {"kind": "Connection", "name": "crm", "uid": uid}
        return {"involvedObject": involved, "metadata": {}, "lastTimestamp": time, "reason": f"R{minute}"}

    kubectl.on("connections.lanyard.dev", "crm", out=ready())
    kubectl.on("get", "events", out=listed(event(9), event(3), event(12), event(7), event(15, "an older object")))
    found = json.loads(kubectl.lanyard("status", "crm", "-o", "json").stdout)["events"]
    assert [one["reason"] for one in found] == ["R7", "R9", "R12"]
    asked = next(words for words in kubectl.asked if "events" in words)
    assert "--field-selector=involvedObject.kind=Connection,involvedObject.name=crm" in asked


def test_a_revoked_grant_asks_for_a_consent_also_while_its_last_token_still_works(kubectl: ScriptedKubectl) -> None:
    one = ready()
    one["spec"]["auth"]["method"] = "authorizationCode"
    said = "The provider says that the grant is over."
    one["status"]["conditions"].append(condition("Authorized", "False", "GrantRevoked", said))
    kubectl.on("connections.lanyard.dev", "crm", out=one)
    told = kubectl.lanyard("status", "crm")
    assert f"✗ Authorized   {said}\n" in told.stdout
    assert told.stdout.endswith("► next step    someone with access runs: kubectl lanyard authorize crm -n sales\n")
    assert told.exit_code == 0


@pytest.mark.spec("C13")
def test_a_link_is_told_with_its_source(kubectl: ScriptedKubectl) -> None:
    error = LanyardError(Reason.LINK_TARGET_NOT_READY, name="sales-crm", namespace="shared")
    link = connection(
        "crm",
        condition("Ready", "False", "LinkTargetNotReady", error.message),
        spec={"linkTo": {"namespace": "shared", "name": "sales-crm"}},
    )
    failing = connection("sales-crm", condition("Ready", "False", "ClientRejected", REJECTED), namespace="shared")
    kubectl.on("connections.lanyard.dev", "crm", out=link)
    kubectl.on("connections.lanyard.dev", "sales-crm", out=failing)
    kubectl.on("secret", "crm-token", err='Error from server (NotFound): secrets "crm-token" not found')
    told = kubectl.lanyard("status", "crm").stdout
    assert "  connector    a link to shared/sales-crm\n" in told
    assert "✗ linkTo       Connection sales-crm in shared: is there; not ready: ClientRejected\n" in told
    assert told.endswith("► next step    Its own conditions say why; this link follows by itself.\n")


@pytest.mark.spec("C13", "C8")
def test_a_source_that_one_may_not_see_is_told_as_unseen(kubectl: ScriptedKubectl) -> None:
    link = connection("crm", spec={"linkTo": {"namespace": "shared", "name": "sales-crm"}})
    kubectl.on("connections.lanyard.dev", "crm", out=link)
    kubectl.on("connections.lanyard.dev", "sales-crm", err=forbidden("connections.lanyard.dev", "sales-crm"))
    kubectl.on("secret", "crm-token", out=OURS)
    assert (
        "◎ linkTo       Connection sales-crm in shared: you may not see it\n" in kubectl.lanyard("status", "crm").stdout
    )


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        ("True", Reason.VERIFIED, "  verified     09:14 UTC (6 min ago): id.example.com takes what is published."),
        (
            "Unknown",
            Reason.VERIFICATION_UNANSWERED,
            "  verified     09:14 UTC (6 min ago): id.example.com does not say whether what is published works.",
        ),
        ("False", Reason.VERIFICATION_REFUSED, "✗ Verified     id.example.com refuses what is published."),
    ],
)
def test_what_the_product_said_last_is_told(kubectl: ScriptedKubectl, status: str, reason: Reason, line: str) -> None:
    one = ready()
    said = LanyardError(reason, host="id.example.com").message
    one["status"]["conditions"].append(condition("Verified", status, reason.value, said))
    one["status"]["lastVerifiedAt"] = "2026-11-25T09:14:00Z"
    kubectl.on("connections.lanyard.dev", "crm", out=one)
    kubectl.on("secret", "app", out=READABLE)
    kubectl.on("secret", "crm-token", out=OURS)
    told = kubectl.lanyard("status", "crm")
    assert line in told.stdout.splitlines()
    assert told.exit_code == 0


@pytest.mark.spec("F12")
@pytest.mark.parametrize(
    ("reason", "spec"),
    [
        pytest.param("TokensByExchange", {"connector": "lanyard"}, id="Lanyard makes the tokens"),
        pytest.param("TokenExchangeable", {"secret": {"publish": False}}, id="a token by exchange alone"),
    ],
)
def test_where_no_secret_is_published_none_is_missed(kubectl: ScriptedKubectl, reason: str, spec: Any) -> None:
    kubectl.on(
        "connections.lanyard.dev", "crm", out=connection("crm", condition("Ready", "True", reason, ""), spec=spec)
    )
    told = kubectl.lanyard("status", "crm")
    assert "✔ secret       none: tokens are had by exchange, with the client id 5d7a" in told.stdout
    assert told.exit_code == 0
