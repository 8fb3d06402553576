"""The parts without which the process is of no use: when one ends by itself, the process ends, and says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.operator import OperatorProcess
from support.people import eventually
from support.provider import Answer, ScriptedProvider

SAID = "what-n0body-expected"
EMPTY = Answer.of_json({"metadata": {"resourceVersion": "1"}, "items": []})
NO_OBJECT = Answer.of_json({"metadata": {"resourceVersion": "1"}, "items": [{SAID: SAID}]})


@pytest.fixture
def api() -> Iterator[ScriptedProvider]:
    """An API server that knows Secrets and namespaces only."""
    with ScriptedProvider(tls=False) as server:
        server.script("/api/v1/secrets", EMPTY)
        server.script("/api/v1/namespaces", EMPTY)
        yield server


@pytest.fixture
def process(environment: Any, api: ScriptedProvider, tmp_path: Path) -> Iterator[OperatorProcess]:
    named = {"name": "here"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [named | {"cluster": {"server": api.url}}],
        "users": [named | {"user": {"token": "t0k3n"}}],
        "contexts": [named | {"context": {"cluster": "here", "user": "here"}}],
    }
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    process = OperatorProcess(kubeconfig=kubeconfig, log=tmp_path / "operator.log", processes=environment.processes)
    yield process
    if process.running:
        process.kill()


@pytest.mark.spec("K2")
@pytest.mark.parametrize("path", ["/api/v1/secrets", "/api/v1/namespaces"])
def test_a_mirror_that_ends_takes_the_process_with_it_and_status_1_says_so(
    process: OperatorProcess, api: ScriptedProvider, path: str
) -> None:
    """A process that goes on without it would serve old versions for ever, and look well."""
    api.script(path, NO_OBJECT)
    process.start(ready=False)
    eventually(lambda: not process.running, seconds=15)
    assert process.stop() == 1
    ended = process.wait_for("a part has ended")
    assert (ended["part"], ended["fault"]) == ("mirror", "KeyError")
    text = process.log.read_text()
    assert SAID not in text
    assert "Traceback" not in text


@pytest.mark.spec("K2")
def test_an_api_server_that_refuses_is_waited_for(process: OperatorProcess, api: ScriptedProvider) -> None:
    api.script("/api/v1/secrets", Answer.of_json({"kind": "Status", "reason": SAID}, 503))
    process.start(ready=False)
    process.wait_for("started")
    api.wait_for(3, "/api/v1/secrets")
    assert process.running
    assert process.stop() == 0
