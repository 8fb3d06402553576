"""Every built-in connector against the table it was made from: connectors.csv, one row a product.

Expectations come from the row's columns. What the columns cannot say stands in its notes; each such expectation here
quotes the sentence it rests on, and a test looks the sentence up. Where a connector departs from its row, it says why.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lanyard.api.connection import ConnectionSpec, Method
from lanyard.api.connector import MethodSpec
from lanyard.connectors.checks import is_described
from lanyard.connectors.loader import Connector, from_object, load_catalogue
from lanyard.connectors.selection import Plan, plan_for
from lanyard.connectors.templates import placeholders
from lanyard.errors import ProviderError, SpecError
from lanyard.oauth.grants import token_request
from lanyard.oauth.responses import Token, parse
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.insistent_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEY_ID,
    PASSWORD,
    USERNAME,
    InsistentProvider,
    WireError,
)
from support.rows import METHODS, filled, rows

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CATALOGUE = load_catalogue()
# http is a row of the table, but every cell of it is the user's to fill.
GENERIC = {"oauth2", "http", "bearer", "api-key", "basic", "custom", "lanyard"}
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
PROOFS = {
    "client_secret_basic": ["clientSecret"],
    "client_secret_post": ["clientSecret"],
    "private_key_jwt": ["privateKey"],
}
SEPARATORS = {"space": " ", "comma": ",", "plus": "+", "": None}
# These ask for a user's consent or a refresh token, which a login without a browser has neither of.
USERS_OWN = {"offline_access", "offline", "refresh_token", "openid"}

BROWSERLESS = {Method.CLIENT_CREDENTIALS, Method.PASSWORD}


@dataclass(frozen=True)
class FinePrint:
    """What the notes of a row add to its columns."""

    quotes: tuple[str, ...] = ()
    why: str = ""
    format: str = "form"
    grant_type: str | None = "standard"
    parameters: Mapping[str, str] = field(default_factory=dict)
    address: str = "{token_url}"
    scopes: tuple[str, ...] | None = None
    sends_scopes: bool = True
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    first_client_auth: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    answer: Mapping[str, Any] = field(default_factory=dict)
    captured: Mapping[str, str] = field(default_factory=dict)
    says_nothing_of_scopes: bool = False
    authorization: str = "Bearer {access_token}"
    methods: frozenset[Method] | None = None


def of_the_app(scope: str) -> FinePrint:
    return FinePrint(quotes=("the single scope <resource>/.default",), scopes=(scope,))


GRAPH = of_the_app("https://graph.microsoft.com/.default")
ARM = of_the_app("https://management.azure.com/.default")
SECRETS = FinePrint(
    why="several secrets are named secrets, so the method is custom", methods=frozenset({Method.CUSTOM})
)
SUGAR = FinePrint(
    quotes=(
        "JSON body: grant_type=password, client_id=sugar, client_secret empty, username, password, platform.",
        "Token goes in header OAuth-Token (no Bearer).",
    ),
    format="json",
    parameters={"platform": "lanyard"},
    authorization="{access_token}",
)
FINE_PRINT: Mapping[str, FinePrint] = {
    "act-365": SECRETS,
    "azure-defender-for-cloud clientCredentials": ARM,
    "box": FinePrint(
        quotes=("Client credentials and JWT need box_subject_type and box_subject_id", "Scopes are fixed in the app."),
        parameters={"box_subject_type": "enterprise", "box_subject_id": "1234567"},
        sends_scopes=False,
    ),
    "icontact": SECRETS,
    "mailjet": SECRETS,
    "microsoft-365 clientCredentials": GRAPH,
    "microsoft-azure clientCredentials": ARM,
    "microsoft-azure-active-directory clientCredentials": GRAPH,
    "microsoft-azure-sentinel clientCredentials": ARM,
    "microsoft-onedrive-sharepoint clientCredentials": GRAPH,
    "microsoft-outlook-365 clientCredentials": GRAPH,
    "microsoft-teams clientCredentials": GRAPH,
    "paypal": FinePrint(why="the scopes of the row are those of a user's login", sends_scopes=False),
    "salesforce-agentforce-flows": FinePrint(
        quotes=("Same login as Salesforce", "flows run on {instance_url}"),
        sends_scopes=False,
        answer={"instance_url": "https://acme.my.salesforce.com"},
        captured={"instance_url": "https://acme.my.salesforce.com"},
    ),
    "woocommerce": SECRETS,
    "x-twitter": FinePrint(
        quotes=("App-only bearer: client credentials at https://api.x.com/oauth2/token (v1 path)",),
        address="https://api.x.com/oauth2/token",
        sends_scopes=False,
    ),
    "adobe-pdf-services": FinePrint(
        quotes=("Token request is a form with client_id and client_secret only, no grant_type.",), grant_type=None
    ),
    "datadog": FinePrint(
        quotes=("Two headers from two secrets; /v1/validate proves only the API key.",),
        why="two keys are named secrets, so custom stands beside apiKey",
        methods=frozenset({Method.CUSTOM, Method.API_KEY, Method.AUTHORIZATION_CODE}),
    ),
    "greenhouse": FinePrint(
        quotes=("Client credentials: JSON body with sub = numeric user id, grant_type in the query string.",),
        format="json",
        grant_type=None,
        parameters={"sub": "4012345"},
        address="{token_url}?grant_type=client_credentials",
    ),
    "marketo": FinePrint(
        quotes=(
            "Token request is GET or POST with everything in the query.",
            "The scope member of the token answer is the e-mail of the API-only user.",
        ),
        format="query",
        answer={"scope": "api@example.com"},
        says_nothing_of_scopes=True,
    ),
    "microsoft-dynamics-365-crm": FinePrint(quotes=("Scope carries the environment host, so it must be templated.",)),
    "okta": FinePrint(
        quotes=("Client credentials for okta.* scopes accept private_key_jwt only",),
        first_client_auth="private_key_jwt",
    ),
    "oracle-eloqua": FinePrint(quotes=("Token body is JSON.", "Password grant user is company\\user."), format="json"),
    "oracle-netsuite": FinePrint(
        quotes=("Client credentials: JWT assertion PS256/ES256 with kid = certificate id, iss = client id.",),
        algorithms=("PS256", "ES256"),
        first_client_auth="private_key_jwt",
        without=frozenset({"client_id"}),
    ),
    "pagerduty": FinePrint(
        quotes=("Client credentials scope starts with as_account-{region}.{subdomain}.",),
        scopes=("as_account-{region}.{subdomain}", "read"),
    ),
    "salesforce": FinePrint(
        quotes=("Token answer has NO expires_in", "instance_url comes in the token answer."),
        why="scopes belong to the app; its endpoint takes none for logins without a browser",
        sends_scopes=False,
        answer={"instance_url": "https://acme.my.salesforce.com"},
        captured={
            "instance_url": "https://acme.my.salesforce.com",
            "base_url": "https://acme.my.salesforce.com",
        },
    ),
    "salesforce-marketing-cloud": FinePrint(
        quotes=(
            "Token body is JSON; optional account_id picks the business unit.",
            "rest_instance_url and soap_instance_url come in the token answer.",
        ),
        format="json",
        parameters={"account_id": "7654321"},
        answer={"rest_instance_url": "https://r.example.com/", "soap_instance_url": "https://s.example.com/"},
        captured={"rest_instance_url": "https://r.example.com/", "soap_instance_url": "https://s.example.com/"},
    ),
    "sap-concur": FinePrint(
        quotes=("Token answer field geolocation is the base for refresh and all calls and may change.",),
        answer={"geolocation": "https://us2.api.concursolutions.com"},
        captured={
            "geolocation": "https://us2.api.concursolutions.com",
            "base_url": "https://us2.api.concursolutions.com",
        },
    ),
    "sap-concur password": FinePrint(
        quotes=("Password grant has credtype=password or authtoken",),
        parameters={"credtype": "password"},
        scopes=("openid",),
    ),
    "servicenow clientCredentials": FinePrint(why="useraccount stands for a user, of which there is none", scopes=()),
    "shopify": FinePrint(
        quotes=("Access token goes in X-Shopify-Access-Token, not Authorization.",),
        why="the default of the row is for the browser; an app's own scopes are set in the app",
        scopes=(),
        authorization="{access_token}",
    ),
    "sugar-enterprise": SUGAR,
    "sugar-professional": SUGAR,
    "sugar-sell": SUGAR,
    "sugar-serve": SUGAR,
    "twilio": FinePrint(
        quotes=("API key variant: Basic {api_key_sid}:{api_key_secret}",),
        why="both variants are a user name and a password",
        methods=frozenset({Method.BASIC}),
    ),
    "watsonx-ai": FinePrint(
        quotes=("form grant_type=urn:ibm:params:oauth:grant-type:apikey and apikey=<key>",),
        why="an API key that buys a token is a client secret by another name, so the method is clientCredentials",
        grant_type="urn:ibm:params:oauth:grant-type:apikey",
        names={"client_secret": "apikey"},
        without=frozenset({"client_id"}),
        first_client_auth="client_secret_post",
        methods=frozenset({Method.CLIENT_CREDENTIALS, Method.API_KEY}),
    ),
    "zendesk": FinePrint(
        quotes=(
            "Lifetimes are chosen in the TOKEN REQUEST: expires_in and refresh_token_expires_in",
            "nango sends 1800",
        ),
        parameters={"expires_in": "1800"},
    ),
    "zoom": FinePrint(
        quotes=("Server-to-server: grant_type=account_credentials with account_id", "Scopes live in the app"),
        grant_type="account_credentials",
        parameters={"account_id": "AbCdEfGhIjKlMnOpQrStUv"},
        sends_scopes=False,
    ),
}


def row_of(connector: Connector) -> Mapping[str, str]:
    return rows()["http" if connector.name == "oauth2" else connector.name]


def print_of(connector: Connector, method: MethodSpec) -> FinePrint:
    """The row's fine print, and over it that of one method."""
    whole = FINE_PRINT.get(connector.name, FinePrint())
    own = FINE_PRINT.get(f"{connector.name} {method.name}")
    if own is None:
        return whole
    return replace(whole, parameters=own.parameters, scopes=own.scopes)


