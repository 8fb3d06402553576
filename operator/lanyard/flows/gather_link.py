"""Step 1 of a link's reconcile: the source, whether it admits this namespace, and our own Secret, looked at once."""

from dataclasses import dataclass

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec, secret_name
from lanyard.api.meta import misfit
from lanyard.errors import LanyardError, SpecError
from lanyard.flows.inputs import admission, link_target
from lanyard.flows.keys import Key
from lanyard.flows.publish import Publisher, Target, Written
from lanyard.flows.published import is_intact, known_version
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.reasons import Condition, Reason
from lanyard.rules.lifecycle import PublishedFacts
from lanyard.rules.links import LinkFacts, Place, Source
from lanyard.rules.schedule import Backoff, Repairs
from lanyard.rules.status import moment


@dataclass(slots=True)
class LinkMemory:
    """What this process remembers of a link beyond its status."""

    written: Written | None = None
    intact_version: str = ""
    """resourceVersion at which our Secret's content is known to be what we wrote."""
    tried: str = ""
    failure: LanyardError | None = None
    """Origin of what was last published in vain, and what it met."""
    repairs: Repairs | None = None
    clear: bool = False
    """True once everything was taken back: it need not be looked for again."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One pass's view of the world; `key` and `secret` are the source's, the rest is the link's."""

    key: Key
    generation: int
    target: Target
    secret: SecretVersion | None
    published: SecretVersion | None
    facts: LinkFacts


class LinkGatherer:
    """One instance a process."""

    def __init__(self, *, world: World, publisher: Publisher, pace: Backoff) -> None:
        self._world = world
        self._publisher = publisher
        self._pace = pace

    async def gather(self, record: Record, memory: LinkMemory, source_key: Key) -> Gathered:
        """LanyardError when our own Secret cannot be looked at."""
        generation = record.generation
        spec, problem = _understood(record)
        target = Target(secret_name(record.key.name, spec), spec.secret.type) if spec is not None else Target("", "")
        status = record.parsed_status()
        published = self._publisher.standing(record, target, memory.written)
        source, secret = self.source(source_key, record.key.namespace)
        intact = published is not None and await is_intact(self._publisher, record, memory, target, published.version)
        facts = LinkFacts(
            place=Place(source_key.namespace, source_key.name),
            source=source,
            suspended=spec is not None and spec.suspend,
            problem=problem,
            published=PublishedFacts(intact) if published is not None else None,
            carries=status.get("inputsDigest", ""),
            expires_at=moment(status.get("expiresAt")),
            tried=memory.tried,
            retry_at=moment(status.get("nextRefreshAt")),
            nudged=record.nudged,
            repairs_from=memory.repairs.not_before(self._pace) if memory.repairs is not None else None,
        )
        return Gathered(source_key, generation, target, secret, published, facts)

    def source(self, key: Key, namespace: str) -> tuple[Source | None, SecretVersion | None]:
        """The Connection that is linked, and its Secret where that is known to be what it published."""
        record = self._world.get(key)
        if record is None:
            return None, None
        status = record.parsed_status()
        secret = known_version(record, self._world)
        ready = any(one["type"] == Condition.READY and one["status"] == "True" for one in status.get("conditions", ()))
        source = Source(
            uid=record.uid,
            is_link=link_target(record) is not None,
            admits=admission(namespace, record, self._world) != "refused",
            ready=ready,
            marker=secret.marker if secret is not None else "",
            expires_at=moment(status.get("expiresAt")),
        )
        return source, secret


def _understood(record: Record) -> tuple[ConnectionSpec | None, LanyardError | None]:
    try:
        return ConnectionSpec.model_validate_json(record.spec), None
    except ValidationError as error:
        return None, SpecError(Reason.INVALID_SPEC, field=misfit(error), kind="connection")
