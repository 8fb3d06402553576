"""Requests to the product with what was published: does it work, whose is it, and what else does an address need.

Answers are unverified and leave here as a closed verdict or as short, printable values.
"""

import base64
import re
from collections.abc import Mapping
from enum import Enum
from urllib.parse import quote

from lanyard.api.connector import Parameter, ParameterType
from lanyard.api.exchange import ApiRequest, FollowUp, Identity, Verification
from lanyard.connectors.parameters import accept
from lanyard.connectors.selection import Plan, learned_of
from lanyard.connectors.templates import (
    PLACEHOLDER,
    UnfitValueError,
    cut,
    host_of,
    placeholders,
    render_text,
    render_url,
)
from lanyard.errors import ProviderError, SpecError
from lanyard.oauth.documents import MISSING, Document, first, parse_object
from lanyard.oauth.responses import BODY_LIMIT, account_of, captured_from, plain
from lanyard.oauth.wire import WireRequest, filled, header_values, strict_query, with_query
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

Known = Mapping[str, Sensitive | str]

MOST_ITEMS = 1000
_ANY_ADDRESS = Parameter(type=ParameterType.URL, any_host=True)
_JSON_TEXT = re.compile(r'[^"\\\x00-\x1f]*')


class Verdict(Enum):
    """What a verification says about what is published."""

    WORKS = "the product takes it"
    REFUSED = "the product refuses it"
    FORBIDDEN = "the product knows it and forbids this"
    UNKNOWN = "the answer says nothing about it"


def api_request(plan: Plan, request: ApiRequest, known: Known) -> WireRequest:
    """The request, filled with the plan's parameters and with `known`: what is published, by key.

    A `Sensitive` can go into headers, query and body, never into the URL. SpecError PARAMETER_MISSING where the
    address needs what is not known; a header or query parameter of which something is missing is left out. A header
    `Authorization: Basic {a}:{b}` is encoded as RFC 7617 wants it.
    """
    addresses = {name: value for name, value in known.items() if isinstance(value, str)} | dict(plan.parameters)
    everything = {name: _clear(value) for name, value in known.items()} | dict(plan.parameters)
    url = _url(plan, request.url, addresses)
    headers = {"Accept": "application/json"}
    headers |= {name: _encoded(text) for name, text in filled(request.headers, everything).items()}
    authorization = everything.get("authorization_header")
    if authorization and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = authorization
    query = filled(request.params, everything)
    body = b""
    if request.body is not None:
        headers["Content-Type"] = request.content_type or "application/json"
        body = _body(plan, request.body, headers["Content-Type"], everything)
    return WireRequest(
        request.method, with_query(url, strict_query(query)), header_values(headers, "headers"), body, host_of(url)
    )


def verification_verdict(verification: Verification, status: int, body: bytes) -> Verdict:
    """401 speaks of the credential, 403 of a permission; every other failure of neither."""
    if status in verification.ok_status or (not verification.ok_status and 200 <= status <= 299):
        return Verdict.WORKS if _is_expected(verification, body) else Verdict.REFUSED
    match status:
        case 401:
            return Verdict.REFUSED
        case 403:
            return Verdict.WORKS if verification.forbidden_proves else Verdict.FORBIDDEN
        case _:
            return Verdict.UNKNOWN


def account_in(identity: Identity, status: int, body: bytes) -> str:
    """Whom the answer to the identity request names; one that failed names nobody."""
    document = _listed(body) if 200 <= status <= 299 else None
    return account_of(identity, document) if document is not None else ""


