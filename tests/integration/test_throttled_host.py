"""A host that refuses many grants at once: nobody presses it, and nobody is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster
from support.fleet import wait_until
from support.throttling import ThrottledHost

COUNT = 100


@pytest.mark.spec("C7", "C+2")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("refusals", "pause", "rotates"),
    [
        pytest.param(6, 4, True, id="429 with Retry-After"),
        # A 503 may come after the refresh token was spent: only one that may be sent again is sent again at once.
        pytest.param(30, 0, False, id="503"),
    ],
)
def test_grants_of_a_host_that_refuses_are_refreshed_within_its_limits(
    cluster: Cluster,
    rings: dict[str, str],
    operator_kubeconfig: Path,
    operator_process: Callable[..., Any],
    refusals: int,
    pause: int,
    rotates: bool,
) -> None:
    host = ThrottledHost(cluster, operator_kubeconfig, Path(rings["keyring_grant"]), COUNT, refusals, pause, rotates)
    with host, operator_process(**host.settings()) as operator:
        operator.start()
        wait_until(lambda: host.fresh() == COUNT, seconds=60)
    assert host.provider.peak <= host.concurrent
    # Credentials and intent come between the place at the host and the request: the first may be a second on its way.
    assert host.ahead_of_rate() <= host.per_minute / 60
    assert host.in_pauses() == 0
    assert host.doubles == 0
    assert len(host.refused_at) == refusals
    assert len(host.requests()) == COUNT + refusals, "each asks again only because it was refused"
