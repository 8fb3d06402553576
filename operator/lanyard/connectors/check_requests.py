"""Checks of the requests of a method: consent, tokens, taking back, and calls with what is published."""

from collections.abc import Iterable, Iterator

from lanyard.api.connection import Method
from lanyard.api.connector import ConnectorSpec, MethodSpec
from lanyard.api.exchange import ApiRequest, TokenRequest
from lanyard.connectors.check_texts import Finding, Scene, headers, text, texts, url
from lanyard.connectors.parameters import brought_by
from lanyard.connectors.templates import cut, placeholders
from lanyard.connectors.words import CLIENT_PARAMETERS, OWN_KEYS, RESERVED_KEYS, STANDARD_PARAMETERS, TOKEN_KEYS

_CLIENT_HEADERS = frozenset({"authorization"})
_NO_HEADERS: frozenset[str] = frozenset()


def authorization(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    request = method.authorization
    if request is None:
        return
    scene = Scene.of(spec).with_client()
    yield from url("authorization.url", request.url, Scene.of(spec), calls=True)
    yield from _known_then("authorization.url", request.url, method, spec)
    yield from texts("authorization.params", request.params, scene)
    yield from _names("authorization.rename", request.rename)
    yield from _names("authorization.omit", request.omit)
    if request.pkce == "off" and not request.pkce_off_reason:
        yield "authorization.pkceOffReason", "is missing: without PKCE a code is less safe, so say why"
    if request.pkce != "off" and request.pkce_off_reason:
        yield "authorization.pkceOffReason", "goes with pkce off"
    if request.issuer is not None:
        yield from text("authorization.issuer", request.issuer, Scene.of(spec))
    elif request.response_issuer == "required":
        yield "authorization.issuer", "is missing: responseIssuer required has nothing to compare with"
    for sent, name in request.callback_params.items():
        declared = spec.parameters.get(name)
        if declared is None or declared.source not in {"callback", "user"}:
            yield f"authorization.callbackParams.{sent}", f"{name} is not a parameter that a callback can bring"
    for sent, template in request.callback_expect.items():
        yield from text(f"authorization.callbackExpect.{sent}", template, Scene.of(spec))
    for sent in (*request.callback_params, *request.callback_expect):
        if sent in {"code", "state", "error", "iss"}:
            yield "authorization.callbackParams", f"{sent} is read already"


def device(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    if method.device is None:
        return
    yield from url("device.url", method.device.url, Scene.of(spec), calls=True)
    yield from _known_then("device.url", method.device.url, method, spec)
    yield from texts("device.params", method.device.params, Scene.of(spec).with_client())


def assertion(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    template = method.assertion
    if template is None:
        return
    scene = Scene.of(spec).with_client()
    for field, value in (
        ("issuer", template.issuer),
        ("subject", template.subject),
        ("audience", template.audience),
    ):
        if value is not None:
            yield from text(f"assertion.{field}", value, scene)
    yield from texts("assertion.claims", template.claims, scene)
    if (template.placement == "bearer") != (method.name is Method.GITHUB_APP):
        yield "assertion.placement", "is bearer for githubApp, and for it alone"


def token_request(
    where: str, request: TokenRequest | None, method: MethodSpec, spec: ConnectorSpec
) -> Iterator[Finding]:
    if request is None:
        return
    names = ("redirect_uri",) if method.name is Method.AUTHORIZATION_CODE else ()
    scene = Scene.of(spec).with_client(*names)
    yield from url(f"{where}.url", request.url, Scene.of(spec), calls=True)
    yield from texts(f"{where}.params", request.params, scene)
    yield from headers(f"{where}.headers", request.headers, scene, ours=_CLIENT_HEADERS)
    yield from _names(f"{where}.rename", request.rename)
    yield from _names(f"{where}.omit", request.omit)


def first_request(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    """Of the addresses at which a grant is begun and kept."""
    request, refresh = method.token_request, method.refresh_request
    if request is None:
        return
    yield from _known_then("tokenRequest.url", request.url, method, spec, "callback")
    if refresh is None:
        return
    here, there = cut(request.url), cut(refresh.url)
    if here is None or there is None or (here.start, here.authority) == (there.start, there.authority):
        return
    for name in (there.start,) if there.start is not None else placeholders(there.authority):
        declared = spec.parameters.get(name)
        if declared is not None and declared.source == "user" and not declared.enum:
            yield "refreshRequest.url", f"is at a host that {{{name}}} names, and tokenRequest.url is at another one"


def exchange(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    if method.exchange is None:
        return
    yield from url("exchange.url", method.exchange.url, Scene.of(spec), calls=True)
    yield from _known_then("exchange.url", method.exchange.url, method, spec, "callback", "tokenResponse")
    yield from texts("exchange.params", method.exchange.params, Scene.of(spec).with_client())
    if method.exchange.parameter in STANDARD_PARAMETERS:
        yield "exchange.parameter", "is the name of a standard parameter"


def revocation(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    scene = Scene.of(spec).with_client()
    for request in method.revocation:
        yield from url("revocation.url", request.url, scene, calls=True)
        yield from texts("revocation.params", request.params, scene)
        for name in request.rename:
            if name not in CLIENT_PARAMETERS:
                yield "revocation.rename", f"{name} is not a parameter of the client authentication"
        carries = request.parameter or request.authentication == "bearer" or request.params
        if not carries:
            yield "revocation.parameter", "is missing: nothing says which token is meant"


def identity(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    who = method.identity
    if who is None:
        return
    if who.request is not None:
        yield from _api_request("identity.request", who.request, method, spec)
        if who.parameter is not None:
            yield "identity.parameter", "and request exclude each other"
    if who.parameter is not None:
        named = method.authorization is not None and who.parameter in method.authorization.callback_params
        if not named:
            yield "identity.parameter", f"{who.parameter} is none of authorization.callbackParams"


def verification(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    if method.verification is not None:
        yield from _api_request("verification.request", method.verification.request, method, spec)


def follow_up(method: MethodSpec, spec: ConnectorSpec) -> Iterator[Finding]:
    asked = method.follow_up
    if asked is None:
        return
    yield from _api_request("followUp.request", asked.request, method, spec, before=True)
    for pointer, template in asked.choose.items():
        yield from text(f"followUp.choose.{pointer}", template, Scene.of(spec))
        if not pointer.startswith("/"):
            yield f"followUp.choose.{pointer}", "is not a JSON Pointer"
    if asked.choose and asked.items is None:
        yield "followUp.choose", "has no list to choose from: name it in items"
    if not asked.capture:
        yield "followUp.capture", "is empty, so the request is for nothing"


def _api_request(
    where: str, request: ApiRequest, method: MethodSpec, spec: ConnectorSpec, *, before: bool = False
) -> Iterator[Finding]:
    """`before`: what the follow-up captures is not there yet."""
    learned = frozenset(method.response.capture)
    if method.follow_up is not None and not before:
        learned |= frozenset(method.follow_up.capture)
    scene = Scene(spec.parameters, plain=learned, secret=_published(method))
    yield from url(f"{where}.url", request.url, scene, calls=True)
    yield from headers(f"{where}.headers", request.headers, scene, ours=_NO_HEADERS)
    yield from texts(f"{where}.params", request.params, scene)
    if request.body is not None:
        for name in placeholders(request.body):
            # The braces of JSON are no placeholders, so only names are looked at.
            if name not in scene.everywhere:
                yield f"{where}.body", f"uses {{{name}}}, which is not declared"
        if request.method in {"GET", "HEAD", "DELETE"}:
            yield f"{where}.body", f"cannot go with {request.method}"
    elif request.content_type is not None:
        yield f"{where}.contentType", "goes with a body"


def _known_then(where: str, template: str, method: MethodSpec, spec: ConnectorSpec, *brought: str) -> Iterator[Finding]:
    """`brought`: sources that have spoken when this address is asked. A method can name a value that another brings:
    then a Connection gives it.
    """
    later = brought_by(method)
    for name in placeholders(template):
        declared = spec.parameters.get(name)
        if declared is None or declared.source in brought or declared.default is not None:
            continue
        if name in later.get(declared.source, ()):
            yield where, f"needs {{{name}}}, which is only learned later"


def _published(method: MethodSpec) -> frozenset[str]:
    """Keys of the workload Secret that hold a secret."""
    own = OWN_KEYS.get(method.name, TOKEN_KEYS - {"base_url"})
    return (own | frozenset(method.credentials)) - RESERVED_KEYS


def _names(where: str, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        if name not in STANDARD_PARAMETERS:
            yield where, f"{name} is not a standard parameter"
