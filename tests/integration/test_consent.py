"""Consent from the first page to the operator's outcome: a real API server, a real OAuth server, TLS, and people.

Rows are those of the consent checklist (research/peers-oauth.md 8d) that concern the gateway.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from lanyard.api.meta import CONNECTION_UID_LABEL
from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.browsers import opened_browser, sealed_browser
from lanyard.flows.tidy import Tidy
from lanyard.reasons import Reason
from lanyard.rules.consent import Outcome
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import EXPIRES_ANNOTATION, ConsentRecord, ConsentStore
from lanyard.stores.keyring import Keyring
from support.consenting import (
    APPROVER,
    EXCHANGE,
    LEASES,
    MERGE,
    PASSWORD,
    SCOPES,
    SECRETS,
    Team,
    drop_lease,
    hold_lease,
    state_of,
)
from support.gateway import COOKIE, Visitor, page_text, query_of
from support.people import eventually

pytestmark = pytest.mark.spec("C4")


def test_a_person_consents_and_the_operator_gets_a_code_that_works(team: Team) -> None:
    visitor = team.visitor()
    first = visitor.get(team.page_url())
    assert first.status_code == 200, page_text(first)
    assert f"kubectl annotate connection crm -n {team.name} --overwrite" in page_text(first)
    page = team.approved(visitor)
    told = page_text(page)
    for words in ("ada approved this browser", "Acme CRM", team.name, "Account expected any", "api", "more"):
        assert words in told
    sent = visitor.press(page, "Continue to Acme CRM")
    assert sent.status_code == 303
    back = visitor.at_provider(sent.headers["Location"], name=team.person, password=PASSWORD)
    answer = visitor.get(back)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/connect/{team.name}/crm"), page_text(answer)
    assert "Finishing" in page_text(visitor.get(team.page_url()))
    record = team.read_record().consent
    assert record is not None
    assert (record.approved_by, record.scopes, record.client_id) == (APPROVER, SCOPES, team.name)
    team.spend(account=team.person)
    assert f"It now works as {team.person}." in page_text(visitor.get(team.page_url()))


# row 1: state is used once


def test_row_1_a_replayed_answer_is_refused(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    assert visitor.get(back).status_code == 303
    assert_refused(visitor.get(back), 400, "This link was used already")
    team.spend()
    assert_refused(visitor.get(back), 400, "This link was used already")
    assert team.token_requests() == 1


def test_row_1_of_two_answers_at_once_one_is_taken_also_by_two_gateways(
    team: Team, gateway_process: Callable[..., Any]
) -> None:
    other = gateway_process(gateway_url=team.gateway.url).start()
    visitor = team.visitor()
    back = team.answered(visitor)
    cookie = visitor.client.cookies[COOKIE]
    places = [back, back.replace(team.gateway.url, other.url)] * 4

    def open_one(place: str) -> int:
        alone = team.visitor()
        return alone.get(place, headers={"Cookie": f"{COOKIE}={cookie}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(open_one, places))
    assert statuses == [303] + [400] * 7
    other.stop()
    assert team.token_requests() == 0


@pytest.mark.parametrize("step", ["answer", "claim", "finish"])
def test_row_1_every_step_is_made_once_on_what_was_read(team: Team, step: str) -> None:
    """Two that have read the same record: one is first, the other is told 409."""
    visitor = team.visitor()
    back = team.answered(visitor)
    if step != "answer":
        visitor.get(back)
    acts: dict[str, Callable[[ConsentStore, ConsentRecord], Any]] = {
        "answer": lambda store, record: store.answer(record, record.consent, now=datetime.now(UTC)),
        "claim": lambda store, record: store.claim(record),
        "finish": lambda store, record: store.finish(record, Outcome("AuthorizationLost")),
    }

    async def twice(store: ConsentStore, record: ConsentRecord) -> ConsentRecord:
        first: ConsentRecord = await acts[step](store, record)
        with pytest.raises(KubernetesError) as late:
            await acts[step](store, record)
        assert late.value.code == 409
        return first

    assert team.operate(twice).phase.value == {"answer": "answered", "claim": "claimed", "finish": "done"}[step]


def test_a_record_that_was_moved_to_another_connection_does_not_open(team: Team) -> None:
    visitor = team.visitor()
    visitor.get(team.answered(visitor))
    (record,) = team.records()
    change = {"metadata": {"labels": {CONNECTION_UID_LABEL: "another"}}}
    answer = team.cluster.client.patch(f"{SECRETS}/{record['metadata']['name']}", json=change, headers=MERGE)
    assert answer.status_code == 200
    with pytest.raises(LanyardError) as refused:
        team.read_record()
    assert refused.value.reason is Reason.STATE_INVALID


def test_row_1_an_answer_after_ten_minutes_is_too_late(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    make_older(team, visitor, timedelta(minutes=10, seconds=1))
    assert_refused(visitor.get(back), 403, "That took too long")
    assert_not_answered(team)


@pytest.mark.parametrize("state", ["", "x" * 43, "é", "a" * 5000], ids=["empty", "another", "not ASCII", "huge"])
def test_row_1_an_unknown_state_is_refused(team: Team, state: str) -> None:
    visitor = team.visitor()
    team.sent(visitor)
    place = f"{team.gateway.url}/oauth/callback/{team.name}"
    assert_refused(visitor.get(place, params={"code": "c", "state": state}), 400, "belongs to nothing here")
    assert_not_answered(team)


def test_row_1_two_states_are_no_state(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    assert_refused(visitor.get(f"{back}&state=x"), 400, "belongs to nothing here")
    assert_not_answered(team)


def test_row_1_state_is_long_and_kept_as_a_hash_only(team: Team) -> None:
    visitor = team.visitor()
    first, second = state_of(team.sent(visitor)), state_of(team.sent(team.visitor(), team.second()))
    assert len(first) >= 43
    assert first != second
    kept = team.read_record().consent
    assert kept is not None
    assert first not in kept.state_hash
    assert len(kept.state_hash) == 64


# row 2: one browser


def test_row_2_another_browser_cannot_end_it(team: Team) -> None:
    back = team.answered(team.visitor())
    assert_refused(team.visitor().get(back), 403, "Another browser began this")
    other = team.visitor()
    team.approved(other, team.second())
    assert_refused(other.get(back), 400, "belongs to nothing here")
    assert_not_answered(team)


def test_row_2_the_cookie_is_bound_to_the_host_and_hidden_from_scripts(team: Team) -> None:
    answer = team.visitor().get(team.page_url())
    name, *marks = [part.strip() for part in answer.headers["Set-Cookie"].split(";")]
    assert name.startswith(f"{COOKIE}=")
    assert {mark.lower() for mark in marks} >= {"httponly", "secure", "samesite=lax", "path=/"}
    assert not any(mark.lower().startswith("domain") for mark in marks)


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param(lambda cookie: cookie[:-4] + ("AAAA" if not cookie.endswith("AAAA") else "BBBB"), id="changed"),
        pytest.param(lambda cookie: cookie.partition(".")[2], id="without its key"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "x" * 6000, id="huge"),
    ],
)
def test_row_2_a_cookie_that_is_not_ours_is_none(team: Team, bent: Callable[[str], str]) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    headers = {"Cookie": f"{COOKIE}={bent(visitor.client.cookies[COOKIE])}"}
    assert_refused(team.visitor().get(back, headers=headers), 403, "Another browser began this")
    assert_not_answered(team)


# row 3: a person with the right approves, and still does at the callback


def test_row_3_without_an_approval_there_is_no_button_and_no_start(team: Team) -> None:
    visitor = team.visitor()
    page = visitor.get(team.page_url())
    assert "Continue to" not in page.text
    assert_refused(visitor.client.post(team.page_url(), data={"token": token_of(team, visitor)}), 403, "not approved")
    assert team.records() == []


@pytest.mark.parametrize(
    "withdraw",
    [
        pytest.param(lambda team: team.annotate(None), id="removed"),
        pytest.param(lambda team: team.annotate(f"{'0' * 40}.lanyard-localenv-admin"), id="of another browser"),
    ],
)
def test_row_3_an_approval_that_is_gone_at_the_callback_ends_it(team: Team, withdraw: Callable[[Team], Any]) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    assert withdraw(team).status_code == 200
    assert_refused(visitor.get(back), 403, "This browser is not approved")
    assert_not_answered(team)


def test_row_3_another_persons_approval_of_the_same_browser_is_another_approval(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    browser = opened(team, visitor)
    assert browser is not None
    assert team.annotate(f"{browser.hash}.lanyard-localenv-admin").status_code == 200
    assert_refused(visitor.get(back), 403, "This browser is not approved")


def test_row_3_an_approval_of_a_connection_that_was_made_anew_counts_for_nothing(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    browser = opened(team, visitor)
    assert browser is not None
    team.cluster.delete("Connection", "crm")
    team.connect()
    assert team.approve(browser.hash).status_code == 200
    assert_refused(visitor.get(back), 403, "This browser is not approved")
    assert_not_answered(team)


def test_row_3_an_approval_is_good_for_ten_minutes(team: Team) -> None:
    visitor = team.visitor()
    page = team.approved(visitor)
    make_older(team, visitor, timedelta(minutes=10, seconds=1))
    assert_refused(visitor.press(page, "Continue to"), 403, "That took too long")
    fresh = visitor.get(team.page_url())
    assert "Approve this browser" in page_text(fresh)
    assert visitor.hash_on(fresh) != approved_hash(team)
    assert team.records() == []


# row 4: nothing begins by looking


def test_row_4_looking_creates_nothing(team: Team) -> None:
    visitor = team.visitor()
    for _ in range(3):
        visitor.get(team.page_url())
    team.approved(visitor)
    assert team.records() == []
    answer = visitor.client.head(team.page_url())
    assert answer.status_code == 405


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        pytest.param({}, {}, id="without a token"),
        pytest.param({"token": "0" * 64}, {}, id="with a guess"),
        pytest.param({"token": "é"}, {}, id="with letters"),
        pytest.param(None, {"Sec-Fetch-Site": "cross-site"}, id="sent by another site"),
    ],
)
def test_row_4_a_forged_form_begins_nothing(team: Team, form: dict[str, str] | None, headers: dict[str, str]) -> None:
    visitor = team.visitor()
    team.approved(visitor)
    data = form if form is not None else {"token": token_of(team, visitor)}
    answer = visitor.client.post(team.page_url(), data=data, headers=headers)
    assert_refused(answer, 403, "This form did not come from this page")
    assert team.records() == []


def test_row_4_the_form_of_one_browser_is_no_form_of_another(team: Team) -> None:
    page = team.approved(team.visitor())
    assert_refused(team.visitor().press(page, "Continue to"), 403, "Another browser began this")


def test_one_approval_begins_once(team: Team) -> None:
    visitor = team.visitor()
    page = team.approved(visitor)
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(lambda _: visitor.press(page, "Continue to").status_code, range(4)))
    assert statuses == [303, 400, 400, 400]
    assert len(team.records()) == 1


# rows 5 and 17: what is secret stays where it is


@pytest.mark.spec("C8")
def test_rows_5_and_17_no_state_code_verifier_or_cookie_is_told_anywhere(team: Team) -> None:
    visitor = team.visitor()
    sent = team.sent(visitor)
    back = visitor.at_provider(sent, name=team.person, password=PASSWORD)
    visitor.get(back)
    consent, browser = team.read_record().consent, opened(team, visitor)
    assert consent is not None
    assert browser is not None
    assert consent.code_verifier is not None
    canaries = {
        "state": state_of(sent),
        "code": query_of(back)["code"],
        "verifier": consent.code_verifier.reveal(),
        "cookie": visitor.client.cookies[COOKIE],
        "secret": browser.secret.reveal(),
        "form": browser.csrf_token,
        "ring": json.loads(team.gateway.ring.read_text())["keys"][0]["key"],
    }
    visitor.get(f"{team.gateway.url}/oauth/callback/{team.name}?code={canaries['code']}")
    seen = {
        "log": team.gateway.log.read_text(),
        "connection": json.dumps(team.cluster.get("Connection", "crm")),
        "events": json.dumps(team.cluster.client.get(f"/api/v1/namespaces/{team.name}/events").json()),
        "records": json.dumps(team.cluster.client.get(SECRETS).json()),
        "page": visitor.get(team.page_url()).text,
    }
    for place, text in seen.items():
        for what, canary in canaries.items():
            if (place, what) != ("page", "form"):
                assert canary not in text, f"{what} in {place}"
    routes = {line.get("route") for line in team.gateway.lines() if line.get("message") == "request"}
    assert any(route and route.startswith("/oauth/callback/{") for route in routes)
    audited = [line for line in team.gateway.lines() if line.get("logger") == "lanyard.audit"]
    mine = [line["outcome"] for line in audited if line["object"] == f"Connection/{team.name}/crm"]
    assert mine == ["started", "answered"]


def test_row_17_code_and_verifier_are_not_kept_once_it_is_over(team: Team) -> None:
    visitor = team.visitor()
    visitor.get(team.answered(visitor))
    done = team.spend(account=team.person)
    assert done.consent is None
    (record,) = team.records()
    assert set(record["data"]) == {"outcome"}


# row 6: another account


def test_row_6_the_wrong_account_is_named_with_the_next_step(team: Team) -> None:
    team.connect(auth={"expectedAccount": "crm-bot@acme.com"})
    visitor = team.visitor()
    page = team.approved(visitor)
    assert "Account expected crm-bot@acme.com" in page_text(page)
    back = visitor.at_provider(
        visitor.press(page, "Continue to").headers["Location"], name=team.person, password=PASSWORD
    )
    visitor.get(back)
    team.spend("AccountMismatch", team.person)
    told = page_text(visitor.get(team.page_url()))
    assert f"You signed in as {team.person}. This Connection expects crm-bot@acme.com." in told
    assert "An access that worked before keeps working." in told


# row 7: PKCE


def test_row_7_the_provider_wants_a_verifier_and_gets_the_kept_one(team: Team) -> None:
    visitor = team.visitor()
    sent = team.sent(visitor)
    query = query_of(sent)
    assert (query["code_challenge_method"], len(query["code_challenge"])) == ("S256", 43)
    visitor.get(visitor.at_provider(sent, name=team.person, password=PASSWORD))
    record = team.read_record()
    assert record.consent is not None
    bent = replace(record, consent=replace(record.consent, code_verifier=Sensitive("w" * 43)))
    assert team.exchange(bent).json()["error"] == "invalid_grant"


def test_row_7_without_pkce_this_provider_lets_nobody_in(team: Team) -> None:
    name = team.bent(pkce="off", pkceOffReason="to see it refused")
    visitor = team.visitor()
    sent = team.sent(visitor, name)
    assert "code_challenge" not in sent
    back = visitor.get(sent).headers["Location"]
    assert query_of(back)["error"] == "invalid_request"
    visitor.get(back)
    assert "The provider did not let this go on" in page_text(visitor.get(team.page_url(name)))


# row 8: who answers


def test_row_8_the_answer_of_another_issuer_is_refused(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    assert query_of(back)["iss"] == team.oauth.issuer
    mixed_up = httpx.URL(back).copy_set_param("iss", "https://evil.example")
    assert_refused(visitor.get(str(mixed_up)), 400, "The provider's answer does not fit")
    assert_not_answered(team)
    assert team.token_requests() == 0


def test_row_8_an_answer_without_its_issuer_is_refused_where_it_must_have_one(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor, team.bent(responseIssuer="required"))
    without = httpx.URL(back).copy_remove_param("iss")
    assert_refused(visitor.get(str(without)), 400, "The provider's answer does not fit")
    assert visitor.get(back).status_code == 303


# row 9: the redirect URI


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"])
def test_row_9_the_redirect_uri_comes_from_configuration_only(team: Team, header: str) -> None:
    visitor = team.visitor()
    page = team.approved(visitor)
    visitor.client.headers[header] = "evil.example" if header != "Forwarded" else "host=evil.example;proto=http"
    sent = visitor.press(page, "Continue to").headers["Location"]
    del visitor.client.headers[header]
    assert query_of(sent)["redirect_uri"] == f"{team.gateway.url}/oauth/callback/{team.name}"
    record = team.read_record().consent
    assert record is not None
    assert record.redirect_uri == query_of(sent)["redirect_uri"]


def test_row_9_an_answer_at_another_connectors_address_is_refused(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    elsewhere = back.replace(f"/oauth/callback/{team.name}?", "/oauth/callback/github?")
    assert_refused(visitor.get(elsewhere), 400, "belongs to nothing here")
    assert_not_answered(team)


# row 10: parameters of the answer


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("eu", {"region": "eu"}, id="one that fits"),
        pytest.param("https://evil.example", None, id="another host"),
        pytest.param("eu\r\nX: y", None, id="a line break"),
    ],
)
def test_row_10_parameters_are_those_that_the_connector_declares(
    team: Team, sent: str, kept: dict[str, str] | None
) -> None:
    name = team.bent(callbackParams={"location": "region"})
    visitor = team.visitor()
    back = team.answered(visitor, name)
    url = httpx.URL(back).copy_merge_params({"location": sent, "unknown": "dropped"})
    answer = visitor.get(str(url))
    if kept is None:
        assert_refused(answer, 400, "The provider's answer does not fit")
        assert_not_answered(team, name)
    else:
        assert answer.status_code == 303
        consent = team.read_record(name).consent
        assert consent is not None
        assert consent.callback == kept


# row 13: what the provider says


def test_row_13_a_refusal_is_shown_in_our_own_words(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor, agree=False)
    assert "<script>" in query_of(back)["error_description"]
    assert visitor.get(back).status_code == 303
    page = visitor.get(team.page_url())
    assert "Access was declined" in page_text(page)
    assert "script" not in page.text
    assert "owned" not in page.text
    assert team.token_requests() == 0


def test_row_13_an_error_without_a_valid_state_changes_nothing(team: Team) -> None:
    visitor = team.visitor()
    team.sent(visitor)
    place = f"{team.gateway.url}/oauth/callback/{team.name}"
    bad = visitor.get(place, params={"error": "access_denied", "state": "x", "error_description": "<img src=x>"})
    assert_refused(bad, 400, "belongs to nothing here")
    assert "<img" not in bad.text
    assert_not_answered(team)


# row 15: what was agreed to


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda team: team.connect(auth={"scopes": ["api"]}), id="scopes"),
        pytest.param(lambda team: team.connect(auth={"clientId": "another"}), id="client id"),
        pytest.param(lambda team: team.connect(suspend=True), id="suspended"),
        pytest.param(lambda team: team.connect(displayName="Other"), id="any field"),
    ],
)
def test_row_15_a_connection_edited_meanwhile_is_another_one(team: Team, edit: Callable[[Team], Any]) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    edit(team)
    assert_refused(visitor.get(back), 400, "The Connection was changed meanwhile")
    assert_not_answered(team)


def test_row_15_a_connector_edited_meanwhile_is_another_one(team: Team) -> None:
    visitor = team.visitor()
    back = team.answered(visitor)
    team.connector(params={"audience": "x"})
    name = team.second()
    team.until(lambda: restarted(team, name), lambda sent: "audience=x" in sent)
    assert_refused(visitor.get(back), 400, "The Connection was changed meanwhile")
    assert_not_answered(team)


# row 16: headers and addresses


def test_row_16_every_page_is_closed_to_others(team: Team) -> None:
    visitor = team.visitor()
    approved = team.approved(visitor)
    answers = [
        visitor.get(team.page_url()),
        approved,
        team.visitor().get(f"{team.gateway.url}/oauth/callback/{team.name}?code=a&state=b"),
        visitor.get(f"{team.gateway.url}/nothing"),
        visitor.get(team.page_url("no-such")),
    ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert "script" not in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "src=" not in answer.text.replace('src="/', "")
        assert "http://" not in answer.text
    sent = visitor.press(approved, "Continue to")
    assert (sent.status_code, sent.headers["Cache-Control"]) == (303, "no-store")


@pytest.mark.parametrize(
    "value",
    ["//evil.example", "https://evil.example", "1.short", "99999999.aaaaaaaaaaaaaaaa", "80.a/../../aaaaaaaaaaaaaaaa",
     "80@evil.example.aaaaaaaaaaaaaaaaa"],
)  # fmt: skip
def test_row_16_nobody_is_sent_elsewhere(team: Team, value: str) -> None:
    for name in ("return", "returnTo", "next", "redirect_uri"):
        answer = team.visitor().get(team.page_url(), params={name: value})
        assert (answer.status_code, "evil" in answer.text) == (200, False)


def test_the_plugin_is_handed_the_hash_on_this_machine_only(team: Team) -> None:
    visitor = team.visitor()
    answer = visitor.get(team.page_url(), params={"return": f"4711.{'n' * 43}"})
    place, _, browser_hash = answer.headers["Location"].partition("?hash=")
    assert (answer.status_code, place) == (303, f"http://127.0.0.1:4711/{'n' * 43}")
    assert browser_hash == visitor.hash_on(visitor.get(team.page_url()))


# row 18: what the gateway could read


@pytest.mark.spec("A7")
@pytest.mark.parametrize("namespace", ["lanyard-system", "default"])
def test_row_18_the_gateway_cannot_read_a_secret_elsewhere(kubernetes: Any, namespace: str) -> None:
    token = kubernetes.service_account_token("lanyard-system", "lanyard-gateway")
    trust = ssl.create_default_context(cafile=str(kubernetes.ca_path))
    with httpx.Client(base_url=kubernetes.url, verify=trust, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get(f"/api/v1/namespaces/{namespace}/secrets", headers=headers).status_code == 403
        assert client.get(SECRETS, headers=headers).status_code == 200
        assert client.get(f"{LEASES}/another", headers=headers).status_code == 403


# row 24: an older grant is left alone


@pytest.mark.spec("C10")
def test_row_24_what_was_there_before_stays_through_every_failure(team: Team) -> None:
    team.cluster.secret("crm-token", access_token="the-older-one")
    before = team.cluster.get("Secret", "crm-token"), team.cluster.get("Connection", "crm")["spec"]
    visitor = team.visitor()
    visitor.get(team.answered(visitor, agree=False))
    back = team.answered(team.visitor(), team.second())
    team.visitor().get(back)
    assert (team.cluster.get("Secret", "crm-token"), team.cluster.get("Connection", "crm")["spec"]) == before


# pages of their own


def test_a_connection_that_is_not_there_has_a_page(team: Team) -> None:
    assert_refused(team.visitor().get(team.page_url("no-such")), 404, "There is no such Connection")


def test_a_method_without_consent_has_a_page(team: Team) -> None:
    team.connect("service", auth={"method": "clientCredentials", "scopes": []})
    seen = team.until(lambda: team.visitor().get(team.page_url("service")), lambda page: page.status_code != 404)
    assert_refused(seen, 409, "Nothing to sign in to")


def test_a_suspended_connection_has_a_page(team: Team) -> None:
    team.connect("paused", suspend=True)
    seen = team.until(lambda: team.visitor().get(team.page_url("paused")), lambda page: page.status_code != 404)
    assert_refused(seen, 409, "This Connection is suspended")


def test_a_connection_that_is_not_complete_has_a_page(team: Team) -> None:
    team.connect("half", parameters={"unknown_one": "x"})
    seen = team.until(lambda: team.visitor().get(team.page_url("half")), lambda page: page.status_code != 404)
    assert_refused(seen, 409, "This Connection is not ready yet")


@pytest.mark.parametrize("away", [lambda client: hold_lease(client, seconds=-1), drop_lease], ids=["stale", "missing"])
def test_without_an_operator_nothing_begins(team: Team, away: Callable[[httpx.Client], None]) -> None:
    visitor = team.visitor()
    page = team.approved(visitor)
    away(team.cluster.client)
    try:
        assert_refused(visitor.press(page, "Continue to"), 503, "Lanyard is not running just now")
        seen = team.visitor().get(team.page_url())
        assert_refused(seen, 503, "Lanyard is not running just now")
        assert seen.headers["Retry-After"] == "60"
    finally:
        hold_lease(team.cluster.client)
    assert team.records() == []


def test_a_person_may_begin_again_after_it_ended(team: Team) -> None:
    visitor = team.visitor()
    visitor.get(team.answered(visitor, agree=False))
    declined = visitor.get(team.page_url())
    anew = visitor.press(declined, "Authorize again")
    assert (anew.status_code, anew.headers["Location"]) == (303, f"/connect/{team.name}/crm")
    assert visitor.get(team.answered(visitor)).status_code == 303


def test_a_record_whose_time_is_over_is_taken_away_and_a_live_one_stays(team: Team) -> None:
    visitor = team.visitor()
    team.sent(visitor)
    team.sent(team.visitor(), team.second())
    (old,) = team.records()
    change = {"metadata": {"annotations": {EXPIRES_ANNOTATION: "2026-01-01T00:00:00.000Z"}}}
    answer = team.cluster.client.patch(f"{SECRETS}/{old['metadata']['name']}", json=change, headers=MERGE)
    assert answer.status_code == 200
    kubeconfig = team.environment.kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-gateway")

    async def sweep() -> None:
        async with Kube(from_file(kubeconfig)) as kube:
            tidy = Tidy(kube, EXCHANGE, EXPIRES_ANNOTATION, lambda: datetime.now(UTC))
            tidy.replace([tidy.slim(one["metadata"]) for one in (*team.records(), *team.records("second"))], "1")
            await tidy.sweep()
            await tidy.sweep()

    asyncio.run(sweep())
    assert team.records() == []
    assert len(team.records("second")) == 1
    assert "Approve this browser" in page_text(team.visitor().get(team.page_url()))


# how it is asked


def test_too_many_requests_of_one_address_are_asked_to_wait(team: Team, gateway_process: Callable[..., Any]) -> None:
    narrow = gateway_process(gateway_requests_per_minute="6").start()
    visitor = team.visitor()
    statuses = [visitor.get(f"{narrow.url}/connect/a/b").status_code for _ in range(4)]
    assert statuses == [404, 404, 429, 429]
    answer = visitor.get(f"{narrow.url}/connect/a/b", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status_code == 429, "only our own proxies are believed"
    assert 1 <= int(answer.headers["Retry-After"]) <= 11
    assert "Too many requests" in page_text(answer)
    assert visitor.get(f"{narrow.url}/healthz").status_code == 200
    narrow.stop()


def test_behind_our_own_proxy_each_client_counts_for_itself(team: Team, gateway_process: Callable[..., Any]) -> None:
    narrow = gateway_process(gateway_requests_per_minute="3", gateway_proxies="127.0.0.0/8").start()
    visitor = team.visitor()

    def ask(forwarded: str) -> int:
        return visitor.get(f"{narrow.url}/connect/a/b", headers={"X-Forwarded-For": forwarded}).status_code

    assert [ask("203.0.113.9"), ask("203.0.113.9"), ask("203.0.113.10")] == [404, 429, 404]
    assert ask("198.51.100.1, 203.0.113.9") == 429, "what a client writes in front is not believed"
    narrow.stop()


def test_too_many_requests_of_one_browser_are_asked_to_wait(team: Team, gateway_process: Callable[..., Any]) -> None:
    narrow = gateway_process(gateway_browser_requests_per_minute="6").start()
    visitor = team.visitor()
    place = f"{narrow.url}/connect/{team.name}/crm"
    statuses = [visitor.get(place).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    narrow.stop()


def test_a_gateway_that_hears_nothing_answers_nothing(team: Team, gateway_process: Callable[..., Any]) -> None:
    narrow = gateway_process(watch_silence="2s").start()
    visitor = team.visitor()
    eventually(lambda: visitor.get(f"{narrow.url}/readyz").status_code == 503)
    answer = visitor.get(f"{narrow.url}/connect/{team.name}/crm")
    assert_refused(answer, 503, "Lanyard cannot answer just now")
    assert visitor.get(f"{narrow.url}/healthz").status_code == 200
    narrow.stop()


def test_a_large_body_is_refused(team: Team) -> None:
    visitor = team.visitor()
    visitor.get(team.page_url())
    answer = visitor.client.post(team.page_url(), data={"token": "x" * 100_000})
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize("path", ["/connect/a/%3Cscript%3E", "/%3Cscript%3E", "/connect/..%2f..%2fetc/passwd"])
def test_what_is_asked_for_is_never_echoed(team: Team, path: str) -> None:
    answer = team.visitor().get(f"{team.gateway.url}{path}")
    assert answer.status_code == 404
    assert "script" not in answer.text
    assert "passwd" not in answer.text


def test_names_that_people_give_are_shown_as_text(team: Team) -> None:
    team.connect(displayName='<b onclick="x">Sales\u202e</b>')
    visitor = team.visitor()
    page = team.approved(visitor)
    assert "<b onclick" not in page.text
    assert "&lt;b onclick=&quot;x&quot;&gt;Sales &lt;/b&gt;" in page.text


def assert_refused(answer: httpx.Response, status: int, says: str) -> None:
    assert (answer.status_code, says in page_text(answer)) == (status, True), (answer.status_code, page_text(answer))


def assert_not_answered(team: Team, name: str = "crm") -> None:
    phases = [one["metadata"]["labels"]["lanyard.dev/consent"] for one in team.records(name)]
    assert set(phases) <= {"started"}
    assert team.token_requests() == 0


def opened(team: Team, visitor: Visitor) -> Any:
    return opened_browser(Keyring.parse(team.gateway.ring.read_text()), visitor.client.cookies[COOKIE])


def token_of(team: Team, visitor: Visitor) -> str:
    return str(opened(team, visitor).csrf_token)


def approved_hash(team: Team) -> str:
    annotations = team.cluster.get("Connection", "crm")["metadata"]["annotations"]
    return str(annotations["lanyard.dev/consent"].partition(".")[0])


def make_older(team: Team, visitor: Visitor, by: timedelta) -> None:
    """The same browser, had it begun earlier: sealed with the ring, as nobody else could."""
    ring = Keyring.parse(team.gateway.ring.read_text())
    browser = opened(team, visitor)
    older = replace(browser, started_at=browser.started_at - by)
    sealed = sealed_browser(ring, older, now=browser.started_at)
    visitor.client.cookies.clear()
    visitor.client.headers["Cookie"] = f"{COOKIE}={sealed}"


def restarted(team: Team, name: str) -> str:
    """Where a consent that begins now is sent to."""
    return team.sent(team.visitor(), name)
