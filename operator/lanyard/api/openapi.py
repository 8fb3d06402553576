"""The OpenAPI 3.1 document of the REST API: rendered from the models that requests and answers go through.

Served by the gateway and committed as docs/reference/openapi-rest.json; a test compares.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from lanyard.api.dto import REFUSALS, Problem, ReadCredential, RestScope, WrittenCredential
from lanyard.api.meta import VERSION, NamespaceName

COLLECTION_PATH = "/identity_/api/ExternalClient/{partitionGlobalId}/{clientId}/FederatedCredentials"
ITEM_PATH = f"{COLLECTION_PATH}/{{credentialId}}"
DOCUMENT_PATH = "/identity_/openapi.json"

Node = dict[str, Any]

READS = (RestScope.BOTH, RestScope.READ)
WRITES = (RestScope.BOTH, RestScope.WRITE)
_ALWAYS = (401, 403, 404, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)
_IF_MATCH = (412,)
_RETRY = (429, 503)

_DESCRIPTION = """\
The reference's REST API for federated credentials, on top of the custom resource FederatedCredential: what is written \
here is seen by kubectl and the other way round. A partition is a namespace, a client the uid of a Connection, a \
credential the uid of a FederatedCredential. Off unless the setting LANYARD_REST_API turns it on.

Callers: an access token of Lanyard's own whose audience is `<issuer>/identity_` and whose claim `namespace` is the \
partition; or a Kubernetes token made for that audience (`kubectl create token --audience`), for whatever RBAC lets \
its owner do with federatedcredentials in the namespace. What belongs to others is not there: 404, never 403.
"""


def rest_document() -> Node:
    _, schemas = models_json_schema(
        [(WrittenCredential, "validation"), (ReadCredential, "serialization"), (Problem, "serialization")],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lanyard: federated credentials", "version": VERSION, "description": _DESCRIPTION},
        "paths": {
            COLLECTION_PATH: {"parameters": _parameters("partitionGlobalId", "clientId"), **_collection()},
            ITEM_PATH: {"parameters": _parameters("partitionGlobalId", "clientId", "credentialId"), **_item()},
        },
        "components": {
            "schemas": schemas["$defs"],
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "responses": {str(status): _refused(status) for status in sorted({*_ALWAYS, *_WITH_BODY, *_IF_MATCH})},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def rest_document_text() -> str:
    """As it is served and committed."""
    return json.dumps(rest_document(), indent=1) + "\n"


def _collection() -> Node:
    many = {"type": "array", "items": _schema("ReadCredential")}
    return {
        "get": _operation("listFederatedCredentials", "All of an application, oldest first", READS)
        | {"responses": {"200": _answer("Those that there are; none is an empty list.", many), **_refusals(_ALWAYS)}},
        "post": _operation("createFederatedCredential", "One more; at most 20 count", WRITES)
        | {
            "requestBody": _body(),
            "responses": {
                "201": _answer("It is there.", _schema("ReadCredential"), "ETag", "Location") | {"links": _links()},
                **_refusals((*_ALWAYS, *_WITH_BODY)),
            },
        },
    }


def _item() -> Node:
    found = _answer("As it is now.", _schema("ReadCredential"), "ETag")
    if_match = {"parameters": [{"$ref": "#/components/parameters/IfMatch"}]}
    return {
        "get": _operation("getFederatedCredential", "One credential", READS)
        | {"responses": {"200": found, **_refusals(_ALWAYS)}},
        "put": _operation(
            "replaceFederatedCredential", "All members anew; fields that only the object has stay", WRITES
        )
        | if_match
        | {
            "requestBody": _body(),
            "responses": {"200": found, **_refusals((*_ALWAYS, *_WITH_BODY, *_IF_MATCH))},
        },
        "delete": _operation("deleteFederatedCredential", "No new tokens from then on; old ones live on", WRITES)
        | if_match
        | {"responses": {"204": {"description": "It is gone."}, **_refusals((*_ALWAYS, *_IF_MATCH))}},
    }


def _operation(name: str, summary: str, scopes: Iterable[RestScope]) -> Node:
    return {"operationId": name, "summary": summary, "security": [{"bearer": [scope.value for scope in scopes]}]}


def _parameters(*names: str) -> list[Node]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _schema(model: str) -> Node:
    return {"$ref": f"#/components/schemas/{model}"}


def _body() -> Node:
    return {"required": True, "content": {"application/json": {"schema": _schema("WrittenCredential")}}}


def _answer(description: str, schema: Node, *headers: str) -> Node:
    found: Node = {"description": description, "content": {"application/json": {"schema": schema}}}
    if headers:
        found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return found


def _refusals(statuses: Iterable[int]) -> Node:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _refused(status: int) -> Node:
    reasons = [reason for reason, (one, _) in REFUSALS.items() if one == status]
    told = ", ".join(f"`{reason.value}`" for reason in reasons)
    found: Node = {
        "description": f"{HTTPStatus(status).phrase}: {told}.",
        "content": {"application/problem+json": {"schema": _schema("Problem")}},
    }
    if status == 401:
        found["headers"] = {"WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}}
    if status in _RETRY:
        found["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return found


def _links() -> Node:
    """Where to go on from what was created (OpenAPI 3.1, Link Object)."""
    parameters = {
        "partitionGlobalId": "$request.path.partitionGlobalId",
        "clientId": "$request.path.clientId",
        "credentialId": "$response.body#/id",
    }
    names = ("getFederatedCredential", "replaceFederatedCredential", "deleteFederatedCredential")
    return {name: {"operationId": name, "parameters": parameters} for name in names}


def _path_parameter(name: str, description: str, schema: Mapping[str, Any]) -> Node:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": dict(schema)}


_UID = {"type": "string", "format": "uuid"}
_NAMESPACE = TypeAdapter(NamespaceName).json_schema()
_PARAMETERS = {
    "partitionGlobalId": _path_parameter("partitionGlobalId", "A namespace.", _NAMESPACE),
    "clientId": _path_parameter("clientId", "uid of a Connection in it.", _UID),
    "credentialId": _path_parameter("credentialId", "uid of a FederatedCredential of that Connection.", _UID),
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The ETag of what was read: whoever changed it since is not written over.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[\x21-\x7E]+$"},
    },
}
_HEADERS = {
    "ETag": {"description": "Names this state of the credential.", "schema": {"type": "string"}},
    "Location": {"description": "Path of what was created.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "RFC 6750 3.", "required": True, "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}},
}
