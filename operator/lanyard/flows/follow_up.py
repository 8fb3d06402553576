"""Ask the product what only it knows: which site, which data centre, before anything can be addressed.

Nothing of it is stored where nobody has consented: it is asked again with every token. That is one more request, and
the token lives for hours.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from lanyard.api.connection import ConnectionSpec
from lanyard.api.exchange import ApiRequest
from lanyard.clients.http import Answer
from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import ProviderError, SpecError
from lanyard.oauth.probes import Known, api_request, follow_up
from lanyard.oauth.responses import Token
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.rules.publish import token_content

Send = Callable[[WireRequest, Plan], Awaitable[Answer]]
"""Sends a request to the plan's provider; ProviderError when there is no answer."""


async def followed(send: Send, plan: Plan, token: Token) -> tuple[dict[str, str], dict[str, str]]:
    """What the connector's follow-up captures, and the parameters learned from it; nothing where it has none.

    ProviderError when there is no answer, or none that can be read without guessing.
    """
    asked = plan.method.follow_up
    if asked is None:
        return {}, {}
    request = _request(plan, asked.request, token)
    answer = await send(request, plan)
    return follow_up(plan, asked, answer.status, answer.body, host=request.host)


async def completed(send: Send, spec: ConnectionSpec, plan: Plan, token: Token) -> tuple[Plan, Token]:
    """Plan and token as they are to be published, where nobody consents: with what both answers brought."""
    captured, learned = await followed(send, plan, token)
    brought = {**token.learned, **learned}
    known = plan_for(spec, plan.connector, brought) if brought else plan
    return known, replace(token, captured={**token.captured, **captured})


def _request(plan: Plan, asked: ApiRequest, token: Token) -> WireRequest:
    """Written from what is published so far. Its address may need what the token answer should have brought."""
    try:
        return api_request(plan, asked, known_of(plan, token))
    except SpecError as error:
        if error.facts.get("field") in plan.method.response.capture:
            raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=plan.token_host) from None
        raise


def known_of(plan: Plan, token: Token) -> Known:
    """What a workload would have: only what is no secret can stand in an address."""
    content = token_content(
        connector=plan.connector.name,
        method=plan.method.name,
        access_token=token.access_token,
        token_type=token.token_type,
        expires_at=token.expires_at,
        scopes=token.scope or (),
        authorization_format=plan.method.authorization_format,
        base_url=plan.base_url,
        captured={},
    )
    # What was captured is plain, and may stand in an address.
    return {**content, **token.captured}
