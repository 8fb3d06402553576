"""The REST API's own document, pointed at one team, so that what is made up from it reaches what is there."""

import uuid
from typing import Any

from schemathesis import openapi
from schemathesis.schemas import BaseSchema

from support.managing import RestTeam

NOWHERE = str(uuid.UUID(int=0))


def schema_of(team: RestTeam) -> BaseSchema:
    """As it is served, and asked as the team's own ServiceAccount."""
    document = team.caller(None).get("/identity_/openapi.json").json()
    schema = openapi.from_dict(pointed(document, team))
    headers = {"Authorization": team.as_ci.headers["Authorization"]}
    schema.config.update(base_url=team.gateway.url, headers=headers, tls_verify=str(team.ca_path))
    return schema


def pointed(document: dict[str, Any], team: RestTeam) -> dict[str, Any]:
    """Partition, client and issuer are those of the team or nobody's; all else is made up as the document says."""
    parameters, schemas = document["components"]["parameters"], document["components"]["schemas"]
    parameters["partitionGlobalId"]["schema"] = _one_of(team.name, team.name, "elsewhere")
    parameters["clientId"]["schema"] = _one_of(team.client_id, NOWHERE)
    parameters["IfMatch"]["schema"] = _one_of("*", '"1-1"')
    written = schemas["WrittenCredential"]["properties"]
    written["issuer"] = _one_of(team.issuer.url, "https://127.0.0.1:9", "http://idp.example.com")
    return document


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(dict.fromkeys(values))}
