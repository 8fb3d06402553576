"""Taking a grant back, in every way the table knows (quirk 15)."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lanyard.oauth.revocation import Revoked, revocation_requests, revocation_verdict
from lanyard.oauth.wire import WireRequest
from lanyard.sensitive import Sensitive
from support.plans import code_plan

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://login.example.com/revoke"
POST = {"clientAuth": {"methods": ["client_secret_post"]}}


def ask(*calls: dict[str, Any], refresh: str | None = "rt", access: str | None = "at", **members: Any) -> list[Any]:
    plan = code_plan(revocation=[{"url": URL, **call} for call in calls], **members)
    return revocation_requests(
        plan,
        {"clientSecret": Sensitive("s3cret")},
        client_id="client",
        refresh_token=Sensitive(refresh) if refresh else None,
        access_token=Sensitive(access) if access else None,
        now=NOW,
        jti="j",
    )


def form(request: WireRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def basic(request: WireRequest) -> str:
    return base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()


@pytest.mark.spec("C16")
def test_rfc_7009_is_a_form_with_the_refresh_token_authenticated_as_ever() -> None:
    (request,) = ask({})
    assert (request.method, request.url, form(request)) == ("POST", URL, {"token": "rt"})
    assert basic(request) == "client:s3cret"
    (request,) = ask({}, **POST)
    assert form(request) == {"token": "rt", "client_id": "client", "client_secret": "s3cret"}


@pytest.mark.spec("C16")
def test_the_token_can_go_in_the_query_of_a_get_without_any_proof() -> None:
    (request,) = ask({"method": "GET", "format": "query", "authentication": "none"})
    assert (request.method, request.body) == ("GET", b"")
    assert urlsplit(request.url).query == "token=rt"
    assert "Authorization" not in request.headers


@pytest.mark.spec("C16")
def test_github_s_delete_has_the_client_id_in_the_address_and_the_token_in_json() -> None:
    call = {
        "method": "DELETE",
        "url": "https://api.github.com/applications/{client_id}/token",
        "format": "json",
        "parameter": "access_token",
        "token": "access",
        "authentication": "basic",
    }
    (request,) = ask(call, **POST)
    assert request.url == "https://api.github.com/applications/client/token"
    assert json.loads(request.body) == {"access_token": "at"}
    assert basic(request) == "client:s3cret"


@pytest.mark.spec("C16")
def test_the_proof_of_the_client_can_have_other_names() -> None:
    names = {"client_id": "clientId", "client_secret": "clientSecret"}
    (request,) = ask({"token": "access", "format": "json", "parameter": "accessToken", "rename": names}, **POST)
    assert json.loads(request.body) == {"accessToken": "at", "clientId": "client", "clientSecret": "s3cret"}


@pytest.mark.spec("C16")
def test_a_delete_with_the_bearer_token_has_no_body() -> None:
    call = {"method": "DELETE", "token": "access", "parameter": "", "authentication": "bearer"}
    (request,) = ask(call, authorizationFormat="Zoho-oauthtoken {access_token}")
    assert (request.method, request.url, request.body) == ("DELETE", URL, b"")
    assert request.headers["Authorization"] == "Zoho-oauthtoken at"


def test_a_call_without_its_token_is_left_out() -> None:
    calls = ({}, {"token": "access"}, {"authentication": "bearer"})
    assert [form(one)["token"] for one in ask(*calls, refresh=None)] == ["at"]
    assert [form(one)["token"] for one in ask(*calls, access=None)] == ["rt"]
    assert ask() == []


def test_a_call_whose_address_is_not_known_is_left_out() -> None:
    parameters = {"api": {"type": "url", "source": "tokenResponse", "allowedHosts": ["api.example.com"]}}
    calls = ({"url": "{api}/revoke"}, {})
    assert [one.url for one in ask(*calls, parameters=parameters)] == [URL]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Revoked.DONE), (204, Revoked.DONE), (404, Revoked.DONE), (400, Revoked.REFUSED), (401, Revoked.REFUSED),
        (302, Revoked.REFUSED), (429, Revoked.LATER), (503, Revoked.LATER),
    ],
)  # fmt: skip
def test_what_the_answer_says(status: int, expected: Revoked) -> None:
    assert revocation_verdict(status) is expected


@pytest.mark.spec("C16")
@pytest.mark.parametrize(
    ("given", "asked"),
    [
        pytest.param("https://login.example.com/revoke", 1, id="at the token endpoint's host"),
        pytest.param("https://evil.example/revoke", 0, id="at another host"),
        pytest.param("https://login.example.com:8443/revoke", 0, id="at another port"),
    ],
)
def test_a_refresh_token_goes_to_no_host_that_only_the_connection_names(given: str, asked: int) -> None:
    where = {"where": {"type": "url", "anyHost": True, "pattern": "https?://.+"}}
    assert len(ask({"url": "{where}"}, parameters=where, given={"where": given})) == asked
