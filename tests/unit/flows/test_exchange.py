"""An exchange, decision by decision: real JWTs, keys and index; no network."""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from lanyard.connectors.loader import load_catalogue
from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.exchange import DeniedError, Exchange, Trace
from lanyard.flows.key_sets import KeySetMirror, KeySets
from lanyard.flows.mint import Handed, Mint
from lanyard.flows.token_copies import CopyMirror
from lanyard.flows.view import ConnectionMirror, ConnectorMirror, CredentialMirror, View
from lanyard.oauth.flaws import Flaw
from lanyard.oauth.jwk import VerificationKey
from lanyard.oauth.presented import presented
from lanyard.oauth.token_request import Dialect, ErrorCode, Question
from lanyard.rules.exchange import Denial
from lanyard.sensitive import Sensitive
from lanyard.stores.copies import COPY_LABEL, TokenCopy
from lanyard.stores.keyring import Context, Keyring
from lanyard.stores.ring_format import RingKey
from lanyard.stores.signing import SigningRing, fresh_scalar
from support.jwts import IssuerKey, key_pair

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LANYARD = "https://lanyard.example"
ISSUER = "https://issuer.example"
AUDIENCE = f"{LANYARD}/sales"
SUBJECT = "workload:crm"
CLIENT = "uid-crm"
KEY = IssuerKey("k1", "ES256", key_pair("ES256", 1))
OTHER_KEY = IssuerKey("k1", "ES256", key_pair("ES256", 2))
RING = Keyring((RingKey("t", os.urandom(32), NOW - timedelta(days=1)),))
SIGNING = SigningRing(Keyring((RingKey("s", fresh_scalar(), NOW - timedelta(days=1)),)))


class Spent:
    """Marks in memory; `away` is an API server that does not answer."""

    def __init__(self) -> None:
        self.marks: set[tuple[str, str]] = set()
        self.away = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def spend(self, _: object, issuer: str, token_id: str, __: datetime) -> bool:
        if self.away:
            raise KubernetesError(KubernetesStatus(0))
        self.meanwhile()
        fresh = (issuer, token_id) not in self.marks
        self.marks.add((issuer, token_id))
        return fresh


@dataclass
class Limit:
    """Lets everybody through until told."""

    seconds: float = 0.0

    def wait(self, _: str) -> float:
        return self.seconds


