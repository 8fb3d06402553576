"""A consent by device code: the person agrees on another page, and the provider is asked until it says so (RFC 8628).

1. a record that a page has begun: its Connection is still what a person agreed to
2. the credentials are resolved, the Connection gets its finalizer
3. the provider gives a device code, and the record gets it: the page shows what belongs to it
4. at the provider's interval: the approval still stands, then one poll
5. a token: from here on as with any other consent (`flows.settlement`)
6. nobody agreed in time, or somebody declined: the record says so

Asking for a code spends nothing, so a process that ends in between leaves nothing behind, and the next one asks again.
The code is in the record, so the next one goes on polling too. Only a token whose answer, or whose grant, was cut short
is lost: the provider then refuses the code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lanyard.clients.kube import Kube
from lanyard.errors import LanyardError, ProviderError, SteppedBackError
from lanyard.flows.approval import hold_approved
from lanyard.flows.finalizer import Finalizers
from lanyard.flows.keys import Key
from lanyard.flows.queue import WorkQueue
from lanyard.flows.resolve import Resolved
from lanyard.flows.settlement import Settlement
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, to_its_end
from lanyard.oauth.device import INTERVAL, LONGEST_INTERVAL, Poll, backed_off, next_interval
from lanyard.oauth.grants import DeviceGrant
from lanyard.oauth.responses import Token
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, Device, Outcome, Phase
from lanyard.stores.consents import ConsentRecord, ConsentStore

WEATHER = frozenset(
    {
        Reason.PROVIDER_UNAVAILABLE,
        Reason.PROVIDER_TIMED_OUT,
        Reason.PROVIDER_THROTTLED,
        Reason.STORE_UNAVAILABLE,
        Reason.KUBERNETES_UNAVAILABLE,
    }
)
"""What may be over at the next poll; nothing was decided by it."""
LOOK_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Round:
    """How one consent is being asked for. `doubtful`: a poll may have been answered with a token that nobody has."""

    interval: timedelta
    next_at: datetime
    doubtful: bool = False


class DeviceAuthorizer:
    """One instance a process."""

    def __init__(
        self,
        *,
        kube: Kube,
        consents: ConsentStore,
        settlement: Settlement,
        finalizers: Finalizers,
        endpoint: TokenEndpoint,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._consents = consents
        self._settlement = settlement
        self._finalizers = finalizers
        self._endpoint = endpoint
        self._clock = clock
        self._rounds: dict[str, Round] = {}
        """By the record's name."""

    def forget(self, key: Key, queue: WorkQueue) -> None:
        """The record is done, or gone."""
        if self._rounds.pop(key.name, None) is not None:
            queue.at(key, None)

    async def reconcile(self, key: Key, held: ConsentRecord, queue: WorkQueue) -> None:
        """One look at a record that is REQUESTED or SHOWN. KubernetesError passes: nothing was spent."""
        consent = held.consent
        if consent is None or consent.device is None:
            raise LanyardError(Reason.STATE_INVALID, name=held.name)
        try:
            when = await self._round(key, held, consent, consent.device)
        except LanyardError as error:
            self.forget(key, queue)
            if not await self._settlement.end(held, error):
                queue.at(key, self._clock() + LOOK_AGAIN)
            return
        if when is None:
            self.forget(key, queue)
        else:
            queue.at(key, when)

    async def _round(self, key: Key, held: ConsentRecord, consent: Consent, device: Device) -> datetime | None:
        """When to look again, None when the record is done; LanyardError when it is to end."""
        now = self._clock()
        is_first = held.name not in self._rounds
        grant = await self._settlement.stored_of(held) if is_first else None
        if grant is not None:
            # Its code is spent, and some providers end the grant of one that comes again.
            is_written = await self._settlement.finish(held, Outcome(Reason.AUTHORIZED.value, grant.account))
            return None if is_written else now + LOOK_AGAIN
        if now >= device.ends_at:
            raise LanyardError(Reason.AUTHORIZATION_EXPIRED)
        errand = self._settlement.agreed(held, consent)
        current = self._current(held, device, now)
        if now < current.next_at:
            return min(current.next_at, device.ends_at)
        waiting = self._endpoint.enter(errand, key)
        if waiting is not None:
            return min(waiting.until or device.ends_at, device.ends_at)
        work = self._begin if held.phase is Phase.REQUESTED else self._poll
        try:
            following = await to_its_end(work(held, consent, device, errand, current))
        finally:
            self._endpoint.leave(errand)
        if following is None:
            return None
        if isinstance(following, datetime):
            # From now on it is as one that another process has polled for.
            self._rounds.pop(held.name, None)
            return following
        self._rounds[held.name] = following
        return min(following.next_at, device.ends_at)

    def _current(self, held: ConsentRecord, device: Device, now: datetime) -> Round:
        """Whoever finds a code that another process asked for does not know when that one polled last, nor what it was
        told: a whole interval is waited for.
        """
        known = self._rounds.get(held.name)
        if known is None:
            is_new = held.phase is Phase.REQUESTED
            interval = min(max(device.interval, INTERVAL), LONGEST_INTERVAL)
            known = Round(INTERVAL, now) if is_new else Round(interval, now + interval, doubtful=True)
            self._rounds[held.name] = known
        return known

    async def _begin(
        self, held: ConsentRecord, consent: Consent, device: Device, errand: Errand, current: Round
    ) -> Round:
        """Steps 2 and 3."""
        try:
            resolved = await self._endpoint.credentials(errand)
            await self._finalizers.add(errand.record)
            found = await self._endpoint.device_code(errand, resolved)
        except LanyardError as error:
            return self._later(current, error)
        shown = replace(
            device,
            ends_at=min(device.ends_at, found.expires_at),
            code=found.device_code,
            user_code=found.user_code,
            verification_uri=found.verification_uri,
            interval=found.interval,
        )
        following = Round(found.interval, self._clock() + found.interval)
        # Before the write: one whose answer is lost may have been made.
        self._rounds[held.name] = following
        await self._consents.show(held, replace(consent, device=shown), now=self._clock())
        return following

    async def _poll(
        self, held: ConsentRecord, consent: Consent, device: Device, errand: Errand, current: Round
    ) -> Round | datetime | None:
        """Steps 4 to 6; None when the record is done, a time to look again when it could not be told how it ended."""
        record = errand.record
        if device.code is None:
            raise LanyardError(Reason.STATE_INVALID, name=held.name)
        await hold_approved(self._kube, record, held, consent)
        with self._settlement.spending(held):
            try:
                resolved = await self._endpoint.credentials(errand)
                told = await self._endpoint.poll(errand, resolved, DeviceGrant(device.code))
            except LanyardError as error:
                return self._later(current, error)
            if isinstance(told, Token):
                is_written = await self._keep(held, consent, errand, resolved, told)
                return None if is_written else self._clock() + LOOK_AGAIN
        match told:
            case Poll.DENIED:
                raise LanyardError(Reason.CONSENT_DENIED)
            case Poll.EXPIRED:
                raise LanyardError(Reason.AUTHORIZATION_EXPIRED)
            case _:
                interval = next_interval(current.interval, told)
                return Round(interval, self._clock() + interval)

    async def _keep(
        self, held: ConsentRecord, consent: Consent, errand: Errand, resolved: Mapping[str, Resolved], token: Token
    ) -> bool:
        try:
            return await self._settlement.keep(held, consent, errand, resolved, token)
        except SteppedBackError:
            # Its code is spent: whoever polls with it next is refused.
            await self._settlement.end(held, LanyardError(Reason.AUTHORIZATION_LOST))
            raise

    def _later(self, current: Round, error: LanyardError) -> Round:
        """The next round after one that brought no answer; whatever else went wrong passes."""
        if error.reason is Reason.GRANT_REVOKED and current.doubtful:
            raise LanyardError(Reason.AUTHORIZATION_LOST)
        if error.reason not in WEATHER:
            raise error
        doubtful = current.doubtful or (isinstance(error, ProviderError) and error.unanswered)
        interval = backed_off(current.interval)
        pause = max(interval, timedelta(seconds=error.retry_after or 0))
        return Round(interval, self._clock() + pause, doubtful)
