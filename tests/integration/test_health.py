"""Health and metrics as a kubelet and a Prometheus would ask for them."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from lanyard.entry.telemetry import HealthServer

pytestmark = pytest.mark.spec("K8")


class State:
    alive = True
    ready = False


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def address(state: State) -> AsyncIterator[str]:
    registry = CollectorRegistry()
    Gauge("lanyard_example", "An example.", registry=registry).set(3)
    server = HealthServer(registry, alive=lambda: state.alive, ready=lambda: state.ready)
    await server.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def asked(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_a_process_is_alive_before_it_is_ready(address: str, state: State) -> None:
    assert (await asked(f"{address}/healthz"))[::2] == (200, "ok\n")
    assert (await asked(f"{address}/readyz"))[::2] == (503, "not ok\n")
    state.ready = True
    assert (await asked(f"{address}/readyz"))[0] == 200
    state.alive = False
    assert (await asked(f"{address}/healthz"))[0] == 503


async def test_metrics_are_in_the_text_format(address: str) -> None:
    status, kind, text = await asked(f"{address}/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=0.0.4")
    assert "lanyard_example 3.0" in text


async def test_there_is_nothing_else_to_ask_for(address: str) -> None:
    for path in ("/", "/metrics/", "/debug", "/healthz/x"):
        assert (await asked(address + path))[0] == 404


async def test_a_server_that_was_never_started_can_be_stopped() -> None:
    await HealthServer(CollectorRegistry(), alive=lambda: True, ready=lambda: True).stop()
