"""Keys of issuers on the gateway: which key a presented JWT has to be verified with.

The gateway fetches nothing itself. A key id that it does not know makes it ask the operator to fetch once more, at
most once in `pause` for each key set, over all gateways; meanwhile the request waits for a moment. A signature that is
wrong under a known key id asks for nothing: otherwise any junk would make the operator fetch.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from lanyard.errors import KubernetesError
from lanyard.oauth.jwk import KeySet, KeySetError, VerificationKey
from lanyard.oauth.presented import Flaw, Presented, PresentedError
from lanyard.stores.issuer_keys import IssuerKeys, IssuerKeyStore

LIFE = timedelta(hours=24)
PAUSE = timedelta(seconds=30)
WAIT = timedelta(seconds=2)
# The first may meet a set that is being written, and the second then asks for the one after it.
_LOOKS = (True, True, False)
INLINE_SETS = 1024
"""Parsed sets that credentials carry themselves and that are kept."""


class KeysUnavailableError(Exception):
    """The issuer's keys were never fetched, or too long ago: nobody can say now whether the JWT is good."""


class KeySetMirror:
    """Mirror of the key sets, by name. `turn` is set, and replaced, whenever one of them changes."""

    def __init__(self) -> None:
        self.known: dict[str, IssuerKeys] = {}
        self.turn = asyncio.Event()

    def slim(self, secret: dict[str, Any]) -> IssuerKeys:
        return IssuerKeys.of(secret)

    def replace(self, everything: list[IssuerKeys], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        self.known = {one.name: one for one in everything}
        self._tell()

    def change(self, one: IssuerKeys) -> None:
        self.known[one.name] = one
        self._tell()

    def forget(self, one: IssuerKeys) -> None:
        self.known.pop(one.name, None)
        self._tell()

    def _tell(self) -> None:
        self.turn.set()
        self.turn = asyncio.Event()


class KeySets:
    """`life`: how old keys may be. `pause`: time between two questions about one set. `wait`: longest wait for news."""

    def __init__(
        self,
        mirror: KeySetMirror,
        store: IssuerKeyStore,
        clock: Callable[[], datetime],
        *,
        life: timedelta = LIFE,
        pause: timedelta = PAUSE,
        wait: timedelta = WAIT,
    ) -> None:
        self._mirror = mirror
        self._store = store
        self._clock = clock
        self._life = life
        self._pause = pause
        self._wait = wait
        self._parsed: dict[str, tuple[IssuerKeys, KeySet]] = {}
        self._asked_at: dict[str, datetime] = {}

    async def find(self, name: str, presented: Presented) -> VerificationKey:
        """The key of the set `name`. PresentedError KEY_UNKNOWN, KEY_AMBIGUOUS or KEY_UNFIT; KeysUnavailableError."""
        for may_ask in _LOOKS:
            seen = self._usable(name)
            try:
                return self._keys(seen).find(presented.key_id, presented.algorithm)
            except PresentedError as error:
                is_unknown = error.flaw is Flaw.KEY_UNKNOWN and presented.key_id is not None
                if not (is_unknown and may_ask and await self._newer(seen)):
                    raise
        raise PresentedError(Flaw.KEY_UNKNOWN)

    def find_inline(self, jwks: str, presented: Presented) -> VerificationKey:
        """The key among those that a credential carries itself; PresentedError."""
        try:
            keys = _inline(jwks)
        except KeySetError:
            raise PresentedError(Flaw.KEY_UNKNOWN) from None
        return keys.find(presented.key_id, presented.algorithm)

    def _usable(self, name: str) -> IssuerKeys:
        seen = self._mirror.known.get(name)
        if seen is None or self._clock() - seen.fetched_at > self._life:
            raise KeysUnavailableError
        return seen

    def _keys(self, seen: IssuerKeys) -> KeySet:
        before = self._parsed.get(seen.name)
        if before is not None and (before[0].version == seen.version or before[0].jwks == seen.jwks):
            return before[1]
        try:
            keys = KeySet.of(seen.jwks)
        except KeySetError:
            raise KeysUnavailableError from None
        if before is None:
            self._forget_gone()
        self._parsed[seen.name] = seen, keys
        return keys

    def _forget_gone(self) -> None:
        for kept in (self._parsed, self._asked_at):
            for name in kept.keys() - self._mirror.known.keys():
                del kept[name]

    async def _newer(self, seen: IssuerKeys) -> bool:
        """True when the set was fetched anew since `seen`; False when it is too early to ask, or nothing came."""
        now = self._clock()
        since, mine = self._since_asked(seen, now), self._asked_at.get(seen.name)
        if since >= self._pause:
            self._asked_at[seen.name] = now
            return await self._ask(seen, now) and await self._answered(seen)
        is_open = seen.asked or (mine is not None and mine != seen.refetch_at)
        return is_open and since < self._wait and await self._answered(seen)

    def _since_asked(self, seen: IssuerKeys, now: datetime) -> timedelta:
        """Time since anybody asked, or this gateway tried to: an API server that refuses is not asked in a loop."""
        moments = (seen.refetch_at, self._asked_at.get(seen.name))
        # Gateways' clocks differ: a question from the future is as near as one from the past.
        return min((abs(now - when) for when in moments if when is not None), default=self._pause)

    async def _ask(self, seen: IssuerKeys, now: datetime) -> bool:
        """False when no answer will come."""
        try:
            await self._store.ask_again(seen.name, seen.version, now)
        except KubernetesError as error:
            if error.code != 409:
                return False
            # Another gateway has asked, or the operator has written what it fetched a moment before: the version to
            # come tells which, and in the second case there is still something to ask.
            self._asked_at.pop(seen.name, None)
        return True

    async def _answered(self, seen: IssuerKeys) -> bool:
        """Wait for a version that leaves no question open."""
        try:
            async with asyncio.timeout(self._wait.total_seconds()):
                while True:
                    turn, now = self._mirror.turn, self._mirror.known.get(seen.name)
                    if now is None:
                        return False
                    if now.version != seen.version and not now.asked:
                        return True
                    await turn.wait()
        except TimeoutError:
            return False


@lru_cache(maxsize=INLINE_SETS)
def _inline(jwks: str) -> KeySet:
    return KeySet.of(jwks)
