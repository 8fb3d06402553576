"""Connectors, Connections and plans in a line, for tests without servers."""

from typing import Any

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.loader import Connector, from_object
from lanyard.connectors.selection import Plan, plan_for

TOKEN_URL = "https://login.example.com/token"


def connector(*methods: dict[str, Any], name: str = "acme", **spec: Any) -> Connector:
    return from_object(name, {"methods": list(methods), **spec})


def token_method(name: str = "clientCredentials", **members: Any) -> dict[str, Any]:
    """A method that fetches a token; `url` and other members of tokenRequest go into `tokenRequest`."""
    request = {"url": TOKEN_URL} | members.pop("tokenRequest", {})
    return {"name": name, "tokenRequest": request, **members}


def connection(*credentials: str, name: str = "acme", parameters: dict[str, str] | None = None, **auth: Any) -> Any:
    """A Connection's spec with references of these names."""
    return ConnectionSpec.model_validate(
        {
            "connector": name,
            "parameters": parameters or {},
            "auth": auth,
            "credentials": {field: {"secretRef": {"name": "app", "key": field}} for field in credentials},
        }
    )


def client_plan(**members: Any) -> Plan:
    """clientCredentials with a plain client id and a secret."""
    return plan_for(connection("clientSecret", clientId="client"), connector(token_method(**members)))


def password_plan(**members: Any) -> Plan:
    spec = connection("clientSecret", "password", clientId="client", username="ada", method="password")
    return plan_for(spec, connector(token_method("password", **members)))


AUTHORIZE_URL = "https://login.example.com/authorize"


def code_connector(**members: Any) -> Connector:
    """authorizationCode; `authorization` is merged into the page's request, `parameters` are the connector's."""
    page = {"url": AUTHORIZE_URL} | members.pop("authorization", {})
    parameters = members.pop("parameters", {})
    return connector(token_method("authorizationCode", authorization=page, **members), parameters=parameters)


def code_plan(*, given: dict[str, str] | None = None, learned: dict[str, str] | None = None, **members: Any) -> Plan:
    """authorizationCode with a plain client id and a secret."""
    spec = connection("clientSecret", parameters=given, clientId="client", method="authorizationCode")
    return plan_for(spec, code_connector(**members), learned or {})


def device_plan(**members: Any) -> Plan:
    """deviceCode of a public client."""
    method = token_method(
        "deviceCode",
        **{"device": {"url": "https://login.example.com/device"}, "clientAuth": {"methods": ["none"]}, **members},
    )
    return plan_for(connection(clientId="client", method="deviceCode"), connector(method))
