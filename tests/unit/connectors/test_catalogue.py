"""The built-in catalogue against the table it was made from, and every oddity of the table found in it."""

import re
from collections.abc import Callable

import pytest

from lanyard.api.connection import GRANT_METHODS, STATIC_METHODS, ClientAuthentication, Method
from lanyard.api.connector import MethodSpec
from lanyard.api.meta import parse_duration
from lanyard.connectors.loader import Connector, load_catalogue
from lanyard.connectors.templates import placeholders
from support.rows import METHODS, rows

CATALOGUE = load_catalogue()
GENERIC = {"oauth2", "bearer", "api-key", "basic", "custom", "lanyard"}
OTHERWISE = {
    # A key and a second secret, or three: named secrets, and one key alone beside them where that is of use.
    "act-365": [Method.CUSTOM],
    "datadog": [Method.CUSTOM, Method.API_KEY, Method.AUTHORIZATION_CODE],
    "icontact": [Method.CUSTOM],
    "mailjet": [Method.CUSTOM],
    "woocommerce": [Method.CUSTOM],
    # Account and auth token, or id and secret of a key: a user name and a password both.
    "twilio": [Method.BASIC],
    # A key that buys a token is a client secret by another name.
    "watsonx-ai": [Method.CLIENT_CREDENTIALS, Method.API_KEY],
}
FACTS = {
    "refresh_token_rotates": "rotation",
    "refresh_token_issued": "refreshToken",
    "access_token_lifetime_s": "lifetime",
    "pkce": "pkce",
    "userinfo_account_field": "identity",
    "test_request": "verification",
    "docs_url": "docsURL",
    "api_base_url": "baseURL",
    "default_scopes": "scopes",
    "revocation_url": "revocation",
    "client_auth": "clientAuth",
    "authorization_url": "authorization",
    "token_url": "tokenRequest",
    "api_key_placement": "placement",
    "extra_authorize_params": "authorizationParams",
    "scope_separator": "scopeSeparator",
}
ROTATION = {"no": {"fixed"}, "yes": {"rotates", "rotatesWithGrace"}, "unknown": {"unknown"}, "": {"unknown"}}


def marked(notes: str, word: str) -> set[str]:
    """Facts that the notes mark so: `[recalled: pkce,docs_url]`."""
    found = re.search(rf"\[{word}: ([^\]]*)\]", notes)
    return {FACTS[column.strip()] for column in found[1].split(",")} if found else set()


def method_of(name: str, method: Method) -> MethodSpec:
    return next(one for one in CATALOGUE[name].spec.methods if one.name is method)


@pytest.mark.spec("C16")
def test_every_row_is_a_connector_and_every_connector_is_a_row_or_generic() -> None:
    assert set(CATALOGUE) - GENERIC == set(rows())
    assert len(rows()) == 165


@pytest.mark.spec("C16")
@pytest.mark.parametrize("name", rows())
def test_the_methods_are_those_of_the_row_in_its_order(name: str) -> None:
    listed = [METHODS[kind] for kind in rows()[name]["auth_types"].split(";")]
    assert [method.name for method in CATALOGUE[name].spec.methods] == OTHERWISE.get(name, listed)


@pytest.mark.spec("C16")
@pytest.mark.parametrize("name", rows())
def test_what_the_row_is_not_sure_of_is_marked_in_the_catalogue(name: str) -> None:
    row, evidence = rows()[name], CATALOGUE[name].evidence
    assert evidence is not None
    assert evidence.confidence == row["confidence"]
    assert set(evidence.recalled) == marked(row["notes"], "recalled")
    assert set(evidence.single_source) == marked(row["notes"], "single source")
    assert set(evidence.unknown) == {FACTS[one] for one in ("pkce", "refresh_token_rotates") if row[one] == "unknown"}


@pytest.mark.spec("C7", "C16")
@pytest.mark.parametrize(
    "name", [name for name, one in CATALOGUE.items() if {m.name for m in one.spec.methods} & GRANT_METHODS]
)
def test_a_refresh_token_turns_as_the_row_says(name: str) -> None:
    row = rows().get("http" if name == "oauth2" else name)
    assert row is not None
    for method in CATALOGUE[name].spec.methods:
        if method.name in GRANT_METHODS:
            assert method.rotation.mode in ROTATION[row["refresh_token_rotates"]]


