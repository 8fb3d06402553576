import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanyard.api.connection import STATIC_METHODS, TOKEN_METHODS, Method
from lanyard.rules.publish import (
    content_of,
    fingerprint,
    is_ours,
    leftover_keys,
    secret_object,
    static_content,
    timestamp,
    token_content,
)
from lanyard.sensitive import Sensitive

NOW = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)
OURS, FOREIGN = "uid-of-crm", "uid-of-another"


def opened(content: Any) -> dict[str, str]:
    return {name: value.reveal() for name, value in content.items()}


def of_token(**changed: Any) -> dict[str, str]:
    facts: dict[str, Any] = {
        "connector": "salesforce",
        "method": Method.CLIENT_CREDENTIALS,
        "access_token": Sensitive("t0k3n"),
        "token_type": "Bearer",
        "expires_at": NOW,
        "scopes": ("api", "web"),
        "authorization_format": "Bearer {access_token}",
        "base_url": "https://acme.my.salesforce.com",
        "captured": {},
    }
    return opened(token_content(**(facts | changed)))


def of_static(
    method: Method,
    credentials: dict[str, str],
    *,
    username: str | None = None,
    base_url: str = "",
    parameters: dict[str, str] | None = None,
) -> dict[str, str]:
    return opened(
        static_content(
            connector="acme",
            method=method,
            username=username,
            credentials={name: Sensitive(value) for name, value in credentials.items()},
            base_url=base_url,
            parameters=parameters or {},
        )
    )


@pytest.mark.spec("C17", "C5")
def test_a_region_goes_with_the_access_key_that_is_used_there_and_with_nothing_else() -> None:
    key = {"access_key_id": "AKIA", "secret_access_key": "s"}
    assert of_static(Method.AWS_SIGV4, key, parameters={"region": "eu-central-1"})["region"] == "eu-central-1"
    assert "region" not in of_static(Method.AWS_SIGV4, key)
    assert "region" not in of_static(Method.API_KEY, {"apiKey": "k"}, parameters={"region": "eu-central-1"})


@pytest.mark.spec("C17", "C5")
@pytest.mark.parametrize("method", sorted(TOKEN_METHODS))
def test_methods_that_fetch_a_token_publish_these_keys(method: Method) -> None:
    assert of_token(method=method) == {
        "type": method.value,
        "provider": "salesforce",
        "base_url": "https://acme.my.salesforce.com",
        "access_token": "t0k3n",
        "token_type": "Bearer",
        "expires_at": "2026-03-01T12:00:00Z",
        "scope": "api web",
        "authorization_header": "Bearer t0k3n",
    }


@pytest.mark.spec("C17", "C5")
@pytest.mark.parametrize(
    ("method", "given", "keys"),
    [
        (Method.API_KEY, {"apiKey": "k"}, {"api_key": "k"}),
        (Method.BEARER_TOKEN, {"token": "t"}, {"token": "t"}),
        (Method.BASIC, {"username": "ada", "password": "p"}, {"username": "ada", "password": "p"}),
        (Method.CUSTOM, {"accountKey": "a", "region": "b"}, {"accountKey": "a", "region": "b"}),
    ],
    ids=str,
)
def test_methods_that_hand_on_credentials_publish_these_keys(
    method: Method, given: dict[str, str], keys: dict[str, str]
) -> None:
    assert of_static(method, given) == {"type": method.value, "provider": "acme"} | keys


@pytest.mark.spec("C5")
def test_every_method_that_is_built_has_its_keys() -> None:
    assert {Method.API_KEY, Method.BEARER_TOKEN, Method.BASIC, Method.AWS_SIGV4, Method.CUSTOM} == STATIC_METHODS
    assert not STATIC_METHODS & TOKEN_METHODS


def test_a_user_name_comes_from_the_spec_or_from_a_reference() -> None:
    by_reference = of_static(Method.BASIC, {"username": "ada", "password": "p"})
    assert of_static(Method.BASIC, {"password": "p"}, username="ada") == by_reference


def test_the_password_of_a_user_is_never_published_with_a_token() -> None:
    assert "password" not in of_token(method=Method.PASSWORD)


def test_what_is_not_known_is_left_out_or_empty() -> None:
    content = of_token(expires_at=None, base_url="", scopes=())
    assert "base_url" not in content
    assert (content["expires_at"], content["scope"]) == ("", "")
    assert "base_url" not in of_static(Method.API_KEY, {"apiKey": "k"})
    assert of_static(Method.API_KEY, {"apiKey": "k"}, base_url="https://x.example")["base_url"] == "https://x.example"


def test_the_header_has_the_form_that_the_product_takes() -> None:
    assert of_token(authorization_format="Zoho-oauthtoken {access_token}")["authorization_header"] == (
        "Zoho-oauthtoken t0k3n"
    )


def test_a_token_that_looks_like_a_template_is_left_as_it_is() -> None:
    token = Sensitive("{access_token}{0}")
    assert of_token(access_token=token)["authorization_header"] == "Bearer {access_token}{0}"


def test_what_an_answer_captured_is_published_and_replaces_nothing_of_ours() -> None:
    ours = of_token()
    assert of_token(captured={"instance_url": "https://i.example"}) == ours | {"instance_url": "https://i.example"}
    assert of_token(captured=dict.fromkeys(ours, "theirs")) == ours


@pytest.mark.parametrize("name", ["type", "provider", "base_url"])
def test_a_credential_replaces_nothing_of_ours(name: str) -> None:
    content = of_static(Method.CUSTOM, {name: "theirs"}, base_url="https://api.example")
    assert content[name] != "theirs"


