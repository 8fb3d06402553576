"""Where the demo takes place: the local servers, an app at the provider, its secret in Vault, Lanyard installed.

All that a provider's console and a platform team would have done before a team writes its first Connection.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from localenv.environment import Environment
from support import quickstart
from support.install import NAMESPACE, install_chart
from support.operator import OperatorProcess

TEAM, ACCOUNT, CLIENT, PATH = "sales", "crm", "crm", "apps/crm"
POLICY = 'path "kv/data/apps/*" { capabilities = ["read"] }\npath "kv/metadata/apps/*" { capabilities = ["read"] }'


@dataclass(frozen=True, slots=True)
class Place:
    """The servers and the operator. `close` ends both unless they are to be kept."""

    environment: Environment
    operator: OperatorProcess

    def close(self) -> None:
        if not self.environment.keep:
            if self.operator.running:
                self.operator.stop()
            self.environment.stop()


def register_app(environment: Environment, *, life: int) -> None:
    """An app at the provider whose tokens live `life` seconds, and its secret where the team keeps it."""
    secret = secrets.token_urlsafe(24)
    environment.oauth.add_client(CLIENT, secret=secret, scopes=["api"], ttl=life)
    environment.vault.put(PATH, {"client_id": CLIENT, "client_secret": secret})
    environment.vault.policy("sales-apps", POLICY)
    environment.vault.kubernetes_role(
        "lanyard", service_accounts=[ACCOUNT], namespaces=[TEAM], policies=["sales-apps"], audience="vault"
    )


def rotate_secret(environment: Environment) -> int:
    """A new secret in Vault, the old one revoked at the provider. The version it has become."""
    secret = secrets.token_urlsafe(24)
    version: int = environment.vault.put(PATH, {"client_id": CLIENT, "client_secret": secret})
    environment.oauth.rotate_secret(CLIENT, secret)
    return version


def start_operator(environment: Environment) -> OperatorProcess:
    """Install the chart and start the installed command under the ServiceAccount that the chart made."""
    account = install_chart(environment.kubernetes)
    kubeconfig = environment.kubernetes.service_account_kubeconfig(NAMESPACE, account)
    settings = {
        "ca_bundle": str(environment.pki.ca_path),
        # The provider of the demo is on loopback, where a token URL may otherwise not lead.
        "egress_allowed_networks": "127.0.0.0/8",
    }
    operator = OperatorProcess(
        kubeconfig=kubeconfig,
        log=environment.run_dir / "operator.log",
        settings=settings,
        processes=environment.processes,
    )
    return operator.start()


def overlay(environment: Environment) -> Path:
    """A kustomization over examples/quickstart with the addresses of the servers that were just started."""
    return quickstart.overlay(
        environment.run_dir / "overlay",
        vault_address=environment.vault.url,
        vault_ca=environment.pki.ca_path.read_text(),
        token_url=environment.oauth.token_url,
    )
