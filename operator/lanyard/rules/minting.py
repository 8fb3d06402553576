"""Which tokens of its own Lanyard makes for whom (DESIGN 4, Exchange, Minted).

Every Connection of a connector that mints has its default audience, `<issuer>/<namespace>`, and no scope. Other
audiences and any scope are the platform's to give, by namespace. What lies under the issuer's own address belongs to
the tenant that it names: it is nobody else's to have, whatever a Connector says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from lanyard.api.connector import MintGrant

MANAGEMENT_SCOPE = "PM."
"""Scopes that begin so open Lanyard's REST API."""
_DEFAULT_SCOPE = ".default"


def default_audience(issuer: str, namespace: str) -> str:
    return f"{issuer}/{namespace}"


def management_audience(issuer: str) -> str:
    """That of the REST API. No namespace can have the name: it holds an underscore."""
    return f"{issuer}/identity_"


@dataclass(frozen=True, slots=True)
class Mintable:
    """What one application may have. `audiences` are those beside the default one."""

    issuer: str
    namespace: str
    audiences: frozenset[str]
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, mints: Iterable[MintGrant], namespace: str, labels: Mapping[str, str] | None, issuer: str) -> Self:
        """Of a Connection in `namespace`; `labels` None where they are not known, which admits by name only."""
        known = dict(labels) if labels is not None else None
        admitted = [one for one in mints if one.namespaces.admits(namespace, known)]
        audiences = {audience for one in admitted for audience in one.audiences}
        own = {default_audience(issuer, namespace), management_audience(issuer)}
        return cls(
            issuer=issuer,
            namespace=namespace,
            audiences=frozenset(one for one in audiences if one in own or not is_under(issuer, one)),
            scopes=tuple(dict.fromkeys(scope for one in admitted for scope in one.scopes)),
        )

    @property
    def default_audience(self) -> str:
        return default_audience(self.issuer, self.namespace)

    def audience(self, scopes: Sequence[str], wanted: str = "") -> str | None:
        """`aud` of a token with these granted scopes; None when the audience that is wanted is not to be had.

        A scope of the REST API makes the token one for that API, and for nothing else.
        """
        is_for_management = any(scope.startswith(MANAGEMENT_SCOPE) for scope in scopes)
        usual = management_audience(self.issuer) if is_for_management else self.default_audience
        if wanted in {"", usual}:
            return usual
        return wanted if wanted in self.audiences and not is_for_management else None


def minted_scopes(requested: str, allowed: Sequence[str], bound: Sequence[str] = ()) -> tuple[str, ...] | None:
    """The scopes to grant, in the order of `allowed`; None when something is asked for that is not allowed.

    `requested` is the parameter `scope` (RFC 6749 3.3). Nothing, or `<anything>/.default` as Entra's clients write it,
    asks for all that is allowed. `bound` is the upper bound of the credential that is used; empty bounds nothing.
    """
    to_be_had = tuple(scope for scope in allowed if not bound or scope in bound)
    wanted = [scope for scope in requested.split(" ") if scope]
    if all(scope == _DEFAULT_SCOPE or scope.endswith(f"/{_DEFAULT_SCOPE}") for scope in wanted):
        return to_be_had
    if any(scope not in to_be_had for scope in wanted):
        return None
    return tuple(scope for scope in to_be_had if scope in wanted)


def is_under(issuer: str, audience: str) -> bool:
    """Whether an audience is the issuer itself or lies under it, also for a reader who does not mind the case."""
    place, one = issuer.rstrip("/").casefold(), audience.casefold()
    return one == place or one.startswith(f"{place}/")


def foreign_audience(mints: Sequence[MintGrant], issuer: str) -> int | None:
    """Index of the first entry with an audience that is some tenant's own; None when there is none.

    An entry for one namespace by name may list that namespace's own.
    """
    for index, one in enumerate(mints):
        names = one.namespaces.names
        own = {management_audience(issuer)}
        if one.namespaces.selector is None and len(names) == 1:
            own.add(default_audience(issuer, names[0]))
        if any(is_under(issuer, audience) and audience not in own for audience in one.audiences):
            return index
    return None
