import asyncio
import gc
import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lanyard.entry.telemetry import QUIET, JsonLines, ObjectCollector, configure_logging
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.tally import TEXTS, Tally, audit
from lanyard.flows.world import World
from lanyard.sensitive import Sensitive

CANARY = "c4n4ry-value"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a process that configured logging would write."""
    root = logging.getLogger()
    names = (None, *QUIET)
    hook = sys.unraisablehook
    before = (root.handlers[:], logging.raiseExceptions, [(name, logging.getLogger(name).level) for name in names])
    configure_logging("INFO")
    stream = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    sys.unraisablehook = hook
    root.handlers[:], logging.raiseExceptions = before[0], before[1]
    for name, level in before[2]:
        logging.getLogger(name).setLevel(level)


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.spec("K8")
def test_a_line_is_one_json_object_with_its_extra_fields(lines: io.StringIO) -> None:
    logging.getLogger("lanyard.flows").info("done with %s", "it", extra={"object": "Connection/sales/crm", "count": 3})
    (line,) = written(lines)
    when = datetime.fromisoformat(line.pop("time"))
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "logger": "lanyard.flows",
        "message": "done with it",
        "object": "Connection/sales/crm",
        "count": 3,
    }


@pytest.mark.spec("C8", "K8")
def test_what_is_torn_down_with_its_loop_is_told_by_its_type(lines: io.StringIO) -> None:
    class Leaver:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    leaver = Leaver()
    del leaver
    gc.collect()
    (line,) = written(lines)
    assert (line["level"], line["fault"]) == ("warning", "ValueError")
    assert CANARY not in lines.getvalue()


@pytest.mark.spec("K8")
def test_a_line_break_does_not_make_two_lines(lines: io.StringIO) -> None:
    logging.getLogger("lanyard").info("one\ntwo", extra={"text": "a\r\nb"})
    assert len(lines.getvalue().splitlines()) == 1


@pytest.mark.spec("K8", "C8")
def test_an_exception_is_told_by_its_type_only(lines: io.StringIO) -> None:
    fault = RuntimeError(CANARY)
    fault.__cause__ = ValueError(CANARY)
    logging.getLogger("lanyard").error("it failed", exc_info=fault, stack_info=True)
    (line,) = written(lines)
    assert line["fault"] == "RuntimeError"
    assert CANARY not in lines.getvalue()


@pytest.mark.spec("C8")
def test_what_is_no_text_is_told_by_its_type_only(lines: io.StringIO) -> None:
    fields = {"error": ValueError(CANARY), "token": Sensitive(CANARY), "raw": CANARY.encode()}
    logging.getLogger("lanyard").info("odd", extra=fields)
    (line,) = written(lines)
    assert {name: line[name] for name in fields} == {"error": "ValueError", "token": "Sensitive", "raw": "bytes"}


@pytest.mark.spec("C8")
async def test_the_exception_of_a_forgotten_task_is_told_by_its_type_only(lines: io.StringIO) -> None:
    async def fail() -> None:
        raise RuntimeError(CANARY)

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "left alone", "exception": RuntimeError(CANARY), "future": CANARY})
    assert CANARY not in lines.getvalue()
    assert {line["fault"] for line in written(lines)} == {"RuntimeError"}


@pytest.mark.spec("C8")
def test_a_line_that_cannot_be_written_is_not_printed_with_its_arguments(
    lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("lanyard").warning("%d", CANARY)
    assert CANARY not in lines.getvalue() + capsys.readouterr().err


@pytest.mark.spec("C8")
@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "aiohttp.access", "kopf.objects", "asyncio"])
def test_libraries_that_log_addresses_and_bodies_are_quiet_also_when_debugging(lines: io.StringIO, name: str) -> None:
    logging.getLogger().setLevel("DEBUG")
    logging.getLogger(name).info(CANARY)
    assert lines.getvalue() == ""


@pytest.mark.spec("K8")
def test_the_audit_log_is_part_of_it(lines: io.StringIO) -> None:
    audit("publish", "written", object_name="Connection/sales/crm", uid="u", secret="crm-token")
    (line,) = written(lines)
    assert (line["logger"], line["action"], line["secret"]) == ("lanyard.audit", "publish", "crm-token")


def test_a_formatter_stands_alone() -> None:
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "text", (), None)
    assert json.loads(JsonLines().format(record))["level"] == "warning"


def seen(name: str, status: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": "sales", "name": name, "uid": name, "generation": 1}, "status": status}


def world_with(**statuses: dict[str, Any]) -> World:
    world = World(wake=lambda _: None, sources_of=sources_of)
    for name, status in statuses.items():
        world.observe(What.CONNECTION, seen(name, status))
    return world


def scraped(world: World, tally: Tally | None = None) -> list[str]:
    registry = CollectorRegistry()
    gauges = {"lanyard_queue_length": ("Objects waiting.", 2.0)}
    registry.register(ObjectCollector(world, tally or Tally(), lambda: gauges))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


READY = {
    "conditions": [{"type": "Ready", "status": "True", "reason": "TokenPublished", "message": CANARY}],
    "expiresAt": "2026-03-01T12:00:00Z",
    "nextRefreshAt": "2026-03-01T11:00:00Z",
}


@pytest.mark.spec("K8")
def test_metrics_show_conditions_and_times_of_every_connection() -> None:
    labels = 'name="crm",namespace="sales"'
    lines = scraped(world_with(crm=READY, new={}))
    ready = f'lanyard_connection_condition{{{labels},reason="TokenPublished",status="True",type="Ready"}} 1.0'
    assert ready in lines
    expiry = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
    values = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines}
    assert values[f"lanyard_connection_token_expiration_timestamp_seconds{{{labels}}}"] == expiry
    assert values[f"lanyard_connection_next_refresh_timestamp_seconds{{{labels}}}"] == expiry - 3600
    assert not any('name="new"' in line for line in lines), "nothing is known of it yet"


@pytest.mark.spec("K8", "C8")
def test_metrics_carry_no_messages() -> None:
    assert CANARY not in "\n".join(scraped(world_with(crm=READY)))


@pytest.mark.spec("K8")
def test_metrics_of_an_object_vanish_with_it() -> None:
    world = world_with(crm=READY)
    world.forget(Key(What.CONNECTION, "sales", "crm"))
    assert not any("crm" in line for line in scraped(world))


@pytest.mark.spec("K8")
def test_metrics_show_what_was_counted_and_what_is_under_way() -> None:
    tally = Tally()
    tally.count("lanyard_token_requests", "password", "issued", by=3)
    lines = scraped(world_with(), tally)
    assert 'lanyard_token_requests_total{method="password",outcome="issued"} 3.0' in lines
    assert "lanyard_queue_length 2.0" in lines
    assert any(line.startswith("lanyard_build_info") for line in lines)


@pytest.mark.spec("K8")
def test_every_counter_has_its_place_in_the_metrics() -> None:
    tally = Tally()
    for name, (_, labels) in TEXTS.items():
        tally.count(name, *labels)
    lines = "\n".join(scraped(world_with(), tally))
    assert all(f"{name}_total{{" in lines for name in TEXTS)
