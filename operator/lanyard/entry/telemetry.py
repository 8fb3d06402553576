"""What the process tells of itself: JSON logs, metrics, health.

Metrics about objects are collected from memory at scrape time, so an object that is gone vanishes by itself.
Labels are names that users gave and reasons of the closed list; nothing that a provider or a store answered.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lanyard import __version__
from lanyard.flows.keys import What
from lanyard.flows.tally import Tally
from lanyard.flows.world import World
from lanyard.rules.status import moment

_log = logging.getLogger(__name__)

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
QUIET = ("httpx", "httpcore", "aiohttp.access", "asyncio", "kopf")


# Made once: `json.dumps` makes one for each line when it is told what to do with other types.
_WRITER = json.JSONEncoder(default=lambda value: type(value).__name__)


class JsonLines(logging.Formatter):
    """One JSON object a line. Exceptions are told by type only: their text may quote what must not be shown."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            # asyncio writes the exceptions of forgotten tasks, text and all, into its messages.
            "message": record.getMessage() if record.name != "asyncio" else "the event loop met a fault",
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["fault"] = record.exc_info[0].__name__
        return _WRITER.encode(line)


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    _log.warning("an exception that nobody could catch", extra={"fault": found.exc_type.__name__})


def configure_logging(level: str) -> None:
    """All loggers to standard error as JSON. Libraries that log addresses or bodies are kept quiet at any level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # No line of ours says which thread or process it is from; finding out costs a third of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A line that cannot be written would else be printed with its arguments and a traceback.
    logging.raiseExceptions = False
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # What a task says that is torn down with its loop goes past all handlers, text and all.
    sys.unraisablehook = _unraisable
    # kopf prints whole bodies and exception texts below this level (research/kopf.md 1.11).
    logging.getLogger("kopf").setLevel(logging.CRITICAL)


class ObjectCollector(Collector):
    """Gauges over the objects in memory, counters over what the flows did."""

    def __init__(self, world: World, tally: Tally, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._world = world
        self._tally = tally
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        condition = GaugeMetricFamily(
            "lanyard_connection_condition",
            "1 for the status that a condition of a Connection has.",
            labels=("namespace", "name", "type", "status", "reason"),
        )
        expires = GaugeMetricFamily(
            "lanyard_connection_token_expiration_timestamp_seconds",
            "When the published token expires.",
            labels=("namespace", "name"),
        )
        upcoming = GaugeMetricFamily(
            "lanyard_connection_next_refresh_timestamp_seconds",
            "When the next attempt is made.",
            labels=("namespace", "name"),
        )
        for key, record in list(self._world.objects[What.CONNECTION].items()):
            status = record.parsed_status()
            for entry in status.get("conditions") or ():
                labels = (key.namespace, key.name, entry["type"], entry["status"], entry["reason"])
                condition.add_metric(labels, 1.0)
            for family, field in ((expires, "expiresAt"), (upcoming, "nextRefreshAt")):
                when = moment(status.get(field))
                if when is not None:
                    family.add_metric((key.namespace, key.name), when.timestamp())
        fetched = GaugeMetricFamily(
            "lanyard_issuer_keys_fetched_timestamp_seconds",
            "When an issuer said last which keys it has.",
            labels=("issuer", "key_set"),
        )
        for stored in list(self._world.issuer_sets.values()):
            seen = max(self._world.issuer_fetches.get(stored.name, stored.fetched_at), stored.fetched_at)
            fetched.add_metric((stored.issuer, stored.name), seen.timestamp())
        yield from (condition, expires, upcoming, fetched)
        for name, (text, label_names, counts) in self._tally.families().items():
            counter = CounterMetricFamily(name, text, labels=label_names)
            for values, count in list(counts.items()):
                counter.add_metric(values, count)
            yield counter
        for name, (text, value) in self._gauges().items():
            if name.endswith("_total"):
                yield CounterMetricFamily(name.removesuffix("_total"), text, value=value)
            else:
                yield GaugeMetricFamily(name, text, value=value)
        yield GaugeMetricFamily("lanyard_build_info", f"Version of Lanyard: {__version__}.", value=1.0)


class HealthServer:
    """`/healthz`, `/readyz` and `/metrics` of the main loop: kopf's own endpoint would end with kopf."""

    def __init__(self, registry: CollectorRegistry, *, alive: Callable[[], bool], ready: Callable[[], bool]) -> None:
        self._registry = registry
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, address: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/healthz", self._answer(self._alive))
        app.router.add_get("/readyz", self._answer(self._ready))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    def _answer(check: Callable[[], bool]) -> Callable[[web.Request], Any]:
        async def answer(_: web.Request) -> web.Response:
            good = check()
            return web.Response(status=200 if good else 503, text="ok\n" if good else "not ok\n")

        return answer

    async def _metrics(self, _: web.Request) -> web.Response:
        # In a thread: over 10,000 objects it takes more than a second, in which no refresh would start.
        body = await asyncio.to_thread(generate_latest, self._registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
