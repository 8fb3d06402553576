"""What an issuer publishes about its keys: discovery (OpenID Connect Discovery 1.0, 4) and the keys (RFC 7517).

Names are compared byte for byte and nothing of them is normalised: two libraries never agree on what is the same URL.
Errors are ProviderErrors; nothing that the issuer answered enters their text.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from lanyard.errors import ProviderError
from lanyard.oauth.documents import parse_object
from lanyard.oauth.jwk import KeySet, KeySetError, KeySetFault
from lanyard.reasons import Reason

LARGEST_DISCOVERY = 64 * 1024
LONGEST_ADDRESS = 1024
_ADDRESS = re.compile(r"https?://[\x21-\x7E]+")
_MAX_AGE = re.compile(r"max-age=\"?([0-9]{1,9})\"?")
_FAULTS = {
    KeySetFault.TOO_LARGE: "they are larger than 256 KiB",
    KeySetFault.NOT_JSON: "they are not JSON",
    KeySetFault.NO_KEYS: "they are not a JWK Set",
    KeySetFault.TOO_MANY: "there are more than 100",
}


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """Keys as fetched, at least one of which can verify something. `digest`: that of the keys in any order."""

    jwks: bytes
    digest: str
    max_age: timedelta | None
    """How long the issuer says that they may be kept; None when it does not."""


def discovery_address(issuer: str) -> str:
    """One slash at the end is left out, and only here (OpenID Connect Discovery 1.0, 4.1)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def keys_address(unverified_body: bytes, issuer: str) -> str:
    """`jwks_uri` of a discovery document that is this issuer's. It may be at another host (Google's is)."""
    host = host_of(issuer)
    if len(unverified_body) > LARGEST_DISCOVERY:
        raise ProviderError(Reason.ISSUER_DISCOVERY_INVALID, host=host, what="it is larger than 64 KiB")
    document = parse_object(unverified_body)
    if document is None:
        raise ProviderError(Reason.ISSUER_DISCOVERY_INVALID, host=host, what="it is not a JSON object")
    if document.get("issuer") != issuer:
        raise ProviderError(Reason.ISSUER_MISMATCH, host=host)
    address = document.get("jwks_uri")
    if not isinstance(address, str) or len(address) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
        raise ProviderError(Reason.ISSUER_DISCOVERY_INVALID, host=host, what="its jwks_uri is not an https URL")
    return address


def published_keys(unverified_body: bytes, host: str, cache_control: str = "") -> PublishedKeys:
    """The keys in an answer of `host`, with its header Cache-Control."""
    try:
        usable = KeySet.of(unverified_body).keys
    except KeySetError as error:
        raise ProviderError(Reason.ISSUER_KEYS_INVALID, host=host, what=_FAULTS[error.fault]) from None
    if not usable:
        raise ProviderError(Reason.ISSUER_KEYS_INVALID, host=host, what="none of them can verify a signature")
    return PublishedKeys(unverified_body, _digest(unverified_body), _max_age(cache_control))


def host_of(address: str) -> str:
    """host[:port] of a URL, for messages; empty for what is none."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _digest(unverified_body: bytes) -> str:
    """Some issuers write the same keys in another order each time."""
    keys = (parse_object(unverified_body) or {})["keys"]
    texts = sorted(json.dumps(key, sort_keys=True, separators=(",", ":")) for key in keys)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _max_age(cache_control: str) -> timedelta | None:
    """RFC 9111 5.2.2.1. `no-cache` and `no-store` are left alone: most issuers that say so mean every answer."""
    for directive in cache_control.lower().split(","):
        found = _MAX_AGE.fullmatch(directive.strip())
        if found is not None:
            return timedelta(seconds=int(found[1]))
    return None
