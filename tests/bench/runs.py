"""Which bench measures which figures."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench import consenting, exchanging, granted, lifecycle, refreshing, takeover, throttling, weather
from bench.figures import Figure
from bench.place import Place
from bench.sizes import Size
from localenv.environment import Environment

Bench = Callable[[Place, Size], Iterator[Figure]]
BENCHES: dict[str, tuple[Bench, tuple[str, ...]]] = {
    "lifecycle": (lifecycle.run, lifecycle.FIGURES),
    "refresh": (refreshing.run, refreshing.FIGURES),
    "saturation": (refreshing.run_saturated, refreshing.SATURATED),
    "granted": (granted.run, granted.FIGURES),
    "granted-fixed": (granted.run_fixed, granted.FIXED),
    "granted-restart": (granted.run_restart, granted.RESTART),
    "throttling": (throttling.run, throttling.FIGURES),
    "consent": (consenting.run, consenting.FIGURES),
    "exchange": (exchanging.run, exchanging.FIGURES),
    "storm": (weather.run, weather.FIGURES),
    "takeover": (takeover.run, takeover.FIGURES),
}
NAMES = tuple(name for _, figures in BENCHES.values() for name in figures)


def figures_of(
    size: Size,
    *,
    only: frozenset[str] = frozenset(),
    environment: Environment | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Figure]:
    """Run what is needed for the wanted figures or benches, each on servers of its own unless some are given."""
    for bench, (run, figures) in BENCHES.items():
        if only and bench not in only and not only & set(figures):
            continue
        say(f"{bench}: {size.connections} Connections")
        with ExitStack() as stack:
            place = stack.enter_context(Place(environment))
            yield from run(place, size)
