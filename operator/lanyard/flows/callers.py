"""Who calls the REST API, and whether they may: an application with a token of ours, or a person of the cluster.

(1) The token is read strictly and has to be made for this API: anything else costs neither a signature nor a call. A
token for the API server's own audience is refused as well, for whoever gets it could use it there. (2) One of ours is
verified here, and not taken when it was revoked; any other is shown to the API server, which says whose it is. (3) An
application acts in its own namespace, where its scopes say what; elsewhere there is nothing for it. (4) A person does
what RBAC lets them do with the objects themselves; who may not even read is told that there is nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lanyard.api.dto import REST_AUDIENCE, Refusal, RestScope
from lanyard.api.federation import FEDERATED_CREDENTIAL
from lanyard.api.meta import GROUP
from lanyard.clients.reviews import Act, Person, Reviews
from lanyard.flows.manage import ManageRefusedError
from lanyard.oauth.flaws import PresentedError
from lanyard.oauth.minting import SigningKey, opened
from lanyard.oauth.presented import presented
from lanyard.sensitive import Sensitive

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Deed(StrEnum):
    """What is asked for, by the verb that RBAC has for it."""

    LIST = "list"
    READ = "get"
    CREATE = "create"
    REPLACE = "update"
    DELETE = "delete"

    @property
    def scopes(self) -> tuple[RestScope, RestScope]:
        """One of these."""
        reads = self in {Deed.LIST, Deed.READ}
        return RestScope.BOTH, RestScope.READ if reads else RestScope.WRITE


@dataclass(frozen=True, slots=True)
class Application:
    """A Connection that shows a token of ours; `client_id` is its uid."""

    client_id: str
    namespace: str
    scopes: tuple[str, ...]


Caller = Application | Person


def name_of_caller(caller: Caller) -> str:
    """For the audit log: a client id, or a Kubernetes user name."""
    return caller.client_id if isinstance(caller, Application) else caller.name


class Callers:
    """`issuer` is our own address, without a slash at its end; `keys` are ours by key id, also those not used yet."""

    def __init__(
        self,
        *,
        reviews: Reviews,
        keys: Callable[[], Mapping[str, SigningKey]],
        revoked: Callable[[str], bool],
        issuer: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._reviews = reviews
        self._keys = keys
        self._revoked = revoked
        self._issuer = issuer
        self._audience = f"{issuer}/{REST_AUDIENCE}"
        self._clock = clock

    async def identified(self, unverified_token: str) -> Caller:
        """ManageRefusedError TOKEN_INVALID; KubernetesError when the API server does not say."""
        try:
            one = presented(unverified_token)
            if self._audience not in one.unverified_audiences:
                raise ManageRefusedError(Refusal.TOKEN_INVALID)
            if one.unverified_issuer == self._issuer:
                return self._application(unverified_token)
        except PresentedError:
            raise ManageRefusedError(Refusal.TOKEN_INVALID) from None
        person = await self._reviews.person(Sensitive(unverified_token), self._audience)
        if person is None:
            raise ManageRefusedError(Refusal.TOKEN_INVALID)
        return person

    async def hold_allowed(self, caller: Caller, deed: Deed, namespace: str, name: str) -> None:
        """`name` is the object's, empty for none. ManageRefusedError NOT_FOUND, SCOPE_MISSING or FORBIDDEN."""
        match caller:
            case Application():
                if caller.namespace != namespace:
                    raise ManageRefusedError(Refusal.NOT_FOUND)
                if not set(deed.scopes) & set(caller.scopes):
                    raise ManageRefusedError(Refusal.SCOPE_MISSING)
            case Person():
                await self._hold_rights(caller, deed, namespace, name)

    async def _hold_rights(self, person: Person, deed: Deed, namespace: str, name: str) -> None:
        if _NAMESPACE.fullmatch(namespace) is None:
            raise ManageRefusedError(Refusal.NOT_FOUND)
        if await self._may(person, deed, namespace, name):
            return
        sees = deed is not Deed.READ and await self._may(person, Deed.READ, namespace, name)
        raise ManageRefusedError(Refusal.FORBIDDEN if sees else Refusal.NOT_FOUND)

    async def _may(self, person: Person, deed: Deed, namespace: str, name: str) -> bool:
        return await self._reviews.may(person, Act(deed.value, GROUP, FEDERATED_CREDENTIAL.plural, namespace, name))

    def _application(self, unverified_token: str) -> Application:
        token = opened(unverified_token, self._keys(), issuer=self._issuer, now=self._clock())
        if self._audience not in token.audiences or self._revoked(token.token_id):
            raise ManageRefusedError(Refusal.TOKEN_INVALID)
        return Application(token.client_id, token.namespace, token.scopes)
