"""Token answers to what a person granted."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import ProviderError
from lanyard.oauth.responses import Token, parse
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.plans import client_plan, code_plan

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
API = {"api": {"type": "url", "source": "tokenResponse", "allowedHosts": ["www.zohoapis.eu"]}}


def read(plan: Any, answer: Any, status: int = 200, **headers: str) -> Token:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return parse(plan, status, headers, body, host="login.example.com", now=NOW)


@pytest.mark.spec("C7")
def test_the_refresh_token_and_its_life_are_kept() -> None:
    token = read(code_plan(), {"access_token": "at", "refresh_token": "r t", "refresh_expires_in": "3600"})
    assert token.refresh_token == Sensitive("r t")
    assert token.refresh_expires_at == NOW + timedelta(hours=1)


def test_granted_scopes_can_be_joined_otherwise_than_wanted_ones() -> None:
    """GitHub asks for `repo user` and answers `repo,user`."""
    answer = {"access_token": "at", "scope": "repo,user"}
    assert read(code_plan(response={"scopeSeparator": ","}), answer).scope == ("repo", "user")
    assert read(code_plan(), answer).scope == ("repo,user",)


@pytest.mark.parametrize("value", [None, "", 5, "a\nb", "x" * 70000, ["a"]])
def test_a_refresh_token_that_cannot_be_one_counts_as_none(value: Any) -> None:
    token = read(code_plan(), {"access_token": "at", "refresh_token": value})
    assert (token.refresh_token, token.refresh_expires_at) == (None, None)


def test_a_life_of_zero_is_no_end() -> None:
    answer = {"access_token": "at", "refresh_token": "rt", "refresh_expires_in": 0}
    assert read(code_plan(), answer).refresh_expires_at is None


def test_methods_that_can_ask_again_never_see_a_refresh_token() -> None:
    assert read(client_plan(), {"access_token": "at", "refresh_token": "rt"}).refresh_token is None


@pytest.mark.parametrize(
    ("members", "answer", "reason"),
    [
        pytest.param({}, {"error": "invalid_grant"}, Reason.GRANT_REVOKED, id="the grant is gone"),
        pytest.param({}, {"error": "invalid_client"}, Reason.CLIENT_REJECTED, id="the client is wrong"),
        pytest.param(
            {"errors": [{"code": ["bad_refresh_token"], "means": "grant"}]}, {"error": "bad_refresh_token"},
            Reason.GRANT_REVOKED, id="GitHub's own word for it",
        ),
    ],
)  # fmt: skip
@pytest.mark.spec("C11")
def test_a_refusal_says_what_is_gone(members: Any, answer: Any, reason: Reason) -> None:
    for status in (200, 400):
        with pytest.raises(ProviderError) as caught:
            read(code_plan(**members), answer, status)
        assert caught.value.reason is reason


@pytest.mark.spec("C16")
def test_slack_s_two_hundred_that_is_no_success() -> None:
    slack = code_plan(
        response={
            "success": [{"pointer": "/ok", "equals": "true"}],
            "accessToken": ["/access_token", "/authed_user/access_token"],
        }
    )
    with pytest.raises(ProviderError):
        read(slack, {"ok": False, "error": "invalid_code"})
    assert read(slack, {"ok": True, "authed_user": {"access_token": "xoxp"}}).access_token == Sensitive("xoxp")


@pytest.mark.spec("C16")
def test_a_host_of_the_answer_is_learned_only_from_the_list() -> None:
    plan = code_plan(parameters=API, response={"capture": {"api": "/api_domain", "org": "/org"}})
    good = read(plan, {"access_token": "at", "api_domain": "https://www.zohoapis.eu", "org": "acme"})
    assert good.learned == {"api": "https://www.zohoapis.eu"}
    assert good.captured == {"api": "https://www.zohoapis.eu", "org": "acme"}
    evil = read(plan, {"access_token": "at", "api_domain": "https://evil.example", "org": "acme"})
    assert (evil.learned, evil.captured) == ({}, {"org": "acme"})


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.spec("C16")
def test_an_answer_can_be_a_form() -> None:
    token = read(code_plan(), b"access_token=gho_1&scope=repo%2Cgist&token_type=bearer", **FORM)
    assert token.access_token == Sensitive("gho_1")
    with pytest.raises(ProviderError) as caught:
        read(code_plan(), b"error=invalid_grant&error_description=x", **FORM)
    assert caught.value.reason is Reason.GRANT_REVOKED


@pytest.mark.parametrize("body", [b"access_token=a&access_token=b", b"", b"\xff=1", b"&".join([b"a=b"] * 70)])
def test_a_form_that_is_none_is_no_answer(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        read(code_plan(), body, **FORM)
    assert caught.value.reason is Reason.PROVIDER_ANSWER_INVALID
