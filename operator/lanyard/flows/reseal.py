"""After a rotation, seal every stored grant anew with the key that seals now: one at a time, and not in a hurry.

A grant that is written anyway has the new key by then. What is read, sealed and written back here is compared and
swapped, so a refresh that comes in between wins, and one that is under way is left alone. Consents and shared copies
need none of this: they live for minutes, or are written with every refresh.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from lanyard.errors import KubernetesError, LanyardError
from lanyard.stores.grants import GrantStore
from lanyard.stores.keyring import Keyring

_log = logging.getLogger(__name__)

PAUSE = 0.05
INTERVAL = 60.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Swept:
    """One pass: how many grants each key had sealed before it, how many were sealed anew, how many are to be looked at
    again, and how many do not open.
    """

    references: Mapping[str, int]
    resealed: int
    left: int
    unopened: int


def _idle(_: str) -> bool:
    return False


async def reencrypt(
    store: GrantStore,
    keyring: Callable[[], Keyring],
    *,
    clock: Callable[[], datetime],
    busy: Callable[[str], bool] = _idle,
    pause: float = PAUSE,
    sleep: Sleep = asyncio.sleep,
) -> Swept:
    """One pass over all grants. `busy` says of a Connection's uid whether it is being worked on. KubernetesError
    passes; why a grant does not open is told by its Connection.
    """
    references: dict[str, int] = {}
    resealed = left = unopened = 0
    async for held, key_id in store.sealed():
        references[key_id] = references.get(key_id, 0) + 1
        if held.install != store.install or key_id == keyring().sealing_key(clock()):
            continue
        try:
            done = not busy(held.uid) and await store.reseal(held, now=clock())
            resealed, left = resealed + done, left + (not done)
        except LanyardError as error:
            _log.warning("grant not sealed anew", extra={"secret": held.name, "reason": error.reason})
            unopened += 1
        await sleep(pause)
    return Swept(references, resealed, left, unopened)


async def keep_encrypted(
    store: GrantStore,
    keyring: Callable[[], Keyring],
    *,
    clock: Callable[[], datetime],
    busy: Callable[[str], bool] = _idle,
    pause: float = PAUSE,
    interval: float = INTERVAL,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Until cancelled: a pass whenever another key seals, and again while something is left. For the leader alone.

    A ring of one key has nothing to seal anew, and costs no call.
    """
    finished_with = ""
    while True:
        try:
            ring = keyring()
            seals = ring.sealing_key(clock())
            if len(ring.keys) > 1 and seals != finished_with:
                swept = await reencrypt(store, keyring, clock=clock, busy=busy, pause=pause, sleep=sleep)
                _log.info("grants sealed anew", extra={"key": seals, "resealed": swept.resealed, "left": swept.left})
                finished_with = seals if not swept.left else ""
        except KubernetesError as error:
            _log.warning("grants not sealed anew", extra={"status": error.code})
        except LanyardError as error:
            _log.warning("grants not sealed anew", extra={"reason": error.reason})
        await sleep(interval)
