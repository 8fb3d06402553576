"""Which FederatedCredentials count, and which of them a JWT is from: issuer, subject and audience, byte for byte.

No admission rule can count an object's siblings without a race, so the limit and the uniqueness of names are judged
here, from nothing but the objects: every process that knows the same ones judges the same, in whatever order they came.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from sys import intern
from typing import Any

from lanyard.api.federation import MOST_CREDENTIALS, ClaimRule, FederatedCredentialSpec, Replay, display_name

Place = tuple[str, str]
"""(namespace, name) of a Connection: the application that credentials belong to."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Credential:
    """A FederatedCredential as exchanges need it. `created_at` is RFC 3339, UTC, to the second; it sorts as text."""

    namespace: str
    name: str
    uid: str
    created_at: str
    generation: int
    connection: str
    display_name: str
    issuer: str
    audience: str
    subject: str
    rules: tuple[ClaimRule, ...]
    scopes: tuple[str, ...]
    expires_at: datetime | None
    suspended: bool
    single_use: bool
    keys: str
    """Name of its issuer's key set; empty with inline `jwks`."""
    jwks: str
    """Inline keys (RFC 7517), unparsed; empty unless given."""

    @property
    def keys_of(self) -> tuple[str, str]:
        """Where its issuer's keys are: two credentials that differ in it trust different keys."""
        return self.keys, self.jwks

    @property
    def place(self) -> Place:
        return self.namespace, self.connection


def credential_of(metadata: Mapping[str, Any], spec: FederatedCredentialSpec, keys: str) -> Credential:
    """From an object's metadata and spec. `keys`: the name of its issuer's key set, not used with inline keys."""
    return Credential(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=metadata["creationTimestamp"],
        generation=metadata.get("generation", 0),
        connection=intern(spec.connection_ref.name),
        display_name=display_name(metadata["name"], spec),
        # The same few of them over and over.
        issuer=intern(spec.issuer),
        audience=intern(spec.audience),
        subject=spec.subject,
        rules=tuple(spec.claims),
        scopes=tuple(spec.scopes),
        expires_at=expiry(spec.expires_at),
        suspended=spec.suspend,
        single_use=spec.replay is Replay.SINGLE_USE,
        keys="" if spec.jwks is not None else keys,
        jwks=spec.jwks or "",
    )


def expiry(text: str | None) -> datetime | None:
    """From when on a credential is not taken. What cannot be read is over: it was meant to end at some time."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return LONG_AGO
    return found if found.tzinfo is not None else LONG_AGO


class Verdict(StrEnum):
    """Whether a credential counts."""

    COUNTS = "counts"
    LIMIT_EXCEEDED = "LimitExceeded"
    DUPLICATE_NAME = "DuplicateName"


def judge(siblings: Iterable[Credential]) -> dict[str, Verdict]:
    """The verdict on each credential of one application, by uid. Of each name the oldest counts, of those 20.

    One that does not count takes no place and no name from others.
    """
    return {one.uid: verdict for one, verdict in _judged(sorted(siblings, key=_age))}


def _judged(oldest_first: Iterable[Credential]) -> Iterator[tuple[Credential, Verdict]]:
    names: set[str] = set()
    for one in oldest_first:
        if one.display_name in names:
            yield one, Verdict.DUPLICATE_NAME
        elif len(names) == MOST_CREDENTIALS:
            yield one, Verdict.LIMIT_EXCEEDED
        else:
            names.add(one.display_name)
            yield one, Verdict.COUNTS


def _age(one: Credential) -> tuple[str, str]:
    return one.created_at, one.uid


class TrustIndex:
    """All credentials, kept up to date one by one. Look-ups cost the same however many there are.

    At most 20 of an application count, so what is looked for there is compared with each of them.
    """

    def __init__(self) -> None:
        self._known: dict[str, Credential] = {}
        self._siblings: dict[Place, list[Credential]] = {}
        self._counting: dict[Place, tuple[Credential, ...]] = {}
        self._trusting: dict[tuple[str, str, str], set[str]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def put(self, one: Credential) -> None:
        """Add a credential, or replace the one of the same uid."""
        self.drop(one.uid)
        self._known[one.uid] = one
        insort(self._siblings.setdefault(one.place, []), one, key=_age)
        self._settle(one.place)

    def drop(self, uid: str) -> None:
        """Forget a credential; the next in age may take its place or its name. One that is not known is no error."""
        gone = self._known.get(uid)
        if gone is None:
            return
        siblings = self._siblings[gone.place]
        del siblings[bisect_left(siblings, _age(gone), key=_age)]
        if not siblings:
            del self._siblings[gone.place]
        self._settle(gone.place)
        del self._known[uid]

    def match(
        self, namespace: str, connection: str, issuer: str, subject: str, audiences: Sequence[str]
    ) -> tuple[Credential, ...]:
        """Those of an application that count and that such a JWT is from, oldest first.

        Suspended and expired ones too: what to say of them is for the caller, once the signature is good.
        """
        counting = self._counting.get((namespace, connection), ())
        return tuple(
            one for one in counting if one.subject == subject and one.issuer == issuer and one.audience in audiences
        )

    def applications(self, issuer: str, subject: str, audiences: Sequence[str]) -> frozenset[Place]:
        """(namespace, name) of every Connection with a credential that counts and that such a JWT is from."""
        found = (self._trusting.get((issuer, subject, audience), ()) for audience in audiences)
        return frozenset(self._known[uid].place for uids in found for uid in uids)

    def nearest(
        self, namespace: str, connection: str, issuer: str, subject: str, audiences: Sequence[str]
    ) -> tuple[Credential, str] | None:
        """The oldest that counts and differs in one field only, and that field; for the audit log, never for an answer.

        `audience` before `subject` before `issuer`: the sooner named, the likelier it is a slip.
        """
        near: dict[str, Credential] = {}
        for one in self._counting.get((namespace, connection), ()):
            fields = {
                "audience": one.audience in audiences,
                "subject": one.subject == subject,
                "issuer": one.issuer == issuer,
            }
            differing = [name for name, same in fields.items() if not same]
            if len(differing) == 1:
                near.setdefault(differing[0], one)
        return next(((near[name], name) for name in ("audience", "subject", "issuer") if name in near), None)

    def of(self, namespace: str, connection: str) -> tuple[Credential, ...]:
        """All of an application, oldest first; also those that do not count."""
        return tuple(self._siblings.get((namespace, connection), ()))

    def _settle(self, place: Place) -> None:
        """Judge an application anew, as far as one needs to for those that count."""
        for one in self._counting.pop(place, ()):
            uids = self._trusting[_trust(one)]
            uids.discard(one.uid)
            if not uids:
                del self._trusting[_trust(one)]
        judged = _judged(self._siblings.get(place, ()))
        counting = tuple(islice((one for one, verdict in judged if verdict is Verdict.COUNTS), MOST_CREDENTIALS))
        if counting:
            self._counting[place] = counting
        for one in counting:
            self._trusting.setdefault(_trust(one), set()).add(one.uid)


def _trust(one: Credential) -> tuple[str, str, str]:
    return one.issuer, one.subject, one.audience
