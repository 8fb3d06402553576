"""A provider in memory: families of tokens, what a second use of a refresh token does, and the weather on the way."""

import asyncio
import itertools
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs

from lanyard.clients.http import Answer, FailureKind, OutboundError, WireLike
from lanyard.errors import SteppedBackError

HOST = "login.acme.example"
LATENCY = 0.3


class Habit(Enum):
    """What a provider in fact does, whatever the catalogue says."""

    FIXED = "the refresh token stays"
    REVOKES = "each works once; a second use ends the grant"
    REFUSES = "each works once; a second use is refused"
    GRACE = "each works once, and for a while longer; after that a second use ends the grant"


class Mishap(Enum):
    """What happens to one request."""

    UNREACHABLE = "no connection"
    LOST = "the request does not arrive, and the connection ends"
    DROPPED = "the provider acts, and the connection ends"
    SILENT = "the provider acts, and says nothing"
    FAILED = "503, and nothing was done"
    FAILED_LATE = "502 of a proxy, and the provider has acted"
    GARBAGE = "a page of HTML in place of the answer"
    THROTTLED = "429 with Retry-After"
    THROTTLED_PLAINLY = "429"
    CLIENT_REFUSED = "401 invalid_client"
    DENIED = "403"


ACTED = {Mishap.DROPPED, Mishap.SILENT, Mishap.FAILED_LATE, Mishap.GARBAGE}
DEFINITE = {Mishap.THROTTLED, Mishap.THROTTLED_PLAINLY, Mishap.CLIENT_REFUSED, Mishap.DENIED}
"""Answers that say that nothing was done."""
RETRY_AFTER = 90


@dataclass
class Family:
    """What came of one consent. Times are those of the loop, which is the true time."""

    number: int
    current: str
    spent: dict[str, float] = field(default_factory=dict)
    revoked: str = ""
    """Why, when it is."""


@dataclass
class Issued:
    family: Family
    dies_at: float
    killed_at: float = math.inf


@dataclass(frozen=True)
class Habits:
    """`life`, `grace` in seconds. `told_life` False where the answers do not name it; `never`: tokens do not expire."""

    habit: Habit
    life: float
    told_life: bool = True
    never: bool = False
    grace: float = 300.0
    kills_old_access_token: bool = False


class ModelProvider:
    def __init__(self, habits: Habits, time: Callable[[], float]) -> None:
        self.habits = habits
        self.families: list[Family] = []
        self.by_refresh: dict[str, Family] = {}
        self.access: dict[str, Issued] = {}
        self.codes: dict[str, None] = {}
        self._time = time
        self._numbers = itertools.count(1)

    def code(self) -> str:
        """Somebody consents."""
        code = f"code-{next(self._numbers)}"
        self.codes[code] = None
        return code

    def revoke(self, family: Family, why: str) -> None:
        family.revoked = family.revoked or why
        self._kill(family)

    def is_live(self, access_token: str) -> bool:
        issued = self.access.get(access_token)
        return issued is not None and self._time() < min(issued.dies_at, issued.killed_at)

    def act(self, form: dict[str, str]) -> Answer:
        if form["grant_type"] == "authorization_code":
            if form["code"] not in self.codes:
                return refusal(400, "invalid_grant")
            del self.codes[form["code"]]
            family = Family(len(self.families) + 1, f"rt-{next(self._numbers)}")
            self.families.append(family)
            self.by_refresh[family.current] = family
            return self._issue(family)
        token = form["refresh_token"]
        family = self.by_refresh[token]
        if family.revoked:
            return refusal(400, "invalid_grant")
        if token == family.current:
            return self._rotate(family)
        used_at = family.spent[token]
        if self.habits.habit is Habit.GRACE and self._time() < used_at + self.habits.grace:
            return self._issue(family)
        if self.habits.habit is not Habit.REFUSES:
            self.revoke(family, "reuse")
        return refusal(400, "invalid_grant")

    def _rotate(self, family: Family) -> Answer:
        if self.habits.habit is not Habit.FIXED:
            family.spent[family.current] = self._time()
            family.current = f"rt-{next(self._numbers)}"
            self.by_refresh[family.current] = family
        if self.habits.kills_old_access_token:
            self._kill(family)
        return self._issue(family)

    def _kill(self, family: Family) -> None:
        for issued in self.access.values():
            if issued.family is family:
                issued.killed_at = min(issued.killed_at, self._time())

    def _issue(self, family: Family) -> Answer:
        token = f"at-{next(self._numbers)}"
        self.access[token] = Issued(family, math.inf if self.habits.never else self._time() + self.habits.life)
        body: dict[str, object] = {"access_token": token, "token_type": "Bearer", "refresh_token": family.current}
        if self.habits.told_life and not self.habits.never:
            body["expires_in"] = int(self.habits.life)
        return answer(200, body)


class ModelOutbound:
    """The one call of `clients.http.Outbound`. `received` and `answered` are told of each request that arrives and of
    what comes back; `step` is called before and after the effect, and does not return in a process that has died.
    """

    def __init__(
        self,
        provider: ModelProvider,
        mishap: Callable[[], Mishap | None],
        *,
        step: Callable[[], Awaitable[None]],
        received: Callable[[dict[str, str]], object],
        answered: Callable[[object, Answer | None, bool], None],
        may_send: Callable[[], bool],
    ) -> None:
        self._provider = provider
        self._mishap = mishap
        self._step = step
        self._received = received
        self._answered = answered
        self._may_send = may_send

    async def send(self, request: WireLike, *, deadline: float, guard: bool) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        await self._step()
        await asyncio.sleep(LATENCY)
        mishap = self._mishap()
        if mishap is Mishap.UNREACHABLE:
            raise OutboundError(FailureKind.UNREACHABLE, HOST)
        if not self._may_send():
            raise SteppedBackError
        use = self._received(form)
        said = self._provider.act(form) if mishap is None or mishap in ACTED else None
        await self._step()
        await asyncio.sleep(deadline if mishap is Mishap.SILENT else LATENCY)
        came = said if mishap is None else _in_its_place(mishap)
        self._answered(use, came, mishap is None or mishap in DEFINITE)
        if came is None:
            kind = FailureKind.TIMED_OUT if mishap is Mishap.SILENT else FailureKind.RESET_AFTER_SEND
            raise OutboundError(kind, HOST)
        return came


def _in_its_place(mishap: Mishap) -> Answer | None:
    match mishap:
        case Mishap.FAILED:
            return refusal(503, "temporarily_unavailable")
        case Mishap.FAILED_LATE:
            return Answer(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>")
        case Mishap.GARBAGE:
            return Answer(200, {"content-type": "text/html"}, b"<h1>Please log in</h1>")
        case Mishap.THROTTLED:
            return refusal(429, "slow_down", {"retry-after": str(RETRY_AFTER)})
        case Mishap.THROTTLED_PLAINLY:
            return refusal(429, "slow_down")
        case Mishap.CLIENT_REFUSED:
            return refusal(401, "invalid_client")
        case Mishap.DENIED:
            return refusal(403, "access_denied")
        case _:
            return None


def answer(status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"content-type": "application/json", **(headers or {})}, json.dumps(body).encode())


def refusal(status: int, error: str, headers: dict[str, str] | None = None) -> Answer:
    return answer(status, {"error": error}, headers)
