"""Say in the status of a FederatedCredential whether its JWTs are exchanged, and what stands in the way.

1. read the spec                      what is older than the schema counts for nothing
2. judge it beside its siblings       the oldest 20 of a Connection count, and of each display name the oldest
3. look at the Connection             absent, a link, without a token, with scopes that cannot be narrowed
4. look at the issuer's keys          the ones in the spec, or what `flows/issuers.py` has found
5. report, and come back              at its expiry, at 90 days without use, when the last use may be told again

Nothing is asked of anybody: what it takes is known, so a restart writes nothing. Whatever else changes wakes it: the
Connection, the issuer's keys, and its siblings when one of them comes, goes or is edited.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from lanyard.api.connection import STATIC_METHODS
from lanyard.api.federation import FederatedCredentialSpec
from lanyard.api.meta import misfit
from lanyard.errors import LanyardError, SourceError, SpecError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.keys import Key, What
from lanyard.flows.last_exchange import LastUses
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.tally import Tally
from lanyard.flows.world import NOT_YET, Record, World
from lanyard.oauth.jwk import KeySet, KeySetError
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Status
from lanyard.rules.conditions import Verdict as Said
from lanyard.rules.federation import Application, Facts, credential_status, next_look, unreadable_status
from lanyard.rules.status import moment
from lanyard.rules.trust import Credential, Verdict, credential_of, judge


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A spec, read once for each generation; its siblings read it too."""

    generation: int
    credential: Credential | None
    problem: LanyardError | None
    """Why there is none, or what is wrong with the keys in its spec."""


class Federate:
    """The use case; one instance a process."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        uses: LastUses,
        reporter: Reporter,
        tally: Tally,
        is_served: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._uses = uses
        self._reporter = reporter
        self._tally = tally
        self._is_served = is_served
        self._clock = clock
        self._homes: dict[Key, _Home] = {}
        self._judged: dict[Key, int] = {}
        """What the judgement of a Connection's credentials was made from, as a hash."""

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        record, now = self._world.get(key), self._clock()
        former = self._homes.get(key)
        if former is not None and (record is None or record.uid != former.uid):
            self._uses.forget_credential(former.uid)
            del self._homes[key]
            self._siblings(former.connection, key)
        if record is None:
            queue.at(key, None)
            return
        home = self._homes[key] = _Home(record.sources[0], record.uid)
        look = self._look(record, self._siblings(home.connection, key), now)
        if look is None:
            return
        self._tally.count("lanyard_reconciles", key.what.value, look.verdicts[0].reason.value)
        queue.at(key, look.again_at)
        again = await self._reporter.report(record, look.status, look.verdicts, now)
        if again is not None:
            queue.at(key, now + again)

    def _look(self, record: Record, siblings: list[Credential], now: datetime) -> "_Look | None":
        """None while what an operator before this one has seen of the issuer stands until this one has looked."""
        previous, parsed = record.parsed_status(), _parsed(record)
        if parsed.credential is None:
            problem = parsed.problem or SpecError(Reason.INVALID_SPEC, field="spec", kind="fedcred")
            return _Look(*unreadable_status(previous, problem, record.generation, now))
        one = parsed.credential
        keys = parsed.problem if one.jwks else self._world.issuer_problem(one.keys)
        if keys is NOT_YET:
            if _says_of_keys(previous, record.generation):
                return None
            keys = SourceError(Reason.ISSUER_KEYS_PENDING)
        told, newest = moment(previous.get("lastExchangeAt")), self._uses.newest(one.uid, now)
        if told is not None and told > now:
            told = None  # nobody of ours has written that
        counts = judge(siblings)
        facts = Facts(
            one=one,
            created_at=moment(one.created_at) or now,
            verdict=counts[one.uid],
            application=self._application(record.sources[0]),
            keys=keys,
            twin=_twin(one, (other for other in siblings if counts[other.uid] is Verdict.COUNTS)),
            used_at=max(filter(None, (told, newest)), default=None),
            is_served=self._is_served,
        )
        said = credential_status(previous, facts, self._uses.due(one.uid, told, now), now)
        times = (next_look(facts, now), self._uses.next_look(one.uid))
        return _Look(*said, min(filter(None, times), default=None))

    def _siblings(self, home: Key, key: Key) -> list[Credential]:
        """Every readable credential of a Connection. When they have changed, those beside `key` are woken, once."""
        keys = [one for one in self._world.dependents(home) if one.what is What.CREDENTIAL]
        records = [record for record in map(self._world.get, keys) if record is not None]
        found = [parsed for parsed in (_parsed(record).credential for record in records) if parsed is not None]
        basis = hash(frozenset((one.uid, one.display_name, *_trust(one)) for one in found))
        if self._judged.get(home, basis) != basis:
            for other in keys:
                if other != key:
                    self._world.wake(other)
        if found:
            self._judged[home] = basis
        else:
            self._judged.pop(home, None)
        return found

    def _application(self, home: Key) -> Application | None:
        record = self._world.get(home)
        if record is None:
            return None
        spec: dict[str, Any] = json.loads(record.spec)
        mints, method = False, (spec.get("auth") or {}).get("method", "")
        try:
            connector = self._catalogue.find(spec.get("connector", "")).spec
        except LanyardError:
            pass  # what is wrong with the Connector is in the Connection's own status
        else:
            mints = connector.mints is not None
            method = method or (connector.methods[0].name.value if connector.methods else "")
        return Application(
            is_link="linkTo" in spec,
            mints=mints,
            without_token=method if method in STATIC_METHODS else "",
            granted=tuple(record.parsed_status().get("grantedScopes") or ()),
        )


