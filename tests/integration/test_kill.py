"""SIGKILL before and after every outside effect, answers that are lost, and refusals: each cell of the table.

The kill comes from outside, while a proxy holds the request or its answer (support/checkpoint.py). What must hold
afterwards is the table itself (support/crash_rows.py), from which docs/crash-safety.md is made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.agreeing import Agreement, agree
from support.checkpoint import Checkpoint, Moment
from support.cluster import Cluster
from support.crash_rows import ROWS, Flow, cells
from support.effects import EXCHANGE, ClusterEffects, provider_effect
from support.granting import GrantingProvider, Policy
from support.judging import judge
from support.killing import Case, Ground, connector_name, connector_spec, waves

pytestmark = [pytest.mark.spec("C+1", "C+2"), pytest.mark.timeout(400)]


GATEWAY = "https://lanyard.example"
CALLBACK = f"{GATEWAY}/oauth/callback/{{}}"
DEADLINE = "5s"
"""All that one kill strikes is to be held within it; an intent stands in the way for three times as long."""


@pytest.fixture(scope="module")
def ground(
    environment: Any, kubernetes: Any, operator_process: Callable[..., Any], rings: Mapping[str, str]
) -> Iterator[Ground]:
    gateway = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-gateway")
    effects, checkpoint = ClusterEffects(), Checkpoint()
    api_server = checkpoint.listen(
        kubernetes.url,
        effects,
        upstream_ca=environment.pki.ca_path,
        certificate=environment.pki.server_cert("checkpoint"),
    )

    def start() -> Any:
        kubeconfig = kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator", server=api_server.url)
        settings = {"gateway_url": GATEWAY, "workers": "256", "lease_duration": "3s", "provider_deadline": DEADLINE}
        return operator_process(kubeconfig=kubeconfig, **settings).start()

    def consent(agreements: Sequence[Agreement]) -> None:
        agree(gateway, EXCHANGE, Path(rings["keyring_token"]), CALLBACK.format, agreements)

    with GrantingProvider() as provider, kubernetes.client() as client:
        before_provider = checkpoint.listen(provider.url, provider_effect)
        with checkpoint:
            shared = Cluster(client, "default")
            for policy in Policy:
                shared.apply("Connector", connector_name(policy), connector_spec(before_provider.url, policy))
            yield Ground(client, checkpoint, effects, provider, start, consent, Path(rings["keyring_token"]))
            for policy in Policy:
                shared.delete("Connector", connector_name(policy))


@pytest.fixture(scope="module")
def cases(ground: Ground) -> dict[tuple[Flow, str, Moment], Case]:
    """Every cell of the table, struck and recovered from."""
    found = {(flow, row.step, moment): Case(flow, row, moment) for flow, row, moment in cells()}
    for wave in waves(list(found.values())):
        ground.strike(wave)
        judge(ground, wave)
        ground.clear(wave)
    return found


@pytest.mark.parametrize(
    ("flow", "step", "moment"),
    [
        pytest.param(flow, row.step, moment, id=f"{flow.name.lower()}-{row.step}-{moment.value}")
        for flow, row, moment in cells()
    ],
)
def test_a_step_that_is_cut_short_ends_as_the_table_says(
    cases: dict[tuple[Flow, str, Moment], Case], flow: Flow, step: str, moment: Moment
) -> None:
    assert cases[flow, step, moment].complaints == []


@pytest.mark.parametrize("flow", Flow, ids=lambda flow: flow.name.lower())
def test_every_effect_that_was_seen_in_a_flow_has_its_row(
    ground: Ground, cases: dict[tuple[Flow, str, Moment], Case], flow: Flow
) -> None:
    seen = {one.step for one in ground.checkpoint.seen() if one.flow == flow.name}
    assert seen == {row.step for row in ROWS[flow]}


def test_there_was_no_effect_without_a_name(ground: Ground, cases: dict[tuple[Flow, str, Moment], Case]) -> None:
    # The operator serves every namespace, and other tests may have left theirs behind.
    places = {f"/namespaces/{case.place}/" for case in cases.values()}
    unnamed = {one.step for one in ground.checkpoint.seen() if "/" in one.step}
    ours = {step for step in unnamed if "/namespaces/" not in step or any(place in step for place in places)}
    assert ours == set()
