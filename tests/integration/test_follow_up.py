"""The request after a token that asks which account is meant: over the wire, and through a Connection to its Secret."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import Answer as HttpAnswer
from lanyard.clients.http import Outbound, OutboundError, provider_error
from lanyard.connectors.loader import load_catalogue
from lanyard.connectors.selection import Plan
from lanyard.errors import ProviderError
from lanyard.flows.follow_up import Send, followed
from lanyard.oauth.responses import Token
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from support.cluster import Cluster, message_of
from support.connecting import from_secret, token_of
from support.plans import code_plan
from support.provider import HANG, RESET, Answer, ScriptedProvider
from support.signing import signing_keys

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TENANTS = "/tenants"
ONE = Answer.of_json({"items": [{"id": "c-1", "url": "https://acme.example"}]})
DEADLINE = 1.0


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(tls=False) as running:
        running.script(TENANTS, ONE)
        yield running


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    """As the token endpoint's client sends it."""
    async with Outbound(EgressPolicy(allow_loopback_http=True)) as outbound:

        async def send(request: WireRequest, plan: Plan) -> HttpAnswer:
            try:
                return await outbound.send(request, deadline=DEADLINE, guard=plan.host_is_tenants)
            except OutboundError as error:
                raise provider_error(error) from None

        yield send


def plan(provider: ScriptedProvider, path: str = TENANTS, **request: Any) -> Plan:
    asked = {
        "request": {"url": f"{provider.url}{path}", **request},
        "items": "/items",
        "capture": {"cloud": "/id", "site": "/url"},
    }
    parameters = {"cloud": {"source": "followUp", "pattern": "c-[0-9]"}}
    return code_plan(followUp=asked, parameters=parameters, response={"capture": {"region": "/region"}})


def token(**captured: str) -> Token:
    return Token(
        access_token=Sensitive("t0k3n"),
        token_type="Bearer",
        expires_at=NOW + timedelta(hours=1),
        issued_at=NOW,
        scope=("api",),
        captured=captured,
        skew=None,
    )


@pytest.mark.spec("C16")
async def test_a_follow_up_is_asked_with_the_token_and_brings_what_it_captures(
    send: Send, provider: ScriptedProvider
) -> None:
    assert await followed(send, plan(provider), token()) == (
        {"cloud": "c-1", "site": "https://acme.example"},
        {"cloud": "c-1"},
    )
    (request,) = provider.requests()
    assert (request.method, request.header("Authorization")) == ("GET", "Bearer t0k3n")


@pytest.mark.spec("C16")
async def test_a_product_s_own_header_and_what_the_token_answer_brought_go_into_a_follow_up(
    send: Send, provider: ScriptedProvider
) -> None:
    provider.script("/eu/tenants", ONE)
    own = plan(provider, "/{region}/tenants", headers={"Authorization": "OAuth {access_token}"})
    assert await followed(send, own, token(region="eu"))
    assert provider.requests("/eu/tenants")[0].header("Authorization") == "OAuth t0k3n"


async def test_a_connector_without_a_follow_up_is_not_asked(send: Send, provider: ScriptedProvider) -> None:
    assert await followed(send, code_plan(), token()) == ({}, {})
    assert provider.requests() == []


