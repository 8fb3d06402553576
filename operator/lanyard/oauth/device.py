"""Consent without a redirect: the device authorization grant (RFC 8628)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from lanyard.api.connector import Parameter, ParameterType
from lanyard.connectors.parameters import accept
from lanyard.connectors.selection import Plan
from lanyard.connectors.templates import host_of
from lanyard.errors import LanyardError, ProviderError
from lanyard.oauth.client_auth import Moment, proof_of, prove
from lanyard.oauth.documents import Document, first
from lanyard.oauth.lifetimes import number
from lanyard.oauth.responses import document_of, error_code_of, failure_of
from lanyard.oauth.wire import WireRequest, filled, written
from lanyard.reasons import Reason
from lanyard.sensitive import MASK, Sensitive

INTERVAL = timedelta(seconds=5)
"""RFC 8628 3.2 where the answer names none, and 3.5: what every slow_down adds."""
LONGEST_INTERVAL = timedelta(minutes=1)
LIFE = timedelta(minutes=10)
LONGEST_LIFE = timedelta(minutes=30)
_DEVICE_CODE = re.compile(r"[\x21-\x7e]{1,4096}")
_USER_CODE = re.compile(r"[\x21-\x7e]{1,64}")
# A page for people: it may have a port.
_PAGE = Parameter(type=ParameterType.URL, any_host=True, pattern="https?://.+")


@dataclass(frozen=True, slots=True, repr=False)
class DeviceCode:
    """What to show (`user_code`, `verification_uri`) and what to poll with, no more often than every `interval`."""

    device_code: Sensitive
    user_code: str
    verification_uri: str
    expires_at: datetime
    interval: timedelta

    def __repr__(self) -> str:
        return f"DeviceCode({MASK})"


class Poll(Enum):
    """What an answer to a poll says (RFC 8628 3.5)."""

    PENDING = "nobody has decided yet"
    SLOW_DOWN = "nobody has decided yet, and the interval grows"
    DENIED = "somebody declined"
    EXPIRED = "the code has expired"
    ANSWERED = "a token, or an error like any other: read it as a token answer"


_POLLS = {
    "authorization_pending": Poll.PENDING,
    "slow_down": Poll.SLOW_DOWN,
    "access_denied": Poll.DENIED,
    "authorization_declined": Poll.DENIED,  # Microsoft's word
    "expired_token": Poll.EXPIRED,
    "code_expired": Poll.EXPIRED,
}


def device_request(
    plan: Plan,
    credentials: Mapping[str, Sensitive],
    *,
    client_id: str | None,
    key_id: str | None = None,
    now: datetime,
    jti: str,
) -> WireRequest:
    """The request for a device code (RFC 8628 3.1), authenticated as at the token endpoint."""
    device = plan.method.device
    if device is None or not plan.device_url:
        raise LanyardError(Reason.INTERNAL_ERROR, fault="a device authorization for a method without one")
    proof = prove(plan, plan.client_auth, credentials, client_id, Moment(key_id, now, jti))
    parameters = filled(device.params, {**plan.parameters, "client_id": client_id or ""})
    if plan.sends_scopes and plan.scopes:
        parameters["scope"] = plan.method.scopes.separator.join(plan.scopes)
    # RFC 8628 3.1 wants client_id of every client; one that proves itself by a header repeats it.
    parameters |= {"client_id": client_id or "", **proof.parameters}
    return written("POST", plan.device_url, {"Accept": "application/json", **proof.headers}, parameters, "form")


def parse_device(plan: Plan, status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> DeviceCode:
    """What to show; ProviderError for a refusal or for nonsense. `headers` by lower-case name."""
    host = host_of(plan.device_url)
    document = document_of(headers, body)
    reason = failure_of(plan, status, document)
    if reason is not None:
        raise ProviderError(reason, host=host, status=status, proof=proof_of(plan))
    found = _device_code(document, now) if document is not None else None
    if found is None:
        raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=host, status=status)
    return found


def poll_verdict(plan: Plan, headers: Mapping[str, str], body: bytes) -> Poll:
    """Products disagree about the status of "not yet" (400, 428, 200), so the code alone counts."""
    return _POLLS.get(error_code_of(plan.method.response, document_of(headers, body)) or "", Poll.ANSWERED)


def next_interval(interval: timedelta, verdict: Poll) -> timedelta:
    """5 seconds more after every slow_down, for all later polls (RFC 8628 3.5)."""
    return min(interval + INTERVAL, LONGEST_INTERVAL) if verdict is Poll.SLOW_DOWN else interval


def backed_off(interval: timedelta) -> timedelta:
    """Twice as long after a poll that was not answered (RFC 8628 3.5)."""
    return min(interval * 2, LONGEST_INTERVAL)


def _device_code(document: Document, now: datetime) -> DeviceCode | None:
    device_code, user_code = _text(document, "/device_code"), _text(document, "/user_code")
    page = first(document, ["/verification_uri", "/verification_url"])  # Google's spelling
    address = accept(_PAGE, page) if isinstance(page, str) else None
    if _DEVICE_CODE.fullmatch(device_code) is None or _USER_CODE.fullmatch(user_code) is None or address is None:
        return None
    life = _seconds(first(document, ["/expires_in"]), LIFE, timedelta(seconds=1), LONGEST_LIFE)
    interval = _seconds(first(document, ["/interval"]), INTERVAL, timedelta(seconds=1), LONGEST_INTERVAL)
    return DeviceCode(Sensitive(device_code), user_code, address, now + life, interval)


def _text(document: Document, pointer: str) -> str:
    value = first(document, [pointer])
    return value if isinstance(value, str) else ""


def _seconds(value: Any, otherwise: timedelta, least: timedelta, most: timedelta) -> timedelta:
    seconds = number(value)
    if seconds is None or seconds <= 0:
        return otherwise
    return min(max(timedelta(seconds=min(seconds, most.total_seconds())), least), most)
