"""Consent, exchange and refresh of every product with an authorization URL in the table, against an insistent provider.

Two connectors stand for a row: one drafted from its columns alone, which shows that the schema and the wire can say
what the columns say; and the one of the catalogue, where its data file describes the method.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lanyard.api.connection import ConnectionSpec, Method
from lanyard.connectors.checks import is_described
from lanyard.connectors.loader import Connector, load_catalogue
from lanyard.connectors.selection import Plan, plan_for
from lanyard.oauth.authorization import authorization_url, callback
from lanyard.oauth.grants import CodeGrant, RefreshGrant, UserGrant, token_request
from lanyard.oauth.pkce import code_challenge, code_verifier
from lanyard.oauth.responses import parse
from lanyard.oauth.revocation import revocation_requests
from lanyard.oauth.wire import WireRequest
from lanyard.sensitive import Sensitive
from support.insistent_provider import CLIENT_ID, CLIENT_SECRET, KEY_ID, InsistentProvider, WireError
from support.rows import METHODS, SEPARATORS, drafted, extra_parameters, filled, offers, rows, samples_of, scopes_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CATALOGUE = load_catalogue()
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
REDIRECT = "https://lanyard.example/oauth/callback/x"
VERIFIER = code_verifier(b"x" * 32)
PROOFS = {
    "client_secret_basic": ("clientSecret",),
    "client_secret_post": ("clientSecret",),
    "private_key_jwt": ("privateKey",),
    "none": (),
}
CONSENTS = {
    name: row
    for name, row in rows().items()
    # Mail uses the addresses of Google or Microsoft, so its row has none.
    if offers(row, "oauth2_authorization_code") and row["authorization_url"]
}


@dataclass(frozen=True)
class FinePrint:
    """What the notes of a row add to its columns; each sentence that it rests on is looked up there."""

    quotes: tuple[str, ...]
    format: str = "form"
    code: Mapping[str, str] = field(default_factory=dict)
    """Parameters beside the standard ones, with a code and with a refresh token."""
    refresh: Mapping[str, str] = field(default_factory=dict)
    refresh_url: str = ""
    refresh_way: str = ""
    refresh_without: frozenset[str] = frozenset()
    page: Mapping[str, str] = field(default_factory=dict)
    answer: Mapping[str, str] = field(default_factory=dict)
    callback: tuple[tuple[str, str], ...] = ()


LIVES = {"expires_in": "1800", "refresh_token_expires_in": "7776000"}
FINE_PRINT = {
    "adobe-acrobat-sign": FinePrint(
        quotes=("Refresh goes to a DIFFERENT endpoint", "Callback carries api_access_point and web_access_point"),
        refresh_url="https://api.na1.adobesign.com/oauth/v2/refresh",
    ),
    "campaign-monitor": FinePrint(
        quotes=("Refresh body is only grant_type and refresh_token (no client credentials).",),
        refresh_way="none",
        refresh_without=frozenset({"client_id"}),
    ),
    "deputy": FinePrint(
        quotes=("POST https://{endpoint}/oauth/access_token with redirect_uri and scope repeated.",),
        refresh={"redirect_uri": "https://lanyard.example/oauth/callback/x", "scope": "longlife_refresh_token"},
        refresh_url="https://acme.eu.deputy.com/oauth/access_token",
    ),
    "keap": FinePrint(
        quotes=("Code exchange takes the secret in the body; refresh takes HTTP Basic",),
        refresh_way="client_secret_basic",
    ),
    "oracle-eloqua": FinePrint(quotes=("Token body is JSON.",), format="json"),
    "quip": FinePrint(quotes=("Token request is GET or POST with query parameters.",), format="query"),
    "salesforce-marketing-cloud": FinePrint(
        quotes=("Token body is JSON; optional account_id picks the business unit.",), format="json"
    ),
    "sap-concur": FinePrint(
        quotes=("Token answer field geolocation is the base for refresh and all calls and may change.",),
        refresh_url="https://us2.api.concursolutions.com/oauth2/v0/token",
    ),
    "shopify": FinePrint(
        quotes=("Token parameter expiring=1 turns on expiry and refresh", "Check the callback hmac and the shop host."),
        code={"expiring": "1"},
        callback=(("hmac", "0" * 64), ("shop", "acme.myshopify.com")),
    ),
    "slack": FinePrint(
        quotes=("user scopes go in authorize parameter user_scope", "Errors come with HTTP 200 and ok=false"),
        page={"user_scope": "search:read"},
        answer={"ok": "true"},
    ),
    "zendesk": FinePrint(
        quotes=("Lifetimes are chosen in the TOKEN REQUEST: expires_in and refresh_token_expires_in",),
        code=LIVES,
        refresh=LIVES,
    ),
}


def print_of(name: str, connector: Connector) -> FinePrint:
    """Of the catalogue's connectors alone: a draft knows the columns and nothing else."""
    plain = FinePrint(quotes=())
    return FINE_PRINT.get(name, plain) if connector is CATALOGUE.get(connector.name) else plain


