"""What a schema cannot say about a connector. The same for built-in files and `Connector` objects.

Every finding is a pair: the field in the words of the YAML, and what is wrong with it.
"""

import re
from collections.abc import Iterator

from lanyard.api.connection import BUILT, GRANT_METHODS, TOKEN_METHODS, Method
from lanyard.api.connector import ConnectorSpec, MethodSpec, Parameter, ParameterType, TokenRequest, TokenResponse
from lanyard.api.meta import parse_duration
from lanyard.connectors.parameters import accept
from lanyard.connectors.patterns import compiled
from lanyard.connectors.templates import PLACEHOLDER, cut, has_stray_braces, is_host, is_port, placeholders
from lanyard.connectors.words import RESERVED_KEYS, STANDARD_PARAMETERS, STATIC_FIELD_KEYS, TOKEN_KEYS

Finding = tuple[str, str]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CREDENTIAL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}")
_SECRET_KEY = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")  # the API server refuses ".", and ".." at the start
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_URL_REST = re.compile(r"[-A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%{}]*")
_OUR_HEADERS = frozenset({"authorization", "host", "content-length", "content-type", "transfer-encoding", "connection"})
_LITERAL_HTTP = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/|$)")
# Python's engine backtracks where RE2 has no such syntax: what RE2 refuses is refused here too.
_NOT_RE2 = re.compile(r"\(\?[=!<>(#]|\\[1-9]|\(\?P=|[*+?}]\+")
_CLIENT_ID = {"client_id"}


def findings(spec: ConnectorSpec) -> Iterator[Finding]:
    """Everything that is wrong, first things first; nothing for a usable connector."""
    for name, parameter in spec.parameters.items():
        yield from _parameter(name, parameter)
    yield from _url("baseURL", spec.base_url, spec, token=False)
    seen: set[Method] = set()
    for method in spec.methods:
        where = f"methods[{method.name}]"
        if method.name in seen:
            yield where, "is listed twice"
        seen.add(method.name)
        if is_described(method):
            yield from ((f"{where}.{field}", problem) for field, problem in _method(method, spec))


def _parameter(name: str, parameter: Parameter) -> Iterator[Finding]:
    where = f"parameters.{name}"
    if _NAME.fullmatch(name) is None or name in _CLIENT_ID:
        yield where, "is not a usable name: lower case, digits and underscores, and not client_id"
    if parameter.pattern is not None:
        if _NOT_RE2.search(parameter.pattern):
            yield f"{where}.pattern", "uses what RE2 does not have: look-around, back references, possessive repeats"
            return
        try:
            compiled(parameter.pattern)
        except (re.error, OverflowError, RecursionError):
            yield f"{where}.pattern", "is not a regular expression"
            return
    if parameter.type in {ParameterType.HOSTNAME, ParameterType.URL} and not (
        _is_bounded(parameter) or parameter.any_host
    ):
        yield where, "reaches a host and needs a pattern, allowedHosts, enum or anyHost"
    if parameter.default is not None and accept(parameter, parameter.default) is None:
        yield f"{where}.default", "does not have the form that the parameter declares"


def _is_bounded(parameter: Parameter) -> bool:
    return bool(parameter.pattern or parameter.allowed_hosts or parameter.enum)


def is_described(method: MethodSpec) -> bool:
    """False for a method that is named so that readers know of it, without what would be needed to use it."""
    match method.name:
        case Method.AUTHORIZATION_CODE:
            return method.authorization is not None and method.token_request is not None
        case Method.DEVICE_CODE:
            return method.device is not None and method.token_request is not None
        case Method.JWT_BEARER | Method.GITHUB_APP:
            return method.assertion is not None and method.token_request is not None
        case _:
            return method.name in BUILT


