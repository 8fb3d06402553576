"""Token requests for what a person granted: code, refresh, device code."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from lanyard.connectors.selection import Plan
from lanyard.errors import LanyardError, SourceError
from lanyard.oauth.grants import CodeGrant, DeviceGrant, ExchangeGrant, RefreshGrant, token_request
from lanyard.oauth.wire import WireRequest
from lanyard.sensitive import Sensitive
from support.plans import client_plan, code_plan, device_plan

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
REDIRECT = "https://lanyard.example/oauth/callback/acme"
CODE = CodeGrant(Sensitive("the+code"), REDIRECT, Sensitive("v" * 43))
REFRESH = RefreshGrant(Sensitive("rt-1"))
POST = {"clientAuth": {"methods": ["client_secret_post"]}}


def ask(plan: Plan, grant: Any) -> WireRequest:
    secrets = {"clientSecret": Sensitive("s3cret")}
    return token_request(plan, secrets, client_id="client", username=None, now=NOW, jti="j", grant=grant)


def form(request: WireRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


@pytest.mark.spec("C5")
def test_a_code_goes_with_its_redirect_uri_and_verifier_and_the_proof_of_the_client() -> None:
    request = ask(code_plan(scopes={"default": ["a"]}), CODE)
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "the+code",
        "redirect_uri": REDIRECT,
        "code_verifier": "v" * 43,
    }
    assert request.headers["Authorization"].startswith("Basic ")
    assert "the+code" not in repr(request) + repr(CODE)


@pytest.mark.spec("C7")
def test_a_refresh_sends_the_refresh_token_and_scopes_only_when_they_are_named() -> None:
    plan = code_plan(scopes={"default": ["a"]}, **POST)
    base = {"grant_type": "refresh_token", "refresh_token": "rt-1", "client_id": "client", "client_secret": "s3cret"}
    assert form(ask(plan, REFRESH)) == base
    assert form(ask(plan, RefreshGrant(Sensitive("rt-1"), ("a", "b")))) == {**base, "scope": "a b"}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(
            {"refreshRequest": {"url": "https://login.example.com/refresh", "params": {"again": "1"}}},
            ("https://login.example.com/refresh", {"grant_type": "refresh_token", "again": "1"}),
            id="an address and parameters of its own",
        ),
        pytest.param(
            {"tokenRequest": {"grantType": "web", "params": {"expires_in": "1800"}}},
            ("https://login.example.com/token", {"grant_type": "refresh_token", "expires_in": "1800"}),
            id="the first request's parameters but not its grant type",
        ),
        pytest.param(
            {
                "refreshRequest": {
                    "url": "https://login.example.com/token",
                    "params": {"redirect_uri": "{redirect_uri}"},
                }
            },
            ("https://login.example.com/token", {"grant_type": "refresh_token", "redirect_uri": REDIRECT}),
            id="the redirect URI where the product wants it again",
        ),
        pytest.param(
            {
                "refreshRequest": {"url": "https://login.example.com/token", "omit": ["client_id", "client_secret"]},
                **POST,
            },
            ("https://login.example.com/token", {"grant_type": "refresh_token"}),
            id="no client where the product refuses it",
        ),
    ],
)
@pytest.mark.spec("C16")
def test_a_refresh_can_differ_from_the_first_request(
    members: dict[str, Any], expected: tuple[str, dict[str, str]]
) -> None:
    request = ask(code_plan(**members), RefreshGrant(Sensitive("rt-1"), redirect_uri=REDIRECT))
    assert (request.url, form(request)) == (expected[0], {**expected[1], "refresh_token": "rt-1"})


def test_a_refresh_can_be_authenticated_otherwise() -> None:
    plan = code_plan(refreshClientAuthentication="client_secret_basic", **POST)
    assert "client_secret" in form(ask(plan, CODE))
    refresh = ask(plan, REFRESH)
    assert "client_secret" not in form(refresh)
    assert refresh.headers["Authorization"].startswith("Basic ")


def test_a_body_can_be_json() -> None:
    request = ask(code_plan(tokenRequest={"format": "json"}, **POST), CODE)
    assert json.loads(request.body)["code"] == "the+code"


SWAP = {
    "exchange": {
        "url": "https://graph.example.com/token",
        "grantType": "fb_exchange_token",
        "parameter": "fb_exchange_token",
        "params": {"v": "1"},
    }
}


@pytest.mark.spec("C16")
def test_a_first_token_is_swapped_for_one_that_lasts() -> None:
    """Facebook (quirk 8)."""
    request = ask(code_plan(**SWAP, **POST), ExchangeGrant(Sensitive("short")))
    assert request.url == "https://graph.example.com/token"
    assert form(request) == {
        "grant_type": "fb_exchange_token",
        "fb_exchange_token": "short",
        "v": "1",
        "client_id": "client",
        "client_secret": "s3cret",
    }
    assert "short" not in repr(request) + repr(ExchangeGrant(Sensitive("short")))


@pytest.mark.spec("C5")
def test_a_device_code_is_asked_for_by_a_public_client() -> None:
    assert form(ask(device_plan(), DeviceGrant(Sensitive("dc")))) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "dc",
        "client_id": "client",
    }


ZOHO = {
    "authorization": {"callbackParams": {"accounts-server": "accounts"}},
    "parameters": {"accounts": {"type": "url", "source": "callback", "allowedHosts": ["accounts.zoho.eu"]}},
    "tokenRequest": {"url": "{accounts}/oauth/v2/token"},
}


@pytest.mark.parametrize(
    ("plan", "grant"),
    [
        pytest.param(code_plan(), None, id="no grant for a method that needs one"),
        pytest.param(client_plan(), REFRESH, id="a grant for a method that has none"),
        pytest.param(code_plan(), ExchangeGrant(Sensitive("at")), id="a swap that the method does not have"),
        pytest.param(code_plan(**ZOHO), CODE, id="an address that is not known yet"),
    ],
)
def test_a_request_that_cannot_be_right_is_never_written(plan: Plan, grant: Any) -> None:
    with pytest.raises(LanyardError):
        ask(plan, grant)


def test_a_refresh_token_that_no_encoding_carries_is_named_and_not_quoted() -> None:
    with pytest.raises(SourceError) as caught:
        ask(code_plan(), RefreshGrant(Sensitive("\ud800")))
    assert caught.value.facts["field"] == "refreshToken"
