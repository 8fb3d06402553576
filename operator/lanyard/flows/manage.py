"""Manage the federated credentials of an application, as the reference's REST API does, on the custom resources.

Create and replace: (1) the application is there and is no link; (2) limit and name are judged over those that this
gateway knows; (3) the issuer's keys can be fetched; (4) the write; (5) this gateway has seen it, so that whoever reads
next finds it; (6) the same judgement once more, over those that were there first: two may have been written at once,
and the one that lost is taken back. Who may do what was decided before (flows/callers.py).

Every change names the object as it was last seen. Nothing that the reference has no member for is touched.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Self

from pydantic import ValidationError

from lanyard.api.dto import ReadCredential, Refusal, WrittenCredential
from lanyard.api.federation import FEDERATED_CREDENTIAL, FederatedCredentialSpec
from lanyard.api.meta import API_VERSION
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.flows.credential_mirror import CredentialView, SeenCredential
from lanyard.flows.issuer_fetch import KeySource
from lanyard.flows.issuer_probe import Probe
from lanyard.flows.view import Place, SeenConnection
from lanyard.reasons import Reason
from lanyard.rules.dto import (
    change,
    displaced,
    is_issuer,
    merged,
    new_object,
    read_credential,
    reversal,
    tag_matches,
    version_tag,
)
from lanyard.rules.trust import Credential, credential_of

_log = logging.getLogger(__name__)

SEEN_WITHIN = 1.0
"""Seconds that an answer waits for this gateway's own mirror."""
ATTEMPTS = 4
"""How often a change is made when somebody else, such as the operator with a status, writes in between."""
# Younger than any other: what is not written yet takes nobody's place.
_UNBORN = {"uid": "", "creationTimestamp": "9999-12-31T23:59:59Z"}

Applications = Callable[[str, str], SeenConnection | None]
"""The Connection of a namespace with this uid."""


class ManageRefusedError(Exception):
    """A request is refused. `field` is our own name of the member that does not fit, `cause` why there are no keys."""

    def __init__(self, refusal: Refusal, field: str | None = None, cause: Reason | None = None) -> None:
        self.refusal = refusal
        self.field = field
        self.cause = cause
        super().__init__(refusal.value)


@dataclass(frozen=True, slots=True)
class Managed:
    """A credential, its tag, and whose it is: `namespace/name` of the object."""

    credential: ReadCredential
    tag: str
    owner: str

    @classmethod
    def of(cls, one: SeenCredential, client_id: str) -> Self:
        credential = read_credential(
            uid=one.uid,
            client_id=client_id,
            name=one.name,
            created_at=one.created_at,
            updated_at=one.updated_at,
            spec=one.parsed(),
        )
        return cls(credential, version_tag(one.generation, one.updated_at), one.owner)


