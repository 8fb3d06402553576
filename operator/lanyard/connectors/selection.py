"""What a Connection wants, held against what its connector offers. The result is a `Plan`: nothing is left to choose.

The reasons raised here are those of `SpecValid`; nothing is fetched and no secret value is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from lanyard.api.connection import BUILT, TOKEN_METHODS, ClientAuthentication, ConnectionSpec, Method
from lanyard.api.connector import ConnectorSpec, MethodSpec, Parameter, TokenRequest
from lanyard.api.meta import parse_duration
from lanyard.connectors.loader import Connector
from lanyard.connectors.parameters import chosen
from lanyard.connectors.templates import UnfitValueError, cut, host_of, placeholders, render_text, render_url
from lanyard.connectors.words import RESERVED_KEYS
from lanyard.errors import SpecError
from lanyard.reasons import Reason

CLIENT_ID, CLIENT_SECRET, PRIVATE_KEY, USERNAME, PASSWORD = (
    "clientId", "clientSecret", "privateKey", "username", "password",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """One Connection's way to its credential.

    `required` and `optional` are the secret fields it needs and takes. `scopes` are what it wants granted, the
    mandatory ones among them; `sends_scopes` says whether the product takes them in the request.
    `host_is_tenants`: whoever wrote the Connection decided which host is asked, so egress is guarded.
    """

    connector: Connector
    method: MethodSpec
    parameters: Mapping[str, str]
    needs_token: bool
    client_auth: ClientAuthentication
    required: tuple[str, ...]
    optional: tuple[str, ...]
    scopes: tuple[str, ...]
    mandatory_scopes: tuple[str, ...]
    sends_scopes: bool
    base_url: str
    token_url: str
    token_host: str
    host_is_tenants: bool

    @property
    def default_life(self) -> timedelta:
        """When a token that does not expire is fetched anew."""
        return parse_duration(self.method.lifetime.default)


def plan_for(spec: ConnectionSpec, connector: Connector) -> Plan:
    """The plan; SpecError with the first thing that does not fit, in the order a reader of the spec meets it."""
    method = _method(spec, connector)
    parameters = chosen(connector.name, connector.spec.parameters, spec.parameters)
    client_auth = _client_auth(spec, connector, method)
    needs_username = method.name in {Method.PASSWORD, Method.BASIC}
    required, optional = _fields(method, client_auth, spec)
    client_id_use = _client_id_use(method, client_auth)
    if client_id_use == "needed" and spec.auth.client_id is None:
        required = (*required, CLIENT_ID)
    elif client_id_use == "taken":
        optional = (*optional, CLIENT_ID)
    if needs_username and spec.auth.username is None:
        required = (*required, USERNAME)
    _hold_credentials(spec, method, required, optional)
    mandatory = _rendered(method.scopes.mandatory, parameters)
    try:
        token_url = render_url(method.token_request.url, parameters) if method.token_request is not None else ""
        base_url = _base_url(connector.spec, parameters)
    except UnfitValueError as error:
        # A parameter can be optional for one method and needed by the address of another.
        reason = Reason.PARAMETER_INVALID if error.name in parameters else Reason.PARAMETER_MISSING
        raise SpecError(reason, connector=connector.name, field=error.name) from None
    return Plan(
        connector=connector,
        method=method,
        parameters=parameters,
        needs_token=method.name in TOKEN_METHODS,
        client_auth=client_auth,
        required=required,
        optional=optional,
        scopes=tuple(dict.fromkeys((*(spec.auth.scopes or _rendered(method.scopes.default, parameters)), *mandatory))),
        mandatory_scopes=mandatory,
        sends_scopes=method.scopes.send,
        base_url=base_url,
        token_url=token_url,
        token_host=host_of(token_url),
        host_is_tenants=method.token_request is not None
        and _host_is_tenants(method.token_request, connector.spec.parameters),
    )


def _method(spec: ConnectionSpec, connector: Connector) -> MethodSpec:
    offered = connector.spec.methods
    wanted = spec.auth.method or offered[0].name
    found = next((method for method in offered if method.name == wanted), None)
    if found is None:
        names = ", ".join(method.name for method in offered if method.name in BUILT)
        raise SpecError(Reason.METHOD_NOT_OFFERED, connector=connector.name, method=wanted, offered=names or "none")
    if found.name not in BUILT:
        raise SpecError(Reason.METHOD_NOT_AVAILABLE, connector=connector.name, method=wanted)
    return found


def _client_auth(spec: ConnectionSpec, connector: Connector, method: MethodSpec) -> ClientAuthentication:
    """RFC 6749 4.3 opens the password grant to public clients: where the product takes them, the secret is optional."""
    if method.name not in TOKEN_METHODS:
        return ClientAuthentication.NONE
    offered = method.client_auth.methods
    wanted = spec.auth.client_authentication or offered[0]
    if wanted not in offered:
        names = ", ".join(offered)
        raise SpecError(Reason.CLIENT_AUTH_NOT_OFFERED, connector=connector.name, method=wanted, offered=names)
    is_left_open = spec.auth.client_authentication is None and ClientAuthentication.NONE in offered
    if method.name is Method.PASSWORD and is_left_open and not {CLIENT_SECRET, PRIVATE_KEY} & set(spec.credentials):
        return ClientAuthentication.NONE
    return wanted


def _client_id_use(method: MethodSpec, client_auth: ClientAuthentication) -> Literal["needed", "taken", "unused"]:
    """A product may refuse a client id, or have one that everybody uses unless they bring their own."""
    request = method.token_request
    if request is None:
        return "unused"
    if client_auth in {ClientAuthentication.BASIC, ClientAuthentication.PRIVATE_KEY_JWT}:
        return "needed"
    if "client_id" in request.omit:
        return "unused"
    return "taken" if "client_id" in request.params else "needed"


def _fields(
    method: MethodSpec, client_auth: ClientAuthentication, spec: ConnectionSpec
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the secret fields that must and may be given, client id and user name aside."""
    own = {
        Method.PASSWORD: (PASSWORD,), Method.BASIC: (PASSWORD,), Method.BEARER_TOKEN: ("token",),
        Method.API_KEY: ("apiKey",),
    }.get(method.name, ())  # fmt: skip
    proof: tuple[str, ...] = ()
    match client_auth:
        case ClientAuthentication.BASIC | ClientAuthentication.POST:
            proof = (CLIENT_SECRET,)
        case ClientAuthentication.PRIVATE_KEY_JWT:
            proof = (PRIVATE_KEY,)
        case ClientAuthentication.NONE:
            pass
    declared = method.credentials
    required = (*own, *proof, *(name for name, field in declared.items() if field.required))
    optional = tuple(name for name, field in declared.items() if not field.required)
    if method.any_credentials:
        named = tuple(sorted(name for name in spec.credentials if name not in RESERVED_KEYS))
        optional += named
        # The names are free, so any will do; one there must be.
        required = required or (() if named else ("value",))
    return required, optional


def _hold_credentials(
    spec: ConnectionSpec, method: MethodSpec, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    for name in required:
        if name not in spec.credentials:
            raise SpecError(Reason.CREDENTIAL_MISSING, method=method.name, field=name)
    for name in sorted(spec.credentials):
        if name not in required and name not in optional:
            raise SpecError(Reason.CREDENTIAL_UNKNOWN, method=method.name, field=name)


def _rendered(templates: Sequence[str], parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Scopes whose placeholders all have a value."""
    return tuple(scope for scope in (render_text(template, parameters) for template in templates) if scope)


def _base_url(spec: ConnectorSpec, parameters: Mapping[str, str]) -> str:
    """Empty when an optional parameter that it needs was not given."""
    if any(name not in parameters for name in placeholders(spec.base_url)):
        return ""
    return render_url(spec.base_url, parameters)


def _host_is_tenants(request: TokenRequest, declared: Mapping[str, Parameter]) -> bool:
    """True where a Connection decides which host is asked. From a list of the platform's values it only picks."""
    parts = cut(request.url)
    if parts is None:
        return True
    names = (parts.start,) if parts.start is not None else placeholders(parts.authority)
    return any(not declared[name].enum for name in names)