@pytest.mark.spec("C11", "C16")
@pytest.mark.parametrize(
    ("answer", "path", "reason"),
    [
        pytest.param(Answer.of_html(), TENANTS, Reason.PROVIDER_ANSWER_INVALID, id="a page"),
        pytest.param(Answer.of_json({"items": []}), TENANTS, Reason.PROVIDER_ANSWER_INVALID, id="nothing to choose"),
        pytest.param(
            Answer.of_json({"items": [{"id": "c-1"}, {"id": "c-2"}]}),
            TENANTS,
            Reason.PROVIDER_ANSWER_INVALID,
            id="two, and nothing says which",
        ),
        pytest.param(Answer.of_json({}, 503), TENANTS, Reason.PROVIDER_UNAVAILABLE, id="a product that is down"),
        pytest.param(
            ONE, "/{region}/tenants", Reason.PROVIDER_ANSWER_INVALID, id="an address that the token answer left open"
        ),
        pytest.param(RESET, TENANTS, Reason.PROVIDER_UNAVAILABLE, id="no answer"),
        pytest.param(HANG, TENANTS, Reason.PROVIDER_TIMED_OUT, id="no answer in time"),
        pytest.param(
            Answer.of_redirect("https://elsewhere.example"), TENANTS, Reason.PROVIDER_ANSWER_INVALID, id="a redirect"
        ),
    ],
)
async def test_a_follow_up_that_cannot_be_read_without_guessing_has_its_reason(
    send: Send, provider: ScriptedProvider, answer: Answer, path: str, reason: Reason
) -> None:
    provider.script(TENANTS, answer)
    with pytest.raises(ProviderError) as caught:
        await followed(send, plan(provider, path), token())
    assert caught.value.reason is reason
    assert "t0k3n" not in str(caught.value)


ACCOUNT = "1a2b3c4d-4e5f-6071-8293-a4b5c6d7e8f9"
ACCOUNTS = [
    {"account_id": "00000000-0000-0000-0000-000000000000", "is_default": False, "base_uri": "https://na.docusign.net"},
    {"account_id": ACCOUNT, "is_default": True, "base_uri": "https://eu.docusign.net"},
]


@pytest.mark.spec("C5", "C10", "C16")
def test_a_signed_grant_publishes_the_data_centre_that_was_looked_up_after_each_token(
    operator: Any, cluster: Cluster, provider: ScriptedProvider
) -> None:
    """DocuSign's built-in connector, with its sign-in host pointed here. Nothing is stored: each token asks anew."""
    provider.script("/oauth/token", *(Answer.of_token(f"t0k3n-{number}", expires_in=6) for number in range(1, 9)))
    provider.script("/oauth/userinfo", Answer.of_json({"accounts": ACCOUNTS[:1]}))
    built_in = load_catalogue()["docusign"].spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    here = json.loads(json.dumps(built_in).replace("https://{account_host}", provider.url))
    name = f"docusign-{cluster.namespace}"
    private, _ = signing_keys()["RS256"]
    cluster.apply("Connector", name, here)
    try:
        cluster.secret("app", key=private)
        cluster.connection(
            "contracts",
            connector=name,
            parameters={"user_id": ACCOUNT},
            auth={"method": "jwtBearer", "clientId": ACCOUNT, "keyId": "k1"},
            credentials={"privateKey": from_secret("app", "key")},
        )
        found = cluster.wait_reason("contracts", "ProviderAnswerInvalid")
        assert provider.url.removeprefix("http://") in message_of(found, "Ready")
        assert not cluster.exists("Secret", "contracts-token"), "a token without its address is of no use"

        provider.script("/oauth/userinfo", Answer.of_json({"accounts": ACCOUNTS}))
        cluster.wait_ready("contracts")
        data = cluster.data("contracts-token")
        assert data["base_url"] == f"https://eu.docusign.net/restapi/v2.1/accounts/{ACCOUNT}"
        assert (data["base_uri"], data["account_id"]) == ("https://eu.docusign.net", ACCOUNT)

        moved = ACCOUNTS[1] | {"base_uri": "https://na.docusign.net"}
        provider.script("/oauth/userinfo", Answer.of_json({"accounts": [moved]}))
        cluster.wait("Secret", "contracts-token", lambda _: token_of(cluster, "contracts") != data["access_token"])
        assert cluster.data("contracts-token")["base_url"].startswith("https://na.docusign.net/")
        asked = provider.requests("/oauth/userinfo")[-1].header("Authorization")
        assert asked == f"Bearer {token_of(cluster, 'contracts')}"
    finally:
        cluster.delete("Connector", name)
