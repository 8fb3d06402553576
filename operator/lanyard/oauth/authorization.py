"""The page at the provider (RFC 6749 4.1.1, RFC 7636 4.3) and what comes back from it (4.1.2, RFC 9207).

The gateway builds the one and reads the other. It has no client secret, so an answer that the product signs with it
(Shopify) is only kept here, as `signed_query`; the operator judges it with `is_genuine` before it spends the code.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from lanyard.api.exchange import AuthorizationRequest
from lanyard.connectors.parameters import accept
from lanyard.connectors.selection import Plan
from lanyard.connectors.templates import host_of, render_text
from lanyard.errors import LanyardError, ProviderError
from lanyard.oauth.pkce import code_challenge
from lanyard.oauth.wire import filled, strict_query, with_query
from lanyard.reasons import Reason
from lanyard.sensitive import MASK, Sensitive

MOST_PARAMETERS = 32
MOST_TEXT = 8192
_CODE = re.compile(r"[\x20-\x7e]{1,4096}")  # RFC 6749 appendix A.11
_HEX = re.compile(r"[0-9a-fA-F]{64}")


class CallbackError(StrEnum):
    """What a provider's refusal comes down to. Its own words are dropped."""

    DENIED = "denied"
    SCOPE = "scope"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"


_ERRORS = {
    "access_denied": CallbackError.DENIED,
    "user_denied": CallbackError.DENIED,
    "user_cancelled_login": CallbackError.DENIED,  # LinkedIn
    "user_cancelled_authorize": CallbackError.DENIED,
    "invalid_scope": CallbackError.SCOPE,
    "server_error": CallbackError.UNAVAILABLE,
    "temporarily_unavailable": CallbackError.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True, repr=False)
class CallbackAnswer:
    """Either `code` or `error` (a `CallbackError`, "" with a code). The code is unverified until it is exchanged.

    `parameters` are values for parameters of the connector, each of the form it declares. `signed_query` is the whole
    query, form-encoded, where the product signs it: no parameter counts before `is_genuine` has said so.
    """

    code: Sensitive | None
    error: str
    parameters: Mapping[str, str]
    signed_query: Sensitive | None = None

    def __repr__(self) -> str:
        return f"CallbackAnswer({self.error or MASK})"


def authorization_url(plan: Plan, *, client_id: str, redirect_uri: str, state: str, verifier: Sensitive | None) -> str:
    """Where the browser is sent. `verifier` is None exactly where the connector has PKCE off."""
    request = _request(plan)
    if not plan.authorize_url or (verifier is None) != (request.pkce == "off"):
        raise LanyardError(Reason.INTERNAL_ERROR, fault="an authorization without an address or a code verifier")
    standard = {"response_type": "code", "client_id": client_id, "redirect_uri": redirect_uri}
    if plan.sends_scopes and plan.scopes:
        # A plus in a query is a space (WHATWG URL 5.1), and that is what products mean whose docs join by plus.
        standard["scope"] = plan.method.scopes.separator.replace("+", " ").join(plan.scopes)
    if verifier is not None:
        standard |= {"code_challenge": code_challenge(verifier), "code_challenge_method": "S256"}
    parameters = filled(request.params, {**plan.parameters, "client_id": client_id})
    parameters |= {request.rename.get(n, n): value for n, value in standard.items() if n not in request.omit}
    # Last, and by no other name: nothing may take the place of what ties the answer to this browser.
    parameters["state"] = state
    return with_query(plan.authorize_url, strict_query(parameters))


