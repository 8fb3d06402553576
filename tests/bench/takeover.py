"""Two operators: the one that leads is stopped, or killed, and the other asks for the first token."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.figures import Figure, figure
from bench.place import Place, names
from bench.sizes import Size
from support.fleet import audited, logged_at
from support.operator import OperatorProcess

FIGURES = ("takeover_clean_seconds", "takeover_kill_seconds")
ENDS: dict[str, Callable[[OperatorProcess], None]] = {
    "takeover_clean_seconds": OperatorProcess.terminate,
    "takeover_kill_seconds": OperatorProcess.kill,
}


def run(place: Place, size: Size) -> Iterator[Figure]:
    """From the signal to the end of the other's first token request. Tokens are short: at any time some are due."""
    count = size.refreshed
    with place.namespace("bench-takeover") as cluster, ExitStack() as processes:
        all_names = names("bench-takeover", count)
        place.register(all_names, life=size.life)
        asked = place.oauth.marker()
        leader = processes.enter_context(place.operator(**size.lease)).start()
        place.create(cluster.namespace, all_names, over_seconds=0.45 * size.life)
        place.wait_all_ready(cluster.namespace, count, since=asked, longest=size.longest)
        for name, end in ENDS.items():
            took, led = [], []
            for _ in range(size.restarts):
                standby = processes.enter_context(place.operator(**size.lease))
                standby.start(leads=False, seconds=size.longest)
                time.sleep(size.quiet)
                at = time.time()
                end(leader)
                first, leading = _first_request(standby, size.longest)
                took.append(first - at)
                led.append(leading - at)
                if leader.running:
                    leader.stop()
                leader = standby
            yield figure(
                name,
                statistics.median(took),
                "s",
                n=count,
                spread=(min(took), max(took)),
                until_it_leads=statistics.median(led),
                life_seconds=size.life,
                **size.lease,
            )


def _first_request(process: OperatorProcess, longest: float) -> tuple[float, float]:
    """Epoch seconds of the first token request it is through with, and of the moment it led."""
    deadline = time.monotonic() + longest
    while not (lines := audited(process, "token request")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody asked for a token within {longest:.0f} s")
        time.sleep(0.2)
    return logged_at(lines[0]), logged_at(process.wait_for("leading"))
