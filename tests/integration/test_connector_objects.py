"""The built-in catalogue and the `Connector` kind are one language: what is a file can be an object."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lanyard.api.meta import API_VERSION
from lanyard.connectors.loader import Connector, from_object, load_catalogue
from support.admission import created, message

CATALOGUE = load_catalogue()


@pytest.fixture(scope="module")
def api(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


def as_object(connector: Connector) -> dict[str, Any]:
    spec = connector.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"apiVersion": API_VERSION, "kind": "Connector", "metadata": {"name": connector.name}, "spec": spec}


@pytest.mark.spec("C16", "K1")
@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_built_in_connector_may_be_written_as_an_object(api: httpx.Client, name: str) -> None:
    answer = created(api, as_object(CATALOGUE[name]), dry=True)
    assert answer.status_code == 201, message(answer)
    stored = from_object(name, answer.json()["spec"])
    assert stored.digest == CATALOGUE[name].digest
    assert stored.spec == CATALOGUE[name].spec, "also what no digest covers, such as how a grant is taken back"


@pytest.mark.spec("K1")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"methods": []}, "methods", id="without a method"),
        pytest.param({"methods": [{"name": "magic"}]}, "Unsupported value", id="with a method that is not known"),
        pytest.param(
            {"methods": [{"name": "password", "tokenRequest": {"url": "http://login.example.com/"}}]},
            "use https",
            id="with a token address without TLS",
        ),
        pytest.param(
            {"methods": [{"name": "basic"}], "parameters": {"host": {"type": "hostname"}}},
            "needs a pattern or allowedHosts",
            id="with a host that nothing bounds",
        ),
    ],
)
def test_a_connector_that_cannot_be_meant_is_refused_at_once(
    api: httpx.Client, spec: dict[str, Any], said: str
) -> None:
    body = {"apiVersion": API_VERSION, "kind": "Connector", "metadata": {"name": "acme"}, "spec": spec}
    answer = created(api, body, dry=True)
    assert answer.status_code == 422
    assert said in message(answer)
