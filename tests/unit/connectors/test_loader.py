"""The catalogue loads; what is wrong in a file or an object is refused where it stands."""

from typing import Any

import pytest

from lanyard.api.connection import Method
from lanyard.connectors.checks import is_described
from lanyard.connectors.loader import CatalogueError, catalogue_of, from_object, load_catalogue
from lanyard.connectors.page import connectors_page
from lanyard.errors import SpecError
from lanyard.reasons import Reason
from support.plans import connector, token_method

URL = "https://login.example.com/token"
HOST = {"h": {"pattern": "[a-z]+"}}


def client(**members: Any) -> dict[str, Any]:
    return {"methods": [token_method(**members)]}


def request(**members: Any) -> dict[str, Any]:
    return client(tokenRequest=members)


@pytest.mark.spec("C16")
def test_the_built_in_catalogue_is_sound_and_has_the_generic_connectors() -> None:
    catalogue = load_catalogue()
    assert {"oauth2", "bearer", "api-key", "basic", "custom"} <= set(catalogue)
    assert len(catalogue) == 165 + 6
    offered = {method.name for one in catalogue.values() for method in one.spec.methods}
    assert offered == set(Method)


@pytest.mark.spec("C16")
def test_every_method_that_is_listed_is_described() -> None:
    for name, one in load_catalogue().items():
        assert all(is_described(method) for method in one.spec.methods), name


TOKENS: dict[str, Any] = {"mints": []}
TOKEN = {"name": "clientCredentials", "tokenRequest": {"url": "https://login.example.com/token"}}


