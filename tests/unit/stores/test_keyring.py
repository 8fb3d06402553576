import base64
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lanyard.errors import LanyardError
from lanyard.reasons import Reason
from lanyard.stores.keyring import Context, Keyring, KeyringError, key_id_of
from lanyard.stores.ring_format import RingKey, parse_keys, ring_text

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MATERIAL = b"k" * 32
SECRET_TEXT = base64.b64encode(MATERIAL).decode()
PLACE = Context("grant", "5a0c6a0e-8e5c-4f1c-b43d-1df4a7e8b8ff", "sales/crm")

texts = st.text(max_size=40)
contexts = st.builds(Context, texts, texts, texts)
nonces = st.binary(min_size=12, max_size=12)
ages = st.integers(min_value=0, max_value=10_000).map(lambda minutes: NOW - timedelta(minutes=minutes))
keys = st.builds(
    RingKey,
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
    st.binary(min_size=32, max_size=32),
    ages,
)
rings = st.lists(keys, min_size=1, max_size=5, unique_by=(lambda one: one.id, lambda one: one.material)).map(
    lambda found: Keyring(tuple(found))
)


def key(number: int = 1, *, active_from: datetime = NOW) -> RingKey:
    return RingKey(f"k{number}", bytes([number]) * 32, active_from)


def entry(**changed: Any) -> dict[str, Any]:
    whole = {"id": "k1", "key": SECRET_TEXT, "activeFrom": "2026-11-25T12:00:00Z"}
    return {name: value for name, value in (whole | changed).items() if value is not None}


def ring_of(*entries: Any) -> str:
    return json.dumps({"keys": entries})


@pytest.mark.spec("C8")
@given(rings, st.binary(max_size=2000), contexts, nonces)
def test_what_was_sealed_opens_in_its_own_place(ring: Keyring, plain: bytes, context: Context, nonce: bytes) -> None:
    sealed = ring.seal(plain, context, now=NOW, nonce=nonce)
    assert ring.open(sealed, context) == plain
    assert Keyring.parse(ring_text(ring.keys)).open(sealed, context) == plain, "also after the ring was written down"


@given(rings, st.binary(max_size=200), contexts, contexts, nonces)
def test_it_opens_nowhere_else(ring: Keyring, plain: bytes, context: Context, other: Context, nonce: bytes) -> None:
    assume(context != other)
    sealed = ring.seal(plain, context, now=NOW, nonce=nonce)
    with pytest.raises(LanyardError) as caught:
        ring.open(sealed, other)
    assert caught.value.reason is Reason.STATE_INVALID


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Context("consent", PLACE.uid, PLACE.owner), id="another field"),
        pytest.param(Context(PLACE.field, "", PLACE.owner), id="no uid"),
        pytest.param(Context(PLACE.field, PLACE.uid, "sales/crm2"), id="another name"),
        pytest.param(Context(PLACE.field, PLACE.uid + PLACE.owner, ""), id="the same letters, divided otherwise"),
        pytest.param(Context(PLACE.field + '", "' + PLACE.uid, PLACE.owner, ""), id="letters that imitate the frame"),
    ],
)
def test_a_place_that_looks_alike_is_another(other: Context) -> None:
    ring = Keyring((key(),))
    with pytest.raises(LanyardError) as caught:
        ring.open(ring.seal(b"plain", PLACE, now=NOW, nonce=bytes(12)), other)
    assert caught.value.reason is Reason.STATE_INVALID


def test_no_single_character_of_a_sealed_text_can_be_changed() -> None:
    """Every position, and every character that could stand there."""
    ring = Keyring((key(1), key(2, active_from=NOW - timedelta(days=1))))
    for size in (0, 1, 2, 3):  # so that base64 ends in each of its ways
        sealed = ring.seal(b"x" * size, PLACE, now=NOW, nonce=b"n" * 12)
        for position in range(len(sealed)):
            for letter in "ABab01-_.+/= \n\x00é":
                changed = sealed[:position] + letter + sealed[position + 1 :]
                if changed != sealed:
                    with pytest.raises(LanyardError) as caught:
                        ring.open(changed, PLACE)
                    assert caught.value.reason in {Reason.STATE_INVALID, Reason.KEYRING_LOST}


@given(st.text(max_size=200))
def test_what_nobody_sealed_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(LanyardError) as caught:
        Keyring((key(),)).open(text, PLACE)
    assert caught.value.reason in {Reason.STATE_INVALID, Reason.KEYRING_LOST}


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_a_text_that_was_cut_short_is_refused(cut: int) -> None:
    ring = Keyring((key(),))
    sealed = ring.seal(b"", PLACE, now=NOW, nonce=bytes(12))
    with pytest.raises(LanyardError) as caught:
        ring.open(sealed[: len("k1.") + cut], PLACE)
    assert caught.value.reason is Reason.STATE_INVALID


@given(st.lists(st.integers(-600, 600), min_size=1, max_size=6, unique=True))
def test_the_newest_key_whose_time_has_come_seals_and_every_key_opens(minutes: list[int]) -> None:
    ring = Keyring(tuple(key(n, active_from=NOW + timedelta(minutes=m)) for n, m in enumerate(minutes, start=1)))
    active = [minute for minute in minutes if minute <= 0]
    if not active:
        with pytest.raises(KeyringError, match="no key is active yet"):
            ring.seal(b"", PLACE, now=NOW, nonce=bytes(12))
        return
    assert ring.sealing_key(NOW) == f"k{minutes.index(max(active)) + 1}"
    for single in ring.keys:
        sealed = Keyring((single,)).seal(b"plain", PLACE, now=single.active_from, nonce=bytes(12))
        assert ring.open(sealed, PLACE) == b"plain", "also one that does not seal yet"


