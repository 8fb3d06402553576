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

from lanyard.api.connection import GRANT_METHODS
from lanyard.errors import KubernetesError, LanyardError, SteppedBackError, unavailable
from lanyard.flows.acquire import Acquired, Acquirer
from lanyard.flows.copies import is_unpublished
from lanyard.flows.duty import Confirmer
from lanyard.flows.gather import Gathered, Gatherer, Memory
from lanyard.flows.inputs import digest_of
from lanyard.flows.keys import Key
from lanyard.flows.outlet import Outlet
from lanyard.flows.pages import Pages
from lanyard.flows.publish import Target
from lanyard.flows.queue import WorkQueue
from lanyard.flows.refresh import Refresher, Wish
from lanyard.flows.report import Reporter
from lanyard.flows.tally import Tally, audit
from lanyard.flows.token_endpoint import Errand, Waiting
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.conditions import Status, Verdict
from lanyard.rules.lifecycle import Acquire, AwaitConsent, Blocked, Cause, Publish, Rest, decide
from lanyard.rules.schedule import Backoff, Repairs, retry_at
from lanyard.rules.status import Consented, View, connection_status, counted, moment


@dataclass(frozen=True, slots=True)
class Result:
    """Step 3: what acting brought. `digest` is that of what a failure was met with."""

    failure: LanyardError | None = None
    acquired: Acquired | None = None
    digest: str = ""


