"""Many Connections with short tokens, several operators, and one look from outside: who asked for which token when.

A refresh is due 0.4 to 0.5 of a token's life after it was issued, and up to a second earlier, for statuses have whole
seconds. Two requests for one Connection that lie closer together are two for one due moment, whoever sent them.
"""

import base64
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any, Self

from support.cluster import Cluster
from support.connecting import asks
from support.consenting import EXCHANGE
from support.provider import Answer, Recorded, ScriptedProvider

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{EXCHANGE}/leases/lanyard-operator"
PATH = "/token"
CLOCKS_APART = 0.3  # the operator counts from before it sends, the provider from when it has the request
IN_FLIGHT = 1.5


class Fleet:
    """`count` Connections at a provider that numbers its tokens; `delay` seconds it thinks about each."""

    def __init__(self, cluster: Cluster, *, count: int = 30, delay: float = 0.1) -> None:
        self.cluster = cluster
        self.names = [f"crm-{number:02}" for number in range(count)]
        self.provider = ScriptedProvider(tls=False)
        self._delay = delay
        self._issued: dict[str, int] = defaultdict(int)
        self._shown: dict[str, int] = {}
        self._stop = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)
        self.went_back: list[str] = []

    def __enter__(self) -> Self:
        self.provider.__enter__()
        self.provider.script(PATH, self._answer)
        self.cluster.secret("client", secret="s3cret")
        for name in self.names:
            asks(self.cluster, name, self.provider.url + PATH, auth={"clientId": name})
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._looking.join(20)
        self.provider.__exit__(None, None, None)

    def _answer(self, request: Recorded) -> Answer:
        name = _user(request)
        self._issued[name] += 1
        return Answer.of_token(f"{name}.{self._issued[name]}", expires_in=self._life(name), delay=self._delay)

    @staticmethod
    def _life(name: str) -> int:
        """6 to 10 s, so that at any time some are due."""
        return 6 + int(name.rpartition("-")[2]) % 5

    def _look(self) -> None:
        """All the while: no Secret goes back to an older token."""
        while not self._stop.wait(0.3):
            for name, number in self._published().items():
                if number < self._shown.get(name, 0):
                    self.went_back.append(f"{name} from {self._shown[name]} to {number}")
                self._shown[name] = number

    def _published(self) -> dict[str, int]:
        answer = self.cluster.client.get(self.cluster.path("Secret"))
        found = {}
        for one in answer.json().get("items", ()) if answer.status_code == 200 else ():
            token = base64.b64decode((one.get("data") or {}).get("access_token", "")).decode()
            if token:
                name, _, number = token.partition(".")
                found[name] = int(number)
        return found

    def requests(self, *, since: float = 0.0) -> list[Recorded]:
        """`since` is of the monotonic clock, as are the times of requests."""
        return [request for request in self.provider.requests(PATH) if request.at >= since]

    def doubles(self, *, lost_at: float | None = None) -> list[str]:
        """Pairs of requests for one due moment; what was in flight when a leader was lost has to be asked for again."""
        times: dict[str, list[float]] = defaultdict(list)
        for request in self.requests():
            times[_user(request)].append(request.at)
        found = []
        for name, asked in times.items():
            for one, other in pairwise(asked):
                lost = lost_at is not None and lost_at - IN_FLIGHT <= one <= lost_at + IN_FLIGHT
                if other - one < 0.4 * self._life(name) - 1 - CLOCKS_APART and not lost:
                    found.append(f"{name} at {one:.2f} and {other:.2f}")
        return found

    def wait_all_asked(self, *, since: float, seconds: float = 30.0) -> None:
        """Until every Connection has been refreshed after that moment."""
        until = time.monotonic() + seconds
        while missing := set(self.names) - {_user(request) for request in self.requests(since=since)}:
            assert time.monotonic() < until, f"not refreshed within {seconds} s: {sorted(missing)}"
            time.sleep(0.1)

    def wait_ready(self) -> None:
        for name in self.names:
            self.cluster.wait_ready(name, seconds=40)

    def lease(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.cluster.client.get(LEASE).json()["spec"]
        return spec

    def edit_lease(self, **spec: Any) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        assert self.cluster.client.patch(LEASE, json={"spec": spec}, headers=headers).status_code == 200

    def delete_lease(self) -> None:
        assert self.cluster.client.delete(LEASE).status_code == 200


def _user(request: Recorded) -> str:
    if "client_id" in request.form:
        return request.form["client_id"]
    header = request.header("Authorization") or ""
    return base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")[0]


@contextmanager
def frozen(process: Any) -> Iterator[None]:
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def logged_at(line: Mapping[str, Any]) -> float:
    """Epoch seconds."""
    return datetime.fromisoformat(line["time"]).timestamp()


def audited(process: Any, action: str, since: float = 0.0) -> list[dict[str, Any]]:
    """What a process says it did, to the end, after a moment (epoch seconds)."""
    return [
        line
        for line in process.lines()
        if line.get("logger") == "lanyard.audit" and line["action"] == action and logged_at(line) > since
    ]


def leads(process: Any) -> bool:
    return bool(process.metrics()["lanyard_leader"])


def wait_until(holds: Callable[[], bool], *, seconds: float) -> float:
    """How long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began