def secret(uid: str | None = None, **content: str) -> dict[str, Any]:
    return secret_object(
        namespace="sales",
        name="crm-token",
        secret_type="Opaque",
        owner_name="crm",
        owner_uid=OURS,
        content={name: Sensitive(value) for name, value in content.items()},
        uid=uid,
    )


def test_a_secret_is_owned_by_its_connection_and_goes_with_it() -> None:
    body = secret(token="t")
    assert body["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "Connection",
            "name": "crm",
            "uid": OURS,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert body["metadata"]["labels"]["lanyard.dev/connection-uid"] == OURS
    assert is_ours(body["metadata"], OURS)


def test_a_secret_carries_its_values_in_base64() -> None:
    assert secret(b="ü", a="1")["data"] == {"a": "MQ==", "b": base64.b64encode("ü".encode()).decode()}


def test_an_apply_names_the_secret_that_is_known_as_ours() -> None:
    assert secret("uid-of-secret")["metadata"]["uid"] == "uid-of-secret"
    assert "uid" not in secret()["metadata"]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"ownerReferences": None},
        {"labels": {"lanyard.dev/connection-uid": OURS}},
        {"ownerReferences": [{"uid": FOREIGN, "controller": True}]},
        {"ownerReferences": [{"uid": OURS}]},
        {"ownerReferences": [{"uid": OURS, "controller": False}, {"uid": FOREIGN, "controller": True}]},
    ],
    ids=[
        "nobody's",
        "nobody's, spelt out",
        "labelled by hand",
        "another's",
        "held by us without control",
        "controlled by another",
    ],
)
def test_a_foreign_secret_is_not_ours(metadata: dict[str, Any]) -> None:
    assert not is_ours(metadata, OURS)


def stored(*managers: tuple[str, str, list[str]], keys: str = "a b c") -> dict[str, Any]:
    return {
        "metadata": {
            "managedFields": [
                {
                    "manager": manager,
                    "operation": operation,
                    "fieldsV1": {"f:data": {".": {}} | {f"f:{key}": {} for key in fields}},
                }
                for manager, operation, fields in managers
            ]
        },
        "data": dict.fromkeys(keys.split(), "eA=="),
    }


CONTENT = {"a": Sensitive("x")}


def test_keys_of_an_earlier_method_are_left_over() -> None:
    assert leftover_keys(stored(("lanyard", "Update", ["a", "b"])), CONTENT) == {"b"}


def test_keys_that_somebody_else_added_stay() -> None:
    assert leftover_keys(stored(("kubectl-edit", "Update", ["b"]), ("lanyard", "Apply", ["a"])), CONTENT) == frozenset()


def test_keys_that_are_gone_already_are_not_removed_again() -> None:
    assert leftover_keys(stored(("lanyard", "Update", ["a", "b"]), keys="a"), CONTENT) == frozenset()


@pytest.mark.parametrize(
    "bare",
    [{}, {"metadata": {}}, {"metadata": {"managedFields": None}}, {"metadata": {"managedFields": [{}]}, "data": None}],
    ids=["nothing", "no managers", "null managers", "an empty manager"],
)
def test_a_bare_secret_has_nothing_left_over(bare: dict[str, Any]) -> None:
    assert leftover_keys(bare, CONTENT) == frozenset()


WRITTEN = {"access_token": "t0k3n", "scope": "api web", "expires_at": "", "title": "Zoë ✓"}


@pytest.mark.spec("C13")
@pytest.mark.parametrize("operation", ["Update", "Apply"], ids=["as it was created", "as it was applied"])
def test_what_a_link_reads_is_what_was_written(operation: str) -> None:
    content = {name: Sensitive(value) for name, value in WRITTEN.items()}
    secret = secret_object(
        namespace="sales", name="t", secret_type="Opaque", owner_name="crm", owner_uid="u", content=content, uid=None
    )
    fields = {"f:data": {".": {}, **{f"f:{name}": {} for name in WRITTEN}}}
    secret["metadata"]["managedFields"] = [{"manager": "lanyard", "operation": operation, "fieldsV1": fields}]
    secret["data"]["LD_PRELOAD"] = "//79"
    assert opened(content_of(secret)) == WRITTEN, "and nothing that somebody else put beside it"


@pytest.mark.spec("C13")
def test_a_secret_that_nobody_knows_the_writer_of_carries_nothing() -> None:
    assert content_of({"metadata": {}, "data": {"a": "YQ=="}}) == {}
    assert content_of(stored(("kubectl-edit", "Update", ["a"]))) == {}


datas = st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.sampled_from(["", "YQ==", "Yg=="]))


@given(datas, datas, st.sampled_from(["Opaque", "x"]), st.sampled_from(["Opaque", "x"]))
def test_two_contents_have_one_fingerprint_exactly_when_they_are_equal(
    one: dict[str, str], other: dict[str, str], of_one: str, of_other: str
) -> None:
    same = fingerprint(one, of_one, b"key") == fingerprint(other, of_other, b"key")
    assert same == ((one, of_one) == (other, of_other))


def test_a_fingerprint_means_nothing_without_its_key() -> None:
    assert fingerprint({"a": "YQ=="}, "Opaque", b"one") != fingerprint({"a": "YQ=="}, "Opaque", b"other")


def test_a_fingerprint_does_not_depend_on_order() -> None:
    assert fingerprint({"a": "1", "b": "2"}, "", b"k") == fingerprint({"b": "2", "a": "1"}, "", b"k")


def test_a_timestamp_has_whole_seconds_in_utc() -> None:
    assert timestamp(NOW) == "2026-03-01T12:00:00Z"
