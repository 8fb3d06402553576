"""A Connection's week, told as steps: how long nothing happens, and what happens then. All of it in virtual time."""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from lanyard.api.connection import ConnectionSpec
from lanyard.api.meta import CONSENT_ANNOTATION, REFRESH_ANNOTATION
from lanyard.connectors.loader import from_object
from lanyard.connectors.selection import pinned, plan_for
from lanyard.flows.keys import Key, What
from lanyard.rules.consent import Consent
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentStore
from lanyard.stores.keyring import Keyring
from lanyard.stores.ring_format import RingKey
from support.week_cluster import ModelCluster, ModelKube, Object, refused
from support.week_judge import CONNECTION, NAME, NAMESPACE, OWNER, STATE, UID, WORKLOAD, Judge
from support.week_operator import SETTINGS, ModelOperator, owned_task
from support.week_provider import HOST, Habits, Mishap, ModelProvider

EPOCH = datetime(2026, 3, 2, tzinfo=UTC)
API_LATENCY = 0.02
QUIET = 420.0
"""Longer than the longest pause between two attempts, with what is added to it."""
CALM = 2.6 * 3600
"""Longer than any pause that somebody asks for: an hour after a refusal, and an hour of Retry-After."""
KEY = Key(What.CONNECTION, NAMESPACE, NAME)


class Slip(Enum):
    """What happens to one call to the API server."""

    UNSENT = "no connection"
    REFUSED = "500, and nothing was done"
    BUSY = "429 with Retry-After"
    LOST = "done, and the connection ends"
    MEDDLED = "somebody else writes the object first"


class Aim(Enum):
    ANY = "whatever is called next"
    WRITES = "the next write"
    STATE = "the next write of the state Secret"


# what happens


@dataclass(frozen=True)
class Mishaps:
    """The next requests to the provider."""

    kinds: tuple[Mishap, ...]


@dataclass(frozen=True)
class Outage:
    """The provider answers everything like this for so many seconds."""

    kind: Mishap
    seconds: float


@dataclass(frozen=True)
class Slips:
    """Calls to the API server, after so many that go well."""

    aim: Aim
    after: int
    kinds: tuple[Slip, ...]


@dataclass(frozen=True)
class ApiOutage:
    seconds: float


@dataclass(frozen=True)
class Kill:
    """SIGKILL before or after an effect, counted from now (0: at once); `down` is seconds until the next process."""

    steps: int
    down: float


@dataclass(frozen=True)
class TakeOver:
    """Another process becomes leader; what the old one has in flight goes on."""

    gap: float


@dataclass(frozen=True)
class Jump:
    """The operator's clock is set."""

    seconds: float


@dataclass(frozen=True)
class Grant:
    """Somebody consents."""


@dataclass(frozen=True)
class Revoke:
    """Somebody ends the grant at the provider."""


@dataclass(frozen=True)
class Asked:
    """`kubectl lanyard refresh`."""


@dataclass(frozen=True)
class Suspend:
    on: bool


@dataclass(frozen=True)
class Drop:
    """The workload Secret is deleted."""


@dataclass(frozen=True)
class Nothing:
    """Time passes."""


Deed = Nothing | Mishaps | Outage | Slips | ApiOutage | Kill | TakeOver | Jump | Grant | Revoke | Asked | Suspend | Drop


@dataclass(frozen=True)
class Step:
    """`seconds` and `lives` of waiting, or, with `due`, until so many seconds after the operator's next appointment."""

    deed: Deed
    seconds: float = 0.0
    lives: float = 0.0
    due: float | None = None


@dataclass(frozen=True)
class Setting:
    """`declared` is what the catalogue says of a provider whose `habits` may differ."""

    habits: Habits
    declared: str
    unbroken: bool = True


