"""Letting Connections go when nobody is left who would take their grants back: `lanyard finalizers clear`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from support.cluster import Cluster, checked
from support.install import NAMESPACE, rendered
from support.keys import Said

pytestmark = pytest.mark.spec("C16")

OURS, THEIRS = "lanyard.dev/grant", "example.com/theirs"


@pytest.fixture
def places(cluster: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    """Two namespaces. Nobody waits for finalizers when they go."""
    elsewhere = Cluster(cluster.client, f"{cluster.namespace}-b")
    checked(cluster.client.post("/api/v1/namespaces", json={"metadata": {"name": elsewhere.namespace}}))
    yield cluster, elsewhere
    for place in (cluster, elsewhere):
        for item in cluster.client.get(place.path("Connection")).json()["items"]:
            place.merge("Connection", item["metadata"]["name"], {"metadata": {"finalizers": None}})
    cluster.client.delete(f"/api/v1/namespaces/{elsewhere.namespace}")


def held(place: Cluster, name: str, *finalizers: str) -> None:
    place.connection(name, auth={"method": "authorizationCode", "clientId": "app"}, connector="github")
    place.merge("Connection", name, {"metadata": {"finalizers": list(finalizers)}})


def clear(kubernetes: Any, *arguments: str, **settings: str) -> Said:
    """As the chart's Job does it: with the operator's rights."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LANYARD_")}
    kubeconfig = kubernetes.service_account_kubeconfig(NAMESPACE, "lanyard-operator")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "lanyard", "finalizers", "clear", *arguments],
        env=clean | {"LANYARD_KUBECONFIG": str(kubeconfig)} | settings,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def test_what_was_let_go_can_be_deleted_without_an_operator(kubernetes: Any, places: tuple[Cluster, Cluster]) -> None:
    here, elsewhere = places
    held(here, "crm", OURS)
    held(here, "shared", OURS, THEIRS)
    held(elsewhere, "crm", OURS)
    here.delete("Connection", "crm")
    assert here.exists("Connection", "crm"), "it waits for somebody who takes its grant back"
    said = clear(kubernetes, LANYARD_NAMESPACES=here.namespace)
    assert (said.status, said.out, said.err) == (0, "Connections let go: 2\n", "")
    assert not here.exists("Connection", "crm")
    assert here.get("Connection", "shared")["metadata"]["finalizers"] == [THEIRS]
    assert elsewhere.get("Connection", "crm")["metadata"]["finalizers"] == [OURS]
    assert clear(kubernetes, "--namespace", here.namespace).out == "Connections let go: 0\n"


def test_a_cluster_that_does_not_answer_is_told(kubernetes: Any, tmp_path: Any) -> None:
    said = clear(kubernetes, LANYARD_KUBECONFIG=str(tmp_path / "none"))
    assert said.status == 2
    assert said.err.startswith("lanyard: LANYARD_KUBECONFIG")


def test_the_job_runs_before_the_release_goes_and_only_with_an_image(places: tuple[Cluster, Cluster]) -> None:
    here, _ = places
    assert not [one for one in rendered() if one["kind"] == "Job"]
    values = {"uninstall": {"image": "lanyard.example/lanyard:1"}, "scope": {"namespaces": ["a", "b"]}}
    [job] = [one for one in rendered(values, namespace=here.namespace) if one["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["finalizers", "clear"]
    assert container["env"] == [{"name": "LANYARD_NAMESPACES", "value": "a,b"}]
    path = f"/apis/batch/v1/namespaces/{here.namespace}/jobs"
    made = here.client.post(path, json=job, params={"dryRun": "All", "fieldValidation": "Strict"})
    assert made.status_code == 201, made.text
