"""After a consent: whose account it is, and what else the product must be asked for (`followUp`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lanyard.api.exchange import ApiRequest
from lanyard.connectors.selection import Plan
from lanyard.errors import LanyardError
from lanyard.flows.token_endpoint import TokenEndpoint
from lanyard.oauth.probes import Known, account_in, api_request, follow_up
from lanyard.oauth.responses import Token
from lanyard.rules.publish import token_content


@dataclass(frozen=True, slots=True)
class Found:
    """`account` is empty when nobody was named; `captured` is published, `learned` are parameters."""

    account: str
    captured: Mapping[str, str] = field(default_factory=dict)
    learned: Mapping[str, str] = field(default_factory=dict)


async def identify(endpoint: TokenEndpoint, plan: Plan, token: Token, callback: Mapping[str, str]) -> Found:
    """LanyardError when a follow-up that addresses depend on failed; an account that is not told fails nothing."""
    captured: Mapping[str, str] = {}
    learned: Mapping[str, str] = {}
    asked = plan.method.follow_up
    if asked is not None:
        answer = await _ask(endpoint, plan, token, asked.request)
        captured, learned = follow_up(plan, asked, *answer, host=plan.token_host)
    return Found(await _account(endpoint, plan, token, callback), captured, learned)


async def _account(endpoint: TokenEndpoint, plan: Plan, token: Token, callback: Mapping[str, str]) -> str:
    identity = plan.method.identity
    if identity is None:
        return ""
    if identity.parameter is not None:
        return callback.get(identity.parameter, "")
    if identity.request is None:
        return token.account
    try:
        return account_in(identity, *await _ask(endpoint, plan, token, identity.request))
    except LanyardError:
        return ""


async def _ask(endpoint: TokenEndpoint, plan: Plan, token: Token, request: ApiRequest) -> tuple[int, bytes]:
    answer = await endpoint.send(api_request(plan, request, _known(plan, token)), plan)
    return answer.status, answer.body


def _known(plan: Plan, token: Token) -> Known:
    """What a workload would have: the published keys; only what is no secret can stand in an address."""
    content = token_content(
        connector=plan.connector.name,
        method=plan.method.name,
        access_token=token.access_token,
        token_type=token.token_type,
        expires_at=token.expires_at,
        scopes=token.scope if token.scope is not None else plan.scopes,
        authorization_format=plan.method.authorization_format,
        base_url=plan.base_url,
        captured={},
    )
    return {**content, **token.captured}
