"""Who is let in at the REST API: our own tokens, Kubernetes tokens, and everything that looks like one."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.api.dto import Refusal
from lanyard.clients.reviews import Act, Person
from lanyard.flows.callers import Application, Callers, Deed, name_of_caller
from lanyard.flows.manage import ManageRefusedError
from lanyard.oauth.flaws import PresentedError
from lanyard.oauth.minting import Minted, SigningKey, access_token, opened
from lanyard.sensitive import Sensitive
from support.jwts import IssuerKey, key_pair

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUER = "https://lanyard.example"
AUDIENCE = f"{ISSUER}/identity_"
KEY, OTHER_KEY = SigningKey.of(b"\x01" * 32), SigningKey.of(b"\x02" * 32)
CLUSTER = IssuerKey("cluster", "ES256", key_pair("ES256", 0))
ADA = Person("ada", "1", ("team",), {"scopes": ("x",)})
WRITES = (Deed.CREATE, Deed.REPLACE, Deed.DELETE)
READS = (Deed.LIST, Deed.READ)


@dataclass
class Stage:
    """The API server's two reviews, played."""

    person_found: Person | None = ADA
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    """(verb, namespace, name)."""
    revoked: set[str] = field(default_factory=set)
    reviewed: list[str] = field(default_factory=list)
    asked: list[Act] = field(default_factory=list)

    def __post_init__(self) -> None:
        around: Any = self
        self.callers = Callers(
            reviews=around,
            live=self.live,
            issuer=ISSUER,
        )

    def live(self, unverified_token: str) -> Minted | None:
        try:
            token = opened(unverified_token, {KEY.key_id: KEY}, issuer=ISSUER, now=NOW)
        except PresentedError:
            return None
        return token if token.token_id not in self.revoked else None

    async def person(self, token: Sensitive, audience: str) -> Person | None:
        self.reviewed.append(audience)
        return self.person_found

    async def may(self, person: Person, act: Act) -> bool:
        assert (person, act.group, act.resource) == (ADA, "lanyard.dev", "federatedcredentials")
        self.asked.append(act)
        return (act.verb, act.namespace, act.name) in self.allowed

    async def refusal_of(self, token: str) -> Refusal | None:
        try:
            await self.callers.identified(token)
        except ManageRefusedError as refused:
            return refused.refusal
        return None

    async def answer(self, caller: Any, deed: Deed, namespace: str = "sales", name: str = "") -> Refusal | None:
        try:
            await self.callers.hold_allowed(caller, deed, namespace, name)
        except ManageRefusedError as refused:
            return refused.refusal
        return None


def ours(key: SigningKey = KEY, **changes: Any) -> str:
    facts = {
        "issuer": ISSUER, "audience": AUDIENCE, "client_id": "uid-of-crm", "namespace": "sales", "scope": "PM.OAuthApp",
        "token_id": "t-1", "issued_at": NOW, "lifetime": timedelta(hours=1), "credential": None,
    }  # fmt: skip
    return access_token(key, **(facts | changes))


def theirs(**claims: Any) -> str:
    moment = int(NOW.timestamp())
    body = {
        "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:sales:ci", "aud": [AUDIENCE],
        "iat": moment, "exp": moment + 600,
    }  # fmt: skip
    return CLUSTER.token(body | claims)


@pytest.mark.spec("F4")
async def test_a_token_of_ours_is_an_application_with_its_scopes() -> None:
    stage = Stage()
    caller = await stage.callers.identified(ours(scope="PM.OAuthApp.Read other"))
    assert caller == Application("uid-of-crm", "sales", ("PM.OAuthApp.Read", "other"))
    assert (name_of_caller(caller), stage.reviewed) == ("uid-of-crm", [])


@pytest.mark.spec("F4", "K6")
async def test_a_kubernetes_token_is_whoever_the_api_server_says() -> None:
    stage = Stage()
    assert await stage.callers.identified(theirs()) == ADA
    assert stage.reviewed == [AUDIENCE]
    assert name_of_caller(ADA) == "ada"


@pytest.mark.spec("K6")
async def test_a_token_that_the_api_server_does_not_confirm_is_refused() -> None:
    assert await Stage(person_found=None).refusal_of(theirs()) is Refusal.TOKEN_INVALID


