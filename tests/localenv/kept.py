"""The one environment that outlives its starter: `make up`, `make demo KEEP=1`; `make down` ends it."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from localenv.process import signal_group, started_at
from localenv.toolchain import cache_dir

# The API server waits for its watchers before it ends, and nobody needs its data.
STOP_SECONDS = 2.0
STARTING = "starting"


class AlreadyRunningError(RuntimeError):
    """There is one kept environment at a time."""


def claim() -> Path:
    """Its run directory, for a new one; what a reboot or a killed start has left there goes."""
    path = _run_dir()
    if not path.exists() or not any(True for _ in _alive()):
        end()
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise AlreadyRunningError("an environment is kept already: `make down` ends it") from None
    (path / STARTING).write_text(f"{os.getpid()} {started_at(os.getpid())}")
    return path


def started(exports: dict[str, str]) -> None:
    """It is complete: from now on its processes alone say that it is there."""
    (_run_dir() / "exports.json").write_text(json.dumps(exports, indent=1))
    (_run_dir() / STARTING).unlink()


def exports() -> dict[str, str] | None:
    """Its shell variables; None where none is running."""
    with contextlib.suppress(FileNotFoundError):
        content: dict[str, str] = json.loads((_run_dir() / "exports.json").read_text())
        return content if any(True for _ in _alive()) else None
    return None


def end() -> list[str]:
    """End its processes, remove its directory, return the names of what was running."""
    alive = {name: group for name, group in _alive() if name != STARTING}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in alive.values():
            signal_group(group, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(started_at(group) for group in alive.values()):
            time.sleep(0.05)
    shutil.rmtree(_run_dir(), ignore_errors=True)
    return sorted(alive)


def _alive() -> Iterator[tuple[str, int]]:
    """Name and process group of what still runs: an id alone may belong to somebody else by now."""
    for path in [*_run_dir().glob("*.pid"), _run_dir() / STARTING]:
        with contextlib.suppress(FileNotFoundError):
            pid, _, since = path.read_text().partition(" ")
            if since and started_at(int(pid)) == since:
                yield path.stem, int(pid)


def _run_dir() -> Path:
    return cache_dir() / "kept"