@pytest.mark.spec("C5")
@pytest.mark.parametrize("name", rows())
def test_pkce_is_off_where_the_row_says_so_or_does_not_know(name: str) -> None:
    for method in CATALOGUE[name].spec.methods:
        if method.authorization is not None:
            off = method.authorization.pkce == "off"
            assert off == (rows()[name]["pkce"] == "no") or (off and rows()[name]["pkce"] == "unknown")


UNVERIFIED = {
    # No web API, or a login that a plain request cannot make.
    "active-directory", "netiq-edirectory", "exchange-server", "hyperv", "system-center", "database-hub", "sap-bapi",
    "mail", "citrix-hypervisor", "workday", "http-webhook", "uipath-genai-activities",
    # Where the keys go is not public.
    "act-365", "icertis", "coupa",
    # A call would cost, or prove nothing.
    "jina-ai", "nvidia-nim", "perplexity", "zoominfo", "watsonx-ai",
    # No call is known.
    "adobe-pdf-services", "sap-concur", "uipath-apps", "uipath-data-fabric", "microsoft-sentiment", "http",
}  # fmt: skip


@pytest.mark.spec("C16")
@pytest.mark.parametrize("name", rows())
def test_a_product_is_verified_unless_there_is_no_way(name: str) -> None:
    methods = CATALOGUE[name].spec.methods
    is_verified = any(m.verification is not None or m.name is Method.AWS_SIGV4 for m in methods)
    assert is_verified == (name not in UNVERIFIED)


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_learned_is_learned_somewhere(name: str) -> None:
    spec = CATALOGUE[name].spec
    learned = {
        "callback": {p for m in spec.methods if m.authorization for p in m.authorization.callback_params.values()},
        "tokenResponse": {key for m in spec.methods for key in m.response.capture},
        "followUp": {key for m in spec.methods if m.follow_up for key in m.follow_up.capture},
    }
    for parameter, declared in spec.parameters.items():
        assert declared.source == "user" or parameter in learned[declared.source]
        assert not (declared.source != "user" and declared.any_host)


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - GENERIC))
def test_every_parameter_says_what_it_is_and_is_used(name: str) -> None:
    spec = CATALOGUE[name].spec
    texts = spec.model_dump_json(by_alias=True, exclude={"parameters": {"__all__": {"description", "example"}}})
    used = set(placeholders(texts))
    for parameter, declared in spec.parameters.items():
        assert declared.description or name == "http"
        # A region is published beside AWS keys; an id may be for a header that only the workload sends.
        assert parameter in used or "for the header" in declared.description or parameter in {"region", "workspace_id",
            "subscription_id"}, parameter  # fmt: skip


FAMILIES = {
    "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize": 11,
    "https://accounts.google.com/o/oauth2/v2/auth": 13,
    "https://accounts.zoho.{dc}/oauth/v2/auth": 3,
    "https://auth.atlassian.com/authorize": 2,
    "https://www.dropbox.com/oauth2/authorize": 2,
    "https://app.hubspot.com/oauth/authorize": 2,
    "https://{my_domain}/services/oauth2/authorize": 2,
    "https://{account}.snowflakecomputing.com/oauth/authorize": 2,
    "https://cloud.uipath.com/identity_/connect/authorize": 3,
}


@pytest.mark.spec("C16")
@pytest.mark.parametrize(("page", "members"), FAMILIES.items())
def test_a_family_has_one_way_and_its_members_their_own_scopes(page: str, members: int) -> None:
    methods = {
        name: method
        for name, one in CATALOGUE.items()
        for method in one.spec.methods
        if method.authorization is not None and method.authorization.url == page
    }
    assert len(methods) == members
    first = next(iter(methods.values()))
    for method in methods.values():
        assert method.token_request == first.token_request
        assert method.client_auth.methods[0] == first.client_auth.methods[0]
        assert method.rotation == first.rotation
        assert method.scopes.default


def those(holds: Callable[[MethodSpec], object]) -> set[str]:
    return {name for name, one in CATALOGUE.items() for method in one.spec.methods if holds(method)}


def having(holds: Callable[[Connector], object]) -> set[str]:
    return {name for name, one in CATALOGUE.items() if holds(one)}


