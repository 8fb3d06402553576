"""The examples, as a reader would apply them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.loader import load_catalogue
from lanyard.connectors.selection import plan_for
from support.admission import created, message
from support.quickstart import overlay

EXAMPLES = Path(__file__).parents[2] / "examples"
METHODS = sorted((EXAMPLES / "methods").glob("*.yaml"))
PLAIN = sorted([*METHODS, *(EXAMPLES / "stores").glob("*.yaml"), *(EXAMPLES / "quickstart").glob("[0-9]*.yaml")])
PLACES = ["staging", "production"]


@pytest.fixture(scope="module")
def api(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


def ours(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one["apiVersion"].startswith("lanyard.dev")]


def accepted(api: httpx.Client, manifest: dict[str, Any]) -> None:
    """Asked without the namespace, which is not there."""
    manifest["metadata"].pop("namespace", None)
    answer = created(api, manifest, dry=True)
    assert answer.status_code == 201, message(answer)


@pytest.mark.spec("C5", "K1")
@pytest.mark.parametrize("file", PLAIN, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_example_is_accepted_by_the_api_server_and_leaves_nothing_to_choose(api: httpx.Client, file: Path) -> None:
    for manifest in ours(file.read_text()):
        accepted(api, manifest)
        if manifest["kind"] == "Connection":
            spec = ConnectionSpec.model_validate(manifest["spec"])
            plan = plan_for(spec, load_catalogue()[spec.connector])
            assert plan.method.name == spec.auth.method


@pytest.mark.spec("C12")
@pytest.mark.parametrize("place", PLACES)
def test_the_kustomize_example_renders_for_each_place(api: httpx.Client, kubernetes: Any, place: str) -> None:
    text = kubernetes.kubectl("kustomize", str(EXAMPLES / "kustomize" / place))
    found = ours(text)
    assert {one["metadata"]["namespace"] for one in found} == {f"sales-{place}"}
    for manifest in found:
        accepted(api, manifest)


@pytest.mark.spec("C12")
def test_a_connection_travels_without_its_credentials(kubernetes: Any) -> None:
    rendered = [kubernetes.kubectl("kustomize", str(EXAMPLES / "kustomize" / place)) for place in PLACES]
    assert not any("kind: Secret" in text for text in rendered)
    connections, assets = (
        [one["spec"] for text in rendered for one in ours(text) if one["kind"] == kind]
        for kind in ("Connection", "CredentialAssetRef")
    )
    assert connections[0].pop("parameters") != connections[1].pop("parameters")
    assert connections[0] == connections[1]
    assert assets[0].pop("path") != assets[1].pop("path")
    assert assets[0] == assets[1]


@pytest.mark.spec("C2", "A11")
def test_the_quickstart_takes_the_addresses_of_a_place(kubernetes: Any, tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    folder = overlay(
        tmp_path / "here",
        vault_address="https://127.0.0.1:8200",
        vault_ca=pem,
        token_url="https://127.0.0.1:9000/token",
    )
    found = {one["kind"]: one["spec"] for one in ours(kubernetes.kubectl("kustomize", str(folder)))}
    assert found["CredentialStore"]["vault"]["address"] == "https://127.0.0.1:8200"
    assert found["CredentialStore"]["vault"]["caBundle"] == pem
    assert found["CredentialStore"]["allowedNamespaces"] == {"names": ["sales"]}
    assert found["Connection"]["parameters"] == {"token_url": "https://127.0.0.1:9000/token"}