class _Home(NamedTuple):
    """Where a credential belongs: of one that is gone nothing else tells."""

    connection: Key
    uid: str


class _Look(NamedTuple):
    """What one pass has found."""

    status: Status
    verdicts: list[Said]
    again_at: datetime | None = None


def _parsed(record: Record) -> _Parsed:
    known = record.memory
    if isinstance(known, _Parsed) and known.generation == record.generation:
        return known
    credential, problem = None, None
    metadata = {
        "namespace": record.key.namespace,
        "name": record.key.name,
        "uid": record.uid,
        "creationTimestamp": record.created,
        "generation": record.generation,
    }
    try:
        spec = FederatedCredentialSpec.model_validate_json(record.spec)
        credential = credential_of(metadata, spec, next((one.name for one in record.sources[1:]), ""))
    except ValidationError as error:
        problem = SpecError(Reason.INVALID_SPEC, field=misfit(error), kind="fedcred")
    else:
        if spec.jwks is not None and not _is_key_set(spec.jwks):
            problem = SpecError(Reason.JWKS_INVALID)
    parsed = record.memory = _Parsed(record.generation, credential, problem)
    return parsed


def _trust(one: Credential) -> tuple[str, str, str]:
    return one.issuer, one.subject, one.audience


def _twin(one: Credential, counting: Iterable[Credential]) -> str:
    """Of several the one whose name comes first."""
    return min((other.name for other in counting if other.uid != one.uid and _trust(other) == _trust(one)), default="")


def _says_of_keys(status: dict[str, Any], generation: int) -> bool:
    """Whether an earlier look at the issuer's keys is told there, of this generation."""
    reasons = (
        one["reason"] for one in status.get("conditions") or () if one["type"] == Condition.ISSUER_KEYS_KNOWN.value
    )
    return status.get("observedGeneration") == generation and next(reasons, None) not in {
        None,
        Reason.ISSUER_KEYS_PENDING.value,
    }


def _is_key_set(unverified_jwks: str) -> bool:
    try:
        return bool(KeySet.of(unverified_jwks).keys)
    except KeySetError:
        return False
