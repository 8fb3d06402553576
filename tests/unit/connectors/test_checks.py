"""What no schema can say about a connector is found, with the field where it stands."""

from typing import Any

import pytest

from lanyard.api.connector import ConnectorSpec
from lanyard.connectors.checks import findings

URL = "https://login.example.com/"
PARAMETERS = {
    "free": {},
    "region": {"enum": ["eu", "us"], "default": "eu"},
    "api": {"type": "url", "source": "tokenResponse", "allowedHosts": ["api.example.com"]},
    "late": {"type": "url", "source": "followUp", "allowedHosts": ["api.example.com"]},
    "realm": {"source": "callback", "pattern": "[0-9]+"},
    "shop": {"pattern": "[a-z]+"},
}
API = "https://api.example.com/me"


def found(method: dict[str, Any], **spec: Any) -> set[tuple[str, str]]:
    """Findings, as pairs of field within the method and problem."""
    whole = {"parameters": PARAMETERS, **spec, "methods": [method]}
    parsed = ConnectorSpec.model_validate(whole, extra="forbid", by_alias=True, by_name=False)
    where = f"methods[{method['name']}]."
    return {(field.removeprefix(where), problem) for field, problem in findings(parsed)}


def code(page: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "name": "authorizationCode",
        "authorization": {"url": f"{URL}authorize"} | (page or {}),
        "tokenRequest": {"url": f"{URL}token"},
        **members,
    }


def signed(name: str = "jwtBearer", **members: Any) -> dict[str, Any]:
    return {"name": name, "tokenRequest": {"url": f"{URL}token"}, "assertion": members}


def device(**members: Any) -> dict[str, Any]:
    request = {"url": f"{URL}device", **members}
    return {"name": "deviceCode", "tokenRequest": {"url": f"{URL}token"}, "device": request}


def probe(name: str = "bearerToken", part: str = "verification", **request: Any) -> dict[str, Any]:
    return {"name": name, part: {"request": {"url": API, **request}}}


def follow(capture: dict[str, str] | None = None, **members: Any) -> dict[str, Any]:
    captured = {"id": "/id"} if capture is None else capture
    return code(followUp={"request": {"url": API}, "capture": captured, **members})


USABLE = [
    pytest.param(
        code(
            {
                "url": "https://{region}.example.com/authorize",
                "params": {"tenant": "{free}", "client": "{client_id}"},
                "rename": {"client_id": "appid"},
                "omit": ["redirect_uri"],
                "pkce": "off",
                "pkceOffReason": "refused by the product",
                "issuer": "https://{region}.example.com",
                "responseIssuer": "required",
                "callbackParams": {"realmId": "realm"},
                "callbackExpect": {"shop": "{region}.example.com"},
                "callbackHmac": {},
            },
            exchange={"url": f"{URL}swap", "grantType": "swap", "parameter": "token"},
            refreshRequest={"url": "{api}/refresh", "params": {"redirect_uri": "{redirect_uri}"}},
            refreshClientAuthentication="none",
            response={"capture": {"api": "/api", "owner": "/owner"}},
            rotation={"mode": "rotatesWithGrace", "grace": "10m", "idleLifetime": "24h", "absoluteLifetime": "48h"},
            revocation=[
                {"url": "https://login.example.com/apps/{client_id}", "method": "DELETE", "authentication": "basic"},
                {"url": f"{URL}revoke", "rename": {"client_id": "clientId"}},
                {"url": f"{URL}end", "method": "DELETE", "authentication": "bearer", "parameter": ""},
            ],
            followUp={
                "request": {"url": API, "headers": {"Authorization": "OAuth {access_token}"}},
                "items": "/items",
                "choose": {"/name": "{free}"},
                "capture": {"id": "/id"},
            },
            identity={"request": {"url": "https://api.example.com/{id}/{owner}", "params": {"t": "{access_token}"}}},
            verification={"request": {"url": API, "method": "POST", "body": '{"q":{"a":"{free}"}}'}, "costs": True},
        ),
        id="a consent with everything",
    ),
    pytest.param(
        signed(issuer="{client_id}", subject="{free}", audience="{region}", claims={"kind": "{region}"}),
        id="a signed JWT",
    ),
    pytest.param(signed("githubApp", placement="bearer"), id="an app that signs"),
    pytest.param(device(params={"client": "{client_id}"}), id="a device code"),
    pytest.param(
        code(identity={"parameter": "realmId"}, authorization={"url": URL, "callbackParams": {"realmId": "realm"}}),
        id="an account that the callback names",
    ),
    pytest.param(
        {
            "name": "apiKey",
            "credentials": {"token": {}},
            "verification": {"request": {"url": API, "headers": {"Authorization": "Basic {api_key}:{token}"}}},
        },
        id="a second secret beside a key",
    ),
    pytest.param(probe("basic", headers={"Authorization": "Basic {username}:{password}"}), id="a user and a password"),
]


