"""What Lanyard knows of the cluster: slim copies of its objects, versions of Secrets, and who depends on what.

Specs and statuses are kept as JSON text (about 1.5 KB a Connection) and parsed when needed: as objects, 10,000 of them
would not fit the budget. Nothing here is secret.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, Self

from lanyard.api.meta import FINALIZER, REFRESH_ANNOTATION
from lanyard.errors import LanyardError
from lanyard.flows.keys import Key, What
from lanyard.rules.status import moment
from lanyard.stores.copies import SeenCopy
from lanyard.stores.issuer_keys import StoredKeys

Sources = tuple[Key, ...]

NO_OBJECTS = frozenset({What.SECRET, What.CONSENT, What.ISSUER})
"""What is known otherwise than by its object."""


class NotYet(Enum):
    """Stands for what nobody has looked at in this process."""

    NOT_YET = "nobody has looked"


NOT_YET: Final = NotYet.NOT_YET


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """A Secret as the metadata watch shows it."""

    namespace: str
    name: str
    uid: str
    version: str
    owner: str = ""
    """uid of its controlling owner; a label alone proves nothing, for anybody may copy it."""

    @property
    def marker(self) -> str:
        return f"{self.uid}/{self.version}"

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Self:
        owners = metadata.get("ownerReferences") or ()
        owner = next((one["uid"] for one in owners if one.get("controller")), "")
        # Namespaces and uids come again in thousands of objects; each is kept once.
        place, owner = sys.intern(metadata["namespace"]), sys.intern(owner)
        return cls(place, metadata["name"], metadata["uid"], metadata["resourceVersion"], owner)


class GrantSeen(NamedTuple):
    """A state Secret as its metadata shows it. `consented` tells one consent from the next, and a refresh changes
    none of this.
    """

    name: str
    uid: str
    """That of the Connection it is bound to."""
    consented: str
    ended: str
    adopt_for: str


@dataclass(slots=True)
class Record:
    """One object of ours. `memory` is whatever the flow that reconciles it needs to remember in this process."""

    key: Key
    uid: str
    generation: int
    spec: bytes
    status: bytes
    created: str = ""
    """creationTimestamp, of FederatedCredentials only: their age decides which of them count."""
    sources: Sources = ()
    nudged: bool = False
    """True when something it failed on works again."""
    asked: str = ""
    """When somebody asked for fresh credentials, as written; `ask` until an attempt has answered it."""
    ask: bool = False
    told: bytes | None = None
    """The status that the API server took last, while it has not taken `status`."""
    refused: int = 0
    """Writes of the status that the API server refused in a row."""
    verified: tuple[str, str, str] | None = None
    """Digest and version of what was published when the product was asked last whether it works, by this process."""
    declined: LanyardError | None = None
    """How the last consent ended, when it brought no grant."""
    heard: bool = False
    """True while its status is another process's, as the watch told it: that may be late."""
    memory: Any = None

    def parsed_status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.status)
        return status