TOKENS = [
    (connector, method)
    for connector in CATALOGUE.values()
    for method in connector.spec.methods
    if method.name in BROWSERLESS
]


def parameters_of(connector: Connector) -> dict[str, str]:
    return {
        name: parameter.example or (parameter.enum[0] if parameter.enum else parameter.default or "")
        for name, parameter in connector.spec.parameters.items()
    }


def spec_of(connector: Connector, method: MethodSpec, way: str, scopes: tuple[str, ...] = ()) -> ConnectionSpec:
    fields = PROOFS.get(way, []) + (["password"] if method.name is Method.PASSWORD else [])
    auth = {
        "method": method.name.value,
        "clientId": CLIENT_ID,
        "username": USERNAME,
        "keyId": KEY_ID,
        "clientAuthentication": way,
        "scopes": list(scopes),
    }
    return ConnectionSpec.model_validate(
        {
            "connector": connector.name,
            "parameters": parameters_of(connector),
            "auth": auth,
            "credentials": {field: {"secretRef": {"name": "app", "key": field}} for field in fields},
        }
    )


def ask(plan: Plan, key: Any) -> WireRequest:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credentials = {"clientSecret": CLIENT_SECRET, "password": PASSWORD, "privateKey": pem}
    return token_request(
        plan,
        {name: Sensitive(value) for name, value in credentials.items() if name in plan.required},
        client_id=CLIENT_ID,
        username=USERNAME,
        key_id=KEY_ID,
        now=NOW,
        jti="jti-1",
    )


