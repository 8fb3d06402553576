"""People with roles in a namespace: subjects that the chart's roles are bound to."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx


def bind(client: httpx.Client, *, namespace: str, user: str, roles: Sequence[str]) -> None:
    """Give a user cluster roles within one namespace."""
    for role in roles:
        body: dict[str, Any] = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{user}-{role}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        answer = client.post(path, json=body)
        assert answer.status_code == 201, answer.text


def eventually(holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait for what the API server does a moment later, such as taking a new policy or role into use."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.2)