@pytest.mark.spec("K6")
@pytest.mark.parametrize(
    "token",
    [
        theirs(aud=["https://kubernetes.default.svc"]),
        theirs(aud=[AUDIENCE, "https://kubernetes.default.svc"]),
        theirs(aud=[f"{ISSUER}/sales"]),
        theirs(aud=[AUDIENCE + "/"]),
        theirs(aud=ISSUER),
        ours(audience=f"{ISSUER}/sales"),
        ours(OTHER_KEY),
        ours(issued_at=NOW - timedelta(hours=2)),
        ours()[:-4] + "AAAA",
        ours() + ".x",
        "opaque",
        "",
        "ä.ö.ü",
        "\udcff.\udcff.\udcff",
        "a" * 20_000,
    ],
    ids=[
        "for the API server itself", "for the API server too", "for a namespace", "with a slash too many",
        "for the gateway as such",
        "ours for a namespace", "of a key that is not ours", "of yesterday", "altered", "of four parts", "no JWT",
        "empty", "not ASCII", "not even text", "too long",
    ],
)  # fmt: skip
async def test_a_token_for_something_else_costs_no_call(token: str) -> None:
    stage = Stage()
    assert await stage.refusal_of(token) is Refusal.TOKEN_INVALID
    assert stage.reviewed == []


async def test_a_revoked_token_is_refused() -> None:
    stage = Stage(revoked={"t-1"})
    assert await stage.refusal_of(ours()) is Refusal.TOKEN_INVALID
    assert await stage.refusal_of(ours(token_id="t-2")) is None


@pytest.mark.spec("F4")
@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("PM.OAuthApp",), {*READS, *WRITES}),
        (("PM.OAuthApp.Read",), {*READS}),
        (("PM.OAuthApp.Write",), {*WRITES}),
        (("PM.OAuthApp.Read", "PM.OAuthApp.Write"), {*READS, *WRITES}),
        (("api", "pm.oauthapp", "PM.OAuthApp.Reader", "PM"), set()),
        ((), set()),
    ],
    ids=["both", "read", "write", "read and write", "others", "none"],
)
async def test_scopes_say_what_an_application_may(scopes: tuple[str, ...], allowed: set[Deed]) -> None:
    stage = Stage()
    caller = Application("uid-of-crm", "sales", scopes)
    found = {deed: await stage.answer(caller, deed) for deed in Deed}
    assert found == {deed: None if deed in allowed else Refusal.SCOPE_MISSING for deed in Deed}
    assert stage.asked == []


@pytest.mark.spec("F5")
@pytest.mark.parametrize("scopes", [("PM.OAuthApp",), ()], ids=["with every scope", "without"])
async def test_in_another_namespace_an_application_finds_nothing_whatever_its_scopes(scopes: tuple[str, ...]) -> None:
    stage = Stage()
    caller = Application("uid-of-crm", "sales", scopes)
    assert {await stage.answer(caller, deed, "other") for deed in Deed} == {Refusal.NOT_FOUND}


@pytest.mark.spec("F4")
@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (set(), dict.fromkeys(Deed, Refusal.NOT_FOUND)),
        ({"get"}, dict.fromkeys(Deed, Refusal.FORBIDDEN) | {Deed.READ: None}),
        ({"get", "list"}, dict.fromkeys(WRITES, Refusal.FORBIDDEN) | dict.fromkeys(READS)),
        ({"create"}, dict.fromkeys(Deed, Refusal.NOT_FOUND) | {Deed.CREATE: None}),
        ({"get", "list", "create", "update", "delete"}, dict.fromkeys(Deed)),
        ({"patch", "watch", "*"}, dict.fromkeys(Deed, Refusal.NOT_FOUND)),
    ],
    ids=["nothing", "get", "get and list", "create alone", "all", "other verbs"],
)
async def test_a_person_does_what_rbac_says_and_who_may_not_see_finds_nothing(
    allowed: set[str], expected: dict[Deed, Refusal | None]
) -> None:
    stage = Stage(allowed={(verb, "sales", "") for verb in allowed})
    assert {deed: await stage.answer(ADA, deed) for deed in Deed} == expected


async def test_rights_on_one_object_are_rights_on_that_object() -> None:
    stage = Stage(allowed={("get", "sales", "fc-1"), ("delete", "sales", "fc-1")})
    assert await stage.answer(ADA, Deed.DELETE, name="fc-1") is None
    assert await stage.answer(ADA, Deed.DELETE, name="fc-2") is Refusal.NOT_FOUND
    assert await stage.answer(ADA, Deed.REPLACE, name="fc-1") is Refusal.FORBIDDEN


@pytest.mark.parametrize("namespace", ["", "..", "Sales", "a" * 64, "a/b", "*", "ä"])
async def test_what_is_no_namespace_is_not_asked_about(namespace: str) -> None:
    stage = Stage()
    assert await stage.answer(ADA, Deed.LIST, namespace) is Refusal.NOT_FOUND
    assert stage.asked == []
