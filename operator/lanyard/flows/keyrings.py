"""Make, rotate and retire the keys that stored things are sealed with and tokens are signed with; `lanyard keys`.

* init: a ring is made once. Where something is stored that was sealed with a key the ring does not have, or the ring
  is gone, nothing is made: a new ring would turn a mishap into a loss that nobody notices (`KeyringLost`).
* rotate: a new key is added that seals from a moment on which every process has it; until then it only opens.
* retire: keys that seal no more go, when nothing is left that was sealed with them. One that signed stays until every
  token that it may have signed has ended.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lanyard.oauth.minting import LONGEST_LIFE
from lanyard.stores.ring_format import MOST_KEYS, KeyringError, RingKey
from lanyard.stores.rings import Ring, RingSecret, RingStore

CLOCK_DIFFERENCE = timedelta(minutes=10)
"""A first key is active from before it was made: clocks of other machines may be behind."""
RETIRE_AFTER = timedelta(minutes=15)
"""How long a key stays after another seals: what browsers hold, which nobody can count, ends within ten minutes."""


_RETIRE_SIGNING_AFTER = RETIRE_AFTER + LONGEST_LIFE


class KeyringCommandError(Exception):
    """Nothing was changed; the text says why and what to do, and quotes no key."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """Id and 32 random bytes, made where randomness may be."""

    id: str
    material: bytes


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as people see it. `references` counts what is stored and was sealed with it."""

    ring: Ring
    id: str
    active_from: datetime | None
    """None for a key that is needed and is not there."""
    state: str
    references: int


@dataclass(frozen=True, slots=True)
class Retired:
    """Keys that were taken away, and those that could not be: id and how many still need them."""

    removed: tuple[str, ...]
    needed: Mapping[str, int]


async def init(store: RingStore, new: Mapping[Ring, NewKey], *, now: datetime) -> Mapping[Ring, bool]:
    """Make the rings that are missing; True for those that were made. KeyringCommandError when one was lost."""
    missing: list[Ring] = []
    for ring in new:
        found = await _read(store, ring)
        references = await store.references(ring)
        unknown = sorted(references.keys() - {one.id for one in found.keys} if found is not None else references)
        if unknown:
            raise KeyringCommandError(
                f"KeyringLost: {sum(references[one] for one in unknown)} Secrets are sealed with keys that the ring "
                f"{ring} does not have ({', '.join(unknown)}). Restore the Secret {ring.secret} from its backup. To "
                f"give up what was sealed, delete those Secrets and have the Connections authorized again."
            )
        if found is None:
            missing.append(ring)
    made = dict.fromkeys(new, False)
    for ring in missing:
        first = RingKey(new[ring].id, new[ring].material, now - CLOCK_DIFFERENCE)
        made[ring] = await store.create(ring, (first,))
    return made


async def rotate(store: RingStore, ring: Ring, new: NewKey, *, now: datetime, activation: timedelta) -> datetime:
    """Add a key; returns when it starts to seal. KeyringCommandError when another is already on its way."""
    found = await _there(store, ring)
    if found.keys[0].active_from > now:
        raise KeyringCommandError(
            f"The ring {ring} has a key already that is not active yet ({found.keys[0].id}); wait until it is."
        )
    if len(found.keys) >= MOST_KEYS:
        raise KeyringCommandError(f"The ring {ring} has {MOST_KEYS} keys; retire some: lanyard keys rotate --retire.")
    active_from = now + activation
    await store.change(found, (RingKey(new.id, new.material, active_from), *found.keys))
    return active_from


async def retire(store: RingStore, ring: Ring, *, now: datetime, after: timedelta | None = None) -> Retired:
    """Take away keys that have not sealed or signed for `after`, which is safe by default, and that nothing needs."""
    if after is None:
        after = _RETIRE_SIGNING_AFTER if ring is Ring.SIGNING else RETIRE_AFTER
    found = await _there(store, ring)
    older = _superseded(found.keys, now - after)
    if not older:
        return Retired((), {})
    references = await store.references(ring)
    gone = tuple(one.id for one in older if not references[one.id])
    if gone:
        await store.change(found, tuple(one for one in found.keys if one.id not in gone))
    return Retired(gone, {one.id: references[one.id] for one in older if references[one.id]})


async def status(store: RingStore, ring: Ring, *, now: datetime) -> list[KeyRow]:
    """Every key of a ring, newest first, then keys that are needed and missing."""
    found = await _read(store, ring)
    keys = found.keys if found is not None else ()
    references = await store.references(ring)
    seals = next((one.id for one in keys if one.active_from <= now), "")
    rows = [
        KeyRow(ring, one.id, one.active_from, _state(ring, one, seals, now), references.pop(one.id, 0)) for one in keys
    ]
    return rows + [KeyRow(ring, one, None, "lost", count) for one, count in sorted(references.items())]


def _state(ring: Ring, key: RingKey, first: str, now: datetime) -> str:
    works, worked = ("signs", "verifies") if ring is Ring.SIGNING else ("seals", "opens")
    if key.id == first:
        return works
    return worked if key.active_from <= now else "to come"


def _superseded(keys: Sequence[RingKey], since: datetime) -> list[RingKey]:
    """Keys that another was active instead of by then. `keys` are newest first."""
    return [one for newer, one in itertools.pairwise(keys) if newer.active_from <= since]


async def _there(store: RingStore, ring: Ring) -> RingSecret:
    found = await _read(store, ring)
    if found is None:
        raise KeyringCommandError(
            f"There is no ring {ring}: run lanyard keys init, or restore the Secret {ring.secret}."
        )
    return found


async def _read(store: RingStore, ring: Ring) -> RingSecret | None:
    try:
        return await store.read(ring)
    except KeyringError as error:
        raise KeyringCommandError(
            f"The Secret {ring.secret} holds no usable ring: {error}. Restore it from its backup."
        ) from None
