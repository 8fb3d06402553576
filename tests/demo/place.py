"""Where the demo takes place: the local servers, an app at the provider, its secret in Vault, Lanyard with its gateway.

All that a provider's console and a platform team would have done before a team writes its first Connection.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from localenv.environment import Environment
from localenv.process import free_ports
from support import quickstart
from support.gateway import GatewayProcess
from support.install import NAMESPACE, install_chart
from support.keys import write_rings
from support.operator import OperatorProcess

GATEWAY = "lanyard-gateway"
TEAM, ACCOUNT, CLIENT, PATH = "sales", "crm", "crm", "apps/crm"
POLICY = 'path "kv/data/apps/*" { capabilities = ["read"] }\npath "kv/metadata/apps/*" { capabilities = ["read"] }'


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, the operator and the gateway. `close` ends them unless they are to be kept."""

    environment: Environment
    operator: OperatorProcess
    gateway: GatewayProcess

    def close(self) -> None:
        if not self.environment.keep:
            for process in (self.gateway, self.operator):
                if process.running:
                    process.stop()
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


def start_lanyard(environment: Environment) -> Place:
    """Install the chart and start the installed commands under the ServiceAccounts that the chart made."""
    account = install_chart(environment.kubernetes)
    rings = write_rings(environment.run_dir)
    gateway = GatewayProcess(
        kubeconfig=environment.kubernetes.service_account_kubeconfig(NAMESPACE, GATEWAY),
        log=environment.run_dir / "gateway.log",
        ring=Path(rings["keyring_token"]),
        signing=Path(rings["keyring_signing"]),
        certificate=environment.pki.server_cert("gateway"),
        port=free_ports(1)[0],
        processes=environment.processes,
    )
    operator = OperatorProcess(
        kubeconfig=environment.kubernetes.service_account_kubeconfig(NAMESPACE, account),
        log=environment.run_dir / "operator.log",
        settings={
            "ca_bundle": str(environment.pki.ca_path),
            # The provider of the demo is on loopback, where a token URL may otherwise not lead.
            "egress_allowed_networks": "127.0.0.0/8",
            "gateway_url": gateway.url,
            "keyring_grant": rings["keyring_grant"],
            "keyring_token": rings["keyring_token"],
        },
        processes=environment.processes,
    )
    return Place(environment, operator.start(), gateway.start())


def overlay(environment: Environment) -> Path:
    """A kustomization over examples/quickstart with the addresses of the servers that were just started."""
    return quickstart.overlay(
        environment.run_dir / "overlay",
        vault_address=environment.vault.url,
        vault_ca=environment.pki.ca_path.read_text(),
        token_url=environment.oauth.token_url,
    )
