"""After a consent: whose account it is, and what else the product must be asked for (`followUp`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lanyard.connectors.selection import Plan
from lanyard.errors import LanyardError, SpecError
from lanyard.flows.follow_up import followed, known_of
from lanyard.flows.token_endpoint import TokenEndpoint
from lanyard.oauth.probes import account_in, api_request
from lanyard.oauth.responses import Token


@dataclass(frozen=True, slots=True)
class Found:
    """`account` is empty when nobody was named; `captured` is published, `learned` are parameters."""

    account: str
    captured: Mapping[str, str] = field(default_factory=dict)
    learned: Mapping[str, str] = field(default_factory=dict)


async def identify(endpoint: TokenEndpoint, plan: Plan, token: Token, callback: Mapping[str, str]) -> Found:
    """LanyardError when a follow-up that addresses depend on failed; an account that is not told fails nothing."""
    captured, learned = await followed(endpoint.send, plan, token)
    # The address that tells who it is may need what the follow-up has brought (Jira's site).
    knowing = replace(token, captured={**token.captured, **captured})
    return Found(await _account(endpoint, plan, knowing, callback), captured, learned)


async def _account(endpoint: TokenEndpoint, plan: Plan, token: Token, callback: Mapping[str, str]) -> str:
    identity = plan.method.identity
    if identity is None:
        return ""
    if identity.parameter is not None:
        return callback.get(identity.parameter, "")
    if identity.request is None:
        return token.account
    try:
        answer = await endpoint.send(api_request(plan, identity.request, known_of(plan, token)), plan)
    except SpecError:
        # A generic connector was not told where to ask.
        return token.account
    except LanyardError:
        return ""
    return account_in(identity, answer.status, answer.body)