@pytest.mark.spec("C16")
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"methods": []}, "methods", id="a connector has a method, or mints"),
        pytest.param(TOKENS | {"methods": [TOKEN]}, "mints", id="a connector has a method or mints, not both"),
        pytest.param(TOKENS | {"parameters": {"a": {}}}, "parameters", id="a connector that mints asks for nothing"),
        pytest.param({"methods": [{"name": "magic"}]}, "methods.0.name", id="a method is one that is known"),
        pytest.param({"methods": [{"name": "basic", "x": 1}]}, "methods.0.x", id="an unknown key is refused"),
        pytest.param(
            {"methods": [{"name": "basic"}], "base_url": URL}, "base_url", id="a key is written as in the schema"
        ),
        pytest.param(
            {"methods": [{"name": "basic"}, {"name": "basic"}]}, "methods[basic]", id="a method is listed once"
        ),
        pytest.param(
            {"methods": [{"name": "password"}]},
            "methods[password].tokenRequest",
            id="a method that fetches a token says how",
        ),
        pytest.param(
            {"methods": [token_method("basic")]},
            "methods[basic].tokenRequest",
            id="a method without a token has no token request",
        ),
        pytest.param(
            request(url="https://{h}.example.com/"),
            "methods[clientCredentials].tokenRequest.url",
            id="a placeholder in the address is declared",
        ),
        pytest.param(
            {**request(url="https://{h}.example.com/"), "parameters": {"h": {}}},
            "methods[clientCredentials].tokenRequest.url",
            id="a placeholder in the host is bounded",
        ),
        pytest.param(
            request(params={"a": "{b}"}),
            "methods[clientCredentials].tokenRequest.params.a",
            id="a placeholder in a parameter is declared",
        ),
        pytest.param(
            request(params={"a": "{client_secret}"}),
            "methods[clientCredentials].tokenRequest.params.a",
            id="a template knows no secret",
        ),
        pytest.param(
            request(params={"a": "{B}"}),
            "methods[clientCredentials].tokenRequest.params.a",
            id="a brace without a placeholder is refused",
        ),
        pytest.param(
            request(url="http://login.example.com/"),
            "methods[clientCredentials].tokenRequest.url",
            id="a token address uses https",
        ),
        pytest.param(
            request(url="https://user@login.example.com/"),
            "methods[clientCredentials].tokenRequest.url",
            id="a token address has no user information",
        ),
        pytest.param(
            {**request(url="{h}/token"), "parameters": HOST},
            "methods[clientCredentials].tokenRequest.url",
            id="an address begins with a parameter of type url or none",
        ),
        pytest.param(
            request(headers={"Authorization": "x"}),
            "methods[clientCredentials].tokenRequest.headers.Authorization",
            id="a connector does not set the headers of the client authentication",
        ),
        pytest.param(
            request(headers={"X-A": "a\r\nB: c"}),
            "methods[clientCredentials].tokenRequest.headers.X-A",
            id="a header has no line break",
        ),
        pytest.param(
            request(rename={"grantType": "g"}),
            "methods[clientCredentials].tokenRequest.rename",
            id="only standard parameters are renamed",
        ),
        pytest.param(
            request(omit=["grantType"]),
            "methods[clientCredentials].tokenRequest.omit",
            id="only standard parameters are omitted",
        ),
        pytest.param(
            client(credentials={"extra": {}}),
            "methods[clientCredentials].credentials",
            id="a secret that nothing would send is refused",
        ),
        pytest.param(
            client(authorizationFormat="Bearer"),
            "methods[clientCredentials].authorizationFormat",
            id="an authorization format holds the token",
        ),
        pytest.param(
            client(response={"capture": {"access_token": "/x"}}),
            "methods[clientCredentials].response.capture.access_token",
            id="a capture does not take a key of ours",
        ),
        pytest.param(
            {"baseURL": "https://api.example.com", **client(response={"capture": {"base_url": "/x"}})},
            "methods[clientCredentials].response.capture.base_url",
            id="a base_url is either written or captured",
        ),
        pytest.param(
            client(lifetime={"default": "0s"}), "methods[clientCredentials].lifetime.default", id="a life is not zero"
        ),
        pytest.param(
            client(errors=[{"means": "client"}]),
            "methods[clientCredentials].errors",
            id="an error rule matches something",
        ),
        pytest.param({"methods": [{"name": "custom"}]}, "methods[custom].credentials", id="custom names its fields"),
        pytest.param(
            {"methods": [{"name": "custom", "credentials": {"provider": {}}}]},
            "methods[custom].credentials.provider",
            id="a field of custom does not take a key of ours",
        ),
        pytest.param(
            {"methods": [{"name": "apiKey", "anyCredentials": True}]},
            "methods[apiKey].anyCredentials",
            id="only custom takes any fields",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "parameters": {"h": {"pattern": "("}}},
            "parameters.h.pattern",
            id="a pattern compiles",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "parameters": {"h": {"pattern": "(?=a)a"}}},
            "parameters.h.pattern",
            id="a pattern is RE2",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "parameters": {"h": {"type": "hostname"}}},
            "parameters.h",
            id="a parameter that reaches a host is bounded",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "parameters": {"h": {"pattern": "[a-z]+", "default": "1"}}},
            "parameters.h.default",
            id="a default has the form of its parameter",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "parameters": {"client_id": {}}},
            "parameters.client_id",
            id="client_id is no parameter",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "baseURL": "https://{nope}/"}, "baseURL", id="the base URL is checked too"
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "baseURL": "https://[::zz]/"}, "baseURL", id="the base URL names a host"
        ),
        pytest.param(
            {"methods": [TOKEN | {"clientAuth": {"basicScheme": "B\r\nX: y"}}]},
            "methods[clientCredentials].clientAuth.basicScheme",
            id="a scheme is one word",
        ),
        pytest.param(
            {"methods": [TOKEN | {"response": {"capture": {"..": "/a"}}}]},
            "methods[clientCredentials].response.capture...",
            id="a captured key is one that a Secret can have",
        ),
        *(
            pytest.param(
                {"methods": [{"name": "clientCredentials", "tokenRequest": {"url": url}}]},
                "methods[clientCredentials].tokenRequest.url",
                id=f"{url} is no address",
            )
            for url in (
                "https://h:99999/t",
                "https://h:/t",
                "https:///t",
                "https://:443/t",
                "https://a b/t",
                "https://h/a b",
                "https://[::zz]/t",
                "https://[fe80::1%25eth0]/t",
                "https://h:1:2/t",
                "https://..../t",
            )
        ),
    ],
)
def test_a_connector_object_that_cannot_work_is_refused_by_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_object("acme", spec)
    assert caught.value.reason is Reason.CONNECTOR_INVALID
    assert caught.value.facts == {"connector": "acme", "field": field}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("name: a\nmethods: [{name: basic, x: 1}]", "a.yaml: connector a: methods.0.x", id="unknown key"),
        pytest.param("name: a\nmethods: [{name: password}]", "a.yaml: connector a: methods[password]", id="incomplete"),
        pytest.param("methods: [{name: basic}]", "a.yaml: a connector has a name", id="no name"),
        pytest.param(
            "name: a\nevidence: {confidence: verified, recalled: [colour]}\nmethods: [{name: basic}]",
            "a.yaml: connector a: evidence.recalled.0",
            id="a fact that is none",
        ),
        pytest.param(
            "name: a\nevidence: {recalled: [pkce]}\nmethods: [{name: basic}]",
            "a.yaml: connector a: evidence.confidence",
            id="evidence without a verdict",
        ),
        pytest.param(
            "family: {methods: [{name: basic}]}\nconnectors: [{name: a, methods: [{name: basic, y: 1}]}]",
            "a.yaml: connector a: methods.0.y",
            id="an unknown key in a member",
        ),
        pytest.param(
            "family: {methods: [{name: basic, verification: {request: {url: 'http://a.example'}}}]}\n"
            "connectors: [{name: a}]",
            "a.yaml: connector a: methods[basic].verification.request.url",
            id="what a family makes of its members",
        ),
        pytest.param("- a", "a.yaml: a connector is a mapping", id="not a mapping"),
        pytest.param("a: [", "a.yaml: not YAML", id="not YAML"),
        pytest.param("family: {}\nconnectors: []\nmore: 1", "a.yaml: more", id="a family with more"),
        pytest.param(
            "connectors: [{name: a, methods: [{name: basic}]}, {name: a, methods: [{name: basic}]}]",
            "a.yaml: connector a: there is another",
            id="twice the same name",
        ),
    ],
)
def test_a_wrong_file_is_named_with_connector_and_key(text: str, said: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        catalogue_of({"a.yaml": text})
    assert str(caught.value).startswith(said)


def test_a_family_shares_what_its_members_do_not_say() -> None:
    text = f"""
family:
  docsURL: https://docs.example.com
  parameters: {{region: {{enum: [eu, us], default: eu}}}}
  methods:
    - name: clientCredentials
      tokenRequest: {{url: '{URL}', params: {{a: '1'}}}}
      scopes: {{default: [read]}}
    - name: basic
connectors:
  - name: one
  - name: two
    docsURL: https://two.example.com
    methods:
      - name: clientCredentials
        tokenRequest: {{params: {{b: '2'}}}}
        scopes: {{default: [write]}}
      - name: apiKey
"""
    found = catalogue_of({"family.yaml": text})
    one, two = found["one"].spec, found["two"].spec
    assert [method.name for method in one.methods] == ["clientCredentials", "basic"]
    assert [method.name for method in two.methods] == ["clientCredentials", "basic", "apiKey"]
    assert two.docs_url == "https://two.example.com"
    assert two.parameters == one.parameters
    request = two.methods[0].token_request
    assert request is not None
    assert (request.url, request.params) == (URL, {"a": "1", "b": "2"})
    assert two.methods[0].scopes.default == ["write"]


def test_the_digest_follows_what_a_token_depends_on_and_nothing_else() -> None:
    plain = connector(token_method(), parameters={"a": {"required": False}})
    prose = connector(
        token_method(description="words"),
        displayName="Acme",
        docsURL="https://docs.example.com",
        parameters={"a": {"required": False, "description": "words", "example": "x"}},
    )
    other = connector(
        token_method(tokenRequest={"params": {"description": "x"}}), parameters={"a": {"required": False}}
    )
    assert plain.digest == prose.digest
    assert plain.digest != other.digest
    assert len(plain.digest) == 16


CONSENT = {
    "authorization": {"url": "https://login.example.com/authorize"},
    "followUp": {"request": {"url": "https://api.example.com/me"}, "capture": {"id": "/id"}},
}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"authorization": {"url": "https://login.example.com/other"}}, id="the page"),
        pytest.param({"identity": {"account": ["/name"]}}, id="the account"),
        pytest.param({"verification": {"request": {"url": "https://api.example.com/me"}}}, id="the verification"),
        pytest.param({"revocation": [{"url": "https://login.example.com/revoke"}]}, id="the revocation"),
        pytest.param({"rotation": {"mode": "fixed"}}, id="the rotation"),
    ],
)
def test_what_comes_before_or_after_a_token_makes_nobody_fetch_one(members: dict[str, Any]) -> None:
    one = connector(token_method("authorizationCode", **CONSENT))
    assert connector(token_method("authorizationCode", **(CONSENT | members))).digest == one.digest


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"followUp": {**CONSENT["followUp"], "capture": {"id": "/other"}}}, id="what is published beside"),
        pytest.param({"scopes": {"default": ["a"]}}, id="the scopes"),
        pytest.param({"refreshRequest": {"url": "https://login.example.com/refresh"}}, id="the refresh"),
        pytest.param({"response": {"capture": {"owner": "/owner"}}}, id="what is read from the answer"),
    ],
)
def test_what_a_token_depends_on_changes_the_digest(members: dict[str, Any]) -> None:
    one = connector(token_method("authorizationCode", **CONSENT))
    assert connector(token_method("authorizationCode", **(CONSENT | members))).digest != one.digest


