"""What both ways to consent share: what was agreed to still stands; from a first token to a stored grant; the end.

A failure before the grant is stored leaves an older one as it is.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.selection import learned_of, pinned, plan_for
from lanyard.errors import KubernetesError, LanyardError, unavailable
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.identify import identify
from lanyard.flows.keys import Key, What
from lanyard.flows.pages import Pages
from lanyard.flows.refresh import Sleep, owner_of, pauses
from lanyard.flows.report import Reporter
from lanyard.flows.resolve import Resolved
from lanyard.flows.revoke import revoke
from lanyard.flows.tally import audit
from lanyard.flows.token_endpoint import Errand, TokenEndpoint
from lanyard.flows.world import Record, World
from lanyard.oauth.grants import ExchangeGrant
from lanyard.oauth.responses import Token
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Condition, Reason
from lanyard.rules.consent import Consent, Outcome
from lanyard.rules.grants import Grant
from lanyard.stores.consents import ConsentRecord, ConsentStore
from lanyard.stores.grants import GrantStore

_log = logging.getLogger(__name__)


class Settlement:
    """One instance a process."""

    def __init__(
        self,
        *,
        world: World,
        catalogue: Catalogue,
        consents: ConsentStore,
        grants: GrantStore,
        endpoint: TokenEndpoint,
        reporter: Reporter,
        pages: Pages,
        clock: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._world = world
        self._catalogue = catalogue
        self._consents = consents
        self._grants = grants
        self._endpoint = endpoint
        self._reporter = reporter
        self._pages = pages
        self._clock = clock
        self._sleep = sleep

    def record_of(self, held: ConsentRecord) -> Record | None:
        """The Connection that a consent is for, while it is the same object."""
        namespace, _, name = held.owner.partition("/")
        record = self._world.get(Key(What.CONNECTION, namespace, name))
        return record if record is not None and record.uid == held.uid else None

    def agreed(self, held: ConsentRecord, consent: Consent) -> Errand:
        """The errand that a person agreed to; LanyardError AUTHORIZATION_OUTDATED when that is another one now."""
        record = self.record_of(held)
        if record is None:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
        try:
            spec = ConnectionSpec.model_validate_json(record.spec)
        except ValidationError:
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED) from None
        connector = self._catalogue.find(spec.connector)
        plan = plan_for(spec, connector, learned_of(plan_for(spec, connector), "callback", consent.callback))
        if spec.suspend or not consent.is_still(
            generation=record.generation,
            client_id=spec.auth.client_id,
            connector_digest=pinned(plan),
            redirect_uri=self._pages.redirect_uri(plan),
        ):
            raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
        return Errand(record, spec, plan)

    def spending(self, held: ConsentRecord) -> AbstractContextManager[None]:
        """A deletion that comes meanwhile waits for what this brings, to take it back."""
        return self._world.spend(held.uid)

    async def keep(
        self, held: ConsentRecord, consent: Consent, errand: Errand, resolved: Mapping[str, Resolved], token: Token
    ) -> bool:
        """Whose account it is, before anything is replaced; then the grant is stored and the record is done, False when
        that could not be written.

        LanyardError when the token is not one to keep: nothing was replaced.
        """
        record = errand.record
        grant = replace(await self._grant(errand, consent, resolved, token), consent=held.name)
        await self._store(record, grant)
        record.declined = None
        audit("consent", "authorized", object_name=str(record.key), uid=record.uid, approved_by=consent.approved_by)
        is_written = await self.finish(held, Outcome(Reason.AUTHORIZED.value, grant.account))
        self._world.wake(record.key)
        return is_written

    async def end(self, held: ConsentRecord, error: LanyardError) -> bool:
        """How it ended without a grant: for the page, for the Connection, and for whoever reads its Events. False when
        the page could not be told.
        """
        told = _told(error)
        record = self.record_of(held)
        if record is not None:
            record.declined = told
            audit("consent", told.reason.value, object_name=str(record.key), uid=record.uid)
        is_written = await self.finish(held, Outcome(_shown(error).value, error.facts.get("account", "")))
        if record is not None:
            self._world.wake(record.key)
            await self._reporter.announce(record, told.reason, told.message, warning=True, now=self._clock())
        return is_written

    async def finish(self, held: ConsentRecord, outcome: Outcome) -> bool:
        """Whether the record says so now."""
        try:
            await self._consents.finish(held, outcome)
        except KubernetesError as error:
            # The page says "almost there" until the record goes; the Connection itself tells how it ended.
            _log.warning("outcome not written", extra={"record": held.name, "status": error.code})
            return error.code in {404, 409}
        return True

    async def stored_of(self, held: ConsentRecord) -> Grant | None:
        """The grant that this consent brought; None when there is none, or none that opens."""
        try:
            stored = await self._grants.read(held.uid, held.owner)
        except LanyardError:
            return None
        return stored.grant if stored is not None and stored.grant.consent == held.name else None

    async def _grant(self, errand: Errand, consent: Consent, resolved: Mapping[str, Resolved], token: Token) -> Grant:
        """Where the product swaps the first token for one that lasts, that is done first."""
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
        """A received grant is written for as long as it takes, in place of whatever was there. LanyardError
        AUTHORIZATION_OUTDATED when that came of a later consent.
        """
        pause = pauses()
        while True:
            try:
                stored = await self._grants.create(record.uid, owner_of(record), grant, now=self._clock())
            except KubernetesError as error:
                _log.warning("grant not written yet", extra={"object": str(record.key), "status": error.code})
            else:
                if stored is None:
                    raise LanyardError(Reason.AUTHORIZATION_OUTDATED)
                return
            await self._sleep(next(pause))


def _knowing(errand: Errand, learned: Mapping[str, str]) -> Errand:
    return replace(errand, plan=plan_for(errand.spec, errand.plan.connector, learned))


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