@dataclass
class Scene:
    """A gateway's knowledge, and its exchange."""

    view: View = field(default_factory=View)
    copies: CopyMirror = field(default_factory=CopyMirror)
    spent: Spent = field(default_factory=Spent)
    clients: Limit = field(default_factory=Limit)
    used: list[str] = field(default_factory=list)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    now: datetime = NOW

    def __post_init__(self) -> None:
        catalogue = Catalogue(load_catalogue(), self.view.world, issuer=LANYARD)
        self.exchange = Exchange(
            view=self.view,
            key_sets=KeySets(KeySetMirror(), None, lambda: self.now),  # type: ignore[arg-type] - nobody asks again here
            mint=Mint(
                catalogue=catalogue,
                labels=self.labels,
                ring=lambda: SIGNING,
                issuer=LANYARD,
                lifetime=timedelta(hours=1),
            ),
            copies=self.copies,
            keyring=lambda: RING,
            spent=self.spent,  # type: ignore[arg-type]
            clients=self.clients,
            namespaces=Limit(),
            used=lambda uid, _: self.used.append(uid),
            clock=lambda: self.now,
        )
        self.connector("minting", mints=[{"namespaces": {"names": ["sales"]}, "scopes": ["read", "write"]}])
        self.connect()
        self.trust()

    def connector(self, name: str, *, generation: int = 1, **spec: Any) -> None:
        mirror = ConnectorMirror(self.view.world)
        metadata = {"name": name, "uid": f"uid-{name}", "generation": generation}
        mirror.change(mirror.slim({"metadata": metadata, "spec": spec}))

    def connect(self, name: str = "crm", *, namespace: str = "sales", going: bool = False, **spec: Any) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1}
        if going:
            metadata["deletionTimestamp"] = "2026-11-25T12:00:00Z"
        mirror = ConnectionMirror(self.view)
        mirror.change(mirror.slim({"metadata": metadata, "spec": {"connector": "minting", **spec}}))

    def trust(
        self, name: str = "ci", *, namespace: str = "sales", connection: str = "crm", age: int = 1, **spec: Any
    ) -> None:
        created = (NOW - timedelta(days=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"name": name, "namespace": namespace, "uid": f"fc-{name}", "creationTimestamp": created}
        mirror = CredentialMirror(self.view)
        keys = json.dumps({"keys": [KEY.jwk()]})
        body = {
            "connectionRef": {"name": connection},
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "subject": SUBJECT,
            "jwks": keys,
            **spec,
        }
        mirror.change(mirror.slim({"metadata": metadata, "spec": body}))

    def broker(self, *scopes: str, life: timedelta = timedelta(minutes=10)) -> None:
        """The Connection `crm` is one of a product, and its token lies ready."""
        self.connect(connector="github")
        copy = {
            "format": 1,
            "accessToken": "the token of the product",
            "tokenType": "Bearer",
            "expiresAt": (NOW + life).isoformat(),
            "scopes": scopes,
        }
        sealed = RING.seal(
            json.dumps(copy).encode(), Context("access_token", CLIENT, "sales/crm"), now=NOW, nonce=b"n" * 12
        )
        self.copies.change(
            self.copies.slim(
                {
                    "metadata": {
                        "name": f"token-{CLIENT}",
                        "uid": "s",
                        "resourceVersion": "1",
                        "labels": {COPY_LABEL: "install"},
                        "annotations": {"lanyard.dev/connection": "sales/crm"},
                    },
                    "data": {"token": _base64(sealed)},
                }
            )
        )

    async def ask(self, token: str = "", *, tenant: str | None = None, **changes: Any) -> Handed:
        self.trace = Trace("request")
        asked = {"client_id": CLIENT, "targets": (), "scope": "", "dialect": Dialect.CLIENT_CREDENTIALS, **changes}
        return await self.exchange.hand_out(
            Question(unverified_assertion=token or signed(), **asked), tenant, self.trace
        )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def signed(key: IssuerKey = KEY, **changes: Any) -> str:
    moment = int(NOW.timestamp())
    claims = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": AUDIENCE,
        "iat": moment,
        "exp": moment + 300,
        "jti": "one",
        **changes,
    }
    return key.token({name: value for name, value in claims.items() if value is not None})


def claims_of(handed: Handed) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(handed.access_token.reveal(), options={"verify_signature": False})
    return found


@pytest.mark.spec("F1", "F7", "F12")
async def test_a_jwt_that_is_trusted_is_exchanged_for_a_token_of_our_own() -> None:
    scene = Scene()
    handed = await scene.ask(scope="read")
    assert (handed.token_type, handed.expires_in, handed.scopes) == ("Bearer", 3600, ("read",))
    claims = claims_of(handed)
    assert (claims["sub"], claims["client_id"], claims["namespace"]) == (CLIENT, CLIENT, "sales")
    assert (claims["iss"], claims["aud"], claims["scope"]) == (LANYARD, AUDIENCE, "read")
    assert scene.used == ["fc-ci"]
    assert scene.trace.credential is not None
    assert scene.trace.credential.uid == "fc-ci"


@pytest.mark.spec("F+1")
async def test_the_token_of_a_connection_is_handed_out_whole() -> None:
    scene = Scene()
    scene.broker("repo", "user")
    handed = await scene.ask()
    assert handed.access_token.reveal() == "the token of the product"
    assert (handed.scopes, handed.expires_in, handed.token_id) == (("repo", "user"), 600, "")


