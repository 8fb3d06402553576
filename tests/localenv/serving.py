"""A server that says by a file that it is ready, and on which ports: the OAuth server and the fault proxies."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 5.0
ENDS_WITH_INPUT = "LANYARD_LOCALENV_ENDS_WITH_INPUT"


class Service:
    """One process in a group of its own; `name` names its log and its ready file in `run_dir`.

    It ends with this process, however that ends: its standard input is a pipe that nobody else holds. `keep` leaves it
    running, to be ended by `pid`.
    """

    def __init__(self, name: str, *, run_dir: Path, keep: bool = False) -> None:
        self._keep = keep
        self.name = name
        self.ready = run_dir / f"{name}.ready.json"
        self.log = run_dir / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Any:
        """Start, wait for the ready file, return what it says; RuntimeError with the end of the log if it stays out."""
        self.ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                env={**os.environ, **(env or {}), ENDS_WITH_INPUT: "" if self._keep else "1"},
                stdin=subprocess.DEVNULL if self._keep else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                end = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} did not start:\n{end}")
            time.sleep(0.03)
        return json.loads(self.ready.read_text())

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start_module(self, module: str, arguments: Mapping[str, object]) -> Any:
        """As `start`, with `python -m module --name value ...` from the tests' own packages."""
        command = [sys.executable, "-m", module]
        for name, value in arguments.items():
            command += [name, str(value)]
        return self.start(command, env={"PYTHONPATH": str(TESTS)})

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return