def provider_of(
    connector: Connector, method: MethodSpec, way: str, asked: tuple[str, ...], key: Any
) -> InsistentProvider:
    """The product as the row describes it; nothing here looks at how the connector is written."""
    row, fine, values = row_of(connector), print_of(connector, method), parameters_of(connector)
    separator = SEPARATORS[row["scope_separator"]]
    parameters = dict(fine.parameters)
    if fine.grant_type is not None:
        standard = "password" if method.name is Method.PASSWORD else "client_credentials"
        parameters["grant_type"] = standard if fine.grant_type == "standard" else fine.grant_type
    if method.name is Method.PASSWORD:
        parameters |= {"username": USERNAME, "password": PASSWORD}
    if fine.sends_scopes and separator is not None:
        listed = [scope for scope in row["default_scopes"].split(separator) if scope and scope not in USERS_OWN]
        wanted = asked or (fine.scopes if fine.scopes is not None else listed)
        if wanted:
            parameters["scope"] = separator.join(filled(scope, values) for scope in wanted)
    if connector.name.startswith("sugar-") and way == "none":
        # With client_secret_post an OAuth key of the instance's own takes the place of sugar and its empty secret.
        parameters["client_secret"] = ""
    return InsistentProvider(
        url=filled(fine.address.replace("{token_url}", row["token_url"]), values),
        format=fine.format,
        client_auth=way,
        parameters=parameters,
        public_key=key.public_key(),
        algorithms=fine.algorithms,
        names=fine.names,
        without=fine.without,
    )


