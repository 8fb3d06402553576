"""Taking a grant back: RFC 7009, or the product's own call."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from lanyard.api.connection import ClientAuthentication
from lanyard.api.exchange import Revocation
from lanyard.connectors.fields import CLIENT_ID, CLIENT_SECRET
from lanyard.connectors.selection import Plan, host_is_tenants
from lanyard.connectors.templates import UnfitValueError, host_of, render_url
from lanyard.oauth.client_auth import Moment, Proof, basic, prove
from lanyard.oauth.wire import WireRequest, filled, header_values, opened, written
from lanyard.sensitive import Sensitive


class Revoked(Enum):
    """What an answer to a revocation says."""

    DONE = "the grant is gone"
    REFUSED = "it will not be taken back this way"
    LATER = "nobody is there now"


def revocation_requests(
    plan: Plan,
    credentials: Mapping[str, Sensitive],
    *,
    client_id: str | None,
    refresh_token: Sensitive | None,
    access_token: Sensitive | None,
    key_id: str | None = None,
    now: datetime,
    jti: str,
) -> list[WireRequest]:
    """The connector's calls in its order; one whose token or address is not known is left out, and so is one to a host
    that the Connection names and that is not its token endpoint's: an edit could send the refresh token anywhere.

    `jti` is fresh randomness; each signed request gets one made from it. SourceError CREDENTIAL_INVALID where the
    client cannot prove itself.
    """
    tokens = {"refresh": refresh_token, "access": access_token}
    requests = []
    for index, revocation in enumerate(plan.method.revocation):
        token = tokens[revocation.token]
        if token is None or (revocation.authentication == "bearer" and access_token is None):
            continue
        known = {**plan.parameters, "client_id": client_id or ""}
        try:
            url = render_url(revocation.url, {name: value for name, value in known.items() if value})
        except UnfitValueError:
            continue
        if host_is_tenants(revocation.url, plan.connector.spec.parameters) and host_of(url) != plan.token_host:
            continue
        moment = Moment(key_id, now, f"{jti}-{index}")
        proof = _proof(plan, revocation, credentials, moment, client_id=client_id, access_token=access_token)
        parameters = {**filled(revocation.params, known), **_renamed(revocation, proof.parameters)}
        if revocation.parameter:
            parameters[revocation.parameter] = token.reveal()
        requests.append(_written(revocation, url, proof, parameters))
    return requests


def revocation_verdict(status: int) -> Revoked:
    """RFC 7009 2.2: an unknown token is answered as a revoked one; products say 400, 401 or 404 for it too."""
    if 200 <= status <= 299 or status in {404, 410}:
        return Revoked.DONE
    return Revoked.LATER if status in {408, 429} or status >= 500 else Revoked.REFUSED


def _renamed(revocation: Revocation, proof: Mapping[str, str]) -> dict[str, str]:
    return {revocation.rename.get(name, name): value for name, value in proof.items()}


def _proof(
    plan: Plan,
    revocation: Revocation,
    credentials: Mapping[str, Sensitive],
    moment: Moment,
    *,
    client_id: str | None,
    access_token: Sensitive | None,
) -> Proof:
    match revocation.authentication:
        case "client":
            return prove(plan, plan.client_auth, credentials, client_id, moment)
        case "basic" if plan.client_auth is ClientAuthentication.NONE:
            return Proof({}, {"Authorization": basic(plan, client_id or "", "")})
        case "basic":
            return Proof({}, {"Authorization": basic(plan, client_id or "", opened(credentials, CLIENT_SECRET))})
        case "bearer":
            token = access_token.reveal() if access_token is not None else ""
            header = plan.method.authorization_format.replace("{access_token}", token)
            return Proof({}, header_values({"Authorization": header}, CLIENT_ID))
        case "none":
            return Proof({}, {})


def _written(revocation: Revocation, url: str, proof: Proof, parameters: Mapping[str, str]) -> WireRequest:
    """A request without parameters has no body either."""
    headers = {"Accept": "application/json", **proof.headers}
    form = revocation.format if parameters and revocation.method != "GET" else "query"
    return written(revocation.method, url, headers, parameters, form)
