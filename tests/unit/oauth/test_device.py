"""RFC 8628."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.errors import ProviderError
from lanyard.oauth.device import Poll, backed_off, device_request, next_interval, parse_device, poll_verdict
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.plans import device_plan

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANSWER = {
    "device_code": "dc-1",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.example.com/device",
    "expires_in": 900,
    "interval": 7,
}


def parsed(status: int = 200, **members: Any) -> Any:
    answer = {name: value for name, value in {**ANSWER, **members}.items() if value is not None}
    return parse_device(device_plan(), status, {}, json.dumps(answer).encode(), now=NOW)


@pytest.mark.spec("C5")
def test_the_request_names_client_and_scopes() -> None:
    plan = device_plan(scopes={"default": ["a", "b"]})
    request = device_request(plan, {}, client_id="client", now=NOW, jti="j")
    assert (request.method, request.url) == ("POST", "https://login.example.com/device")
    assert dict(parse_qsl(request.body.decode())) == {"client_id": "client", "scope": "a b"}


@pytest.mark.spec("C5")
def test_the_answer_says_what_to_show_and_how_often_to_ask() -> None:
    found = parsed()
    assert found.device_code == Sensitive("dc-1")
    assert (found.user_code, found.verification_uri) == ("WDJB-MJHT", "https://login.example.com/device")
    assert (found.expires_at, found.interval) == (NOW + timedelta(minutes=15), timedelta(seconds=7))
    assert "dc-1" not in repr(found)


def test_google_s_spelling_and_missing_numbers_are_understood() -> None:
    found = parsed(
        verification_uri=None, verification_url="https://www.google.com/device", interval=None, expires_in=None
    )
    assert found.verification_uri == "https://www.google.com/device"
    assert (found.interval, found.expires_at) == (timedelta(seconds=5), NOW + timedelta(minutes=10))


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"verification_uri": "javascript:alert(1)"}, id="an address that is no page"),
        pytest.param({"verification_uri": "http://login.example.com/"}, id="an address without TLS"),
        pytest.param({"verification_uri": "https://a@evil.example/"}, id="user info in the address"),
        pytest.param({"user_code": "<b>" + "x" * 80}, id="a user code too long"),
        pytest.param({"user_code": "a\nb"}, id="a user code with a line end"),
        pytest.param({"device_code": None}, id="no device code"),
        pytest.param({"device_code": 7}, id="a device code that is no text"),
    ],
)
def test_an_answer_that_nobody_should_see_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        parsed(**members)
    assert caught.value.reason is Reason.PROVIDER_ANSWER_INVALID


@pytest.mark.parametrize(
    "page", ["https://login.acme.example:8443/realms/a/device", "https://microsoft.com/devicelogin"]
)
def test_the_page_for_people_may_have_a_port(page: str) -> None:
    assert parsed(verification_uri=page).verification_uri == page


def test_numbers_are_bounded() -> None:
    found = parsed(interval=10**9, expires_in=10**9)
    assert (found.interval, found.expires_at) == (timedelta(minutes=1), NOW + timedelta(minutes=30))


def test_a_refused_client_has_its_reason() -> None:
    with pytest.raises(ProviderError) as caught:
        parsed(401, error="invalid_client")
    assert caught.value.reason is Reason.CLIENT_REJECTED
    assert caught.value.message.startswith("The client id or the lack of a secret was refused by login.example.com. ")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"error": "authorization_pending"}, Poll.PENDING),
        ({"error": "slow_down"}, Poll.SLOW_DOWN),
        ({"error": "expired_token"}, Poll.EXPIRED),
        ({"error": "access_denied"}, Poll.DENIED),
        ({"error": "authorization_declined"}, Poll.DENIED),
        ({"error": "invalid_grant"}, Poll.ANSWERED),
        ({}, Poll.ANSWERED),
        ({"access_token": "t"}, Poll.ANSWERED),
    ],
)
@pytest.mark.spec("C5")
def test_what_a_poll_s_answer_says(answer: dict[str, Any], expected: Poll) -> None:
    assert poll_verdict(device_plan(), {}, json.dumps(answer).encode()) is expected


def test_every_slow_down_adds_five_seconds_for_good() -> None:
    grown = next_interval(next_interval(timedelta(seconds=5), Poll.SLOW_DOWN), Poll.SLOW_DOWN)
    assert next_interval(grown, Poll.PENDING) == timedelta(seconds=15)


def test_a_poll_that_was_not_answered_doubles_the_interval_up_to_a_minute() -> None:
    assert backed_off(timedelta(seconds=5)) == timedelta(seconds=10)
    assert backed_off(timedelta(seconds=50)) == timedelta(minutes=1)


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_answer_makes_anything_but_a_verdict_or_a_provider_error(body: bytes, status: int) -> None:
    assert isinstance(poll_verdict(device_plan(), {}, body), Poll)
    with pytest.raises(ProviderError):
        parse_device(device_plan(), status, {}, body, now=NOW)
