"""Who a Kubernetes token belongs to, and what that person may do: asked of the API server, which alone knows.

TokenReview (authentication.k8s.io/v1) and SubjectAccessReview (authorization.k8s.io/v1). Both are creates that store
nothing. The token goes to the API server and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lanyard.clients.kube import Kube
from lanyard.sensitive import Sensitive

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the cluster, or a ServiceAccount, as the API server describes it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do. `name` is empty for a list, a create, or an object that nobody knows."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


class Reviews:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def person(self, token: Sensitive, audience: str) -> Person | None:
        """None unless the token is good and was made for this audience; one for the API server's own is not."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        spec = {"token": token.reveal(), "audiences": [audience]}
        status = (await self._kube.create(TOKEN_REVIEWS, body | {"spec": spec})).get("status") or {}
        # An authenticator that knows nothing of audiences leaves the list out: then nothing was confirmed.
        if status.get("authenticated") is not True or audience not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        if not user.get("username"):
            return None
        extra = {name: tuple(values) for name, values in (user.get("extra") or {}).items()}
        return Person(user["username"], user.get("uid", ""), tuple(user.get("groups") or ()), extra)

    async def may(self, person: Person, act: Act) -> bool:
        attributes = {
            "verb": act.verb,
            "group": act.group,
            "resource": act.resource,
            "namespace": act.namespace,
            "name": act.name,
        }
        spec: dict[str, Any] = {
            "user": person.name,
            "groups": list(person.groups),
            "extra": {name: list(values) for name, values in person.extra.items()},
            "resourceAttributes": attributes,
        }
        if person.uid:
            spec["uid"] = person.uid
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        status = (await self._kube.create(ACCESS_REVIEWS, body)).get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True
