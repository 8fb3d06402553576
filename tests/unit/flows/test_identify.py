"""Whose account it is, from wherever a connector says that it is told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lanyard.clients.http import Answer
from lanyard.connectors.selection import Plan
from lanyard.errors import ProviderError
from lanyard.flows.identify import identify
from lanyard.oauth.responses import Token, parse
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from support.plans import code_plan

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SITE = {"cloud": {"source": "followUp", "pattern": "c-[0-9]"}}
WHERE = {"who": {"type": "url", "anyHost": True, "required": False}}
FOLLOW_UP = {"request": {"url": "https://api.example.com/sites"}, "capture": {"cloud": "/id"}}


class Product:
    """Answers by path; what it does not know, it fails at."""

    def __init__(self, **answers: Any) -> None:
        self._answers = {f"/{path}": json.dumps(answer).encode() for path, answer in answers.items()}

    async def send(self, request: WireRequest, _: Plan) -> Answer:
        path = request.url.removeprefix("https://api.example.com")
        if path not in self._answers:
            raise ProviderError(Reason.PROVIDER_UNAVAILABLE, host=request.host, status=503)
        return Answer(200, {}, self._answers[path])


def token(plan: Plan, **members: Any) -> Token:
    body = json.dumps({"access_token": "t0k3n", **members}).encode()
    return parse(plan, 200, {}, body, host="login.example.com", now=NOW)


def asking(url: str, **members: Any) -> Plan:
    return code_plan(identity={"request": {"url": url}, "account": ["/email", "/sub"]}, **members)


TOLD = {
    "by a request": (asking("https://api.example.com/me"), {}, {}, "ada"),
    "by a request to what the follow-up has brought": (
        asking("https://api.example.com/{cloud}", followUp=FOLLOW_UP, parameters=SITE),
        {},
        {},
        "ada of the site",
    ),
    "by nobody, where the request fails": (asking("https://api.example.com/down"), {"sub": "eve"}, {}, ""),
    "by the token answer, where no address is given to ask at": (
        asking("{who}", parameters=WHERE),
        {"sub": "ada"},
        {},
        "ada",
    ),
    "by the token answer": (code_plan(identity={"account": ["/sub"]}), {"sub": "ada"}, {}, "ada"),
    "by the callback": (
        code_plan(
            identity={"parameter": "realm"},
            authorization={"callbackParams": {"realm": "realm"}},
            parameters={"realm": {"source": "callback", "pattern": "[0-9]+"}},
        ),
        {},
        {"realm": "12"},
        "12",
    ),
    "by nobody": (code_plan(), {"sub": "ada"}, {}, ""),
}


@pytest.mark.spec("C13", "C16")
@pytest.mark.parametrize(("plan", "answered", "callback", "account"), TOLD.values(), ids=TOLD)
async def test_an_account_is_told(plan: Plan, answered: dict[str, Any], callback: dict[str, str], account: str) -> None:
    product: Any = Product(me={"email": "ada"}, sites={"id": "c-1"}, **{"c-1": {"email": "ada of the site"}})
    found = await identify(product, plan, token(plan, **answered), callback)
    assert found.account == account


async def test_a_follow_up_is_kept_with_what_it_taught() -> None:
    plan = code_plan(followUp=FOLLOW_UP, parameters=SITE)
    product: Any = Product(sites={"id": "c-1"})
    found = await identify(product, plan, token(plan), {})
    assert (found.captured, found.learned) == ({"cloud": "c-1"}, {"cloud": "c-1"})