class Connect:
    """The use case; one instance a process."""

    def __init__(
        self,
        *,
        world: World,
        gatherer: Gatherer,
        acquirer: Acquirer,
        refresher: Refresher | None,
        pages: Pages,
        confirmer: Confirmer,
        outlet: Outlet,
        reporter: Reporter,
        tally: Tally,
        pace: Backoff,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._gatherer = gatherer
        self._acquirer = acquirer
        self._refresher = refresher
        self._pages = pages
        self._confirmer = confirmer
        self._outlet = outlet
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
            gathered = await self._gatherer.gather(record, memory)
        except LanyardError:
            # Only a look at our own Secret can fail here, and then nothing is known that was not known before.
            queue.at(key, now + self._pace.first)
            return
        decision = decide(gathered.facts, now)
        if record.heard and isinstance(decision, Acquire):
            await self._confirm(record, memory, gathered.target, queue)
            return
        cause = f" {decision.cause.name.lower()}" if isinstance(decision, Acquire) else ""
        self._tally.count("lanyard_reconciles", key.what.value, type(decision).__name__.lower() + cause)
        match decision:
            case Rest(until):
                await self._report(record, gathered, Result(), until, queue)
            case AwaitConsent():
                await self._report(record, gathered, Result(), None, queue)
            case Blocked():
                await self._report(record, gathered, Result(), now + self._pace.on_change, queue)
            case Publish() | Acquire():
                # What is asked for while this runs is another question.
                asked, record.ask = record.ask, False
                try:
                    outcome = await self._act(record, memory, gathered, decision)
                except SteppedBackError:
                    record.ask = record.ask or asked
                    raise
                if isinstance(outcome, Waiting):
                    record.ask = record.ask or asked
                    await self._wait(record, gathered, outcome, queue)
                    return
                record.nudged = False
                await self._report(record, gathered, outcome, None, queue)

    async def _confirm(self, record: Record, memory: Memory, target: Target, queue: WorkQueue) -> None:
        """Another process was at work until a moment ago: look before a request is spent, and decide anew."""
        try:
            await self._outlet.confirm(record, target)
            await self._confirmer.confirm(record, target.name if target.publish else "")
        except KubernetesError as error:
            memory.unconfirmed += 1
            again = retry_at(unavailable(error), memory.unconfirmed, self._clock(), record.uid, self._pace)
            queue.at(record.key, again)
        else:
            memory.unconfirmed = 0
            queue.add(record.key)

    async def _act(
        self, record: Record, memory: Memory, gathered: Gathered, decision: Publish | Acquire
    ) -> Result | Waiting:
        read: dict[str, str] = {}
        try:
            if memory.received is None or isinstance(decision, Acquire):
                cause = decision.cause if isinstance(decision, Acquire) else Cause.FIRST
                waiting = await self._acquire(record, memory, gathered, read, cause)
                if waiting is not None:
                    return waiting
            return Result(acquired=await self._publish(record, memory, gathered.target))
        except LanyardError as error:
            failure = error
        except KubernetesError as error:
            failure = unavailable(error)
        # What was tried in vain is not tried again as if it were news.
        return Result(failure=failure, digest=digest_of(gathered.spec_text, gathered.inputs, read))

    async def _acquire(
        self, record: Record, memory: Memory, gathered: Gathered, read: dict[str, str], cause: Cause
    ) -> Waiting | None:
        spec, plan = gathered.spec, gathered.plan
        if plan is None or spec is None:
            raise LanyardError(Reason.INTERNAL_ERROR, fault="acquiring without a plan")
        if plan.method.name in GRANT_METHODS and self._refresher is not None:
            published_at = moment(record.parsed_status().get("lastRefreshedAt"))
            wish = Wish(anew=cause is Cause.ASKED, retry=cause is Cause.RETRY, published_at=published_at)
            acquired = await self._refresher.renew(Errand(record, spec, plan, read), wish)
        else:
            acquired = await self._acquirer.acquire(Errand(record, spec, plan, read))
        if isinstance(acquired, Waiting):
            return acquired
        memory.received = replace(acquired, digest=digest_of(gathered.spec_text, gathered.inputs, acquired.read))
        memory.read = {
            one.name: acquired.read[one.name] for one in gathered.inputs if not one.told and one.name in acquired.read
        }
        memory.repairs = Repairs.after(memory.repairs, self._clock(), self._pace)
        return None

    async def _publish(self, record: Record, memory: Memory, target: Target) -> Acquired | None:
        acquired = memory.received
        if acquired is None or self._world.get(record.key) is not record:
            # Deleted while the provider was asked: there is nobody left to publish for.
            audit("publish", "object gone", object_name=str(record.key), uid=record.uid)
            return None
        former = record.parsed_status().get("binding", {}).get("name")
        try:
            memory.written = await self._outlet.publish(record, target, acquired.content, former, memory.written)
        except LanyardError:
            if acquired.window is None:
                # Only what was issued is kept; what can be read again is read again, under the admission of then.
                memory.received = None
            raise
        memory.intact_version = memory.written.version.version
        if target.publish:
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
        facts = gathered.facts
        resting = facts.suspended or facts.problem is not None or facts.awaiting is not None
        queue.at(record.key, _earliest(until, None if resting else view.next_at, _expiry(status, now)))
        await self._tell(record, status, verdicts, now, queue)
        if result.acquired is not None and result.acquired.digest != gathered.facts.inputs_digest:
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
        await self._tell(record, status, verdicts, now, queue)

    async def _tell(
        self, record: Record, status: Status, verdicts: list[Verdict], now: datetime, queue: WorkQueue
    ) -> None:
        again = await self._reporter.report(record, status, verdicts, now)
        if again is not None:
            queue.at(record.key, now + again)

    async def confess(self, key: Key, fault: str, queue: WorkQueue) -> None:
        """A pass ended in a fault of our own: say so, keep what is known, try again with back-off."""
        record = self._world.get(key)
        if record is None:
            return
        now, previous = self._clock(), record.parsed_status()
        error = LanyardError(Reason.INTERNAL_ERROR, fault=fault)
        attempts = counted(previous.get("failedAttempts")) + 1
        next_at = retry_at(error, attempts, now, record.uid, self._pace)
        view = View(
            generation=record.generation,
            secret=previous.get("binding", {}).get("name", ""),
            needs_token="expiresAt" in previous,
            suspended=False,
            problem=None,
            failure=error,
            acquired=False,
            published_version=previous.get("publishedVersion"),
            inputs_digest=previous.get("inputsDigest", ""),
            failed_attempts=attempts,
            next_at=next_at,
            client_id=record.uid,
            exchange_only=is_unpublished(record),
        )
        status, verdicts = connection_status(previous, view, now)
        queue.at(key, next_at)
        await self._tell(record, status, verdicts, now, queue)

    def _view(self, record: Record, gathered: Gathered, result: Result, now: datetime) -> View:
        """The pass in the words of `rules.status`."""
        facts = gathered.facts
        memory: Memory = record.memory
        view = View(
            generation=gathered.generation,
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
            next_at=facts.next_refresh_at,
            consented=self._consented(record, gathered, result),
            client_id=record.uid,
            exchange_only=not gathered.target.publish,
        )
        if result.failure is not None:
            attempts = facts.failed_attempts + 1 if facts.attempted_digest == gathered.facts.inputs_digest else 1
            next_at = retry_at(result.failure, attempts, now, record.uid, self._pace)
            return replace(view, inputs_digest=result.digest, failed_attempts=attempts, next_at=next_at)
        acquired = result.acquired
        if acquired is None or memory.written is None:
            return view
        trouble = acquired.trouble
        return replace(
            view,
            acquired=True,
            failure=trouble,
            published_version=memory.written.version.version,
            intact=True,
            inputs_digest=acquired.digest,
            failed_attempts=facts.failed_attempts + 1 if trouble is not None else 0,
            next_at=acquired.window.next_at if acquired.window is not None else None,
            window=acquired.window,
            granted=acquired.granted,
            missing=acquired.missing,
        )

    def _consented(self, record: Record, gathered: Gathered, result: Result) -> Consented | None:
        plan = gathered.plan
        if plan is None or plan.method.name not in GRANT_METHODS:
            return None
        return Consented(
            redirect_uri=self._pages.redirect_uri(plan),
            authorization_url=self._pages.start(record.key.namespace, record.key.name),
            awaiting=gathered.facts.awaiting,
            account=result.acquired.account if result.acquired is not None else None,
        )


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _expiry(status: Status, now: datetime) -> datetime | None:
    """The moment of expiry, while it lies ahead: Ready has to turn when it passes."""
    expires_at = moment(status.get("expiresAt"))
    return expires_at if expires_at is not None and expires_at > now else None
