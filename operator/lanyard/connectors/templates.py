"""Templates of connectors: `{name}` stands for a parameter. A value can never leave the place it is put in.

In the host of a URL a value is one or more DNS labels; behind the host it is percent-encoded as a whole (RFC 3986 2.1);
a parameter of type url can only begin a template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]{0,39})\}")
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SCHEME = re.compile(r"[a-z][-a-z0-9+.]*://")


class UnfitValueError(ValueError):
    """The value of parameter `name` does not fit the place where the template puts it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


@dataclass(frozen=True, slots=True)
class UrlParts:
    """A URL template cut where escaping changes. `start` is the parameter of type url that it begins with, if any."""

    start: str | None
    scheme: str
    authority: str
    rest: str


def placeholders(template: str) -> tuple[str, ...]:
    return tuple(PLACEHOLDER.findall(template))


def has_stray_braces(template: str) -> bool:
    """True where a brace is not part of a well-formed placeholder."""
    return bool(set("{}") & set(PLACEHOLDER.sub("", template)))


def render_text(template: str, values: Mapping[str, str]) -> str | None:
    """The text with its placeholders filled as they are; None when one of them has no value."""
    if any(name not in values for name in placeholders(template)):
        return None
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def cut(template: str) -> UrlParts | None:
    """None for what is not a URL template."""
    begins = PLACEHOLDER.match(template)
    if begins is not None:
        return UrlParts(begins[1], "", "", template[begins.end() :])
    scheme = _SCHEME.match(template)
    if scheme is None:
        return None
    end = min((at for at in (template.find(mark, scheme.end()) for mark in "/?#") if at >= 0), default=len(template))
    return UrlParts(None, scheme[0], template[scheme.end() : end], template[end:])


def render_url(template: str, values: Mapping[str, str]) -> str:
    """The URL. UnfitValueError names the parameter that has no value or one that would change its shape."""
    parts = cut(template)
    if parts is None:
        return ""
    rest = PLACEHOLDER.sub(lambda match: _path_value(match[1], values), parts.rest)
    if parts.start is None:
        return parts.scheme + _authority(parts.authority, values) + rest
    begin = _value(parts.start, values)
    if not rest:
        return begin
    if "?" in begin:
        raise UnfitValueError(parts.start)
    return begin.rstrip("/") + rest


def host_of(url: str) -> str:
    """Host and, where given, port: what messages show and limits count by."""
    return urlsplit(url).netloc


def is_host(text: str) -> bool:
    """DNS labels of RFC 1123 in lower case; an IPv4 address is one too."""
    return len(text) <= 253 and _HOST.fullmatch(text) is not None


def is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535


def _value(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name, "")
    if not value:
        raise UnfitValueError(name)
    return value


def _authority(template: str, values: Mapping[str, str]) -> str:
    """A host, with a port where a value brings one; checked as a whole, so no value can end it early."""
    names = placeholders(template)
    filled = PLACEHOLDER.sub(lambda match: _value(match[1], values).lower(), template)
    host, colon, port = filled.partition(":")
    if names and not (is_host(host) and (not colon or is_port(port))):
        raise UnfitValueError(names[0])
    return filled


def _path_value(name: str, values: Mapping[str, str]) -> str:
    value = _value(name, values)
    if value in {".", ".."}:
        raise UnfitValueError(name)
    return quote(value, safe="")
