"""`kubectl lanyard` as a person runs it: the installed plugin, found by a real kubectl, with their kubeconfig."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localenv.tools import find
from support.people import bind


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Person:
    """Runs the plugin. `home` keeps kubectl's discovery cache apart from that of other clusters."""

    def __init__(self, kubeconfig: Path | None, home: Path, namespace: str) -> None:
        self.namespace = namespace
        path = os.pathsep.join([str(Path(sys.executable).parent), str(find("kubectl").parent), "/usr/bin", "/bin"])
        self.environment = {"PATH": path, "HOME": str(home), "NO_COLOR": "1"}
        if kubeconfig is not None:
            self.environment["KUBECONFIG"] = str(kubeconfig)

    def command(self, *arguments: str, namespaced: bool = True) -> list[str]:
        place = ["-n", self.namespace] if namespaced else []
        return ["kubectl", "lanyard", *arguments, *place]

    def lanyard(self, *arguments: str, namespaced: bool = True, stdin: str = "", **environment: str) -> Ended:
        done = subprocess.run(
            self.command(*arguments, namespaced=namespaced),
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


def person(kubernetes: Any, cluster: Any, home: Path, *roles: str) -> Person:
    """Somebody with these roles in the namespace and nothing else."""
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
    assert cluster.client.post(path, json={"metadata": {"name": "ann"}}).status_code == 201
    user = f"system:serviceaccount:{cluster.namespace}:ann"
    bind(cluster.client, namespace=cluster.namespace, user=user, roles=roles)
    return Person(kubernetes.service_account_kubeconfig(cluster.namespace, "ann"), home, cluster.namespace)
