"""The processes of one environment: started in groups of their own, ended together, outliving nobody."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

REAPER = Path(__file__).parent / "reaper.py"
STOP_SECONDS = 10.0
# Below the kernel's own range for outgoing connections: during an outage a client that tries again and again could
# otherwise be given the very port of the stopped server, and a restart on it would fail.
PORTS = range(15_000, 30_000)


class NotReadyError(RuntimeError):
    """A process ended, or was not ready in time; the message carries the end of its log."""


class PortLostError(NotReadyError):
    """Somebody else took the port between the choice and the start: choose again."""


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now; `PortLostError` says that one was taken since."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def started_at(pid: int) -> str:
    """The kernel's start time of a process, which tells it from a later one of the same id. Empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class Processes:
    """All processes of one run directory.

    Another process holds the end of a pipe: when this one ends, even by SIGKILL, it ends the groups and removes the
    directory. With `keep` there is no pipe: the pid files in the directory tell the module `kept` what to end.
    """

    def __init__(self, run_dir: Path, *, keep: bool = False) -> None:
        self.run_dir = run_dir
        self.keep = keep
        self._lock = threading.Lock()
        self._started: list[Process] = []
        self._reaper: subprocess.Popen[bytes] | None = None
        if not keep:
            self._reaper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(REAPER), str(run_dir)],
                stdin=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )

    def add(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> "Process":
        """A process that is not started yet; `env` is laid over this process's environment."""
        process = Process(self, name, command, env or {})
        with self._lock:
            self._started.append(process)
        return process

    def note(self, name: str, pid: int) -> None:
        """This group is to be ended with the environment."""
        (self.run_dir / f"{name}.pid").write_text(f"{pid} {started_at(pid)}")
        self._tell(f"+{pid}")

    def forget(self, name: str, pid: int) -> None:
        (self.run_dir / f"{name}.pid").unlink(missing_ok=True)
        self._tell(f"-{pid}")

    def close(self) -> None:
        """End all at once, for nobody needs their data, and remove the directory; nothing of it if they are kept."""
        if self._reaper is None:
            return
        for process in reversed(self._started):
            process.kill()
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait()
        self._reaper = None

    def _tell(self, line: str) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            with self._lock:
                self._reaper.stdin.write(f"{line}\n".encode())
                self._reaper.stdin.flush()


class Process:
    """One command, started as often as needed; its output is appended to `log`."""

    def __init__(self, processes: Processes, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self.command = list(command)
        self.env = dict(env)
        self.log = processes.run_dir / f"{name}.log"
        self._processes = processes
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool] | None = None, *, seconds: float = 30.0) -> None:
        """Start and wait until `ready` says so; an httpx error or OSError of the probe counts as not yet."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.note(self.name, self._process.pid)
        if ready is not None:
            self.wait(ready, seconds=seconds)

    def wait(self, ready: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """NotReadyError, and the process ended, if `ready` stays false."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.HTTPError, OSError):
                if ready():
                    return
            if not self.running or time.monotonic() > deadline:
                said = "ended at its start" if not self.running else f"was not ready after {seconds:.0f} s"
                self.kill()
                lost = "address already in use" in self.tail(20_000)
                kind = PortLostError if lost else NotReadyError
                raise kind(f"{self.name} {said}; the end of its log:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self, size: int = 3000) -> str:
        """The end of what the last start wrote."""
        try:
            return self.log.read_bytes()[self._log_start :][-size:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM to the group, SIGKILL when that takes too long."""
        self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """SIGKILL to the group."""
        self._end(signal.SIGKILL, 0)

    def _end(self, first: signal.Signals, seconds: float) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        signal_group(process.pid, first)
        try:
            process.wait(seconds or STOP_SECONDS)
        except subprocess.TimeoutExpired:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
        signal_group(process.pid, signal.SIGKILL)
        self._processes.forget(self.name, process.pid)


def signal_group(group: int, number: signal.Signals) -> None:
    """To every process of the group; nothing if there is none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
