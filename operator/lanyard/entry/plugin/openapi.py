"""A draft of a Connector from the security schemes of an API description. Pure: a document in, a draft out.

OpenAPI 3.x (Security Scheme Object, OAuth Flows Object, Server Object) and Swagger 2.0 (Security Definitions Object).
What cannot be said as a Connector becomes a remark, never a guess.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from pydantic import ValidationError

from lanyard.api.connector import ConnectorSpec
from lanyard.api.meta import API_VERSION, misfit
from lanyard.connectors.checks import findings

HOST_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
PATH_PIECE = "[-A-Za-z0-9._~]{1,64}"
_FLOWS = {
    "authorizationCode": "authorizationCode",
    "accessCode": "authorizationCode",
    "clientCredentials": "clientCredentials",
    "application": "clientCredentials",
    "password": "password",
    "deviceAuthorization": "deviceCode",
}
Json = Mapping[str, Any]


class DraftError(Exception):
    """No draft can be made: `args[0]` is what is wrong, `step` what to do."""

    def __init__(self, problem: str, step: str) -> None:
        super().__init__(problem)
        self.step = step


@dataclass(slots=True)
class _Draft:
    servers: str
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, scheme: str, method: str, content: dict[str, Any]) -> None:
        if method in self.methods:
            self.remarks.append(f"{scheme}: a second scheme for the method {method}; the first was taken")
        else:
            self.methods[method] = {"name": method, **content}


def draft(document: Any, name: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """The Connector object and remarks for the person; DraftError when nothing usable comes of it."""
    root = _mapping(document)
    new = str(root.get("openapi", ""))
    if not new.startswith("3.") and str(root.get("swagger", "")) != "2.0":
        raise DraftError(
            "The file is not an OpenAPI 3.x or Swagger 2.0 document.",
            "Give the API's description file; its first lines say `openapi: 3.…` or `swagger: '2.0'`.",
        )
    info = _mapping(root.get("info"))
    title = " ".join(str(info.get("title", "")).split())[:256]
    base, parameters = _base_url(root) if new else (_swagger_base(root), {})
    made = _Draft(base)
    for scheme, content in _schemes(root, swagger=not new).items():
        _add(made, str(scheme), content)
    if not made.methods:
        raise DraftError(
            "The document has no security scheme that a Connector can express.",
            "; ".join(made.remarks) or "Look for components.securitySchemes in it.",
        )
    spec = {
        **({"displayName": title} if title else {}),
        **_documentation(root),
        **({"baseURL": base} if base else {}),
        **({"parameters": parameters} if parameters else {}),
        "methods": list(made.methods.values()),
    }
    _check(spec)
    metadata = {"name": _object_name(name or title)}
    return {"apiVersion": API_VERSION, "kind": "Connector", "metadata": metadata, "spec": spec}, made.remarks


def _schemes(root: Json, *, swagger: bool) -> Json:
    found = root.get("securityDefinitions") if swagger else _mapping(root.get("components")).get("securitySchemes")
    schemes = _mapping(found)
    if not schemes:
        raise DraftError(
            "The document has no security schemes.",
            "Add components.securitySchemes (Swagger: securityDefinitions), or write the Connector by hand: "
            "docs/tasks/bring-your-own-connector.md",
        )
    return {name: _followed(schemes, name) for name in schemes}


def _followed(schemes: Json, name: str) -> Json:
    """A scheme, over one reference within the document."""
    scheme = _mapping(schemes[name])
    reference = scheme.get("$ref")
    if reference is None:
        return scheme
    start = "#/components/securitySchemes/"
    target = schemes.get(str(reference).removeprefix(start)) if str(reference).startswith(start) else None
    if target is None or "$ref" in _mapping(target):
        raise DraftError(f"The security scheme {name} refers to another place.", "Bundle the document into one file.")
    return _mapping(target)


def _add(made: _Draft, scheme: str, content: Json) -> None:
    kind = str(content.get("type", ""))
    match kind:
        case "oauth2":
            for flow, entry in _flows(content):
                _add_flow(made, scheme, flow, _mapping(entry))
        case "http":
            _add_http(made, scheme, str(content.get("scheme", "")).lower())
        case "basic":
            _add_http(made, scheme, "basic")
        case "apiKey":
            place, key = str(content.get("in", "")), str(content.get("name", ""))
            if place == "cookie":
                made.remarks.append(f"{scheme}: a session cookie is no credential to keep")
            else:
                made.add(scheme, "apiKey", {"description": f"Workloads send it as the {place} parameter {key}."[:256]})
        case "openIdConnect":
            url = str(content.get("openIdConnectUrl", ""))[:256]
            made.remarks.append(f"{scheme}: OpenID Connect; its endpoints are in {url}: add a method with them")
        case _:
            made.remarks.append(f"{scheme}: the type {kind[:40] or 'without a name'} cannot be expressed")


def _flows(content: Json) -> Iterator[tuple[str, Any]]:
    if "flow" in content:
        yield str(content["flow"]), content
    yield from ((str(flow), entry) for flow, entry in _mapping(content.get("flows")).items())


def _add_flow(made: _Draft, scheme: str, flow: str, entry: Json) -> None:
    method = _FLOWS.get(flow)
    if method is None:
        if not flow.startswith("x-"):
            made.remarks.append(f"{scheme}: the flow {flow[:40]} cannot be kept alive and is left out")
        return
    where = f"{scheme}.{flow}"
    content: dict[str, Any] = {}
    if method == "authorizationCode":
        content["authorization"] = {"url": _url(made, where, entry, "authorizationUrl")}
    if method == "deviceCode":
        content["device"] = {"url": _url(made, where, entry, "deviceAuthorizationUrl")}
    content["tokenRequest"] = {"url": _url(made, where, entry, "tokenUrl")}
    if entry.get("refreshUrl") and method != "clientCredentials":
        content["refreshRequest"] = {"url": _url(made, where, entry, "refreshUrl")}
    scopes = [str(scope) for scope in _mapping(entry.get("scopes"))]
    if scopes:
        made.remarks.append(f"{where}: a Connection asks for scopes in spec.auth.scopes; known: {' '.join(scopes)}")
    made.add(scheme, method, content)


def _add_http(made: _Draft, scheme: str, word: str) -> None:
    match word:
        case "bearer":
            made.add(scheme, "bearerToken", {})
        case "basic":
            made.add(scheme, "basic", {})
        case _:
            made.remarks.append(f"{scheme}: the HTTP scheme {word[:40]} cannot be expressed")


def _url(made: _Draft, where: str, entry: Json, member: str) -> str:
    """Absolute and https; a relative one is taken from the server's address."""
    given = str(entry.get(member, ""))
    try:
        url = urljoin(made.servers, given) if given and made.servers and "{" not in made.servers else given
        parts = urlsplit(url)
    except ValueError:
        url, parts = "", urlsplit("")
    if not given or parts.scheme != "https" or not parts.hostname:
        raise DraftError(
            f"{where}.{member} is not an https address.",
            f"Correct {member} in the document; Lanyard sends credentials over https only.",
        )
    return url


