"""Which FederatedCredential a JWT fits, field by field, told to the one whose JWT it is. Nothing is verified here."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from lanyard.api.federation import FederatedCredentialSpec
from lanyard.entry.plugin.faults import PluginError
from lanyard.entry.plugin.kubectl import Object
from lanyard.entry.plugin.times import parsed
from lanyard.rules.claims import broken_rule
from lanyard.sensitive import Sensitive


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that is compared: what the credential wants, and whether the JWT has it."""

    name: str
    wanted: str
    fits: bool


def unverified_claims(token: Sensitive) -> Mapping[str, Any]:
    """The payload of a JWT (RFC 7519). PluginError when it is none; the error has nothing of it."""
    try:
        payload = token.reveal().split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise PluginError(
            "What kubectl printed is no JWT.",
            step="Try `kubectl create token` by itself: is there such a ServiceAccount?",
        )
    return found


def fields(credential: Object, claims: Mapping[str, Any], now: datetime) -> list[Field]:
    """What the gateway will look at, in the order in which it does. PluginError for a spec that cannot be read."""
    try:
        spec = FederatedCredentialSpec.model_validate(credential.get("spec", {}))
    except ValidationError:
        name = credential["metadata"]["name"]
        raise PluginError(
            f"The FederatedCredential {name} cannot be read.",
            cause="its spec is of another version than this plugin",
            step="Use the plugin of the same release: kubectl lanyard check",
        ) from None
    return list(_fields(spec, claims, now))


def _fields(spec: FederatedCredentialSpec, claims: Mapping[str, Any], now: datetime) -> Iterator[Field]:
    yield Field("issuer", spec.issuer, claims.get("iss") == spec.issuer)
    yield Field("subject", spec.subject, claims.get("sub") == spec.subject)
    yield Field("audience", spec.audience, spec.audience in audiences(claims))
    for rule in spec.claims:
        wanted = rule.equals or rule.glob or " or ".join(rule.any_of or ())
        yield Field(f"claim {rule.claim}", wanted, broken_rule([rule], claims) is None)
    if spec.suspend:
        yield Field("suspend", "it is suspended", False)
    if spec.expires_at is not None:
        end = parsed(spec.expires_at)
        yield Field("expiresAt", spec.expires_at, end is not None and end > now)


def audiences(claims: Mapping[str, Any]) -> list[str]:
    found = claims.get("aud", [])
    return [found] if isinstance(found, str) else [one for one in found if isinstance(one, str)]