def callback(plan: Plan, unverified_query: Sequence[tuple[str, str]]) -> CallbackAnswer:
    """The answer; ProviderError PROVIDER_ANSWER_INVALID for one that no honest provider gives.

    `state` is the caller's to check, before. No parameter may stand twice (RFC 6749 3.1), known or not.
    """
    request = _request(plan)
    unverified = dict(unverified_query)
    size = sum(len(name) + len(value) for name, value in unverified_query)
    if len(unverified) != len(unverified_query) or len(unverified) > MOST_PARAMETERS or size > MOST_TEXT:
        raise _invalid(plan)
    _hold_issuer(plan, request, unverified.get("iss"))
    if "error" in unverified:
        return CallbackAnswer(None, _ERRORS.get(unverified["error"], CallbackError.REFUSED).value, {})
    code = unverified.get(request.rename.get("code", "code"), "")
    if _CODE.fullmatch(code) is None:
        raise _invalid(plan)
    signed = None
    if request.callback_hmac is not None:
        if _HEX.fullmatch(unverified.get(request.callback_hmac.parameter, "")) is None:
            raise _invalid(plan)
        signed = Sensitive(_encoded(plan, unverified_query))
    return CallbackAnswer(Sensitive(code), "", _parameters(plan, request, unverified), signed)


def is_genuine(plan: Plan, signed_query: Sensitive | None, client_secret: Sensitive | None) -> bool:
    """Whether the product signed this answer; always true for one that signs none.

    Shopify: HMAC-SHA256 in hex over all other parameters, sorted by name, as `name=value` joined by `&`.
    """
    wanted = _request(plan).callback_hmac
    if wanted is None:
        return True
    if signed_query is None or client_secret is None:
        return False
    pairs = parse_qsl(signed_query.reveal(), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    unverified_digest = dict(pairs).get(wanted.parameter, "")
    message = "&".join(f"{_plain(name)}={_plain(value)}" for name, value in sorted(pairs) if name != wanted.parameter)
    digest = hmac.new(client_secret.reveal().encode(), message.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest.encode(), unverified_digest.lower().encode("utf-8", "replace"))


def _request(plan: Plan) -> AuthorizationRequest:
    if plan.method.authorization is None:
        raise LanyardError(Reason.INTERNAL_ERROR, fault="an authorization for a method without one")
    return plan.method.authorization


def _hold_issuer(plan: Plan, request: AuthorizationRequest, unverified_issuer: str | None) -> None:
    """RFC 9207 2.4: an answer of another server is refused, also one that reports an error."""
    if unverified_issuer is None or request.issuer is None:
        if request.response_issuer == "required":
            raise _invalid(plan)
    # Servers of a generic connector share its redirect URI: one that names itself is taken only where it was named.
    elif unverified_issuer != render_text(request.issuer, plan.parameters):
        raise _invalid(plan)


def _parameters(plan: Plan, request: AuthorizationRequest, unverified: Mapping[str, str]) -> dict[str, str]:
    """Every one that the connector names, held against what it declares; one that the user gave must come back equal.

    One that must be known and did not come makes the answer useless; so does one that is not what the connector
    expects there, such as the host of another shop.
    """
    for sent, template in request.callback_expect.items():
        if unverified.get(sent, "").lower() != (render_text(template, plan.parameters) or "").lower():
            raise _invalid(plan)
    found: dict[str, str] = {}
    for sent, name in request.callback_params.items():
        declared = plan.connector.spec.parameters.get(name)
        unverified_value = unverified.get(sent, "")
        if declared is None or not unverified_value:
            if declared is not None and declared.required and name not in plan.parameters:
                raise _invalid(plan)
            continue
        accepted = accept(declared, unverified_value)
        given = plan.parameters.get(name) if declared.source == "user" else None
        if accepted is None or (given is not None and given != accepted):
            raise _invalid(plan)
        found[name] = accepted
    return found


def _encoded(plan: Plan, pairs: Sequence[tuple[str, str]]) -> str:
    try:
        return urlencode(list(pairs))
    except UnicodeEncodeError:
        raise _invalid(plan) from None


def _plain(text: str) -> str:
    """The separators of the message may not stand in its parts; everything else is signed as it reads."""
    return text.replace("%", "%25").replace("&", "%26")


def _invalid(plan: Plan) -> ProviderError:
    return ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=host_of(plan.authorize_url))
