"""Ask the product what only it knows: which site, which data centre, before anything can be addressed.

Nothing of it is stored where nobody has consented: it is asked again with every token. That is one more request, and
the token lives for hours.
"""

from dataclasses import replace

from lanyard.api.connection import ConnectionSpec
from lanyard.api.exchange import ApiRequest
from lanyard.clients.http import Outbound, OutboundError, provider_error
from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import ProviderError, SpecError
from lanyard.oauth.probes import Known, api_request, follow_up
from lanyard.oauth.responses import Token
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.rules.publish import token_content


async def followed(
    outbound: Outbound, plan: Plan, token: Token, *, deadline: float
) -> tuple[dict[str, str], dict[str, str]]:
    """What the connector's follow-up captures, and the parameters learned from it; nothing where it has none.

    `deadline` in seconds. ProviderError when there is no answer, or none that can be read without guessing.
    """
    asked = plan.method.follow_up
    if asked is None:
        return {}, {}
    request = _request(plan, asked.request, token)
    try:
        answer = await outbound.send(request, deadline=deadline, guard=plan.host_is_tenants)
    except OutboundError as error:
        raise provider_error(error) from None
    return follow_up(plan, asked, answer.status, answer.body, host=request.host)


async def completed(
    outbound: Outbound, spec: ConnectionSpec, plan: Plan, token: Token, *, deadline: float
) -> tuple[Plan, Token]:
    """Plan and token as they are to be published, where nobody consents: with what both answers brought."""
    captured, learned = await followed(outbound, plan, token, deadline=deadline)
    brought = {**token.learned, **learned}
    known = plan_for(spec, plan.connector, brought) if brought else plan
    return known, replace(token, captured={**token.captured, **captured})


def _request(plan: Plan, asked: ApiRequest, token: Token) -> WireRequest:
    """Written from what is published so far. Its address may need what the token answer should have brought."""
    try:
        return api_request(plan, asked, _known(plan, token))
    except SpecError as error:
        if error.facts.get("field") in plan.method.response.capture:
            raise ProviderError(Reason.PROVIDER_ANSWER_INVALID, host=plan.token_host) from None
        raise


def _known(plan: Plan, token: Token) -> Known:
    content = token_content(
        connector=plan.connector.name,
        method=plan.method.name,
        access_token=token.access_token,
        token_type=token.token_type,
        expires_at=token.expires_at,
        scopes=token.scope or (),
        authorization_format=plan.method.authorization_format,
        base_url="",
        captured={},
    )
    # What was captured is plain, and may stand in an address.
    return {**content, **token.captured}
