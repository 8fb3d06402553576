"""Spend the answer to a consent: from a code to a stored grant (DESIGN 4, Consent).

1. the record: answered by the provider, and fresh enough; one that somebody claimed and never finished is lost
2. its Connection is still what a person agreed to
3. the credentials are resolved and the answer is genuine: up to here nothing is spent
4. the Connection gets its finalizer, then the record is claimed, on the version that was read: a code works once
5. the code is exchanged; where the product swaps that token for one that lasts, that too
6. whose account it is, before anything is replaced
7. the grant is stored; a working older one is replaced only now
8. the record says how it ended, which the browser's page shows

A failure before step 7 leaves an older grant as it is. Nothing here is tried again: a second try needs a second code.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.fields import CLIENT_SECRET
from lanyard.connectors.selection import Plan, learned_of, pinned, plan_for
from lanyard.errors import KubernetesError, LanyardError, SteppedBackError, unavailable
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.finalizer import Finalizers
from lanyard.flows.identify import identify
from lanyard.flows.keys import Key, What
from lanyard.flows.pages import Pages
from lanyard.flows.queue import WorkQueue
from lanyard.flows.refresh import owner_of
from lanyard.flows.report import Reporter
from lanyard.flows.resolve import Resolved
from lanyard.flows.revoke import revoke
from lanyard.flows.tally import audit
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, to_its_end, values
from lanyard.flows.world import Record, World
from lanyard.oauth.authorization import CallbackError, is_genuine
from lanyard.oauth.grants import CodeGrant, ExchangeGrant
from lanyard.oauth.responses import Token
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason
from lanyard.rules.consent import Consent, Outcome, Phase
from lanyard.rules.grants import Grant
from lanyard.stores.consents import ConsentRecord, ConsentStore
from lanyard.stores.grants import GrantStore

_log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
LOOK_AGAIN = timedelta(seconds=1)
Sleep = Callable[[float], Awaitable[None]]


class Authorizer:
    """One instance a process. `claim_life`: a claim that is not finished by then was left by a process that ended."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        consents: ConsentStore,
        grants: GrantStore,
        finalizers: Finalizers,
        endpoint: TokenEndpoint,
        reporter: Reporter,
        pages: Pages,
        code_lifetime: timedelta,
        claim_life: timedelta,
        clock: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._consents = consents
        self._grants = grants
        self._finalizers = finalizers
        self._endpoint = endpoint
        self._reporter = reporter
        self._pages = pages
        self._code_lifetime = code_lifetime
        self._claim_life = claim_life
        self._clock = clock
        self._sleep = sleep
        self._claims: dict[Key, datetime] = {}
        """When a claim of somebody else was first seen."""

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        """One record, once. What cannot be looked at now is looked at again until its code is too old."""
        try:
            held = await self._consents.read(key.name)
            if held is None or held.phase in {Phase.STARTED, Phase.DONE}:
                self._claims.pop(key, None)
                return
            if held.phase is Phase.CLAIMED:
                await self._lost(key, held, queue)
                return
            await to_its_end(self._spend_alone(held))
        except KubernetesError as error:
            if error.code not in {404, 409}:  # gone, or somebody else was first
                _log.warning("consent not looked at", extra={"record": key.name, "status": error.code})
                queue.at(key, self._clock() + LOOK_AGAIN)
        except LanyardError as error:
            # A record that does not open now may open when its ring is back; its page shows that it is too late then.
            _log.warning("consent not read", extra={"record": key.name, "reason": error.reason.value})
            queue.at(key, self._clock() + self._code_lifetime)

    async def _lost(self, key: Key, held: ConsentRecord, queue: WorkQueue) -> None:
        """Whoever claimed it may still be at work; after its time, the code is spent and nobody has the answer."""
        now = self._clock()
        until = self._claims.setdefault(key, now) + self._claim_life
        if now < until:
            queue.at(key, until)
            return
        del self._claims[key]
        await self._end(held, LanyardError(Reason.AUTHORIZATION_LOST))

    async def _spend_alone(self, held: ConsentRecord) -> None:
        """A deletion that comes meanwhile waits for what this brings, to take it back."""
        self._world.spending.add(held.uid)
        try:
            await self._spend(held)
        finally:
            self._world.spending.discard(held.uid)

    async def _spend(self, held: ConsentRecord) -> None:
        """Steps 2 to 8."""
        try:
            consent, errand = self._asked(held)
            resolved = await self._endpoint.credentials(errand)
            _hold_genuine(errand.plan, consent, resolved)
            await self._finalizers.add(errand.record)
        except LanyardError as error:
            await self._end(held, error)
            return
        held = await self._consents.claim(held)
        try:
            grant = await self._grant(errand, consent, resolved)
            await self._store(errand.record, grant)
        except LanyardError as error:
            await self._end(held, error)
            return
        except SteppedBackError:
            # Nobody takes up what is claimed, so the person need not wait to be told.
            await self._end(held, LanyardError(Reason.AUTHORIZATION_LOST))
            raise
        record = errand.record
        record.declined = None
        audit("consent", "authorized", object_name=str(record.key), uid=record.uid, approved_by=consent.approved_by)
        await self._finish(held, Outcome(Reason.AUTHORIZED.value, grant.account))
        self._world.wake(record.key)

    def _asked(self, held: ConsentRecord) -> tuple[Consent, Errand]:
        """Steps 1 and 2; LanyardError says why it is not spent."""
        consent, record = held.consent, self._record(held)
        if record is None or consent is None or consent.answered_at is None:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
        if consent.error or consent.code is None:
            raise _declined(consent.error)
        if self._clock() >= consent.answered_at + self._code_lifetime:
            raise LanyardError(Reason.AUTHORIZATION_EXPIRED)
        try:
            spec = ConnectionSpec.model_validate_json(record.spec)
        except ValidationError:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED) from None
        plan = plan_for(spec, self._catalogue.find(spec.connector), consent.callback)
        if spec.suspend or not consent.is_still(
            generation=record.generation,
            client_id=spec.auth.client_id,
            connector_digest=pinned(plan),
            redirect_uri=self._pages.redirect_uri(plan.connector.name),
        ):
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
        return consent, Errand(record, spec, plan)

    def _record(self, held: ConsentRecord) -> Record | None:
        namespace, _, name = held.owner.partition("/")
        record = self._world.get(Key(What.CONNECTION, namespace, name))
        return record if record is not None and record.uid == held.uid else None

    async def _grant(self, errand: Errand, consent: Consent, resolved: Mapping[str, Resolved]) -> Grant:
        """Steps 5 and 6."""
        if consent.code is None:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
        code = CodeGrant(consent.code, consent.redirect_uri, consent.code_verifier)
        token = await self._endpoint.token(errand, resolved, code)
        learned = {**learned_of(errand.plan, "callback", consent.callback), **token.learned}
        if errand.plan.method.exchange is not None:
            swap = ExchangeGrant(token.access_token)
            token = _joined(token, await self._endpoint.token(_knowing(errand, learned), resolved, swap))
        errand = _knowing(errand, learned)
        found = await identify(self._endpoint, errand.plan, token, consent.callback)
        grant = Grant(
            generation=1,
            access_token=token.access_token,
            token_type=token.token_type,
            refresh_token=token.refresh_token,
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            refresh_expires_at=token.refresh_expires_at,
            scopes=token.scope if token.scope is not None else consent.scopes,
            account=found.account,
            client_id=consent.client_id,
            redirect_uri=consent.redirect_uri,
            token_host=errand.plan.token_host,
            consented_at=self._clock(),
            captured={**token.captured, **found.captured},
            learned={**learned, **found.learned},
        )
        await self._hold_expected(errand, grant, resolved)
        return grant

    async def _hold_expected(self, errand: Errand, grant: Grant, resolved: Mapping[str, Resolved]) -> None:
        """What somebody else granted by mistake is not left behind at the provider, if nothing of ours hangs on it."""
        expected, record = errand.spec.auth.expected_account, errand.record
        if expected is None or grant.account == expected:
            return
        older = await self._older(record)
        # Products end all that an account has granted to an app together.
        if grant.account and (older is None or older.account not in {grant.account, ""}):
            attempt = await revoke(self._endpoint, errand, grant, resolved, now=self._clock())
            audit("consent", attempt.why or "taken back", object_name=str(record.key), uid=record.uid)
        if not grant.account:
            raise LanyardError(Reason.ACCOUNT_UNKNOWN)
        raise LanyardError(Reason.ACCOUNT_MISMATCH, account=grant.account)

    async def _older(self, record: Record) -> Grant | None:
        try:
            stored = await self._grants.read(record.uid, owner_of(record))
        except KubernetesError as error:
            raise unavailable(error) from None
        return stored.grant if stored is not None else None

    async def _store(self, record: Record, grant: Grant) -> None:
        """Step 7: a received grant is written for as long as it takes, in place of whatever was there."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._grants.create(record.uid, owner_of(record), grant, now=self._clock())
            except KubernetesError as error:
                _log.warning("grant not written yet", extra={"object": str(record.key), "status": error.code})
            else:
                return
            await self._sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _end(self, held: ConsentRecord, error: LanyardError) -> None:
        """How it ended without a grant: for the page, for the Connection, and for whoever reads its Events."""
        told = _told(error)
        record = self._record(held)
        if record is not None:
            record.declined = told
            audit("consent", told.reason.value, object_name=str(record.key), uid=record.uid)
        await self._finish(held, Outcome(_shown(error).value, error.facts.get("account", "")))
        if record is not None:
            self._world.wake(record.key)
            await self._reporter.announce(record, told.reason, told.message, warning=True, now=self._clock())

    async def _finish(self, held: ConsentRecord, outcome: Outcome) -> None:
        try:
            await self._consents.finish(held, outcome)
        except KubernetesError as error:
            # The page says "almost there" until the record goes; the Connection itself tells how it ended.
            _log.warning("outcome not written", extra={"record": held.name, "status": error.code})


def _knowing(errand: Errand, learned: Mapping[str, str]) -> Errand:
    return replace(errand, plan=plan_for(errand.spec, errand.plan.connector, learned))


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


def _shown(error: LanyardError) -> Reason:
    """`invalid_grant` speaks of the code here: nothing that was granted has been revoked."""
    return Reason.AUTHORIZATION_FAILED if error.reason is Reason.GRANT_REVOKED else error.reason


def _told(error: LanyardError) -> LanyardError:
    """In terms of the consent; what went wrong on the way is named by its own reason."""
    if error.reason is Reason.GRANT_REVOKED:
        return LanyardError(Reason.AUTHORIZATION_FAILED, why="CodeRefused")
    if CATALOGUE[error.reason].condition is Condition.AUTHORIZED:
        return error
    return LanyardError(Reason.AUTHORIZATION_FAILED, why=error.reason.value)


def _joined(first: Token, lasting: Token) -> Token:
    """The token that lasts, with what only the first answer told."""
    return replace(
        lasting,
        refresh_token=lasting.refresh_token or first.refresh_token,
        scope=lasting.scope if lasting.scope is not None else first.scope,
        captured={**first.captured, **lasting.captured},
        learned={**first.learned, **lasting.learned},
        account=lasting.account or first.account,
    )
