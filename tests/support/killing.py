"""Connections that are brought to a step of a flow, struck there, and looked at once they have recovered.

Each case has a namespace of its own, so many are struck by one kill. Requests to the API server that are held occupy
the operator's connections, so not all can be.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from lanyard.reasons import Reason
from support.checkpoint import Checkpoint, Moment, Trap
from support.cluster import Cluster, Object, assert_conditions_coherent, conditions, is_current, status_of
from support.crash_rows import Cell, Flow, Row
from support.granting import GrantingProvider

MOST_AT_ONCE = 10
"""The operator has 16 connections to the API server; a few are needed for those that are not held."""
CALM_SECONDS = 20.0
SHORT_LIFE, LONG_LIFE = 8.0, 60.0
"""Of the token before the flow, which is due after about 3.5 s (half the life is the largest margin), and of all that
come in the flow: none of them is due before it is over.
"""
ASKING = {"token request", "code exchange"}


@dataclass
class Case:
    """One cell of the table, in a namespace of its own."""

    flow: Flow
    row: Row
    moment: Moment
    place: str = field(default_factory=lambda: f"kill-{uuid.uuid4().hex[:8]}")
    missed: bool = False
    """The step never came."""
    before: str = ""
    """The token that was published when it was struck."""
    complaints: list[str] = field(default_factory=list)

    @property
    def cell(self) -> Cell:
        return self.row.cells[self.moment]


def waves(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Who is struck together: those whom a kill strikes, a few at a time; then all others at once."""
    for kills, group in groupby(sorted(cases, key=lambda case: not case.moment.kills), lambda case: case.moment.kills):
        members = list(group)
        size = MOST_AT_ONCE if kills else len(members)
        yield from (members[start : start + size] for start in range(0, len(members), size))


class Ground:
    """Operator, provider and checkpoint. `start_operator` makes one that has listed everything."""

    def __init__(
        self,
        client: Any,
        checkpoint: Checkpoint,
        provider: GrantingProvider,
        provider_url: str,
        start_operator: Callable[[], Any],
    ) -> None:
        self._client = client
        self.checkpoint = checkpoint
        self.provider = provider
        self._provider_url = provider_url
        self._start_operator = start_operator
        self._operator = start_operator()

    def cluster(self, case: Case) -> Cluster:
        return Cluster(self._client, case.place)

    def strike(self, wave: list[Case]) -> None:
        """All of them to their step, the kill where there is one, and what came of it."""
        for case in wave:
            self._prepare(case)
        for case in wave:
            self._bring_to_start(case)
        self._cut_short(wave)
        deadline = time.monotonic() + CALM_SECONDS
        for case in wave:
            self._judge(case, deadline)
        for case in wave:
            self._clear(case)

    def _prepare(self, case: Case) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": case.place}}
        assert self._client.post("/api/v1/namespaces", json=namespace).status_code == 201
        here = self.cluster(case)
        here.secret("app", client_secret="s3cret")
        match case.flow:
            case Flow.FIRST_TOKEN:
                self._begin(case)
                self._connect(case)
            case Flow.MACHINE:
                self.provider.lives[case.place] = SHORT_LIFE
                self._connect(case)

    def _begin(self, case: Case) -> None:
        """From here on it is the flow: the trap is set."""
        self.provider.lives[case.place] = LONG_LIFE
        self.checkpoint.follow(case.place, case.flow.name)
        provocation = [Trap("token request", Moment.REFUSED)] if case.row.provoked else []
        self.checkpoint.arm(case.place, *provocation, Trap(case.row.step, case.moment))

    def _connect(self, case: Case) -> None:
        credentials = {"clientSecret": {"secretRef": {"name": "app", "key": "client_secret"}}}
        self.cluster(case).connection(
            "crm",
            connector="oauth2",
            parameters={"token_url": f"{self._provider_url}/token"},
            auth={
                "method": "clientCredentials",
                "clientId": case.place,
                "clientAuthentication": "client_secret_post",
            },
            credentials=credentials,
        )

    def _bring_to_start(self, case: Case) -> None:
        """What comes before the flow is undisturbed."""
        match case.flow:
            case Flow.FIRST_TOKEN:
                return
            case Flow.MACHINE:
                self.cluster(case).wait_ready("crm")
                self._begin(case)

    def _cut_short(self, wave: list[Case]) -> None:
        kills = wave[0].moment.kills
        wait = self.checkpoint.wait_held if kills else self.checkpoint.wait_struck
        missed = wait([case.place for case in wave], seconds=CALM_SECONDS)
        if kills:
            self._operator.kill()
        for case in wave:
            case.before = self._token(case)
            case.missed = case.place in missed
        if kills:
            self._operator = self._start_operator()

    def _token(self, case: Case) -> str:
        here = self.cluster(case)
        return here.data("crm-token").get("access_token", "") if here.exists("Secret", "crm-token") else ""

    # what came of it

    def _judge(self, case: Case, deadline: float) -> None:
        """Until all is as the table says, or the time is over; what is wrong then stays as complaints."""
        while True:
            case.complaints = list(self._complaints(case))
            if not case.complaints or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if case.complaints:
            case.complaints += self.checkpoint.steps(case.place)

    def _complaints(self, case: Case) -> Iterator[str]:
        if case.missed:
            yield "the step never came"
        found = self._connection(case)
        if found is None:
            yield "the Connection is gone"
            return
        if not is_current(found):
            yield "the status is not that of this generation"
            return
        assert_conditions_coherent(found)
        yield from self._asked_wrongly(case)
        if case.cell.human is not None:
            yield from _unless_told(found, case.cell.human)
            return
        token = self._token(case)
        if status_of(found, "Ready") != "True":
            yield f"not Ready: {conditions(found).get('Ready')}"
        if token != self.provider.newest(case.place):
            yield "the published token is not the newest"
        if not self.provider.accepts(token):
            yield "the provider does not take the published token"
        if found["status"].get("expiresAt") != self.cluster(case).data("crm-token").get("expires_at"):
            yield "the status tells of another token than the Secret carries"

    def _asked_wrongly(self, case: Case) -> Iterator[str]:
        seen = [one for one in self.checkpoint.seen(case.place) if one.flow == case.flow.name and one.step in ASKING]
        asked = sum(one.moment is not Moment.REFUSED for one in seen)
        if asked != case.cell.asked:
            yield f"the provider was asked {asked} times"
        if self.provider.most_used(case.place, "code") > 1:
            yield "a code was sent twice"

    def _connection(self, case: Case) -> Object | None:
        here = self.cluster(case)
        return here.get("Connection", "crm") if here.exists("Connection", "crm") else None

    def _clear(self, case: Case) -> None:
        here = self.cluster(case)
        self.checkpoint.follow(case.place, "")
        self._client.delete(here.path("Connection", "crm"))
        self._client.delete(f"/api/v1/namespaces/{case.place}")


def _unless_told(found: Object, reason: Reason) -> Iterator[str]:
    told = conditions(found).get("Authorized", {})
    if (told.get("status"), told.get("reason")) != ("False", reason.value):
        yield f"Authorized is {told}, not False for {reason.value}"
