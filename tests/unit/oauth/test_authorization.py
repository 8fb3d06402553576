"""The page at the provider and what comes back from it."""

import hashlib
import hmac
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import LanyardError, ProviderError
from lanyard.oauth.authorization import authorization_url, callback, is_genuine
from lanyard.oauth.pkce import code_challenge
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.plans import code_plan

VERIFIER = Sensitive("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
REDIRECT = "https://lanyard.example/oauth/callback/acme"
PKCE_OFF = {"pkce": "off", "pkceOffReason": "not known there"}
ISSUER = {"issuer": "https://login.example.com"}
ZOHO = {
    "authorization": {"callbackParams": {"accounts-server": "accounts"}},
    "parameters": {"accounts": {"type": "url", "source": "callback", "allowedHosts": ["accounts.zoho.eu"]}},
    "tokenRequest": {"url": "{accounts}/oauth/v2/token"},
}
SHOPIFY = {"authorization": {"callbackHmac": {"parameter": "hmac"}}}


def asked(plan: Any, verifier: Sensitive | None = VERIFIER, state: str = "st") -> dict[str, str]:
    url = authorization_url(plan, client_id="client", redirect_uri=REDIRECT, state=state, verifier=verifier)
    assert "+" not in urlsplit(url).query
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    assert urlsplit(url)._replace(query="").geturl() == "https://login.example.com/authorize"
    return dict(pairs)


@pytest.mark.spec("C5")
def test_the_address_has_the_parameters_of_the_rfcs_and_no_other() -> None:
    assert asked(code_plan(scopes={"default": ["a", "b"]})) == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": REDIRECT,
        "scope": "a b",
        "state": "st",
        "code_challenge": code_challenge(VERIFIER),
        "code_challenge_method": "S256",
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(
            {"authorization": {"params": {"audience": "api", "hint": "{region}"}}},
            {"audience": "api", "hint": None},
            id="a product's parameters go along, one without its input does not",
        ),
        pytest.param(
            {"authorization": {"rename": {"client_id": "client_key"}}},
            {"client_key": "client", "client_id": None},
            id="a parameter goes by the product's name",
        ),
        pytest.param(
            {"authorization": {"omit": ["response_type"]}}, {"response_type": None}, id="a refused one is left out"
        ),
        pytest.param(
            {"authorization": {"params": {"state": "fixed"}, "omit": ["state"], "rename": {"client_id": "state"}}},
            {"state": "st"},
            id="nothing takes the place of the state",
        ),
        pytest.param(
            {"scopes": {"separator": ",", "default": ["a", "b"]}}, {"scope": "a,b"}, id="scopes are joined by comma"
        ),
        pytest.param(
            {"scopes": {"send": False, "default": ["a"]}}, {"scope": None}, id="scopes are not sent where refused"
        ),
    ],
)
@pytest.mark.spec("C16")
def test_a_product_asks_otherwise(members: dict[str, Any], expected: dict[str, str | None]) -> None:
    parameters = {"region": {"required": False}}
    sent = asked(code_plan(parameters=parameters, **members))
    assert {name: sent.get(name) for name in expected} == expected


def test_pkce_can_be_off_only_where_the_connector_says_so() -> None:
    off = code_plan(authorization=PKCE_OFF)
    assert not {"code_challenge", "code_challenge_method"} & set(asked(off, verifier=None))
    for plan, verifier in ((off, VERIFIER), (code_plan(), None)):
        with pytest.raises(LanyardError):
            asked(plan, verifier=verifier)


@given(state=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_value_leaves_its_parameter(state: str) -> None:
    assert asked(code_plan(), state=state)["state"] == state


@pytest.mark.spec("C5")
def test_a_code_is_taken_and_hidden() -> None:
    answer = callback(code_plan(), [("code", "abc"), ("state", "st"), ("session", "x")])
    assert answer.code == Sensitive("abc")
    assert (answer.error, answer.parameters, answer.signed_query) == ("", {}, None)
    assert "abc" not in repr(answer)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ("access_denied", "denied"),
        ("user_cancelled_authorize", "denied"),
        ("invalid_scope", "scope"),
        ("server_error", "unavailable"),
        ("<script>alert(1)</script>", "refused"),
        ("", "refused"),
    ],
)
@pytest.mark.spec("C11")
def test_an_error_becomes_a_closed_word(error: str, word: str) -> None:
    answer = callback(code_plan(), [("error", error), ("error_description", "<b>"), ("code", "abc")])
    assert (answer.code, answer.error) == (None, word)


@pytest.mark.parametrize(
    ("members", "query"),
    [
        pytest.param({}, [("code", "a"), ("code", "b")], id="two codes"),
        pytest.param({}, [("code", "a"), ("x", "1"), ("x", "1")], id="any parameter twice"),
        pytest.param({}, [("state", "st")], id="neither code nor error"),
        pytest.param({}, [("code", "")], id="an empty code"),
        pytest.param({}, [("code", "a\r\nX: 1")], id="a code with a line end"),
        pytest.param({}, [("code", "ä")], id="a code beyond ASCII"),
        pytest.param({}, [("code", "a" * 4097)], id="a code too long"),
        pytest.param({}, [("code", "a"), ("x", "y" * 9000)], id="a query too long"),
        pytest.param({}, [("code", "a"), *((str(n), "") for n in range(40))], id="too many parameters"),
        pytest.param(
            {"authorization": ISSUER}, [("code", "a"), ("iss", "https://evil.example")], id="another server's issuer"
        ),
        pytest.param(
            {"authorization": ISSUER}, [("error", "access_denied"), ("iss", "https://evil")], id="its error neither"
        ),
        pytest.param(
            {"authorization": {**ISSUER, "responseIssuer": "required"}}, [("code", "a")], id="no issuer where required"
        ),
        pytest.param(ZOHO, [("code", "a"), ("accounts-server", "https://evil.example")], id="a host not on the list"),
        pytest.param(ZOHO, [("code", "a"), ("accounts-server", "https://accounts.zoho.eu@evil/")], id="user info"),
        pytest.param(ZOHO, [("code", "a")], id="a parameter that must come and does not"),
        pytest.param(SHOPIFY, [("code", "a")], id="no signature where one belongs"),
    ],
)
@pytest.mark.spec("C5", "C11")
def test_an_answer_that_no_honest_provider_gives_is_refused(
    members: dict[str, Any], query: list[tuple[str, str]]
) -> None:
    with pytest.raises(ProviderError) as caught:
        callback(code_plan(**members), query)
    assert caught.value.reason is Reason.PROVIDER_ANSWER_INVALID
    assert "evil" not in caught.value.message


