"""Verification, identity and follow-up (quirks 14, 16 and 5)."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.exchange import ApiRequest, FollowUp, Identity, Verification
from lanyard.errors import LanyardError, ProviderError, SpecError
from lanyard.oauth.probes import Verdict, account_in, api_request, follow_up, verification_verdict
from lanyard.oauth.responses import account_of
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.plans import code_plan

PARAMETERS = {
    "tenant": {"pattern": "[a-z]+", "required": False},
    "cloud": {"source": "followUp", "pattern": "[a-z0-9-]+"},
}
PUBLISHED = {
    "access_token": Sensitive("at"),
    "authorization_header": Sensitive("Bearer at"),
    "instance_url": "https://acme.my.salesforce.com",
    "account_id": "a/b",
}


def plan(**given: str) -> Any:
    return code_plan(parameters=PARAMETERS, given=given)


def send(known: Any = PUBLISHED, **members: Any) -> Any:
    request = ApiRequest.model_validate({"url": "https://api.example.com/me", **members})
    return api_request(plan(tenant="acme"), request, known)


@pytest.mark.spec("C16")
def test_the_published_header_is_used_unless_the_connector_has_its_own() -> None:
    assert send().headers == {"Accept": "application/json", "Authorization": "Bearer at"}
    own = send(headers={"authorization": "OAuth {access_token}", "X-Tenant": "{tenant}", "X-None": "{unknown}"})
    assert own.headers == {"Accept": "application/json", "authorization": "OAuth at", "X-Tenant": "acme"}
    assert "at" not in repr(own).split()


@pytest.mark.spec("C16")
def test_query_and_body_are_filled_and_escaped() -> None:
    request = send(params={"key": "{access_token}", "q": "a b&c"}, url="https://api.example.com/{account_id}?x=1")
    assert request.url == "https://api.example.com/a%2Fb?x=1&key=at&q=a%20b%26c"
    posted = send(method="POST", body='{"query":"{tenant}","n":{"a":1}}')
    assert json.loads(posted.body) == {"query": "acme", "n": {"a": 1}}
    assert posted.headers["Content-Type"] == "application/json"
    form = send(method="POST", body="id={account_id}", contentType="application/x-www-form-urlencoded")
    assert form.body == b"id=a%2Fb"


@pytest.mark.spec("C16")
def test_a_key_can_be_the_user_or_the_password_of_basic() -> None:
    known = {"api_key": Sensitive("k:1"), "username": "ada", "password": Sensitive("ü")}
    for template, pair in (("{username}:{password}", "ada:ü"), ("{api_key}:", "k:1:"), ("api:{api_key}", "api:k:1")):
        sent = send(known, headers={"Authorization": f"Basic {template}"}).headers["Authorization"]
        assert sent == f"Basic {base64.b64encode(pair.encode()).decode()}"
    encoded = base64.b64encode(b"a:b").decode()
    assert send({}, headers={"Authorization": f"Basic {encoded}"}).headers["Authorization"] == f"Basic {encoded}"


def test_an_address_that_was_learned_begins_the_url() -> None:
    assert send(url="{instance_url}/services/oauth2/userinfo").host == "acme.my.salesforce.com"


@pytest.mark.parametrize(
    ("known", "members", "reason"),
    [
        pytest.param({}, {"url": "{instance_url}/x"}, Reason.PARAMETER_MISSING, id="an address that is not known"),
        pytest.param(
            {"instance_url": "http://evil.example"}, {"url": "{instance_url}/x"}, Reason.PARAMETER_INVALID, id="no TLS"
        ),
        pytest.param(
            {"instance_url": "https://a@evil.example"}, {"url": "{instance_url}/x"}, Reason.PARAMETER_INVALID,
            id="user info in an address",
        ),
        pytest.param(
            {"host": "evil.example/"}, {"url": "https://{host}.example.com/"}, Reason.PARAMETER_INVALID,
            id="a host that ends early",
        ),
        pytest.param(
            {"key": Sensitive("k")}, {"url": "https://api.example.com/{key}"}, Reason.PARAMETER_MISSING,
            id="a secret in the path",
        ),
        pytest.param(
            {"key": Sensitive('k","admin":"1')}, {"method": "POST", "body": '{"key":"{key}"}'},
            Reason.PARAMETER_INVALID, id="a value that would leave its text",
        ),
        pytest.param(
            {"key": Sensitive("k\r\nX: 1")}, {"headers": {"X-Key": "{key}"}}, Reason.CREDENTIAL_INVALID,
            id="a value that would end its header",
        ),
    ],
)  # fmt: skip
@pytest.mark.spec("C16")
def test_no_value_leaves_its_place(known: Any, members: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(LanyardError) as caught:
        send(known, **members)
    assert caught.value.reason is reason
    assert "evil" not in caught.value.message


@given(st.text(max_size=60))
def test_whatever_is_known_the_host_stays(value: str) -> None:
    try:
        request = send({"account_id": value}, url="https://api.example.com/x/{account_id}/y?z={account_id}")
    except SpecError:
        return
    except UnicodeEncodeError:
        # Halves of surrogate pairs; what is captured is printable, so none comes here.
        assert not value.isprintable()
        return
    assert request.url.startswith("https://api.example.com/x/")
    assert request.url.count("/") == 5
    assert not set(" \r\n#") & set(request.url)


def verdict(status: int, body: bytes = b"{}", **members: Any) -> Verdict:
    request = {"url": "https://api.example.com/me"}
    return verification_verdict(Verification.model_validate({"request": request, **members}), status, body)


OK_TRUE = {"expect": [{"pointer": "/ok", "equals": "true"}]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(verdict(204), Verdict.WORKS, id="every 2xx works"),
        pytest.param(verdict(401), Verdict.REFUSED, id="401 is the credential"),
        pytest.param(verdict(403), Verdict.FORBIDDEN, id="403 is a permission"),
        pytest.param(verdict(403, forbiddenProves=True), Verdict.WORKS, id="a 403 can prove the key"),
        pytest.param(verdict(429), Verdict.UNKNOWN, id="a throttle says nothing"),
        pytest.param(verdict(503), Verdict.UNKNOWN, id="an outage says nothing"),
        pytest.param(verdict(302), Verdict.UNKNOWN, id="a redirect says nothing"),
        pytest.param(verdict(422, okStatus=[422]), Verdict.WORKS, id="a product's own status"),
        pytest.param(verdict(200, okStatus=[422]), Verdict.UNKNOWN, id="and then no other"),
        pytest.param(verdict(200, b'{"ok":true}', **OK_TRUE), Verdict.WORKS, id="the member that is expected"),
        pytest.param(verdict(200, b'{"ok":false}', **OK_TRUE), Verdict.REFUSED, id="Slack's 200 that is a refusal"),
        pytest.param(verdict(200, b"<html>", **OK_TRUE), Verdict.REFUSED, id="a login page is no proof"),
    ],
)
@pytest.mark.spec("C16")
def test_what_a_verification_says(found: Verdict, expected: Verdict) -> None:
    assert found is expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"email": "ada@example.com", "sub": "1"}, "ada@example.com"),
        ({"sub": 17}, "17"),
        ({"email": None, "sub": "1"}, "1"),
        ({"email": "a\nb"}, ""),
        ({"email": "x" * 257}, ""),
        ({"email": {"a": 1}}, ""),
        ({}, ""),
    ],
)
@pytest.mark.spec("C16")
def test_an_account_is_one_printable_line(document: dict[str, Any], expected: str) -> None:
    assert account_of(Identity(), document) == expected
    assert account_in(Identity(), 200, json.dumps(document).encode()) == expected


def test_an_answer_that_failed_names_nobody() -> None:
    assert account_in(Identity(), 401, b'{"sub":"1"}') == ""
    assert account_in(Identity(), 200, b"<html>") == ""


def test_an_account_can_stand_in_a_list_at_the_top() -> None:
    first = Identity(account=["/items/0/tenantName"])
    assert account_in(first, 200, b'[{"tenantName":"Acme"},{"tenantName":"B"}]') == "Acme"
    assert account_in(first, 200, b"[]") == ""


SITES = FollowUp.model_validate(
    {
        "request": {"url": "https://api.atlassian.com/oauth/token/accessible-resources"},
        "items": "/items",
        "choose": {"/name": "{tenant}"},
        "capture": {"cloud": "/id", "site": "/url"},
    }
)
TWO = b'[{"id":"c-1","name":"acme","url":"https://acme.example"},{"id":"c-2","name":"other"}]'


@pytest.mark.spec("C16")
def test_a_follow_up_chooses_one_item_and_learns_from_it() -> None:
    captured, learned = follow_up(plan(tenant="acme"), SITES, 200, TWO, host="api.atlassian.com")
    assert (captured, learned) == ({"cloud": "c-1", "site": "https://acme.example"}, {"cloud": "c-1"})


@pytest.mark.parametrize(
    ("given_", "status", "body", "reason"),
    [
        pytest.param({}, 200, TWO, Reason.TENANT_NOT_CHOSEN, id="two items and no wish"),
        pytest.param({"tenant": "nobody"}, 200, TWO, Reason.TENANT_NOT_CHOSEN, id="a wish that none fulfils"),
        pytest.param({"tenant": "acme"}, 200, b"[]", Reason.TENANT_NOT_CHOSEN, id="no item"),
        pytest.param({"tenant": "acme"}, 200, b"{}", Reason.PROVIDER_ANSWER_INVALID, id="no list"),
        pytest.param({"tenant": "acme"}, 403, TWO, Reason.PROVIDER_ANSWER_INVALID, id="an answer that failed"),
        pytest.param({"tenant": "acme"}, 200, b"<html>", Reason.PROVIDER_ANSWER_INVALID, id="no JSON"),
        pytest.param({"tenant": "acme"}, 503, TWO, Reason.PROVIDER_UNAVAILABLE, id="a product that is down"),
        pytest.param({"tenant": "acme"}, 429, TWO, Reason.PROVIDER_THROTTLED, id="a product that is busy"),
    ],
)
@pytest.mark.spec("C16")
def test_a_follow_up_never_guesses(given_: dict[str, str], status: int, body: bytes, reason: Reason) -> None:
    with pytest.raises(ProviderError) as caught:
        follow_up(plan(**given_), SITES, status, body, host="api.atlassian.com")
    assert caught.value.reason is reason


@pytest.mark.spec("C11", "C16")
def test_what_is_not_chosen_is_told_with_the_parameter_that_chooses() -> None:
    with pytest.raises(ProviderError) as caught:
        follow_up(plan(), SITES, 200, TWO, host="api.atlassian.com")
    assert caught.value.hint == "Name one of them in spec.parameters: tenant."
    constant = SITES.model_copy(update={"choose": {"/name": "nobody"}})
    with pytest.raises(ProviderError) as caught:
        follow_up(plan(), constant, 200, TWO, host="api.atlassian.com")
    assert caught.value.reason is Reason.PROVIDER_ANSWER_INVALID, "nothing that a Connection could say"


def test_what_is_learned_has_the_form_that_is_declared() -> None:
    body = b'[{"id":"../../evil","name":"acme"}]'
    assert follow_up(plan(tenant="acme"), SITES, 200, body, host="h") == ({}, {})
