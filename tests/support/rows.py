"""The table of products, and connectors drafted from its columns alone."""

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lanyard.api.connection import Method
from lanyard.connectors.loader import Connector, from_object

TABLE = Path(__file__).parents[1] / "contract" / "connectors.csv"
SEPARATORS = {"space": " ", "comma": ",", "plus": "+", "": " "}
METHODS = {
    "oauth2_authorization_code": Method.AUTHORIZATION_CODE,
    "oauth2_client_credentials": Method.CLIENT_CREDENTIALS,
    "oauth2_password": Method.PASSWORD,
    "oauth2_jwt_bearer": Method.JWT_BEARER,
    "oauth2_device_code": Method.DEVICE_CODE,
    "github_app": Method.GITHUB_APP,
    "basic": Method.BASIC,
    "api_key": Method.API_KEY,
    "personal_access_token": Method.BEARER_TOKEN,
    "aws_sigv4": Method.AWS_SIGV4,
    "custom": Method.CUSTOM,
}
SAMPLES = {
    "authorization_url": "https://login.example.com/authorize",
    "token_url": "https://login.example.com/oauth2/token",
    "base_url": "https://api.example.com",
    "my_domain": "acme.my.salesforce.com",
    "domain": "acme.okta.com",
    "account_host": "account.docusign.com",
    "authorize_host": "app.datadoghq.eu",
    "auth_host": "wd2-impl.workday.com",
    "host": "acme.example.com",
    "site": "datadoghq.eu",
    "apicp": "sharefile.com",
    "dc": "com.au",
}
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@cache
def rows() -> Mapping[str, Mapping[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def offers(row: Mapping[str, str], kind: str) -> bool:
    return kind in row["auth_types"].split(";")


def filled(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def extra_parameters(row: Mapping[str, str]) -> dict[str, str]:
    """What the column extra_authorize_params says: `name=value` joined by semicolons."""
    pairs = (part.partition("=") for part in row["extra_authorize_params"].split(";") if part)
    return {name: value for name, _, value in pairs}


def scopes_of(row: Mapping[str, str]) -> list[str]:
    separator = SEPARATORS[row["scope_separator"]]
    # Workable joins by plus in addresses, where a plus is a space; its cell is written with spaces.
    return [scope for scope in row["default_scopes"].replace(separator, " ").split(" ") if scope]


def samples_of(row: Mapping[str, str]) -> dict[str, str]:
    """A value for every placeholder of the row."""
    texts = " ".join(row.values())
    return {name: SAMPLES.get(name, "acme") for name in _PLACEHOLDER.findall(texts) if name != "client_id"}


def drafted(row: Mapping[str, str]) -> Connector:
    """authorizationCode as the columns describe it, and nothing that only the notes know."""
    values = samples_of(row)
    parameters = {
        name: {"type": "url" if value.startswith("https:") else "string", "pattern": ".+"}
        for name, value in values.items()
    }
    page: dict[str, Any] = {"url": row["authorization_url"], "params": extra_parameters(row)}
    if row["pkce"] == "no":
        page |= {"pkce": "off", "pkceOffReason": "the table says so"}
    method: dict[str, Any] = {
        "name": "authorizationCode",
        "authorization": page,
        "tokenRequest": {"url": row["token_url"]},
        "clientAuth": {"methods": row["client_auth"].split(";") if row["client_auth"] else ["client_secret_basic"]},
        "scopes": {"separator": SEPARATORS[row["scope_separator"]], "default": scopes_of(row)},
    }
    if row["revocation_url"]:
        method["revocation"] = [{"url": row["revocation_url"]}]
    return from_object(row["id"], {"methods": [method], "parameters": parameters})
