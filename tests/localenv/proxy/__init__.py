"""A fault proxy in front of any HTTP server of the environment, in a process of its own, steered from the tests."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from localenv.pki import Pki
from localenv.process import Processes

TESTS = Path(__file__).parents[2]
START_SECONDS = 20.0
Match = Mapping[Literal["method", "path_regex"], str]


@dataclass(frozen=True, slots=True)
class Passed:
    """One request as it arrived: `at` epoch seconds, `status` 0 while unanswered, `fault` the rule applied or empty."""

    marker: int
    at: float
    method: str
    path: str
    user_agent: str
    status: int
    fault: str


class FaultProxy:
    """Forwards to `upstream` (TLS verified with `upstream_ca`) and serves with a certificate of the environment's CA.

    Rules (fail, hold, slow, drop_answer, reset, gone) are tried in the order they were set, each for `count` requests
    (None = until `pass_through`). A match has `method` and `path_regex`, searched in path and query; none matches all.
    """

    def __init__(
        self, processes: Processes, pki: Pki, name: str, upstream: str, *, upstream_ca: Path | None = None
    ) -> None:
        """`name` names the process, its log and its certificate; `upstream_ca` defaults to the environment's."""
        self.ca_path: Path = pki.ca_path
        self._ready = processes.run_dir / f"{name}.ready.json"
        certificate, key = pki.server_cert(name)
        arguments = {
            "--upstream": upstream,
            "--upstream-ca": upstream_ca or pki.ca_path,
            "--cert": certificate,
            "--key": key,
            "--ready": self._ready,
        }
        command = [sys.executable, "-m", "localenv.proxy", *(str(part) for pair in arguments.items() for part in pair)]
        self._process = processes.add(name, command, env={"PYTHONPATH": str(TESTS)})
        self._control = httpx.Client(trust_env=False, timeout=10)
        self.url = ""

    def start(self) -> Self:
        self._ready.unlink(missing_ok=True)
        self._process.start(self._ready.exists, seconds=START_SECONDS)
        ports = json.loads(self._ready.read_text())
        self.url = f"https://127.0.0.1:{ports['port']}"
        self._control.base_url = httpx.URL(f"http://127.0.0.1:{ports['control_port']}")
        return self

    def stop(self) -> None:
        self._process.stop()
        self._control.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pass_through(self) -> None:
        """Forget all rules, let go what is held, listen again."""
        self._post("pass-through")

    def refuse(self) -> None:
        """An outage: connections are cut now and refused until `pass_through`."""
        self._post("refuse")

    def cut(self) -> None:
        """Close every open connection now; new ones are taken."""
        self._post("cut")

    def gone(
        self, how: Literal["http", "stream"] = "http", *, count: int | None = None, match: Match | None = None
    ) -> None:
        """Answer watch requests with 410: as the HTTP status, or as one ERROR event in a stream that then ends.

        Streams already open go on; `cut` ends them.
        """
        self._rule(f"gone-{how}", match, count)

    def fail(
        self,
        status: int,
        count: int | None = 1,
        match: Match | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> None:
        """Answer in the upstream's place; without a body, with a Kubernetes Status."""
        self._rule("fail", match, count, status=status, headers=dict(headers or {}), body=body)

    def hold(
        self, match: Match | None = None, when: Literal["before", "after"] = "before", *, count: int | None = None
    ) -> None:
        """Park a request before it is forwarded, or its answer after the upstream gave it, until `release`."""
        self._rule(f"hold-{when}", match, count)

    def release(self) -> None:
        """Let go what is held, and hold no more."""
        self._post("release")

    def slow(self, seconds: float, match: Match | None = None, count: int | None = None) -> None:
        """Forward only after `seconds`."""
        self._rule("slow", match, count, seconds=seconds)

    def drop_answer(self, match: Match | None = None, count: int | None = 1) -> None:
        """Forward, wait for the upstream's answer, then cut the connection without giving it."""
        self._rule("drop-answer", match, count)

    def reset(self, match: Match | None = None, count: int | None = 1) -> None:
        """Cut the connection without forwarding."""
        self._rule("reset", match, count)

    def marker(self) -> int:
        """A point in the log, to be given as `since`."""
        return int(self._status()["marker"])

    def log(self, since: int = 0) -> list[Passed]:
        response = self._control.get("/log", params={"since": since}).raise_for_status()
        return [Passed(**entry) for entry in response.json()]

    def parked(self) -> int:
        return int(self._status()["parked"])

    def wait_parked(self, count: int = 1, *, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while self.parked() < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.parked()} of {count} requests are held after {seconds} s")
            time.sleep(0.02)

    def _rule(self, action: str, match: Match | None, count: int | None, **fields: Any) -> None:
        self._post("rules", {"action": action, "match": dict(match or {}), "count": count, **fields})

    def _post(self, action: str, body: Mapping[str, Any] | None = None) -> None:
        response = self._control.post(f"/{action}", json=body)
        if response.is_error:
            raise ValueError(response.json()["error"])

    def _status(self) -> Any:
        return self._control.get("/status").raise_for_status().json()