def ways(method: MethodSpec) -> set[str]:
    return set(method.client_auth.methods) if method.name not in STATIC_METHODS else set()


def sources(connector: Connector) -> set[str]:
    return {parameter.source for parameter in connector.spec.parameters.values()}


def headers(method: MethodSpec) -> dict[str, str]:
    return method.verification.request.headers if method.verification is not None else {}


def revoked_by(method: MethodSpec) -> set[tuple[str, str]]:
    return {(one.method, one.authentication) for one in method.revocation}


QUIRKS: dict[str, tuple[set[str], set[str]]] = {
    "1 a full host instead of a part of one": (
        having(lambda c: any(p.type == "hostname" and p.allowed_hosts for p in c.spec.parameters.values())),
        {"okta", "salesforce", "databricks-agent", "activecampaign"},
    ),
    "1 a switch of environment or region": (
        having(lambda c: any(p.enum and p.default and n in c.spec.base_url for n, p in c.spec.parameters.items())),
        {"paypal", "quickbooks-online", "mailgun", "smartsheet", "customer-io", "tangocard", "datadog", "intercom"},
    ),
    "1 several hosts for page, token and API": (
        those(lambda m: m.authorization and m.token_request
              and m.authorization.url.split("/")[2:3] != m.token_request.url.split("/")[2:3]),
        {"adobe-acrobat-sign", "oracle-netsuite", "workday-rest", "paypal", "smartsheet"},
    ),
    "2 basic": (those(lambda m: ClientAuthentication.BASIC in ways(m)), {"xero", "zoom", "hootsuite"}),
    "2 post": (those(lambda m: ClientAuthentication.POST in ways(m)), {"asana", "slack", "shopify"}),
    "2 none": (those(lambda m: ClientAuthentication.NONE in ways(m)), {"x-twitter", "uipath-apps", "sugar-sell"}),
    "2 private_key_jwt": (
        those(lambda m: ClientAuthentication.PRIVATE_KEY_JWT in ways(m)), {"microsoft-365", "okta", "oracle-netsuite"},
    ),
    "2 a body of JSON": (
        those(lambda m: m.token_request and m.token_request.format == "json"),
        {"oracle-eloqua", "salesforce-marketing-cloud", "sugar-sell", "greenhouse"},
    ),
    "2 a query": (those(lambda m: m.token_request and m.token_request.format == "query"), {"marketo", "quip"}),
    "2 a query in the address": (
        those(lambda m: m.token_request and "?" in m.token_request.url), {"bamboohr", "greenhouse"},
    ),
    "3 a header of its own": (
        those(lambda m: m.authorization_format == "{access_token}"), {"shopify", "sugar-sell"},
    ),
    "3 a scheme of its own": (
        those(lambda m: m.authorization_format == "Zoho-oauthtoken {access_token}"),
        {"zoho-campaigns", "zoho-desk", "zoho-mail"},
    ),
    "3 a header that names the kind of token": (
        those(lambda m: "X-Snowflake-Authorization-Token-Type" in headers(m)), {"snowflake", "snowflake-cortex"},
    ),
    "4 parameters of the page": (
        those(lambda m: m.authorization and m.authorization.params),
        {"gmail", "dropbox", "jira", "slack", "bamboohr", "campaign-monitor"},
    ),
    "4 parameters of the token request": (
        those(lambda m: m.authorization and m.token_request and m.token_request.params), {"shopify", "zendesk"},
    ),
    "4 parameters of the refresh": (
        those(lambda m: m.refresh_request and m.refresh_request.params), {"deputy", "zendesk"},
    ),
    "5 learned from the callback": (
        having(lambda c: "callback" in sources(c)),
        {"zoho-mail", "quickbooks-online", "adobe-acrobat-sign", "citrix-sharefile"},
    ),
    "5 learned from the token answer": (
        those(lambda m: m.response.capture),
        {"salesforce", "pipedrive", "deputy", "sap-concur", "salesforce-marketing-cloud", "stripe"},
    ),
    "5 learned from a follow-up": (
        those(lambda m: m.follow_up),
        {"jira", "confluence-cloud", "mailchimp", "docusign", "oracle-eloqua", "xero", "zoho-desk", "gotowebinar"},
    ),
    "5 a choice among several": (
        those(lambda m: m.follow_up and m.follow_up.choose),
        {"jira", "confluence-cloud", "docusign", "xero", "zoho-desk"},
    ),
    "5 a follow-up with a header of its own": (
        those(lambda m: m.follow_up and m.follow_up.request.headers.get("Authorization") == "OAuth {access_token}"),
        {"mailchimp"},
    ),
    "6 a refresh at another address": (
        those(lambda m: m.refresh_request and m.token_request and m.refresh_request.url != m.token_request.url),
        {"adobe-acrobat-sign", "deputy", "sap-concur"},
    ),
    "6 a refresh with another proof": (
        those(lambda m: m.refresh_client_authentication), {"campaign-monitor", "keap"},
    ),
    "7 two tokens in one answer": (
        those(lambda m: len(m.response.access_token) > 1 and "user_access_token" in m.response.capture), {"slack"},
    ),
    "7 a user within the token answer": (those(lambda m: "user_name" in m.response.capture), {"asana"}),
    "8 a second exchange": (those(lambda m: m.exchange), {"facebook"}),
    "8 a grant type of its own": (
        those(lambda m: m.token_request and m.token_request.grant_type), {"watsonx-ai", "zoom", "salesforce"},
    ),
    "8 a password grant with a parameter more": (
        those(lambda m: m.name is Method.PASSWORD and m.token_request and m.token_request.params), {"sap-concur"},
    ),
    "9 a signed JWT as grant": (
        those(lambda m: m.name is Method.JWT_BEARER),
        {"gmail", "salesforce", "docusign", "servicenow", "box", "workday-rest"},
    ),
    "9 scopes within the JWT": (those(lambda m: m.assertion and m.assertion.scope_claim), {"gmail", "docusign"}),
    "9 claims of its own": (those(lambda m: m.assertion and m.assertion.claims), {"box"}),
    "9 algorithms of its own": (
        those(lambda m: "PS256" in m.client_auth.assertion_algorithms), {"oracle-netsuite"},
    ),
    "9 an app that signs": (those(lambda m: m.name is Method.GITHUB_APP), {"github"}),
    "9 a key pair": (
        those(lambda m: m.name is Method.CUSTOM and "private_key" in m.credentials), {"snowflake", "snowflake-cortex"},
    ),
    "10 scopes joined by comma": (
        those(lambda m: m.scopes.separator == "," and m.authorization), {"slack", "shopify", "facebook", "zoho-mail"},
    ),
    "10 scopes joined by plus": (those(lambda m: m.scopes.separator == "+"), {"workable"}),
    "10 scopes that must not be sent": (
        those(lambda m: m.authorization and not m.scopes.send), {"pipedrive", "intercom", "box"},
    ),
    "10 a scope that carries a host": (
        those(lambda m: any("{" in scope for scope in m.scopes.default)), {"microsoft-dynamics-365-crm", "icertis"},
    ),
    "10 scopes of the user": (
        those(lambda m: m.authorization and "user_scope" in m.authorization.params), {"slack"},
    ),
    "11 PKCE off": (
        those(lambda m: m.authorization and m.authorization.pkce == "off" and m.authorization.pkce_off_reason),
        {"linkedin", "slack", "pipedrive", "quip"},
    ),
    "12 several secrets": (
        those(lambda m: m.name is Method.CUSTOM and len(m.credentials) > 1 and m.verification),
        {"datadog", "icontact", "mailjet", "woocommerce", "trello"},
    ),
    "12 a key and a region": (
        those(lambda m: "Ocp-Apim-Subscription-Region" in headers(m)), {"microsoft-translator"},
    ),
    "12 fixed headers": (
        those(lambda m: any(value and "{" not in value for value in headers(m).values())),
        {"anthropic-claude", "klaviyo", "icontact", "pagerduty", "snowflake"},
    ),
    "13 schemes of keys": (
        those(lambda m: headers(m).get("Authorization", "Bearer").split(" ")[0] not in {"Bearer", "Basic"}),
        {"freshsales", "okta", "discord", "klaviyo", "pagerduty"},
    ),
    "13 an e-mail address and a word as user": (
        those(lambda m: headers(m).get("Authorization") == "Basic {email}/token:{api_key}"), {"zendesk"},
    ),
    "13 a literal user": (those(lambda m: headers(m).get("Authorization") == "Basic api:{api_key}"), {"mailgun"}),
    "14 a value that a good answer has": (
        those(lambda m: m.verification and m.verification.expect), {"google-maps", "slack", "marketo", "expensify"},
    ),
    "14 a POST with JSON": (
        those(lambda m: m.verification and m.verification.request.method == "POST" and m.verification.request.body),
        {"shopify", "snowflake", "microsoft-translator"},
    ),
    "14 a POST with nothing": (
        those(lambda m: m.verification and m.verification.request.method == "POST" and not m.verification.request.body),
        {"dropbox", "dropbox-business"},
    ),
    "14 a 403 proves it": (
        those(lambda m: m.verification and m.verification.forbidden_proves), {"greenhouse", "openai", "stripe"},
    ),
    "14 a call that costs": (those(lambda m: m.verification and m.verification.costs), {"clearbit"}),
    "14 no call": (
        having(lambda c: all(m.verification is None and m.name is Method.API_KEY for m in c.spec.methods)),
        {"perplexity", "jina-ai", "nvidia-nim"},
    ),
    "15 RFC 7009": (those(lambda m: ("POST", "client") in revoked_by(m)), {"okta", "xero", "zoom", "asana"}),
    "15 a GET with a query and no proof": (those(lambda m: ("GET", "none") in revoked_by(m)), {"servicenow"}),
    "15 a DELETE with Basic": (those(lambda m: ("DELETE", "basic") in revoked_by(m)), {"github"}),
    "15 a DELETE with the token": (
        those(lambda m: ("DELETE", "bearer") in revoked_by(m)), {"sap-concur", "smartsheet", "zendesk", "facebook"},
    ),
    "15 a call with the token": (
        those(lambda m: ("POST", "bearer") in revoked_by(m)), {"slack", "dropbox", "intercom"},
    ),
    "15 none": (
        those(lambda m: m.authorization and not m.revocation), {"microsoft-365", "cisco-webex", "jira"},
    ),
    "16 an account of a call": (those(lambda m: m.identity and m.identity.request), {"asana", "zoom", "xero"}),
    "16 an account of the token answer": (
        those(lambda m: m.identity and m.identity.request is None), {"marketo", "stripe"},
    ),
    "17 a signed callback": (those(lambda m: m.authorization and m.authorization.callback_hmac), {"shopify"}),
    "17 a callback that names whom it is for": (
        those(lambda m: m.authorization and m.authorization.callback_expect), {"shopify"},
    ),
    "17 a consent of an administrator without a code": (
        those(lambda m: m.name is Method.CLIENT_CREDENTIALS and "adminconsent" in m.description),
        {"microsoft-azure-active-directory"},
    ),
}  # fmt: skip


