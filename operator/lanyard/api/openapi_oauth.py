"""The OpenAPI 3.1 document of the authorization server: token endpoints, introspection, revocation, metadata, keys.

Served by the gateway and committed as docs/reference/openapi-oauth.json; a test compares.
"""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from lanyard.api.meta import VERSION

Node = dict[str, Any]

DOCUMENT_PATH = "/oauth/openapi.json"
TOKEN_PATHS = ("/identity_/connect/token", "/oauth/token")
TENANT_TOKEN_PATH = "/{tenant}/oauth2/v2.0/token"
INTROSPECTION_PATH = "/oauth/introspect"
REVOCATION_PATH = "/oauth/revoke"
JWKS_PATH = "/oauth/jwks"
METADATA_PATHS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
TENANT_METADATA_PATH = "/{tenant}/v2.0/.well-known/openid-configuration"
_FORM = "application/x-www-form-urlencoded"
_REFUSED = (400, 401, 404, 405, 408, 413, 429, 500, 503)
"""404 is for a tenant that can be none."""

_DESCRIPTION = """\
A workload presents the JWT that it has anyway and gets an access token: Lanyard's own, or that of a Connection. \
Three grants carry the JWT: client credentials with a client assertion (RFC 7523 2.2), the JWT as the grant (RFC 7523 \
2.1), token exchange (RFC 8693). Parameters that are not known are ignored.
"""


