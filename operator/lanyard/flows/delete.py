"""Take a grant back when its Connection is deleted (DESIGN 4, Delete). Only stored grants hold an object up.

1. the state Secret is read; a grant that does not open cannot be revoked, and holds nobody up
2. `deletionPolicy: Orphan` leaves it alone at the provider
3. the connector's revocation calls are made; a provider that is away is asked again until `deadline` after the deletion
4. what could not be revoked is said in an Event: somebody can remove the app's access by hand
5. the state Secret is deleted, then the finalizer removed
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.selection import plan_for
from lanyard.errors import KubernetesError, LanyardError, unavailable
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.finalizer import Finalizers
from lanyard.flows.keys import Key
from lanyard.flows.queue import WorkQueue
from lanyard.flows.refresh import hold_bound, owner_of
from lanyard.flows.report import Reporter
from lanyard.flows.revoke import revoke
from lanyard.flows.tally import audit
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, to_its_end
from lanyard.flows.world import Record, World
from lanyard.oauth.revocation import Revoked
from lanyard.reasons import Reason
from lanyard.rules.status import moment
from lanyard.stores.grants import GrantStore

_log = logging.getLogger(__name__)

REVOKED = "revoked"
ORPHANED = "orphaned"
ENDED = "ended before"
NOTHING_KEPT = "no grant"
QUIET = frozenset({REVOKED, ORPHANED, ENDED, NOTHING_KEPT})
"""How a deletion can end with nothing left for anybody to do."""


class Deletion:
    """One instance a process. `grants` is None where consents are not set up: then no grant can be opened."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        grants: GrantStore | None,
        finalizers: Finalizers,
        endpoint: TokenEndpoint,
        reporter: Reporter,
        deadline: timedelta,
        pause: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._grants = grants
        self._finalizers = finalizers
        self._endpoint = endpoint
        self._reporter = reporter
        self._deadline = deadline
        self._pause = pause
        self._clock = clock

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        record = self._world.leaving.get(key)
        if record is None:
            queue.at(key, None)
            return
        if record.uid in self._world.spending:
            # What a code or a refresh is about to bring is taken back as well.
            queue.at(key, self._clock() + self._pause)
            return
        try:
            outcome = await to_its_end(self._revoked(record))
            if outcome is None:
                queue.at(key, self._clock() + self._pause)
                return
            if self._grants is not None:
                await self._grants.delete(record.uid)
            await self._finalizers.remove(record)
        except (KubernetesError, LanyardError):
            _log.warning("deletion not finished yet", extra={"object": str(key)})
            queue.at(key, self._clock() + self._pause)
            return
        self._world.leaving.pop(key, None)
        queue.at(key, None)
        audit("deletion", outcome, object_name=str(key), uid=record.uid)
        if outcome not in QUIET:
            error = LanyardError(Reason.GRANT_NOT_REVOKED, why=outcome)
            await self._reporter.announce(record, error.reason, error.message, warning=True, now=self._clock())

    async def _revoked(self, record: Record) -> str | None:
        """Steps 1 to 3: one of QUIET, or why the grant is not gone at the provider; None: come back later."""
        try:
            spec = ConnectionSpec.model_validate_json(record.spec)
            if spec.deletion_policy == "Orphan":
                return ORPHANED
            stored = await self._grants.read(record.uid, owner_of(record)) if self._grants is not None else None
            if stored is None:
                return NOTHING_KEPT
            if stored.ended is not None:
                return ENDED
            plan = plan_for(spec, self._catalogue.find(spec.connector), stored.grant.learned)
            errand = Errand(record, spec, plan)
            # Whoever may edit a Connection must not learn its refresh token by deleting it.
            hold_bound(errand, stored.grant)
            resolved = await self._endpoint.credentials(errand) if plan.method.revocation else {}
            attempt = await revoke(self._endpoint, errand, stored.grant, resolved, now=self._clock())
        except ValidationError:
            return Reason.INVALID_SPEC.value
        except LanyardError as error:
            # In a namespace that is being deleted, Secrets go first: without them nobody can authenticate.
            return error.reason.value
        except KubernetesError as error:
            # Nor can a ServiceAccount be presented there; what is never answered holds nobody up for ever.
            if not self._is_over(record):
                raise
            return unavailable(error).reason.value
        if attempt.verdict is Revoked.LATER and not self._is_over(record):
            return None
        return attempt.why or REVOKED

    def _is_over(self, record: Record) -> bool:
        began = moment(record.asked)
        return began is None or self._clock() >= began + self._deadline