@pytest.mark.spec("C16")
@pytest.mark.parametrize("quirk", QUIRKS)
def test_an_oddity_of_the_table_is_expressed(quirk: str) -> None:
    found, named = QUIRKS[quirk]
    assert named <= found, named - found


def test_all_seventeen_groups_of_oddities_are_looked_at() -> None:
    assert {int(quirk.split()[0]) for quirk in QUIRKS} == set(range(1, 18))


IDLE_DAYS = {
    "oracle-netsuite": 7, "docusign": 30, "box": 60, "miro": 60, "xero": 60, "adobe-acrobat-sign": 60, "pipedrive": 60,
    "zoom": 90, "cisco-webex": 90, "klaviyo": 90, "shopify": 90, "quickbooks-online": 100, "constant-contact": 180,
    "sap-concur": 180,
}  # fmt: skip


@pytest.mark.spec("C7")
@pytest.mark.parametrize(("name", "days"), IDLE_DAYS.items())
def test_a_grant_that_dies_unused_says_when(name: str, days: int) -> None:
    idle = method_of(name, Method.AUTHORIZATION_CODE).rotation.idle_lifetime
    assert idle is not None
    assert parse_duration(idle).days == days


@pytest.mark.parametrize(("name", "grace"), [("jira", "10m"), ("confluence-cloud", "10m"), ("xero", "30m")])
def test_a_known_grace_is_written_down(name: str, grace: str) -> None:
    rotation = method_of(name, Method.AUTHORIZATION_CODE).rotation
    assert (rotation.mode, rotation.grace) == ("rotatesWithGrace", grace)