def follow_up(
    plan: Plan, asked: FollowUp, status: int, body: bytes, *, host: str
) -> tuple[dict[str, str], dict[str, str]]:
    """What the answer captures, and the parameters of source followUp among it.

    ProviderError when the item is not there or not the only one: a guess could lead a token to another customer's
    data. TENANT_NOT_CHOSEN names the parameters that could say which one is meant.
    """
    if status == 429:
        raise ProviderError(Reason.PROVIDER_THROTTLED, host=host)
    if status == 408 or status >= 500:
        raise ProviderError(Reason.PROVIDER_UNAVAILABLE, host=host, status=status)
    document = _listed(body) if 200 <= status <= 299 else None
    items = _items(asked, document) if document is not None else None
    if items is None:
        raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=host, status=status)
    fitting = [item for item in items if _fits(plan, asked, item)]
    if len(fitting) != 1:
        wishes = dict.fromkeys(name for template in asked.choose.values() for name in placeholders(template))
        if not wishes:
            raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=host, status=status)
        raise ProviderError(Reason.TENANT_NOT_CHOSEN, host=host, field=", ".join(wishes))
    captured = captured_from(plan, fitting[0], asked.capture)
    return captured, learned_of(plan, "followUp", captured)


def _listed(body: bytes) -> Document | None:
    """A list at the top is read under /items."""
    if len(body) > BODY_LIMIT:
        return None
    return parse_object(body) or parse_object(b'{"items":' + body + b"}")


def _items(asked: FollowUp, document: Document) -> list[Document] | None:
    """What may be chosen from; None where the answer has no list."""
    if asked.items is None:
        return [document]
    found = first(document, [asked.items])
    return [item for item in found[:MOST_ITEMS] if isinstance(item, dict)] if isinstance(found, list) else None


def _fits(plan: Plan, asked: FollowUp, item: Document) -> bool:
    """A wish of the Connection that was not given excludes nothing."""
    for pointer, template in asked.choose.items():
        wanted = render_text(template, plan.parameters)
        if wanted is not None and plain(first(item, [pointer])) != wanted:
            return False
    return True


def _is_expected(verification: Verification, body: bytes) -> bool:
    if not verification.expect:
        return True
    document = parse_object(body) if len(body) <= BODY_LIMIT else None
    if document is None:
        return False
    return all(_says(first(document, [member.pointer]), member.equals) for member in verification.expect)


def _says(value: object, wanted: str) -> bool:
    return value is not MISSING and plain(value) == wanted


def _url(plan: Plan, template: str, addresses: Mapping[str, str]) -> str:
    """What an answer brought may begin a URL only as an https URL, like a parameter of that type."""
    start = parts.start if (parts := cut(template)) is not None else None
    is_foreign = start is not None and start not in plan.connector.spec.parameters
    if start is not None and is_foreign and accept(_ANY_ADDRESS, addresses.get(start, "")) is None:
        raise _unfit(plan, start, addresses)
    try:
        return render_url(template, addresses)
    except UnfitValueError as error:
        raise _unfit(plan, error.name, addresses) from None


def _unfit(plan: Plan, name: str, addresses: Mapping[str, str]) -> SpecError:
    reason = Reason.PARAMETER_INVALID if name in addresses else Reason.PARAMETER_MISSING
    return SpecError(reason, connector=plan.connector.name, field=name)


def _body(plan: Plan, template: str, content_type: str, known: Mapping[str, str]) -> bytes:
    """Braces of JSON are no placeholders, and no value ends the text it stands in."""
    for name in placeholders(template):
        if name not in known:
            raise SpecError(Reason.PARAMETER_MISSING, connector=plan.connector.name, field=name)
        if content_type.startswith("application/json") and _JSON_TEXT.fullmatch(known[name]) is None:
            raise SpecError(Reason.PARAMETER_INVALID, connector=plan.connector.name, field=name)
    is_form = content_type.startswith("application/x-www-form-urlencoded")
    return PLACEHOLDER.sub(lambda m: quote(known[m[1]], safe="") if is_form else known[m[1]], template).encode()


def _encoded(value: str) -> str:
    """Base64 has no colon: where there is one, it stands between a user name and a password yet to be encoded."""
    scheme, _, pair = value.partition(" ")
    if scheme != "Basic" or ":" not in pair:
        return value
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _clear(value: Sensitive | str) -> str:
    return value.reveal() if isinstance(value, Sensitive) else value
