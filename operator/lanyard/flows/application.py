"""Reconcile one application: a Connection whose tokens Lanyard makes itself, on the gateway and by exchange alone.

1. look: does the spec ask for what only a sign-in needs, and is there a gateway
2. take back what was published while the connector of that name had another way
3. report: the whole status in one write, skipped when it says nothing new
"""

from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec
from lanyard.api.meta import misfit
from lanyard.errors import LanyardError, SpecError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.gather import Memory
from lanyard.flows.keys import Key
from lanyard.flows.publish import Publisher
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.tally import audit
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason, Retry
from lanyard.rules.applications import ApplicationView, application_status, field_without_meaning
from lanyard.rules.schedule import Backoff


class Application:
    """The use case; one instance a process. `issuer` is that of Lanyard's own tokens, empty without a gateway."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        publisher: Publisher,
        reporter: Reporter,
        pace: Backoff,
        clock: Callable[[], datetime],
        issuer: str,
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._publisher = publisher
        self._reporter = reporter
        self._pace = pace
        self._clock = clock
        self._issuer = issuer

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        record = self._world.get(key)
        if record is None:
            queue.at(key, None)
            return
        record.ask = record.nudged = False  # there is nothing to fetch
        generation = record.generation
        suspended, problem = self._look(record)
        try:
            await self._take_back(record)
        except LanyardError as error:
            problem = problem or error
        view = ApplicationView(generation, record.uid, suspended, problem)
        await self._report(record, view, queue)

    def _look(self, record: Record) -> tuple[bool, LanyardError | None]:
        """Whether it is suspended, and what is wrong with it."""
        try:
            spec = ConnectionSpec.model_validate_json(record.spec)
        except ValidationError as error:
            return False, SpecError(Reason.INVALID_SPEC, field=misfit(error), kind="connection")
        field = field_without_meaning(spec)
        if field is not None:
            return spec.suspend, SpecError(Reason.SIGN_IN_NOT_OFFERED, connector=spec.connector, field=field)
        return spec.suspend, None if self._issuer else SpecError(Reason.EXCHANGE_NOT_SET_UP)

    async def _take_back(self, record: Record) -> None:
        """A Connector object may come to mint under a name that had methods before."""
        noted = record.parsed_status().get("binding", {}).get("name", "")
        if not noted:
            return
        before = record.memory.written if isinstance(record.memory, Memory) else None
        if await self._publisher.withdraw(record, noted, before):
            audit("take back", Reason.TOKENS_BY_EXCHANGE.value, object_name=str(record.key), uid=record.uid)
        record.memory = None

    async def _report(self, record: Record, view: ApplicationView, queue: WorkQueue) -> None:
        if self._world.get(record.key) is not record:
            return
        now = self._clock()
        status, verdicts = application_status(record.parsed_status(), view, now)
        if view.problem is None:
            queue.at(record.key, None)
        else:
            is_lasting = view.problem.retry is Retry.ON_CHANGE
            queue.at(record.key, now + (self._pace.on_change if is_lasting else self._pace.first))
        if view.problem is not None and "binding" in record.parsed_status():
            # What could not be taken back is looked for again.
            status["binding"] = record.parsed_status()["binding"]
        again = await self._reporter.report(record, status, verdicts, now)
        if again is not None:
            queue.at(record.key, now + again)

    async def confess(self, key: Key, fault: str, queue: WorkQueue) -> None:
        """A pass ended in a fault of our own: say so, and try again."""
        record = self._world.get(key)
        if record is None:
            return
        error = LanyardError(Reason.INTERNAL_ERROR, fault=fault)
        await self._report(record, ApplicationView(record.generation, record.uid, False, error), queue)
