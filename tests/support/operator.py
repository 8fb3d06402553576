"""Run the operator as a user would: the installed command, its own ServiceAccount, settings from the environment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

START_SECONDS = 30.0
STOP_SECONDS = 40.0


class OperatorProcess:
    """One operator. `log` holds its standard error; lines are JSON."""

    def __init__(
        self,
        *,
        kubeconfig: Path,
        log: Path,
        settings: Mapping[str, str] | None = None,
        processes: Any = None,
        command: str = "operator",
    ) -> None:
        """`processes` of an environment: the operator then ends with it, also when this process is killed."""
        self.log = log
        self._command = command
        self._processes = processes
        self._settings = {
            "LANYARD_KUBECONFIG": str(kubeconfig),
            "LANYARD_HEALTH_ADDRESS": "127.0.0.1",
            "LANYARD_HEALTH_PORT": "0",
            **{f"LANYARD_{name.upper()}": value for name, value in (settings or {}).items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._offset = 0

    def start(self, *, ready: bool = True, leads: bool = True, seconds: float = START_SECONDS) -> Self:
        """Start it and, unless told otherwise, wait until it has listed everything, and holds the Lease."""
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LANYARD_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "lanyard", self._command],
                env={**environment, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._processes is not None:
            self._processes.note(f"operator-{self.pid}", self.pid)
        if ready:
            self.wait_for("ready", seconds)
            if leads and self._command == "operator":
                self.wait_for("leading", seconds)
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def lines(self) -> list[dict[str, Any]]:
        """What it logged since it was started; text that is not JSON comes as {"text": ...}."""
        with self.log.open("rb") as log:
            log.seek(self._offset)
            return [_line(text) for text in log.read().decode(errors="replace").splitlines() if text.strip()]

    def wait_for(self, message: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.lines():
                if line.get("message") == message:
                    return line
            if not self.running:
                break
            time.sleep(0.1)
        tail = "\n".join(str(line) for line in self.lines()[-20:])
        raise AssertionError(f"the operator never logged {message!r}:\n{tail}")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.wait_for('started')['health_port']}"

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels as written on the page."""
        text = httpx.get(f"{self.address}/metrics", timeout=30).text
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def memory_mib(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the operator did not stop after SIGTERM") from None
        self._forget()
        return status

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        assert self._process is not None
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait(10)
        self._forget()

    def _forget(self) -> None:
        if self._processes is not None:
            self._processes.forget(f"operator-{self.pid}", self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Not by a kill: the next one would wait for the end of the Lease."""
        if self.running:
            self.stop()


def _line(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {"text": text}
    return line if isinstance(line, dict) else {"text": text}