def described(name: str, method: Method) -> Connector | None:
    connector = CATALOGUE.get(name)
    if connector is None or not any(one.name is method and is_described(one) for one in connector.spec.methods):
        return None
    return connector


def connectors() -> Iterator[Any]:
    for name, row in CONSENTS.items():
        yield pytest.param(name, drafted(row), id=f"{name} by its columns")
        known = described(name, Method.AUTHORIZATION_CODE)
        if known is not None:
            yield pytest.param(name, known, id=f"{name} of the catalogue")


def values_of(name: str, connector: Connector) -> dict[str, str]:
    if connector is not CATALOGUE.get(connector.name):
        return samples_of(CONSENTS[name])
    return {
        one: parameter.example or (parameter.enum[0] if parameter.enum else parameter.default or "")
        for one, parameter in connector.spec.parameters.items()
    }


def ways_of(name: str, connector: Connector) -> list[str]:
    """Those of the row; the catalogue may take fewer of them, in its own order after the first."""
    listed = (CONSENTS[name]["client_auth"] or "client_secret_basic").split(";")
    offered = next(one for one in connector.spec.methods if one.name is Method.AUTHORIZATION_CODE).client_auth.methods
    ways = [way.value for way in offered]
    assert ways[0] == listed[0]
    assert set(ways) <= set(listed)
    return ways


def plan_of(name: str, connector: Connector, way: str) -> Plan:
    values = values_of(name, connector)
    learned = {one for one, parameter in connector.spec.parameters.items() if parameter.source != "user"}
    spec = ConnectionSpec.model_validate(
        {
            "connector": connector.name,
            "parameters": {one: value for one, value in values.items() if value and one not in learned},
            "auth": {"method": "authorizationCode", "clientId": CLIENT_ID, "clientAuthentication": way},
            "credentials": {one: {"secretRef": {"name": "app", "key": one}} for one in PROOFS[way]},
        }
    )
    return plan_for(spec, connector, {one: values[one] for one in learned})


def ask(plan: Plan, grant: UserGrant) -> WireRequest:
    secrets = {"clientSecret": Sensitive(CLIENT_SECRET), "privateKey": Sensitive(PEM)}
    credentials = {name: value for name, value in secrets.items() if name in plan.required}
    return token_request(
        plan, credentials, client_id=CLIENT_ID, username=None, key_id=KEY_ID, now=NOW, jti="jti-1", grant=grant
    )


def provider_of(
    name: str,
    connector: Connector,
    way: str,
    parameters: Mapping[str, str],
    *,
    url: str = "",
    without: frozenset[str] = frozenset(),
) -> InsistentProvider:
    return InsistentProvider(
        url=url or filled(CONSENTS[name]["token_url"], values_of(name, connector)),
        format=print_of(name, connector).format,
        client_auth=way,
        parameters=parameters,
        public_key=KEY.public_key(),
        algorithms=("RS256", "ES256"),
        without=without,
    )


@pytest.mark.spec("C5", "C16")
@pytest.mark.parametrize(("name", "connector"), [*connectors()])
def test_the_page_is_asked_with_exactly_the_parameters_of_the_row(name: str, connector: Connector) -> None:
    row, values = CONSENTS[name], values_of(name, connector)
    plan = plan_of(name, connector, ways_of(name, connector)[0])
    uses_pkce = plan.method.authorization is not None and plan.method.authorization.pkce == "S256"
    assert uses_pkce or row["pkce"] not in {"required", "supported"}
    assert not uses_pkce or row["pkce"] != "no"
    url = authorization_url(
        plan, client_id=CLIENT_ID, redirect_uri=REDIRECT, state="st", verifier=VERIFIER if uses_pkce else None
    )
    wanted = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": REDIRECT, "state": "st"}
    wanted |= extra_parameters(row) | dict(print_of(name, connector).page)
    if scopes_of(row):
        wanted["scope"] = filled(SEPARATORS[row["scope_separator"]].replace("+", " ").join(scopes_of(row)), values)
    if uses_pkce:
        wanted |= {"code_challenge": code_challenge(VERIFIER), "code_challenge_method": "S256"}
    sent = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert dict(sent) == wanted
    assert len(sent) == len(wanted)
    assert urlsplit(url)._replace(query="").geturl() == filled(row["authorization_url"], values)


