"""What a Connection wants, held against what its connector offers. The result is a `Plan`: nothing is left to choose.

The reasons raised here are those of `SpecValid`; nothing is fetched and no secret value is known. Parameters that only
a consent or an answer can bring (`source` other than `user`) are given beside the spec as `learned`; an address that
needs one that is not known yet is "".
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from lanyard.api.connection import (
    GRANT_METHODS,
    STATIC_METHODS,
    ClientAuthentication,
    ConnectionSpec,
    Method,
)
from lanyard.api.connector import ConnectorSpec, MethodSpec, Parameter
from lanyard.api.meta import parse_duration
from lanyard.connectors.checks import is_described
from lanyard.connectors.fields import (
    CLIENT_ID,
    USERNAME,
    client_auth_of,
    client_id_use,
    refresh_auth_of,
    secret_fields,
)
from lanyard.connectors.loader import Connector
from lanyard.connectors.parameters import accept, brought_by, chosen
from lanyard.connectors.templates import UnfitValueError, cut, host_of, placeholders, render_text, render_url
from lanyard.errors import SpecError
from lanyard.reasons import Reason

Source = Literal["callback", "tokenResponse", "followUp"]
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """One Connection's way to its credential.

    `required` and `optional` are the secret fields it needs and takes. `scopes` are what it wants granted, the
    mandatory ones among them; `sends_scopes` says whether the product takes them in the request.
    `refresh_client_auth` is `client_auth` unless the product differs.
    `host_is_tenants`: whoever wrote the Connection, or an answer, decided which host is asked, so egress is guarded.
    """

    connector: Connector
    method: MethodSpec
    parameters: Mapping[str, str]
    needs_token: bool
    client_auth: ClientAuthentication
    refresh_client_auth: ClientAuthentication
    required: tuple[str, ...]
    optional: tuple[str, ...]
    scopes: tuple[str, ...]
    mandatory_scopes: tuple[str, ...]
    sends_scopes: bool
    base_url: str
    token_url: str
    token_host: str
    refresh_url: str
    exchange_url: str
    authorize_url: str
    device_url: str
    host_is_tenants: bool

    @property
    def default_life(self) -> timedelta:
        """When a token that does not expire is fetched anew."""
        return parse_duration(self.method.lifetime.default)


def plan_for(spec: ConnectionSpec, connector: Connector, learned: Mapping[str, str] = NOTHING) -> Plan:
    """The plan; SpecError with the first thing that does not fit, in the order a reader of the spec meets it."""
    method = _method(spec, connector)
    parameters = _parameters(spec, connector, learned)
    client_auth = client_auth_of(spec, connector.name, method)
    refresh_auth = refresh_auth_of(method, client_auth)
    proofs = (client_auth, refresh_auth) if method.name in GRANT_METHODS else (client_auth,)
    required, optional = secret_fields(method, proofs, spec)
    use = client_id_use(method, client_auth)
    if method.name in GRANT_METHODS and CLIENT_ID in spec.credentials:
        raise SpecError(Reason.CLIENT_ID_NOT_PLAIN, method=method.name)
    if use == "needed" and spec.auth.client_id is None:
        required = (*required, CLIENT_ID)
    elif use == "taken":
        optional = (*optional, CLIENT_ID)
    if method.name in {Method.PASSWORD, Method.BASIC} and spec.auth.username is None:
        required = (*required, USERNAME)
    _hold_credentials(spec, method, required, optional)
    mandatory = _rendered(method.scopes.mandatory, parameters)
    address = _Addresses(connector, parameters, _learnable(method, connector.spec.parameters))
    request = method.token_request
    token_url = address.of(request.url) if request is not None else ""
    return Plan(
        connector=connector,
        method=method,
        parameters=parameters,
        needs_token=method.name not in STATIC_METHODS,
        client_auth=client_auth,
        refresh_client_auth=refresh_auth,
        required=required,
        optional=optional,
        scopes=tuple(dict.fromkeys((*(spec.auth.scopes or _rendered(method.scopes.default, parameters)), *mandatory))),
        mandatory_scopes=mandatory,
        sends_scopes=method.scopes.send,
        base_url=_base_url(connector.spec, address),
        token_url=token_url,
        token_host=host_of(token_url),
        refresh_url=address.of(method.refresh_request.url) if method.refresh_request is not None else token_url,
        exchange_url=address.of(method.exchange.url) if method.exchange is not None else "",
        authorize_url=address.of(method.authorization.url) if method.authorization is not None else "",
        device_url=address.of(method.device.url) if method.device is not None else "",
        host_is_tenants=any(host_is_tenants(url, connector.spec.parameters) for url in _called(method)),
    )


def pinned(plan: Plan) -> str:
    """Digest of what a consent under way depends on: all that a token does, and the page or the endpoint of the device
    code at which it was begun.
    """
    begun_at = plan.method.authorization or plan.method.device
    page = begun_at.model_dump_json() if begun_at is not None else ""
    return hashlib.sha256(f"{plan.connector.digest}\0{page}".encode()).hexdigest()[:16]


def learned_of(plan: Plan, source: Source, unverified_values: Mapping[str, str]) -> dict[str, str]:
    """Those values that are parameters of this source and have the form that is declared; the others are dropped."""
    found = {}
    for name, parameter in plan.connector.spec.parameters.items():
        if parameter.source == source and name in unverified_values:
            accepted = accept(parameter, unverified_values[name])
            if accepted:
                found[name] = accepted
    return found


def _parameters(spec: ConnectionSpec, connector: Connector, learned: Mapping[str, str]) -> dict[str, str]:
    """What was learned stands over what was given: it belongs to the grant. It is held against the connector anew."""
    declared = {
        name: parameter if parameter.source == "user" else parameter.model_copy(update={"required": False})
        for name, parameter in connector.spec.parameters.items()
    }
    values = chosen(connector.name, declared, spec.parameters)
    for name, parameter in declared.items():
        if parameter.source != "user" and name in learned:
            accepted = accept(parameter, learned[name])
            if accepted:
                values[name] = accepted
    return values


class _Addresses:
    """The URLs of one plan."""

    def __init__(self, connector: Connector, parameters: Mapping[str, str], learnable: frozenset[str]) -> None:
        self._connector = connector
        self._parameters = parameters
        self._learnable = learnable

    def of(self, template: str) -> str:
        """Empty while something that is learned is missing; SpecError for an input that is missing or does not fit."""
        try:
            return render_url(template, self._parameters)
        except UnfitValueError as error:
            if error.name in self._learnable and not self.has(error.name):
                return ""
            # A parameter can be optional for one method and needed by the address of another.
            is_given = error.name in self._parameters
            reason = Reason.PARAMETER_INVALID if is_given else Reason.PARAMETER_MISSING
            raise SpecError(reason, connector=self._connector.name, field=error.name) from None

    def has(self, name: str) -> bool:
        return name in self._parameters


def _learnable(method: MethodSpec, declared: Mapping[str, Parameter]) -> frozenset[str]:
    """Parameters that this method brings by itself; one that only another method can learn has to be given."""
    brought = brought_by(method)
    return frozenset(name for name, one in declared.items() if name in brought.get(one.source, ()))


def _method(spec: ConnectionSpec, connector: Connector) -> MethodSpec:
    offered = connector.spec.methods
    if not offered:
        raise SpecError(Reason.SIGN_IN_NOT_OFFERED, connector=connector.name, field="auth")
    wanted = spec.auth.method or offered[0].name
    found = next((method for method in offered if method.name == wanted), None)
    if found is None:
        names = ", ".join(method.name for method in offered if is_described(method))
        raise SpecError(Reason.METHOD_NOT_OFFERED, connector=connector.name, method=wanted, offered=names or "none")
    if not is_described(found):
        raise SpecError(Reason.METHOD_NOT_AVAILABLE, connector=connector.name, method=wanted)
    return found


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


def _base_url(spec: ConnectorSpec, address: _Addresses) -> str:
    """Empty when an optional parameter that it needs was not given."""
    return address.of(spec.base_url) if all(address.has(name) for name in placeholders(spec.base_url)) else ""


def _called(method: MethodSpec) -> Iterator[str]:
    """Templates of every URL that is asked from here; the page for the browser is not."""
    for request in (method.token_request, method.refresh_request, method.exchange, method.device, *method.revocation):
        if request is not None:
            yield request.url
    for probe in (method.verification, method.identity, method.follow_up):
        if probe is not None and probe.request is not None:
            yield probe.request.url


def host_is_tenants(url: str, declared: Mapping[str, Parameter]) -> bool:
    """True where a Connection or an answer decides which host is asked; from the platform's list either only picks."""
    parts = cut(url)
    if parts is None:
        return True
    names = (parts.start,) if parts.start is not None else placeholders(parts.authority)
    return any(name not in declared or not declared[name].enum for name in names)
