"""Requests as bytes: one HTTP request, and the parts that all kinds of requests are written with."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from lanyard.connectors.templates import host_of, render_text
from lanyard.errors import SourceError
from lanyard.reasons import Reason
from lanyard.sensitive import MASK, Sensitive

_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True, repr=False)
class WireRequest:
    """One HTTP request. Secrets can be in every part but the host, so its repr shows that alone."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    host: str

    def __repr__(self) -> str:
        return f"WireRequest({self.method} {self.host} {MASK})"


def written(
    method: str,
    url: str,
    headers: Mapping[str, str],
    parameters: Mapping[str, str],
    form: Literal["form", "json", "query"],
) -> WireRequest:
    """The request with its parameters where `form` puts them."""
    headers, body = dict(headers), b""
    match form:
        case "form":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(parameters).encode()
        case "json":
            headers["Content-Type"] = "application/json"
            body = json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode()
        case "query":
            url = with_query(url, urlencode(parameters))
    return WireRequest(method, url, headers, body, host_of(url))


def with_query(url: str, query: str) -> str:
    """`url` may have a query of its own; it has no fragment (the connector's check)."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def strict_query(parameters: Mapping[str, str]) -> str:
    """Spaces as %20: right for readers of forms and for readers of URLs (RFC 3986 2.1)."""
    return urlencode(parameters, quote_via=quote)


def filled(templates: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Those whose placeholders all have a value: an optional input that was left out takes its parameter along."""
    rendered = ((name, render_text(template, known)) for name, template in templates.items())
    return {name: value for name, value in rendered if value is not None}


def header_values(headers: Mapping[str, str], field: str) -> dict[str, str]:
    """SourceError CREDENTIAL_INVALID, naming `field`, for what a header may not carry: controls and line ends too."""
    for name, value in headers.items():
        if _HEADER_VALUE.fullmatch(value) is None:
            raise SourceError(Reason.CREDENTIAL_INVALID, field=field, expected=f"plain ASCII, as header {name} needs")
    return dict(headers)


def opened(credentials: Mapping[str, Sensitive], name: str) -> str:
    """The value in clear; SourceError CREDENTIAL_INVALID when there is none or no encoding can carry it.

    JSON can carry halves of surrogate pairs, which the wire cannot.
    """
    value = credentials.get(name)
    if value is None:
        raise SourceError(Reason.CREDENTIAL_INVALID, field=name, expected="a value")
    text = value.reveal()
    if not is_text(text):
        raise SourceError(Reason.CREDENTIAL_INVALID, field=name, expected="text in UTF-8")
    return text


def is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
