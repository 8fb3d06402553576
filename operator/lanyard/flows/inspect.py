"""Look at what the platform and the teams declare beside Connections, and say in its status what is true.

A Connector is checked, a CredentialStore is called, a CredentialAssetRef is resolved: once per generation and again
when it failed. An asset in a store has its version looked at once per cacheTTL, because stores do not push; a store
is called every five minutes, so that its condition is honest. A restart that finds them in order makes no call.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from lanyard.api.meta import parse_duration
from lanyard.errors import KubernetesError, LanyardError, unavailable
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.keys import Key, What
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.resolve import Resolver, parsed_asset, parsed_store
from lanyard.flows.world import Record, World
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Status, Verdict, holds, merged, summary
from lanyard.rules.schedule import Backoff, fraction, retry_at


class Inspect:
    """The use case; one instance a process."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        resolver: Resolver,
        reporter: Reporter,
        pace: Backoff,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._resolver = resolver
        self._reporter = reporter
        self._pace = pace
        self._clock = clock
        self._attempts: dict[Key, int] = {}
        """Failures in a row, of what was looked at in this process."""

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        record = self._world.get(key)
        if record is None:
            self._attempts.pop(key, None)
            self._resolver.forget(key)
            queue.at(key, None)
            return
        first_look = key not in self._attempts
        self._attempts.setdefault(key, 0)
        if first_look and _in_order(record):
            queue.at(key, self._next_look(record, self._clock(), share=fraction(record.uid)))
            return
        generation = record.generation
        was_in_order = _in_order(record)
        usable, failure = await self._look(record)
        now = self._clock()
        if failure is None:
            self._attempts[key] = 0
            queue.at(key, self._next_look(record, now, share=1.0))
            if not was_in_order:
                # Also where an operator before this one met the trouble.
                self._world.nudge(key)
        else:
            self._attempts[key] += 1
            queue.at(key, retry_at(failure, self._attempts[key], now, record.uid, self._pace))
        verdicts = summary(
            usable=holds(Condition.READY, usable) if failure is None else None,
            blocker=failure,
            waiting=Reason.ACQUIRING,
        )
        again = await self._reporter.report(record, self._status(record, generation, verdicts, now), verdicts, now)
        if again is not None:
            queue.at(key, now + again)

    async def _look(self, record: Record) -> tuple[Reason, LanyardError | None]:
        try:
            match record.key.what:
                case What.CONNECTOR:
                    self._catalogue.parsed(record)
                    return Reason.VALID, None
                case What.STORE:
                    return await self._resolver.check_store(record), None
                case What.ASSET:
                    await self._resolver.check_asset(record)
                    return Reason.RESOLVED, None
                case What.CONNECTION | What.CREDENTIAL | What.SECRET | What.CONSENT | What.ISSUER:
                    return Reason.VALID, LanyardError(Reason.INTERNAL_ERROR, fault="not a kind that is inspected")
        except LanyardError as error:
            return Reason.VALID, error
        except KubernetesError as error:
            return Reason.VALID, unavailable(error)

    def _next_look(self, record: Record, now: datetime, *, share: float) -> datetime | None:
        """When a look is due although nothing changed; `share` spreads the first looks after a start."""
        try:
            match record.key.what:
                case What.ASSET:
                    asset = parsed_asset(record)
                    pause = parse_duration(asset.cache_ttl) if asset.store is not None else None
                case What.STORE:
                    parsed_store(record)
                    pause = self._pace.longest
                case _:
                    pause = None
        except LanyardError:
            pause = timedelta(0)
        return now + pause * share if pause is not None else None

    def _status(self, record: Record, generation: int, verdicts: list[Verdict], now: datetime) -> Status:
        previous = record.parsed_status()
        status: Status = {
            "observedGeneration": generation,
            "conditions": merged(previous.get("conditions") or (), verdicts, generation, now),
        }
        version = self._world.asset_versions.get(record.key)
        if version:
            status["version"] = version
        return status


def _in_order(record: Record) -> bool:
    status = record.parsed_status()
    ready = any(
        condition["type"] == Condition.READY.value and condition["status"] == "True"
        for condition in status.get("conditions") or ()
    )
    return ready and status.get("observedGeneration") == record.generation
