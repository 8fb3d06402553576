"""Tokens of our own after they were handed out: when one is dead, who is told what, and what revoking one writes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.own_tokens import Asker, OwnTokens, Revocations
from lanyard.flows.view import ConnectionMirror, CredentialMirror, View
from lanyard.oauth.minting import SigningKey, access_token
from lanyard.stores.spent import SpentKind, spent_name

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ISSUER = "https://lanyard.example"
KEY = SigningKey.of(b"\x01" * 32)
OWNER = Asker("uid-crm", "sales")
INACTIVE = {"active": False}


@dataclass
class Marks:
    """What the API server has: marks by name; `away` is one that does not answer."""

    written: list[tuple[str, datetime]] = field(default_factory=list)
    away: bool = False

    async def spend(self, kind: SpentKind, issuer: str, token_id: str, until: datetime) -> bool:
        if self.away:
            raise KubernetesError(KubernetesStatus(0))
        self.written.append((spent_name(kind, issuer, token_id), until))
        return True


class Scene:
    """A gateway that has seen one application with one credential."""

    def __init__(self) -> None:
        self.view = View()
        self.marks = Marks()
        self.seen: set[str] = set()
        self.now = NOW
        self.revocations = Revocations(self.marks, self.seen, ISSUER)  # type: ignore[arg-type]
        self.tokens = OwnTokens(
            keys=lambda: {KEY.key_id: KEY},
            revocations=self.revocations,
            view=self.view,
            issuer=ISSUER,
            clock=lambda: self.now,
        )
        self.connect()
        self.trust()

    def connect(self, *, going: bool = False, **spec: Any) -> None:
        metadata: dict[str, Any] = {"name": "crm", "namespace": "sales", "uid": "uid-crm", "generation": 1}
        if going:
            metadata["deletionTimestamp"] = "2026-11-25T12:00:00Z"
        mirror = ConnectionMirror(self.view)
        mirror.change(mirror.slim({"metadata": metadata, "spec": {"connector": "lanyard", **spec}}))

    def disconnect(self) -> None:
        ConnectionMirror(self.view).forget(self.view.applications["uid-crm"])

    def trust(self, **spec: Any) -> None:
        body = {
            "connectionRef": {"name": "crm"},
            "issuer": "https://issuer.example",
            "audience": "a",
            "subject": "s",
            **spec,
        }
        metadata = {
            "name": "ci",
            "namespace": "sales",
            "uid": "fc-ci",
            "creationTimestamp": "2026-11-24T12:00:00Z",
        }
        mirror = CredentialMirror(self.view)
        mirror.change(mirror.slim({"metadata": metadata, "spec": body}))

    def distrust(self) -> None:
        self.view.credentials.drop("fc-ci")

    def minted(self, **changed: Any) -> str:
        given: dict[str, Any] = {
            "issuer": ISSUER,
            "audience": f"{ISSUER}/sales",
            "client_id": "uid-crm",
            "namespace": "sales",
            "scope": "read write",
            "token_id": "jti-1",
            "issued_at": NOW,
            "lifetime": timedelta(hours=1),
            "credential": "fc-ci",
        }
        return access_token(KEY, **given | changed)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_owner_is_told_what_the_token_says(scene: Scene) -> None:
    assert scene.tokens.told(OWNER, scene.minted()) == {
        "active": True,
        "iss": ISSUER,
        "sub": "uid-crm",
        "aud": f"{ISSUER}/sales",
        "client_id": "uid-crm",
        "namespace": "sales",
        "scope": "read write",
        "token_type": "Bearer",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
        "jti": "jti-1",
    }


ASKERS = {
    "the owner": (OWNER, f"{ISSUER}/sales", True),
    "the owner, of a token for somebody else": (OWNER, "https://api.example", True),
    "another application of the namespace that it is for": (Asker("uid-api", "sales"), f"{ISSUER}/sales", True),
    "the application that it is for": (Asker("uid-api", "shop"), "uid-api", True),
    "another application of the owner's namespace": (Asker("uid-api", "sales"), "https://api.example", False),
    "an application of another namespace": (Asker("uid-api", "shop"), f"{ISSUER}/sales", False),
    "a namespace whose name begins alike": (Asker("uid-api", "sale"), f"{ISSUER}/sales", False),
}


@pytest.mark.parametrize(("asker", "audience", "told"), ASKERS.values(), ids=ASKERS)
def test_nobody_else_is_told_than_the_owner_and_whom_it_is_for(
    scene: Scene, asker: Asker, audience: str, told: bool
) -> None:
    """Keycloak CVE-2026-37979: whoever asks must be in the audience."""
    answer = scene.tokens.told(asker, scene.minted(audience=audience))
    assert answer["active"] is told
    assert told or answer == INACTIVE


DEAD: dict[str, Callable[[Scene], Any]] = {
    "it has ended": lambda scene: setattr(scene, "now", NOW + timedelta(hours=1)),
    "the application is gone": Scene.disconnect,
    "the application is being deleted": lambda scene: scene.connect(going=True),
    "the application is suspended": lambda scene: scene.connect(suspend=True),
    "the credential is gone": Scene.distrust,
    "the credential is suspended": lambda scene: scene.trust(suspend=True),
    "the credential has expired": lambda scene: scene.trust(expiresAt="2026-11-25T12:00:00Z"),
    "another gateway has revoked it": lambda scene: scene.seen.add(spent_name(SpentKind.REVOKED, ISSUER, "jti-1")),
}


@pytest.mark.spec("F9")
@pytest.mark.parametrize("change", DEAD.values(), ids=DEAD)
async def test_a_token_is_dead_when(scene: Scene, change: Callable[[Scene], Any]) -> None:
    text = scene.minted()
    assert scene.tokens.live(text) is not None
    change(scene)
    assert scene.tokens.live(text) is None
    assert scene.tokens.told(OWNER, text) == INACTIVE
    assert await scene.tokens.revoke(text) is None
    assert scene.marks.written == [], "what is dead needs no mark"


def test_a_token_of_another_grant_needs_no_credential(scene: Scene) -> None:
    scene.distrust()
    assert scene.tokens.live(scene.minted(credential=None)) is not None


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "x" * 9000])
async def test_what_is_no_token_of_ours_is_inactive_and_not_worth_a_mark(scene: Scene, text: str) -> None:
    assert scene.tokens.told(OWNER, text) == INACTIVE
    assert await scene.tokens.revoke(text) is None
    assert scene.marks.written == []


async def test_a_revoked_token_is_dead_at_once_and_marked_until_its_end(scene: Scene) -> None:
    ended = await scene.tokens.revoke(scene.minted())
    assert ended is not None
    token, owner = ended
    assert (token.token_id, owner) == ("jti-1", "sales/crm")
    assert scene.marks.written == [(spent_name(SpentKind.REVOKED, ISSUER, "jti-1"), NOW + timedelta(hours=1))]
    assert scene.tokens.told(OWNER, scene.minted()) == INACTIVE
    assert scene.revocations.is_revoked("jti-1")
    assert scene.tokens.live(scene.minted(token_id="jti-2")) is not None, "the others live on"


async def test_a_token_is_revoked_once(scene: Scene) -> None:
    await scene.tokens.revoke(scene.minted())
    await scene.tokens.revoke(scene.minted())
    assert len(scene.marks.written) == 1


async def test_what_could_not_be_written_is_not_revoked(scene: Scene) -> None:
    scene.marks.away = True
    with pytest.raises(KubernetesError):
        await scene.tokens.revoke(scene.minted())
    assert scene.tokens.live(scene.minted()) is not None


def test_a_jwt_that_was_taken_once_is_not_a_token_that_was_revoked(scene: Scene) -> None:
    """Both marks lie beside each other, and a `jti` may be the same."""
    scene.seen.add(spent_name(SpentKind.ASSERTION, ISSUER, "jti-1"))
    assert scene.tokens.live(scene.minted()) is not None
