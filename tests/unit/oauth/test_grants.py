"""Token requests, byte for byte."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import SourceError
from lanyard.oauth.grants import token_request
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.plans import client_plan, connection, connector, password_plan, token_method

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRETS = {"clientSecret": "s3cr&t=:ü", "password": "p+w d"}


def ask(plan: Plan, client_id: str | None = "client", username: str | None = None, **secrets: str) -> WireRequest:
    values = {name: Sensitive(value) for name, value in (secrets or SECRETS).items() if name in plan.required}
    return token_request(plan, values, client_id=client_id, username=username, key_id=None, now=NOW, jti="jti-1")


def form(request: WireRequest) -> dict[str, str]:
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=bool(request.body))
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def basic(request: WireRequest) -> str:
    scheme, _, value = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(value).decode()


@pytest.mark.spec("C5")
def test_client_credentials_with_basic_is_the_form_of_the_rfc() -> None:
    request = ask(client_plan(scopes={"default": ["read", "write"]}))
    assert request.method == "POST"
    assert request.url == "https://login.example.com/token"
    assert request.host == "login.example.com"
    assert request.body == b"grant_type=client_credentials&scope=read+write"
    assert request.headers == {
        "Accept": "application/json",
        "Authorization": request.headers["Authorization"],
        "Content-Type": "application/x-www-form-urlencoded",
    }
    assert basic(request) == "client:s3cr%26t%3D%3A%C3%BC"


@pytest.mark.spec("C5")
def test_client_secret_post_puts_id_and_secret_in_the_body() -> None:
    request = ask(client_plan(clientAuth={"methods": ["client_secret_post"]}))
    assert form(request) == {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": SECRETS["clientSecret"],
    }
    assert "Authorization" not in request.headers


@pytest.mark.spec("C5")
def test_the_password_grant_sends_user_name_and_password() -> None:
    assert form(ask(password_plan(), username="ada@example.com")) == {
        "grant_type": "password",
        "username": "ada@example.com",
        "password": SECRETS["password"],
    }


def test_a_public_client_sends_its_id_alone() -> None:
    request = ask(plan_for(connection(clientId="client"), connector(token_method(clientAuth={"methods": ["none"]}))))
    assert form(request) == {"grant_type": "client_credentials", "client_id": "client"}
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(
            {"tokenRequest": {"grantType": "account_credentials", "params": {"account_id": "{tenant}"}}},
            {"grant_type": "account_credentials", "account_id": "acme"},
            id="a product's own grant type and parameters",
        ),
        pytest.param({"tokenRequest": {"omit": ["grant_type"]}}, {}, id="a parameter the product refuses is left out"),
        pytest.param(
            {"tokenRequest": {"rename": {"grant_type": "grant", "scope": "scopes"}}, "scopes": {"default": ["a"]}},
            {"grant": "client_credentials", "scopes": "a"},
            id="a parameter goes by the product's name",
        ),
        pytest.param(
            {"tokenRequest": {"params": {"region": "{region}", "fixed": "1"}}},
            {"grant_type": "client_credentials", "fixed": "1"},
            id="a parameter whose input was left out is left out",
        ),
        pytest.param(
            {"tokenRequest": {"params": {"app": "{client_id}", "grant_type": "other"}}},
            {"grant_type": "client_credentials", "app": "client"},
            id="the client id may be repeated, and a standard parameter wins",
        ),
        pytest.param(
            {"scopes": {"separator": ",", "default": ["a", "b"]}},
            {"grant_type": "client_credentials", "scope": "a,b"},
            id="scopes are joined by comma",
        ),
        pytest.param(
            {"scopes": {"separator": "+", "default": ["a", "b"]}},
            {"grant_type": "client_credentials", "scope": "a+b"},
            id="scopes are joined by plus",
        ),
        pytest.param(
            {"scopes": {"send": False, "mandatory": ["a"]}},
            {"grant_type": "client_credentials"},
            id="scopes are not sent where the product refuses them",
        ),
    ],
)
def test_a_connector_shapes_the_form(members: dict[str, Any], expected: Mapping[str, str]) -> None:
    offered = connector(
        token_method(**members), parameters={"tenant": {"default": "acme"}, "region": {"required": False}}
    )
    assert form(ask(plan_for(connection("clientSecret", clientId="client"), offered))) == expected


def test_a_json_body_is_json() -> None:
    request = ask(client_plan(tokenRequest={"format": "json"}, clientAuth={"methods": ["client_secret_post"]}))
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": SECRETS["clientSecret"],
    }


def test_a_query_request_has_everything_in_the_query_and_nothing_in_the_body() -> None:
    request = ask(
        client_plan(
            tokenRequest={"format": "query", "url": "https://login.example.com/token?v=1"},
            clientAuth={"methods": ["client_secret_post"]},
        )
    )
    path, _, query = request.url.partition("?")
    assert path == "https://login.example.com/token"
    assert dict(parse_qsl(query)) == {
        "v": "1",
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": SECRETS["clientSecret"],
    }
    assert request.body == b""
    assert "Content-Type" not in request.headers


@pytest.mark.parametrize(
    ("encoding", "client_id", "secret", "expected"),
    [
        pytest.param("rfc6749", "a:b", "c d+", "a%3Ab:c+d%2B", id="the rfc form-encodes both"),
        pytest.param("raw", "a b", "c:d", "a b:c:d", id="raw does not"),
    ],
)
def test_basic_is_encoded_as_the_product_wants(encoding: str, client_id: str, secret: str, expected: str) -> None:
    request = ask(client_plan(clientAuth={"basicEncoding": encoding}), client_id, clientSecret=secret)
    assert basic(request) == expected


def test_a_product_may_have_its_own_word_for_basic() -> None:
    request = ask(client_plan(clientAuth={"basicScheme": "ID"}))
    assert request.headers["Authorization"].startswith("ID ")


def test_headers_of_the_connector_are_filled() -> None:
    plan = client_plan(tokenRequest={"headers": {"X-Client": "{client_id}", "Accept": "application/vnd.acme+json"}})
    headers = ask(plan).headers
    assert headers["X-Client"] == "client"
    assert headers["Accept"] == "application/vnd.acme+json"


@pytest.mark.parametrize(
    ("client_id", "secret", "members", "field"),
    [
        pytest.param("a:b", "s", {"clientAuth": {"basicEncoding": "raw"}}, "clientId", id="a colon would end a raw id"),
        pytest.param("a\r\nb", "s", {"tokenRequest": {"headers": {"X": "{client_id}"}}}, "clientId", id="a line break"),
        pytest.param("a", "\ud800", {}, "clientSecret", id="half a surrogate pair in a secret"),
        pytest.param("\udfff", "s", {}, "clientId", id="half a surrogate pair in an id"),
    ],
)
def test_a_credential_that_cannot_be_sent_is_named(
    client_id: str, secret: str, members: dict[str, Any], field: str
) -> None:
    with pytest.raises(SourceError) as caught:
        ask(client_plan(**members), client_id, clientSecret=secret)
    assert (caught.value.reason, caught.value.facts["field"]) == (Reason.CREDENTIAL_INVALID, field)


@pytest.mark.spec("C8")
@pytest.mark.parametrize("format_", ["form", "json", "query"])
def test_a_request_does_not_show_what_it_carries(format_: str) -> None:
    plan = client_plan(tokenRequest={"format": format_}, clientAuth={"methods": ["client_secret_post"]})
    shown = f"{ask(plan, clientSecret='canary-canary')!r} {ask(plan, clientSecret='canary-canary')}"
    assert "canary" not in shown
    assert "login.example.com" in shown


@settings(deadline=None)
@given(secret=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_every_secret_arrives_as_it_was_given(secret: str) -> None:
    for format_ in ("form", "json"):
        plan = client_plan(tokenRequest={"format": format_}, clientAuth={"methods": ["client_secret_post"]})
        request = ask(plan, clientSecret=secret)
        sent = form(request) if format_ == "form" else json.loads(request.body)
        assert sent["client_secret"] == secret