def _base_url(root: Json) -> tuple[str, dict[str, Any]]:
    servers = root.get("servers")
    server = _mapping(servers[0]) if isinstance(servers, list) and servers else {}
    url = str(server.get("url", "")).rstrip("/")
    if not url.startswith("https://"):
        return "", {}
    parameters: dict[str, Any] = {}
    host = url.removeprefix("https://").partition("/")[0]
    for variable, content in _mapping(server.get("variables")).items():
        place = f"{{{variable}}}"
        if place not in url:
            continue
        name = re.sub(r"[^a-z0-9]+", "_", str(variable).lower()).strip("_")[:40] or "server"
        name = name if name[0].isalpha() else f"p_{name}"[:40]
        url = url.replace(place, f"{{{name}}}")
        parameters[name] = _parameter(_mapping(content), inside_host=place in host)
    return url, parameters


def _parameter(content: Json, *, inside_host: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if content.get("description"):
        made["description"] = " ".join(str(content["description"]).split())[:256]
    choices = content.get("enum")
    if isinstance(choices, list) and choices:
        made["enum"] = [str(choice) for choice in choices]
    else:
        made["pattern"] = HOST_LABEL if inside_host else PATH_PIECE
    default = str(content.get("default", ""))
    if default and re.fullmatch(made.get("pattern", ".*"), default):
        made["example"] = default
    return made


def _swagger_base(root: Json) -> str:
    schemes, host = root.get("schemes"), str(root.get("host", ""))
    if not host or (isinstance(schemes, list) and "https" not in schemes):
        return ""
    return f"https://{host}{str(root.get('basePath', '')).rstrip('/')}"


def _documentation(root: Json) -> dict[str, str]:
    url = str(_mapping(root.get("externalDocs")).get("url", ""))
    return {"docsURL": url} if url.startswith("https://") and len(url) <= 512 else {}


def _object_name(text: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    if not found:
        raise DraftError("The document has no title to name the Connector after.", "Give one with --name.")
    return found


def _check(spec: Json) -> None:
    try:
        parsed = ConnectorSpec.model_validate(spec, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as error:
        raise DraftError(
            f"The draft would not be accepted at {misfit(error)}.", "Correct that part of the document, or its name."
        ) from None
    for where, problem in findings(parsed):
        raise DraftError(f"The draft would not be usable: {where} {problem}.", "Correct that part of the document.")


def _mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}
