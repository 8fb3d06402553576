"""Plans of the methods to which a person consents, of signed grants, and of AWS keys."""

from typing import Any

import pytest

from lanyard.api.connection import ClientAuthentication, Method
from lanyard.connectors.selection import learned_of, pinned, plan_for
from lanyard.errors import SpecError
from lanyard.reasons import Reason
from support.plans import (
    AUTHORIZE_URL,
    TOKEN_URL,
    code_connector,
    code_plan,
    connection,
    connector,
    device_plan,
    token_method,
)


def refusal(spec: Any, offered: Any) -> tuple[Reason, str | None]:
    with pytest.raises(SpecError) as caught:
        plan_for(spec, offered)
    return caught.value.reason, caught.value.facts.get("field")


@pytest.mark.spec("C5", "C6")
def test_a_plan_for_a_consent_knows_every_address() -> None:
    plan = code_plan(refreshRequest={"url": "https://login.example.com/refresh"})
    assert (plan.authorize_url, plan.token_url) == (AUTHORIZE_URL, TOKEN_URL)
    assert plan.refresh_url == "https://login.example.com/refresh"
    assert (plan.needs_token, plan.host_is_tenants) == (True, False)
    assert plan.required == ("clientSecret",)


@pytest.mark.spec("C6")
def test_the_client_id_of_a_consent_is_plain() -> None:
    spec = connection("clientSecret", "clientId", method="authorizationCode")
    assert refusal(spec, code_connector()) == (Reason.CLIENT_ID_NOT_PLAIN, None)
    assert refusal(connection("clientSecret", method="authorizationCode"), code_connector())[0] is (
        Reason.CREDENTIAL_MISSING
    )


@pytest.mark.spec("C4", "C5")
def test_what_a_consent_under_way_depends_on_has_one_digest() -> None:
    """Prose may change; where it began, and what a token is asked with, may not."""
    described = device_plan(description="Type a code.")
    moved = device_plan(device={"url": "https://elsewhere.example.com/device"})
    assert pinned(described) == pinned(device_plan())
    assert pinned(moved) != pinned(device_plan())
    assert pinned(code_plan(authorization={"params": {"prompt": "consent"}})) != pinned(code_plan())


def test_a_client_without_a_secret_is_public_where_the_product_takes_that() -> None:
    offered = code_connector(clientAuth={"methods": ["client_secret_post", "none"]})
    spec = connection(clientId="client", method="authorizationCode")
    plan = plan_for(spec, offered)
    assert (plan.client_auth, plan.required) == (ClientAuthentication.NONE, ())
    assert plan.refresh_client_auth is ClientAuthentication.NONE


def test_a_refresh_with_another_proof_needs_what_that_proof_needs() -> None:
    offered = code_connector(clientAuth={"methods": ["none"]}, refreshClientAuthentication="client_secret_basic")
    plan = plan_for(connection(clientId="client", method="authorizationCode"), offered)
    assert plan.refresh_client_auth is ClientAuthentication.NONE
    other = code_connector(
        clientAuth={"methods": ["client_secret_post"]}, refreshClientAuthentication="private_key_jwt"
    )
    spec = connection("clientSecret", clientId="client", method="authorizationCode")
    assert refusal(spec, other) == (Reason.CREDENTIAL_MISSING, "privateKey")


@pytest.mark.parametrize("name", ["authorizationCode", "deviceCode", "jwtBearer", "githubApp"])
def test_a_method_that_is_only_named_is_not_available(name: str) -> None:
    offered = connector({"name": "bearerToken"}, {"name": name})
    assert refusal(connection(clientId="c", method=name), offered)[0] is Reason.METHOD_NOT_AVAILABLE


@pytest.mark.parametrize(
    ("assertion", "members", "credentials", "client_id", "expected"),
    [
        pytest.param({}, {}, ("privateKey",), "app", None, id="the client id is the issuer"),
        pytest.param({}, {}, ("privateKey",), None, "clientId", id="so it is needed, refused by the product or not"),
        pytest.param({}, {}, (), "app", "privateKey", id="the key is needed"),
        pytest.param({}, {}, ("privateKey", "certificate"), "app", None, id="a certificate may come along"),
        pytest.param(
            {}, {"clientAuth": {"methods": ["client_secret_post"]}}, ("privateKey",), "app", "clientSecret",
            id="and a secret where the product wants both",
        ),
    ],
)  # fmt: skip
@pytest.mark.spec("C5")
def test_what_a_signed_grant_needs(
    assertion: Any, members: Any, credentials: tuple[str, ...], client_id: str | None, expected: str | None
) -> None:
    described: dict[str, Any] = {"clientAuth": {"methods": ["none"]}, "assertion": assertion} | members
    request = {"omit": ["client_id"]}
    offered = connector(token_method("jwtBearer", tokenRequest=request, **described))
    auth = {"clientId": client_id} if client_id else {}
    spec = connection(*credentials, method="jwtBearer", **auth)
    if expected is None:
        assert plan_for(spec, offered).method.name is Method.JWT_BEARER
    else:
        assert refusal(spec, offered) == (Reason.CREDENTIAL_MISSING, expected)


