"""The documents that the gateway serves, pointed at one team: what is made up from them reaches what is there."""

import uuid
from typing import Any

from hypothesis import HealthCheck, settings
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.managing import RestTeam

# Not among them: whether what fits the document is taken. That is also up to issuers, names, limits and RBAC.
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance, allow_header_conformance,
]  # fmt: skip
BOUNDED = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))

NOWHERE = str(uuid.UUID(int=0))


def schema_of(team: RestTeam, *, astray: bool) -> BaseSchema:
    """As it is served, and asked as the team's own ServiceAccount; `astray` also leads to what is nobody's."""
    document = team.caller(None).get("/identity_/openapi.json").json()
    schema = openapi.from_dict(pointed(document, team, astray=astray))
    headers = {"Authorization": team.as_ci.headers["Authorization"]}
    schema.config.update(base_url=team.gateway.url, headers=headers, tls_verify=str(team.ca_path))
    return schema


def pointed(document: dict[str, Any], team: RestTeam, *, astray: bool) -> dict[str, Any]:
    """Partition, client and issuer are the team's, or also nobody's; all else is made up as the document says."""
    parameters, schemas = document["components"]["parameters"], document["components"]["schemas"]
    parameters["partitionGlobalId"]["schema"] = _one_of(team.name, *(["elsewhere"] if astray else []))
    parameters["clientId"]["schema"] = _one_of(team.client_id, *([NOWHERE] if astray else []))
    parameters["IfMatch"]["schema"] = _one_of("*", '"1-1"')
    written = schemas["WrittenCredential"]["properties"]
    written["issuer"] = _one_of(team.issuer.url, *(["https://127.0.0.1:9", "http://idp.example.com"] if astray else []))
    return document


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}
