"""AWS Signature Version 4 (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

Only for the question whose keys these are: `GetCallerIdentity` of STS, which every key may ask and which costs nothing.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from lanyard.connectors.fields import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN
from lanyard.errors import SourceError, SpecError
from lanyard.oauth.probes import Verdict
from lanyard.oauth.wire import WireRequest, header_values, opened
from lanyard.reasons import Reason
from lanyard.sensitive import MASK, Sensitive

_ALGORITHM = "AWS4-HMAC-SHA256"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]{2,9}){1,2}-[1-9][0-9]?")
_KEY_ID = re.compile(r"[A-Za-z0-9]{4,128}")
_QUESTION = b"Action=GetCallerIdentity&Version=2011-06-15"
_SUFFIXES = {"cn-": "amazonaws.com.cn"}


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """An access key; `session_token` only of temporary ones."""

    access_key_id: str
    secret_access_key: Sensitive
    session_token: Sensitive | None = None

    def __repr__(self) -> str:
        return f"Keys({MASK})"


def caller_identity_request(credentials: Mapping[str, Sensitive], *, region: str, now: datetime) -> WireRequest:
    """A signed POST to the region's STS. SourceError CREDENTIAL_INVALID for keys that no header can carry."""
    if _REGION.fullmatch(region) is None:
        raise SpecError(Reason.PARAMETER_INVALID, connector="aws", field="region")
    key_id = opened(credentials, ACCESS_KEY_ID)
    if _KEY_ID.fullmatch(key_id) is None:
        raise SourceError(Reason.CREDENTIAL_INVALID, field=ACCESS_KEY_ID, expected="letters and digits")
    keys = Keys(key_id, Sensitive(opened(credentials, SECRET_ACCESS_KEY)), credentials.get(SESSION_TOKEN))
    suffix = next((name for start, name in _SUFFIXES.items() if region.startswith(start)), "amazonaws.com")
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    request = WireRequest("POST", f"https://sts.{region}.{suffix}/", headers, _QUESTION, f"sts.{region}.{suffix}")
    return signed(request, keys, region=region, service="sts", now=now)


def caller_identity_verdict(status: int) -> Verdict:
    """Every key may ask this, whatever its policies deny, so a 403 speaks of the key itself."""
    match status:
        case 200:
            return Verdict.WORKS
        case 401 | 403:
            return Verdict.REFUSED
        case _:
            return Verdict.UNKNOWN


def signed(request: WireRequest, keys: Keys, *, region: str, service: str, now: datetime) -> WireRequest:
    """The request with X-Amz-Date and Authorization, and with X-Amz-Security-Token for temporary keys."""
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "X-Amz-Date": moment}
    if keys.session_token is not None:
        token = {"X-Amz-Security-Token": keys.session_token.reveal()}
        headers |= header_values(token, SESSION_TOKEN)
    canonical, names = _canonical(request, headers)
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{keys.secret_access_key.reveal()}".encode()
    for part in (moment[:8], region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"Credential={keys.access_key_id}/{scope}"
    headers["Authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    return WireRequest(request.method, request.url, headers, request.body, request.host)


def _canonical(request: WireRequest, headers: Mapping[str, str]) -> tuple[str, str]:
    """The canonical request and its signed header names. `Accept` stays unsigned: proxies may change it."""
    parts = urlsplit(request.url)
    signing = {name.lower(): " ".join(value.split()) for name, value in headers.items() if name.lower() != "accept"}
    signing["host"] = parts.netloc.lower()
    names = ";".join(sorted(signing))
    lines = "".join(f"{name}:{signing[name]}\n" for name in sorted(signing))
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    digest = hashlib.sha256(request.body).hexdigest()
    return "\n".join((request.method, parts.path or "/", query, lines, names, digest)), names


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