@pytest.mark.spec("F8", "F9")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"iss": f"{ISSUER}/"}, Denial.NOT_TRUSTED, id="an issuer with a slash at its end"),
        pytest.param({"sub": "workload:CRM"}, Denial.NOT_TRUSTED, id="a subject in other letters"),
        pytest.param({"aud": "https://elsewhere"}, Denial.NOT_TRUSTED, id="another audience"),
        pytest.param({"exp": 1}, "EXPIRED", id="over"),
        pytest.param({"nbf": int(NOW.timestamp()) + 120}, "NOT_YET_VALID", id="not yet valid"),
        pytest.param({"exp": "1900000000"}, "EXPIRY_INVALID", id="an expiry that is text"),
    ],
)
async def test_what_a_jwt_claims_must_fit_to_the_letter(changes: dict[str, Any], why: str) -> None:
    scene = Scene()
    with pytest.raises(DeniedError) as denied:
        await scene.ask(signed(**changes))
    assert denied.value.why == (Flaw[why].value if why in Flaw.__members__ else why)
    assert denied.value.code is ErrorCode.INVALID_CLIENT
    assert not scene.used


async def test_a_list_of_audiences_fits_when_the_right_one_is_in_it() -> None:
    assert (await Scene().ask(signed(aud=["https://elsewhere", AUDIENCE]))).token_type == "Bearer"


