"""One figure, what it is held against, and the machine it was measured on."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PEER = "External Secrets 0.19.2, measured on this kind of machine with this API server"
# By figure, then by the number of objects it was measured at.
PEER_FIGURES: Mapping[str, Mapping[int, float]] = {
    "ready_all_seconds": {1_000: 8.0, 10_000: 115.0},
    "ready_cpu_ms": {1_000: 3.4, 10_000: 3.5},
    "rss_mib": {1_000: 157.0, 10_000: 358.0},
    "start_fresh_cpu_seconds": {10_000: 5.2},
    "start_fresh_rss_mib": {10_000: 307.0},
    "writes_first_ready": {1_000: 3.0, 10_000: 3.0},
    "writes_restart": {1_000: 0.0, 10_000: 0.0},
}
BUDGETS: Mapping[str, float] = {
    "writes_first_ready": 3.0,
    "writes_per_refresh": 2.0,
    "writes_per_rotating_refresh": 4.0,
    "writes_per_fixed_grant_refresh": 3.0,
    "writes_restart_granted": 0.0,
    "provider_calls_restart_granted": 0.0,
    "granted_rss_mib": 150.0,
    "granted_lateness_p99_seconds": 1.0,
    "granted_cpu_ms": 3.4,
    "throttled_requests_in_pauses": 0.0,
    "writes_idle_resync": 0.0,
    "writes_restart": 0.0,
    "provider_calls_restart": 0.0,
    "start_fresh_seconds": 30.0,
    "rss_mib": 150.0,
    "storm_rss_mib": 150.0,
    "refresh_lateness_p99_seconds": 1.0,
    "refresh_cpu_ms": 3.4,
    "exchange_mint_per_core": 3_500.0,
    "exchange_broker_per_core": 3_500.0,
    "exchange_crypto_ratio": 2.0,
    "revocation_p99_seconds": 1.0,
    "takeover_clean_seconds": 2.0,
    "takeover_kill_seconds": 15.0,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is value ÷ peer's value, or ÷ budget where there is no peer; None where that is no number."""

    name: str
    value: float
    unit: str
    n: int
    budget: float | None
    compared_with: dict[str, Any] | None
    ratio: float | None
    spread: tuple[float, float] | None = None
    """Lowest and highest of the repetitions of which `value` is the median."""
    details: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)


def figure(
    name: str, value: float, unit: str, *, n: int, spread: tuple[float, float] | None = None, **details: Any
) -> Figure:
    """Put beside its budget and its peer; numbers are kept to a sensible length."""
    budget, peer = BUDGETS.get(name), PEER_FIGURES.get(name, {}).get(n)
    against = peer if peer is not None else budget
    return Figure(
        name=name,
        value=short(value),
        unit=unit,
        n=n,
        budget=budget,
        compared_with={"what": PEER, "value": peer} if peer is not None else None,
        ratio=short(value / against) if against else None,
        spread=(short(spread[0]), short(spread[1])) if spread else None,
        details={key: short(one) if isinstance(one, float) else one for key, one in details.items()},
        machine=machine(),
    )


def short(value: float) -> float:
    return round(value, 1) if abs(value) >= 100 else round(value, 3)


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def write(folder: Path, figures: Iterable[Figure]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in figures:
        (folder / f"{one.name}.json").write_text(json.dumps(asdict(one), indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> list[Figure]:
    """Every figure below a folder."""
    return [Figure(**json.loads(path.read_text())) for path in sorted(folder.rglob("*.json"))]


def table(figures: Iterable[Figure]) -> str:
    """For a terminal."""
    rows = [("figure", "value", "unit", "budget", "peer", "ratio", "n")]
    for one in figures:
        peer = one.compared_with["value"] if one.compared_with else None
        numbers = (_number(cell) for cell in (one.budget, peer, one.ratio))
        rows.append((one.name, _number(one.value), one.unit, *numbers, str(one.n)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
