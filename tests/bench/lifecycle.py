"""From nothing to all Ready, at rest, started again with fresh tokens."""

import statistics
import time
from collections.abc import Iterator

from bench.figures import Figure, figure
from bench.meters import calls, peak_mib
from bench.place import Place, each, names, per
from bench.sizes import Size
from support.operator import OperatorProcess

FIGURES = (
    "writes_first_ready",
    "ready_all_seconds",
    "ready_cpu_ms",
    "rss_mib",
    "start_fresh_seconds",
    "start_fresh_cpu_seconds",
    "start_fresh_rss_mib",
    "writes_restart",
    "provider_calls_restart",
    "writes_idle_resync",
)
DAY = 24 * 3600


def run(place: Place, size: Size) -> Iterator[Figure]:
    count = size.connections
    with place.namespace("bench-lifecycle") as cluster:
        all_names = names("crm", count)
        place.register(all_names, life=DAY)
        place.create(cluster.namespace, all_names)
        with place.operator() as operator:
            yield from _ready_all(place, size, operator, cluster.namespace)
            operator.stop()
        yield from _start_fresh(place, size)
        yield from _idle(place, size)


def _ready_all(place: Place, size: Size, operator: OperatorProcess, namespace: str) -> Iterator[Figure]:
    count = size.connections
    asked, logged = place.oauth.marker(), place.kubernetes.audit_offset()
    before = place.cpu()
    operator.start(ready=False)
    place.wait_all_ready(namespace, count, since=asked, longest=size.longest)
    used = place.cpu().since(before)
    seen = calls(place.kubernetes, logged)
    took = (seen.last_status_at or time.time()) - before.at
    counted = {"writes": dict(seen.writes), "apart": dict(seen.apart), "refused": seen.failed}
    yield figure("ready_all_seconds", took, "s", n=count, cpu_seconds=used, others_cores=used["others"] / took)
    yield figure("ready_cpu_ms", 1000 * used["operator"] / count, "ms", n=count, cpu_ms_per_object=per(used, count))
    yield figure(
        "writes_first_ready",
        seen.total / count,
        "writes",
        n=count,
        provider_calls=place.oauth.count(since=asked),
        **counted,
    )
    place.settle(operator, quiet=size.quiet, longest=size.longest)
    time.sleep(size.rest)
    yield figure("rss_mib", operator.memory_mib(), "MiB", n=count, peak_mib=peak_mib(operator.pid))


def _start_fresh(place: Place, size: Size) -> Iterator[Figure]:
    """Steady: ready, and nothing left to do; seen from outside, and confirmed by the queue's own gauges afterwards."""
    count = size.connections
    took, cpu, rss, parts = [], [], [], []
    asked, logged = place.oauth.marker(), place.kubernetes.audit_offset()
    left = 0.0
    for _ in range(size.restarts):
        before = place.cpu()
        with place.operator() as operator:
            operator.start(seconds=size.longest)
            steady_at, then = place.settle(operator, quiet=size.quiet, longest=size.longest)
            took.append(steady_at - before.at)
            parts.append(then.since(before))
            cpu.append(parts[-1]["operator"])
            rss.append(operator.memory_mib())
            gauges = operator.metrics()
            left = max(left, gauges["lanyard_queue_length"] + gauges["lanyard_in_flight"])
            operator.stop()
    seen = calls(place.kubernetes, logged)
    yield figure(
        "start_fresh_seconds",
        statistics.median(took),
        "s",
        n=count,
        spread=(min(took), max(took)),
        restarts=size.restarts,
        left_in_queue=left,
        cpu_seconds=parts[0],
        others_cores=sum(part["others"] for part in parts) / sum(took),
    )
    yield figure(
        "start_fresh_cpu_seconds", statistics.median(cpu), "s", n=count, spread=(min(cpu), max(cpu)), restarts=len(cpu)
    )
    yield figure("start_fresh_rss_mib", statistics.median(rss), "MiB", n=count, spread=(min(rss), max(rss)))
    yield figure("writes_restart", seen.total / size.restarts, "writes", n=count, writes=dict(seen.writes))
    yield figure("provider_calls_restart", place.oauth.count(since=asked) / size.restarts, "calls", n=count)


def _idle(place: Place, size: Size) -> Iterator[Figure]:
    """Two full resyncs of an operator that has nothing to do."""
    with place.operator(resync_interval=f"{size.resync}s") as operator:
        operator.start(seconds=size.longest)
        time.sleep(size.quiet)
        asked, logged, before = place.oauth.marker(), place.kubernetes.audit_offset(), place.cpu()
        each(lambda: calls(place.kubernetes, logged).connection_lists >= 2, longest=size.longest + 3 * size.resync)
        time.sleep(size.resync / 2)
        used, seen = place.cpu().since(before), calls(place.kubernetes, logged)
        resyncs = max(seen.connection_lists, 1)
        yield figure(
            "writes_idle_resync",
            seen.total / resyncs,
            "writes",
            n=size.connections,
            resyncs=seen.connection_lists,
            provider_calls=place.oauth.count(since=asked),
            cpu_seconds_per_resync=used["operator"] / resyncs,
            writes=dict(seen.writes),
        )
        operator.stop()
