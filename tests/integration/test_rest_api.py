"""The reference's REST API over TLS: a real API server decides who somebody is and what they may, and stores it all."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from lanyard.api.federation import MOST_CREDENTIALS
from support.issuer_names import REFUSED, TAKEN
from support.issuing import StaticIssuer
from support.managing import RestTeam
from support.people import eventually
from support.provider import Answer

ROOT = Path(__file__).parents[2]
MEMBERS = {
    "id", "clientId", "name", "description", "issuer", "audience", "subject", "createdAt", "updatedAt",
}  # fmt: skip


def assert_problem(answer: httpx.Response, status: int, reason: str, field: str | None = None) -> None:
    told = answer.json()
    assert (answer.status_code, told["reason"], told.get("field")) == (status, reason, field), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (told["type"], told["status"]) == ("about:blank", status)


@pytest.mark.spec("F4", "F10")
def test_a_credential_is_created_read_replaced_and_deleted(rest: RestTeam) -> None:
    assert rest.listed() == []
    answer = rest.post("Build of main", description="see the wiki")
    made = answer.json()
    assert (answer.status_code, made.keys()) == (201, MEMBERS)
    assert answer.headers["Location"] == rest.path(made["id"])
    assert (made["clientId"], made["name"], made["description"]) == (rest.client_id, "Build of main", "see the wiki")
    assert made["createdAt"] == made["updatedAt"]
    assert rest.as_ci.get(answer.headers["Location"]).json() == made
    assert rest.listed() == [made]
    one = rest.object_of(made["id"])
    assert one["spec"] == {
        "connectionRef": {"name": "crm"}, "displayName": "Build of main", "description": "see the wiki",
        "issuer": rest.issuer.url, "audience": made["audience"], "subject": made["subject"],
    }  # fmt: skip
    assert one["metadata"]["name"].startswith("fc-")
    replaced = rest.put(made["id"], name="Build", subject="other")
    assert (replaced.status_code, replaced.json()["subject"], replaced.json()["description"]) == (200, "other", None)
    assert rest.listed() == [replaced.json()]
    gone = rest.as_ci.delete(rest.path(made["id"]))
    assert (gone.status_code, gone.content) == (204, b"")
    assert rest.listed() == []
    assert_problem(rest.as_ci.get(rest.path(made["id"])), 404, "NotFound")
    assert_problem(rest.as_ci.delete(rest.path(made["id"])), 404, "NotFound")


@pytest.mark.spec("F4")
def test_what_kubectl_makes_is_listed_and_the_list_is_in_the_order_of_creation(rest: RestTeam) -> None:
    made = rest.created("first")
    spec = {"connectionRef": {"name": "crm"}, "issuer": rest.issuer.url, "audience": "a", "subject": "s"}
    rest.cluster.apply("FederatedCredential", "by-kubectl", spec)
    eventually(lambda: len(rest.listed()) == 2)
    assert {one["name"] for one in rest.listed()} == {"first", "by-kubectl"}
    times = [one["createdAt"] for one in rest.listed()]
    assert times == sorted(times)
    assert made["id"] in {one["id"] for one in rest.listed()}


@pytest.mark.spec("F6")
def test_a_replacement_keeps_what_the_reference_does_not_know(rest: RestTeam) -> None:
    made = rest.created(description="gone afterwards")
    name = rest.object_of(made["id"])["metadata"]["name"]
    extra = {"claims": [{"claim": "repository_owner_id", "equals": "9919"}], "scopes": ["api"], "suspend": True}
    rest.cluster.merge("FederatedCredential", name, {"spec": extra, "metadata": {"labels": {"a": "b"}}})
    assert rest.put(made["id"], subject="other").status_code == 200
    one = rest.object_of(made["id"])
    assert {field: one["spec"][field] for field in extra} == extra
    assert one["metadata"]["labels"] == {"a": "b"}
    assert "description" not in one["spec"]


@pytest.mark.spec("F10")
def test_a_status_changes_neither_the_tag_nor_the_time_of_the_last_update(rest: RestTeam) -> None:
    made = rest.created()
    before = rest.as_ci.get(rest.path(made["id"]))
    one = rest.object_of(made["id"])
    path = f"{rest.cluster.path('FederatedCredential', one['metadata']['name'])}/status"
    headers = {"Content-Type": "application/merge-patch+json"}
    status = {"status": {"observedGeneration": 1, "lastExchangeAt": "2026-11-25T20:00:00Z"}}
    assert rest.cluster.client.patch(path, json=status, headers=headers).status_code == 200
    answer = rest.put(made["id"], headers={"If-Match": before.headers["ETag"]}, subject="other")
    assert answer.status_code == 200, answer.text
    assert before.json()["updatedAt"] <= answer.json()["updatedAt"]


@pytest.mark.spec("F4")
def test_who_changed_it_since_is_not_written_over(rest: RestTeam) -> None:
    made = rest.created()
    tag = rest.as_ci.get(rest.path(made["id"])).headers["ETag"]
    assert rest.put(made["id"], headers={"If-Match": tag}, subject="second").status_code == 200
    assert_problem(rest.put(made["id"], headers={"If-Match": tag}, subject="third"), 412, "Changed")
    assert_problem(rest.as_ci.delete(rest.path(made["id"]), headers={"If-Match": tag}), 412, "Changed")
    assert rest.listed()[0]["subject"] == "second"
    assert rest.as_ci.delete(rest.path(made["id"]), headers={"If-Match": "*"}).status_code == 204


# who may


@pytest.mark.spec("F4")
def test_an_application_s_scopes_say_what_it_may(rest: RestTeam) -> None:
    reader = rest.caller(rest.minted("PM.OAuthApp.Read"))
    writer = rest.caller(rest.minted("api PM.OAuthApp.Write"))
    made = rest.post(by=writer)
    assert made.status_code == 201, made.text
    assert rest.listed(reader) == [made.json()]
    for refused, needs in ((rest.post("more", by=reader), "Write"), (writer.get(rest.path()), "Read")):
        assert_problem(refused, 403, "ScopeMissing")
        told = refused.headers["WWW-Authenticate"]
        assert told == f'Bearer realm="lanyard", error="insufficient_scope", scope="PM.OAuthApp PM.OAuthApp.{needs}"'
    assert rest.caller(rest.minted("PM.OAuthApp")).delete(rest.path(made.json()["id"])).status_code == 204


@pytest.mark.spec("F5")
def test_of_another_namespace_there_is_nothing_for_a_token_of_this_one(rest: RestTeam) -> None:
    made = rest.created()
    stranger = rest.stranger()
    rest.account("nobody")
    nobody = rest.caller(rest.token_of("nobody"))
    for client in (stranger, nobody):
        answers = [
            client.get(rest.path()),
            client.get(rest.path(made["id"])),
            rest.post("more", by=client),
            client.put(rest.path(made["id"]), json=rest.body()),
            client.delete(rest.path(made["id"])),
        ]
        for answer in answers:
            assert_problem(answer, 404, "NotFound")
        assert {answer.text for answer in answers} == {client.get(rest.path(client_id="no-such")).text}
    other = rest.connect("other")
    assert_problem(rest.as_ci.get(rest.path(made["id"], client_id=other)), 404, "NotFound")
    assert rest.listed() == [made]


@pytest.mark.spec("K6")
def test_a_token_for_anything_but_this_api_is_refused(rest: RestTeam) -> None:
    tokens = {
        "none": None,
        "for the API server itself": rest.token_of("ci", "https://kubernetes.default.svc.cluster.local"),
        "for the gateway as such": rest.token_of("ci", rest.gateway.url),
        "ours for a namespace": rest.minted(audience=f"{rest.gateway.url}/{rest.name}"),
        "ours of another issuer": rest.minted(issuer="https://lanyard.example"),
        "junk": "junk",
    }
    with rest.kubernetes.client() as client:
        default = client.post(
            f"/api/v1/namespaces/{rest.name}/serviceaccounts/ci/token", json={"spec": {"expirationSeconds": 600}}
        ).json()["status"]["token"]
    tokens["as kubectl create token makes it"] = default
    for what, token in tokens.items():
        answer = rest.caller(token).get(rest.path())
        assert_problem(answer, 401, "TokenInvalid" if token else "TokenMissing")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="lanyard"'), what
    twice = [("Authorization", f"Bearer {rest.token_of('ci')}"), ("Authorization", "Bearer x")]
    assert_problem(rest.caller(None).get(rest.path(), headers=twice), 401, "TokenMissing")


@pytest.mark.spec("F4")
def test_a_person_does_what_rbac_allows(rest: RestTeam) -> None:
    made = rest.created("mine")
    rest.account("viewer", "view")
    viewer = rest.caller(rest.token_of("viewer"))
    rest.until_known(viewer)
    assert rest.listed(viewer) == [made]
    assert_problem(rest.post("more", by=viewer), 403, "Forbidden")
    assert_problem(viewer.delete(rest.path(made["id"])), 403, "Forbidden")
    rest.account("keeper")
    name = rest.object_of(made["id"])["metadata"]["name"]
    rule = {"apiGroups": ["lanyard.dev"], "resources": ["federatedcredentials"], "resourceNames": [name]}
    role = {"metadata": {"name": "keeper"}, "rules": [rule | {"verbs": ["get", "update"]}]}
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{rest.name}/roles"
    assert rest.cluster.client.post(path, json=role).status_code == 201
    rest.bind("keeper", {"kind": "Role", "name": "keeper"})
    keeper = rest.caller(rest.token_of("keeper"))
    eventually(lambda: keeper.get(rest.path(made["id"])).status_code == 200)
    assert keeper.put(rest.path(made["id"]), json=rest.body("mine", subject="kept")).status_code == 200
    assert_problem(keeper.delete(rest.path(made["id"])), 403, "Forbidden")
    assert_problem(keeper.get(rest.path()), 404, "NotFound")


@pytest.mark.spec("A7")
def test_where_the_platform_gave_no_role_the_api_reads_and_does_not_write(rest_reader: RestTeam) -> None:
    assert rest_reader.listed() == []
    assert_problem(rest_reader.post(), 403, "NotWritable")


# what is refused


@pytest.mark.spec("F2", "F5")
@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"name": ...}, "FieldInvalid", "name"),
        ({"issuer": ...}, "FieldInvalid", "issuer"),
        ({"audience": ...}, "FieldInvalid", "audience"),
        ({"subject": ...}, "FieldInvalid", "subject"),
        ({"name": ""}, "FieldInvalid", "name"),
        ({"name": "n" * 129}, "FieldInvalid", "name"),
        ({"name": None}, "FieldInvalid", "name"),
        ({"name": 7}, "FieldInvalid", "name"),
        ({"description": "d" * 513}, "FieldInvalid", "description"),
        ({"description": ["d"]}, "FieldInvalid", "description"),
        ({"subject": "s" * 601}, "FieldInvalid", "subject"),
        ({"subject": "with space"}, "FieldInvalid", "subject"),
        ({"audience": ["a"]}, "FieldInvalid", "audience"),
        ({"issuer": "http://idp.example.com"}, "IssuerInvalid", None),
        ({"issuer": "https://IDP.example.com"}, "IssuerInvalid", None),
        ({"issuer": "https://127.0.0.1:9"}, "IssuerUnreachable", None),
        ({"issuer": "https://169.254.169.254"}, "IssuerUnreachable", None),
    ],
    ids=lambda value: None if isinstance(value, str) or value is None else json.dumps(value, default=str)[:40],
)
def test_a_body_that_does_not_fit_is_refused_at_create_and_at_replace(
    rest: RestTeam, changes: dict[str, Any], reason: str, field: str | None
) -> None:
    made = rest.created("there")
    assert_problem(rest.post(**changes), 400, reason, field)
    assert_problem(rest.put(made["id"], **changes), 400, reason, field)
    assert rest.listed() == [made]


@pytest.mark.spec("F2")
def test_the_longest_of_everything_is_taken(rest: RestTeam) -> None:
    longest = {
        "name": "\U0001f512" * 128,
        "description": "\U0001f511" * 512,
        "audience": "a" * 600,
        "subject": "s" * 600,
    }
    made = rest.created(**longest)
    assert {member: made[member] for member in longest} == longest


@pytest.mark.spec("F5")
@pytest.mark.parametrize(
    ("bend", "cause"),
    [
        (lambda one: one.answer_discovery(Answer.of_json(one.discovery(issuer="https://a.example"))), "IssuerMismatch"),
        (lambda one: one.answer_keys(Answer.of_json({"keys": []})), "IssuerKeysInvalid"),
        (lambda one: one.answer_keys(Answer.of_json({}, 404)), "IssuerDocumentMissing"),
        (lambda one: one.answer_discovery(Answer(200, body=b"[" * 60_000)), "IssuerDiscoveryInvalid"),
        (lambda one: one.answer_keys(Answer.of_json(one.key_set(), delay=30)), "IssuerUnreachable"),
    ],
    ids=["names another issuer", "has no keys", "has no document of keys", "answers nonsense", "takes its time"],
)
def test_an_issuer_whose_keys_cannot_be_fetched_is_refused(
    rest: RestTeam, bend: Callable[[StaticIssuer], None], cause: str
) -> None:
    made = rest.created("there")
    bend(rest.issuer)
    for answer in (rest.post(), rest.put(made["id"], name="there", subject="new")):
        assert_problem(answer, 400, "IssuerUnreachable")
        assert answer.json()["cause"] == cause
    rest.issuer.mend()
    assert rest.put(made["id"], name="there", subject="new").status_code == 200


@pytest.mark.spec("F2", "F5")
def test_the_cluster_s_own_issuer_is_taken_though_its_address_is_private(rest: RestTeam) -> None:
    own = rest.kubernetes.kubectl("get", "--raw", "/.well-known/openid-configuration")
    made = rest.post(issuer=json.loads(own)["issuer"], subject="system:serviceaccount:sales:ci")
    assert made.status_code == 201, made.text


@pytest.mark.spec("F2", "F5")
def test_the_kind_takes_and_refuses_the_issuers_that_we_do(rest: RestTeam) -> None:
    spec = {"connectionRef": {"name": "crm"}, "audience": "a", "subject": "s"}
    found = {}
    for issuer in (*TAKEN, *REFUSED):
        body = {
            "apiVersion": "lanyard.dev/v1alpha1", "kind": "FederatedCredential",
            "metadata": {"generateName": "x-"}, "spec": spec | {"issuer": issuer},
        }  # fmt: skip
        path = rest.cluster.path("FederatedCredential")
        found[issuer] = rest.cluster.client.post(path, json=body, params={"dryRun": "All"}).status_code
    assert found == dict.fromkeys(TAKEN, 201) | dict.fromkeys(REFUSED, 422)


@pytest.mark.spec("F5")
def test_a_name_is_unique_within_an_application_only(rest: RestTeam) -> None:
    made = rest.created("build")
    assert_problem(rest.post("build"), 400, "DuplicateName")
    second = rest.created("second")
    assert_problem(rest.put(second["id"], name="build"), 400, "DuplicateName")
    assert rest.put(made["id"], name="build", subject="new").status_code == 200
    other = rest.connect("other")
    eventually(lambda: rest.as_ci.get(rest.path(client_id=other)).status_code == 200)
    assert rest.as_ci.post(rest.path(client_id=other), json=rest.body("build")).status_code == 201


@pytest.mark.spec("F3", "F5")
def test_two_gateways_at_once_give_out_twenty_places_and_each_name_once(rest: RestTeam) -> None:
    token = rest.token_of("ci")
    callers = [rest.caller(token), rest.caller(token, gateway=rest.gateway.other)]
    rest.until_known(callers[1])
    names = [f"n-{number // 2}" for number in range(48)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda at: rest.post(names[at], by=callers[at % 2]), range(len(names))))
    assert {answer.status_code for answer in answers} == {201, 400}, [answer.text for answer in answers]
    made = [answer.json() for answer in answers if answer.status_code == 201]
    for caller in callers:
        eventually(lambda: {one["id"] for one in rest.listed(caller)} == {one["id"] for one in made})  # noqa: B023
    assert len(made) <= MOST_CREDENTIALS
    assert len({one["name"] for one in made}) == len(made)
    reasons = {answer.json()["reason"] for answer in answers if answer.status_code == 400}
    assert reasons <= {"DuplicateName", "LimitExceeded"}
    while len(rest.listed()) < MOST_CREDENTIALS:
        rest.created(f"more-{len(rest.listed())}")
    assert_problem(rest.post("one more"), 400, "LimitExceeded")


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"{}", "text/plain", 415, "NotJSONType"),
        (b"{}", "application/json; charset=utf-16", 415, "NotJSONType"),
        (b"{}", "application/json", 400, "FieldInvalid"),
        (b"[]", "application/json", 400, "NotJSON"),
        (b"null", "application/json", 400, "NotJSON"),
        (b"", "application/json", 400, "NotJSON"),
        (b"\xff", "application/json", 400, "NotJSON"),
        (b'{"name": "\\ud800"}', "application/json", 400, "NotJSON"),
        (b"[" * 16_000, "application/json", 400, "NotJSON"),
        (b" " * 17_000, "application/json", 413, "TooLarge"),
        (b" " * 1_000_000, "application/json", 413, "TooLarge"),
    ],
    ids=["text", "another charset", "an empty object", "a list", "null", "nothing", "not UTF-8", "half a character",
         "deep", "too long", "far too long"],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(rest: RestTeam, content: bytes, kind: str, status: int, reason: str) -> None:
    answer = rest.as_ci.post(rest.path(), content=content, headers={"Content-Type": kind})
    assert_problem(answer, status, reason, "name" if reason == "FieldInvalid" else None)
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert_problem(rest.as_ci.post(rest.path(), content=b"{}", headers=packed), 415, "NotJSONType")


def test_other_methods_and_addresses_are_problems_too(rest: RestTeam) -> None:
    answer = rest.as_ci.patch(rest.path(), json={})
    assert_problem(answer, 405, "NoSuchMethod")
    assert set(answer.headers["Allow"].split(",")) == {"GET", "POST"}
    for path in ("/identity_/api/nothing", rest.path() + "/", rest.path("a/b"), "/identity_/api"):
        assert_problem(rest.as_ci.get(path), 404, "NotFound")
    assert_problem(rest.as_ci.get(rest.path(namespace="..%2f..")), 404, "NotFound")
    assert_problem(rest.as_ci.get(rest.path(client_id="%00")), 404, "NotFound")


@pytest.mark.spec("F11")
def test_a_namespace_that_asks_too_often_is_asked_to_wait(rest: RestTeam, gateway_process: Callable[..., Any]) -> None:
    narrow = gateway_process(gateway_url=rest.gateway.url, rest_api="true", rest_api_reads="3").start()
    client = rest.caller(rest.token_of("ci"), gateway=narrow)
    for _ in range(3):
        assert client.get(rest.path("no-such")).status_code == 404
    answer = client.get(rest.path())
    assert_problem(answer, 429, "TooMany")
    assert 1 <= int(answer.headers["Retry-After"]) <= 101
    assert_problem(rest.caller(None, gateway=narrow).get(rest.path()), 401, "TokenMissing")
    narrow.stop()


def test_whoever_asks_too_often_or_in_vain_is_told_so_in_a_problem(
    rest: RestTeam, gateway_process: Callable[..., Any]
) -> None:
    narrow = gateway_process(
        gateway_url=rest.gateway.url, rest_api="true", exchange_address_requests_per_minute="6"
    ).start()
    client = rest.caller("junk", gateway=narrow)
    answers = [client.get(rest.path()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert_problem(answers[-1], 429, "TooMany")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 11
    narrow.stop()
    deaf = gateway_process(gateway_url=rest.gateway.url, rest_api="true", watch_silence="2s").start()
    client = rest.caller(rest.token_of("ci"), gateway=deaf)
    eventually(lambda: client.get(rest.path()).status_code == 503)
    assert_problem(client.get(rest.path()), 503, "Unavailable")
    deaf.stop()


def test_a_revoked_token_is_refused(rest: RestTeam) -> None:
    token = rest.minted(token_id=f"revoked-{rest.name}")
    client = rest.caller(token)
    rest.until_known(client)
    assert client.post("/oauth/revoke", data={"token": token}).status_code == 200
    assert_problem(client.get(rest.path()), 401, "TokenInvalid")


def test_unless_it_is_turned_on_there_is_nothing(rest: RestTeam, gateway_process: Callable[..., Any]) -> None:
    off = gateway_process(gateway_url=rest.gateway.url).start()
    client = rest.caller(rest.token_of("ci"), gateway=off)
    for method in ("GET", "POST", "PATCH"):
        assert_problem(client.request(method, rest.path()), 404, "NotFound")
    assert client.get("/identity_/openapi.json").status_code == 404
    off.stop()


def test_the_document_is_served_as_it_is_committed(rest: RestTeam) -> None:
    answer = rest.caller(None).get("/identity_/openapi.json")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.content == (ROOT / "docs/reference/openapi-rest.json").read_bytes()


@pytest.mark.spec("K8", "C8")
def test_each_decision_is_one_line_of_the_audit_log_and_carries_nothing_that_was_written(rest: RestTeam) -> None:
    marker = "canary-of-the-rest-api"
    stranger = rest.stranger()
    seen = len(rest.audit_lines())
    made = rest.post(marker, description=marker, subject=marker)
    refused = stranger.get(rest.path())
    rest.caller(marker).get(rest.path(client_id=marker, namespace=marker))
    first, second, third = rest.audit_lines()[seen:]
    known = {"object": f"Connection/{rest.name}/crm", "uid": rest.client_id}
    who = f"system:serviceaccount:{rest.name}:ci"
    told = {"outcome": "done", "verb": "create", "caller": who, "credential": made.json()["id"]}
    assert first.items() >= (known | told | {"request_id": made.headers["X-Request-Id"]}).items()
    told = {"outcome": "NotFound", "verb": "list", "object": f"Connection/{rest.name}/crm"}
    assert second.items() >= (told | {"request_id": refused.headers["X-Request-Id"]}).items()
    assert third.items() >= {"outcome": "TokenInvalid", "object": "Connection/-", "uid": ""}.items()
    assert not {"caller", "credential"} & third.keys()
    assert marker not in rest.gateway.log.read_text()
