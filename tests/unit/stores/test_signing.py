"""The ring `signing`: which key signs, which are published, and what a bad file does."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lanyard.errors import LanyardError
from lanyard.oauth.jwk import KeySet
from lanyard.oauth.minting import SigningKey, is_scalar
from lanyard.reasons import Reason
from lanyard.stores.keyring import Keyring, KeyringError
from lanyard.stores.ring_format import RingKey, ring_text
from lanyard.stores.signing import SigningFile, SigningRing, fresh_scalar

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEXT = RingKey("next", b"\x03" * 32, NOW + HOUR)
ACTIVE = RingKey("active", b"\x02" * 32, NOW - HOUR)
BEFORE = RingKey("before", b"\x01" * 32, NOW - 2 * HOUR)
NONE = RingKey("none", b"\xff" * 32, NOW - HOUR)


def thumbprint(key: RingKey) -> str:
    return SigningKey.of(key.material).key_id


@pytest.mark.spec("F1")
def test_the_newest_active_key_signs_and_all_are_published() -> None:
    ring = SigningRing(Keyring((BEFORE, NEXT, ACTIVE)))
    assert ring.signing_key(NOW).key_id == thumbprint(ACTIVE)
    assert ring.signing_key(NOW + HOUR).key_id == thumbprint(NEXT)
    assert list(ring.keys) == [thumbprint(one) for one in (NEXT, ACTIVE, BEFORE)]
    published = KeySet.of(json.dumps(ring.jwks()))
    assert [one.key_id for one in published.keys] == list(ring.keys)
    assert {one.algorithms for one in published.keys} == {frozenset({"ES256"})}


def test_a_ring_without_an_active_key_does_not_sign() -> None:
    with pytest.raises(KeyringError, match="no key is active yet"):
        SigningRing(Keyring((NEXT,))).signing_key(NOW)


def test_a_key_that_is_no_private_key_is_named_and_not_shown() -> None:
    with pytest.raises(KeyringError, match=r"^the key none is no private key of P-256$"):
        SigningRing(Keyring((ACTIVE, NONE)))


def test_a_changed_file_is_another_ring_and_an_unchanged_one_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(ring_text((ACTIVE,)))
    file = SigningFile(path, clock=lambda: NOW)
    first = file.current()
    assert file.current() is first
    path.write_text(ring_text((ACTIVE, NEXT)))
    assert len(file.current().keys) == 2


def test_a_file_that_cannot_be_used_leaves_the_ring_from_before(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(ring_text((ACTIVE,)))
    file = SigningFile(path, clock=lambda: NOW)
    first = file.current()
    path.write_text(ring_text((ACTIVE, NONE)))
    assert file.current() is first


@pytest.mark.parametrize("keys", [(NONE,), (NEXT,)], ids=["no private key", "none active"])
def test_a_file_that_never_could_be_used_is_no_ring(tmp_path: Path, keys: tuple[RingKey, ...]) -> None:
    path = tmp_path / "keys.json"
    path.write_text(ring_text(keys))
    with pytest.raises(LanyardError) as caught:
        SigningFile(path, clock=lambda: NOW).current()
    assert caught.value.reason is Reason.KEYRING_LOST


def test_a_fresh_key_is_one() -> None:
    assert is_scalar(fresh_scalar())
    assert fresh_scalar() != fresh_scalar()


def test_a_repr_shows_no_key() -> None:
    assert repr(SigningRing(Keyring((ACTIVE,)))) == f"SigningRing({thumbprint(ACTIVE)})"