@pytest.mark.spec("C5")
def test_aws_keys_are_published_by_their_own_names() -> None:
    offered = connector({"name": "awsSigV4"})
    plan = plan_for(connection("access_key_id", "secret_access_key", "session_token", method="awsSigV4"), offered)
    assert (plan.needs_token, plan.required) == (False, ("access_key_id", "secret_access_key"))
    assert refusal(connection("access_key_id", method="awsSigV4"), offered)[1] == "secret_access_key"


LEARNED = {
    "api": {"type": "url", "source": "tokenResponse", "allowedHosts": ["api.example.com"]},
    "realm": {"source": "callback", "pattern": "[0-9]+"},
    "region": {"enum": ["eu"], "default": "eu"},
}


@pytest.mark.spec("C16")
def test_a_learned_parameter_is_nobody_s_to_give_and_completes_addresses_when_it_comes() -> None:
    members = {"parameters": LEARNED, "revocation": [{"url": "{api}/revoke"}]}
    plan = code_plan(**members)
    assert plan.parameters == {"region": "eu"}
    assert plan.host_is_tenants
    later = code_plan(learned={"realm": "12", "api": "https://api.example.com"}, **members)
    assert later.parameters == {"region": "eu", "realm": "12", "api": "https://api.example.com"}


ELSEWHERE = {
    "learned nowhere": {},
    "learned from an answer that is none of its source": {"response": {"capture": {"realm": "/realm"}}},
}


@pytest.mark.spec("C5", "C16")
@pytest.mark.parametrize("members", ELSEWHERE.values(), ids=ELSEWHERE)
def test_an_address_waits_only_for_what_its_own_method_can_learn(members: dict[str, Any]) -> None:
    """ShareFile names the subdomain in the answer to a consent; the method password has no such answer."""
    url = {"url": "https://{realm}.example.com/token"}
    offered = connector(
        token_method(
            "authorizationCode",
            tokenRequest=url,
            authorization={"url": AUTHORIZE_URL, "callbackParams": {"r": "realm"}},
        ),
        token_method("password", tokenRequest=url, **members),
        parameters=LEARNED,
    )
    asked = connection("clientSecret", clientId="client", method="authorizationCode")
    assert plan_for(asked, offered).token_url == ""
    by_password = {"clientId": "client", "username": "ada", "method": "password"}
    assert refusal(connection("clientSecret", "password", **by_password), offered) == (
        Reason.PARAMETER_MISSING,
        "realm",
    )
    given = connection("clientSecret", "password", parameters={"realm": "12"}, **by_password)
    assert plan_for(given, offered).token_url == "https://12.example.com/token"


def test_only_values_of_their_own_source_and_form_are_learned() -> None:
    plan = code_plan(parameters=LEARNED)
    unverified = {"realm": "12", "region": "us", "other": "x", "api": "https://evil.example"}
    assert learned_of(plan, "callback", unverified) == {"realm": "12"}
    assert learned_of(plan, "tokenResponse", unverified) == {}
    assert learned_of(plan, "callback", {"realm": "x"}) == {}


@pytest.mark.parametrize(
    ("url", "tenants"),
    [
        ("https://login.example.com/refresh", False),
        ("https://{region}.example.com/refresh", False),
        ("https://{sub}.example.com/refresh", True),
    ],
)
def test_every_address_that_is_called_counts_for_the_egress_guard(url: str, tenants: bool) -> None:
    # A refresh goes to no host that a Connection names alone, but the product's own answer may name one.
    parameters = {"region": LEARNED["region"], "sub": {"pattern": "[a-z]+", "source": "tokenResponse"}}
    for members in (
        {"refreshRequest": {"url": url}},
        {"revocation": [{"url": url}]},
        {"verification": {"request": {"url": url}}},
        {"identity": {"request": {"url": url}}},
        {"followUp": {"request": {"url": url}, "capture": {"id": "/id"}}},
    ):
        assert code_plan(parameters=parameters, given={"sub": "a"}, **members).host_is_tenants is tenants
