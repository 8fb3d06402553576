"""Who calls the REST API, and whether they may: an application with a token of ours, or a person of the cluster.

(1) The token is read strictly and has to be made for this API: anything else costs neither a signature nor a call. A
token that is for the API server too is refused as well, for whoever gets it could use it there. (2) One of ours is
verified here, and has to be live; any other is shown to the API server, which says whose it is. (3) An
application acts in its own namespace, where its scopes say what; elsewhere there is nothing for it. (4) A person does
what RBAC lets them do with the objects themselves; who may not even read is told that there is nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lanyard.api.dto import REST_AUDIENCE, Refusal, RestScope
from lanyard.api.federation import FEDERATED_CREDENTIAL
from lanyard.api.meta import GROUP
from lanyard.clients.reviews import Act, Person, Reviews
from lanyard.flows.manage import ManageRefusedError
from lanyard.oauth.flaws import PresentedError
from lanyard.oauth.minting import Minted
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
    """`issuer` is our own address, without a slash at its end; `live` says what a token of ours says, if it is one."""

    def __init__(self, *, reviews: Reviews, live: Callable[[str], Minted | None], issuer: str) -> None:
        self._reviews = reviews
        self._live = live
        self._issuer = issuer
        self._audience = f"{issuer}/{REST_AUDIENCE}"

    async def identified(self, unverified_token: str) -> Caller:
        """ManageRefusedError TOKEN_INVALID; KubernetesError when the API server does not say."""
        try:
            one = presented(unverified_token)
        except PresentedError:
            raise ManageRefusedError(Refusal.TOKEN_INVALID) from None
        # One that is also for somebody else, such as the API server, could be used there by whoever gets it.
        if set(one.unverified_audiences) != {self._audience}:
            raise ManageRefusedError(Refusal.TOKEN_INVALID)
        caller: Caller | None
        if one.unverified_issuer == self._issuer:
            caller = self._application(unverified_token)
        else:
            caller = await self._reviews.person(Sensitive(unverified_token), self._audience)
        if caller is None:
            raise ManageRefusedError(Refusal.TOKEN_INVALID)
        return caller

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

    def _application(self, unverified_token: str) -> Application | None:
        token = self._live(unverified_token)
        return Application(token.client_id, token.namespace, token.scopes) if token is not None else None
