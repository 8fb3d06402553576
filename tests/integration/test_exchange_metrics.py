"""What a gateway tells of itself: health and metrics on a port of their own."""

import httpx
import pytest

from support.federating import FederationTeam
from support.issuing import StaticIssuer


@pytest.mark.spec("K8")
def test_metrics_count_exchanges_by_what_became_of_them(federation_team: FederationTeam, issuer: StaticIssuer) -> None:
    team, port = federation_team, federation_team.gateway.wait_for("started")["health_port"]
    team.trust()
    team.publish_keys()
    team.until_taken(issuer.token())
    team.present(issuer.token(sub="workload:stranger"))
    team.exchange({"grant_type": "password"})
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    counted = {line.rpartition(" ")[0] for line in lines if line.startswith("lanyard_exchanges_total{")}
    client = 'lanyard_exchanges_total{dialect="client_credentials",outcome='
    assert client + '"handed out"}' in counted
    assert client + '"no credential fits"}' in counted
    assert any(line.startswith('lanyard_exchanges_total{dialect="none"') for line in counted)
    assert not any("stranger" in line or issuer.url in line for line in lines)
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
