"""Workloads come and go; the Connections they use stay."""

from typing import Any

import pytest

from support.people import eventually


def pod(name: str, secret: str) -> dict[str, Any]:
    """A pod as any automation of the namespace would mount the token. Nothing here runs it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "default",
            "containers": [
                {"name": "main", "image": "job", "volumeMounts": [{"name": "token", "mountPath": "/var/run/crm"}]}
            ],
            "volumes": [{"name": "token", "secret": {"secretName": secret}}],
        },
    }


@pytest.mark.spec("C14", "C17")
@pytest.mark.usefixtures("operator")
def test_a_workload_that_moves_to_another_connection_leaves_the_old_one_as_it_is(cluster: Any) -> None:
    cluster.secret("robot", password="a-password")
    for name in ("old", "new"):
        cluster.connection(
            name,
            connector="basic",
            auth={"method": "basic", "username": "robot"},
            credentials={"password": {"secretRef": {"name": "robot", "key": "password"}}},
        )
    bindings = {name: cluster.wait_ready(name)["status"]["binding"]["name"] for name in ("old", "new")}
    assert bindings == {"old": "old-token", "new": "new-token"}
    before = cluster.get("Connection", "old"), cluster.get("Secret", "old-token")

    pods = f"/api/v1/namespaces/{cluster.namespace}/pods"
    cluster.wait("ServiceAccount", "default", bool)
    assert cluster.client.post(pods, json=pod("job-1", bindings["old"])).status_code == 201
    assert cluster.client.delete(f"{pods}/job-1", params={"gracePeriodSeconds": "0"}).status_code == 200
    assert cluster.client.post(pods, json=pod("job-2", bindings["new"])).status_code == 201

    assert (cluster.get("Connection", "old"), cluster.get("Secret", "old-token")) == before
    assert "ownerReferences" not in before[0]["metadata"]
    assert [(owner["kind"], owner["name"]) for owner in before[1]["metadata"]["ownerReferences"]] == [
        ("Connection", "old")
    ]


@pytest.mark.spec("C14", "C8")
@pytest.mark.usefixtures("operator")
def test_a_secret_goes_with_its_connection_and_only_with_it(cluster: Any) -> None:
    cluster.secret("robot", password="a-password")
    for name in ("kept", "gone"):
        cluster.connection(
            name,
            connector="basic",
            auth={"method": "basic", "username": "robot"},
            credentials={"password": {"secretRef": {"name": "robot", "key": "password"}}},
        )
        cluster.wait_ready(name)
    secrets = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    cluster.delete("Connection", "gone")
    eventually(lambda: cluster.client.get(f"{secrets}/gone-token").status_code == 404)
    assert cluster.data("kept-token")["password"] == "a-password"
    assert cluster.data("robot") == {"password": "a-password"}
