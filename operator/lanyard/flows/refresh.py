"""Keep a grant alive: the access token of a person's consent, replaced before it expires (DESIGN 4, Refresh).

1. read the state Secret from the API server: the grant, and whether somebody may be spending it
2. held against what the Connection asks for now: a grant never moves to another client or another host
3. `rules.grants` says what may be done: publish what is at hand, wait, or ask
4. ask: take a place at the host, resolve the credentials, and only then write the intent, on the version that was read
5. one request. What it brought is written before anything else is done, for as long as it takes
6. no answer: the intent stays, and the provider's rotation policy says when the token may be sent again
7. the provider has ended the grant: that is written down too, and only a consent helps
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lanyard.connectors.parameters import host_matches
from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import KubernetesError, LanyardError, ProviderError, SteppedBackError
from lanyard.flows.acquire import Acquired, is_skewed
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, Waiting, to_its_end
from lanyard.flows.world import Record, World
from lanyard.oauth.grants import RefreshGrant
from lanyard.oauth.responses import Token, missing_scopes
from lanyard.reasons import Reason
from lanyard.rules.grants import (
    Ask,
    Current,
    Ended,
    Grant,
    Hold,
    Intent,
    Stored,
    due_at,
    next_step,
    renewed,
)
from lanyard.rules.publish import token_content
from lanyard.rules.status import UNNAMED, Window
from lanyard.stores.adoption import Adopter, Terms
from lanyard.stores.grants import GrantStore

_log = logging.getLogger(__name__)

ROUNDS = 3  # somebody else may write the state Secret between our look and our write
Sleep = Callable[[float], Awaitable[None]]
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Wish:
    """Why a pass wants a token: `anew` where somebody asked, or an earlier attempt to replace the one that is
    published has failed (`published_at` is when that one was fetched).
    """

    anew: bool = False
    retry: bool = False
    published_at: datetime | None = None

    def is_due(self, grant: Grant, due: datetime | None, now: datetime) -> bool:
        has_news = self.published_at is None or grant.issued_at.replace(microsecond=0) > self.published_at
        return (due is not None and now >= due) or self.anew or (self.retry and not has_news)


class Refresher:
    """One instance a process. `holder` names it in intents, which it may leave for `intent_life`."""

    def __init__(
        self,
        *,
        world: World,
        store: GrantStore,
        adopter: Adopter,
        endpoint: TokenEndpoint,
        redirect_uri: Callable[[Plan], str],
        holder: str,
        intent_life: timedelta,
        clock: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._world = world
        self._store = store
        self._adopter = adopter
        self._endpoint = endpoint
        self._redirect_uri = redirect_uri
        self._holder = holder
        self._intent_life = intent_life
        self._clock = clock
        self._sleep = sleep

    async def renew(self, wanted: Errand, wish: Wish) -> Acquired | Waiting:
        """A live token of the grant: the one at hand, or a new one where it is due. LanyardError says why there is
        none; KubernetesError passes before anything was sent.
        """
        for _ in range(ROUNDS):
            stored = await self._found(wanted)
            errand = _knowing(wanted, stored.grant)
            hold_bound(errand, stored.grant)
            now = self._clock()
            due = wish.is_due(stored.grant, _due_at(errand, stored.grant), now)
            match next_step(stored, errand.plan.method.rotation, due=due, now=now):
                case Current():
                    return _acquired(errand, stored.grant)
                case Hold(until, reason):
                    return self._left(errand, stored.grant, LanyardError(reason), until)
                case Ended(reason):
                    return self._left(errand, stored.grant, LanyardError(reason), None)
                case Ask() as step:
                    waiting = self._endpoint.enter(errand)
                    if waiting is not None:
                        return waiting
                    try:
                        done = await to_its_end(self._spend_alone(errand, stored, step))
                    finally:
                        self._endpoint.leave(errand)
                    if done is not None:
                        return done
        raise LanyardError(Reason.KUBERNETES_UNAVAILABLE)

    async def _found(self, errand: Errand) -> Stored:
        record, plan = errand.record, errand.plan
        owner = owner_of(record)
        adoption = self._world.adoption_of(record.key, record.uid)
        if adoption is not None:
            held = await self._adopter.find(record.uid, owner)
            if held is not None:
                terms = Terms(
                    client_id=errand.spec.auth.client_id or "",
                    redirect_uri=self._redirect_uri(plan),
                    token_hosts=frozenset((plan.token_host, *plan.connector.spec.former_hosts)),
                )
                return await self._adopter.adopt(held, record.uid, owner, terms, now=self._clock())
        stored = await self._store.read(record.uid, owner)
        if stored is None:
            raise LanyardError(Reason.AUTHORIZATION_REQUIRED)
        return stored

    async def _spend_alone(self, errand: Errand, stored: Stored, step: Ask) -> Acquired | None:
        with self._world.spend(errand.record.uid):
            return await self._spend(errand, stored, step)

    async def _spend(self, errand: Errand, stored: Stored, step: Ask) -> Acquired | None:
        """Step 4 to 7; None when somebody else wrote the state Secret first: look again."""
        record, grant = errand.record, stored.grant
        if grant.refresh_token is None:
            raise LanyardError(Reason.NO_REFRESH_TOKEN)
        resolved = await self._endpoint.credentials(errand)
        earlier = stored.intent if stored.intent is not None and stored.intent.generation == grant.generation else None
        if step.intent_first:
            try:
                stored = await self._write(record, replace(stored, intent=self._intent(grant, earlier)))
            except KubernetesError as error:
                if error.code in {404, 409}:
                    return None
                raise
        form = RefreshGrant(grant.refresh_token, redirect_uri=grant.redirect_uri)
        try:
            token = await self._endpoint.token(errand, resolved, form)
        except ProviderError as error:
            told = await self._failed(record, stored, earlier, step, error)
            if told is None:
                return None
            raise told from None
        except (LanyardError, SteppedBackError):
            # Nothing was spent: credentials were to be looked up afresh and were not there, or the Lease was lost.
            if step.intent_first:
                await self._settle(record, replace(stored, intent=earlier))
            raise
        kept = await self._kept(errand, stored, token)
        return _acquired(errand, kept.grant, skewed=is_skewed(token))

    async def _failed(
        self, record: Record, stored: Stored, earlier: Intent | None, step: Ask, error: ProviderError
    ) -> LanyardError | None:
        """Steps 6 and 7: what to tell, with the state Secret left as it must be found again. None when the grant that
        was ended is no longer the one that is stored.
        """
        if error.reason is Reason.GRANT_REVOKED:
            reason = Reason.REFRESH_TOKEN_LOST if step.risky else Reason.GRANT_REVOKED
            is_noted = await self._settle(record, replace(stored, intent=None, ended=reason))
            return LanyardError(reason) if is_noted else None
        if stored.intent is not None:
            # Nobody is at it any more; whether it was spent is told by the intent that stays. What was not spent this
            # time may have been spent before.
            over = replace(stored.intent, not_after=self._clock()) if error.unanswered else earlier
            await self._settle(record, replace(stored, intent=over))
        return error

    async def _kept(self, errand: Errand, before: Stored, token: Token) -> Stored:
        """The next generation, written. What came in between is looked at, and beats ours only where it is newer."""
        record, pause = errand.record, pauses()
        while True:
            grant = renewed(
                before.grant,
                access_token=token.access_token,
                token_type=token.token_type,
                refresh_token=token.refresh_token,
                issued_at=token.issued_at,
                expires_at=token.expires_at,
                refresh_expires_at=token.refresh_expires_at,
                scopes=token.scope,
                captured=token.captured,
                learned=token.learned,
                token_host=errand.plan.token_host,
            )
            try:
                return await self._write(record, replace(before, grant=grant, intent=None, ended=None))
            except KubernetesError as error:
                if error.code == 404:
                    raise LanyardError(Reason.AUTHORIZATION_REQUIRED) from None
                current = await self._read_again(record) if error.code == 409 else None
                if current is not None and current.grant.generation != before.grant.generation:
                    return current
                before = current if current is not None else before
                _log.warning("grant not written yet", extra={"object": str(record.key), "status": error.code})
            except ProviderError:
                # Too large to be stored, and no smaller the next time.
                raise
            except LanyardError as error:
                _log.warning("grant not written yet", extra={"object": str(record.key), "reason": error.reason.value})
            await self._sleep(next(pause))

    async def _read_again(self, record: Record) -> Stored | None:
        try:
            return await self._store.read(record.uid, owner_of(record))
        except KubernetesError:
            return None

    async def _settle(self, record: Record, stored: Stored) -> bool:
        """Note how a request ended that brought nothing; False when somebody else has written meanwhile. What cannot
        be noted is found out again by the next request.
        """
        try:
            await self._write(record, stored)
        except KubernetesError as error:
            _log.warning("outcome not noted", extra={"object": str(record.key), "status": error.code})
            return error.code not in {404, 409}
        return True

    async def _write(self, record: Record, stored: Stored) -> Stored:
        return await self._store.write(record.uid, owner_of(record), stored, now=self._clock())

    def _intent(self, grant: Grant, earlier: Intent | None) -> Intent:
        """The provider's grace began with the first request that may have spent it."""
        now = self._clock()
        started_at = earlier.started_at if earlier is not None else now
        return Intent(str(uuid.uuid4()), grant.generation, self._holder, started_at, now + self._intent_life)

    def _left(self, errand: Errand, grant: Grant, trouble: LanyardError, until: datetime | None) -> Acquired:
        """What is at hand while there is nothing newer; LanyardError when that has expired."""
        now = self._clock()
        if grant.expires_at is not None and grant.expires_at <= now:
            if until is None:
                raise trouble
            raise LanyardError(trouble.reason, retry_after=max((until - now).total_seconds(), 0.0))
        acquired = _acquired(errand, grant)
        if acquired.window is None:
            return acquired
        next_at = until if until is not None else grant.expires_at
        return replace(acquired, window=replace(acquired.window, next_at=next_at), trouble=trouble)


