"""Drafts of Connectors from API descriptions: what comes out, what becomes a remark, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lanyard.connectors.loader import from_object
from lanyard.entry.plugin.openapi import DraftError, draft
from support.scripted_kubectl import ScriptedKubectl

pytestmark = pytest.mark.spec("C19")

AUTHORIZE, TOKEN = "https://id.acme.com/authorize", "https://id.acme.com/token"


def described(*servers: Mapping[str, Any], **schemes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Acme CRM", "version": "1"},
        "servers": list(servers) or [{"url": "https://api.acme.com/v1/"}],
        "components": {"securitySchemes": schemes},
    }


def oauth2(**flows: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "oauth2", "flows": flows}


def methods(document: Mapping[str, Any]) -> dict[str, Any]:
    made, _ = draft(document)
    return {method.pop("name"): method for method in made["spec"]["methods"]}


def test_every_kind_of_scheme_becomes_a_method() -> None:
    flow = {"authorizationUrl": AUTHORIZE, "tokenUrl": TOKEN, "refreshUrl": f"{TOKEN}/refresh", "scopes": {"read": ""}}
    found = methods(
        described(
            sso=oauth2(authorizationCode=flow, clientCredentials={"tokenUrl": TOKEN, "scopes": {}}),
            owner=oauth2(password={"tokenUrl": TOKEN}),
            tv=oauth2(deviceAuthorization={"tokenUrl": TOKEN, "deviceAuthorizationUrl": "https://id.acme.com/device"}),
            pat={"type": "http", "scheme": "Bearer"},
            basic={"type": "http", "scheme": "basic"},
            key={"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        )
    )
    assert found == {
        "authorizationCode": {
            "authorization": {"url": AUTHORIZE},
            "tokenRequest": {"url": TOKEN},
            "refreshRequest": {"url": f"{TOKEN}/refresh"},
        },
        "clientCredentials": {"tokenRequest": {"url": TOKEN}},
        "password": {"tokenRequest": {"url": TOKEN}},
        "deviceCode": {"device": {"url": "https://id.acme.com/device"}, "tokenRequest": {"url": TOKEN}},
        "bearerToken": {},
        "basic": {},
        "apiKey": {"description": "Workloads send it as the header parameter X-Api-Key."},
    }


def test_swagger_2_is_read_too() -> None:
    document = {
        "swagger": "2.0",
        "info": {"title": "Old API"},
        "host": "api.acme.com",
        "basePath": "/v1",
        "schemes": ["https"],
        "securityDefinitions": {
            "code": {"type": "oauth2", "flow": "accessCode", "authorizationUrl": AUTHORIZE, "tokenUrl": TOKEN},
            "machine": {"type": "oauth2", "flow": "application", "tokenUrl": TOKEN, "scopes": {"read": "x"}},
            "plain": {"type": "basic"},
            "key": {"type": "apiKey", "in": "query", "name": "key"},
        },
    }
    made, _ = draft(document)
    assert made["metadata"] == {"name": "old-api"}
    assert made["spec"]["baseURL"] == "https://api.acme.com/v1"
    assert list(methods(document)) == ["authorizationCode", "clientCredentials", "basic", "apiKey"]


def test_variables_of_the_server_become_parameters_that_are_bounded() -> None:
    server = {
        "url": "https://{Tenant-Id}.acme.com/{region}",
        "variables": {"Tenant-Id": {"default": "demo"}, "region": {"enum": ["eu", "us"], "default": "eu"}},
    }
    made, _ = draft(described(server, pat={"type": "http", "scheme": "bearer"}))
    assert made["spec"]["baseURL"] == "https://{tenant_id}.acme.com/{region}"
    assert made["spec"]["parameters"]["region"] == {"enum": ["eu", "us"], "example": "eu"}
    assert made["spec"]["parameters"]["tenant_id"]["pattern"]
    from_object("acme", made["spec"])


def test_an_address_that_is_relative_is_taken_from_the_server() -> None:
    found = methods(described(machine=oauth2(clientCredentials={"tokenUrl": "/oauth/token"})))
    assert found["clientCredentials"]["tokenRequest"] == {"url": "https://api.acme.com/oauth/token"}


def test_a_reference_within_the_document_is_followed_once() -> None:
    found = methods(described(a={"$ref": "#/components/securitySchemes/b"}, b={"type": "http", "scheme": "bearer"}))
    assert list(found) == ["bearerToken"]


@pytest.mark.parametrize(
    ("scheme", "remark"),
    [
        ({"type": "openIdConnect", "openIdConnectUrl": "https://id.acme.com/.well-known"}, "OpenID Connect"),
        (oauth2(implicit={"authorizationUrl": AUTHORIZE}), "cannot be kept alive"),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, "session cookie"),
        ({"type": "mutualTLS"}, "mutualTLS cannot be expressed"),
        ({"type": "http", "scheme": "digest"}, "digest cannot be expressed"),
        ({"type": "http", "scheme": "bearer"}, "a second scheme"),
        (oauth2(password={"tokenUrl": TOKEN, "scopes": {"read": ""}}), "known: read"),
    ],
    ids=["OpenID Connect", "implicit", "cookie", "mutual TLS", "digest", "a second one", "scopes"],
)
def test_what_a_connector_cannot_say_is_remarked_upon(scheme: Mapping[str, Any], remark: str) -> None:
    _, remarks = draft(described(first={"type": "http", "scheme": "bearer"}, it=scheme))
    assert [line for line in remarks if line.startswith("it") and remark in line]


BAD = {
    "something else": ({"hello": 1}, "not an OpenAPI"),
    "a list": ([1, 2], "not an OpenAPI"),
    "nothing": (None, "not an OpenAPI"),
    "no schemes": ({"openapi": "3.0.0", "info": {"title": "x"}}, "has no security schemes"),
    "only schemes that cannot be expressed": (described(a={"type": "mutualTLS"}), "no security scheme that"),
    "a token address without https": (
        described(a=oauth2(password={"tokenUrl": "http://id.acme.com/token"})),
        "a.password.tokenUrl is not an https address",
    ),
    "a flow without its address": (described(a=oauth2(password={})), "a.password.tokenUrl is not an https address"),
    "an address that is none": (
        described(a=oauth2(password={"tokenUrl": "https://[::1"})),
        "a.password.tokenUrl is not an https address",
    ),
    "a reference to another file": (described(a={"$ref": "other.yaml#/a"}), "refers to another place"),
    "a reference to itself": (described(a={"$ref": "#/components/securitySchemes/a"}), "refers to another place"),
    "a title without letters": (
        described(a={"type": "http", "scheme": "bearer"}) | {"info": {"title": "日本"}},
        "no title",
    ),
    "braces that belong to nothing": (
        described(a=oauth2(password={"tokenUrl": "https://{tenant}.acme.com/token"})),
        "would not be usable",
    ),
    "credentials within the address": (
        described(a=oauth2(password={"tokenUrl": "https://user:pw@acme.com/token"})),
        "would not be usable",
    ),
}


@pytest.mark.parametrize(("document", "problem"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_with_what_is_wrong_and_what_to_do(document: Any, problem: str) -> None:
    with pytest.raises(DraftError) as raised:
        draft(document)
    assert problem in str(raised.value)
    assert raised.value.step
    assert "user:pw" not in str(raised.value)


WORDS = st.sampled_from(
    (
        "openapi 3.0.0 components securitySchemes type oauth2 flows password tokenUrl $ref http scheme bearer servers "
        f"url https://{{a}}.b.c variables a info title x {TOKEN}"
    ).split()
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(schemes=st.dictionaries(WORDS, TREES, min_size=1, max_size=3), more=st.dictionaries(WORDS, TREES, max_size=4))
def test_whatever_a_document_holds_a_draft_is_usable_or_refused(schemes: Any, more: Any) -> None:
    document = {**more, "openapi": "3.0.0", "components": {"securitySchemes": schemes}}
    try:
        made, _ = draft(document, "acme")
    except DraftError:
        return
    from_object("acme", made["spec"])
    assert yaml.safe_load(yaml.safe_dump(made)) == made


def test_a_file_becomes_yaml_with_its_remarks_as_comments(tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text(json.dumps(described(m=oauth2(clientCredentials={"tokenUrl": TOKEN, "scopes": {"read": ""}}))))
    told = ScriptedKubectl().lanyard("connector", "from-openapi", str(file))
    assert told.exit_code == 0
    assert told.stdout == (
        "# A draft: compare it with the product's own documents before you apply it.\n"
        "# m.clientCredentials: a Connection asks for scopes in spec.auth.scopes; known: read\n"
        "apiVersion: lanyard.dev/v1alpha1\n"
        "kind: Connector\n"
        "metadata:\n"
        "  name: acme-crm\n"
        "spec:\n"
        "  displayName: Acme CRM\n"
        "  baseURL: https://api.acme.com/v1\n"
        "  methods:\n"
        "  - name: clientCredentials\n"
        "    tokenRequest:\n"
        "      url: https://id.acme.com/token\n"
    )


@pytest.mark.parametrize(
    ("content", "says", "code"),
    [
        (None, "cannot be read", 2),
        (b"\xff\xfe\x00", "is not text", 1),
        (b"a: [1", "neither JSON nor YAML", 1),
        (b"- 1\n", "not an OpenAPI", 1),
        (b"[" * 100_000, "neither JSON nor YAML", 1),
        (b"", "not an OpenAPI", 1),
    ],
    ids=["absent", "binary", "broken", "a list", "too deep", "empty"],
)
def test_a_file_that_is_no_description_is_refused(tmp_path: Path, content: bytes | None, says: str, code: int) -> None:
    file = tmp_path / "api.yaml"
    if content is not None:
        file.write_bytes(content)
    told = ScriptedKubectl().lanyard("connector", "from-openapi", str(file))
    assert (told.stdout, told.exit_code) == ("", code)
    assert says in told.stderr
    assert "next step" in told.stderr