def oauth_document() -> Node:
    tokens = {path: {"post": _token(f"token{number}")} for number, path in enumerate(TOKEN_PATHS, 1)}
    metadata = {
        path: {"get": _public(f"metadata{number}", "Metadata")} for number, path in enumerate(METADATA_PATHS, 1)
    }
    tenant = {"parameters": [{"$ref": "#/components/parameters/tenant"}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lanyard: authorization server", "version": VERSION, "description": _DESCRIPTION},
        "paths": {
            **tokens,
            TENANT_TOKEN_PATH: tenant | {"post": _token("tokenOfTenant")},
            INTROSPECTION_PATH: {"post": _introspection()},
            REVOCATION_PATH: {"post": _revocation()},
            JWKS_PATH: {"get": _public("keys", "KeySet")},
            **metadata,
            TENANT_METADATA_PATH: tenant | {"get": _public("metadataOfTenant", "Metadata")},
        },
        "components": {
            "schemas": _SCHEMAS,
            "parameters": {"tenant": _TENANT},
            "headers": _HEADERS,
            "responses": {str(status): _refused(status) for status in _REFUSED},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def oauth_document_text() -> str:
    """As it is served and committed."""
    return json.dumps(oauth_document(), indent=1) + "\n"


def _token(name: str) -> Node:
    handed = _answer("A token.", "Token") | {
        "headers": _header("X-Request-Id", "Cache-Control"),
        "links": _links(),
    }
    return {
        "operationId": name,
        "summary": "Exchange a JWT for an access token",
        "requestBody": _form("TokenRequest"),
        "responses": {"200": handed, **_refusals(_REFUSED)},
    }


def _links() -> Node:
    """What can be asked of a token that was handed out (OpenAPI 3.1, Link Object)."""
    body = {"token": "$response.body#/access_token"}
    return {name: {"operationId": name, "requestBody": body} for name in ("introspect", "revoke")}


def _introspection() -> Node:
    return {
        "operationId": "introspect",
        "summary": "Whether a token of Lanyard's own is good now (RFC 7662)",
        "security": [{"bearer": []}, {}],
        "requestBody": _form("IntrospectionRequest"),
        "responses": {"200": _answer("What is known of it.", "Introspection"), **_refusals(_REFUSED)},
    }


def _revocation() -> Node:
    return {
        "operationId": "revoke",
        "summary": "End a token of Lanyard's own (RFC 7009)",
        "requestBody": _form("RevocationRequest"),
        "responses": {"200": _answer("It cannot be used from now on.", "Nothing"), **_refusals(_REFUSED)},
    }


def _public(name: str, schema: str) -> Node:
    found = _answer("Anybody may read it.", schema) | {"headers": _header("Cache-Control")}
    return {
        "operationId": name,
        "summary": "What resource servers and clients need to know",
        "responses": {"200": found, **_refusals((404, 405, 429, 500, 503))},
    }


def _form(schema: str) -> Node:
    return {"required": True, "content": {_FORM: {"schema": _schema(schema)}}}


def _answer(description: str, schema: str) -> Node:
    return {"description": description, "content": {"application/json": {"schema": _schema(schema)}}}


def _refusals(statuses: Iterable[int]) -> Node:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _refused(status: int) -> Node:
    names = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}
    found = _answer(f"{HTTPStatus(status).phrase}; RFC 6749 5.2.", "Error")
    return found | ({"headers": _header(*names[status])} if status in names else {})


def _schema(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(*names: str) -> Node:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _text(description: str = "", **more: Any) -> Node:
    return {"type": "string"} | ({"description": description} if description else {}) | more


def _object(required: Iterable[str], **properties: Node) -> Node:
    return {"type": "object", "required": list(required), "properties": properties}


_GRANTS = [
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange",
]
_ASSERTION_TYPES = ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
_TOKEN_TYPES = [f"urn:ietf:params:oauth:token-type:{one}" for one in ("jwt", "id_token", "access_token")]
_JWT = _text("At most 8,192 bytes.")
_SCHEMAS: Node = {
    "TokenRequest": _object(
        ["grant_type"],
        grant_type=_text(enum=_GRANTS),
        client_id=_text("uid of a Connection; without it exactly one must fit."),
        client_assertion_type=_text("With client_credentials.", enum=_ASSERTION_TYPES),
        client_assertion=_JWT,
        assertion=_text("With jwt-bearer."),
        subject_token=_text("With token-exchange."),
        subject_token_type=_text(enum=_TOKEN_TYPES),
        requested_token_type=_text(enum=_TOKEN_TYPES[2:]),
        audience=_text("A client id, or the audience of a token of Lanyard's own."),
        resource=_text("The same."),
        scope=_text("Words with one space between them; `<anything>/.default` means all that is allowed."),
    ),
    "Token": _object(
        ["access_token", "token_type"],
        access_token=_text(),
        token_type=_text(),
        expires_in={"type": "integer", "minimum": 0},
        scope=_text(),
        issued_token_type=_text(enum=_TOKEN_TYPES[2:]),
    ),
    "IntrospectionRequest": _object(
        ["token"],
        token=_text(),
        token_type_hint=_text(),
        client_id=_text(),
        client_assertion_type=_text(enum=_ASSERTION_TYPES),
        client_assertion=_JWT,
    ),
    "Introspection": _object(["active"], active={"type": "boolean"}),
    "RevocationRequest": _object(["token"], token=_text(), token_type_hint=_text()),
    "Nothing": {"type": "object", "maxProperties": 0},
    "KeySet": _object(["keys"], keys={"type": "array", "items": _object(["kty", "kid"], kty=_text(), kid=_text())}),
    "Metadata": _object(
        ["issuer", "token_endpoint", "jwks_uri"], issuer=_text(), token_endpoint=_text(), jwks_uri=_text()
    ),
    "Error": _object(["error"], error=_text(), error_description=_text()),
}
_TENANT: Node = {
    "name": "tenant",
    "in": "path",
    "required": True,
    "description": "A namespace.",
    "schema": _text(pattern="^[a-z0-9][-a-z0-9]{0,62}$"),
}
_HEADERS: Node = {
    "X-Request-Id": {"description": "Also in the audit log.", "required": True, "schema": _text()},
    "Cache-Control": {"description": "RFC 9111 5.2.", "required": True, "schema": _text()},
    "WWW-Authenticate": {"description": "RFC 6750 3.", "required": True, "schema": _text()},
    "Allow": {"description": "RFC 9110 10.2.1.", "required": True, "schema": _text()},
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}},
}
