"""Grants of people: what a refresh costs where refresh tokens rotate and where they do not, and what a restart does.

No browser is driven. The provider issues refresh tokens by its password grant, and they are written into state Secrets
as a consent would; from then on everything is as in life.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.figures import Figure, figure
from bench.meters import calls, peak_mib, quantile
from bench.place import SECRET, THREADS, Place, each, names, per
from bench.refreshing import Known, Window, known_of, lateness, writes_between
from bench.sizes import Size
from support.cluster import Cluster, Object, status_of
from support.operator import OperatorProcess
from support.sown import GATEWAY_URL, Seed, connector, sow, uproot

FIGURES = ("granted_lateness_p99_seconds", "granted_cpu_ms", "writes_per_rotating_refresh")
FIXED = ("writes_per_fixed_grant_refresh",)
RESTART = ("granted_rss_mib", "granted_start_seconds", "writes_restart_granted", "provider_calls_restart_granted")
PERSON, PASSWORD = "bench-person", "bench-password"
SOURCE: Object = {"secretRef": {"name": SECRET, "key": "secret"}}
DAY = timedelta(days=1)
START_SECONDS = 120.0


def run(place: Place, size: Size) -> Iterator[Figure]:
    count, life = size.granted, size.granted_life
    window, known = _watch(
        place, "bench-rotating", count, mode="rotates", life=life, warm=size.granted_warm, seconds=size.granted_window
    )
    due, _, _ = lateness(window, known, life)
    used = per(window.cpu, window.refreshes)
    facts = {
        "life_seconds": life,
        "window_seconds": window.seconds,
        "refreshes": window.refreshes,
        "refreshes_per_second": window.refreshes / window.seconds,
        "refused": window.refused,
        "others_cores": window.others_cores,
    }
    if due:
        yield figure("granted_lateness_p99_seconds", quantile(due, 0.99), "s", n=count, highest=max(due), **facts)
    yield figure(
        "granted_cpu_ms",
        used["operator"],
        "ms",
        n=count,
        cpu_ms_per_refresh=used,
        operator_mib=window.memory_mib,
        **facts,
    )
    # Counted from one refresh to the next, of which a window of ten-minute tokens has none.
    if life < window.seconds:
        yield _writes("writes_per_rotating_refresh", window, count)


def run_fixed(place: Place, size: Size) -> Iterator[Figure]:
    window, _ = _watch(
        place, "bench-fixed", size.fixed, mode="fixed", life=size.fixed_life, warm=0.0, seconds=size.fixed_window
    )
    yield _writes("writes_per_fixed_grant_refresh", window, size.fixed)


def run_restart(place: Place, size: Size) -> Iterator[Figure]:
    """With grants that are fresh for hours."""
    count, now = size.connections, datetime.now(UTC)
    all_names = names("bench-live", count)
    seeds = [Seed(name, f"rt-{name}", now, DAY) for name in all_names]
    with place.namespace("bench-live") as cluster, _sown(place, cluster, seeds, mode="rotates"):
        with _operator(place) as operator:
            operator.start(seconds=size.longest)
            if not each(lambda: _ready(place, cluster) == count, longest=size.longest, pause=1.0):
                raise TimeoutError(f"{count} Connections were not Ready within {size.longest:.0f} s")
            place.settle(operator, quiet=size.quiet, longest=size.longest)
            time.sleep(size.rest)
            yield figure("granted_rss_mib", operator.memory_mib(), "MiB", n=count, peak_mib=peak_mib(operator.pid))
            operator.stop()
        asked, logged, took = place.oauth.marker(), place.kubernetes.audit_offset(), []
        for _ in range(size.restarts):
            with _operator(place) as operator:
                began = time.time()
                operator.start(seconds=size.longest)
                took.append(place.settle(operator, quiet=size.quiet, longest=size.longest)[0] - began)
                operator.stop()
        seen = calls(place.kubernetes, logged)
    spread = (min(took), max(took))
    yield figure("granted_start_seconds", statistics.median(took), "s", n=count, spread=spread, restarts=size.restarts)
    yield figure("writes_restart_granted", seen.total / size.restarts, "writes", n=count, writes=dict(seen.writes))
    yield figure("provider_calls_restart_granted", place.oauth.count(since=asked) / size.restarts, "calls", n=count)


def _writes(name: str, window: Window, count: int) -> Figure:
    writes, refreshes = writes_between(window)
    value = writes.total() / max(refreshes, 1)
    return figure(name, value, "writes", n=count, writes=dict(writes), refreshes=refreshes)


def _watch(
    place: Place, namespace: str, count: int, *, mode: str, life: int, warm: float, seconds: float
) -> tuple[Window, dict[str, Known]]:
    all_names = names(namespace, count)
    place.oauth.add_user(PERSON, PASSWORD)
    place.register(
        all_names, life=life, grant_types=("password", "refresh_token"), rotate_refresh_tokens=mode == "rotates"
    )
    with place.namespace(namespace) as cluster:
        seeds = _seeds(place, all_names, timedelta(seconds=life))
        with _sown(place, cluster, seeds, mode=mode) as uids, _operator(place) as operator:
            asked, logged = place.oauth.marker(), place.kubernetes.audit_offset()
            operator.start(seconds=START_SECONDS)
            time.sleep(warm)
            before = place.cpu()
            time.sleep(seconds)
            after, seen = place.cpu(), calls(place.kubernetes, logged)
            known = known_of(place, cluster.namespace)
            times: dict[str, list[float]] = defaultdict(list)
            requests = place.oauth.requests(since=asked)
            for request in requests:
                if request.status == 200:
                    times[request.client_id].append(request.at)
            owners = {f"grant-{uid}": name for name, uid in uids.items()}
            window = Window(
                began=before.at,
                ended=after.at,
                asked=dict(times),
                refused=sum(one.status != 200 and before.at <= one.at < after.at for one in requests),
                cpu=after.since(before),
                written=[replace(one, name=owners.get(one.name, one.name)) for one in seen.written],
                memory_mib=operator.memory_mib(),
            )
            operator.stop()
    return window, known


def _seeds(place: Place, all_names: list[str], life: timedelta) -> list[Seed]:
    """Tokens of the provider. Their age is spread, so that they do not all come due at once."""

    def ask(numbered: tuple[int, str]) -> Seed:
        number, name = numbered
        form = {"grant_type": "password", "username": PERSON, "password": PASSWORD, "scope": "api"}
        answer = provider.post(place.oauth.token_url, data=form, auth=(name, SECRET)).raise_for_status().json()
        age = 0.4 * life * number / len(all_names)
        return Seed(name, answer["refresh_token"], datetime.now(UTC) - age, life, answer["access_token"])

    with place.browser() as provider, ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(ask, enumerate(all_names)))


@contextmanager
def _sown(place: Place, cluster: Cluster, seeds: list[Seed], *, mode: str) -> Iterator[dict[str, str]]:
    url, name = place.oauth.token_url, cluster.namespace
    connector(cluster, name, url, mode=mode)
    uids = sow(
        cluster,
        seeds,
        connector=name,
        token_url=url,
        source=SOURCE,
        kubeconfig=place.account("lanyard-operator"),
        ring=Path(place.rings["keyring_grant"]),
    )
    try:
        yield uids
    finally:
        # Of an environment of our own nothing is left anyway.
        if place.is_shared:
            uproot(cluster.client, uids.values())


def _operator(place: Place) -> OperatorProcess:
    return place.operator(gateway_url=GATEWAY_URL, **place.rings)


def _ready(place: Place, cluster: Cluster) -> int:
    return sum(status_of(one, "Ready") == "True" for one in place.connections(cluster.namespace))
