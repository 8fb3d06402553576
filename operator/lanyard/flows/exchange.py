"""Exchange a JWT that somebody else issued for an access token: Lanyard's own, or the live one of a Connection.

1. shape: parse strictly; junk costs no signature and no fetch
2. match: client, issuer, subject and audience in the index; `iss` is a look-up key, never a URL
3. key and signature: of the credential that matched; the same bytes under the same key are verified once
4. time
5. rules: further claims, on the verified object; the credential and the Connection are live
6. limits of the client and of the namespace
7. replay, where the credential asks for single use
8. scope and target
9. token: minted here, or the copy of the Connection's own

No call to the API server, save the one that single use needs and the one that asks for an unknown key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cachetools import LRUCache

from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.key_sets import KeySets, KeysUnavailableError
from lanyard.flows.mint import Handed, Mint
from lanyard.flows.token_copies import CopyMirror
from lanyard.flows.view import SeenConnection, View
from lanyard.oauth.jwk import VerificationKey
from lanyard.oauth.presented import (
    Presented,
    PresentedError,
    Verified,
    hold_timely,
    presented,
    verified,
    verified_before,
)
from lanyard.oauth.token_request import REFUSED_ASSERTION, ErrorCode, Question
from lanyard.rules.claims import broken_rule
from lanyard.rules.exchange import Denial, is_gate_open
from lanyard.rules.minting import Mintable, minted_scopes
from lanyard.rules.trust import Credential
from lanyard.stores.keyring import Keyring
from lanyard.stores.spent import SpentKind, SpentStore

KEPT_VERIFIED = 10_000
LEEWAY = timedelta(seconds=60)
LONGEST_LIFE = timedelta(hours=25)
"""Entra gives managed identities tokens of a day, dated back by five minutes: in the answers that learn.microsoft.com
shows, `expires_on` is 86700 s after `not_before`.
"""
PAUSE = 5.0
"""Seconds after which what is not there now may be."""
EXPIRES_SOON = timedelta(seconds=5)
"""A copy that is over in a moment is of no use to whoever gets it."""


class DeniedError(Exception):
    """The exchange is refused. `why` is for the audit log; the client is told `code` and, where safe, `hint`."""

    def __init__(self, code: ErrorCode, why: str, hint: str = "", *, retry_after: float | None = None) -> None:
        self.code = code
        self.why = why
        self.hint = hint
        self.retry_after = retry_after
        super().__init__(why)


@dataclass(slots=True)
class Trace:
    """What became known on the way, for the audit line."""

    request_id: str
    dialect: str = ""
    client: SeenConnection | None = None
    credential: Credential | None = None
    assertion_digest: str = ""
    nearest: str = ""
    """uid of a credential that matched but for one field, and that field."""


class Limits(Protocol):
    """How often a client and a namespace may ask."""

    def wait(self, asker: str) -> float:
        """0, or seconds until the next request is let through."""


class Exchange:
    """One instance a gateway."""

    def __init__(
        self,
        *,
        view: View,
        key_sets: KeySets,
        mint: Mint,
        copies: CopyMirror,
        keyring: Callable[[], Keyring],
        spent: SpentStore,
        clients: Limits,
        namespaces: Limits,
        used: Callable[[str, datetime], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._view = view
        self._key_sets = key_sets
        self._mint = mint
        self._copies = copies
        self._keyring = keyring
        self._spent = spent
        self._clients = clients
        self._namespaces = namespaces
        self._used = used
        self._clock = clock
        # By digest, the key alone: claims of 6 KB can take 150 KB once read, and a tenant may sign any number of them.
        self._verified: LRUCache[str, VerificationKey] = LRUCache(KEPT_VERIFIED)

    async def hand_out(self, question: Question, tenant: str | None, trace: Trace) -> Handed:
        """DeniedError says why not. `tenant` is the namespace that the address names, None where it names none."""
        client, credential = await self.proved(question, tenant, trace)
        now = self._clock()
        handed = self._token(question, client, credential, now)
        self._used(credential.uid, now)
        return handed

    async def proved(self, question: Question, tenant: str | None, trace: Trace) -> tuple[SeenConnection, Credential]:
        """The application that the JWT proves, and the credential it is trusted by. DeniedError says why not."""
        refused = REFUSED_ASSERTION[question.dialect]
        try:
            one = presented(question.unverified_assertion)
        except PresentedError as error:
            raise DeniedError(refused, error.flaw.value) from None
        trace.assertion_digest = one.digest
        client, matching = self._matched(question, one, tenant, refused, trace)
        trace.client = client
        credential, token = await self._trusted(one, client, matching, refused, trace)
        trace.credential = credential
        client, credential = self._current(one, client, credential, refused)
        self._hold_live(client, credential, self._clock(), refused)
        self._hold_rate(client)
        if credential.single_use:
            await self._spend(token, client.namespace, refused)
            client, credential = self._current(one, client, credential, refused)
            self._hold_live(client, credential, self._clock(), refused)
        return client, credential

    def _matched(
        self, question: Question, one: Presented, tenant: str | None, refused: ErrorCode, trace: Trace
    ) -> tuple[SeenConnection, tuple[Credential, ...]]:
        client = self._client(question, one, refused)
        if client is None or (tenant is not None and client.namespace != tenant):
            why = Denial.UNKNOWN_CLIENT if client is None else Denial.OTHER_TENANT
            raise DeniedError(refused, why)
        index, issuer, subject = self._view.credentials, one.unverified_issuer, one.unverified_subject
        matching = index.match(client.namespace, client.name, issuer, subject, one.unverified_audiences)
        if not matching:
            near = index.nearest(client.namespace, client.name, issuer, subject, one.unverified_audiences)
            trace.client = client
            trace.nearest = f"{near[0].uid} {near[1]}" if near is not None else ""
            raise DeniedError(refused, Denial.NOT_TRUSTED)
        return client, matching

    def _client(self, question: Question, one: Presented, refused: ErrorCode) -> SeenConnection | None:
        """By `client_id`, else by a target that is one, else the only application that trusts such a JWT."""
        known = self._view.applications
        if question.client_id is not None:
            return _there(known.get(question.client_id))
        named = [known[target] for target in question.targets if target in known]
        if named:
            return _there(named[0]) if len(named) == 1 else None
        places = self._view.credentials.applications(
            one.unverified_issuer, one.unverified_subject, one.unverified_audiences
        )
        if len(places) > 1:
            raise DeniedError(refused, Denial.AMBIGUOUS_CLIENT)
        return next((_there(self._view.connections.get(place)) for place in places), None)

    async def _trusted(
        self,
        one: Presented,
        client: SeenConnection,
        matching: tuple[Credential, ...],
        refused: ErrorCode,
        trace: Trace,
    ) -> tuple[Credential, Verified]:
        """The oldest credential that is live and whose keys and rules the JWT meets; the refusal of the oldest, when
        none is.
        """
        first: DeniedError | None = None
        for credential in matching:
            try:
                token = await self._read(one, credential, refused)
                _hold_rules(credential, token, refused)
                self._hold_live(client, credential, self._clock(), refused)
            except DeniedError as denied:
                first = first or denied
            else:
                return credential, token
        trace.credential = matching[0]
        raise first or DeniedError(refused, Denial.NOT_TRUSTED)

    def _current(
        self, one: Presented, client: SeenConnection, credential: Credential, refused: ErrorCode
    ) -> tuple[SeenConnection, Credential]:
        """Both as they are now: while a key or the API server was waited for, trust may have been withdrawn."""
        now = _there(self._view.applications.get(client.uid))
        matching = self._view.credentials.match(
            client.namespace, client.name, one.unverified_issuer, one.unverified_subject, one.unverified_audiences
        )
        same = next((found for found in matching if found.uid == credential.uid), None)
        if now is None or same is None or same.rules != credential.rules or same.keys_of != credential.keys_of:
            raise DeniedError(refused, Denial.NOT_TRUSTED)
        return now, same

    async def _read(self, one: Presented, credential: Credential, refused: ErrorCode) -> Verified:
        try:
            key = await self._key(one, credential)
            token = verified_before(one) if self._verified.get(one.digest) is key else verified(one, key)
            hold_timely(token, self._clock(), leeway=LEEWAY, longest_life=LONGEST_LIFE)
        except PresentedError as error:
            raise DeniedError(refused, error.flaw.value) from None
        except KeysUnavailableError:
            raise DeniedError(ErrorCode.TEMPORARILY_UNAVAILABLE, Denial.ISSUER_UNAVAILABLE, retry_after=PAUSE) from None
        self._verified[one.digest] = key
        return token

    async def _key(self, one: Presented, credential: Credential) -> VerificationKey:
        if credential.jwks:
            return self._key_sets.find_inline(credential.jwks, one)
        return await self._key_sets.find(credential.keys, one)

    @staticmethod
    def _hold_live(client: SeenConnection, credential: Credential, now: datetime, refused: ErrorCode) -> None:
        if credential.suspended:
            raise DeniedError(refused, Denial.CREDENTIAL_SUSPENDED, "the federated credential is suspended")
        if credential.expires_at is not None and credential.expires_at <= now:
            raise DeniedError(refused, Denial.CREDENTIAL_EXPIRED, "the federated credential has expired")
        if client.suspended:
            raise DeniedError(ErrorCode.UNAUTHORIZED_CLIENT, Denial.CONNECTION_SUSPENDED, "the client is suspended")

    def _hold_rate(self, client: SeenConnection) -> None:
        seconds = self._clients.wait(client.uid) or self._namespaces.wait(client.namespace)
        if seconds:
            raise DeniedError(ErrorCode.TEMPORARILY_UNAVAILABLE, Denial.THROTTLED, retry_after=seconds)

    async def _spend(self, token: Verified, namespace: str, refused: ErrorCode) -> None:
        # Tenants may give keys of their own for any issuer: what one of them has signed uses up nothing of another's.
        issuer = f"{namespace} {token.issuer}"
        if token.token_id is None:
            raise DeniedError(refused, Denial.NO_TOKEN_ID, "the JWT needs a jti")
        try:
            fresh = await self._spent.spend(SpentKind.ASSERTION, issuer, token.token_id, token.expires_at + LEEWAY)
        except KubernetesError as error:
            raise DeniedError(
                ErrorCode.TEMPORARILY_UNAVAILABLE, Denial.KUBERNETES_UNAVAILABLE, retry_after=error.retry_after or 1.0
            ) from None
        if not fresh:
            raise DeniedError(refused, Denial.REPLAYED, "the JWT was presented before")

    def _token(self, question: Question, client: SeenConnection, credential: Credential, now: datetime) -> Handed:
        targets = tuple(dict.fromkeys(target for target in question.targets if target != client.uid))
        if len(targets) > 1:
            raise DeniedError(ErrorCode.INVALID_TARGET, Denial.TARGET, "a token has one audience")
        target = targets[0] if targets else ""
        try:
            mintable = self._mint.mintable(client)
            if mintable is not None:
                return self._minted(mintable, question.scope, target, client, credential)
            return self._brokered(question.scope, target, client, credential, now)
        except LanyardError as error:
            raise DeniedError(ErrorCode.TEMPORARILY_UNAVAILABLE, error.reason.value, retry_after=PAUSE) from None

    def _minted(
        self,
        mintable: Mintable,
        scope: str,
        target: str,
        client: SeenConnection,
        credential: Credential,
    ) -> Handed:
        scopes = minted_scopes(scope, mintable.scopes, credential.scopes)
        if scopes is None:
            raise DeniedError(ErrorCode.INVALID_SCOPE, Denial.SCOPE, "a scope is not allowed")
        audience = mintable.audience(scopes, target)
        if audience is None:
            raise DeniedError(ErrorCode.INVALID_TARGET, Denial.TARGET, "the audience is not allowed")
        return self._mint.mint(client, credential, audience=audience, scopes=scopes, now=self._clock())

    def _brokered(
        self, scope: str, target: str, client: SeenConnection, credential: Credential, now: datetime
    ) -> Handed:
        if target:
            raise DeniedError(
                ErrorCode.INVALID_TARGET, Denial.TARGET, "the token of a Connection has no other audience"
            )
        copy = self._copies.opened(self._keyring(), client.uid)
        if copy is None or (copy.expires_at is not None and copy.expires_at - now < EXPIRES_SOON):
            raise DeniedError(
                ErrorCode.TEMPORARILY_UNAVAILABLE, Denial.NO_TOKEN, "there is no live token", retry_after=PAUSE
            )
        if not is_gate_open(copy.scopes, credential.scopes):
            raise DeniedError(ErrorCode.INVALID_SCOPE, Denial.SCOPES_NOT_ENFORCEABLE, "the token cannot be narrowed")
        if minted_scopes(scope, copy.scopes) is None:
            raise DeniedError(ErrorCode.INVALID_SCOPE, Denial.SCOPE, "a scope is not allowed")
        left = int((copy.expires_at - now).total_seconds()) if copy.expires_at is not None else None
        return Handed(copy.access_token, copy.token_type, left, copy.scopes, "")


def _hold_rules(credential: Credential, token: Verified, refused: ErrorCode) -> None:
    broken = broken_rule(credential.rules, token.claims)
    if broken is not None:
        raise DeniedError(refused, Denial.CLAIM_RULE, f"the claim {broken.claim} is not as it must be")


def _there(client: SeenConnection | None) -> SeenConnection | None:
    """None for one that is being deleted, and for a link: what it uses is another's."""
    return client if client is not None and client.connector and not client.going else None
