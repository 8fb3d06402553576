"""What a Connection wants, held against what its connector offers."""

from typing import Any

import pytest

from lanyard.api.connection import ClientAuthentication, Method
from lanyard.connectors.selection import plan_for
from lanyard.errors import SpecError
from lanyard.reasons import Reason
from support.plans import client_plan, connection, connector, token_method

ACME = connector(
    {"name": "bearerToken"},
    token_method(clientAuth={"methods": ["client_secret_basic", "private_key_jwt", "none"]}),
    token_method("password", clientAuth={"methods": ["client_secret_post", "none"]}),
    {"name": "apiKey"},
    {"name": "basic"},
    {"name": "custom", "credentials": {"consumerKey": {}, "realm": {"required": False}}},
    {"name": "authorizationCode"},
    parameters={"tenant": {"pattern": "[a-z]+"}, "region": {"enum": ["eu", "us"], "default": "eu"}},
)
TENANT = {"tenant": "acme"}


def refusal(spec: Any, offered: Any = ACME) -> tuple[Reason, str | None]:
    with pytest.raises(SpecError) as caught:
        plan_for(spec, offered)
    return caught.value.reason, caught.value.facts.get("field")


@pytest.mark.spec("C5")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            connection("token", parameters=TENANT, method="jwtBearer"),
            (Reason.METHOD_NOT_OFFERED, None),
            id="a method that the connector does not list is not offered",
        ),
        pytest.param(
            connection(parameters=TENANT, method="authorizationCode"),
            (Reason.METHOD_NOT_AVAILABLE, None),
            id="a method that is listed and not built is not available",
        ),
        pytest.param(connection("token"), (Reason.PARAMETER_MISSING, "tenant"), id="a missing parameter is named"),
        pytest.param(
            connection("token", parameters={"tenant": ""}),
            (Reason.PARAMETER_MISSING, "tenant"),
            id="an empty parameter counts as missing",
        ),
        pytest.param(
            connection("token", parameters={**TENANT, "tennant": "x"}),
            (Reason.PARAMETER_UNKNOWN, "tennant"),
            id="a parameter that is not declared is named",
        ),
        pytest.param(
            connection("token", parameters={**TENANT, "region": "mars"}),
            (Reason.PARAMETER_INVALID, "region"),
            id="a parameter outside its list is named",
        ),
        pytest.param(
            connection(
                "clientSecret",
                parameters=TENANT,
                method="clientCredentials",
                clientId="c",
                clientAuthentication="client_secret_post",
            ),
            (Reason.CLIENT_AUTH_NOT_OFFERED, None),
            id="a client authentication that the connector does not list is not offered",
        ),
        pytest.param(
            connection("clientSecret", parameters=TENANT, method="clientCredentials"),
            (Reason.CREDENTIAL_MISSING, "clientId"),
            id="a client id that is neither plain nor by reference is missing",
        ),
        pytest.param(
            connection(parameters=TENANT, method="clientCredentials", clientId="c"),
            (Reason.CREDENTIAL_MISSING, "clientSecret"),
            id="a client secret is needed for client_secret_basic",
        ),
        pytest.param(
            connection(
                "clientSecret",
                parameters=TENANT,
                method="clientCredentials",
                clientId="c",
                clientAuthentication="private_key_jwt",
            ),
            (Reason.CREDENTIAL_MISSING, "privateKey"),
            id="a private key is needed for private_key_jwt",
        ),
        pytest.param(
            connection("clientSecret", "password", parameters=TENANT, method="clientCredentials", clientId="c"),
            (Reason.CREDENTIAL_UNKNOWN, "password"),
            id="a credential of another method is unknown",
        ),
        pytest.param(
            connection("password", parameters=TENANT, method="password", clientId="c"),
            (Reason.CREDENTIAL_MISSING, "username"),
            id="the password grant needs a user name",
        ),
        pytest.param(
            connection(parameters=TENANT, method="password", clientId="c", username="ada"),
            (Reason.CREDENTIAL_MISSING, "password"),
            id="the password grant needs a password",
        ),
        pytest.param(connection(parameters=TENANT), (Reason.CREDENTIAL_MISSING, "token"), id="bearerToken needs token"),
        pytest.param(
            connection("token", "clientId", parameters=TENANT),
            (Reason.CREDENTIAL_UNKNOWN, "clientId"),
            id="a static method takes no client id",
        ),
        pytest.param(
            connection(parameters=TENANT, method="apiKey"),
            (Reason.CREDENTIAL_MISSING, "apiKey"),
            id="apiKey needs apiKey",
        ),
        pytest.param(
            connection("password", parameters=TENANT, method="basic"),
            (Reason.CREDENTIAL_MISSING, "username"),
            id="basic needs a user name",
        ),
        pytest.param(
            connection("realm", parameters=TENANT, method="custom"),
            (Reason.CREDENTIAL_MISSING, "consumerKey"),
            id="custom needs the fields that the connector names",
        ),
        pytest.param(
            connection("consumerKey", "other", parameters=TENANT, method="custom"),
            (Reason.CREDENTIAL_UNKNOWN, "other"),
            id="custom takes only the fields that the connector names",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(spec: Any, expected: tuple[Reason, str | None]) -> None:
    assert refusal(spec) == expected


@pytest.mark.spec("C5")
@pytest.mark.parametrize(
    ("spec", "required", "client_auth"),
    [
        pytest.param(
            connection("clientSecret", parameters=TENANT, method="clientCredentials", clientId="c"),
            ("clientSecret",),
            ClientAuthentication.BASIC,
            id="the first client authentication is the default",
        ),
        pytest.param(
            connection("clientSecret", "clientId", parameters=TENANT, method="clientCredentials"),
            ("clientSecret", "clientId"),
            ClientAuthentication.BASIC,
            id="a client id may be a reference",
        ),
        pytest.param(
            connection(parameters=TENANT, method="clientCredentials", clientId="c", clientAuthentication="none"),
            (),
            ClientAuthentication.NONE,
            id="a public client has no secret",
        ),
        pytest.param(
            connection("password", parameters=TENANT, method="password", clientId="c", username="ada"),
            ("password",),
            ClientAuthentication.NONE,
            id="the password grant works without a client secret where the product takes public clients",
        ),
        pytest.param(
            connection("password", "clientSecret", "username", parameters=TENANT, method="password", clientId="c"),
            ("password", "clientSecret", "username"),
            ClientAuthentication.POST,
            id="a client secret that is given proves the client",
        ),
        pytest.param(
            connection("password", parameters=TENANT, method="basic", username="ada"),
            ("password",),
            ClientAuthentication.NONE,
            id="basic has a user name in plain or by reference",
        ),
    ],
)
def test_the_fields_that_are_needed_follow_method_and_client_authentication(
    spec: Any, required: tuple[str, ...], client_auth: ClientAuthentication
) -> None:
    plan = plan_for(spec, ACME)
    assert plan.required == required
    assert plan.client_auth is client_auth


def test_the_first_method_is_the_default_and_defaults_fill_parameters() -> None:
    plan = plan_for(connection("token", parameters=TENANT), ACME)
    assert plan.method.name is Method.BEARER_TOKEN
    assert plan.parameters == {"tenant": "acme", "region": "eu"}
    assert not plan.needs_token
    assert not plan.token_host


def test_a_method_that_is_not_offered_names_those_that_work() -> None:
    with pytest.raises(SpecError) as caught:
        plan_for(connection("x", parameters=TENANT, method="jwtBearer"), ACME)
    assert "bearerToken, clientCredentials, password, apiKey, basic, custom" in caught.value.message
    assert "authorizationCode" not in caught.value.message


def test_the_password_grant_needs_the_client_secret_where_the_product_takes_no_public_client() -> None:
    strict = connector(token_method("password", clientAuth={"methods": ["client_secret_post"]}))
    spec = connection("password", clientId="c", username="ada")
    assert refusal(spec, strict) == (Reason.CREDENTIAL_MISSING, "clientSecret")


def test_custom_with_any_fields_needs_one_and_leaves_ours_alone() -> None:
    free = connector({"name": "custom", "anyCredentials": True})
    assert plan_for(connection("a", "b"), free).optional == ("a", "b")
    assert refusal(connection(), free)[0] is Reason.CREDENTIAL_MISSING
    assert refusal(connection("a", "type"), free) == (Reason.CREDENTIAL_UNKNOWN, "type")


def test_a_client_id_that_everybody_uses_may_be_replaced() -> None:
    shared = connector(
        token_method("password", tokenRequest={"params": {"client_id": "app"}}, clientAuth={"methods": ["none"]})
    )
    assert plan_for(connection("password", username="ada"), shared).required == ("password",)
    assert plan_for(connection("password", "clientId", username="ada"), shared).optional == ("clientId",)


@pytest.mark.spec("C9")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param([], ("read", "base"), id="the default is asked for with the mandatory ones"),
        pytest.param(["write"], ("write", "base"), id="scopes of the Connection replace the default"),
        pytest.param(["base", "read"], ("base", "read"), id="a scope is asked for once"),
    ],
)
def test_mandatory_scopes_are_always_asked_for(asked: list[str], expected: tuple[str, ...]) -> None:
    offered = connector(token_method(scopes={"default": ["read"], "mandatory": ["base"]}))
    plan = plan_for(connection("clientSecret", clientId="c", scopes=asked), offered)
    assert plan.scopes == expected
    assert plan.mandatory_scopes == ("base",)


