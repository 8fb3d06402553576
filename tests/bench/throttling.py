"""Grants that are due all at once, at a host that answers 429 at first: how it is left in peace, and how soon all is
well again.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, figure
from bench.place import Place, each
from bench.sizes import Size
from support.throttling import ThrottledHost

FIGURES = ("throttled_recovery_seconds", "throttled_requests_in_pauses")


def run(place: Place, size: Size) -> Iterator[Figure]:
    count, ring = size.refreshed, Path(place.rings["keyring_grant"])
    with place.namespace("bench-throttling") as cluster:
        host = ThrottledHost(
            cluster,
            place.account("lanyard-operator"),
            ring,
            count,
            size.refusals,
            size.pause,
            concurrent=8,
            per_minute=3000,
        )
        with host, place.operator(allow_loopback_http="true", **host.settings(), **place.rings) as operator:
            began = time.time()
            operator.start()
            done = each(lambda: host.fresh() == count, longest=size.longest, pause=1.0)
            took = time.time() - began
            operator.stop()
    if not done:
        print("not all Connections were refreshed after the host had throttled them", file=sys.stderr)
        return
    facts = {
        "requests": len(host.requests()),
        "refused": len(host.refused_at),
        "pause_seconds": size.pause,
        "at_once": host.provider.peak,
        "at_once_allowed": host.concurrent,
        "per_second_allowed": host.per_minute / 60,
        "ahead_of_rate": host.ahead_of_rate(),
        "spent_twice": host.doubles,
    }
    yield figure("throttled_recovery_seconds", took, "s", n=count, **facts)
    yield figure("throttled_requests_in_pauses", host.in_pauses(), "requests", n=count)
