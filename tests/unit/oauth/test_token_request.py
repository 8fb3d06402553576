"""What is asked of the token endpoint, and what is wrong with it."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.oauth.token_request import MOST_FIELDS, Dialect, ErrorCode, Question, RequestError, _pairs, question

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
REFERENCE = {
    "grant_type": "client_credentials",
    "client_id": "0d5a",
    "client_assertion_type": ASSERTION_TYPE,
    "client_assertion": "a.b.c",
    "scope": "read write",
}
BEARER = {"grant_type": Dialect.JWT_BEARER.value, "assertion": "a.b.c"}
EXCHANGE = {"grant_type": Dialect.TOKEN_EXCHANGE.value, "subject_token": "a.b.c", "subject_token_type": JWT_TYPE}


def asked(fields: dict[str, str] | list[tuple[str, str]]) -> Question:
    return question(urlencode(fields).encode())


@pytest.mark.spec("F7")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            REFERENCE,
            Question(Dialect.CLIENT_CREDENTIALS, "a.b.c", "0d5a", (), "read write"),
            id="the five fields of the reference",
        ),
        pytest.param(BEARER, Question(Dialect.JWT_BEARER, "a.b.c", None, (), ""), id="the JWT is the grant"),
        pytest.param(
            [*EXCHANGE.items(), ("audience", "0d5a"), ("resource", "https://a"), ("audience", "x")],
            Question(Dialect.TOKEN_EXCHANGE, "a.b.c", None, ("0d5a", "x", "https://a"), ""),
            id="audience and resource may repeat",
        ),
        pytest.param(
            REFERENCE | {"x-client-sku": "MSAL.Python", "claims": "{}", "client_info": "1"},
            Question(Dialect.CLIENT_CREDENTIALS, "a.b.c", "0d5a", (), "read write"),
            id="fields that nobody knows are ignored",
        ),
        pytest.param(
            REFERENCE | {"scope": "", "client_id": ""},
            Question(Dialect.CLIENT_CREDENTIALS, "a.b.c", None, (), ""),
            id="a parameter without a value is absent",
        ),
        pytest.param(
            EXCHANGE | {"requested_token_type": "urn:ietf:params:oauth:token-type:access_token"},
            Question(Dialect.TOKEN_EXCHANGE, "a.b.c", None, (), ""),
            id="an access token may be asked for by name",
        ),
    ],
)
def test_a_form_is_one_question(fields: dict[str, str], expected: Question) -> None:
    assert asked(fields) == expected


def test_forty_fields_are_taken() -> None:
    more = {f"f{number}": "x" for number in range(40)}
    assert asked(REFERENCE | more).client_id == "0d5a"


@pytest.mark.spec("F8")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({}, ErrorCode.INVALID_REQUEST, id="nothing"),
        pytest.param({"grant_type": "password"}, ErrorCode.UNSUPPORTED_GRANT_TYPE, id="another grant"),
        pytest.param([*REFERENCE.items(), ("scope", "x")], ErrorCode.INVALID_REQUEST, id="scope twice"),
        pytest.param(
            [*REFERENCE.items(), ("grant_type", "client_credentials")], ErrorCode.INVALID_REQUEST, id="grant_type twice"
        ),
        pytest.param(REFERENCE | {"client_assertion": ""}, ErrorCode.INVALID_REQUEST, id="no assertion"),
        pytest.param(REFERENCE | {"client_assertion_type": "jwt"}, ErrorCode.INVALID_REQUEST, id="another type"),
        pytest.param(REFERENCE | {"client_secret": "s"}, ErrorCode.INVALID_REQUEST, id="a secret beside the JWT"),
        pytest.param(BEARER | {"client_assertion": "d.e.f"}, ErrorCode.INVALID_REQUEST, id="two JWTs"),
        pytest.param(BEARER | {"assertion": ""}, ErrorCode.INVALID_REQUEST, id="a grant without its JWT"),
        pytest.param(EXCHANGE | {"subject_token_type": "saml2"}, ErrorCode.INVALID_REQUEST, id="not a JWT"),
        pytest.param(EXCHANGE | {"actor_token": "x"}, ErrorCode.INVALID_REQUEST, id="on behalf of somebody"),
        pytest.param(
            EXCHANGE | {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            ErrorCode.INVALID_REQUEST,
            id="a refresh token is asked for",
        ),
        pytest.param(REFERENCE | {"scope": "a  b"}, ErrorCode.INVALID_SCOPE, id="two spaces"),
        pytest.param(REFERENCE | {"scope": 'a"b'}, ErrorCode.INVALID_SCOPE, id="a quote in a scope"),
        pytest.param(REFERENCE | {"scope": "a\x00b"}, ErrorCode.INVALID_SCOPE, id="NUL in a scope"),
        pytest.param(
            {f"f{number}": "x" for number in range(MOST_FIELDS + 1)}, ErrorCode.INVALID_REQUEST, id="too many fields"
        ),
    ],
)
def test_what_is_wrong_has_its_code(fields: dict[str, str], code: ErrorCode) -> None:
    with pytest.raises(RequestError) as refused:
        asked(fields)
    assert refused.value.code is code


@pytest.mark.parametrize("body", [b"\xff\xfe", b"%ff=%fe", b"grant_type", b"{}", b"\x00"])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        question(body)
    assert refused.value.code is ErrorCode.INVALID_REQUEST


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_out_of_junk(body: bytes) -> None:
    assert _refusal(body).isprintable()


def _refusal(body: bytes) -> str:
    try:
        question(body)
    except RequestError as refused:
        return refused.description
    return ""


_FIELD = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(_FIELD, _FIELD), min_size=1, max_size=12))
def test_a_form_is_read_as_the_standard_library_reads_it(fields: list[tuple[str, str]]) -> None:
    body = urlencode(fields)
    assert list(_pairs(body)) == parse_qsl(body, strict_parsing=True, errors="strict")


@pytest.mark.parametrize("body", ["a", "a=1&", "&a=1", "a=1&&b=2", "a=%ff", "%ff=a", ""])
def test_what_the_standard_library_refuses_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(_pairs(body))