def cases() -> Iterator[Any]:
    for case in connectors():
        name, connector = case.values
        for way in ways_of(name, connector):
            yield pytest.param(name, connector, way, id=f"{case.id} by {way}")


@pytest.mark.spec("C5", "C7", "C16")
@pytest.mark.parametrize(("name", "connector", "way"), [*cases()])
def test_code_and_refresh_token_are_exchanged_as_the_row_says(name: str, connector: Connector, way: str) -> None:
    plan = plan_of(name, connector, way)
    uses_pkce = plan.method.authorization is not None and plan.method.authorization.pkce == "S256"
    fine = print_of(name, connector)
    answer = callback(plan, [("code", "c+1/="), ("state", "st"), *fine.callback])
    assert answer.code is not None
    code = ask(plan, CodeGrant(answer.code, REDIRECT, VERIFIER if uses_pkce else None))
    wanted = {"grant_type": "authorization_code", "code": "c+1/=", "redirect_uri": REDIRECT}
    if uses_pkce:
        wanted["code_verifier"] = VERIFIER.reveal()
    wanted |= fine.code
    provider_of(name, connector, way, wanted).read(code.method, code.url, code.headers, code.body)
    body = json.dumps({"access_token": "at", "refresh_token": "rt+1/=", **fine.answer}).encode()
    token = parse(plan, 200, {}, body, host=plan.token_host, now=NOW)
    assert token.refresh_token == Sensitive("rt+1/=")
    refresh = ask(plan, RefreshGrant(token.refresh_token, redirect_uri=REDIRECT))
    wanted = {"grant_type": "refresh_token", "refresh_token": "rt+1/=", **fine.refresh}
    provider = provider_of(
        name, connector, fine.refresh_way or way, wanted, url=fine.refresh_url, without=fine.refresh_without
    )
    provider.read(refresh.method, refresh.url, refresh.headers, refresh.body)


@pytest.mark.spec("C16")
@pytest.mark.parametrize(
    ("name", "connector"), [case for case in connectors() if CONSENTS[case.values[0]]["revocation_url"]]
)
def test_a_grant_is_taken_back_where_the_row_says(name: str, connector: Connector) -> None:
    plan = plan_of(name, connector, ways_of(name, connector)[0])
    requests = revocation_requests(
        plan,
        {"clientSecret": Sensitive(CLIENT_SECRET), "privateKey": Sensitive(PEM)},
        client_id=CLIENT_ID,
        refresh_token=Sensitive("rt"),
        access_token=Sensitive("at"),
        now=NOW,
        jti="j",
    )
    wanted = filled(CONSENTS[name]["revocation_url"], {**values_of(name, connector), "client_id": "client%3Aid"})
    assert wanted in {request.url.partition("?")[0] for request in requests}


@pytest.mark.parametrize("name", ["jira", "slack", "shopify", "okta"])
def test_the_provider_refuses_what_another_product_takes(name: str) -> None:
    """It insists indeed: the request that the first way writes is not the one of the second."""
    connector = drafted(CONSENTS[name])
    way = ways_of(name, connector)[0]
    other = "client_secret_basic" if way == "client_secret_post" else "client_secret_post"
    request = ask(plan_of(name, connector, way), RefreshGrant(Sensitive("rt")))
    wanted = {"grant_type": "refresh_token", "refresh_token": "rt"}
    with pytest.raises(WireError):
        provider_of(name, connector, other, wanted).read(request.method, request.url, request.headers, request.body)


@pytest.mark.spec("C16")
def test_every_sentence_of_the_fine_print_stands_in_the_table() -> None:
    for name, fine in FINE_PRINT.items():
        assert fine.quotes, name
        assert all(quote in rows()[name]["notes"] for quote in fine.quotes), name


# What the row calls a key, or a login of its own, is named secrets or another method: test_catalogue_wire says why.
OTHERWISE = {
    "act-365 apiKey", "icontact apiKey", "mailjet apiKey", "twilio apiKey", "woocommerce apiKey", "watsonx-ai custom",
}  # fmt: skip


@pytest.mark.spec("C16")
def test_the_catalogue_describes_every_method_of_every_row() -> None:
    missing = [
        f"{name} {METHODS[kind]}"
        for name, row in rows().items()
        for kind in row["auth_types"].split(";")
        if kind in METHODS and described(name, METHODS[kind]) is None
    ]
    assert set(missing) == OTHERWISE
