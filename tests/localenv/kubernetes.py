"""A real Kubernetes API on loopback: etcd, kube-apiserver, and the few controllers that keep it honest."""

import itertools
import json
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from localenv import tools
from localenv.pki import Pki
from localenv.process import PortLostError, Process, Processes, free_ports

ADMIN = "lanyard-localenv-admin"
AUDIT_POLICY = Path(__file__).parent / "audit-policy.yaml"
PORT_TRIES = 3
START_SECONDS = 60.0
TOKEN_SECONDS = 24 * 3600
# Owner references, namespaces that really end, default ServiceAccounts, aggregated roles. Nothing here runs pods.
CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
)
# Whoever is to trust the cluster's own tokens must be able to read its keys, as with any issuer on the internet.
ISSUER_IS_PUBLIC = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "localenv-public-issuer"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:service-account-issuer-discovery",
    },
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
}


class Kubernetes:
    """One cluster without nodes. `stop` or `kill`, then `start` again: same ports, same data.

    `crds` is a folder applied before the garbage collector starts: it looks for new kinds only every 30 s.
    """

    def __init__(self, processes: Processes, pki: Pki, *, crds: Path | None = None) -> None:
        self._processes, self._pki, self._crds = processes, pki, crds
        self._folder = processes.run_dir / "kubernetes"
        self._folder.mkdir()
        self.ca_path = pki.ca_path
        self.kubeconfig = self._folder / "admin.kubeconfig"
        self.audit_path = self._folder / "audit.log"
        self._admin = pki.client_cert(ADMIN, groups=("system:masters",))
        # Its own name in the audit log; the group saves it a ServiceAccount and a token for each controller.
        self._controllers = pki.client_cert("system:kube-controller-manager", groups=("system:masters",))
        self._server_cert = pki.server_cert("kube-apiserver")
        self._signing = pki.signing_key("service-accounts")
        self._running: list[Process] = []
        self._names = itertools.count(1)
        self.port = 0

    @property
    def url(self) -> str:
        """Also the issuer of the cluster's ServiceAccount tokens, with discovery and keys for everybody."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self._etcd_ports[0]}"

    @property
    def pids(self) -> dict[str, int]:
        """Of the running parts, by name (etcd, kube-apiserver, kube-controller-manager): for memory and CPU figures."""
        return {process.name: process.pid for process in self._running if process.pid is not None}

    def start(self) -> Self:
        if self.port:
            self._start_once()
            return self
        for left in reversed(range(PORT_TRIES)):
            self.port, *self._etcd_ports = free_ports(3)
            try:
                self._start_once()
            except PortLostError:
                if not left:
                    raise
            else:
                return self
        raise AssertionError

    def stop(self) -> None:
        """End the whole control plane in an orderly way."""
        while self._running:
            self._running.pop().stop()

    def kill(self) -> None:
        """SIGKILL for all parts at once: the outage without a goodbye."""
        while self._running:
            self._running.pop().kill()

    def client(self) -> httpx.Client:
        """An administrator, in a client that the caller closes."""
        context = ssl.create_default_context(cafile=str(self.ca_path))
        context.load_cert_chain(*self._admin)
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=30)

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """What kubectl printed, as administrator; with `check` a RuntimeError says what it complained about."""
        command = [str(tools.find("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        env = {**os.environ, "HOME": str(self._folder)}  # its discovery cache is not shared with another cluster
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False, env=env)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or update, as administrator, with one kubectl call."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(objects))

    def service_account_token(
        self, namespace: str, name: str, *, audiences: tuple[str, ...] = (), seconds: int = TOKEN_SECONDS
    ) -> str:
        """A token of an existing ServiceAccount by TokenRequest; no audience means the API server's own."""
        request = {"spec": {"expirationSeconds": seconds, "audiences": list(audiences)}}
        with self.client() as client:
            answer = client.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", json=request)
        if answer.is_error:
            raise RuntimeError(f"no token for {namespace}/{name}: {answer.json()['message']}")
        return str(answer.json()["status"]["token"])

    def service_account_kubeconfig(
        self, namespace: str, name: str, *, server: str | None = None, ca: Path | None = None
    ) -> Path:
        """A kubeconfig of a ServiceAccount, its 24 h token in a file beside it; `server` and `ca` lead over a proxy."""
        path = self._folder / f"{namespace}-{name}-{next(self._names)}.kubeconfig"
        token = path.with_suffix(".token")
        token.touch(mode=0o600)
        token.write_text(self.service_account_token(namespace, name))
        self._write_kubeconfig(path, {"tokenFile": str(token)}, server=server, ca=ca, namespace=namespace)
        return path

    def audit_offset(self) -> int:
        """The point in the audit log up to which everything has been answered, to be given as `since_offset`."""
        return self.audit_path.stat().st_size if self.audit_path.exists() else 0

    def audit_events(self, since_offset: int = 0) -> list[dict[str, Any]]:
        """The requests answered since then, as audit.k8s.io/v1 Events of level Metadata."""
        if not self.audit_path.exists():
            return []
        with self.audit_path.open("rb") as handle:
            handle.seek(since_offset)
            return [json.loads(line) for line in handle if line.endswith(b"\n")]

    def _start_once(self) -> None:
        for name, arguments, ready in (
            ("etcd", self._etcd_arguments(), lambda: httpx.get(f"{self.etcd_url}/health", trust_env=False).is_success),
            ("kube-apiserver", self._apiserver_arguments(), self._answers),
        ):
            self._start_part(name, arguments).wait(ready, seconds=START_SECONDS)
        admin_cert, admin_key = self._admin
        user = {"client-certificate": str(admin_cert), "client-key": str(admin_key)}
        self._write_kubeconfig(self.kubeconfig, user)
        with self.client() as client:
            self._create(client, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", ISSUER_IS_PUBLIC)
            for path in sorted(self._crds.glob("*.yaml")) if self._crds else ():
                for crd in yaml.safe_load_all(path.read_text()):
                    self._create(client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        controllers = self._start_part("kube-controller-manager", self._controller_arguments())
        controllers.wait(self._controllers_work, seconds=START_SECONDS)

    def _start_part(self, name: str, arguments: dict[str, object]) -> Process:
        command = [str(tools.find(name)), *(f"--{key}={value}" for key, value in arguments.items())]
        process = self._processes.add(name, command)
        self._running.append(process)
        process.start()
        return process

    def _answers(self) -> bool:
        with self.client() as client:
            return client.get("/readyz").is_success

    def _controllers_work(self) -> bool:
        with self.client() as client:
            return client.get("/api/v1/namespaces/default/serviceaccounts/default").is_success

    @staticmethod
    def _create(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
        answer = client.post(path, json=body)
        if answer.is_error and answer.status_code != 409:
            raise RuntimeError(f"{body['metadata']['name']}: {answer.json()['message']}")

    def _write_kubeconfig(
        self,
        path: Path,
        user: dict[str, str],
        *,
        server: str | None = None,
        ca: Path | None = None,
        namespace: str = "default",
    ) -> None:
        cluster = {"server": server or self.url, "certificate-authority": str(ca or self.ca_path)}
        context = {"cluster": "localenv", "user": "localenv", "namespace": namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "localenv", "cluster": cluster}],
            "users": [{"name": "localenv", "user": user}],
            "contexts": [{"name": "localenv", "context": context}],
            "current-context": "localenv",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document))

    def _etcd_arguments(self) -> dict[str, object]:
        peer = f"http://127.0.0.1:{self._etcd_ports[1]}"
        return {
            "data-dir": self._folder / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": self.etcd_url,
            "advertise-client-urls": self.etcd_url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "quota-backend-bytes": 8 << 30,
            "log-level": "error",
        }

    def _apiserver_arguments(self) -> dict[str, object]:
        return {
            "etcd-servers": self.etcd_url,
            "secure-port": self.port,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "service-cluster-ip-range": "10.96.0.0/16",
            "cert-dir": self._folder,
            "tls-cert-file": self._server_cert[0],
            "tls-private-key-file": self._server_cert[1],
            "client-ca-file": self.ca_path,
            "authorization-mode": "RBAC",
            "service-account-issuer": self.url,
            "service-account-jwks-uri": f"{self.url}/openid/v1/jwks",
            "service-account-signing-key-file": self._signing[0],
            "service-account-key-file": self._signing[1],
            "service-account-extend-token-expiration": "false",
            "enable-priority-and-fairness": "false",
            "max-requests-inflight": 2000,
            "max-mutating-requests-inflight": 1000,
            "profiling": "false",
            "audit-policy-file": AUDIT_POLICY,
            "audit-log-path": self.audit_path,
            "audit-log-maxsize": 0,
        }

    def _controller_arguments(self) -> dict[str, object]:
        path = self._folder / "controllers.kubeconfig"
        certificate, key = self._controllers
        self._write_kubeconfig(path, {"client-certificate": str(certificate), "client-key": str(key)})
        return {
            "kubeconfig": path,
            "controllers": ",".join(CONTROLLERS),
            "leader-elect": "false",
            "secure-port": 0,
            "kube-api-qps": 500,
            "kube-api-burst": 1000,
            "profiling": "false",
        }
