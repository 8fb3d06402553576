"""What the API server itself refuses: every rule of the kinds, with the message a person reads."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lanyard.api.schema import KINDS, crd
from support.admission import created, deleted, message, patched

EXAMPLES = Path(__file__).parents[2] / "examples"
INVALID = sorted((EXAMPLES / "invalid").glob("*.yaml"))

pytestmark = pytest.mark.spec("K1")


@pytest.fixture(scope="module")
def api(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


def read(file: Path) -> tuple[str, list[dict[str, Any]]]:
    text = file.read_text()
    return text.splitlines()[0].removeprefix("# "), list(yaml.safe_load_all(text))


def refused(api: httpx.Client, file: Path) -> tuple[str, httpx.Response]:
    """The message a file expects, and what the API server says to its last document, after those before it."""
    expected, documents = read(file)
    if len(documents) == 1:
        return expected, created(api, documents[0], dry=True)
    before, after = documents
    try:
        assert created(api, before).status_code == 201
        return expected, patched(api, before, after)
    finally:
        deleted(api, before)


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_the_api_server_refuses_it_with_the_message_of_its_first_line(api: httpx.Client, file: Path) -> None:
    expected, answer = refused(api, file)
    assert answer.status_code in {400, 422}, answer.text
    assert expected in message(answer)


@pytest.mark.spec("A8")
@pytest.mark.parametrize("kind", ["text", "integer", "boolean"])
def test_an_asset_that_is_no_credential_is_refused_and_told_why(api: httpx.Client, kind: str) -> None:
    _, answer = refused(api, EXAMPLES / "invalid" / f"asset-type-{kind}.yaml")
    assert answer.status_code == 422
    assert "only type Credential can be referenced" in message(answer)


@pytest.mark.spec("A6", "C12")
@pytest.mark.parametrize(
    "file",
    [file for file in INVALID if "inline" in file.stem or "reference-in" in file.stem],
    ids=lambda file: file.stem,
)
def test_secrets_go_into_references_only_and_references_into_secret_fields_only(api: httpx.Client, file: Path) -> None:
    _, answer = refused(api, file)
    assert answer.status_code in {400, 422}


def rules(node: Any) -> Iterator[str]:
    """Messages of all rules below a node; versions of a kind are a list."""
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from rules(child)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_rule_of_a_kind_has_an_example_that_breaks_it(kind: Any) -> None:
    shown = {read(file)[0] for file in INVALID if read(file)[1][0]["kind"] == kind.name}
    wanted = set(rules(crd(kind)["spec"]))
    assert wanted
    assert wanted - shown == set()


CONNECTION: dict[str, Any] = {
    "apiVersion": "lanyard.dev/v1alpha1",
    "kind": "Connection",
    "metadata": {"name": "served", "namespace": "default"},
    "spec": {"connector": "oauth2", "secret": {"name": "served-token"}},
}


@pytest.fixture
def connection(api: httpx.Client) -> Iterator[dict[str, Any]]:
    answer = created(api, CONNECTION)
    assert answer.status_code == 201, message(answer)
    yield answer.json()
    deleted(api, CONNECTION)


@pytest.mark.spec("K2")
def test_a_new_object_says_that_nobody_has_looked_at_it_yet(connection: dict[str, Any]) -> None:
    assert connection["status"] == {"observedGeneration": -1}


@pytest.mark.spec("C12")
def test_a_secret_type_changes_together_with_the_name(api: httpx.Client, connection: dict[str, Any]) -> None:
    change = {"spec": {"secret": {"name": "served-binding", "type": "servicebinding.io/crm"}}}
    assert patched(api, connection, change).status_code == 200


@pytest.mark.spec("C12")
def test_everything_but_the_connector_may_change(api: httpx.Client, connection: dict[str, Any]) -> None:
    change = {"spec": {"displayName": "CRM", "auth": {"method": "password"}, "parameters": {"host": "a"}}}
    assert patched(api, connection, change).status_code == 200


def test_short_names_and_columns_are_served(kubernetes: Any, connection: dict[str, Any]) -> None:
    assert connection["metadata"]["name"] in kubernetes.kubectl("get", "conn", "--namespace", "default")
    header = kubernetes.kubectl("get", "conn", "--namespace", "default", "-o", "wide").splitlines()[0]
    assert re.split(r" {2,}", header.strip()) == [
        "NAME", "READY", "REASON", "CONNECTOR", "METHOD", "ACCOUNT", "EXPIRES", "SECRET", "MESSAGE", "AGE",
    ]  # fmt: skip
    for short in ("asset", "credstore", "lanyard"):
        kubernetes.kubectl("get", short, "--all-namespaces")


@pytest.mark.parametrize(
    ("selector", "found"),
    [("spec.connector=oauth2", True), ("spec.connector=bearer", False), ("spec.secret.name=served-token", True)],
)
def test_connections_are_selected_by_field(
    kubernetes: Any, connection: dict[str, Any], selector: str, found: bool
) -> None:
    names = kubernetes.kubectl("get", "conn", "-n", "default", "--field-selector", selector, "-o", "name")
    assert ("connection.lanyard.dev/served" in names) is found


@pytest.mark.spec("K2")
def test_kubectl_wait_reads_the_ready_condition(api: httpx.Client, kubernetes: Any, connection: dict[str, Any]) -> None:
    status = copy.deepcopy(connection)
    status["status"] = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "TokenPublished",
                "message": "",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    answer = api.put("/apis/lanyard.dev/v1alpha1/namespaces/default/connections/served/status", json=status)
    assert answer.status_code == 200, message(answer)
    kubernetes.kubectl("wait", "--for=condition=Ready", "conn/served", "-n", "default", "--timeout=10s")
