"""A real Vault (or OpenBao) over TLS, initialised and unsealed, with the engines and logins that Lanyard uses."""

import hashlib
import json
import ssl
from typing import Any, Self

import httpx

from localenv import pki as pki_module
from localenv import tools
from localenv.kubernetes import Kubernetes
from localenv.pki import Pki
from localenv.process import PortLostError, Process, Processes, free_ports

SYSTEM = "localenv"  # the namespace of the reviewer
REVIEWER = "vault-reviewer"
AUDIENCE = "vault"
PORT_TRIES = 3
START_SECONDS = 30.0
ACTIVE, UNINITIALISED, SEALED = 200, 501, 503  # answers of sys/health


class Vault:
    """KV v1 at `kv1/`, KV v2 at `kv/`; logins `kubernetes`, `jwt` and `approle` at mounts of these names, and tokens.

    Its data is on disk: `stop` or `kill`, then `start` again, is an outage. Started again it unseals itself.
    """

    def __init__(self, processes: Processes, pki: Pki) -> None:
        self._processes = processes
        self._folder = processes.run_dir / "vault"
        (self._folder / "data").mkdir(parents=True)
        self.ca_path = pki.ca_path
        self._certificate, self._key = pki.server_cert("vault")
        self._process: Process | None = None
        self._unseal_key = ""
        self.root_token = ""
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> Self:
        if self.port:
            self._start_once()
            self.unseal()
            return self
        for left in reversed(range(PORT_TRIES)):
            self.port, self._cluster_port = free_ports(2)
            try:
                self._start_once()
            except PortLostError:
                if not left:
                    raise
            else:
                break
        self._initialise()
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def seal(self) -> None:
        """From now on everything but health and unseal is answered with 503."""
        self.write("sys/seal", {})

    def unseal(self) -> None:
        """Returns when the logins and the secret engines answer again."""
        assert self._process is not None
        self.write("sys/unseal", {"key": self._unseal_key})
        self._process.wait(lambda: self._health() == ACTIVE, seconds=START_SECONDS)

    def client(self, token: str | None = None) -> httpx.Client:
        """Root unless another token is given; the base URL ends in /v1/. The caller closes it."""
        return httpx.Client(
            base_url=f"{self.url}/v1/",
            headers={"X-Vault-Token": self.root_token if token is None else token},
            verify=ssl.create_default_context(cafile=str(self.ca_path)),
            trust_env=False,
            timeout=30,
        )

    def write(self, path: str, data: dict[str, Any]) -> dict[str, Any]:
        """Any path of the HTTP API, as root; what it answered, empty for 204. RuntimeError where it refused."""
        return self._call("POST", path, data)

    def read(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def put(self, path: str, fields: dict[str, Any]) -> int:
        """A secret at `path` in KV v2; the version it has become."""
        return int(self.write(f"kv/data/{path}", {"data": fields})["data"]["version"])

    def put_v1(self, path: str, fields: dict[str, Any]) -> None:
        self.write(f"kv1/{path}", fields)

    def policy(self, name: str, hcl: str) -> None:
        self._call("PUT", f"sys/policies/acl/{name}", {"policy": hcl})

    def kubernetes_role(
        self,
        name: str,
        *,
        service_accounts: list[str],
        namespaces: list[str],
        policies: list[str],
        audience: str = AUDIENCE,
        **more: Any,
    ) -> None:
        """`more` are fields of the role, such as token_ttl="5s". Each list may be ["*"]."""
        who = {"bound_service_account_names": service_accounts, "bound_service_account_namespaces": namespaces}
        what = {"audience": audience, "token_policies": policies}
        self.write(f"auth/kubernetes/role/{name}", who | what | more)

    def jwt_role(self, name: str, *, subject: str, policies: list[str], audience: str = AUDIENCE, **more: Any) -> None:
        """`subject` is that of a token of our cluster: system:serviceaccount:<namespace>:<name>."""
        who = {"role_type": "jwt", "user_claim": "sub", "bound_subject": subject, "bound_audiences": [audience]}
        self.write(f"auth/jwt/role/{name}", who | {"token_policies": policies} | more)

    def app_role(self, name: str, *, policies: list[str], **more: Any) -> tuple[str, str]:
        """Create or replace; its role id and a new secret id."""
        self.write(f"auth/approle/role/{name}", {"token_policies": policies} | more)
        role_id = self.read(f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        return role_id, self.write(f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]

    def token(self, *, policies: list[str], ttl: str = "1h") -> str:
        """A token that is no child of root's: it lives until its `ttl` ends or it is revoked."""
        answer = self.write("auth/token/create-orphan", {"policies": policies, "ttl": ttl, "no_default_policy": True})
        return str(answer["auth"]["client_token"])

    def trust(self, cluster: Kubernetes) -> None:
        """Let the cluster's ServiceAccounts log in: by TokenReview at `kubernetes`, by the issuer's keys at `jwt`."""
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "roleRef": role}
        account = {"kind": "ServiceAccount", "name": REVIEWER, "namespace": SYSTEM}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": REVIEWER, "namespace": SYSTEM}},
            binding | {"metadata": {"name": f"localenv-{REVIEWER}"}, "subjects": [account]},
        )
        life = int(pki_module.LIFE.total_seconds())
        authority = cluster.ca_path.read_text()
        review = {
            "kubernetes_host": cluster.url,
            "kubernetes_ca_cert": authority,
            "token_reviewer_jwt": cluster.service_account_token(SYSTEM, REVIEWER, seconds=life),
            "disable_local_ca_jwt": True,
        }
        self.write("auth/kubernetes/config", review)
        keys = {"jwks_url": f"{cluster.url}/openid/v1/jwks", "jwks_ca_pem": authority, "bound_issuer": cluster.url}
        self.write("auth/jwt/config", keys)

    def _start_once(self) -> None:
        bao = tools.openbao()
        cluster = f"https://127.0.0.1:{self._cluster_port}"
        listener = {
            "address": f"127.0.0.1:{self.port}",
            "cluster_address": f"127.0.0.1:{self._cluster_port}",
            "tls_cert_file": str(self._certificate),
            "tls_key_file": str(self._key),
        }
        # A node of its own, not in memory: the data must survive an outage, and the minimal build has no simple files.
        raft = {"path": str(self._folder / "data"), "node_id": "localenv", "performance_multiplier": 1}
        config: dict[str, Any] = {
            "storage": {"raft": raft},
            "listener": [{"tcp": listener}],
            "api_addr": self.url,
            "cluster_addr": cluster,
            "disable_mlock": True,
            "log_level": "warn",
        }
        if bao is None:
            # Vault refuses a plugin that a symbolic link leads to.
            config["plugin_directory"] = str(tools.find(tools.PLUGIN).resolve().parent)
        path = self._folder / "config.json"
        path.write_text(json.dumps(config))
        self._process = self._processes.add("vault", [str(bao or tools.find("vault")), "server", f"-config={path}"])
        self._process.start(lambda: self._health() in (UNINITIALISED, SEALED, ACTIVE), seconds=START_SECONDS)

    def _initialise(self) -> None:
        answer = self._call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal_key, self.root_token = answer["keys"][0], answer["root_token"]
        self.unseal()
        if tools.openbao() is None:
            plugin = tools.find(tools.PLUGIN)
            entry = {"sha256": hashlib.sha256(plugin.read_bytes()).hexdigest(), "command": tools.PLUGIN}
            self.write("sys/plugins/catalog/auth/kubernetes", entry)
        for kind in ("kubernetes", "jwt", "approle"):
            self.write(f"sys/auth/{kind}", {"type": kind})
        self.write("sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
        self.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        assert self._process is not None
        self._process.wait(self._kv2_is_ready)

    def _kv2_is_ready(self) -> bool:
        """It prepares itself after it is mounted, and refuses writes meanwhile."""
        with self.client() as client:
            return client.post("kv/data/localenv", json={"data": {}}).is_success

    def _health(self) -> int:
        with self.client() as client:
            return client.get("sys/health").status_code

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with self.client() as client:
            answer = client.request(method, path, json=body)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text.strip()}")
        content: dict[str, Any] = answer.json() if answer.content else {}
        return content
