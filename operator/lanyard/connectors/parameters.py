"""The plain inputs of a Connection, held against what the connector declares."""

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from lanyard.api.connector import MethodSpec, Parameter, ParameterType
from lanyard.connectors.patterns import compiled
from lanyard.connectors.templates import is_host, is_port
from lanyard.errors import SpecError
from lanyard.reasons import Reason

VALUE_LIMIT = 1024
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_URL_CHARACTERS = re.compile(r"[-A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%]+")
# Decoded by some servers before routing, so they count as the character they hide: . / \ and controls.
_HIDDEN = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:2e|2f|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
# Not urlsplit's hostname: it reads "[::1]evil" as an address.
_AUTHORITY = re.compile(r"(?P<host>\[::1\]|[^:@\[\]]+)(?::(?P<port>[0-9]+))?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def chosen(connector: str, declared: Mapping[str, Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """Values by name, defaults filled in, hosts in lower case. An empty value counts as not given.

    SpecError: PARAMETER_UNKNOWN, PARAMETER_MISSING or PARAMETER_INVALID, naming the first parameter in question.
    """
    for name in sorted(given):
        if name not in declared:
            raise SpecError(Reason.PARAMETER_UNKNOWN, connector=connector, field=name)
    values = {}
    for name, parameter in declared.items():
        value = given.get(name) or parameter.default or ""
        if not value:
            if parameter.required:
                raise SpecError(Reason.PARAMETER_MISSING, connector=connector, field=name)
            continue
        accepted = accept(parameter, value)
        if accepted is None:
            raise SpecError(Reason.PARAMETER_INVALID, connector=connector, field=name)
        values[name] = accepted
    return values


def brought_by(method: MethodSpec) -> Mapping[str, Collection[str]]:
    """Names of what a method learns by itself, by the source that gives it."""
    return {
        "callback": method.authorization.callback_params.values() if method.authorization is not None else (),
        "tokenResponse": method.response.capture,
        "followUp": method.follow_up.capture if method.follow_up is not None else (),
    }


def accept(parameter: Parameter, value: str) -> str | None:
    """The value as it is used, None when it does not have the form that is declared."""
    if len(value) > VALUE_LIMIT or not value.isprintable():
        return None
    if parameter.enum and value not in parameter.enum:
        return None
    if parameter.pattern is not None and not compiled(parameter.pattern)(value):
        return None
    match parameter.type:
        case ParameterType.STRING:
            return value
        case ParameterType.INTEGER:
            return value if _INTEGER.fullmatch(value) else None
        case ParameterType.HOSTNAME:
            return _hostname(parameter, value)
        case ParameterType.URL:
            return _url(parameter, value)


def _hostname(parameter: Parameter, value: str) -> str | None:
    host, colon, port = value.lower().partition(":")
    if not is_host(host) or (colon and not (is_port(port) and _takes_ports(parameter))):
        return None
    return value.lower() if _is_allowed(parameter, host, port) else None


def _url(parameter: Parameter, value: str) -> str | None:
    if _URL_CHARACTERS.fullmatch(value) is None or _HIDDEN.search(value):
        return None
    try:
        url = urlsplit(value)
    except ValueError:
        return None
    authority = _AUTHORITY.fullmatch(url.netloc.lower())
    if authority is None or "#" in value:
        return None
    host, port = authority["host"], authority["port"] or ""
    if not (is_host(host) or host == "[::1]") or (port and not is_port(port)):
        return None
    if url.scheme != "https" and not (url.scheme == "http" and host in _LOOPBACK):
        return None
    if any(segment in {".", ".."} for segment in url.path.split("/")) or "//" in url.path:
        return None
    if port and not _takes_ports(parameter):
        return None
    return value if _is_allowed(parameter, host, port) else None


def _takes_ports(parameter: Parameter) -> bool:
    """Whoever wrote a pattern, a list of values or a host with a port has decided about ports."""
    return bool(parameter.pattern or parameter.enum or any(":" in host for host in parameter.allowed_hosts))


def _is_allowed(parameter: Parameter, host: str, port: str) -> bool:
    if not parameter.allowed_hosts:
        return True
    return any(_matches(glob, host, port) for glob in parameter.allowed_hosts)


def host_matches(glob: str, netloc: str) -> bool:
    """Whether host[:port] is one that a glob such as *.example.com means; a port that is not named is 443."""
    host, _, port = netloc.partition(":")
    return _matches(glob, host, port)


def _matches(glob: str, host: str, port: str) -> bool:
    name, _, wanted = glob.partition(":")
    if (port or "443") != (wanted or "443"):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
