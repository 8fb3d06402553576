"""Connections that are brought to a step of a flow, struck there, and looked at once they have recovered.

Each case has a namespace of its own, so many are struck by one kill. Requests to the API server that are held occupy
the operator's connections, so not all can be.
"""

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from lanyard.rules.publish import timestamp
from lanyard.stores.copies import TokenCopy, opened_copy, sealed_text
from lanyard.stores.keyring import Keyring
from support.agreeing import Agreement, agreement
from support.checkpoint import Checkpoint, Moment, Trap
from support.cluster import Cluster, Object, checked
from support.consenting import SECRETS as SHARED
from support.consenting import Team
from support.crash_rows import Cell, Flow, Row
from support.effects import ClusterEffects
from support.granting import GRACE_SECONDS, GrantingProvider, Policy

MOST_AT_ONCE = 14
"""The operator has 16 connections to the API server; a few are needed for what is not held."""
STEP_SECONDS = 20.0
SHORT_LIFE, LONG_LIFE = 8.0, 600.0
"""Of the token before a refresh, which is due after about 3.5 s (half the life is the largest margin), and of all that
come in the flow: none of them is due before it is over.
"""
POLICIES = {Flow.ROTATES: Policy.ROTATES, Flow.GRACE: Policy.GRACE}
"""Of the other flows with a grant: FIXED."""
COPYING = {Flow.COPIED, Flow.RESTORED, Flow.UNTRUSTED}
"""Flows of a Connection that a FederatedCredential names."""
MACHINES = {Flow.FIRST_TOKEN, Flow.MACHINE, Flow.ALONE, *COPYING}
FIRST_CONSENTS = {Flow.CONSENT, Flow.DEVICE}
CONSENTS = {*FIRST_CONSENTS, Flow.NEW_CONSENT}
AT_ONCE = {*CONSENTS, Flow.FIRST_TOKEN, Flow.DELETION, Flow.RESTORED, Flow.UNTRUSTED}
"""Flows that begin when they are told to; the others when the published token is due."""
AT_THE_PROVIDER = {
    "token request",
    "code exchange",
    "device code",
    "poll",
    "identity",
    "refresh token revoked",
    "access token revoked",
}
BEFORE_A_POLL = {"finalizer", "device code", "consent shown"}
"""The other steps of a consent by device code come an interval of five seconds later."""


@dataclass
class Case:
    """One cell of the table, in a namespace of its own."""

    flow: Flow
    row: Row
    moment: Moment
    place: str = field(default_factory=lambda: f"kill-{uuid.uuid4().hex[:8]}")
    record: str = ""
    """The Secret of the consent that belongs to the flow."""
    missed: bool = False
    """The step never came."""
    before: str = ""
    """The token that was published when the flow began."""
    complaints: list[str] = field(default_factory=list)

    @property
    def cell(self) -> Cell:
        return self.row.cells[self.moment]

    @property
    def policy(self) -> Policy:
        return POLICIES.get(self.flow, Policy.FIXED)

    @property
    def is_granted(self) -> bool:
        return self.flow not in MACHINES

    @property
    def method(self) -> str:
        if self.flow is Flow.DEVICE:
            return "deviceCode"
        return "authorizationCode" if self.is_granted else "clientCredentials"