def test_the_issuer_is_compared_where_it_is_known() -> None:
    plan = code_plan(authorization=ISSUER)
    assert callback(plan, [("code", "a"), ("iss", "https://login.example.com")]).code
    assert callback(plan, [("code", "a")]).code


def test_a_server_that_names_itself_is_taken_only_where_its_name_was_given() -> None:
    """Otherwise another server, reached by the same redirect URI, could have its code sent here (RFC 9207 1)."""
    members = {"authorization": {"issuer": "{issuer}"}, "parameters": {"issuer": {"required": False}}}
    answer = [("code", "a"), ("iss", "https://login.example.com")]
    assert callback(code_plan(**members), [("code", "a")]).code
    with pytest.raises(ProviderError):
        callback(code_plan(**members), answer)
    assert callback(code_plan(given={"issuer": "https://login.example.com"}, **members), answer).code
    with pytest.raises(ProviderError):
        callback(code_plan(given={"issuer": "https://other.example.com"}, **members), answer)


@pytest.mark.spec("C16")
@pytest.mark.parametrize("shop", [None, "", "other.myshopify.com", "acme.myshopify.com.evil.example"])
def test_an_answer_for_another_shop_than_the_one_asked_is_refused(shop: str | None) -> None:
    """Shopify's callback names the shop's host (quirk 17)."""
    members = {
        "authorization": {"callbackExpect": {"shop": "{shop}.myshopify.com"}},
        "parameters": {"shop": {"pattern": "[a-z]+"}},
    }
    plan = code_plan(given={"shop": "acme"}, **members)
    assert callback(plan, [("code", "a"), ("shop", "Acme.myshopify.com")]).code
    with pytest.raises(ProviderError):
        callback(plan, [("code", "a"), *([("shop", shop)] if shop is not None else [])])


@pytest.mark.spec("C16")
def test_a_listed_host_of_the_answer_completes_the_token_address() -> None:
    plan = code_plan(**ZOHO)
    assert (plan.token_url, plan.token_host, plan.host_is_tenants) == ("", "", True)
    answer = callback(plan, [("code", "a"), ("accounts-server", "https://accounts.zoho.eu"), ("location", "eu")])
    assert answer.parameters == {"accounts": "https://accounts.zoho.eu"}
    assert code_plan(learned=dict(answer.parameters), **ZOHO).token_url == "https://accounts.zoho.eu/oauth/v2/token"


def test_what_was_learned_is_held_against_the_connector_each_time() -> None:
    assert code_plan(learned={"accounts": "https://evil.example", "other": "x"}, **ZOHO).token_url == ""


def test_a_parameter_that_the_user_gave_must_come_back_equal() -> None:
    members = {
        "authorization": {"callbackParams": {"shop": "shop"}},
        "parameters": {"shop": {"type": "hostname", "pattern": "[a-z]+[.]myshopify[.]com"}},
    }
    plan = code_plan(given={"shop": "acme.myshopify.com"}, **members)
    assert callback(plan, [("code", "a"), ("shop", "acme.myshopify.com")]).code
    with pytest.raises(ProviderError):
        callback(plan, [("code", "a"), ("shop", "other.myshopify.com")])


SIGNED = [
    ("code", "0907a61c0c8d55e99db179b68161bc00"),
    ("shop", "some-shop.myshopify.com"),
    ("timestamp", "1337178173"),
]


def signature(pairs: list[tuple[str, str]], secret: str) -> str:
    message = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


@pytest.mark.spec("C16")
def test_the_signature_over_the_answer_is_judged_where_the_secret_is() -> None:
    plan = code_plan(**SHOPIFY)
    good = callback(plan, [*SIGNED, ("hmac", signature(SIGNED, "hush"))])
    assert is_genuine(plan, good.signed_query, Sensitive("hush"))
    assert not is_genuine(plan, good.signed_query, Sensitive("other"))
    assert not is_genuine(plan, good.signed_query, None)
    assert not is_genuine(plan, None, Sensitive("hush"))
    forged = callback(plan, [*SIGNED, ("extra", "1"), ("hmac", signature(SIGNED, "hush"))])
    assert not is_genuine(plan, forged.signed_query, Sensitive("hush"))
    assert is_genuine(code_plan(), None, None)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=60)), max_size=40))
def test_no_query_makes_anything_but_an_answer_or_the_one_refusal(query: list[tuple[str, str]]) -> None:
    for members in ({}, ZOHO, SHOPIFY, {"authorization": ISSUER}):
        with suppress(ProviderError):
            answer = callback(code_plan(**members), query)
            assert answer.error in {"denied", "scope", "unavailable", "refused"} or answer.code
