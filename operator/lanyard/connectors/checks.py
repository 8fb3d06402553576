"""What a schema cannot say about a connector. The same for built-in files and `Connector` objects.

Every finding is a pair: the field in the words of the YAML, and what is wrong with it.
"""

import re
from collections.abc import Iterator

from lanyard.api.connection import GRANT_METHODS, STATIC_METHODS, TOKEN_METHODS, Method
from lanyard.api.connector import ConnectorSpec, MethodSpec, Parameter, ParameterType
from lanyard.api.meta import parse_duration
from lanyard.connectors.check_requests import (
    assertion,
    authorization,
    device,
    exchange,
    first_request,
    follow_up,
    identity,
    revocation,
    token_request,
    verification,
)
from lanyard.connectors.check_texts import HEADER, Finding, Scene, is_bounded, text, url
from lanyard.connectors.parameters import accept
from lanyard.connectors.patterns import compiled
from lanyard.connectors.templates import placeholders
from lanyard.connectors.words import OWN_KEYS, RESERVED_KEYS, TOKEN_KEYS

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CREDENTIAL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}")
_SECRET_KEY = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")  # the API server refuses ".", and ".." at the start
# Python's engine backtracks where RE2 has no such syntax: what RE2 refuses is refused here too.
_NOT_RE2 = re.compile(r"\(\?[=!<>(#]|\\[1-9]|\(\?P=|[*+?}]\+")
_TAKEN_NAMES = frozenset({"client_id", "redirect_uri", "access_token"})
"""Names that templates know beside the parameters."""

_ONLY_FOR = {
    "authorization": ("authorization", {Method.AUTHORIZATION_CODE}),
    "device": ("device", {Method.DEVICE_CODE}),
    "assertion": ("assertion", {Method.JWT_BEARER, Method.GITHUB_APP}),
    "exchange": ("exchange", {Method.AUTHORIZATION_CODE}),
    "refresh_request": ("refreshRequest", GRANT_METHODS),
    "refresh_client_authentication": ("refreshClientAuthentication", GRANT_METHODS),
    "revocation": ("revocation", GRANT_METHODS),
    "token_request": ("tokenRequest", GRANT_METHODS | TOKEN_METHODS),
    "follow_up": ("followUp", GRANT_METHODS | TOKEN_METHODS),
}


def findings(spec: ConnectorSpec) -> Iterator[Finding]:
    """Everything that is wrong, first things first; nothing for a usable connector."""
    for name, parameter in spec.parameters.items():
        yield from _parameter(name, parameter)
    yield from url("baseURL", spec.base_url, Scene.of(spec))
    if (spec.mints is not None) == bool(spec.methods):
        yield "mints" if spec.methods else "methods", "is one of methods and mints, and exactly one is given"
    if spec.mints is not None and spec.parameters:
        yield "parameters", "has no meaning where Lanyard makes the tokens itself"
    seen: set[Method] = set()
    for method in spec.methods:
        where = f"methods[{method.name}]"
        if method.name in seen:
            yield where, "is listed twice"
        seen.add(method.name)
        if is_described(method):
            yield from ((f"{where}.{field}", problem) for field, problem in _method(method, spec))


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
            return True


def _parameter(name: str, parameter: Parameter) -> Iterator[Finding]:
    where = f"parameters.{name}"
    if _NAME.fullmatch(name) is None or name in _TAKEN_NAMES:
        yield where, "is not a usable name: lower case, digits and underscores, and none that templates know already"
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
        is_bounded(parameter) or parameter.any_host
    ):
        yield where, "reaches a host and needs a pattern, allowedHosts, enum or anyHost"
    if parameter.source != "user" and parameter.any_host:
        yield f"{where}.anyHost", "would let an answer lead the token anywhere"
    if parameter.default is not None and accept(parameter, parameter.default) is None:
        yield f"{where}.default", "does not have the form that the parameter declares"


def _method(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    for name, (field, methods) in _ONLY_FOR.items():
        if getattr(method, name) and method.name not in methods:
            yield field, "has no meaning for this method"
    if method.name in STATIC_METHODS:
        yield from _static_method(method)
    elif method.token_request is None:
        yield "tokenRequest", "is missing"
    else:
        yield from _token_method(method, spec)
    yield from identity(method, spec)
    yield from verification(method, spec)


def _token_method(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    scene = Scene.of(spec)
    if method.credentials:
        yield "credentials", "has no meaning for a method that fetches a token"
    yield from authorization(method, spec)
    yield from device(method, spec)
    yield from assertion(method, spec)
    yield from token_request("tokenRequest", method.token_request, method, spec)
    yield from token_request("refreshRequest", method.refresh_request, method, spec)
    yield from first_request(method, spec)
    yield from exchange(method, spec)
    if placeholders(method.authorization_format) != ("access_token",) or not method.authorization_format.isprintable():
        yield "authorizationFormat", "contains {access_token} once and nothing else in braces"
    if HEADER.fullmatch(method.client_auth.basic_scheme) is None:
        yield "clientAuth.basicScheme", "is not one word that a header may carry"
    if method.client_auth.assertion_audience is not None:
        yield from text("clientAuth.assertionAudience", method.client_auth.assertion_audience, scene.with_client())
    yield from _durations(method)
    for scope in (*method.scopes.default, *method.scopes.mandatory):
        yield from text("scopes", scope, scene)
    yield from _captures("response.capture", method.response.capture, spec)
    for rule in method.errors:
        if not rule.status and not rule.code:
            yield "errors", "has a rule that names neither a status nor a code"
    yield from revocation(method, spec)
    yield from follow_up(method, spec)
    if method.follow_up is not None:
        yield from _captures("followUp.capture", method.follow_up.capture, spec)
        for key in method.follow_up.capture.keys() & method.response.capture.keys():
            yield f"followUp.capture.{key}", "is captured from the token answer already"


def _durations(method: MethodSpec) -> Iterator[Finding]:
    rotation = method.rotation
    for field, duration in (
        ("lifetime.default", method.lifetime.default),
        ("lifetime.maximum", method.lifetime.maximum),
        ("rotation.grace", rotation.grace),
        ("rotation.idleLifetime", rotation.idle_lifetime),
        ("rotation.absoluteLifetime", rotation.absolute_lifetime),
    ):
        if duration is not None and parse_duration(duration).total_seconds() < 1:
            yield field, "is shorter than a second"
    if (rotation.mode == "rotatesWithGrace") != (rotation.grace is not None):
        yield "rotation.grace", "goes with the mode rotatesWithGrace, and only with it"


def _captures(where: str, capture: dict[str, str], spec: ConnectorSpec) -> Iterator[Finding]:
    taken = RESERVED_KEYS | TOKEN_KEYS
    if not spec.base_url:
        # A product that names its API host only in the answer: the capture is the base_url.
        taken -= {"base_url"}
    for key in capture:
        if key in taken or _SECRET_KEY.fullmatch(key) is None:
            yield f"{where}.{key}", "is not a key that the workload Secret has free"


def _static_method(method: MethodSpec) -> Iterator[Finding]:
    if method.any_credentials and method.name is not Method.CUSTOM:
        yield "anyCredentials", "belongs to the method custom alone"
    if method.name is Method.CUSTOM and not method.credentials and not method.any_credentials:
        yield "credentials", "is empty: custom names its fields, or sets anyCredentials"
    taken = RESERVED_KEYS | OWN_KEYS.get(method.name, frozenset())
    for name in method.credentials:
        if name in taken or _CREDENTIAL.fullmatch(name) is None:
            yield f"credentials.{name}", "is not a name that is free in the workload Secret"
