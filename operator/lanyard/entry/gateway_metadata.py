"""What anybody may read of this authorization server: its endpoints (RFC 8414, OpenID Connect Discovery 1.0) and keys.

One document under both names: OAuth libraries read the one, SDKs of clouds the other. It also stands where Microsoft's
look for it, with the token endpoint of a tenant; a tenant is a namespace, and whether it exists is not told.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from lanyard.api.openapi_oauth import DOCUMENT_PATH, oauth_document_text
from lanyard.entry.gateway_machines import json_answer, unavailable
from lanyard.errors import LanyardError
from lanyard.oauth.algorithms import ALGORITHMS
from lanyard.oauth.minting import ALGORITHM
from lanyard.oauth.token_request import Dialect
from lanyard.stores.signing import SigningRing

JWKS_PATH = "/oauth/jwks"
INTROSPECTION_PATH = "/oauth/introspect"
REVOCATION_PATH = "/oauth/revoke"
_TOKEN_PATH = "/oauth/token"
_DOCUMENT_PATHS = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
_TENANT_PATH = "/{tenant:[a-z0-9][-a-z0-9]{0,62}}/v2.0/.well-known/openid-configuration"
MAX_AGE = 900
"""Seconds that a reader may keep it: a new key is published for longer than twice that before it signs."""


class MetadataRoutes:
    """`issuer` is the gateway's address; `ring` gives the signing keys, None where this gateway mints nothing."""

    def __init__(self, issuer: str, ring: Callable[[], SigningRing] | None) -> None:
        self._issuer = issuer
        self._ring = ring

    def add_to(self, app: web.Application) -> None:
        for path in _DOCUMENT_PATHS:
            app.router.add_get(path, self._document)
        app.router.add_get(_TENANT_PATH, self._document)
        app.router.add_get(JWKS_PATH, self._keys)
        app.router.add_get(DOCUMENT_PATH, _described)

    async def _document(self, request: web.Request) -> web.StreamResponse:
        return _public(metadata(self._issuer, request.match_info.get("tenant")))

    async def _keys(self, _: web.Request) -> web.StreamResponse:
        """Also keys that are still to come, and superseded ones: tokens of theirs may be alive."""
        try:
            return _public(self._ring().jwks() if self._ring is not None else {"keys": []})
        except LanyardError:
            return unavailable("there are no signing keys")


def metadata(issuer: str, tenant: str | None = None) -> dict[str, Any]:
    """RFC 8414 2 and OpenID Connect Discovery 1.0 3."""
    algorithms = sorted(ALGORITHMS)
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/{tenant}/oauth2/v2.0/token" if tenant is not None else f"{issuer}{_TOKEN_PATH}",
        "jwks_uri": f"{issuer}{JWKS_PATH}",
        "introspection_endpoint": f"{issuer}{INTROSPECTION_PATH}",
        "revocation_endpoint": f"{issuer}{REVOCATION_PATH}",
        "grant_types_supported": [one.value for one in Dialect],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": ["none"],
        # Nobody signs in here, and nothing answers at this address. Both specifications want the members, and
        # Microsoft's SDKs do not start without them.
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }


async def _described(_: web.Request) -> web.StreamResponse:
    return web.Response(text=oauth_document_text(), content_type="application/json")


def _public(document: Mapping[str, Any]) -> web.Response:
    answer = json_answer(document, headers={"Cache-Control": f"public, max-age={MAX_AGE}"})
    answer.headers.popall("Pragma", None)
    return answer