def key_for(connector: Connector, method: MethodSpec) -> Any:
    return EC if print_of(connector, method).algorithms[0] == "PS256" else RSA


@pytest.mark.spec("C5", "C16")
@pytest.mark.parametrize("asked", [pytest.param((), id="by default"), pytest.param(("one", "two"), id="asking scopes")])
@pytest.mark.parametrize(
    ("connector", "method", "way"),
    [
        pytest.param(connector, method, way.value, id=f"{connector.name} {method.name} by {way.value}")
        for connector, method in TOKENS
        for way in method.client_auth.methods
    ],
)
def test_a_provider_that_insists_on_its_format_takes_the_request(
    connector: Connector, method: MethodSpec, way: str, asked: tuple[str, ...]
) -> None:
    key = key_for(connector, method)
    request = ask(plan_for(spec_of(connector, method, way, asked), connector), key)
    provider_of(connector, method, way, asked, key).read(request.method, request.url, request.headers, request.body)


def answer_of(connector: Connector, method: MethodSpec, **members: Any) -> tuple[Token, Plan]:
    way = method.client_auth.methods[0].value
    plan = plan_for(spec_of(connector, method, way), connector)
    answer = {"access_token": "tok", "refresh_token": "never read", **print_of(connector, method).answer, **members}
    body = json.dumps(answer).encode()
    return parse(plan, 200, {}, body, host=plan.token_host, now=NOW), plan


@pytest.mark.spec("C16")
@pytest.mark.parametrize(
    ("connector", "method"), [pytest.param(one, method, id=f"{one.name} {method.name}") for one, method in TOKENS]
)
def test_an_answer_as_the_row_describes_it_becomes_a_token(connector: Connector, method: MethodSpec) -> None:
    fine = print_of(connector, method)
    token, plan = answer_of(connector, method)
    assert token.captured == fine.captured
    assert (token.scope is None) or not fine.says_nothing_of_scopes
    assert plan.method.authorization_format == fine.authorization
    lifetime = row_of(connector)["access_token_lifetime_s"]
    assert token.expires_at is not None
    if lifetime:
        assert token.expires_at - NOW == timedelta(seconds=int(lifetime))
    longer, _ = answer_of(connector, method, expires_in="90000")
    assert longer.expires_at == NOW + timedelta(seconds=90000)


@pytest.mark.spec("C16")
def test_every_sentence_that_an_expectation_rests_on_stands_in_the_table() -> None:
    for name, fine in FINE_PRINT.items():
        notes = rows()[name.split()[0]]["notes"]
        assert all(quote in notes for quote in fine.quotes), name
        assert fine.quotes or fine.why, name