def test_evidence_belongs_to_files_and_compares_nothing() -> None:
    text = "name: a\nmethods: [{name: basic}]"
    plain = catalogue_of({"a.yaml": text})["a"]
    known = catalogue_of({"a.yaml": f"{text}\nevidence: {{confidence: recalled, unknown: [pkce]}}"})["a"]
    assert plain == known
    assert (plain.evidence, known.evidence and known.evidence.unknown) == (None, ["pkce"])
    with pytest.raises(SpecError):
        from_object("a", {"methods": [{"name": "basic"}], "evidence": {"confidence": "verified"}})


@pytest.mark.spec("C16")
def test_the_page_says_how_well_a_fact_is_known_and_what_a_refresh_token_does() -> None:
    page = connectors_page(load_catalogue())
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ")}
    assert "Unknown: PKCE." in sections["jira"]
    assert "Recalled, not looked up twice: the lifetime, the name of the account." in sections["jira"]
    assert "Refresh token rotating with grace of 10m, the old access token ends with it" in sections["jira"]
    assert "From a single source: the address of the consent page" in sections["workday-rest"]
    assert "ends after 7 days without use" in sections["oracle-netsuite"]
    assert "PKCE is off: The product refuses it on its web flow." in sections["linkedin"]
    assert "Cannot be taken back from here." in sections["microsoft-365"]
    assert "Without a verification." in sections["active-directory"]
    assert "which the product charges for" in sections["clearbit"]
    assert "How well it is known: unknown." in sections["act-365"]
    assert "swapped for one that lasts" in sections["facebook"]
    assert "`access_key_id`, `secret_access_key`, `session_token` (optional)" in sections["amazon-ses"]


@pytest.mark.spec("C16")
def test_the_page_shows_every_connector_and_every_method() -> None:
    catalogue = load_catalogue()
    page = connectors_page(catalogue)
    for name, one in catalogue.items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert all(f"| `{method.name}` |" in section for method in one.spec.methods)
    assert "(#salesforce)" in page
    assert "*later*" not in page
