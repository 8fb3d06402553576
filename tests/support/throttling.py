"""One host with many grants that are due at once, and weather: it refuses at first, with or without a pause to keep."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Self

from support.cluster import Cluster, status_of
from support.connecting import from_secret
from support.provider import Answer, Recorded, ScriptedProvider
from support.sown import GATEWAY_URL, Seed, connector, sow, uproot

PATH = "/token"
LIFE = timedelta(hours=1)
ANSWER_SECONDS = 0.05
ALREADY_SENT = 0.4  # what was on its way when the first refusal arrived


@dataclass
class ThrottledHost:
    """A context manager. `refusals` requests are refused before any is served: `pause` seconds of Retry-After, or a
    plain 503 where that is 0. Where refresh tokens rotate, one that comes twice is refused for good.
    """

    cluster: Cluster
    kubeconfig: Path
    ring: Path
    connections: int
    refusals: int
    pause: int
    rotates: bool = True
    concurrent: int = 4
    per_minute: int = 1200
    refused_at: list[float] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    doubles: int = 0

    def __post_init__(self) -> None:
        self.provider = ScriptedProvider(tls=False)
        self.names = [f"crm-{number:05}" for number in range(self.connections)]
        self._lock, self._numbers = threading.Lock(), count(1)

    def __enter__(self) -> Self:
        self.provider.__enter__()
        self.provider.script(PATH, self._answer)
        self.cluster.secret("client", secret="s3cret")
        name, url = self.cluster.namespace, self.provider.url + PATH
        connector(
            self.cluster,
            name,
            url,
            mode="rotates" if self.rotates else "fixed",
            concurrent=self.concurrent,
            requestsPerMinute=self.per_minute,
        )
        # Late in their life, and alive for long enough.
        issued = datetime.now(UTC) - 0.9 * LIFE
        seeds = [Seed(one, f"rt-{one}", issued, LIFE) for one in self.names]
        self.uids = sow(
            self.cluster,
            seeds,
            connector=name,
            token_url=url,
            source=from_secret("client"),
            kubeconfig=self.kubeconfig,
            ring=self.ring,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.provider.__exit__(None, None, None)
        uproot(self.cluster.client, self.uids.values())
        self.cluster.client.delete(self.cluster.path("Connector", self.cluster.namespace))

    @staticmethod
    def settings() -> Mapping[str, str]:
        return {"gateway_url": GATEWAY_URL}

    def _answer(self, request: Recorded) -> Answer:
        with self._lock:
            if len(self.refused_at) < self.refusals:
                self.refused_at.append(request.at)
                headers = {"Retry-After": str(self.pause)} if self.pause else {}
                return Answer(429 if self.pause else 503, headers, b"", ANSWER_SECONDS)
            token, number = request.form["refresh_token"], next(self._numbers)
            if not self.rotates:
                return Answer.of_token(f"new-{number}", delay=ANSWER_SECONDS)
            if token in self.spent:
                self.doubles += 1
                return Answer.of_error("invalid_grant")
            self.spent.add(token)
        return Answer.of_token(f"new-{number}", refresh_token=f"next-{number}", delay=ANSWER_SECONDS)

    def requests(self) -> list[Recorded]:
        return self.provider.requests(PATH)

    def in_pauses(self) -> int:
        """Requests that came although the host had asked for a pause; those that were on their way are none."""
        pauses = [(at + ANSWER_SECONDS + ALREADY_SENT, at + self.pause) for at in self.refused_at if self.pause]
        return sum(any(begin < one.at < end for begin, end in pauses) for one in self.requests())

    def ahead_of_rate(self) -> float:
        """By how many requests it was asked more, at worst, than its rate allows from the first one on."""
        times = sorted(one.at for one in self.requests())
        rate = self.per_minute / 60
        return max((number - (at - times[0]) * rate for number, at in enumerate(times)), default=0.0)

    def fresh(self) -> int:
        """Connections whose grant was refreshed and whose Secret says so."""
        items: list[Any] = self.cluster.client.get(self.cluster.path("Connection")).json()["items"]
        return sum(
            status_of(one, "Ready") == status_of(one, "TokenFresh") == "True"
            and datetime.fromisoformat(one["status"]["lastRefreshedAt"]) > datetime.now(UTC) - LIFE / 2
            for one in items
        )