@pytest.mark.parametrize(
    ("dialect", "code"),
    [
        (Dialect.CLIENT_CREDENTIALS, ErrorCode.INVALID_CLIENT),
        (Dialect.JWT_BEARER, ErrorCode.INVALID_GRANT),
        (Dialect.TOKEN_EXCHANGE, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_a_wrong_signature_has_the_error_of_its_grant(dialect: Dialect, code: ErrorCode) -> None:
    with pytest.raises(DeniedError) as denied:
        await Scene().ask(signed(OTHER_KEY), dialect=dialect)
    assert denied.value.code is code
    assert not denied.value.hint, "before the signature is good nothing is told"


async def test_the_same_jwt_is_looked_at_anew_each_time() -> None:
    """What was verified once is not verified again, but it is still judged: time, credential, Connection, keys."""
    scene, token = Scene(), signed()
    await scene.ask(token)
    await scene.ask(token)
    scene.trust(suspend=True)
    with pytest.raises(DeniedError) as denied:
        await scene.ask(token)
    assert denied.value.why == Denial.CREDENTIAL_SUSPENDED
    scene.trust(jwks=json.dumps({"keys": [OTHER_KEY.jwk()]}))
    with pytest.raises(DeniedError):
        await scene.ask(token)
    scene.trust()
    scene.now = NOW + timedelta(minutes=7)
    with pytest.raises(DeniedError):
        await scene.ask(token)


async def test_of_a_jwt_that_was_verified_no_claims_are_kept() -> None:
    """A tenant may sign 10,000 of 8 KB, each of which is 100 KB and more once it is read."""
    scene, gone = Scene(), []
    for number in range(20):
        token = signed(jti=str(number), junk=[[]] * 1500)
        await scene.ask(token)
        gone.append(presented(token).digest)
    kept = scene.exchange._verified
    assert all(digest in kept for digest in gone)
    assert {type(kept[digest]) for digest in gone} == {VerificationKey}


async def test_a_tenant_with_keys_of_its_own_for_an_issuer_uses_up_nothing_of_another_tenant() -> None:
    scene = Scene()
    scene.trust(replay="SingleUse")
    scene.connect("evil", namespace="finance")
    theirs = json.dumps({"keys": [OTHER_KEY.jwk()]})
    scene.trust("evil", namespace="finance", connection="evil", jwks=theirs, replay="SingleUse")
    await scene.ask(signed(OTHER_KEY), client_id="uid-evil")
    await scene.ask()
    with pytest.raises(DeniedError) as denied:
        await scene.ask()
    assert denied.value.why == Denial.REPLAYED


@pytest.mark.parametrize(
    ("bent", "code", "why"),
    [
        pytest.param({"suspend": True}, ErrorCode.INVALID_CLIENT, Denial.CREDENTIAL_SUSPENDED, id="suspended"),
        pytest.param(
            {"expiresAt": "2026-11-25T12:00:00Z"}, ErrorCode.INVALID_CLIENT, Denial.CREDENTIAL_EXPIRED, id="over"
        ),
        pytest.param(
            {"claims": [{"claim": "ref", "equals": "main"}]}, ErrorCode.INVALID_CLIENT, Denial.CLAIM_RULE, id="a rule"
        ),
    ],
)
async def test_a_credential_that_is_not_live_refuses(bent: dict[str, Any], code: ErrorCode, why: Denial) -> None:
    scene = Scene()
    scene.trust(**bent)
    with pytest.raises(DeniedError) as denied:
        await scene.ask()
    assert (denied.value.code, denied.value.why) == (code, why)
    assert denied.value.hint, "the signature was good: the caller is told what it can mend"


@pytest.mark.spec("F+2")
async def test_of_two_credentials_that_match_the_one_whose_rules_hold_is_used() -> None:
    scene = Scene()
    scene.trust("old", age=9, claims=[{"claim": "ref", "equals": "main"}])
    await scene.ask()
    assert scene.used == ["fc-ci"]
    await scene.ask(signed(ref="main"))
    assert scene.used[-1] == "fc-old"


@pytest.mark.parametrize("bent", [{"suspend": True}, {"expiresAt": "2026-11-25T12:00:00Z"}])
async def test_an_older_credential_that_is_not_live_stands_in_nobody_s_way(bent: dict[str, Any]) -> None:
    scene = Scene()
    scene.trust("old", age=9, **bent)
    await scene.ask()
    assert scene.used == ["fc-ci"]


@pytest.mark.parametrize("connection", [{"suspend": True}, {"going": True}])
async def test_a_connection_that_is_not_live_hands_out_nothing(connection: dict[str, Any]) -> None:
    scene = Scene()
    scene.connect(**connection)
    with pytest.raises(DeniedError) as denied:
        await scene.ask()
    assert denied.value.why in {Denial.CONNECTION_SUSPENDED, Denial.UNKNOWN_CLIENT}


@pytest.mark.spec("F5")
async def test_a_client_is_not_known_under_another_tenant() -> None:
    scene = Scene()
    assert (await scene.ask(tenant="sales")).token_type == "Bearer"
    with pytest.raises(DeniedError) as denied:
        await scene.ask(tenant="finance")
    assert denied.value.why == Denial.OTHER_TENANT


async def test_without_a_client_id_the_only_application_that_trusts_it_is_meant() -> None:
    scene = Scene()
    assert (await scene.ask(client_id=None)).token_type == "Bearer"
    scene.connect("erp")
    scene.trust("erp", connection="erp")
    with pytest.raises(DeniedError) as denied:
        await scene.ask(client_id=None)
    assert denied.value.why == Denial.AMBIGUOUS_CLIENT
    handed = await scene.ask(client_id=None, targets=("uid-erp",), dialect=Dialect.TOKEN_EXCHANGE)
    assert claims_of(handed)["client_id"] == "uid-erp"


async def test_single_use_takes_a_jwt_once() -> None:
    scene, token = Scene(), signed()
    scene.trust(replay="SingleUse")
    await scene.ask(token)
    with pytest.raises(DeniedError) as denied:
        await scene.ask(token)
    assert denied.value.why == Denial.REPLAYED
    with pytest.raises(DeniedError) as denied:
        await scene.ask(signed(jti=None))
    assert denied.value.why == Denial.NO_TOKEN_ID


@pytest.mark.spec("F9")
@pytest.mark.parametrize(
    "withdrawn",
    [
        pytest.param(lambda scene: scene.view.credentials.drop("fc-ci"), id="the credential is deleted"),
        pytest.param(lambda scene: scene.trust(replay="SingleUse", suspend=True), id="the credential is suspended"),
        pytest.param(
            lambda scene: scene.trust(replay="SingleUse", jwks=json.dumps({"keys": [OTHER_KEY.jwk()]})),
            id="its keys are others",
        ),
        pytest.param(lambda scene: scene.connect(going=True), id="the Connection goes"),
        pytest.param(lambda scene: scene.connect(suspend=True), id="the Connection is suspended"),
    ],
)
async def test_trust_that_is_withdrawn_during_a_wait_is_not_honoured(withdrawn: Callable[[Scene], None]) -> None:
    scene = Scene()
    scene.trust(replay="SingleUse")
    scene.spent.meanwhile = lambda: withdrawn(scene)
    with pytest.raises(DeniedError):
        await scene.ask()
    assert not scene.used


async def test_a_wrong_signature_burns_no_single_use() -> None:
    scene = Scene()
    scene.trust(replay="SingleUse")
    with pytest.raises(DeniedError):
        await scene.ask(signed(OTHER_KEY))
    assert not scene.spent.marks


async def test_single_use_fails_closed() -> None:
    scene = Scene()
    scene.trust(replay="SingleUse")
    scene.spent.away = True
    with pytest.raises(DeniedError) as denied:
        await scene.ask()
    assert denied.value.code is ErrorCode.TEMPORARILY_UNAVAILABLE


@pytest.mark.parametrize(
    ("bound", "asked", "granted"),
    [
        pytest.param([], "", "read write", id="nothing asked for is everything"),
        pytest.param([], "api://anything/.default", "read write", id="as Entra's clients ask"),
        pytest.param(["read"], "", "read", id="the credential bounds it"),
        pytest.param(["read"], "write", None, id="beyond the bound"),
        pytest.param([], "admin", None, id="beyond what the platform gives"),
        pytest.param([], "PM.OAuthApp", None, id="the REST API, which the platform did not list"),
    ],
)
async def test_a_minted_token_has_the_scopes_that_all_allow(bound: list[str], asked: str, granted: str | None) -> None:
    scene = Scene()
    scene.trust(scopes=bound)
    if granted is None:
        with pytest.raises(DeniedError) as denied:
            await scene.ask(scope=asked)
        assert denied.value.code is ErrorCode.INVALID_SCOPE
    else:
        assert " ".join((await scene.ask(scope=asked)).scopes) == granted


@pytest.mark.parametrize("target", [f"{LANYARD}/finance", f"{LANYARD}/identity_", LANYARD, "https://elsewhere"])
async def test_nobody_mints_for_an_audience_that_is_not_theirs(target: str) -> None:
    """DESIGN 4: no tenant can mint a token for another tenant's audience."""
    with pytest.raises(DeniedError) as denied:
        await Scene().ask(targets=(target,))
    assert denied.value.code is ErrorCode.INVALID_TARGET


@pytest.mark.parametrize(
    ("held", "bound", "asked", "why"),
    [
        (("repo",), [], "", None),
        (("repo",), ["repo", "user"], "repo", None),
        (("repo", "user"), ["repo"], "", Denial.SCOPES_NOT_ENFORCEABLE),
        (("repo",), [], "user", Denial.SCOPE),
    ],
)
async def test_a_token_that_cannot_be_narrowed_is_gated(
    held: tuple[str, ...], bound: list[str], asked: str, why: Denial | None
) -> None:
    scene = Scene()
    scene.broker(*held)
    scene.trust(scopes=bound)
    if why is None:
        assert (await scene.ask(scope=asked)).scopes == held
    else:
        with pytest.raises(DeniedError) as denied:
            await scene.ask(scope=asked)
        assert (denied.value.code, denied.value.why) == (ErrorCode.INVALID_SCOPE, why)


async def test_a_copy_that_is_over_is_not_handed_out() -> None:
    scene = Scene()
    scene.broker("repo", life=timedelta(seconds=2))
    with pytest.raises(DeniedError) as denied:
        await scene.ask()
    assert (denied.value.code, denied.value.why) == (ErrorCode.TEMPORARILY_UNAVAILABLE, Denial.NO_TOKEN)


@pytest.mark.spec("F11")
async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    scene = Scene()
    scene.clients.seconds = 7.0
    with pytest.raises(DeniedError) as denied:
        await scene.ask()
    assert (denied.value.why, denied.value.retry_after) == (Denial.THROTTLED, 7.0)


async def test_the_audit_log_knows_which_credential_nearly_matched() -> None:
    scene = Scene()
    with pytest.raises(DeniedError):
        await scene.ask(signed(sub="workload:erp"))
    assert scene.trace.nearest == "fc-ci subject"


def test_a_copy_says_nothing_of_its_token() -> None:
    assert "product" not in repr(TokenCopy(Sensitive("product"), "Bearer", None, ()))