def waves(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Who is struck together: those whom one kill strikes, which must reach their steps at about the same time; and
    all others at once.
    """
    for pace in _Pace:
        members = [case for case in cases if case.moment.kills and _pace(case) is pace]
        size = math.ceil(_held_at_api_server(members) / MOST_AT_ONCE) or 1
        groups: list[list[Case]] = [[] for _ in range(size)]
        for case in members:
            min(groups, key=lambda group: (_held_at_api_server(group), len(group))).append(case)
        yield from groups
    yield [case for case in cases if not case.moment.kills]


class _Pace(Enum):
    """When a case comes to its step."""

    AT_ONCE = 0
    AFTER_AN_INTERVAL = 1
    WHEN_DUE = 2


def _pace(case: Case) -> _Pace:
    if case.flow is Flow.DEVICE and case.row.step not in BEFORE_A_POLL:
        return _Pace.AFTER_AN_INTERVAL
    return _Pace.AT_ONCE if case.flow in AT_ONCE else _Pace.WHEN_DUE


def _held_at_api_server(cases: Sequence[Case]) -> int:
    return sum(case.row.step not in AT_THE_PROVIDER for case in cases)


def connector_name(policy: Policy) -> str:
    return f"kill-{policy.name.lower()}"


def connector_spec(provider_url: str, policy: Policy) -> Object:
    """A product whose grants rotate like this, with all that can be asked of one."""
    machine: Object = {
        "name": "clientCredentials",
        "clientAuth": {"methods": ["client_secret_post"]},
        "tokenRequest": {"url": f"{provider_url}/token"},
    }
    revocation = [{"token": token, "url": f"{provider_url}/revoke"} for token in ("refresh", "access")]
    grace = {"grace": f"{int(GRACE_SECONDS)}s"} if policy is Policy.GRACE else {}
    person = machine | {
        "name": "authorizationCode",
        "authorization": {"url": f"{provider_url}/authorize"},
        "identity": {"request": {"url": f"{provider_url}/me"}, "account": ["/email"]},
        "revocation": revocation,
        "rotation": {"mode": policy.value} | grace,
    }
    device = {name: member for name, member in person.items() if name != "authorization"}
    device |= {"name": "deviceCode", "device": {"url": f"{provider_url}/device"}}
    # All cases ask one host at the same time.
    return {"displayName": "Acme", "limits": {"concurrent": 256}, "methods": [person, device, machine]}


class Ground:
    """Operator, provider and checkpoint. `start_operator` makes one that has listed everything; `agree` writes records
    of consents as the gateway does.
    """

    def __init__(
        self,
        client: Any,
        checkpoint: Checkpoint,
        effects: ClusterEffects,
        provider: GrantingProvider,
        start_operator: Callable[[], Any],
        agree: Callable[[Sequence[Agreement]], None],
        ring: Path,
    ) -> None:
        self.client = client
        self.checkpoint = checkpoint
        self.provider = provider
        self._effects = effects
        self._start_operator = start_operator
        self._agree = agree
        self._ring = Keyring.parse(ring.read_text())
        # An approval names the one who writes it.
        question = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        review = client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=question).json()
        self._me = review["status"]["userInfo"]["username"]
        self._operator = start_operator()

    def cluster(self, case: Case) -> Cluster:
        return Cluster(self.client, case.place)

    def published(self, case: Case) -> dict[str, str]:
        """What the workload Secret carries, or the copy where there is no Secret; empty where there is neither."""
        here = self.cluster(case)
        if case.flow is Flow.ALONE:
            copy = self.copy(case)
            ends_at = timestamp(copy.expires_at) if copy is not None and copy.expires_at is not None else ""
            return {"access_token": copy.access_token.reveal(), "expires_at": ends_at} if copy is not None else {}
        return here.data("crm-token") if here.exists("Secret", "crm-token") else {}

    def copy(self, case: Case) -> TokenCopy | None:
        """The token copy, as a gateway opens it."""
        uid = self.cluster(case).get("Connection", "crm")["metadata"]["uid"]
        answer = self.client.get(f"{SHARED}/token-{uid}")
        if answer.status_code != 200:
            return None
        return opened_copy(self._ring, sealed_text(answer.json()), uid, f"{case.place}/crm")

    def strike(self, wave: list[Case]) -> None:
        """All of them to their step, and the kill where there is one."""
        for case in wave:
            self._prepare(case)
        self._bring_to_start(wave)
        for case in wave:
            self._begin(case)
        self._set_off(wave)
        self._cut_short(wave)

    def clear(self, wave: list[Case]) -> None:
        for case in wave:
            self.checkpoint.follow(case.place, "")
            self.client.delete(self.cluster(case).path("Connection", "crm"))
            self.client.delete(f"/api/v1/namespaces/{case.place}")

    def _prepare(self, case: Case) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": case.place}}
        checked(self.client.post("/api/v1/namespaces", json=namespace))
        is_due = case.flow not in AT_ONCE
        self.provider.policies[case.place] = case.policy
        self.provider.lives[case.place] = SHORT_LIFE if is_due else LONG_LIFE
        self.cluster(case).secret("app", client_secret="s3cret")
        if case.flow in COPYING:
            self._trust(case)
        if case.flow is not Flow.FIRST_TOKEN:
            self._connect(case)

    def _trust(self, case: Case) -> None:
        """Keys given inline: nobody is asked for them."""
        spec = {
            "connectionRef": {"name": "crm"}, "issuer": "https://issuer.example", "audience": "crm", "subject": "ci",
            "jwks": '{"keys":[]}',
        }  # fmt: skip
        self.cluster(case).apply("FederatedCredential", "ci", spec)

    def _connect(self, case: Case) -> None:
        self.cluster(case).connection(
            "crm",
            connector=connector_name(case.policy),
            auth={
                "method": case.method,
                "clientId": case.place,
            },
            credentials={"clientSecret": {"secretRef": {"name": "app", "key": "client_secret"}}},
            **({"secret": {"publish": False}} if case.flow is Flow.ALONE else {}),
        )

    def _bring_to_start(self, wave: list[Case]) -> None:
        """What comes before the flow is undisturbed."""
        granted = [case for case in wave if case.is_granted]
        for case in granted:
            self.cluster(case).wait_reason("crm", "AuthorizationRequired")
        self._consent([case for case in granted if case.flow not in FIRST_CONSENTS])
        for case in wave:
            if case.flow not in {*FIRST_CONSENTS, Flow.FIRST_TOKEN}:
                self.cluster(case).wait_ready("crm")
                case.before = self.published(case)["access_token"]
            if case.flow in COPYING:
                Team.until(partial(self.copy, case), lambda copy: copy is not None)

    def _begin(self, case: Case) -> None:
        """From here on it is the flow: the trap is set."""
        self.provider.lives[case.place] = LONG_LIFE
        self.checkpoint.follow(case.place, case.flow.name)
        if case.flow is Flow.REVOKED:
            self.provider.end(case.place)
        provocation = [case.row.provoked_by] if case.row.provoked_by is not None else []
        self.checkpoint.arm(case.place, *provocation, Trap(case.row.step, case.moment))

    def _set_off(self, wave: list[Case]) -> None:
        for case in wave:
            if case.flow is Flow.FIRST_TOKEN:
                self._connect(case)
            if case.flow is Flow.DELETION:
                self.cluster(case).delete("Connection", "crm")
            if case.flow is Flow.RESTORED:
                uid = self.cluster(case).get("Connection", "crm")["metadata"]["uid"]
                checked(self.client.delete(f"{SHARED}/token-{uid}"))
            if case.flow is Flow.UNTRUSTED:
                self.cluster(case).delete("FederatedCredential", "ci")
        self._consent([case for case in wave if case.flow in CONSENTS])

    def _consent(self, cases: list[Case]) -> None:
        """In each of these places a person agrees."""
        agreements = []
        for case in cases:
            here = self.cluster(case)
            connector = here.get("Connector", connector_name(case.policy))
            code = "" if case.flow is Flow.DEVICE else self.provider.code(case.place)
            agreed = agreement(here.get("Connection", "crm"), connector, code, self._me)
            approval = {"lanyard.dev/consent": f"{agreed.browser_hash}.{self._me}"}
            here.merge("Connection", "crm", {"metadata": {"annotations": approval}})
            agreements.append(agreed)
            case.record = agreements[-1].record
            self._effects.know(case.record, case.place)
        self._agree(agreements)

    def _cut_short(self, wave: list[Case]) -> None:
        kills = wave[0].moment.kills
        wait = self.checkpoint.wait_held if kills else self.checkpoint.wait_struck
        missed = wait([case.place for case in wave], seconds=STEP_SECONDS)
        if kills:
            self._operator.kill()
            self._operator = self._start_operator()
        for case in wave:
            case.missed = case.place in missed
