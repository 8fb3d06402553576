"""The watch may end at any moment and in any way: nothing is lost, nothing is done twice."""

import pytest

from support.storm import Storm


@pytest.mark.spec("C+2", "K8")
@pytest.mark.timeout(240)
def test_the_watch_ends_twenty_times_while_tokens_are_fetched_and_nothing_is_lost(
    environment, kubernetes, operator_process, cluster
):
    with Storm(environment, kubernetes, operator_process, cluster, connections=60, outage_seconds=8.0) as storm:
        storm.begin()
        for cycle in range(20):
            storm.strike(cycle)
        figures = storm.end()
    assert figures.watch_ends >= 10, "kopf ended for real, not only its streams"
    assert figures.memory_mib <= 150
