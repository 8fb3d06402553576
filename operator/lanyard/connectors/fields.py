"""Which fields a method needs and takes: the secret ones by name, the client id, and how the client proves itself."""

from typing import Literal

from lanyard.api.connection import GRANT_METHODS, STATIC_METHODS, ClientAuthentication, ConnectionSpec, Method
from lanyard.api.connector import MethodSpec
from lanyard.api.exchange import TokenRequest
from lanyard.connectors.templates import placeholders
from lanyard.connectors.words import RESERVED_KEYS
from lanyard.errors import SpecError
from lanyard.reasons import Reason

CLIENT_ID, CLIENT_SECRET, PRIVATE_KEY, CERTIFICATE, USERNAME, PASSWORD = (
    "clientId", "clientSecret", "privateKey", "certificate", "username", "password",
)  # fmt: skip
ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN = "access_key_id", "secret_access_key", "session_token"

_OWN: dict[Method, tuple[str, ...]] = {
    Method.PASSWORD: (PASSWORD,),
    Method.BASIC: (PASSWORD,),
    Method.BEARER_TOKEN: ("token",),
    Method.API_KEY: ("apiKey",),
    Method.JWT_BEARER: (PRIVATE_KEY,),
    Method.GITHUB_APP: (PRIVATE_KEY,),
    Method.AWS_SIGV4: (ACCESS_KEY_ID, SECRET_ACCESS_KEY),
}
_PROOFS = {
    ClientAuthentication.BASIC: (CLIENT_SECRET,),
    ClientAuthentication.POST: (CLIENT_SECRET,),
    ClientAuthentication.PRIVATE_KEY_JWT: (PRIVATE_KEY,),
    ClientAuthentication.NONE: (),
}
_MAY_BE_PUBLIC = GRANT_METHODS | {Method.PASSWORD}


def client_auth_of(spec: ConnectionSpec, connector: str, method: MethodSpec) -> ClientAuthentication:
    """How the first request is authenticated.

    RFC 6749 2.1 knows public clients, and 4.3 opens the password grant to them: where the product takes them, a client
    without a secret is one.
    """
    if method.name in STATIC_METHODS or signs_in_header(method):
        return ClientAuthentication.NONE
    offered = method.client_auth.methods
    wanted = spec.auth.client_authentication or offered[0]
    if wanted not in offered:
        names = ", ".join(offered)
        raise SpecError(Reason.CLIENT_AUTH_NOT_OFFERED, connector=connector, method=wanted, offered=names)
    is_left_open = spec.auth.client_authentication is None and ClientAuthentication.NONE in offered
    if method.name in _MAY_BE_PUBLIC and is_left_open and not {CLIENT_SECRET, PRIVATE_KEY} & set(spec.credentials):
        return ClientAuthentication.NONE
    return wanted


def refresh_auth_of(method: MethodSpec, first: ClientAuthentication) -> ClientAuthentication:
    """A public client stays one; otherwise the connector may ask for another proof at refresh (Keap)."""
    other = method.refresh_client_authentication
    return first if other is None or first is ClientAuthentication.NONE else other


def signs_in_header(method: MethodSpec) -> bool:
    """The signed JWT is the bearer of the request, so nothing else authenticates it (GitHub)."""
    return method.assertion is not None and method.assertion.placement == "bearer"


def client_id_use(method: MethodSpec, client_auth: ClientAuthentication) -> Literal["needed", "taken", "unused"]:
    """A product may refuse a client id, or have one that everybody uses unless they bring their own."""
    request = method.token_request
    if request is None:
        return "unused"
    if client_auth in {ClientAuthentication.BASIC, ClientAuthentication.PRIVATE_KEY_JWT}:
        return "needed"
    if method.name in GRANT_METHODS or _is_named_in_assertion(method):
        return "needed"
    if signs_in_header(method) or "client_id" in request.omit:
        return "needed" if _uses_client_id(request) else "unused"
    return "taken" if "client_id" in request.params else "needed"


def secret_fields(
    method: MethodSpec, proofs: tuple[ClientAuthentication, ...], spec: ConnectionSpec
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the secret fields that must and may be given, client id and user name aside."""
    proof = tuple(name for way in proofs for name in _PROOFS[way])
    declared = method.credentials
    named = (*_OWN.get(method.name, ()), *proof, *(name for name, field in declared.items() if field.required))
    required = tuple(dict.fromkeys(named))
    optional = tuple(name for name, field in declared.items() if not field.required and name not in required)
    if PRIVATE_KEY in required and CERTIFICATE not in required:
        optional += (CERTIFICATE,)
    if method.name is Method.AWS_SIGV4:
        optional += (SESSION_TOKEN,)
    if method.any_credentials:
        free = tuple(sorted(name for name in spec.credentials if name not in RESERVED_KEYS))
        optional += free
        # The names are free, so any will do; one there must be.
        required = required or (() if free else ("value",))
    return required, optional


def _is_named_in_assertion(method: MethodSpec) -> bool:
    assertion = method.assertion
    if assertion is None:
        return False
    templates = (assertion.issuer, assertion.subject or "", assertion.audience or "", *assertion.claims.values())
    return any("client_id" in placeholders(template) for template in templates)


def _uses_client_id(request: TokenRequest) -> bool:
    return any("client_id" in placeholders(value) for value in (*request.params.values(), *request.headers.values()))