@pytest.mark.spec("C16")
@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - GENERIC))
def test_name_methods_address_and_client_authentication_are_those_of_the_row(name: str) -> None:
    connector, row = CATALOGUE[name], rows()[name]
    spec, fine = connector.spec, FINE_PRINT.get(name, FinePrint())
    assert (spec.display_name, spec.docs_url) == (row["name"], row["docs_url"])
    offered = frozenset(METHODS[kind] for kind in row["auth_types"].split(";"))
    assert frozenset(method.name for method in spec.methods) == (fine.methods or offered)
    values = parameters_of(connector)
    wanted = row["api_base_url"]
    # What only an answer names is captured as base_url, or fills it; a region or an environment is a parameter whose
    # first value is the row's host; and a scheme cannot be one.
    is_learned = any(
        part not in spec.parameters or spec.parameters[part].source != "user" for part in placeholders(wanted)
    )
    is_free = wanted.startswith("{driver}")
    assert (spec.base_url == "" and (is_learned or is_free)) or filled(spec.base_url, values) == filled(wanted, values)
    taken = row["client_auth"].split(";")
    for method in spec.methods:
        if method.name in BROWSERLESS:
            ways = [way.value for way in method.client_auth.methods]
            assert ways[0] == (fine.first_client_auth or taken[0])
            assert set(ways) <= {*taken, fine.first_client_auth or taken[0]}
            assert method.token_request is not None
            assert (
                filled(method.token_request.url, values).split("/")[2] == filled(row["token_url"], values).split("/")[2]
            )


@pytest.mark.spec("C5")
@pytest.mark.parametrize("method", ["authorizationCode", "deviceCode", "jwtBearer", "githubApp"])
def test_a_method_that_a_connector_only_names_says_so(method: str) -> None:
    named = from_object("acme", {"methods": [{"name": method}]})
    spec = ConnectionSpec.model_validate({"connector": "acme", "auth": {"method": method, "clientId": "app"}})
    with pytest.raises(SpecError) as caught:
        plan_for(spec, named)
    assert caught.value.reason is Reason.METHOD_NOT_AVAILABLE


@pytest.mark.spec("C5")
def test_sugar_without_an_oauth_key_of_its_own_is_asked_as_sugar() -> None:
    connector = CATALOGUE["sugar-sell"]
    spec = ConnectionSpec.model_validate(
        {
            "connector": "sugar-sell",
            "parameters": parameters_of(connector),
            "auth": {"username": USERNAME},
            "credentials": {"password": {"secretRef": {"name": "app", "key": "password"}}},
        }
    )
    request = token_request(
        plan_for(spec, connector),
        {"password": Sensitive(PASSWORD)},
        client_id=None,
        username=USERNAME,
        key_id=None,
        now=NOW,
        jti="jti-1",
    )
    assert json.loads(request.body) == {
        "grant_type": "password",
        "client_id": "sugar",
        "client_secret": "",
        "username": USERNAME,
        "password": PASSWORD,
        "platform": "lanyard",
    }


