"""End the operator's watch, again and again, while slow token requests are in flight.

Each strike: a slow token request begins; the watch is struck (410 as status, 410 in the stream, closed sockets, an
outage); behind its back one Connection is changed, one made and one deleted; the weather clears. Then: same process,
the change and the new object were seen, the deleted one is no ghost, the slow request was sent once and its token
published once.
"""

import time
from dataclasses import dataclass
from typing import Any, Self

from localenv.proxy import FaultProxy
from support.cluster import Cluster, is_current, status_of
from support.provider import Answer, ScriptedProvider

OURS = {"path_regex": "^/apis/lanyard.dev/.*"}
STILL: dict[str, Any] = {
    "connector": "bearer",
    "suspend": True,
    "credentials": {"token": {"secretRef": {"name": "client", "key": "secret"}}},
}
SLOW_SECONDS = 2.0
LONG_OUTAGE_AT = 7
RECOVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the operator was after the last strike."""

    watch_ends: float
    memory_mib: float
    cpu_seconds: float


class Storm:
    def __init__(
        self,
        environment: Any,
        kubernetes: Any,
        operator_process: Any,
        cluster: Cluster,
        *,
        connections: int,
        outage_seconds: float,
    ) -> None:
        self._cluster = cluster
        self._connections = connections
        self._outage_seconds = outage_seconds
        self._provider = ScriptedProvider(tls=False)
        self._proxy = FaultProxy(environment.processes, environment.pki, "storm", kubernetes.url)
        self._kubernetes = kubernetes
        self._make = operator_process
        self._operator: Any = None
        self._pid = 0

    def __enter__(self) -> Self:
        self._provider.__enter__()
        self._proxy.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._operator is not None:
            self._operator.stop()
        self._proxy.stop()
        self._provider.__exit__(None, None, None)

    def begin(self) -> None:
        """Make the Connections (suspended: they are only known) and start the operator behind the proxy."""
        for number in range(self._connections):
            self._cluster.connection(f"still-{number}", **STILL)
        self._cluster.secret("client", secret="s3cret")
        kubeconfig = self._kubernetes.service_account_kubeconfig(
            "lanyard-system", "lanyard-operator", server=self._proxy.url
        )
        deadline = f"{int(self._outage_seconds + 60)}s"
        self._operator = self._make(kubeconfig=kubeconfig, provider_deadline=deadline, watch_restart_pause="1s").start(
            seconds=120
        )
        self._pid = self._operator.pid
        self._cluster.wait("Connection", f"still-{self._connections - 1}", is_current, seconds=RECOVERY_SECONDS * 10)

    def strike(self, cycle: int) -> None:
        slow, made, gone = f"slow-{cycle}", f"made-{cycle}", f"gone-{cycle}"
        changed = f"still-{cycle % self._connections}"
        outage = self._outage_seconds if cycle == LONG_OUTAGE_AT else 1.0
        self._cluster.connection(gone, **STILL)
        self._cluster.wait("Connection", gone, is_current, seconds=RECOVERY_SECONDS)
        delay = SLOW_SECONDS + (outage if cycle == LONG_OUTAGE_AT else 0.0)
        self._provider.script(f"/{slow}", Answer.of_token(f"token-{cycle}", delay=delay))
        self._cluster.connection(
            slow,
            connector="oauth2",
            parameters={"token_url": f"{self._provider.url}/{slow}"},
            auth={"method": "clientCredentials", "clientId": "storm"},
            credentials={"clientSecret": {"secretRef": {"name": "client", "key": "secret"}}},
        )
        self._provider.wait_for(1, f"/{slow}", seconds=RECOVERY_SECONDS)
        self._hit(cycle)
        self._cluster.merge("Connection", changed, {"spec": {"description": f"changed in strike {cycle}"}})
        self._cluster.connection(made, **STILL)
        self._cluster.delete("Connection", gone)
        time.sleep(outage)
        self._proxy.pass_through()
        self._check(cycle, slow, made, changed, gone)

    def _hit(self, cycle: int) -> None:
        match cycle % 4:
            case 0 | 2:
                self._proxy.gone("http", match=OURS)
                self._proxy.cut()
            case 1:
                self._proxy.gone("stream", match=OURS)
                self._proxy.cut()
            case _ if cycle == LONG_OUTAGE_AT:
                self._proxy.refuse()
            case _:
                self._proxy.cut()

    def _check(self, cycle: int, slow: str, made: str, changed: str, gone: str) -> None:
        for name in (made, changed):
            self._cluster.wait("Connection", name, is_current, seconds=RECOVERY_SECONDS)
        found = self._cluster.wait_ready(slow, seconds=RECOVERY_SECONDS)
        assert self._operator.running, "the process ended"
        assert self._operator.pid == self._pid
        assert self._cluster.data(f"{slow}-token")["access_token"] == f"token-{cycle}"
        requests = len(self._provider.requests(f"/{slow}"))
        assert requests == 1, f"the token of {slow} was asked for {requests} times"
        version = self._cluster.get("Secret", f"{slow}-token")["metadata"]["resourceVersion"]
        assert found["status"]["publishedVersion"] == version, "published more than once"
        self._no_ghost(gone)

    def _no_ghost(self, name: str) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS
        label = f'name="{name}"'
        while time.monotonic() < deadline:
            if not any(label in sample for sample in self._operator.metrics()):
                return
            time.sleep(0.5)
        raise AssertionError(f"{name} was deleted and is still known")

    def end(self) -> Figures:
        """After the last strike every Connection is as it should be."""
        for number in range(0, self._connections, max(1, self._connections // 50)):
            one = self._cluster.get("Connection", f"still-{number}")
            assert is_current(one), one["status"]
            assert status_of(one, "Ready") == "False"
        metrics = self._operator.metrics()
        return Figures(
            watch_ends=metrics["lanyard_watch_restarts_total"],
            memory_mib=self._operator.memory_mib(),
            cpu_seconds=self._operator.cpu_seconds(),
        )
