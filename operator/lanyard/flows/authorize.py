"""Spend the answer to a consent: from a code to a stored grant (DESIGN 4, Consent).

1. the record: answered by the provider, and fresh enough; one that somebody claimed and never finished is lost
2. its Connection is still what a person agreed to, and still approves this browser
3. the credentials are resolved and the answer is genuine: up to here nothing is spent
4. the Connection gets its finalizer, then the record is claimed, on the version that was read: a code works once
5. the code is exchanged; where the product swaps that token for one that lasts, that too
6. whose account it is, before anything is replaced
7. the grant is stored; a working older one is replaced only now
8. the record says how it ended, which the browser's page shows

Steps 6 to 8 are those of `flows.settlement`. Nothing here is tried again: a second try needs a second code. A consent
by device code goes on in `flows.authorize_device`.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from lanyard.clients.kube import Kube
from lanyard.connectors.fields import CLIENT_SECRET
from lanyard.connectors.selection import Plan
from lanyard.errors import KubernetesError, LanyardError, SteppedBackError
from lanyard.flows.approval import hold_approved
from lanyard.flows.authorize_device import DeviceAuthorizer
from lanyard.flows.finalizer import Finalizers
from lanyard.flows.keys import Key
from lanyard.flows.queue import WorkQueue
from lanyard.flows.resolve import Resolved
from lanyard.flows.settlement import Settlement
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, to_its_end, values
from lanyard.oauth.authorization import CallbackError, is_genuine
from lanyard.oauth.grants import CodeGrant
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, Outcome, Phase
from lanyard.stores.consents import ConsentRecord, ConsentStore

_log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(seconds=1)


class Authorizer:
    """One instance a process. `claim_life`: a claim that is not finished by then was left by a process that ended."""

    def __init__(
        self,
        *,
        kube: Kube,
        consents: ConsentStore,
        settlement: Settlement,
        device: DeviceAuthorizer,
        finalizers: Finalizers,
        endpoint: TokenEndpoint,
        code_lifetime: timedelta,
        claim_life: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._consents = consents
        self._settlement = settlement
        self._device = device
        self._finalizers = finalizers
        self._endpoint = endpoint
        self._code_lifetime = code_lifetime
        self._claim_life = claim_life
        self._clock = clock
        self._claims: dict[Key, datetime] = {}
        """When a claim of somebody else was first seen."""

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        """One record, once. What cannot be looked at now is looked at again until its code is too old."""
        try:
            held = await self._consents.read(key.name)
            if held is None or held.phase in {Phase.STARTED, Phase.DONE}:
                self._claims.pop(key, None)
                self._device.forget(key, queue)
                return
            match held.phase:
                case Phase.CLAIMED:
                    await self._lost(key, held, queue)
                case Phase.ANSWERED:
                    await to_its_end(self._spend_alone(held))
                case _:
                    await self._device.reconcile(key, held, queue)
        except KubernetesError as error:
            if error.code not in {404, 409}:  # gone, or somebody else was first
                _log.warning("consent not looked at", extra={"record": key.name, "status": error.code})
                queue.at(key, self._clock() + LOOK_AGAIN)
        except LanyardError as error:
            # A record that does not open now may open when its ring is back; its page shows that it is too late then.
            _log.warning("consent not read", extra={"record": key.name, "reason": error.reason.value})
            queue.at(key, self._clock() + self._code_lifetime)

    async def _lost(self, key: Key, held: ConsentRecord, queue: WorkQueue) -> None:
        """Whoever claimed it may still be at work; after its time, the code is spent and nobody has the answer. What is
        stored is not lost: then only the record was not finished.
        """
        now = self._clock()
        grant = await self._settlement.stored_of(held)
        if grant is not None:
            self._claims.pop(key, None)
            await self._settlement.finish(held, Outcome(Reason.AUTHORIZED.value, grant.account))
            queue.at(key, now + LOOK_AGAIN)
            return
        until = self._claims.setdefault(key, now) + self._claim_life
        if now < until:
            queue.at(key, until)
            return
        del self._claims[key]
        await self._settlement.end(held, LanyardError(Reason.AUTHORIZATION_LOST))

    async def _spend_alone(self, held: ConsentRecord) -> None:
        with self._settlement.spending(held):
            await self._spend(held)

    async def _spend(self, held: ConsentRecord) -> None:
        """Steps 2 to 8."""
        try:
            consent, code, errand = self._asked(held)
            await hold_approved(self._kube, errand.record, held, consent)
            await self._hold_unspent(held)
            resolved = await self._endpoint.credentials(errand)
            _hold_genuine(errand.plan, consent, resolved)
            await self._finalizers.add(errand.record)
        except LanyardError as error:
            await self._settlement.end(held, error)
            return
        held = await self._consents.claim(held)
        try:
            token = await self._endpoint.token(errand, resolved, code)
            await self._settlement.keep(held, consent, errand, resolved, token)
        except LanyardError as error:
            await self._settlement.end(held, error)
        except SteppedBackError:
            # Nobody takes up what is claimed, so the person need not wait to be told.
            await self._settlement.end(held, LanyardError(Reason.AUTHORIZATION_LOST))
            raise

    async def _hold_unspent(self, held: ConsentRecord) -> None:
        """Whoever may write records can make one anew, but one approval brings one grant."""
        if await self._settlement.stored_of(held) is not None:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)

    def _asked(self, held: ConsentRecord) -> tuple[Consent, CodeGrant, Errand]:
        """Steps 1 and 2; LanyardError says why it is not spent."""
        consent = held.consent
        if consent is None or consent.answered_at is None:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
        if consent.error or consent.code is None:
            raise _declined(consent.error)
        if self._clock() >= consent.answered_at + self._code_lifetime:
            raise LanyardError(Reason.AUTHORIZATION_EXPIRED)
        code = CodeGrant(consent.code, consent.redirect_uri, consent.code_verifier)
        return consent, code, self._settlement.agreed(held, consent)


def _hold_genuine(plan: Plan, consent: Consent, resolved: Mapping[str, Resolved]) -> None:
    if not is_genuine(plan, consent.raw_query, values(resolved).get(CLIENT_SECRET)):
        raise LanyardError(Reason.AUTHORIZATION_FAILED, why=Reason.PROVIDER_ANSWER_INVALID.value)


def _declined(error: str) -> LanyardError:
    """What the provider's refusal comes down to."""
    match error:
        case CallbackError.DENIED:
            return LanyardError(Reason.CONSENT_DENIED)
        case CallbackError.SCOPE:
            return LanyardError(Reason.AUTHORIZATION_FAILED, why=Reason.SCOPE_REJECTED.value)
        case CallbackError.UNAVAILABLE:
            return LanyardError(Reason.AUTHORIZATION_FAILED, why=Reason.PROVIDER_UNAVAILABLE.value)
        case _:
            return LanyardError(Reason.AUTHORIZATION_FAILED, why=Reason.REQUEST_REJECTED.value)
