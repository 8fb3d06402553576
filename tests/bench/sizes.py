"""How much is measured, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Size:
    """Times in seconds. `refreshed` Connections are kept fresh in the benches of refreshing."""

    connections: int
    refreshed: int
    restarts: int = 3
    quiet: float = 4.0
    rest: float = 20.0
    resync: int = 10
    life: int = 60
    warm: float = 35.0
    window: float = 130.0
    saturated_life: int = 10
    saturated_warm: float = 15.0
    saturated_window: float = 45.0
    granted: int = 1_000
    granted_life: int = 60
    granted_warm: float = 35.0
    granted_window: float = 60.0
    fixed: int = 50
    fixed_life: int = 20
    fixed_window: float = 40.0
    refusals: int = 6
    pause: int = 4
    pages: int = 500
    consents: int = 100
    strikes: int = 20
    exchanges: int = 8_000
    credentials: int = 10_000
    revocations: int = 50
    revocation_quiet: float = 0.5
    outage: float = 90.0
    lease: Mapping[str, str] = field(default_factory=dict)
    """Settings of the Lease that differ from the defaults."""

    @property
    def longest(self) -> float:
        """For anything that is waited for: a bench does not fail on a slow machine."""
        return 120.0 + self.connections * 0.1


def of(connections: int) -> Size:
    """10,000 objects are listed in seconds, so their resyncs lie further apart. As many grants live ten minutes: so
    many refreshes a second as 1,000 that live one. The first come all at once, as what was sown has aged meanwhile.
    """
    refreshed = min(connections, 1_000)
    many = connections >= 10_000
    return Size(
        granted=connections if many else refreshed,
        granted_life=600 if many else 60,
        granted_warm=330.0 if many else 35.0,
        granted_window=130.0 if many else 60.0,
        connections=connections,
        refreshed=refreshed,
        resync=max(10, connections // 200),
        saturated_life=max(2, refreshed // 100),
    )


TINY = Size(
    connections=4,
    refreshed=4,
    restarts=1,
    quiet=0.6,
    rest=0.0,
    resync=1,
    life=4,
    warm=0.5,
    window=3.5,
    saturated_life=2,
    saturated_warm=0.5,
    saturated_window=2.5,
    granted=4,
    granted_life=4,
    granted_warm=0.5,
    granted_window=7.0,
    fixed=4,
    fixed_life=4,
    fixed_window=7.0,
    refusals=2,
    pause=1,
    pages=10,
    consents=2,
    strikes=1,
    exchanges=16,
    credentials=4,
    revocations=2,
    revocation_quiet=0.2,
    outage=1.0,
    lease={"lease_duration": "3s", "lease_renew": "1s"},
)