def test_a_scope_can_carry_a_parameter_and_is_left_out_without_it() -> None:
    offered = connector(
        token_method(scopes={"default": ["https://{org}.example.com/.default", "read"]}),
        parameters={"org": {"required": False}},
    )
    given = plan_for(connection("clientSecret", clientId="c", parameters={"org": "acme"}), offered)
    assert given.scopes == ("https://acme.example.com/.default", "read")
    assert plan_for(connection("clientSecret", clientId="c"), offered).scopes == ("read",)


@pytest.mark.parametrize(
    ("url", "parameters", "values", "tenants"),
    [
        pytest.param(
            "https://a.example.com/{tenant}/token", {"tenant": {}}, {"tenant": "t"}, False, id="a path is not"
        ),
        pytest.param(
            "https://{tenant}.example.com/token",
            {"tenant": {"pattern": "[a-z]+"}},
            {"tenant": "t"},
            True,
            id="a part of the host is",
        ),
        pytest.param(
            "https://{host}/token",
            {"host": {"type": "hostname", "enum": ["a.example.com", "b.example.com"]}},
            {"host": "a.example.com"},
            False,
            id="a choice among the platform's hosts is not",
        ),
        pytest.param(
            "{url}", {"url": {"type": "url", "anyHost": True}}, {"url": "https://t.example.com/"}, True, id="a url is"
        ),
    ],
)
def test_a_host_that_the_tenant_influences_is_told(
    url: str, parameters: dict[str, Any], values: dict[str, str], tenants: bool
) -> None:
    offered = connector(token_method(tokenRequest={"url": url}), parameters=parameters)
    plan = plan_for(connection("clientSecret", clientId="c", parameters=values), offered)
    assert plan.host_is_tenants is tenants


def test_a_parameter_that_only_one_method_needs_is_asked_for_there() -> None:
    offered = connector(
        {"name": "basic"},
        token_method(tokenRequest={"url": "https://{tenant}.example.com/token"}),
        parameters={"tenant": {"pattern": "[a-z]+", "required": False}},
    )
    assert plan_for(connection("password", username="ada"), offered).base_url == ""
    spec = connection("clientSecret", clientId="c", method="clientCredentials")
    assert refusal(spec, offered) == (Reason.PARAMETER_MISSING, "tenant")


def test_the_token_host_shows_a_port() -> None:
    plan = client_plan(tokenRequest={"url": "http://127.0.0.1:8080/token"})
    assert plan.token_host == "127.0.0.1:8080"