@dataclass(slots=True)
class World:
    """`wake` is called with each key that may have something to do; `sources_of` tells what an object is made from."""

    wake: Callable[[Key], None]
    sources_of: Callable[[Key, dict[str, Any]], Sources]
    objects: dict[What, dict[Key, Record]] = field(
        default_factory=lambda: {what: {} for what in What if what not in NO_OBJECTS}
    )
    leaving: dict[Key, Record] = field(default_factory=dict)
    """Connections that are being deleted and wait for us to take their grant back."""
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    readable: dict[Key, SecretVersion] = field(default_factory=dict)
    published: dict[Key, SecretVersion] = field(default_factory=dict)
    grants: dict[Key, tuple[GrantSeen, ...]] = field(default_factory=dict)
    """State Secrets by the Connection that they name: its own, and those of namesakes and other installs."""
    copies: dict[Key, tuple[SeenCopy, ...]] = field(default_factory=dict)
    """Token copies of this install by the Connection that they name: its own, and those of namesakes before it."""
    spending: Counter[str] = field(default_factory=Counter)
    """uids of Connections whose codes or refresh tokens are being spent now, and how many: their grant changes soon."""
    consents: set[Key] = field(default_factory=set)
    """Records of consents with which the operator has something to do."""
    asset_versions: dict[Key, str] = field(default_factory=dict)
    """Version in the store that was seen last, by asset."""
    issuer_problems: dict[str, LanyardError | None] = field(default_factory=dict)
    """What is wrong with the keys of an issuer, by the name of the key set; None where they are there."""
    issuer_sets: dict[str, StoredKeys] = field(default_factory=dict)
    """Key sets as they are stored, by name."""
    issuer_fetches: dict[str, datetime] = field(default_factory=dict)
    """When this process fetched a key set last; that is written less often."""
    following: bool = False
    """True while another process may be at work: every event then makes its object anew, for statuses are news."""
    followed: int = 0
    """How often that began."""
    _dependents: dict[Key, set[Key]] = field(default_factory=dict)
    _gone: set[str] | None = None
    """uids forgotten since a full list began; None while none is under way."""

    def get(self, key: Key) -> Record | None:
        return self.objects[key.what].get(key)

    def wants_copy(self, key: Key) -> bool:
        """Whether a FederatedCredential names this Connection: then the gateway hands out its token."""
        return any(one.what is What.CREDENTIAL for one in self._dependents.get(key, ()))

    def grant_of(self, key: Key, uid: str) -> GrantSeen | None:
        return next((one for one in self.grants.get(key, ()) if one.uid == uid), None)

    def copy_of(self, key: Key, uid: str) -> SeenCopy | None:
        return next((one for one in self.copies.get(key, ()) if one.uid == uid), None)

    def keep_copy(self, one: SeenCopy) -> None:
        """A token copy as it is now."""
        key = self.owner_of(one)
        self.copies[key] = (*(other for other in self.copies.get(key, ()) if other.name != one.name), one)

    def drop_copy(self, one: SeenCopy) -> None:
        key = self.owner_of(one)
        left = tuple(other for other in self.copies.get(key, ()) if other.secret_uid != one.secret_uid)
        if left:
            self.copies[key] = left
        else:
            self.copies.pop(key, None)

    @staticmethod
    def owner_of(one: SeenCopy) -> Key:
        namespace, _, name = one.owner.partition("/")
        return Key(What.CONNECTION, sys.intern(namespace), name)

    def adoption_of(self, key: Key, uid: str) -> GrantSeen | None:
        """One that the platform has given to this Connection."""
        return next((one for one in self.grants.get(key, ()) if one.adopt_for == uid), None)

    def issuer_problem(self, key_set: str) -> LanyardError | Literal[NotYet.NOT_YET] | None:
        """Whoever writes it touches `Key(What.ISSUER, "", key_set)`: that wakes the credentials."""
        return self.issuer_problems.get(key_set, NOT_YET)

    def settle_issuer(self, key_set: str, problem: LanyardError | None) -> None:
        """How it stands with the keys of an issuer; credentials are woken when that is news."""
        before, self.issuer_problems[key_set] = self.issuer_problem(key_set), problem
        if _told(before) != _told(problem):
            self.touch(Key(What.ISSUER, "", key_set))

    def key_sets(self) -> set[Key]:
        """Those that are needed, and those that are stored."""
        needed = {key for key in self._dependents if key.what is What.ISSUER}
        return needed | {Key(What.ISSUER, "", name) for name in self.issuer_sets}

    @contextmanager
    def spend(self, uid: str) -> Iterator[None]:
        """A deletion that comes meanwhile waits for what this brings, to take it back."""
        self.spending[uid] += 1
        try:
            yield
        finally:
            self.spending[uid] -= 1
            if not self.spending[uid]:
                del self.spending[uid]

    def begin_list(self) -> None:
        self._gone = set()

    def end_list(self) -> None:
        self._gone = None

    def list_in(self, what: What, body: dict[str, Any]) -> None:
        """An object of a full list: a page may be older than a deletion that the watch has told since."""
        if self._gone is None or body["metadata"]["uid"] not in self._gone:
            self.observe(what, body)

    def observe(self, what: What, body: dict[str, Any]) -> None:
        """An object as the API server has it. Our own status coming back wakes nobody."""
        metadata = body["metadata"]
        key = Key(what, sys.intern(metadata.get("namespace", "")), metadata["name"])
        if metadata.get("deletionTimestamp"):
            self.forget(key, metadata["uid"])
            if FINALIZER in (metadata.get("finalizers") or ()):
                self._leave(key, body)
            return
        known = self.objects[what].get(key)
        asked = (metadata.get("annotations") or {}).get(REFRESH_ANNOTATION, "")
        if self.following:
            self._make(key, body, known, asked, heard=True)
            return
        if known is not None and known.uid == metadata["uid"] and known.generation >= metadata.get("generation", 0):
            if known.generation == metadata.get("generation", 0) and asked != known.asked:
                known.asked, known.ask = asked, bool(asked)
                self.wake(key)
            return
        spec: dict[str, Any] = body.get("spec") or {}
        former = known.sources if known is not None else ()
        if known is not None and known.uid == metadata["uid"]:
            record = known
            record.generation, record.spec = metadata.get("generation", 0), _text(spec)
            record.ask = record.ask or (bool(asked) and asked != record.asked)
            record.asked = asked
            self._link(record, self.sources_of(key, spec))
        else:
            self._make(key, body, known, asked, heard=False)
        self.wake(key)
        self.touch(key)
        self._wake_named(key, former)

    def _make(self, key: Key, body: dict[str, Any], known: Record | None, asked: str, *, heard: bool) -> None:
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        if known is not None:
            self._unlink(known)
            self.asset_versions.pop(key, None)
        record = Record(key, sys.intern(metadata["uid"]), metadata.get("generation", 0), _text(spec), _text(status))
        record.heard, record.asked = heard, asked
        if key.what is What.CREDENTIAL:
            record.created = metadata.get("creationTimestamp", "")
        self.objects[key.what][key] = record
        # Statuses have whole seconds: what was fetched in the second of the question has answered it.
        when, refreshed = moment(asked), moment(status.get("lastRefreshedAt"))
        record.ask = when is not None and refreshed is not None and when > refreshed
        if key.what is What.ASSET and "version" in status:
            self.asset_versions[key] = status["version"]
        self._link(record, self.sources_of(key, spec))

    def confirm(self, record: Record, body: dict[str, Any]) -> None:
        """What the API server said of an object when it was asked for this one."""
        if self.get(record.key) is record:
            asked = (body["metadata"].get("annotations") or {}).get(REFRESH_ANNOTATION, "")
            self._make(record.key, body, record, asked, heard=False)
            # What was known of it before may have been too little for its links.
            self.touch(record.key)

    def follow(self) -> None:
        """Another process is at work: what this one remembers of its own work ends to be true."""
        self.following = True
        self.followed += 1
        self.issuer_problems = dict.fromkeys(self.issuer_sets)
        self.issuer_fetches.clear()
        for record in self._records():
            record.memory, record.told, record.refused, record.heard = None, None, 0, True

    def lead(self, *, unbroken: bool) -> None:
        """From now on this process is at work. `unbroken`: nobody else was since the first object was seen."""
        self.following = False
        if unbroken:
            for record in self._records():
                record.heard = False

    def _records(self) -> Iterator[Record]:
        for objects in self.objects.values():
            yield from objects.values()

    def forget(self, key: Key, uid: str | None = None) -> None:
        """An object is gone. With a uid, only that one: a namesake that came after it stays."""
        if uid is not None and self._gone is not None:
            self._gone.add(uid)
        leaving = self.leaving.get(key)
        if leaving is not None and uid in {None, leaving.uid}:
            del self.leaving[key]
        record = self.objects[key.what].get(key)
        if record is None or (uid is not None and record.uid != uid):
            return
        del self.objects[key.what][key]
        former = record.sources
        self._unlink(record)
        self.asset_versions.pop(key, None)
        self.wake(key)
        self.touch(key)
        self._wake_named(key, former)

    def _wake_named(self, key: Key, former: Sources) -> None:
        """A Connection has its token copied as long as there is a FederatedCredential that names it."""
        record = self.get(key)
        if key.what is What.CREDENTIAL:
            for source in {*former, *(record.sources if record is not None else ())}:
                if source.what is What.CONNECTION:
                    self.wake(source)

    def _leave(self, key: Key, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        record = Record(
            key,
            metadata["uid"],
            metadata.get("generation", 0),
            _text(body.get("spec") or {}),
            _text(body.get("status") or {}),
        )
        record.asked = metadata["deletionTimestamp"]
        self.leaving[key] = record
        self.wake(key)

    def retain(self, before: Iterable[Key], seen: set[Key]) -> int:
        """After a full list: forget what was known before it began and is not in it. Returns how many."""
        gone = [key for key in before if key not in seen]
        for key in gone:
            self.forget(key)
        return len(gone)

    def _link(self, record: Record, sources: Sources) -> None:
        if record.sources == sources:
            return
        self._unlink(record)
        record.sources = sources
        for source in sources:
            waiting = self._dependents.setdefault(source, set())
            waiting.add(record.key)
            if source.what is What.ISSUER and len(waiting) == 1:
                self.wake(source)

    def dependents(self, source: Key) -> frozenset[Key]:
        return frozenset(self._dependents.get(source, ()))

    def touch(self, source: Key) -> None:
        """Something changed: wake all that is made from it, also through assets."""
        if self.following:
            return
        for key in self.dependents(source):
            self.wake(key)
            if key.what is not What.CONNECTION:
                self.touch(key)

    def nudge(self, source: Key) -> None:
        """Something works again: what failed on it need not wait for its back-off to end."""
        if self.following:
            return
        for key in self.dependents(source):
            record = self.get(key)
            if record is not None:
                record.nudged = True
                self.wake(key)
            if key.what is not What.CONNECTION:
                self.nudge(key)

    def _unlink(self, record: Record) -> None:
        for source in record.sources:
            waiting = self._dependents.get(source)
            if waiting is not None:
                waiting.discard(record.key)
                if not waiting:
                    del self._dependents[source]
                    if source.what is What.ISSUER:
                        self.wake(source)
        record.sources = ()


def _told(problem: object) -> object:
    return (problem.reason, problem.message) if isinstance(problem, LanyardError) else problem


def _text(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
