"""Examples that need a consent, as a reader would apply them, with the product's hosts pointed at the OAuth server.

The server speaks the standards. Where a product departs from them in what it answers, `DEPARTURES` takes the departure
out of its connector; everything else of the built-in data is used as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.loader import Connector, from_object, load_catalogue
from lanyard.connectors.selection import Plan, plan_for
from lanyard.connectors.templates import placeholders

Object = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
PRODUCTS = (
    "github", "google", "microsoft", "salesforce", "slack", "jira", "hubspot", "servicenow", "oidc", "home-made",
)  # fmt: skip
CODE = "authorizationCode"
PLACEHOLDER = "replace-me"


def _slack(method: Object) -> None:
    """Scopes joined by comma; `ok` in every answer, and scopes of the bot; a POST that asks who it is."""
    method["scopes"] = {"default": method["scopes"]["default"]}
    method["response"] = {}
    method["identity"]["request"]["method"] = "GET"


DEPARTURES: Mapping[str, Callable[[Object], None]] = {"slack": _slack}
"""What of a connector's own way the server cannot speak. Beside it, of all of them: who has consented is read from
`/sub`, the one claim of the server's protected resource."""
DEPARTED = frozenset({"scopes", "response", "identity"})
"""The fields of a method that a departure may touch."""


@dataclass(frozen=True, slots=True)
class Example:
    """The manifests of one folder, by kind."""

    product: str
    connection: Object
    connector: Object | None
    secret: Object | None
    asset: Object | None

    @property
    def spec(self) -> ConnectionSpec:
        return ConnectionSpec.model_validate(self.connection["spec"])

    @property
    def name(self) -> str:
        return str(self.connection["metadata"]["name"])

    @property
    def described(self) -> Connector:
        """Its own Connector, or the built-in one."""
        if self.connector is not None:
            return from_object(self.connector["metadata"]["name"], self.connector["spec"])
        return load_catalogue()[self.spec.connector]

    @property
    def plan(self) -> Plan:
        return plan_for(self.spec, self.described)

    @classmethod
    def of(cls, product: str) -> "Example":
        files = sorted((EXAMPLES / product).glob("*.yaml"))
        found = {one["kind"]: one for file in files for one in yaml.safe_load_all(file.read_text())}
        return cls(
            product,
            found["Connection"],
            found.get("Connector"),
            found.get("Secret"),
            found.get("CredentialAssetRef"),
        )


def pointed(connector: Connector, oauth: Any, product_url: str) -> Object:
    """The connector with the hosts of its consent replaced. `product_url` answers the follow-up."""
    spec = connector.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (method,) = [one for one in spec["methods"] if one["name"] == CODE]
    method["authorization"]["url"] = oauth.authorization_url
    if "issuer" in method["authorization"]:
        method["authorization"]["issuer"] = oauth.issuer
    method["tokenRequest"]["url"] = oauth.token_url
    for one in method.get("revocation", ()):
        one["url"] = oauth.revocation_url
    if "identity" in method:
        method["identity"]["request"]["url"] = _needing(method["identity"]["request"]["url"], oauth.me_url)
        method["identity"]["account"] = ["/sub"]
    if "verification" in method:
        method["verification"]["request"]["url"] = _needing(method["verification"]["request"]["url"], oauth.me_url)
    if "followUp" in method:
        method["followUp"]["request"]["url"] = product_url
    DEPARTURES.get(connector.name, lambda _: None)(method)
    return {**spec, "methods": [method]}


def _needing(template: str, url: str) -> str:
    """The address, still in need of every parameter that the product's own one needs."""
    needs = "&".join(f"{name}={{{name}}}" for name in placeholders(template))
    return f"{url}?{needs}" if needs else url


def pointed_parameters(parameters: Mapping[str, str], oauth: Any) -> dict[str, str]:
    """Those of the generic connector, whose addresses the Connection names itself."""
    here = {
        "authorization_url": oauth.authorization_url,
        "token_url": oauth.token_url,
        "revocation_url": oauth.revocation_url,
        "issuer": oauth.issuer,
        "userinfo_url": oauth.me_url,
    }
    return {name: here.get(name, value) for name, value in parameters.items()}
