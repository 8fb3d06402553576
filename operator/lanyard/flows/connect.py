"""Reconcile one Connection.

1. gather: the object, its connector, its plan, the versions of its sources, its Secret
2. decide: `rules.lifecycle` returns exactly one decision
3. act: publish what is in hand, or acquire and publish
4. report: the whole status in one write, skipped when it says nothing new
5. schedule: the next look, or none when only a change can help

A token that was received is kept in memory until it is published: an API server that is gone for a minute costs no
second request to the provider.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec, secret_name
from lanyard.connectors.loader import Connector
from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import KubernetesError, LanyardError, SpecError
from lanyard.flows.acquire import Acquired, Acquirer, Waiting
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.inputs import Input, digest_of, inputs_of
from lanyard.flows.keys import Key, What
from lanyard.flows.publish import Publisher, Target, Written
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.tally import Tally, audit
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.conditions import Status
from lanyard.rules.lifecycle import Acquire, Blocked, Decision, Facts, Publish, PublishedFacts, Rest, decide
from lanyard.rules.schedule import Backoff, retry_at
from lanyard.rules.status import View, connection_status, moment


@dataclass(slots=True)
class Memory:
    """What this process remembers of a Connection beyond its status."""

    written: Written | None = None
    intact_version: str = ""
    """resourceVersion at which the Secret's content is known to be ours."""
    received: Acquired | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Step 1. `plan` is None exactly when there is a problem."""

    spec: ConnectionSpec | None
    plan: Plan | None
    problem: LanyardError | None
    inputs: tuple[Input, ...]
    digest: str
    target: Target
    published_version: str | None
    facts: Facts


@dataclass(frozen=True, slots=True)
class Result:
    """Step 3: what acting brought."""

    failure: LanyardError | None = None
    acquired: Acquired | None = None


class Connect:
    """The use case; one instance a process."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        acquirer: Acquirer,
        publisher: Publisher,
        reporter: Reporter,
        tally: Tally,
        pace: Backoff,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._acquirer = acquirer
        self._publisher = publisher
        self._reporter = reporter
        self._tally = tally
        self._pace = pace
        self._clock = clock

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        record = self._world.get(key)
        if record is None:
            queue.at(key, None)
            return
        memory = record.memory = record.memory or Memory()
        now = self._clock()
        try:
            gathered, decision = await self._decide(record, memory, now)
        except LanyardError:
            # Only a look at our own Secret can fail here, and then nothing is known that was not known before.
            queue.at(key, now + self._pace.first)
            return
        self._tally.count("lanyard_reconciles", key.what.value, type(decision).__name__)
        match decision:
            case Rest(until):
                await self._report(record, gathered, Result(), until, queue)
            case Blocked():
                await self._report(record, gathered, Result(), now + self._pace.on_change, queue)
            case Publish() | Acquire():
                outcome = await self._act(record, memory, gathered, decision)
                if isinstance(outcome, Waiting):
                    await self._wait(record, gathered, outcome, queue)
                    return
                await self._report(record, gathered, outcome, None, queue)

    async def _decide(self, record: Record, memory: Memory, now: datetime) -> tuple[Gathered, Decision]:
        """Steps 1 and 2; again when there are sources that the watch has not told of yet."""
        gathered = await self._gather(record, memory)
        decision = decide(gathered.facts, now)
        if (
            isinstance(decision, Acquire)
            and gathered.spec is not None
            and await self._acquirer.learn(record, gathered.spec)
        ):
            gathered = await self._gather(record, memory)
            decision = decide(gathered.facts, now)
        return gathered, decision

    async def _gather(self, record: Record, memory: Memory) -> Gathered:
        spec, connector, plan, problem = self._understand(record)
        target = Target(secret_name(record.key.name, spec), spec.secret.type) if spec is not None else Target("", "")
        inputs = inputs_of(record.key.namespace, spec, connector, self._world) if spec is not None else ()
        digest = digest_of(record, inputs)
        status = record.parsed_status()
        ours = self._world.published.get(Key(What.SECRET, record.key.namespace, target.name))
        published = ours if ours is not None and ours.owner == record.uid else None
        intact = published is not None and await self._is_intact(record, memory, target, published.version, status)
        facts = Facts(
            suspended=spec is not None and spec.suspend,
            problem=problem,
            inputs_digest=digest,
            attempted_digest=status.get("inputsDigest", ""),
            published=PublishedFacts(intact) if published is not None else None,
            received=spec is not None and memory.received is not None and memory.received.is_live(self._clock()),
            failed_attempts=status.get("failedAttempts", 0),
            nudged=record.nudged,
            next_refresh_at=moment(status.get("nextRefreshAt")),
            expires_at=moment(status.get("expiresAt")),
        )
        return Gathered(spec, plan, problem, inputs, digest, target, published.version if published else None, facts)

    def _understand(
        self, record: Record
    ) -> tuple[ConnectionSpec | None, Connector | None, Plan | None, LanyardError | None]:
        try:
            spec = ConnectionSpec.model_validate_json(record.spec)
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            return None, None, None, SpecError(Reason.INVALID_SPEC, field=field, kind="connection")
        try:
            connector = self._catalogue.find(spec.connector)
        except LanyardError as error:
            return spec, None, None, error
        try:
            return spec, connector, plan_for(spec, connector), None
        except LanyardError as error:
            return spec, connector, None, error

    async def _is_intact(
        self, record: Record, memory: Memory, target: Target, version: str, status: dict[str, object]
    ) -> bool:
        """True without a call when the version is the one we wrote; else one GET settles it."""
        if version in {memory.intact_version, status.get("publishedVersion")}:
            return True
        if memory.written is None or memory.written.version.name != target.name:
            return False
        if await self._publisher.is_intact(record, target, memory.written):
            memory.intact_version = version
            return True
        return False

    async def _act(
        self, record: Record, memory: Memory, gathered: Gathered, decision: Publish | Acquire
    ) -> Result | Waiting:
        record.nudged = False
        try:
            if memory.received is None or isinstance(decision, Acquire):
                waiting = await self._acquire(record, memory, gathered)
                if waiting is not None:
                    return waiting
            return Result(acquired=await self._publish(record, memory, gathered.target))
        except LanyardError as error:
            return Result(failure=error)
        except KubernetesError as error:
            unavailable = LanyardError(Reason.KUBERNETES_UNAVAILABLE, retry_after=error.retry_after)
            return Result(failure=unavailable)

    async def _acquire(self, record: Record, memory: Memory, gathered: Gathered) -> Waiting | None:
        if gathered.plan is None or gathered.spec is None:
            raise LanyardError(Reason.INTERNAL_ERROR, fault="acquiring without a plan")
        acquired = await self._acquirer.acquire(record, gathered.spec, gathered.plan)
        if isinstance(acquired, Waiting):
            return acquired
        memory.received = replace(acquired, digest=digest_of(record, gathered.inputs, acquired.read))
        return None

    async def _publish(self, record: Record, memory: Memory, target: Target) -> Acquired | None:
        acquired = memory.received
        if acquired is None or self._world.get(record.key) is not record:
            # Deleted while the provider was asked: there is nobody left to publish for.
            audit("publish", "object gone", object_name=str(record.key), uid=record.uid)
            return None
        former = record.parsed_status().get("binding", {}).get("name")
        memory.written = await self._publisher.publish(record, target, acquired.content, former)
        memory.intact_version = memory.written.version.version
        self._tally.count("lanyard_publications", "written")
        audit("publish", "written", object_name=str(record.key), uid=record.uid, secret=target.name)
        memory.received = None
        return acquired

    async def _report(
        self, record: Record, gathered: Gathered, result: Result, until: datetime | None, queue: WorkQueue
    ) -> None:
        """Steps 4 and 5. A status that cannot be written now is written soon: what it says stays true."""
        if self._world.get(record.key) is not record:
            return
        now = self._clock()
        view = self._view(record, gathered, result, now)
        status, verdicts = connection_status(record.parsed_status(), view, now)
        queue.at(record.key, _earliest(until, view.next_at, _expiry(status, now)))
        if not await self._reporter.report(record, status, verdicts, now):
            queue.at(record.key, now + self._pace.first)
        if result.acquired is not None and result.acquired.digest != gathered.digest:
            # Made from other versions than those decided upon: look whether they are still the newest.
            queue.add(record.key)

    async def _wait(self, record: Record, gathered: Gathered, waiting: Waiting, queue: WorkQueue) -> None:
        """The host takes no request now. Who has a live token waits in silence, the margin is there for that; who has
        none is told what for and until when. A place that is free in a moment is not worth two statuses.
        """
        now, facts = self._clock(), gathered.facts
        if facts.published is not None and (facts.expires_at is None or facts.expires_at > now):
            queue.at(record.key, _earliest(waiting.until, facts.expires_at))
            return
        queue.at(record.key, waiting.until)
        if (waiting.until is None and facts.published is None) or self._world.get(record.key) is not record:
            return
        view = replace(self._view(record, gathered, Result(), now), waiting=waiting.cause)
        if waiting.until is not None:
            view = replace(view, next_at=waiting.until)
        status, verdicts = connection_status(record.parsed_status(), view, now)
        if not await self._reporter.report(record, status, verdicts, now):
            queue.at(record.key, now + self._pace.first)

    def _view(self, record: Record, gathered: Gathered, result: Result, now: datetime) -> View:
        """The pass in the words of `rules.status`."""
        facts = gathered.facts
        memory: Memory = record.memory
        view = View(
            generation=record.generation,
            secret=gathered.target.name,
            needs_token=gathered.plan.needs_token if gathered.plan is not None else facts.expires_at is not None,
            suspended=facts.suspended,
            problem=facts.problem,
            failure=result.failure,
            acquired=False,
            published_version=gathered.published_version,
            intact=facts.published is not None and facts.published.intact,
            inputs_digest=facts.attempted_digest,
            failed_attempts=facts.failed_attempts,
            next_at=None if facts.suspended or facts.problem is not None else facts.next_refresh_at,
        )
        if result.failure is not None:
            attempts = facts.failed_attempts + 1 if facts.attempted_digest == gathered.digest else 1
            next_at = retry_at(result.failure, attempts, now, record.uid, self._pace)
            return replace(view, inputs_digest=gathered.digest, failed_attempts=attempts, next_at=next_at)
        acquired = result.acquired
        if acquired is None or memory.written is None:
            return view
        return replace(
            view,
            acquired=True,
            published_version=memory.written.version.version,
            intact=True,
            inputs_digest=acquired.digest,
            failed_attempts=0,
            next_at=acquired.window.next_at if acquired.window is not None else None,
            window=acquired.window,
            granted=acquired.granted,
            missing=acquired.missing,
        )


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _expiry(status: Status, now: datetime) -> datetime | None:
    """The moment of expiry, while it lies ahead: Ready has to turn when it passes."""
    expires_at = moment(status.get("expiresAt"))
    return expires_at if expires_at is not None and expires_at > now else None
