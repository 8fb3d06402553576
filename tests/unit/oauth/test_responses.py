"""Token answers: what is a token, what is a failure, and which one."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import ProviderError
from lanyard.oauth.documents import parse_object
from lanyard.oauth.responses import Token, missing_scopes, parse
from lanyard.reasons import Reason
from support.plans import client_plan, connection, connector, password_plan, token_method

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOST = "login.example.com"
PLAIN = client_plan()
USER = password_plan()
CANARY = "canary-7f3a"


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def read(
    answer: bytes | dict[str, Any], status: int = 200, plan: Plan = PLAIN, headers: dict[str, str] | None = None
) -> Token:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return parse(plan, status, headers or {}, raw, host=HOST, now=NOW)


def failure(
    answer: bytes | dict[str, Any], status: int = 200, plan: Plan = PLAIN, headers: dict[str, str] | None = None
) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        read(answer, status, plan, headers)
    return caught.value


def life(answer: dict[str, Any], headers: dict[str, str] | None = None, **members: Any) -> timedelta | None:
    token = read({"access_token": "t", **answer}, plan=client_plan(**members), headers=headers)
    return token.expires_at - NOW if token.expires_at is not None else None


def test_a_plain_answer_becomes_a_token() -> None:
    answer = {"access_token": "tok", "token_type": "bearer", "expires_in": 600, "scope": "read write"}
    token = read(answer, headers={"date": "Tue, 24 Nov 2026 12:00:40 GMT"})
    assert token.access_token.reveal() == "tok"
    assert (token.token_type, token.scope, token.captured) == ("bearer", ("read", "write"), {})
    assert (token.issued_at, token.expires_at) == (NOW, NOW + timedelta(seconds=600))
    assert token.skew == 40


@pytest.mark.spec("C11")
@pytest.mark.parametrize(
    ("status", "answer", "plan", "reason"),
    [
        pytest.param(400, {"error": "invalid_client"}, PLAIN, Reason.CLIENT_REJECTED, id="400 invalid_client"),
        pytest.param(401, {"error": "invalid_client"}, PLAIN, Reason.CLIENT_REJECTED, id="401 invalid_client"),
        pytest.param(401, b"", PLAIN, Reason.CLIENT_REJECTED, id="401 without a body"),
        pytest.param(401, {"error": "x"}, PLAIN, Reason.CLIENT_REJECTED, id="401 with a code of its own"),
        pytest.param(400, {"error": "invalid_grant"}, USER, Reason.CREDENTIALS_REJECTED, id="invalid_grant of a user"),
        pytest.param(401, {"error": "invalid_grant"}, USER, Reason.CREDENTIALS_REJECTED, id="the same with 401"),
        pytest.param(400, {"error": "invalid_grant"}, PLAIN, Reason.REQUEST_REJECTED, id="invalid_grant of a client"),
        pytest.param(400, {"error": "unauthorized_client"}, PLAIN, Reason.REQUEST_REJECTED, id="unauthorized_client"),
        pytest.param(400, {"error": "unsupported_grant_type"}, PLAIN, Reason.REQUEST_REJECTED, id="unsupported grant"),
        pytest.param(400, {"error": "invalid_request"}, PLAIN, Reason.REQUEST_REJECTED, id="invalid_request"),
        pytest.param(400, {"error": "invalid_scope"}, PLAIN, Reason.SCOPE_REJECTED, id="invalid_scope"),
        pytest.param(400, {"error": "own_code"}, PLAIN, Reason.REQUEST_REJECTED, id="400 with a code of its own"),
        pytest.param(400, b"<html>", PLAIN, Reason.REQUEST_REJECTED, id="400 without JSON"),
        pytest.param(422, {}, PLAIN, Reason.REQUEST_REJECTED, id="another status of the client's fault"),
        pytest.param(403, {"error": "x"}, PLAIN, Reason.TOKEN_ENDPOINT_DENIED, id="403"),
        pytest.param(404, b"", PLAIN, Reason.TOKEN_ENDPOINT_NOT_FOUND, id="404"),
        pytest.param(405, b"", PLAIN, Reason.TOKEN_ENDPOINT_NOT_FOUND, id="405"),
        pytest.param(410, b"", PLAIN, Reason.TOKEN_ENDPOINT_NOT_FOUND, id="410"),
        pytest.param(429, b"", PLAIN, Reason.PROVIDER_THROTTLED, id="429"),
        pytest.param(408, b"", PLAIN, Reason.PROVIDER_UNAVAILABLE, id="408"),
        pytest.param(500, {"error": "invalid_client"}, PLAIN, Reason.PROVIDER_UNAVAILABLE, id="500 whatever it says"),
        pytest.param(503, b"", PLAIN, Reason.PROVIDER_UNAVAILABLE, id="503"),
        pytest.param(301, b"", PLAIN, Reason.PROVIDER_REDIRECTED, id="301"),
        pytest.param(302, {"access_token": "t"}, PLAIN, Reason.PROVIDER_REDIRECTED, id="302 with a token"),
        pytest.param(304, b"", PLAIN, Reason.PROVIDER_REDIRECTED, id="304"),
        pytest.param(200, b"<html>", PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="200 with a page"),
        pytest.param(200, b"", PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="200 with nothing"),
        pytest.param(204, b"", PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="204"),
        pytest.param(200, b"[]", PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="200 with another JSON"),
        pytest.param(200, {}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="200 without a token"),
        pytest.param(200, {"access_token": 5}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a token that is no text"),
        pytest.param(200, {"access_token": ""}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="an empty token"),
        pytest.param(200, {"access_token": "a b"}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a token with a blank"),
        pytest.param(200, {"access_token": "a\r\nb"}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a token of two lines"),
        pytest.param(200, {"access_token": "ä"}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a token beyond ASCII"),
        pytest.param(
            200, {"access_token": "a" * 65537}, PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a token over 64 KiB"
        ),
        pytest.param(
            200, {"access_token": "t", "error": "invalid_client"}, PLAIN, Reason.CLIENT_REJECTED, id="200 with an error"
        ),
        pytest.param(
            200, {"access_token": "t", "error": "own"}, PLAIN, Reason.REQUEST_REJECTED, id="200 with its own error"
        ),
        pytest.param(
            200,
            {"access_token": "t", "error": {"code": 1}},
            PLAIN,
            Reason.REQUEST_REJECTED,
            id="200 with an object",
        ),
        pytest.param(100, b"", PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a status that is no answer"),
        pytest.param(999, b"", PLAIN, Reason.PROVIDER_ANSWER_INVALID, id="a status that is none"),
    ],
)
def test_every_failure_has_its_one_reason(
    status: int, answer: bytes | dict[str, Any], plan: Plan, reason: Reason
) -> None:
    error = failure(answer, status, plan)
    assert error.reason is reason
    assert HOST in error.message


@pytest.mark.parametrize(
    ("error", "rejected"),
    [
        pytest.param(failure({"error": "invalid_client"}, 400), True, id="a refused client may have a new secret"),
        pytest.param(failure({"error": "invalid_grant"}, 400, USER), True, id="a refused user may have a new password"),
        pytest.param(failure({"error": "invalid_scope"}, 400), False, id="a refused scope has not"),
    ],
)
def test_refusals_that_fresh_credentials_may_mend_are_marked(error: ProviderError, rejected: bool) -> None:
    assert error.rejected is rejected


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\xff{}", id="bytes that are not UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"access_token":"t"}', id="a byte order mark"),
        pytest.param(b'{"access_token":"t","access_token":"u"}', id="a member that stands twice"),
        pytest.param(b'{"access_token":"t","expires_in":NaN}', id="a NaN"),
        pytest.param(b'{"access_token":"t","expires_in":Infinity}', id="an infinity"),
        pytest.param(b'{"access_token":"t","expires_in":1e999}', id="a number that overflows"),
        pytest.param(b'{"access_token":"t","n":' + b"9" * 5000 + b"}", id="a number of 5000 digits"),
        pytest.param(b'{"access_token":"t","d":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="depth"),
        pytest.param(b'{"access_token":"t"} x', id="something behind it"),
        pytest.param(b'{"access_token":"t"' + b" " * 300_000 + b"}", id="more than 256 KiB"),
        pytest.param(b" " * 10_000_000, id="10 MB"),
    ],
)
def test_an_answer_that_is_not_strict_json_is_no_token_answer(answer: bytes) -> None:
    assert failure(answer).reason is Reason.PROVIDER_ANSWER_INVALID


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param({"expires_in": 3600}, 3600, id="a number"),
        pytest.param({"expires_in": "1200"}, 1200, id="a number as text"),
        pytest.param({"expires_in": 90.5}, 90.5, id="a fraction"),
        pytest.param({"expires_in": "90.5"}, 90.5, id="a fraction as text"),
        pytest.param({}, 1800, id="missing means the default"),
        pytest.param({"expires_in": None}, 1800, id="null means the default"),
        pytest.param({"expires_in": 0}, 1800, id="zero means the default"),
        pytest.param({"expires_in": -5}, 1800, id="negative means the default"),
        pytest.param({"expires_in": "soon"}, 1800, id="a word means the default"),
        pytest.param({"expires_in": ""}, 1800, id="an empty text means the default"),
        pytest.param({"expires_in": True}, 1800, id="a truth value means the default"),
        pytest.param({"expires_in": [60]}, 1800, id="a list means the default"),
        pytest.param({"expires_in": "٦٠"}, 1800, id="digits of other scripts mean the default"),
        pytest.param({"expires_in": 10**12}, 3650 * 86400, id="huge means ten years"),
        pytest.param({"expires_in": 10**300}, 1800, id="absurd means the default"),
        pytest.param({"expires_in": 1e300}, 1800, id="an absurd fraction means the default"),
        pytest.param({"expires_in": "9" * 400}, 1800, id="an absurd text means the default"),
    ],
)
def test_a_lifetime_is_what_can_be_believed(answer: dict[str, Any], expected: float) -> None:
    assert life(answer, lifetime={"default": "30m"}) == timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("members", "answer", "expected"),
    [
        pytest.param({"response": {"expiresInUnit": "ms"}}, {"expires_in": 60000}, 60, id="milliseconds"),
        pytest.param({"response": {"expiresInUnit": "min"}}, {"expires_in": 5}, 300, id="minutes"),
        pytest.param({"response": {"expiresIn": ["/x", "/y/0"]}}, {"y": [7]}, 7, id="at another place"),
        pytest.param({"lifetime": {"maximum": "10m"}}, {"expires_in": 3600}, 600, id="a maximum caps it"),
        pytest.param({"lifetime": {"maximum": "10m"}}, {}, 600, id="a maximum caps the default"),
        pytest.param({"lifetime": {"never": True}}, {}, None, id="never, where the answer names none"),
        pytest.param({"lifetime": {"never": True}}, {"expires_in": 60}, 60, id="not never, where it does"),
        pytest.param({"lifetime": {"zeroMeansNever": True}}, {"expires_in": 0}, None, id="zero that means never"),
        pytest.param({"lifetime": {"zeroMeansNever": True}}, {"expires_in": -1}, 3600, id="less than zero does not"),
        pytest.param({"response": {"expiresAt": ["/at"]}}, {"at": "2026-11-24T12:10:00Z"}, 600, id="an absolute time"),
        pytest.param(
            {"response": {"expiresAt": ["/at"]}}, {"at": "2026-11-24T14:10:00+02:00"}, 600, id="with an offset"
        ),
        pytest.param({"response": {"expiresAt": ["/at"]}}, {"at": "2026-11-24T12:10:00"}, 600, id="without one"),
        pytest.param(
            {"response": {"expiresAt": ["/at"], "expiresAtFormat": "unix"}},
            {"at": int(NOW.timestamp()) + 60},
            60,
            id="a Unix time",
        ),
        pytest.param(
            {"response": {"expiresAt": ["/at"], "expiresAtFormat": "unixms"}},
            {"at": str((int(NOW.timestamp()) + 60) * 1000)},
            60,
            id="a Unix time in milliseconds as text",
        ),
        pytest.param({"response": {"expiresAt": ["/at"]}}, {"at": "tomorrow"}, 3600, id="a time that is none"),
        pytest.param(
            {"response": {"expiresAt": ["/at"]}}, {"at": "tomorrow", "expires_in": 60}, 60, id="then the relative one"
        ),
        pytest.param({"response": {"expiresAt": ["/at"]}}, {"at": "2020-01-01T00:00:00Z"}, 3600, id="a time gone by"),
        pytest.param(
            {"response": {"expiresAt": ["/at"]}}, {"at": "9999-12-31T23:59:59Z"}, 3650 * 86400, id="the end of time"
        ),
    ],
)
def test_a_connector_says_where_and_how_the_lifetime_is_told(
    members: dict[str, Any], answer: dict[str, Any], expected: float | None
) -> None:
    assert life(answer, **members) == (timedelta(seconds=expected) if expected is not None else None)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param("Tue, 24 Nov 2026 12:05:00 GMT", 300, id="a provider whose clock is ahead"),
        pytest.param("Tue, 24 Nov 2026 11:55:00 GMT", 900, id="a provider whose clock is behind"),
        pytest.param("yesterday", 600, id="a date that is none"),
    ],
)
def test_an_absolute_expiry_is_read_by_the_clock_of_who_wrote_it(date: str, expected: int) -> None:
    found = life({"at": "2026-11-24T12:10:00Z"}, {"date": date}, response={"expiresAt": ["/at"]})
    assert found == timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        pytest.param("Bearer", "Bearer", id="as answered"),
        pytest.param("DPoP", "DPoP", id="another type as answered"),
        pytest.param(None, "Bearer", id="missing means Bearer"),
        pytest.param(7, "Bearer", id="a number means Bearer"),
        pytest.param("", "Bearer", id="empty means Bearer"),
        pytest.param("be\r\narer <b>", "bearerb", id="only characters of a token are kept"),
        pytest.param("x" * 100, "x" * 64, id="at most 64 of them"),
    ],
)
def test_a_token_type_is_limited_to_token_characters(answered: Any, expected: str) -> None:
    assert read({"access_token": "t", "token_type": answered}).token_type == expected


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        pytest.param("a b", ("a", "b"), id="separated by blanks"),
        pytest.param("a,b", ("a", "b"), id="separated as the connector does"),
        pytest.param(["a", "b", 3], ("a", "b"), id="a list"),
        pytest.param("a a", ("a",), id="each once"),
        pytest.param("", (), id="an empty text grants nothing"),
        pytest.param(None, None, id="null says nothing"),
        pytest.param(7, None, id="a number says nothing"),
        pytest.param('a "b" c\\d e', ("a", "e"), id="what is no scope is dropped"),
        pytest.param(" ".join(str(n) for n in range(500)), tuple(str(n) for n in range(128)), id="at most 128"),
    ],
)
def test_scopes_are_read_as_answered(answered: Any, expected: tuple[str, ...] | None) -> None:
    plan = client_plan(scopes={"separator": ","})
    assert read({"access_token": "t", "scope": answered}, plan=plan).scope == expected


@pytest.mark.spec("C9")
@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        pytest.param(("base", "read", "more"), ((), ()), id="all that were wanted and more"),
        pytest.param(("base",), ((), ("read",)), id="one that was wanted is missing"),
        pytest.param(("read",), (("base",), ()), id="a mandatory one is missing"),
        pytest.param((), (("base",), ("read",)), id="nothing was granted"),
    ],
)
def test_scopes_that_were_not_granted_are_named(
    granted: tuple[str, ...], expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    plan = client_plan(scopes={"default": ["read"], "mandatory": ["base"]})
    assert missing_scopes(plan, granted) == expected


@pytest.mark.spec("C9", "C16")
def test_a_wish_for_a_refresh_token_is_answered_by_one_and_not_by_its_name() -> None:
    plan = client_plan(scopes={"default": ["Mail.Read", "offline_access"]})
    assert missing_scopes(plan, ("Mail.Read",)) == ((), ())


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(429, {"retry-after": "30"}, 30, id="seconds"),
        pytest.param(429, {"retry-after": "0"}, 1, id="at least one second"),
        pytest.param(429, {"retry-after": "86400"}, 3600, id="at most an hour"),
        pytest.param(429, {"retry-after": "9" * 400}, 3600, id="an absurd number is an hour"),
        pytest.param(429, {"retry-after": "Tue, 24 Nov 2026 12:01:00 GMT"}, 60, id="a date"),
        pytest.param(
            429,
            {"retry-after": "Tue, 24 Nov 2026 12:06:00 GMT", "date": "Tue, 24 Nov 2026 12:05:00 GMT"},
            60,
            id="a date by the clock of who wrote it",
        ),
        pytest.param(429, {"retry-after": "Tue, 24 Nov 2020 12:01:00 GMT"}, 1, id="a date gone by"),
        pytest.param(429, {"retry-after": "soon"}, None, id="a word"),
        pytest.param(429, {"retry-after": "-5"}, None, id="a negative number"),
        pytest.param(429, {"retry-after": "٣٠"}, None, id="digits of other scripts"),
        pytest.param(429, {}, None, id="nothing"),
        pytest.param(503, {"retry-after": "30"}, 30, id="also when it is down"),
        pytest.param(401, {"retry-after": "30"}, None, id="not when it refuses"),
    ],
)
def test_retry_after_is_honoured_within_bounds(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert failure(b"", status, headers=headers).retry_after == seconds


@pytest.mark.spec("C16")
def test_rules_of_the_connector_come_first_and_in_order() -> None:
    plan = client_plan(
        response={"error": ["/code", "/error"], "success": [{"pointer": "/ok", "equals": "true"}]},
        errors=[
            {"status": [403], "code": ["quota"], "means": "throttled"},
            {"status": [403], "means": "client"},
            {"code": ["E17"], "means": "scope"},
            {"code": ["42"], "means": "unavailable"},
        ],
    )
    good = {"ok": True, "access_token": "t"}
    assert failure({"code": "quota"}, 403, plan, {"retry-after": "9"}).reason is Reason.PROVIDER_THROTTLED
    assert failure({"code": "x"}, 403, plan).reason is Reason.CLIENT_REJECTED
    assert failure({**good, "code": "E17"}, 200, plan).reason is Reason.SCOPE_REJECTED
    assert failure({"code": 42}, 400, plan).reason is Reason.PROVIDER_UNAVAILABLE
    assert failure({**good, "ok": False}, 200, plan).reason is Reason.REQUEST_REJECTED
    assert failure({"access_token": "t"}, 200, plan).reason is Reason.REQUEST_REJECTED
    assert read(good, plan=plan).access_token.reveal() == "t"


def test_captured_values_are_one_line_of_text_or_a_number() -> None:
    plan = client_plan(
        response={
            "accessToken": ["/data/token"],
            "capture": {
                "url": "/urls/0/rest~1v1",
                "id": "/id",
                "flag": "/flag",
                "odd": "/odd",
                "no": "/no",
                "o": "/urls",
            },
        }
    )
    answer = {
        "data": {"token": "t"},
        "urls": [{"rest/v1": "https://api.example.com"}],
        "id": 7,
        "flag": True,
        "odd": "a\nb",
    }
    assert read(answer, plan=plan).captured == {"url": "https://api.example.com", "id": "7", "flag": "true"}


@pytest.mark.spec("C8")
def test_a_refresh_token_is_dropped_unread() -> None:
    token = read({"access_token": "t", "refresh_token": CANARY})
    assert CANARY not in repr(token)
    assert CANARY not in str(token.captured)


@pytest.mark.spec("C8", "C11")
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 302])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"error": CANARY, "error_description": CANARY, "access_token": f"{CANARY} x"}, id="in members"),
        pytest.param(f"<html>{CANARY}</html>".encode(), id="in a page"),
        pytest.param(f'{{"{CANARY}": {CANARY}'.encode(), id="in broken JSON"),
        pytest.param(b"\xff" + CANARY.encode(), id="in bytes that are no text"),
    ],
)
def test_nothing_that_a_provider_says_is_in_a_failure(
    answer: bytes | dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    error = failure(answer, status, headers={"retry-after": CANARY, "location": CANARY})
    chain = [error, error.__context__, error.__cause__]
    assert CANARY not in "".join(f"{one!r}{one}{vars(one) if one else ''}" for one in chain)
    try:
        raise error
    except ProviderError:
        logging.getLogger("lanyard").exception("failed")
    assert CANARY not in caplog.text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("2026-11-24T12:00:00Z"),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=8,
)
_MEMBERS = st.sampled_from(
    ["access_token", "token_type", "expires_in", "at", "scope", "error", "ok", "refresh_token", "x"]
)
_ODD = client_plan(
    response={
        "expiresAt": ["/at"],
        "error": ["/error", "/x/code"],
        "success": [{"pointer": "/ok", "equals": "true"}],
        "capture": {"x": "/x", "y": "/x/0"},
    }
)
_UNIX = client_plan(response={"expiresAt": ["/at"], "expiresAtFormat": "unix"}, lifetime={"maximum": "1h"})


@settings(deadline=None)
@given(
    answer=st.dictionaries(_MEMBERS, _JSON).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200),
    status=st.sampled_from([200, 200, 200, 201, 400, 401, 403, 429, 500, 302, 0]),
    headers=st.dictionaries(st.sampled_from(["date", "retry-after"]), st.text(max_size=40)),
    plan=st.sampled_from([PLAIN, USER, _ODD, _UNIX]),
)
def test_any_answer_is_a_sound_token_or_a_provider_error(
    answer: bytes, status: int, headers: dict[str, str], plan: Plan
) -> None:
    try:
        token = parse(plan, status, headers, answer, host=HOST, now=NOW)
    except ProviderError as error:
        refused: ProviderError | None = error
    else:
        refused = None
    if refused is not None:
        assert refused.retry_after is None or 1 <= refused.retry_after <= 3600
        return
    value = token.access_token.reveal()
    assert value
    assert all(0x21 <= ord(character) <= 0x7E for character in value)
    assert token.expires_at is None or NOW < token.expires_at <= NOW + timedelta(days=3650)
    assert token.token_type.isascii()
    assert all(text.isprintable() for text in token.captured.values())


def test_null_is_no_value_and_the_next_pointer_is_tried() -> None:
    offered = connector(token_method(response={"accessToken": ["/a", "/b"]}))
    plan = plan_for(connection("clientSecret", clientId="client"), offered)
    assert read({"a": None, "b": "t"}, plan=plan).access_token.reveal() == "t"


def test_an_error_member_that_says_nothing_is_no_error() -> None:
    for empty in (None, "", False, 0, [], {}):
        assert read({"access_token": "t", "error": empty}).access_token.reveal() == "t"


def test_only_an_object_is_a_document() -> None:
    assert parse_object(b'"x"') is None
    assert parse_object(body(a=1)) == {"a": 1}
