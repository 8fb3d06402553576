"""Checks of single texts of a connector: what a template may name, what may stand in a URL, in a header."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lanyard.api.connector import ConnectorSpec, Parameter, ParameterType
from lanyard.connectors.templates import PLACEHOLDER, cut, has_stray_braces, is_host, is_port, placeholders

Finding = tuple[str, str]

HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_URL_REST = re.compile(r"[-A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%{}]*")
_FRAMING = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
_LITERAL_HTTP = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/|$)")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the templates of one place know.

    `parameters` are declared and bounded; `plain` names go behind the host of a URL too; `secret` names go into
    headers, query parameters and bodies alone.
    """

    parameters: Mapping[str, Parameter]
    plain: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()

    @classmethod
    def of(cls, spec: ConnectorSpec) -> "Scene":
        return cls(spec.parameters)

    def with_client(self, *names: str) -> "Scene":
        """Also the client id, which is plain, and `names`."""
        return replace(self, plain=self.plain | {"client_id", *names})

    @property
    def in_urls(self) -> frozenset[str]:
        return self.plain | self.parameters.keys()

    @property
    def everywhere(self) -> frozenset[str]:
        return self.in_urls | self.secret


def is_bounded(parameter: Parameter) -> bool:
    """Whoever wrote the connector decided which hosts a value can lead to."""
    return bool(parameter.pattern or parameter.allowed_hosts or parameter.enum)


def text(where: str, template: str, scene: Scene) -> Iterator[Finding]:
    yield from _declared(where, template, scene.everywhere)


def texts(where: str, templates: Mapping[str, str], scene: Scene) -> Iterator[Finding]:
    for name, template in templates.items():
        yield from text(f"{where}.{name}", template, scene)


def headers(where: str, templates: Mapping[str, str], scene: Scene, *, ours: frozenset[str]) -> Iterator[Finding]:
    """`ours`: names in lower case that are written elsewhere."""
    for name, template in templates.items():
        field = f"{where}.{name}"
        if HEADER.fullmatch(name) is None or name.lower() in _FRAMING | ours:
            yield field, "is not a header that a connector may set"
        if _HEADER_VALUE.fullmatch(template) is None:
            yield field, "holds a character that a header may not carry"
        yield from text(field, template, scene)


def url(where: str, template: str, scene: Scene, *, calls: bool = False) -> Iterator[Finding]:
    """`calls`: something secret is sent there, so it is https, or the machine itself."""
    if not template:
        return
    unknown = list(_declared(where, template, scene.in_urls))
    parts = cut(template)
    if unknown or parts is None:
        yield from unknown or [(where, "is not a URL")]
        return
    declared = scene.parameters
    if parts.start is not None and (parts.start not in declared or declared[parts.start].type is not ParameterType.URL):
        yield where, "begins with a parameter that is not of type url"
    if parts.start is None and calls and _LITERAL_HTTP.match(template) is None:
        yield where, "does not use https"
    if "@" in parts.authority or _URL_REST.fullmatch(parts.rest) is None:
        yield where, "holds a character that has no place in it"
    if parts.start is None and not _is_authority(parts.authority):
        yield where, "does not name a host"
    for name in placeholders(parts.authority):
        if name not in declared or not (is_bounded(declared[name]) or declared[name].any_host):
            yield where, f"puts {{{name}}} in the host: it needs a pattern, allowedHosts, enum or anyHost"
    inside = (*placeholders(parts.authority), *placeholders(parts.rest))
    if any(name in declared and declared[name].type is ParameterType.URL for name in inside):
        yield where, "takes a parameter of type url at its beginning only"


def _declared(where: str, template: str, known: frozenset[str]) -> Iterator[Finding]:
    if has_stray_braces(template):
        yield where, "has a brace that belongs to no {placeholder}"
    for name in placeholders(template):
        if name not in known:
            yield where, f"uses {{{name}}}, which is not declared"


def _is_authority(template: str) -> bool:
    """Judged with a label, or a port, in each placeholder; a value that does not fit is refused when it comes."""
    if template.startswith("[::1]"):
        host, colon, port = "localhost", *template.removeprefix("[::1]").partition(":")[1:]
    else:
        host, colon, port = template.partition(":")
    named = PLACEHOLDER.sub("x", host).lower()
    return is_host(named) and (not colon or is_port(PLACEHOLDER.sub("1", port)))
