"""Install the chart as a user would: real `helm template`, then `kubectl apply`."""

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "lanyard"
RELEASE = "lanyard"
NAMESPACE = "lanyard-system"

Manifest = dict[str, Any]


class ChartError(Exception):
    """helm refused the chart or its values; the text is helm's."""


def rendered(values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> list[Manifest]:
    """Every object of the chart, in the order in which helm installs them."""
    return [one for one in yaml.safe_load_all(_rendered_text(json.dumps(values or {}), namespace)) if one]


@cache
def _rendered_text(values: str, namespace: str) -> str:
    from localenv.tools import find

    command = [str(find("helm")), "template", RELEASE, str(CHART), "--namespace", namespace, "--values", "-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChartError(done.stderr)
    return done.stdout


def install_chart(kubernetes: Any, *, namespace: str = NAMESPACE, values: Mapping[str, Any] | None = None) -> str:
    """Apply the rendered chart and wait until the kinds are served. Returns the operator's ServiceAccount."""
    manifests = rendered(values, namespace=namespace)
    places = {namespace, *(one["metadata"]["namespace"] for one in manifests if "namespace" in one["metadata"])}
    before = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}} for place in sorted(places)]
    text = yaml.safe_dump_all([*before, *manifests])
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
    kinds = [f"crd/{one['metadata']['name']}" for one in manifests if one["kind"] == "CustomResourceDefinition"]
    if kinds:
        kubernetes.kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
    roles = (one["metadata"] for one in manifests if one["kind"] == "Role")
    _leave_lease(kubernetes, next(role["namespace"] for role in roles if role["name"].endswith("-operator-lease")))
    accounts = (one["metadata"]["name"] for one in manifests if one["kind"] == "ServiceAccount")
    return next(name for name in accounts if name.endswith("-operator"))


def _leave_lease(kubernetes: Any, namespace: str) -> None:
    """Where there is no Lease yet, one as an operator leaves it that has stopped.

    In a new cluster the first operator waits for the end of a Lease: it cannot know that there is no other. Tests do.
    """
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lanyard-operator"},
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
    }
    with kubernetes.client() as client:
        made = client.post(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", json=lease)
    if made.status_code not in {201, 409}:
        raise RuntimeError(made.text)


def second_release(name: str, namespaces: list[str]) -> Manifest:
    """Values of a release beside the first, for named namespaces. What both would share, it has for itself or not at
    all, so that its end takes nothing away from the first.
    """
    return {
        "nameOverride": name,
        "serviceAccount": {"name": "lanyard-operator"},
        "scope": {"namespaces": namespaces},
        "exchange": {"namespace": f"lanyard-{name}-exchange"},
        "crds": {"enabled": False},
        "rbac": {"aggregate": False, "serviceBinding": False},
        "policies": {policy: {"enabled": False} for policy in ("consent", "lockedFields", "sharedNamespaces", "trust")},
    }
