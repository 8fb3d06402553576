"""Take a grant back at the provider: every call that the connector has for it, once."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lanyard.errors import LanyardError
from lanyard.flows.resolve import Resolved
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, values
from lanyard.oauth.revocation import Revoked, revocation_requests, revocation_verdict
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.rules.grants import Grant

NO_CALL = "the product has no call for it at the host that gave it"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it went. `why` is empty when the grant is gone, else a word of ours."""

    verdict: Revoked
    why: str = ""


async def revoke(
    endpoint: TokenEndpoint, errand: Errand, grant: Grant, resolved: Mapping[str, Resolved], *, now: datetime
) -> Attempt:
    """The worst of its calls. SourceError when the client cannot prove itself."""
    requests = revocation_requests(
        errand.plan,
        values(resolved),
        client_id=errand.spec.auth.client_id,
        refresh_token=grant.refresh_token,
        access_token=grant.access_token,
        key_id=errand.spec.auth.key_id,
        now=now,
        jti=str(uuid.uuid4()),
    )
    if not requests:
        return Attempt(Revoked.REFUSED, NO_CALL)
    attempts = [await _ask(endpoint, errand, request) for request in requests]
    order = (Revoked.LATER, Revoked.REFUSED, Revoked.DONE)
    return min(attempts, key=lambda attempt: order.index(attempt.verdict))


async def _ask(endpoint: TokenEndpoint, errand: Errand, request: WireRequest) -> Attempt:
    try:
        verdict = revocation_verdict((await endpoint.send(request, errand.plan)).status)
    except LanyardError as error:
        return Attempt(Revoked.LATER, error.reason.value)
    match verdict:
        case Revoked.DONE:
            return Attempt(verdict)
        case Revoked.REFUSED:
            return Attempt(verdict, Reason.REQUEST_REJECTED.value)
        case Revoked.LATER:
            return Attempt(verdict, Reason.PROVIDER_UNAVAILABLE.value)
