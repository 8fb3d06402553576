"""Fixtures shared by all tests. The real servers are started once a session, when a test first asks for them."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# Short pauses, so that a recovery is seen within a test; the promises about order and causes are the same.
QUICK = {
    "retry_first": "1s",
    "retry_longest": "2s",
    "retry_configuration": "3s,6s",
    "watch_restart_pause": "1s",
    "provider_deadline": "4s",
    "revocation_deadline": "5s",
    "lease_duration": "4s",
    "lease_renew": "1s",
    "lease_retry": "1s",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "unit" in Path(str(item.path)).parts:
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture(scope="session")
def environment() -> Iterator[Any]:
    """A Kubernetes API server, a Vault and an OAuth server: real ones."""
    from localenv.environment import Environment

    with Environment() as running:
        yield running


@pytest.fixture(scope="session")
def kubernetes(environment: Any) -> Any:
    """The API server with the chart installed."""
    from support.install import install_chart

    install_chart(environment.kubernetes)
    return environment.kubernetes


@pytest.fixture(scope="session")
def vault(environment: Any) -> Any:
    return environment.vault


@pytest.fixture(scope="session")
def oauth(environment: Any) -> Any:
    return environment.oauth


@pytest.fixture(scope="session")
def operator_kubeconfig(kubernetes: Any) -> Path:
    """The operator's own identity, never an administrator's."""
    path: Path = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator")
    return path


@pytest.fixture(scope="session")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The keyrings of one install as files: settings of operator and gateway."""
    from support.keys import write_rings

    return write_rings(tmp_path_factory.mktemp("rings"))


@pytest.fixture(scope="session")
def operator_settings(environment: Any, rings: Mapping[str, str]) -> Mapping[str, str]:
    """What the operator needs to reach providers on loopback; tests of the guard leave it out."""
    return {
        **QUICK,
        **rings,
        "ca_bundle": str(environment.pki.ca_path),
        "egress_allowed_networks": "127.0.0.0/8",
        "allow_loopback_http": "true",
    }


def end_all(made: list[Any]) -> None:
    for process in made:
        if process.running:
            process.stop()


@pytest.fixture(scope="module")
def operator_process(
    environment: Any,
    operator_kubeconfig: Path,
    operator_settings: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Any]]:
    """Makes operators: `operator_process(kubeconfig=..., **settings)`; all are ended with the module."""
    from support.operator import OperatorProcess

    made: list[Any] = []

    def make(*, kubeconfig: Path | None = None, **settings: str) -> Any:
        log = tmp_path_factory.mktemp("operator") / "operator.log"
        process = OperatorProcess(
            kubeconfig=kubeconfig or operator_kubeconfig,
            log=log,
            settings={**operator_settings, **settings},
            processes=environment.processes,
        )
        made.append(process)
        return process

    yield make
    end_all(made)


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any]) -> Any:
    """One operator for the tests of a module."""
    return operator_process().start()


@pytest.fixture(scope="module")
def gateway_process(
    environment: Any, kubernetes: Any, rings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Any]]:
    """Makes gateways over TLS: `gateway_process(**settings)`; all are ended with the module."""
    from localenv.process import free_ports
    from support.gateway import GatewayProcess

    folder = tmp_path_factory.mktemp("gateway")
    made: list[Any] = []

    def make(*, port: int = 0, kubeconfig: Path | None = None, **settings: str) -> Any:
        process = GatewayProcess(
            kubeconfig=kubeconfig or kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-gateway"),
            log=folder / f"gateway-{len(made)}.log",
            ring=Path(rings["keyring_token"]),
            signing=Path(rings["keyring_signing"]),
            certificate=environment.pki.server_cert("gateway"),
            port=port or free_ports(1)[0],
            settings=settings,
            processes=environment.processes,
        )
        made.append(process)
        return process

    yield make
    end_all(made)


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Iterator[Any]:
    """One gateway for the tests of a module, with an operator's Lease that lives."""
    from support.consenting import give_back_lease, hold_lease

    with kubernetes.client() as client:
        hold_lease(client)
        yield gateway_process().start()
        give_back_lease(client)


@pytest.fixture
def team(cluster: Any, environment: Any, gateway: Any) -> Iterator[Any]:
    """A Connection that waits for somebody's consent."""
    from support.consenting import Team

    here = Team(cluster, environment, gateway)
    yield here
    here.close()


@pytest.fixture
def make_team(cluster: Any, environment: Any, gateway: Any, operator: Any) -> Iterator[Callable[..., Any]]:
    """Makes teams whose person goes through a module's own gateway and operator: `make_team(**method)`."""
    from support.consenting import Team

    made: list[Any] = []

    def make(**method: Any) -> Any:
        made.append(Team(cluster, environment, gateway, **method))
        return made[-1]

    yield make
    for team in made:
        team.close()


@pytest.fixture
def issuer() -> Iterator[Any]:
    """An issuer of JWTs that answers as told, over TLS."""
    from support.issuing import StaticIssuer

    with StaticIssuer() as here:
        yield here


@pytest.fixture
def federation_team(cluster: Any, environment: Any, gateway: Any, issuer: Any) -> Iterator[Any]:
    """An application of a team, and the issuer that its workloads have their JWTs from."""
    from support.federating import FederationTeam

    here = FederationTeam(cluster, environment, gateway, issuer)
    yield here
    here.close()


@pytest.fixture(scope="module")
def rest_gateway(gateway_process: Callable[..., Any], kubernetes: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """A gateway with the REST API on, and another one beside it at `other`."""
    from support.certificates import authority_of_tests
    from support.managing import rest_rights

    trust = tmp_path_factory.mktemp("trust") / "ca.pem"
    trust.write_text(authority_of_tests().pem)
    settings = {"rest_api": "true", "ca_bundle": str(trust), "egress_allowed_networks": "127.0.0.0/8"}
    with rest_rights(kubernetes):
        first = gateway_process(**settings, rest_api_reads="60000", rest_api_changes="60000")
        first.other = gateway_process(**settings, gateway_url=first.url).start()
        yield first.start()


@pytest.fixture
def rest_reader(
    cluster: Any, kubernetes: Any, environment: Any, rest_gateway: Any, issuer: Any, rings: Mapping[str, str]
) -> Iterator[Any]:
    """A team that asks the REST API, in a namespace where the gateway may not write."""
    from support.managing import RestTeam

    signing = Path(rings["keyring_signing"])
    team = RestTeam(cluster, kubernetes, rest_gateway, issuer, environment.pki.ca_path, signing)
    yield team
    team.close()


@pytest.fixture
def rest(rest_reader: Any) -> Any:
    """A team that asks the REST API, in a namespace where the gateway may write."""
    from support.managing import let_write
    from support.people import eventually

    let_write(rest_reader.kubernetes, rest_reader.name)
    eventually(rest_reader.may_write)
    return rest_reader


@pytest.fixture
def cluster(kubernetes: Any) -> Iterator[Any]:
    """A namespace of its own, gone afterwards."""
    from support.cluster import Cluster

    name = f"t-{uuid.uuid4().hex[:8]}"
    client = kubernetes.client()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert client.post("/api/v1/namespaces", json=namespace).status_code == 201
    yield Cluster(client, name)
    client.delete(f"/api/v1/namespaces/{name}")
    client.close()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LANYARD_") and not name.startswith("LANYARD_LOCALENV"):
            monkeypatch.delenv(name)