def _method(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    if method.name in TOKEN_METHODS | GRANT_METHODS:
        if method.token_request is None:
            yield "tokenRequest", "is missing"
        else:
            yield from _token_request(method.token_request, spec)
        if method.credentials:
            yield "credentials", "has no meaning for a method that fetches a token"
        yield from _token_method(method, spec)
    else:
        if method.token_request is not None:
            yield "tokenRequest", "has no meaning for a method without a token"
        yield from _static_method(method)


def _token_request(request: TokenRequest, spec: ConnectorSpec) -> Iterator[Finding]:
    yield from _url("tokenRequest.url", request.url, spec, token=True)
    for name, value in request.params.items():
        yield from _text(f"tokenRequest.params.{name}", value, spec)
    for name, value in request.headers.items():
        where = f"tokenRequest.headers.{name}"
        if _HEADER.fullmatch(name) is None or name.lower() in _OUR_HEADERS:
            yield where, "is not a header that a connector may set"
        if _HEADER_VALUE.fullmatch(value) is None:
            yield where, "holds a character that a header may not carry"
        yield from _text(where, value, spec)
    for field, names in (("rename", request.rename), ("omit", request.omit)):
        for name in names:
            if name not in STANDARD_PARAMETERS:
                yield f"tokenRequest.{field}", f"{name} is not a standard parameter"


def _token_method(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    if placeholders(method.authorization_format) != ("access_token",) or not method.authorization_format.isprintable():
        yield "authorizationFormat", "contains {access_token} once and nothing else in braces"
    if _HEADER.fullmatch(method.client_auth.basic_scheme) is None:
        yield "clientAuth.basicScheme", "is not one word that a header may carry"
    if method.client_auth.assertion_audience is not None:
        yield from _text("clientAuth.assertionAudience", method.client_auth.assertion_audience, spec)
    for field, duration in (("default", method.lifetime.default), ("maximum", method.lifetime.maximum)):
        if duration is not None and parse_duration(duration).total_seconds() < 1:
            yield f"lifetime.{field}", "is shorter than a second"
    for scope in (*method.scopes.default, *method.scopes.mandatory):
        yield from _text("scopes", scope, spec, client_id=False)
    yield from _captures(method.response, spec)
    for rule in method.errors:
        if not rule.status and not rule.code:
            yield "errors", "has a rule that names neither a status nor a code"


def _captures(response: TokenResponse, spec: ConnectorSpec) -> Iterator[Finding]:
    taken = RESERVED_KEYS | TOKEN_KEYS
    if not spec.base_url:
        # A product that names its API host only in the answer: the capture is the base_url.
        taken -= {"base_url"}
    for key in response.capture:
        if key in taken or _SECRET_KEY.fullmatch(key) is None:
            yield f"response.capture.{key}", "is not a key that the workload Secret has free"


def _static_method(method: MethodSpec) -> Iterator[Finding]:
    if method.any_credentials and method.name is not Method.CUSTOM:
        yield "anyCredentials", "belongs to the method custom alone"
    if method.name is Method.CUSTOM and not method.credentials and not method.any_credentials:
        yield "credentials", "is empty: custom names its fields, or sets anyCredentials"
    taken = RESERVED_KEYS if method.name is Method.CUSTOM else RESERVED_KEYS | STATIC_FIELD_KEYS | {"apiKey"}
    for name in method.credentials:
        if name in taken or _CREDENTIAL.fullmatch(name) is None:
            yield f"credentials.{name}", "is not a name that is free in the workload Secret"


def _text(where: str, template: str, spec: ConnectorSpec, *, client_id: bool = True) -> Iterator[Finding]:
    known = set(spec.parameters) | (_CLIENT_ID if client_id else set())
    yield from _declared(where, template, known)


def _declared(where: str, template: str, known: set[str]) -> Iterator[Finding]:
    if has_stray_braces(template):
        yield where, "has a brace that belongs to no {placeholder}"
    for name in placeholders(template):
        if name not in known:
            yield where, f"uses {{{name}}}, which is not declared"


def _is_authority(template: str) -> bool:
    """Judged with a label in each placeholder; a value that does not fit there is refused when it comes."""
    host, colon, port = PLACEHOLDER.sub("x", template).lower().partition(":")
    if template.startswith("[::1]"):
        host, colon, port = "localhost", *template.removeprefix("[::1]").partition(":")[1:]
    return is_host(host) and (not colon or is_port(port))


def _url(where: str, template: str, spec: ConnectorSpec, *, token: bool) -> Iterator[Finding]:
    if not template:
        return
    unknown = list(_declared(where, template, set(spec.parameters)))
    parts = cut(template)
    if unknown or parts is None:
        yield from unknown or [(where, "is not a URL")]
        return
    if parts.start is not None and spec.parameters[parts.start].type is not ParameterType.URL:
        yield where, "begins with a parameter that is not of type url"
    if parts.start is None and token and _LITERAL_HTTP.match(template) is None:
        yield where, "does not use https"
    if "@" in parts.authority or _URL_REST.fullmatch(parts.rest) is None:
        yield where, "holds a character that has no place in it"
    if parts.start is None and not _is_authority(parts.authority):
        yield where, "does not name a host"
    for name in placeholders(parts.authority):
        if not _is_bounded(spec.parameters[name]) and not spec.parameters[name].any_host:
            yield where, f"puts {{{name}}} in the host: it needs a pattern, allowedHosts, enum or anyHost"
    inside = (*placeholders(parts.authority), *placeholders(parts.rest))
    if any(spec.parameters[name].type is ParameterType.URL for name in inside):
        yield where, "takes a parameter of type url at its beginning only"
