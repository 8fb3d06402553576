"""The examples of federation on the real API server, with the policies that the chart ships."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.admission import created, message
from support.people import eventually
from support.policing import EDITOR, Federating, namespace_of

FOLDER = Path(__file__).parents[2] / "examples" / "federation"
OURS = sorted(file for file in FOLDER.glob("*.yaml") if file.stem != "pod")
RESTRICTED = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}


@pytest.fixture(scope="module")
def client(kubernetes: Any) -> Iterator[httpx.Client]:
    with kubernetes.client() as client:
        yield client


@pytest.fixture(scope="module")
def team(client: httpx.Client) -> Iterator[Federating]:
    with namespace_of(client) as name:
        here = Federating(client, name)
        probe = here.credential(audience="sts.amazonaws.com")
        eventually(lambda: created(client, probe, dry=True, user=EDITOR).status_code == 422)
        yield here


@pytest.mark.spec("F1", "F2", "K1")
@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_an_editor_applies_an_example_under_the_shipped_policies(team: Federating, file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        manifest["metadata"]["namespace"] = team.namespace
        answer = created(team.client, manifest, dry=True, user=EDITOR)
        assert answer.status_code == 201, message(answer)


@pytest.mark.spec("F+1", "K4", "K5")
def test_the_pod_is_accepted_where_only_restricted_pods_are(client: httpx.Client) -> None:
    with namespace_of(client) as name:
        merge = {"Content-Type": "application/merge-patch+json"}
        assert client.patch(f"/api/v1/namespaces/{name}", json=RESTRICTED, headers=merge).status_code == 200
        account, pod = yaml.safe_load_all((FOLDER / "pod.yaml").read_text())
        for one, plural, params in ((account, "serviceaccounts", {}), (pod, "pods", {"dryRun": "All"})):
            one["metadata"]["namespace"] = name
            answer = client.post(f"/api/v1/namespaces/{name}/{plural}", json=one, params=params)
            assert answer.status_code == 201, answer.text


@pytest.mark.spec("F+1")
def test_the_token_that_the_pod_would_mount_has_the_subject_and_the_audience_of_the_credential(
    kubernetes: Any, client: httpx.Client
) -> None:
    """From the TokenRequest API, which kubelet asks with the same fields."""
    from lanyard.oauth.presented import presented

    _, pod = yaml.safe_load_all((FOLDER / "pod.yaml").read_text())
    (source,) = (volume["projected"]["sources"][0] for volume in pod["spec"]["volumes"] if "projected" in volume)
    wanted = source["serviceAccountToken"]
    body = {"spec": {"audiences": [wanted["audience"]], "expirationSeconds": wanted["expirationSeconds"]}}
    with namespace_of(client) as name:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "crm"}}
        place = f"/api/v1/namespaces/{name}/serviceaccounts"
        assert client.post(place, json=account).status_code == 201
        token = client.post(f"{place}/crm/token", json=body).json()["status"]["token"]
    found = presented(token)
    assert found.unverified_audiences == (wanted["audience"],)
    assert found.unverified_subject == f"system:serviceaccount:{name}:crm"
    assert found.unverified_claims["kubernetes.io"]["namespace"] == name
