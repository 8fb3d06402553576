"""The examples that the pages of docs/tasks quote: the API server takes them, and they are what they say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lanyard.api.connection import ConnectionSpec
from lanyard.api.connector import ConnectorSpec
from lanyard.connectors.loader import from_object, load_catalogue
from lanyard.connectors.selection import plan_for
from support.admission import created, message

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path for folder in ("platform", "share", "link") for path in (EXAMPLES / folder).glob("*.yaml"))


def manifest(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / path).read_text())
    return found


@pytest.mark.spec("C13", "C16", "A9", "A10", "K1")
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_example_of_the_tasks_is_accepted_by_the_api_server(kubernetes: Any, file: Path) -> None:
    found = manifest(f"{file.parent.name}/{file.name}")
    found["metadata"].pop("namespace", None)
    with kubernetes.client() as api:
        answer = created(api, found, dry=True)
    assert answer.status_code == 201, message(answer)


@pytest.mark.spec("C13")
def test_the_link_of_the_examples_is_admitted_by_its_source() -> None:
    source, link = manifest("link/source.yaml"), manifest("link/link.yaml")
    target = ConnectionSpec.model_validate(link["spec"]).link_to
    assert target is not None
    assert (target.namespace, target.name) == (source["metadata"]["namespace"], source["metadata"]["name"])
    grant = ConnectionSpec.model_validate(source["spec"]).allowed_namespaces
    assert grant is not None
    assert grant.admits(link["metadata"]["namespace"], None)


def test_the_deployment_mounts_a_directory_of_the_published_secret(kubernetes: Any) -> None:
    found = manifest("workload/deployment.yaml")
    pod = found["spec"]["template"]["spec"]
    assert not any("subPath" in mount for mount in pod["containers"][0]["volumeMounts"])
    assert pod["volumes"][0]["secret"]["secretName"] == "crm-token"
    found["metadata"].pop("namespace")
    with kubernetes.client() as api:
        answer = api.post("/apis/apps/v1/namespaces/default/deployments", json=found, params={"dryRun": "All"})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("name", ["connector", "connector-closed"])
def test_a_connector_of_the_examples_passes_the_checks_that_a_schema_cannot_make(name: str) -> None:
    found = manifest(f"platform/{name}.yaml")
    assert from_object(found["metadata"]["name"], found["spec"]).spec == ConnectorSpec.model_validate(found["spec"])


def test_the_example_product_fetches_its_token_where_its_parameter_says() -> None:
    found = manifest("platform/connector.yaml")
    spec = ConnectionSpec.model_validate(
        {
            "connector": "acme-billing",
            "parameters": {"region": "eu"},
            "auth": {"clientId": "us"},
            "credentials": {"clientSecret": {"secretRef": {"name": "acme", "key": "secret"}}},
        }
    )
    plan = plan_for(spec, from_object("acme-billing", found["spec"]))
    assert plan.token_url == "https://eu.login.acme.example/oauth/token"
    # The platform wrote the hosts that may be chosen, so the egress guard has nothing to ask.
    assert not plan.host_is_tenants


def test_the_closed_connector_takes_over_a_name_that_is_built_in() -> None:
    assert manifest("platform/connector-closed.yaml")["metadata"]["name"] in load_catalogue()
