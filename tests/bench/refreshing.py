"""Many tokens with a short life: how late they are refreshed, what one refresh costs, how many there can be."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.figures import Figure, figure
from bench.meters import Write, calls, quantile
from bench.place import Place, names, per
from bench.sizes import Size
from lanyard.rules.schedule import refresh_at

FIGURES = (
    "refresh_lateness_p99_seconds",
    "refresh_lateness_p50_seconds",
    "refresh_cpu_ms",
    "writes_per_refresh",
)
SATURATED = ("saturation_refreshes_per_second",)


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in it: `asked` are the times (epoch seconds) of each Connection's token requests, also before."""

    began: float
    ended: float
    asked: dict[str, list[float]]
    refused: int
    cpu: dict[str, float]
    written: list[Write]
    """From the operator's start on."""
    memory_mib: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def others_cores(self) -> float:
        """Cores that were busy with what is no part of the bench: late refreshes may be theirs."""
        return self.cpu.get("others", 0.0) / self.seconds

    @property
    def refreshes(self) -> int:
        return sum(self.began <= at < self.ended for times in self.asked.values() for at in times)


@dataclass(frozen=True, slots=True)
class Known:
    """A Connection as the API server has it."""

    uid: str
    next_at: float
    """status.nextRefreshAt, which is in whole seconds."""


def run(place: Place, size: Size) -> Iterator[Figure]:
    count = size.refreshed
    window, known = _watch(place, "bench-refresh", count, life=size.life, warm=size.warm, seconds=size.window)
    due, against_status, other = lateness(window, known, size.life)
    facts = {
        "life_seconds": size.life,
        "window_seconds": window.seconds,
        "refreshes": window.refreshes,
        "refreshes_per_second": window.refreshes / window.seconds,
        "refused": window.refused,
        "others_cores": window.others_cores,
    }
    if not due:
        return
    yield figure(
        "refresh_lateness_p99_seconds",
        quantile(due, 0.99),
        "s",
        n=count,
        highest=max(due),
        p99_against_whole_seconds_of_status=quantile(against_status, 0.99),
        announced_otherwise=other,
        **facts,
    )
    yield figure("refresh_lateness_p50_seconds", quantile(due, 0.5), "s", n=count, **facts)
    used = per(window.cpu, window.refreshes)
    yield figure(
        "refresh_cpu_ms",
        used["operator"],
        "ms",
        n=count,
        cpu_ms_per_refresh=used,
        operator_mib=window.memory_mib,
        **facts,
    )
    writes, refreshes = writes_between(window)
    yield figure(
        "writes_per_refresh",
        writes.total() / max(refreshes, 1),
        "writes",
        n=count,
        writes=dict(writes),
        refreshes=refreshes,
    )


def run_saturated(place: Place, size: Size) -> Iterator[Figure]:
    """Tokens so short that the next refresh is due before the queue is through with the others."""
    count, life = size.refreshed, size.saturated_life
    window, _ = _watch(
        place, "bench-saturated", count, life=life, warm=size.saturated_warm, seconds=size.saturated_window
    )
    used = per(window.cpu, window.refreshes)
    yield figure(
        "saturation_refreshes_per_second",
        window.refreshes / window.seconds,
        "1/s",
        n=count,
        life_seconds=life,
        asked_for_per_second=count / (0.45 * life),
        cpu_ms_per_refresh=used,
        cores_used={name: round(seconds / window.seconds, 2) for name, seconds in window.cpu.items()},
        refused=window.refused,
        operator_mib=window.memory_mib,
        others_cores=window.others_cores,
    )


def lateness(window: Window, known: dict[str, Known], life: float) -> tuple[list[float], list[float], int]:
    """Seconds from due to the provider's sight of the request, for every refresh in the window.

    `status.nextRefreshAt` is cut to whole seconds. The exact moment follows from the request before, by the published
    rule; that the operator announced the same second is looked at for each Connection's next one. Returns lateness
    against the exact moment, against the whole second, and how many were announced otherwise.
    """
    exact, whole, other = [], [], 0
    for name, times in window.asked.items():
        due_after = [_due(at, life, known[name].uid) for at in times]
        for due, at in zip(due_after, times[1:], strict=False):
            if window.began <= at < window.ended:
                exact.append(at - due)
                whole.append(at - int(due))
        # A second's edge may lie between the operator's clock and the provider's, and the last request may have come
        # after the Connections were read.
        other += min(abs(known[name].next_at - int(due)) for due in due_after[-2:]) > 1
    return exact, whole, other


def writes_between(window: Window) -> tuple[Counter[str], int]:
    """Writes that belong to whole refreshes, and how many refreshes those are.

    A refresh owns what is written for its Connection from its request to the next one; the first request was no
    refresh and the last may not be through. Events bear no name of their Connection: all of the same time count.
    """
    owned: dict[str, list[float]] = {name: times[1:] for name, times in window.asked.items() if len(times) > 2}
    began = max((times[0] for times in window.asked.values()), default=0.0)
    writes: Counter[str] = Counter()
    for write in window.written:
        times = owned.get(write.name.removesuffix("-token"))
        if (times and times[0] <= write.at < times[-1]) or (not write.name and began + 1 <= write.at < window.ended):
            writes[write.what] += 1
    return writes, sum(len(times) - 1 for times in owned.values())


def _due(asked_at: float, life: float, uid: str) -> float:
    issued = datetime.fromtimestamp(asked_at, UTC)
    return refresh_at(issued, issued + timedelta(seconds=life), uid).timestamp()


def _watch(
    place: Place, namespace: str, count: int, *, life: int, warm: float, seconds: float
) -> tuple[Window, dict[str, Known]]:
    with place.namespace(namespace) as cluster, place.operator() as operator:
        all_names = names(namespace, count)
        place.register(all_names, life=life)
        operator.start()
        asked, logged = place.oauth.marker(), place.kubernetes.audit_offset()
        # Spread over the mean time between two refreshes: tokens of a long-running cluster do not end all at once.
        place.create(cluster.namespace, all_names, over_seconds=0.45 * life)
        time.sleep(warm)
        before = place.cpu()
        time.sleep(seconds)
        after, seen = place.cpu(), calls(place.kubernetes, logged)
        known = known_of(place, cluster.namespace)
        times: dict[str, list[float]] = defaultdict(list)
        refused = 0
        for request in place.oauth.requests(since=asked):
            if request.status == 200:
                times[request.client_id].append(request.at)
            else:
                refused += before.at <= request.at < after.at
        window = Window(
            began=before.at,
            ended=after.at,
            asked=dict(times),
            refused=refused,
            cpu=after.since(before),
            written=seen.written,
            memory_mib=operator.memory_mib(),
        )
        operator.stop()
    return window, known


def known_of(place: Place, namespace: str) -> dict[str, Known]:
    """By name."""
    return {
        one["metadata"]["name"]: Known(one["metadata"]["uid"], _next_at(one)) for one in place.connections(namespace)
    }


def _next_at(one: dict[str, dict[str, str]]) -> float:
    text = one.get("status", {}).get("nextRefreshAt")
    return datetime.fromisoformat(text).timestamp() if text else 0.0
