"""Step 1 of a reconcile: everything that a decision about a Connection depends on, looked at once.

The spec and its generation are taken together with the versions of its sources: the object may change while the
provider is asked, and what is reported then is still what was acted upon.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from lanyard.api.connection import GRANT_METHODS, ConnectionSpec, secret_name
from lanyard.api.meta import misfit
from lanyard.connectors.loader import Connector
from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import LanyardError, SpecError
from lanyard.flows.acquire import Acquired
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.inputs import Input, digest_of, inputs_of
from lanyard.flows.outlet import Outlet
from lanyard.flows.publish import Target, Written
from lanyard.flows.published import is_intact
from lanyard.flows.world import Record, World
from lanyard.reasons import Condition, Reason
from lanyard.rules.lifecycle import Facts, PublishedFacts
from lanyard.rules.schedule import Backoff, Repairs
from lanyard.rules.status import counted, moment
from lanyard.stores import copies
from lanyard.stores.grants import ending_of

OUTCOMES = frozenset(
    {
        Reason.AUTHORIZATION_FAILED,
        Reason.CONSENT_DENIED,
        Reason.ACCOUNT_MISMATCH,
        Reason.ACCOUNT_UNKNOWN,
        Reason.AUTHORIZATION_EXPIRED,
        Reason.AUTHORIZATION_LOST,
        Reason.AUTHORIZATION_OUTDATED,
    }
)
"""How a consent can end that brought no grant: told until the next one."""


@dataclass(slots=True)
class Memory:
    """What this process remembers of a Connection beyond its status."""

    written: Written | None = None
    intact_version: str = ""
    """resourceVersion at which the Secret's content is known to be ours."""
    received: Acquired | None = None
    """A token that was issued and is not published yet."""
    read: dict[str, str] = field(default_factory=dict)
    """Markers of Secrets that were read before the watch told of them, by credential."""
    repairs: Repairs | None = None
    unconfirmed: int = 0
    """Looks in a row that the API server did not answer, before anything may be spent."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """`plan` is None exactly when the facts name a problem, `spec` when it does not even parse."""

    spec: ConnectionSpec | None
    spec_text: bytes
    generation: int
    plan: Plan | None
    inputs: tuple[Input, ...]
    target: Target
    published_version: str | None
    facts: Facts


class Gatherer:
    """One instance a process."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        outlet: Outlet,
        pace: Backoff,
        clock: Callable[[], datetime],
        takes_consents: bool,
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._takes_consents = takes_consents
        self._outlet = outlet
        self._pace = pace
        self._clock = clock

    async def gather(self, record: Record, memory: Memory) -> Gathered:
        """LanyardError when our own Secret cannot be looked at."""
        text, generation = record.spec, record.generation
        spec, connector, plan, problem = self._understand(record)
        target = _target(record, spec)
        is_granted = plan is not None and plan.method.name in GRANT_METHODS
        inputs = inputs_of(record.key.namespace, spec, connector, self._world) if spec is not None else ()
        grant = self._world.grant_of(record.key, record.uid) if is_granted else None
        if grant is not None:
            inputs = (*inputs, Input("grant", grant.consented))
        status = record.parsed_status()
        awaiting, ended = self._awaiting(record, status) if is_granted else (None, False)
        published = self._outlet.standing(record, target, memory.written)
        intact = published is not None and await is_intact(self._outlet, record, memory, target, published.version)
        for one in inputs:
            if one.told:
                memory.read.pop(one.name, None)
        digest, received = digest_of(text, inputs, memory.read), memory.received
        facts = Facts(
            suspended=spec is not None and spec.suspend,
            problem=problem,
            inputs_digest=digest,
            attempted_digest=status.get("inputsDigest", ""),
            published=PublishedFacts(intact) if published is not None else None,
            received=received is not None and received.digest == digest and received.is_live(self._clock()),
            failed_attempts=counted(status.get("failedAttempts")),
            nudged=record.nudged,
            asked=record.ask,
            next_refresh_at=moment(status.get("nextRefreshAt")),
            expires_at=moment(status.get("expiresAt")),
            issued_at=moment(status.get("lastRefreshedAt")),
            # A change of the object itself is somebody's wish and never put off.
            repairs_from=memory.repairs.not_before(self._pace)
            if memory.repairs is not None and generation == status.get("observedGeneration")
            else None,
            awaiting=awaiting,
            grant_ended=ended,
        )
        version = published.version if published is not None else None
        return Gathered(spec, text, generation, plan, inputs, target, version, facts)

    def _understand(
        self, record: Record
    ) -> tuple[ConnectionSpec | None, Connector | None, Plan | None, LanyardError | None]:
        try:
            spec = ConnectionSpec.model_validate_json(record.spec)
        except ValidationError as error:
            return None, None, None, SpecError(Reason.INVALID_SPEC, field=misfit(error), kind="connection")
        try:
            connector = self._catalogue.find(spec.connector)
        except LanyardError as error:
            return spec, None, None, error
        try:
            _refuse_own_secret(record.key.name, spec)
            return spec, connector, self._plan(spec, connector), None
        except LanyardError as error:
            return spec, connector, None, error

    def _plan(self, spec: ConnectionSpec, connector: Connector) -> Plan:
        plan = plan_for(spec, connector)
        if plan.method.name in GRANT_METHODS and not self._takes_consents:
            raise SpecError(Reason.CONSENT_NOT_SET_UP, method=plan.method.name)
        if not spec.secret.publish and not plan.needs_token:
            raise SpecError(Reason.NOTHING_TO_EXCHANGE, method=plan.method.name)
        if not spec.secret.publish and not self._outlet.copies_tokens:
            raise SpecError(Reason.EXCHANGE_NOT_SET_UP)
        return plan

    def _awaiting(self, record: Record, status: dict[str, Any]) -> tuple[LanyardError | None, bool]:
        """Why only a person can go on, and whether that is because a grant is over."""
        grant = self._world.grant_of(record.key, record.uid)
        if grant is not None:
            return (LanyardError(ending_of(grant.ended)), True) if grant.ended else (None, False)
        if self._world.adoption_of(record.key, record.uid) is not None:
            return None, False
        if record.declined is not None:
            return record.declined, False
        if self._world.grants.get(record.key):
            return LanyardError(Reason.STATE_NOT_ADOPTED), False
        told = (one["reason"] for one in status.get("conditions") or () if one["type"] == Condition.AUTHORIZED.value)
        before = next(told, "")
        # What exactly failed is said by the condition, which is carried along.
        error = LanyardError(Reason(before), why="told before") if before in OUTCOMES else None
        return error or LanyardError(Reason.AUTHORIZATION_REQUIRED), False


def _target(record: Record, spec: ConnectionSpec | None) -> Target:
    if spec is None:
        return Target("", "")
    if not spec.secret.publish:
        return Target(copies.secret_name(record.uid), "", publish=False)
    return Target(secret_name(record.key.name, spec), spec.secret.type)


def _refuse_own_secret(name: str, spec: ConnectionSpec) -> None:
    """What is published would be its own source, and every write a change to react to."""
    for credential, source in spec.credentials.items():
        if source.secret_ref is not None and source.secret_ref.name == secret_name(name, spec):
            raise SpecError(Reason.INVALID_SPEC, field=f"credentials.{credential}", kind="connection")