@dataclass
class ApiWeather:
    """What happens on the way to the API server."""

    cluster: ModelCluster
    time: Callable[[], float]
    out_until: float = 0.0
    slips: deque[tuple[Aim, int, Slip]] = field(default_factory=deque)
    bad_at: float = 0.0
    """When it was last bad."""
    writes: list[tuple[str, str]] = field(default_factory=list)

    async def travel(self, verb: str, path: str, act: Callable[[], Any], step: Callable[[], Awaitable[None]]) -> Any:
        await step()
        if verb != "WATCH":
            await asyncio.sleep(API_LATENCY)
        slip = self._slip(verb, path)
        if self.time() < self.out_until or slip is not None:
            self.bad_at = self.time()
        if self.time() < self.out_until or slip is Slip.UNSENT:
            raise refused(0)
        if slip is Slip.REFUSED:
            raise refused(500)
        if slip is Slip.BUSY:
            raise refused(429, 3.0)
        if slip is Slip.MEDDLED and path in self.cluster.objects:
            self.cluster.merge(path, {"metadata": {"annotations": {"somebody": str(self.cluster.version)}}})
        result = act()
        if verb not in {"GET", "LIST", "WATCH"}:
            self.writes.append((verb, path))
        await step()
        if slip is Slip.LOST:
            raise refused(0)
        if verb != "WATCH":
            await asyncio.sleep(API_LATENCY)
        return result

    def _slip(self, verb: str, path: str) -> Slip | None:
        if not self.slips or verb in {"LIST", "WATCH"}:
            return None
        aim, after, slip = self.slips[0]
        fits = {
            Aim.ANY: True,
            Aim.WRITES: verb != "GET",
            Aim.STATE: verb == "PATCH" and path == STATE,
        }[aim]
        if not fits:
            return None
        self.slips.popleft()
        if after:
            self.slips.appendleft((aim, after - 1, slip))
            return None
        return slip


