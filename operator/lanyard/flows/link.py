"""Reconcile one link: a Connection that publishes what another Connection has published.

1. gather: the source as it is known now, whether it admits this namespace, our own Secret
2. decide: `rules.links` returns exactly one decision
3. act: take back, or read the source's Secret and publish it here
4. report: the whole status in one write, skipped when it says nothing new

The source is read from the API server, and only the very version that is known as what Lanyard wrote. What it was
granted and how it is refreshed are its own affair: a link asks no provider.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.duty import Confirmer
from lanyard.flows.gather_link import Gathered, LinkGatherer, LinkMemory
from lanyard.flows.inputs import link_target
from lanyard.flows.keys import Key
from lanyard.flows.publish import Publisher
from lanyard.flows.published import read_back
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.tally import Tally, audit
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.links import Copy, Keep, LinkView, Place, Source, TakeBack, decide, link_status
from lanyard.rules.schedule import Backoff, Repairs, retry_at
from lanyard.rules.status import counted, moment


@dataclass(frozen=True, slots=True)
class Result:
    """What acting brought: a copy, an empty place, or neither."""

    problem: LanyardError | None = None
    failure: LanyardError | None = None
    copied: Source | None = None
    cleared: bool = False
    again: bool = False
    """True when what was decided upon is no longer so."""


class Link:
    """The use case; one instance a process."""

    def __init__(
        self,
        *,
        kube: Kube,
        world: World,
        gatherer: LinkGatherer,
        confirmer: Confirmer,
        publisher: Publisher,
        reporter: Reporter,
        tally: Tally,
        pace: Backoff,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._world = world
        self._gatherer = gatherer
        self._confirmer = confirmer
        self._publisher = publisher
        self._reporter = reporter
        self._tally = tally
        self._pace = pace
        self._clock = clock

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        record = self._world.get(key)
        source_key = link_target(record) if record is not None else None
        if record is None or source_key is None:
            queue.at(key, None)
            return
        memory = record.memory = record.memory or LinkMemory()
        now = self._clock()
        try:
            gathered = await self._gatherer.gather(record, memory, source_key)
        except LanyardError:
            # Only a look at our own Secret can fail here, and then nothing is known that was not known before.
            queue.at(key, now + self._pace.first)
            return
        record.ask = False  # there is nothing to fetch anew: the source is asked itself
        decision = decide(gathered.facts, now)
        if record.heard and not isinstance(decision, Keep):
            await self._confirm(record, gathered, queue)
            return
        until: datetime | None = None
        self._tally.count("lanyard_reconciles", key.what.value, type(decision).__name__.lower())
        match decision:
            case TakeBack(error):
                result = await self._take_back(record, memory, error)
            case Copy(source):
                result = await self._copy(record, memory, gathered, source)
            case Keep(until):
                if until is None:
                    memory.failure = None
                result = Result(problem=gathered.facts.problem)
        if self._world.get(key) is not record:
            return
        if result.again:
            # Whatever has changed wakes this link as well; should it not, it is not for ever.
            queue.at(key, self._clock() + self._pace.first)
            return
        await self._report(record, gathered, result, until, queue)

    async def _confirm(self, record: Record, gathered: Gathered, queue: WorkQueue) -> None:
        """Another process was at work until a moment ago: look before a Secret is touched, and decide anew."""
        try:
            await self._confirmer.confirm(record, gathered.target.name)
        except KubernetesError as error:
            pause = timedelta(seconds=error.retry_after or 0)
            queue.at(record.key, self._clock() + max(self._pace.first, pause))
        else:
            queue.add(record.key)

    async def _take_back(self, record: Record, memory: LinkMemory, error: LanyardError) -> Result:
        if memory.clear:
            return Result(problem=error, cleared=True)
        noted = record.parsed_status().get("binding", {}).get("name", "")
        try:
            removed = await self._publisher.withdraw(record, noted, memory.written)
        except LanyardError as failure:
            return Result(problem=error, failure=failure)
        memory.written, memory.tried, memory.failure, memory.clear = None, "", None, True
        if removed:
            audit("take back", error.reason.value, object_name=str(record.key), uid=record.uid)
        return Result(problem=error, cleared=True)

    async def _copy(self, record: Record, memory: LinkMemory, gathered: Gathered, source: Source) -> Result:
        record.nudged = False
        try:
            content = await read_back(self._kube, gathered.secret) if gathered.secret is not None else None
            # Reading takes a moment, in which the owner may have had second thoughts.
            decided_upon = self._gatherer.source(gathered.key, record.key.namespace) == (source, gathered.secret)
            if not content or not decided_upon or gathered.generation != record.generation:
                return Result(again=True)
            former = record.parsed_status().get("binding", {}).get("name")
            memory.clear = False
            memory.written = await self._publisher.publish(record, gathered.target, content, former, memory.written)
        except LanyardError as failure:
            memory.tried, memory.failure = source.origin, failure
            return Result(failure=failure)
        memory.tried, memory.failure, memory.intact_version = "", None, memory.written.version.version
        if gathered.facts.carries == source.origin:
            memory.repairs = Repairs.after(memory.repairs, self._clock(), self._pace)
        self._tally.count("lanyard_publications", "written")
        audit("link", "written", object_name=str(record.key), uid=record.uid, secret=gathered.target.name)
        return Result(copied=source)

    async def _report(
        self, record: Record, gathered: Gathered, result: Result, until: datetime | None, queue: WorkQueue
    ) -> None:
        now = self._clock()
        view = self._view(record, gathered, result, now)
        status, verdicts = link_status(record.parsed_status(), view, now)
        expiry = view.expires_at if view.expires_at is not None and view.expires_at > now else None
        moments = (until, view.next_at, expiry, now + self._pace.on_change)
        queue.at(record.key, min(one for one in moments if one is not None))
        again = await self._reporter.report(record, status, verdicts, now)
        if again is not None:
            queue.at(record.key, now + again)

    def _view(self, record: Record, gathered: Gathered, result: Result, now: datetime) -> LinkView:
        """The pass in the words of `rules.links`."""
        facts, memory = gathered.facts, record.memory
        failed = counted(record.parsed_status().get("failedAttempts"))
        view = LinkView(
            place=facts.place,
            generation=gathered.generation,
            secret=gathered.target.name,
            suspended=facts.suspended,
            source=facts.source,
            problem=result.problem,
            failure=result.failure or memory.failure,
            published_version=gathered.published.version if gathered.published is not None else None,
            intact=facts.published is not None and facts.published.intact,
            carries=facts.carries,
            expires_at=facts.expires_at,
            failed_attempts=failed,
            next_at=facts.retry_at,
        )
        if result.failure is not None:
            next_at = retry_at(result.failure, failed + 1, now, record.uid, self._pace)
            return replace(view, failed_attempts=failed + 1, next_at=next_at)
        if result.cleared:
            view = replace(view, published_version=None, expires_at=None)
        elif result.copied is not None and memory.written is not None:
            version, copied = memory.written.version.version, result.copied
            view = replace(
                view, published_version=version, intact=True, carries=copied.origin, expires_at=copied.expires_at
            )
        return view if memory.failure is not None else replace(view, failed_attempts=0, next_at=None)

    async def confess(self, key: Key, fault: str, queue: WorkQueue) -> None:
        """A pass ended in a fault of our own: say so, keep what is known, try again with back-off."""
        record = self._world.get(key)
        source_key = link_target(record) if record is not None else None
        if record is None or source_key is None:
            return
        now, previous = self._clock(), record.parsed_status()
        error = LanyardError(Reason.INTERNAL_ERROR, fault=fault)
        attempts = counted(previous.get("failedAttempts")) + 1
        next_at = retry_at(error, attempts, now, record.uid, self._pace)
        view = LinkView(
            place=Place(source_key.namespace, source_key.name),
            generation=record.generation,
            secret=previous.get("binding", {}).get("name", ""),
            suspended=False,
            source=None,
            problem=None,
            failure=error,
            published_version=previous.get("publishedVersion"),
            intact=True,
            carries=previous.get("inputsDigest", ""),
            expires_at=moment(previous.get("expiresAt")),
            failed_attempts=attempts,
            next_at=next_at,
        )
        status, verdicts = link_status(previous, view, now)
        queue.at(key, next_at)
        again = await self._reporter.report(record, status, verdicts, now)
        if again is not None:
            queue.at(key, now + again)
