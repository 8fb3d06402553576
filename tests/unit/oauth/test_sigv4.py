"""AWS Signature Version 4 against what AWS has published.

The signatures are those of the suite aws-sig-v4-test-suite (docs.aws.amazon.com/general/latest/gr, now kept in
awslabs/aws-c-auth) and of the IAM example in "Create a signed AWS API request".
"""

from datetime import UTC, datetime

import pytest

from lanyard.errors import LanyardError
from lanyard.oauth.probes import Verdict
from lanyard.oauth.sigv4 import Keys, caller_identity_request, caller_identity_verdict, signed
from lanyard.oauth.wire import WireRequest
from lanyard.sensitive import Sensitive

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
KEYS = Keys("AKIDEXAMPLE", Sensitive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SUITE = "https://example.amazonaws.com/"


@pytest.mark.parametrize(
    ("request_", "service", "names", "signature"),
    [
        pytest.param(
            WireRequest("GET", SUITE, {}, b"", ""), "service", "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", id="get-vanilla",
        ),
        pytest.param(
            WireRequest("POST", SUITE, {}, b"", ""), "service", "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", id="post-vanilla",
        ),
        pytest.param(
            WireRequest("POST", SUITE, FORM, b"Param1=value1", ""), "service", "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a", id="post-x-www-form-urlencoded",
        ),
        pytest.param(
            WireRequest("GET", f"{SUITE}?Param2=value2&Param1=value1", {}, b"", ""), "service", "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            WireRequest(
                "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
                {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, b"", "",
            ),
            "iam", "content-type;host;x-amz-date",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7", id="the ListUsers example",
        ),
    ],
)  # fmt: skip
@pytest.mark.spec("C16")
def test_the_signature_is_the_published_one(request_: WireRequest, service: str, names: str, signature: str) -> None:
    sent = signed(request_, KEYS, region="us-east-1", service=service, now=NOW).headers["Authorization"]
    scope = f"20150830/us-east-1/{service}/aws4_request"
    assert sent == f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}"


CREDENTIALS = {
    "access_key_id": Sensitive("AKIDEXAMPLE"),
    "secret_access_key": Sensitive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
}


def test_the_question_whose_keys_these_are_goes_to_the_region_s_sts() -> None:
    request = caller_identity_request(CREDENTIALS, region="eu-central-1", now=NOW)
    assert (request.method, request.url) == ("POST", "https://sts.eu-central-1.amazonaws.com/")
    assert request.body == b"Action=GetCallerIdentity&Version=2011-06-15"
    assert "SignedHeaders=content-type;host;x-amz-date" in request.headers["Authorization"]
    assert caller_identity_request(CREDENTIALS, region="cn-north-1", now=NOW).host == "sts.cn-north-1.amazonaws.com.cn"


def test_a_session_token_is_sent_and_signed() -> None:
    keys = {**CREDENTIALS, "session_token": Sensitive("st+1==")}
    request = caller_identity_request(keys, region="us-east-1", now=NOW)
    assert request.headers["X-Amz-Security-Token"] == "st+1=="
    assert "x-amz-security-token" in request.headers["Authorization"]


@pytest.mark.parametrize("region", ["", "evil.example/", "us-east-1.evil.example", "us-east-1\n", "US-EAST-1"])
def test_a_region_cannot_lead_elsewhere(region: str) -> None:
    with pytest.raises(LanyardError):
        caller_identity_request(CREDENTIALS, region=region, now=NOW)


@pytest.mark.parametrize(
    ("name", "value"), [("access_key_id", "AK\r\nX: 1"), ("access_key_id", ""), ("session_token", "a\nb")]
)
def test_a_key_that_no_header_carries_is_named(name: str, value: str) -> None:
    with pytest.raises(LanyardError) as caught:
        caller_identity_request({**CREDENTIALS, name: Sensitive(value)}, region="us-east-1", now=NOW)
    assert caught.value.facts["field"] == name


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.WORKS),
        (403, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (400, Verdict.UNKNOWN),
        (429, Verdict.UNKNOWN),
        (503, Verdict.UNKNOWN),
    ],
)
def test_every_key_may_ask_whose_it_is_so_a_403_refuses_the_key(status: int, verdict: Verdict) -> None:
    assert caller_identity_verdict(status) is verdict