class Week:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.declared = setting.declared
        self.declared_grace = timedelta(seconds=setting.habits.grace)
        self._loop = asyncio.get_running_loop()
        self._loop.set_task_factory(owned_task)
        self.time = self._loop.time
        self.ring = Keyring((RingKey("one", b"k" * 32, EPOCH - timedelta(days=1)),))
        self.cluster = ModelCluster(self.true_now)
        self.provider = ModelProvider(setting.habits, self.time)
        self.api = ApiWeather(self.cluster, self.time)
        self.judge = Judge(self)
        self.cluster.on_change = self.judge.saw
        self.operators: list[ModelOperator] = []
        self.suspended = False
        self._shift = timedelta(0)
        self._jumps: list[float] = []
        self._set_back = 0.0
        self._mishaps: deque[Mishap] = deque()
        self._outage: tuple[float, Mishap] | None = None
        self._disturbed_at = 0.0
        self._numbers = itertools.count(1)
        self.life = setting.habits.life
        self.passes_an_hour = 150 + 12 * int(3600 / self.life)

    def now(self) -> datetime:
        """By the operator's clock."""
        return EPOCH + timedelta(seconds=self.time()) + self._shift

    def true_now(self) -> datetime:
        """By the clock of the API server, which nobody sets."""
        return EPOCH + timedelta(seconds=self.time())

    @property
    def operator(self) -> ModelOperator:
        return self.operators[-1]

    def jumped_lately(self) -> bool:
        return any(self.time() - at < 120 for at in self._jumps)

    def jumped_since(self, dies_at: float) -> bool:
        """Whether the clock was set in the life of a token that dies then."""
        return any(at > dies_at - self.life - 60 for at in self._jumps)

    def is_quiet(self) -> bool:
        """Nothing is between what the operator knows and what it tells."""
        last = max(self._disturbed_at, self.api.bad_at)
        return self.time() - last > QUIET and not self.operator.dead and not self.operator.queue.in_flight

    def next_mishap(self) -> Mishap | None:
        found = self._mishaps.popleft() if self._mishaps else None
        if found is None and self._outage is not None and self.time() < self._outage[0]:
            found = self._outage[1]
        if found is not None:
            self._disturbed_at = self.time()
        return found

    async def run(self, steps: list[Step]) -> None:
        self._prepare()
        await self._start()
        await asyncio.sleep(5)
        await self._do(Grant())
        await asyncio.sleep(30)
        for number, step in enumerate(steps):
            await self._wait(step)
            self._disturbed_at = self.time()
            await self._do(step.deed)
            assert not self.judge.violations, (number, self.judge.violations)
        await self._end()

    async def _end(self) -> None:
        """The weather ends, and all that is waited for has time to come."""
        self._mishaps.clear()
        self.api.slips.clear()
        self._outage, self.api.out_until = None, 0.0
        for operator in self.operators:
            operator.fuse = None
        if self.suspended:
            await self._do(Suspend(on=False))
        self._disturbed_at = self.time()
        await self._pass_time(CALM + 1.6 * self.life + self._set_back)
        while self.operator.queue.in_flight:
            await asyncio.sleep(0.5)
        self.judge.close()
        assert not self.judge.violations, self.judge.violations

    async def _wait(self, step: Step) -> None:
        seconds = step.seconds + step.lives * self.life
        if step.due is not None:
            when = None if self.operator.dead else self.operator.queue.appointment(KEY)
            ahead = (when - self.now()).total_seconds() + step.due if when is not None else 0.0
            seconds += min(max(ahead, 0.0), 1.5 * self.life)
        await self._pass_time(seconds)

    async def _pass_time(self, seconds: float) -> None:
        until, pause = self.time() + seconds, max(self.life / 7, 20.0)
        while self.time() < until:
            await asyncio.sleep(min(pause, until - self.time()))
            self.judge.look()

    async def _do(self, deed: Deed) -> None:
        match deed:
            case Nothing():
                pass
            case Mishaps(kinds):
                self._mishaps.extend(kinds)
            case Outage(kind, seconds):
                self._outage = (self.time() + seconds, kind)
            case Slips(aim, after, kinds):
                self.api.slips.extend((aim, after if one == 0 else 0, kind) for one, kind in enumerate(kinds))
            case ApiOutage(seconds):
                self.api.out_until = max(self.api.out_until, self.time() + seconds)
            case Kill(steps, down):
                await self._kill(steps, down)
            case TakeOver(gap):
                await self._take_over(gap)
            case Jump(seconds):
                self._jumps.append(self.time())
                self._shift += timedelta(seconds=seconds)
                self._set_back += max(-seconds, 0.0)
            case Grant():
                await self._consent()
            case Revoke():
                for family in self.provider.families[-1:]:
                    self.provider.revoke(family, "user")
            case Asked():
                self._change({"metadata": {"annotations": {REFRESH_ANNOTATION: self.now().isoformat()}}})
            case Suspend(on):
                self.suspended = on
                self._change({"spec": {"suspend": on}})
            case Drop():
                self.cluster.objects.get(WORKLOAD) and self.cluster.delete(
                    WORKLOAD, self.cluster.objects[WORKLOAD]["metadata"]["uid"], None
                )

    def _change(self, patch: Object) -> None:
        self.cluster.merge(CONNECTION, patch)

    async def _start(self) -> None:
        self.operators.append(ModelOperator(self, unbroken=self.setting.unbroken or len(self.operators) == 0))
        self.operator.start()

    async def _kill(self, steps: int, down: float) -> None:
        self._down = down
        if self.operator.dead:
            return
        if steps == 0:
            self.killed(self.operator)
        else:
            self.operator.fuse = steps

    def killed(self, operator: ModelOperator) -> None:
        self._disturbed_at = self.time()
        self.judge.killed(operator)
        operator.die()
        if operator is self.operator:
            self._restarting = asyncio.get_running_loop().call_later(self._down, self._restart)

    def _restart(self) -> None:
        self._disturbed_at = self.time()
        self.operators.append(ModelOperator(self, unbroken=self.setting.unbroken))
        self.operator.start()

    async def _take_over(self, gap: float) -> None:
        old = self.operator
        if old.dead:
            return
        old.step_down()
        await asyncio.sleep(gap)
        self._disturbed_at = self.time()
        if old is self.operator:
            self.operators.append(ModelOperator(self, unbroken=False))
            self.operator.start()

    async def _consent(self) -> None:
        """The gateway's part, without its pages."""
        body = self.cluster.objects[CONNECTION]
        spec = ConnectionSpec.model_validate(body["spec"])
        connector = from_object("acme", self._connector())
        consent = Consent(
            connector="acme",
            connector_digest=pinned(plan_for(spec, connector)),
            client_id="app",
            redirect_uri=f"{SETTINGS.gateway_url}/oauth/callback/acme",
            scopes=(),
            state_hash="x",
            code_verifier=None,
            spec_generation=body["metadata"]["generation"],
            approved_by="ada",
            started_at=self.now(),
        )
        store = ConsentStore(self._gateway_kube(), SETTINGS.exchange_namespace, lambda: self.ring)
        browser = f"browser-of-somebody-{next(self._numbers)}"
        owned = {"f:metadata": {"f:annotations": {f"f:{CONSENT_ANNOTATION}": {}}}}
        entry = {"manager": "kubectl-annotate", "time": self.true_now().isoformat(), "fieldsV1": owned}
        annotations = {CONSENT_ANNOTATION: f"{browser}.ada"}
        self._change({"metadata": {"annotations": annotations, "managedFields": [entry]}})
        started = await store.create(
            browser,
            uid=UID, owner=OWNER, consent=consent, expires_at=self.now() + timedelta(minutes=10), now=self.now(),
        )  # fmt: skip
        answered = consent.answered(now=self.now(), code=Sensitive(self.provider.code()), callback={})
        await store.answer(started, answered, now=self.now())

    def _gateway_kube(self) -> Any:
        async def travel(verb: str, path: str, act: Callable[[], Any]) -> Any:
            return act()

        return ModelKube(self.cluster, travel)

    def _connector(self) -> Object:
        habits = self.setting.habits
        rotation = {"mode": self.declared}
        if self.declared == "rotatesWithGrace":
            rotation["grace"] = f"{habits.grace:.0f}s"
        return {
            "displayName": "Acme",
            "methods": [
                {
                    "name": "authorizationCode",
                    "clientAuth": {"methods": ["client_secret_post"]},
                    "tokenRequest": {"url": f"https://{HOST}/token"},
                    "authorization": {"url": f"https://{HOST}/authorize"},
                    "lifetime": {"default": f"{habits.life:.0f}s", "never": habits.never},
                    "rotation": {**rotation, "revokesOldAccessToken": habits.kills_old_access_token},
                }
            ],
        }

    def _prepare(self) -> None:
        for name in (NAMESPACE, SETTINGS.system_namespace, SETTINGS.exchange_namespace):
            self.cluster.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {}}})
        connector = {"metadata": {"name": "acme", "generation": 1}, "spec": self._connector()}
        self.cluster.create("/apis/lanyard.dev/v1alpha1/connectors", connector)
        label = {"lanyard.dev/readable": "true"}
        secret = {"metadata": {"name": "app", "labels": label}, "data": {"secret": "cw=="}}
        self.cluster.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
        self.cluster.create(
            CONNECTION.rpartition("/")[0],
            {
                "metadata": {"name": NAME, "uid": UID, "generation": 1, "annotations": {}},
                "spec": {
                    "connector": "acme",
                    "auth": {"method": "authorizationCode", "clientId": "app"},
                    "credentials": {"clientSecret": {"secretRef": {"name": "app", "key": "secret"}}},
                },
            },
        )
