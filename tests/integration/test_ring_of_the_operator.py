"""The operator's ring `grant` while grants hang on it: rotated, lost, put back."""

import base64
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lanyard.stores.ring_format import RingKey, ring_text
from support.cluster import status_of
from support.consenting import Team
from support.granted import ask_anew, grants, refresh, refreshed_at, works

pytestmark = pytest.mark.spec("C8", "A7")


class Ring:
    """A mounted file; each change takes the place of the former one at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = key("first")
        self.hold(self.first)

    def hold(self, *keys: RingKey) -> None:
        part = self.path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(ring_text(keys))
        part.replace(self.path)


def key(name: str, *, age: timedelta = timedelta(days=1)) -> RingKey:
    return RingKey(name, os.urandom(32), datetime.now(UTC) - age)


def sealed_with(team: Team) -> str:
    (state,) = grants(team)
    return base64.b64decode(state["data"]["grant"]).decode().partition(".")[0]


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    return Ring(tmp_path_factory.mktemp("ring") / "grant.json")


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any], kubernetes: Any) -> Any:
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], gateway: Any, ring: Ring, rings: Mapping[str, str]) -> Any:
    return operator_process(
        gateway_url=gateway.url, keyring_grant=str(ring.path), keyring_token=rings["keyring_token"]
    ).start()


@pytest.fixture
def team(make_team: Callable[..., Team], ring: Ring) -> Team:
    ring.hold(ring.first)
    team = make_team()
    team.consent()
    team.cluster.wait_ready("crm")
    return team


def test_after_a_rotation_the_next_refresh_seals_with_the_new_key(team: Team, ring: Ring) -> None:
    assert sealed_with(team) == "first"
    ring.hold(key("second", age=timedelta(minutes=1)), ring.first)
    refresh(team)
    assert works(team)
    assert sealed_with(team) == "second"


def test_a_lost_ring_is_named_ends_nothing_and_is_mended_by_putting_it_back(
    team: Team, ring: Ring, operator: Any
) -> None:
    before = team.cluster.get("Connection", "crm")
    asked = team.token_requests()
    ring.hold(key("stranger"))
    ask_anew(team)
    found = team.cluster.wait_reason("crm", "KeyringLost", condition="Authorized")
    assert status_of(found, "Ready") == "True"
    assert works(team)
    assert (operator.running, team.token_requests()) == (True, asked)
    assert sealed_with(team) == "first"
    ring.hold(ring.first)
    team.cluster.wait(
        "Connection",
        "crm",
        lambda one: refreshed_at(one) != refreshed_at(before) and status_of(one, "Authorized") == "True",
    )
    assert works(team)
    assert operator.metrics()["lanyard_faults_total"] == 0