class Manager:
    """Raises ManageRefusedError, and KubernetesError while the API server does not help.

    `new_name` gives DNS names that nobody can foresee.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        applications: Applications,
        credentials: CredentialView,
        probe: Probe,
        new_name: Callable[[], str],
    ) -> None:
        self._kube = kube
        self._applications = applications
        self._credentials = credentials
        self._probe = probe
        self._new_name = new_name

    def listed(self, namespace: str, client_id: str) -> list[Managed]:
        """Oldest first; those that do not count too: who is to delete them has to see them."""
        place = self._place(namespace, client_id)
        found = sorted(self._credentials.of(place), key=lambda one: (one.created_at, one.uid))
        return [Managed.of(one, client_id) for one in found]

    def one(self, namespace: str, client_id: str, uid: str) -> Managed:
        return Managed.of(self._seen(self._place(namespace, client_id), uid), client_id)

    def known(self, namespace: str, client_id: str, uid: str) -> tuple[str, str]:
        """Names of the Connection and of the credential, empty for what there is not: to ask who may do what with it,
        and for the audit log.
        """
        application = self._applications(namespace, client_id)
        if application is None:
            return "", ""
        found = self._credentials.find((namespace, application.name), uid)
        return application.name, found.name if found is not None else ""

    async def create(self, namespace: str, client_id: str, written: WrittenCredential) -> Managed:
        place = self._place(namespace, client_id, for_writing=True)
        wanted = new_object(written, namespace=namespace, name=self._new_name(), connection=place[1])
        unborn = _credential(wanted["metadata"] | _UNBORN, wanted["spec"])
        _hold_place(_siblings(self._credentials.of(place)), unborn)
        await self._hold_issuer(written.issuer, wanted["spec"])
        try:
            made = SeenCredential.of(await self._kube.create(path_of(namespace), wanted))
        except KubernetesError as error:
            raise _refusal(error) from None
        await self._comes_to(lambda: self._credentials.find(place, made.uid) is not None)
        # First heard of first: who was made later by this gateway or another one comes later here.
        older = takewhile(lambda one: one.uid != made.uid, self._credentials.of(place))
        try:
            _hold_place(_siblings(older), _own(made))
        except ManageRefusedError:
            await self._delete(place, made)
            raise
        return Managed.of(made, client_id)

    async def replace(
        self, namespace: str, client_id: str, uid: str, written: WrittenCredential, if_match: str | None
    ) -> Managed:
        place = self._place(namespace, client_id, for_writing=True)
        seen = self._matching(place, uid, if_match)
        wanted = merged(seen.parsed(), change(written))
        _hold_place(_siblings(self._credentials.of(place)), _credential(_metadata(seen), wanted))
        await self._hold_issuer(written.issuer, wanted)
        before, made = await self._changed(place, uid, change(written), if_match)
        siblings = [before if one.uid == uid else one for one in self._credentials.of(place)]
        try:
            _hold_place(_siblings(siblings), _own(made))
        except ManageRefusedError:
            await self._changed(place, uid, reversal(before.parsed(), written), None)
            raise
        return Managed.of(made, client_id)

    async def delete(self, namespace: str, client_id: str, uid: str, if_match: str | None) -> str:
        """`namespace/name` of what is gone."""
        place = self._place(namespace, client_id)
        for _ in range(ATTEMPTS):
            seen = self._matching(place, uid, if_match)
            if await self._delete(place, seen, seen.version if if_match is not None else None):
                return seen.owner
        raise KubernetesError(KubernetesStatus(503))

    def _place(self, namespace: str, client_id: str, *, for_writing: bool = False) -> Place:
        application = self._applications(namespace, client_id)
        if application is None or application.going:
            raise ManageRefusedError(Refusal.NOT_FOUND)
        if for_writing and _is_link(application):
            raise ManageRefusedError(Refusal.NOT_FOR_LINKS)
        return namespace, application.name

    def _seen(self, place: Place, uid: str) -> SeenCredential:
        found = self._credentials.find(place, uid)
        if found is None:
            raise ManageRefusedError(Refusal.NOT_FOUND)
        return found

    def _matching(self, place: Place, uid: str, if_match: str | None) -> SeenCredential:
        seen = self._seen(place, uid)
        if if_match is not None and not tag_matches(if_match, version_tag(seen.generation, seen.updated_at)):
            raise ManageRefusedError(Refusal.CHANGED)
        return seen

    async def _hold_issuer(self, issuer: str, spec: Mapping[str, Any]) -> None:
        """Keys that are given inline are there; all others are fetched, as the operator will."""
        if not is_issuer(issuer):
            raise ManageRefusedError(Refusal.ISSUER_INVALID)
        if spec.get("jwks") is not None:
            return
        cause = await self._probe(KeySource(issuer, spec.get("jwksURI"), spec.get("caBundle")))
        if cause is not None:
            raise ManageRefusedError(Refusal.ISSUER_UNREACHABLE, cause=cause)

    async def _changed(
        self, place: Place, uid: str, patch: Mapping[str, Any], if_match: str | None
    ) -> tuple[SeenCredential, SeenCredential]:
        """Before and after. Who else wrote in between is not written over: it is looked at again, and then tried."""
        for _ in range(ATTEMPTS):
            seen = self._matching(place, uid, if_match)
            body = {"metadata": {"resourceVersion": seen.version}, "spec": patch}
            try:
                made = SeenCredential.of(await self._kube.merge(path_of(seen.namespace, seen.name), body))
            except KubernetesError as error:
                if error.code != 409:
                    raise _refusal(error) from None
                await self._comes_to(lambda: self._version(place, uid) != seen.version)  # noqa: B023 - awaited here
                continue
            await self._comes_to(lambda: self._generation(place, uid) >= made.generation)  # noqa: B023 - awaited here
            return seen, made
        raise KubernetesError(KubernetesStatus(503))

    async def _delete(self, place: Place, seen: SeenCredential, version: str | None = None) -> bool:
        """False when it is not any more what the resourceVersion says, or another one has taken its name."""
        try:
            await self._kube.delete(path_of(seen.namespace, seen.name), uid=seen.uid, version=version)
        except KubernetesError as error:
            if error.code == 409:
                await self._comes_to(lambda: self._version(place, seen.uid) != seen.version)
                return False
            if error.code != 404:
                raise _refusal(error) from None
        await self._comes_to(lambda: self._credentials.find(place, seen.uid) is None)
        return True

    def _version(self, place: Place, uid: str) -> str:
        found = self._credentials.find(place, uid)
        return found.version if found is not None else ""

    def _generation(self, place: Place, uid: str) -> float:
        """One that is gone meanwhile is newer than any."""
        found = self._credentials.find(place, uid)
        return found.generation if found is not None else math.inf

    async def _comes_to(self, holds: Callable[[], bool]) -> None:
        if not await self._credentials.comes_to(holds, SEEN_WITHIN):
            _log.warning("the mirror of credentials is late")


def path_of(namespace: str, name: str = "") -> str:
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{FEDERATED_CREDENTIAL.plural}"
    return f"{path}/{name}" if name else path


def _refusal(error: KubernetesError) -> Exception:
    """What a write that the API server refused means here. Its own words are not passed on."""
    match error.code:
        case 400 | 413 | 422:
            return ManageRefusedError(Refusal.RULE_BROKEN)
        case 403:
            return ManageRefusedError(Refusal.NOT_WRITABLE)
        case 404:
            return ManageRefusedError(Refusal.NOT_FOUND)
        case _:
            return error


def _hold_place(siblings: Iterable[Credential], mine: Credential) -> None:
    lost = displaced(siblings, mine)
    if lost is not None:
        raise ManageRefusedError(Refusal(lost.value))


def _siblings(seen: Iterable[SeenCredential]) -> Iterator[Credential]:
    """One that is older than the schema counts nowhere."""
    for one in seen:
        try:
            yield _own(one)
        except ManageRefusedError:
            continue


def _own(one: SeenCredential) -> Credential:
    return _credential(_metadata(one), one.parsed())


def _metadata(one: SeenCredential) -> dict[str, str]:
    return {"namespace": one.namespace, "name": one.name, "uid": one.uid, "creationTimestamp": one.created_at}


def _credential(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Credential:
    try:
        return credential_of(metadata, FederatedCredentialSpec.model_validate(spec), "")
    except ValidationError:
        raise ManageRefusedError(Refusal.RULE_BROKEN) from None


def _is_link(application: SeenConnection) -> bool:
    try:
        return application.parsed().link_to is not None
    except ValidationError:
        return False