def test_a_new_key_seals_from_its_moment_on_and_not_before() -> None:
    ring = Keyring((key(1, active_from=NOW - timedelta(days=1)), key(2, active_from=NOW)))
    assert key_id_of(ring.seal(b"", PLACE, now=NOW - timedelta(microseconds=1), nonce=bytes(12))) == "k1"
    assert key_id_of(ring.seal(b"", PLACE, now=NOW, nonce=bytes(12))) == "k2"


def test_a_key_that_is_not_in_the_ring_is_a_lost_keyring() -> None:
    sealed = Keyring((key(1),)).seal(b"plain", PLACE, now=NOW, nonce=bytes(12))
    with pytest.raises(LanyardError) as caught:
        Keyring((key(2),)).open(sealed, PLACE)
    assert caught.value.reason is Reason.KEYRING_LOST


def test_another_key_of_the_same_id_opens_nothing() -> None:
    sealed = Keyring((key(1),)).seal(b"plain", PLACE, now=NOW, nonce=bytes(12))
    with pytest.raises(LanyardError) as caught:
        Keyring((RingKey("k1", b"z" * 32, NOW),)).open(sealed, PLACE)
    assert caught.value.reason is Reason.STATE_INVALID


def test_a_nonce_of_another_length_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        Keyring((key(),)).seal(b"", PLACE, now=NOW, nonce=bytes(16))


UNUSABLE = [
    ("", "it is not JSON", "nothing"),
    ("[" * 5000, "it is not JSON", "a nest that is too deep"),
    ("[]", "it is not an object with one member, the list keys", "a list"),
    ('{"keys": {}}', "it is not an object with one member, the list keys", "keys that are no list"),
    (json.dumps({"keys": [entry()], "more": 1}), "it is not an object with one member", "a member nobody knows"),
    ('{"keys": [], "keys": []}', "a member is there twice", "two lists"),
    (ring_of(), "it has no key", "no key"),
    (ring_of("k1"), "key 1 does not have exactly id, key and activeFrom", "a key that is text"),
    (ring_of(entry(key=None)), "key 1 does not have exactly id, key and activeFrom", "a key without its material"),
    (ring_of(entry(), entry(id="k2", use="sig")), "key 2 does not have exactly", "a member of a key nobody knows"),
    (ring_of(entry(id=7)), "key 1 has a member that is not text", "an id that is a number"),
    (ring_of(entry(id="K.1")), "the id of key 1 is not", "an id with a dot"),
    (ring_of(entry(id="a" * 64)), "the id of key 1 is not", "an id that is too long"),
    (ring_of(entry(id="k1\n")), "the id of key 1 is not", "an id with an end of line"),
    (ring_of(entry(key="%%%")), "key 1 is not base64", "no base64"),
    (ring_of(entry(key=f"{SECRET_TEXT}\n")), "key 1 is not base64", "base64 with an end of line"),
    (ring_of(entry(key=base64.b64encode(b"k" * 31).decode())), "key 1 does not have 32 bytes", "31 bytes"),
    (ring_of(entry(key=base64.b64encode(b"k" * 33).decode())), "key 1 does not have 32 bytes", "33 bytes"),
    (ring_of(entry(activeFrom="yesterday")), "activeFrom of key 1 is not a moment", "no moment"),
    (ring_of(entry(activeFrom="2026-11-25T12:00:00")), "activeFrom of key 1 has no time zone", "no time zone"),
    (ring_of(entry(), entry(key=base64.b64encode(b"2" * 32).decode())), "two keys have the same id", "an id twice"),
    (ring_of(entry(), entry(id="k2")), "two ids have the same key", "a key twice"),
]


@pytest.mark.spec("C8")
@pytest.mark.parametrize(("text", "says", "_"), [pytest.param(*row, id=row[2]) for row in UNUSABLE])
def test_a_file_that_is_no_ring_is_refused_without_quoting_it(text: str, says: str, _: str) -> None:
    with pytest.raises(KeyringError) as caught:
        Keyring.parse(text)
    assert says in str(caught.value)
    assert SECRET_TEXT not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_ring_has_a_largest_size() -> None:
    with pytest.raises(KeyringError, match="more than 64 keys"):
        Keyring(tuple(RingKey(f"k{n}", n.to_bytes(32, "big"), NOW) for n in range(65)))


@pytest.mark.spec("C8")
def test_neither_a_ring_nor_a_key_shows_itself() -> None:
    ring = Keyring.parse(ring_of(entry()))
    shown = f"{ring!r} {ring} {ring.keys!r} {ring.keys[0]}"
    assert "k1" in shown
    for form in (SECRET_TEXT, MATERIAL.decode(), repr(MATERIAL), MATERIAL.hex()):
        assert form not in shown
    with pytest.raises(TypeError):
        pickle.dumps(ring.keys[0])


@given(rings)
def test_a_ring_is_read_as_it_was_written(ring: Keyring) -> None:
    assert parse_keys(ring_text(ring.keys)) == ring.keys
