"""The storm of the tests, at the bench's size: the watch ends again and again over many known Connections."""

import sys
from collections.abc import Iterator

from bench.figures import Figure, figure
from bench.place import Place
from bench.sizes import Size
from support.storm import Storm

FIGURES = ("storm_rss_mib", "storm_watch_ends")


def run(place: Place, size: Size) -> Iterator[Figure]:
    """No figures from a storm that broke a promise; what it broke is told."""

    def operator(**settings: str) -> object:
        return place.operator(allow_loopback_http="true", **settings)

    with place.namespace("bench-storm") as cluster:
        storm = Storm(
            place.environment,
            place.kubernetes,
            operator,
            cluster,
            connections=size.connections,
            outage_seconds=size.outage,
        )
        try:
            with storm:
                storm.begin()
                for cycle in range(size.strikes):
                    storm.strike(cycle)
                figures = storm.end()
        except (AssertionError, TimeoutError) as error:
            print(f"the storm broke a promise: {error}", file=sys.stderr)
            return
    yield figure(
        "storm_rss_mib",
        figures.memory_mib,
        "MiB",
        n=size.connections,
        strikes=size.strikes,
        longest_outage_seconds=size.outage,
        cpu_seconds=figures.cpu_seconds,
    )
    yield figure("storm_watch_ends", figures.watch_ends, "ends", n=size.connections, strikes=size.strikes)