def _acquired(errand: Errand, grant: Grant, *, skewed: bool = False) -> Acquired:
    plan = errand.plan
    mandatory, wanted = missing_scopes(plan, grant.scopes)
    if mandatory:
        raise ProviderError(Reason.SCOPE_MISSING, scopes=", ".join(mandatory))
    window = Window(
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
        next_at=_due_at(errand, grant),
        skew_host=plan.token_host if skewed else "",
    )
    content = token_content(
        connector=plan.connector.name,
        method=plan.method.name,
        access_token=grant.access_token,
        token_type=grant.token_type,
        expires_at=grant.expires_at,
        scopes=grant.scopes,
        authorization_format=plan.method.authorization_format,
        base_url=plan.base_url,
        captured=grant.captured,
    )
    return Acquired(content, window, grant.scopes, wanted, dict(errand.read), account=grant.account or UNNAMED)


def _knowing(errand: Errand, grant: Grant) -> Errand:
    if not grant.learned:
        return errand
    return replace(errand, plan=plan_for(errand.spec, errand.plan.connector, grant.learned))


def _due_at(errand: Errand, grant: Grant) -> datetime | None:
    return due_at(grant, errand.plan.method.rotation, errand.plan.default_life, errand.record.uid)


def pauses() -> Iterator[float]:
    """Seconds between attempts to write a grant that was received, for as long as it takes."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)


def owner_of(record: Record) -> str:
    return f"{record.key.namespace}/{record.key.name}"


def hold_bound(errand: Errand, grant: Grant) -> None:
    """A grant belongs to a client and to a host; LanyardError when the Connection names another one now.

    The redirect URI is not held: a refresh does not depend on it, and a platform that moves its gateway must not have
    to ask everybody again.
    """
    plan = errand.plan
    if grant.client_id != errand.spec.auth.client_id:
        raise LanyardError(Reason.CLIENT_CHANGED)
    former = plan.connector.spec.former_hosts
    if grant.token_host != plan.token_host and not any(host_matches(glob, grant.token_host) for glob in former):
        raise LanyardError(Reason.CONNECTOR_CHANGED, host=grant.token_host)