@pytest.mark.spec("C16")
@pytest.mark.parametrize("method", USABLE)
def test_what_is_usable_has_no_findings(method: dict[str, Any]) -> None:
    assert found(method) == set()


@pytest.mark.spec("C16")
@pytest.mark.parametrize(
    ("method", "field", "said"),
    [
        pytest.param(code({"url": "http://login.example.com/"}), "authorization.url", "https", id="a page without TLS"),
        pytest.param(
            code({"url": "https://{free}.example.com/"}),
            "authorization.url",
            "{free} in the host",
            id="a page on any host",
        ),
        pytest.param(
            code({"url": "https://login.example.com/{client_id}"}),
            "authorization.url",
            "{client_id}",
            id="a page's address with a client id",
        ),
        pytest.param(code({"params": {"a": "{nope}"}}), "authorization.params.a", "{nope}", id="an unknown parameter"),
        pytest.param(
            code({"params": {"a": "{access_token}"}}),
            "authorization.params.a",
            "{access_token}",
            id="a secret on the page",
        ),
        pytest.param(code({"rename": {"nope": "a"}}), "authorization.rename", "nope", id="renaming what is not sent"),
        pytest.param(code({"omit": ["nope"]}), "authorization.omit", "nope", id="omitting what is not sent"),
        pytest.param(code({"pkce": "off"}), "authorization.pkceOffReason", "missing", id="PKCE off without a reason"),
        pytest.param(code({"pkceOffReason": "why"}), "authorization.pkceOffReason", "off", id="a reason with PKCE on"),
        pytest.param(code({"issuer": "{nope}"}), "authorization.issuer", "{nope}", id="an unknown issuer"),
        pytest.param(
            code({"responseIssuer": "required"}), "authorization.issuer", "missing", id="an issuer to compare"
        ),
        pytest.param(
            code({"callbackParams": {"a": "nope"}}),
            "authorization.callbackParams.a",
            "nope",
            id="a callback that gives what is not declared",
        ),
        pytest.param(
            code({"callbackParams": {"a": "api"}}),
            "authorization.callbackParams.a",
            "api",
            id="a callback that gives what the token answer gives",
        ),
        pytest.param(
            code({"callbackParams": {"state": "realm"}}),
            "authorization.callbackParams",
            "state",
            id="a callback parameter that is read already",
        ),
        pytest.param(
            code({"callbackExpect": {"shop": "{nope}"}}),
            "authorization.callbackExpect.shop",
            "{nope}",
            id="an expectation of the unknown",
        ),
        pytest.param(device(url="https://{free}.example.com/"), "device.url", "{free}", id="device codes of any host"),
        pytest.param(device(params={"a": "{nope}"}), "device.params.a", "{nope}", id="an unknown device parameter"),
        pytest.param(signed(subject="{nope}"), "assertion.subject", "{nope}", id="an unknown subject"),
        pytest.param(signed(issuer="{nope}"), "assertion.issuer", "{nope}", id="an unknown issuer of a JWT"),
        pytest.param(signed(audience="{nope}"), "assertion.audience", "{nope}", id="an unknown audience"),
        pytest.param(signed(claims={"a": "{nope}"}), "assertion.claims.a", "{nope}", id="an unknown claim"),
        pytest.param(signed(placement="bearer"), "assertion.placement", "githubApp", id="a grant as bearer"),
        pytest.param(signed("githubApp"), "assertion.placement", "bearer", id="an app's JWT in the body"),
        pytest.param(
            code(refreshRequest={"url": "https://{free}.example.com/"}),
            "refreshRequest.url",
            "{free}",
            id="a refresh at any host",
        ),
        pytest.param(
            code(refreshRequest={"url": URL, "headers": {"Authorization": "x"}}),
            "refreshRequest.headers.Authorization",
            "header",
            id="a refresh with a header of ours",
        ),
        pytest.param(
            {**signed(), "refreshRequest": {"url": URL}},
            "refreshRequest",
            "no meaning",
            id="a refresh where there is none",
        ),
        pytest.param(
            code(tokenRequest={"url": "{api}/token"}, response={"capture": {"api": "/api"}}),
            "tokenRequest.url",
            "{api}",
            id="a first token at an address that only its answer gives",
        ),
        pytest.param(
            follow({"late": "/api"}) | {"tokenRequest": {"url": "{late}/token"}},
            "tokenRequest.url",
            "{late}",
            id="a first token at an address that a follow-up gives",
        ),
        pytest.param(
            code({"url": "https://{realm}.example.com/", "callbackParams": {"realmId": "realm"}}),
            "authorization.url",
            "{realm}",
            id="a page at an address that only its answer gives",
        ),
        pytest.param(
            code(refreshRequest={"url": "https://{shop}.example.com/token"}),
            "refreshRequest.url",
            "{shop}",
            id="a refresh at a host of the Connection that gave no token",
        ),
        pytest.param(
            code(exchange={"url": "https://{free}.a.com/", "grantType": "x", "parameter": "t"}),
            "exchange.url",
            "{free}",
            id="a swap at any host",
        ),
        pytest.param(
            code(exchange={"url": URL, "grantType": "x", "parameter": "scope"}),
            "exchange.parameter",
            "standard",
            id="a swap by a standard parameter",
        ),
        pytest.param(
            code(exchange={"url": URL, "grantType": "x", "parameter": "t", "params": {"a": "{nope}"}}),
            "exchange.params.a",
            "{nope}",
            id="an unknown parameter of a swap",
        ),
        pytest.param(code(rotation={"mode": "rotatesWithGrace"}), "rotation.grace", "goes with", id="no grace"),
        pytest.param(code(rotation={"grace": "1m"}), "rotation.grace", "goes with", id="a grace of another mode"),
        pytest.param(code(rotation={"idleLifetime": "0s"}), "rotation.idleLifetime", "second", id="an empty idle life"),
        pytest.param(
            code(rotation={"absoluteLifetime": "0s"}),
            "rotation.absoluteLifetime",
            "second",
            id="an empty absolute life",
        ),
        pytest.param(
            code(revocation=[{"url": "https://{free}.example.com/"}]),
            "revocation.url",
            "{free}",
            id="a revocation at any host",
        ),
        pytest.param(
            code(revocation=[{"url": URL, "params": {"a": "{nope}"}}]),
            "revocation.params.a",
            "{nope}",
            id="an unknown parameter of a revocation",
        ),
        pytest.param(
            code(revocation=[{"url": URL, "rename": {"token": "a"}}]),
            "revocation.rename",
            "token",
            id="a revocation that renames another parameter",
        ),
        pytest.param(
            code(revocation=[{"url": URL, "parameter": ""}]),
            "revocation.parameter",
            "missing",
            id="a revocation of nothing",
        ),
        pytest.param(
            {"name": "apiKey", "revocation": [{"url": URL}]}, "revocation", "no meaning", id="a revocation of a key"
        ),
        pytest.param(
            code(identity={"parameter": "realmId"}),
            "identity.parameter",
            "realmId",
            id="an account from a parameter that is dropped",
        ),
        pytest.param(
            code({"callbackParams": {"realmId": "realm"}}, identity={"parameter": "realmId", "request": {"url": API}}),
            "identity.parameter",
            "exclude",
            id="an account from two places",
        ),
        pytest.param(
            probe(part="identity", url="https://{free}.a.com/"),
            "identity.request.url",
            "{free}",
            id="an identity request to any host",
        ),
        pytest.param(
            probe(url="https://api.example.com/{token}"),
            "verification.request.url",
            "{token}",
            id="a secret in an address",
        ),
        pytest.param(
            probe(url="http://api.example.com/"), "verification.request.url", "https", id="a call without TLS"
        ),
        pytest.param(
            probe(headers={"A": "{access_token}"}),
            "verification.request.headers.A",
            "{access_token}",
            id="a key that this method does not publish",
        ),
        pytest.param(
            probe(headers={"Host": "x"}), "verification.request.headers.Host", "header", id="a header of ours"
        ),
        pytest.param(probe(headers={"A": "a\nb"}), "verification.request.headers.A", "character", id="a broken header"),
        pytest.param(probe(params={"a": "{nope}"}), "verification.request.params.a", "{nope}", id="an unknown query"),
        pytest.param(
            probe(method="POST", body='{"a":"{nope}"}'),
            "verification.request.body",
            "{nope}",
            id="an unknown name in a body",
        ),
        pytest.param(probe(body="x"), "verification.request.body", "GET", id="a body of a GET"),
        pytest.param(
            probe(contentType="text/plain"), "verification.request.contentType", "body", id="a type of nothing"
        ),
        pytest.param(follow({}), "followUp.capture", "empty", id="a follow-up for nothing"),
        pytest.param(follow({"scope": "/scope"}), "followUp.capture.scope", "free", id="a capture of a taken key"),
        pytest.param(follow(choose={"/a": "x"}), "followUp.choose", "items", id="a choice without a list"),
        pytest.param(follow(items="/items", choose={"a": "x"}), "followUp.choose.a", "Pointer", id="no pointer"),
        pytest.param(
            follow(items="/items", choose={"/a": "{nope}"}),
            "followUp.choose./a",
            "{nope}",
            id="a choice by the unknown",
        ),
        pytest.param(
            {**follow(), "response": {"capture": {"id": "/id"}}},
            "followUp.capture.id",
            "already",
            id="a key that is captured twice",
        ),
        pytest.param(
            code(followUp={"request": {"url": "https://api.example.com/{id}"}, "capture": {"id": "/id"}}),
            "followUp.request.url",
            "{id}",
            id="a follow-up that needs its own answer",
        ),
        pytest.param(
            {"name": "basic", "followUp": {"request": {"url": API}, "capture": {"id": "/id"}}},
            "followUp",
            "no meaning",
            id="a follow-up without a token",
        ),
        pytest.param(
            {"name": "apiKey", "credentials": {"api_key": {}}},
            "credentials.api_key",
            "free",
            id="a second secret by the first one's name",
        ),
        pytest.param({"name": "apiKey", "device": {"url": URL}}, "device", "no meaning", id="a device code for a key"),
    ],
)
def test_what_cannot_be_used_is_found_where_it_stands(method: dict[str, Any], field: str, said: str) -> None:
    problems = {problem for where, problem in found(method) if where == field}
    assert any(said in problem for problem in problems), found(method)


@pytest.mark.parametrize(
    ("parameter", "field", "said"),
    [
        pytest.param(
            {"type": "url", "source": "callback", "anyHost": True},
            "parameters.x.anyHost",
            "anywhere",
            id="an answer never leads the token anywhere",
        ),
        pytest.param({"pattern": "(?<=a)b"}, "parameters.x.pattern", "RE2", id="a pattern is RE2"),
    ],
)
def test_a_parameter_is_looked_at_too(parameter: dict[str, Any], field: str, said: str) -> None:
    problems = found({"name": "basic"}, parameters={"x": parameter})
    assert any(where == field and said in problem for where, problem in problems), problems


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "access_token"])
def test_a_name_that_templates_know_is_no_parameter(name: str) -> None:
    assert any(where == f"parameters.{name}" for where, _ in found({"name": "basic"}, parameters={name: {}}))


def test_a_port_can_be_a_parameter() -> None:
    parameters = {"host": {"type": "hostname", "anyHost": True}, "port": {"type": "integer", "pattern": "[0-9]{1,5}"}}
    assert not found({"name": "basic"}, parameters=parameters, baseURL="imaps://{host}:{port}")
