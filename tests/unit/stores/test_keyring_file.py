import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lanyard.errors import LanyardError
from lanyard.reasons import Reason
from lanyard.stores.keyring import Context, key_id_of
from lanyard.stores.keyring_file import KeyringFile
from lanyard.stores.ring_format import RingKey, ring_text

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PLACE = Context("grant", "uid", "sales/crm")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def ring(*numbers: int, active_from: datetime = NOW) -> str:
    return ring_text(tuple(RingKey(f"k{n}", bytes([n]) * 32, active_from + timedelta(seconds=n)) for n in numbers))


def mount(folder: Path, text: str, version: int) -> Path:
    """What kubelet does: a new folder beside the old one, and a symbolic link that is turned in one step."""
    place = folder / f"..{version}"
    place.mkdir()
    (place / "keys.json").write_text(text)
    link = folder / "..data_tmp"
    link.symlink_to(place.name)
    link.replace(folder / "..data")
    path = folder / "keys.json"
    if not path.is_symlink():
        path.symlink_to("..data/keys.json")
    return path


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now += timedelta(minutes=1)
    return clock


def opened(path: Path, clock: Clock) -> KeyringFile:
    return KeyringFile(path, "grant", clock=clock)


def test_a_ring_that_kubelet_replaced_is_the_one_that_seals_next(tmp_path: Path, clock: Clock) -> None:
    file = opened(mount(tmp_path, ring(1), 1), clock)
    first = file.current()
    assert file.current() is first, "an unchanged file is not read again"
    mount(tmp_path, ring(1, 2), 2)
    assert file.current().sealing_key(clock()) == "k2"
    sealed = first.seal(b"plain", PLACE, now=clock(), nonce=bytes(12))
    assert file.current().open(sealed, PLACE) == b"plain"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "it is not JSON", id="an empty file"),
        pytest.param('{"keys": []}', "it has no key", id="no keys"),
        pytest.param(
            ring(3, active_from=NOW + timedelta(hours=1)), "no key is active yet", id="only keys that are to come"
        ),
        pytest.param(" " * 70_000, "it is larger than 65536 bytes", id="something large"),
    ],
)
def test_a_broken_file_leaves_the_last_good_ring_in_use_and_is_told_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, text: str, problem: str
) -> None:
    caplog.set_level(logging.INFO)
    file = opened(mount(tmp_path, ring(1), 1), clock)
    good = file.current()
    mount(tmp_path, text, 2)
    for _ in range(3):
        assert file.current() is good
    assert file.problem == problem
    [line] = caplog.records
    assert line.getMessage() == "keyring not usable"
    assert line.__dict__["ring"] == "grant"
    assert line.__dict__["problem"] == problem
    assert line.__dict__["last_good_kept"] is True
    mount(tmp_path, ring(1, 2), 3)
    assert file.current().sealing_key(clock()) == "k2"
    assert file.problem == ""
    assert caplog.records[-1].getMessage() == "keyring usable again"


def test_a_file_that_is_gone_leaves_the_last_good_ring_in_use(tmp_path: Path, clock: Clock) -> None:
    path = mount(tmp_path, ring(1), 1)
    file = opened(path, clock)
    good = file.current()
    path.rename(tmp_path / "away")
    assert file.current() is good
    assert file.problem == "it cannot be read (FileNotFoundError)"
    (tmp_path / "away").rename(path)
    assert file.current().keys == good.keys
    assert file.problem == ""


def test_a_ring_that_was_never_there_is_a_named_condition_and_comes_back_by_itself(
    tmp_path: Path, clock: Clock
) -> None:
    file = opened(tmp_path / "keys.json", clock)
    for _ in range(2):
        with pytest.raises(LanyardError) as caught:
            file.current()
        assert caught.value.reason is Reason.KEYRING_LOST
    mount(tmp_path, ring(1), 1)
    assert file.current().sealing_key(clock()) == "k1"


def test_a_ring_becomes_usable_when_the_time_of_its_first_key_comes(tmp_path: Path, clock: Clock) -> None:
    file = opened(mount(tmp_path, ring(1, active_from=clock() + timedelta(minutes=10)), 1), clock)
    with pytest.raises(LanyardError):
        file.current()
    clock.now += timedelta(minutes=11)
    assert key_id_of(file.current().seal(b"", PLACE, now=clock(), nonce=bytes(12))) == "k1"


@pytest.mark.spec("C8")
def test_no_log_line_quotes_the_file(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    canary = "c4n4ry"
    file = opened(mount(tmp_path, json.dumps({"keys": [{"id": "k1", "key": canary, "activeFrom": canary}]}), 1), clock)
    with pytest.raises(LanyardError):
        file.current()
    assert canary not in "".join(str(line.__dict__) for line in caplog.records)