ODD = [
    "adobe-pdf-services", "greenhouse", "marketo", "oracle-netsuite", "salesforce-marketing-cloud", "sugar-sell",
    "watsonx-ai", "zendesk", "zoom",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_the_provider_of_an_odd_product_refuses_the_plain_request(name: str) -> None:
    """The provider insists indeed: what any other product takes is not enough here."""
    connector = CATALOGUE[name]
    method = next(method for method in connector.spec.methods if method.name in BROWSERLESS)
    way = method.client_auth.methods[0].value
    assert method.token_request is not None
    plain = method.model_copy(
        update={
            "token_request": type(method.token_request)(url=method.token_request.url.partition("?")[0]),
            "client_auth": type(method.client_auth)(methods=method.client_auth.methods),
        }
    )
    other = Connector(name, connector.spec.model_copy(update={"methods": [plain]}), "")
    key = key_for(connector, method)
    request = ask(plan_for(spec_of(connector, method, way), other), key)
    with pytest.raises(WireError):
        provider_of(connector, method, way, (), key).read(request.method, request.url, request.headers, request.body)


@pytest.mark.spec("C16")
def test_every_oddity_of_the_table_is_covered() -> None:
    """What a token endpoint of a browserless method can ask for, by the columns and notes of the whole table."""
    methods = [
        method for connector in CATALOGUE.values() for method in connector.spec.methods if method.name in BROWSERLESS
    ]
    requests = [method.token_request for method in methods if method.token_request is not None]
    products = [rows()[name] for name in CATALOGUE if name not in GENERIC]
    assert {request.format for request in requests} == {"form", "json", "query"}
    assert {way.value for method in methods for way in method.client_auth.methods} == {
        way for row in rows().values() for way in row["client_auth"].split(";") if way
    }
    browserless = [
        row
        for row in rows().values()
        if {"oauth2_client_credentials", "oauth2_password"} & set(row["auth_types"].split(";"))
    ]
    for column in ("scope_separator", "client_auth"):
        wanted = {part for row in browserless for part in row[column].split(";")}
        assert wanted <= {part for row in products for part in row[column].split(";")}, column
    described = {m.name for connector in CATALOGUE.values() for m in connector.spec.methods if is_described(m)}
    assert described >= BROWSERLESS
    assert {way.value for way in CATALOGUE["oauth2"].spec.methods[0].client_auth.methods} >= set(
        rows()["http"]["client_auth"].split(";")
    )


@pytest.mark.spec("C11", "C16")
@pytest.mark.parametrize(
    ("name", "status", "body", "reason"),
    [
        pytest.param(
            "watsonx-ai", 400, b'{"errorCode":"BXNIM0415E"}', Reason.CLIENT_REJECTED, id="an unknown key at IBM"
        ),
        pytest.param(
            "salesforce",
            400,
            b'{"error":"invalid_client_id"}',
            Reason.CLIENT_REJECTED,
            id="an unknown app, says Salesforce",
        ),
        pytest.param(
            "microsoft-dynamics-365-crm",
            400,
            b'{"error":"unauthorized_client"}',
            Reason.CLIENT_REJECTED,
            id="an unknown app at Microsoft",
        ),
    ],
)
def test_a_product_s_own_word_for_a_wrong_client_is_understood(
    name: str, status: int, body: bytes, reason: Reason
) -> None:
    connector = CATALOGUE[name]
    method = next(method for method in connector.spec.methods if method.name is Method.CLIENT_CREDENTIALS)
    plan = plan_for(spec_of(connector, method, "client_secret_post"), connector)
    with pytest.raises(ProviderError) as caught:
        parse(plan, status, {}, body, host=plan.token_host, now=NOW)
    assert caught.value.reason is reason


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_parameter_has_an_example_that_its_connector_takes(name: str) -> None:
    values = parameters_of(CATALOGUE[name])
    assert all(values.values()), values
    for method in CATALOGUE[name].spec.methods:
        if method.name in BROWSERLESS:
            assert plan_for(spec_of(CATALOGUE[name], method, method.client_auth.methods[0].value), CATALOGUE[name])


@pytest.mark.spec("A6")
def test_only_secret_fields_take_references_and_plain_fields_do_not() -> None:
    """Credentials are references by type; parameters, client id and user name in plain are text by type."""
    schema = ConnectionSpec.model_json_schema(by_alias=True)
    assert schema["properties"]["credentials"]["additionalProperties"]["$ref"].endswith("/CredentialSource")
    assert schema["properties"]["parameters"]["additionalProperties"]["type"] == "string"
    with pytest.raises(ValueError, match="parameters"):
        ConnectionSpec.model_validate(
            {"connector": "oauth2", "parameters": {"token_url": {"secretRef": {"name": "a", "key": "b"}}}}
        )
