"""The figures as tables, between the markers of docs/performance.md."""

from collections.abc import Iterable
from pathlib import Path

from bench.figures import Figure

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- begin figures -->", "<!-- end figures -->"
TITLES = {
    "writes_first_ready": "writes until first Ready",
    "writes_per_refresh": "writes per refresh",
    "writes_idle_resync": "writes of an idle resync",
    "writes_restart": "writes of a restart with fresh tokens",
    "provider_calls_restart": "provider calls of a restart with fresh tokens",
    "ready_all_seconds": "from start to all Ready",
    "ready_cpu_ms": "CPU of the operator per object until Ready",
    "start_fresh_seconds": "from start with fresh tokens to steady",
    "start_fresh_cpu_seconds": "CPU of the operator of that start",
    "start_fresh_rss_mib": "memory of the operator after that start",
    "rss_mib": "memory of the operator, all Ready, at rest",
    "refresh_lateness_p50_seconds": "lateness of refreshes, p50",
    "refresh_lateness_p99_seconds": "lateness of refreshes, p99",
    "refresh_cpu_ms": "CPU of the operator per refresh",
    "saturation_refreshes_per_second": "refreshes at saturation",
    "writes_per_rotating_refresh": "writes per refresh of a grant that rotates",
    "writes_per_fixed_grant_refresh": "writes per refresh of a grant that does not rotate",
    "writes_restart_granted": "writes of a restart with live grants",
    "provider_calls_restart_granted": "provider calls of a restart with live grants",
    "granted_start_seconds": "from start with live grants to steady",
    "granted_rss_mib": "memory of the operator, live grants, at rest",
    "granted_lateness_p99_seconds": "lateness of refreshes of grants that rotate, p99",
    "granted_cpu_ms": "CPU of the operator per refresh of a grant that rotates",
    "throttled_recovery_seconds": "from start to all refreshed at a host that answers 429 at first",
    "throttled_requests_in_pauses": "requests to that host in a pause that it asked for",
    "consent_pages_per_core": "start pages of a consent per CPU second of the gateway",
    "consent_callbacks_per_core": "callbacks of a consent per CPU second of the gateway",
    "exchange_mint_per_core": "exchanges for a token of Lanyard's own per CPU second",
    "exchange_broker_per_core": "exchanges for a Connection's token per CPU second",
    "exchange_crypto_ratio": "CPU of an exchange ÷ bare cryptography and an empty handler",
    "exchange_mint_cached_per_core": "the same with an assertion that was seen before",
    "exchange_mint_es256_per_core": "the same with an ES256 assertion",
    "exchange_new_tls_per_core": "the same with a new TLS connection for each",
    "exchange_p99_ms_half_load": "duration of an exchange at half load, p99",
    "junk_per_core": "refused assertions per CPU second",
    "exchange_p99_ms_beside_junk": "the same at a quarter of the load, beside junk as fast as it is refused",
    "exchange_crowded_per_core": "exchanges for a token of Lanyard's own per CPU second, among credentials of others",
    "exchange_start_seconds": "from the start of a gateway to its first exchange",
    "exchange_index_mib": "memory of a gateway for its credentials",
    "revocation_p99_seconds": "from a deletion to the last exchange that was taken, p99",
    "takeover_clean_seconds": "from SIGTERM to the first refresh by another operator",
    "takeover_kill_seconds": "from SIGKILL to the first refresh by another operator",
    "storm_rss_mib": "memory of the operator after twenty ended watches",
    "storm_watch_ends": "times the watch had to be started anew",
}


def write(figures: Iterable[Figure], page: Path = PAGE) -> None:
    text = page.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{rendered(list(figures))}\n\n{END}{tail}")


def rendered(figures: list[Figure]) -> str:
    order = {name: number for number, name in enumerate(TITLES)}
    rows = sorted(figures, key=lambda one: (order.get(one.name, len(order)), one.n))
    lines = [
        "| Figure | n | Measured | Budget | Peer | Ratio | Cores others took |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in rows:
        peer = one.compared_with["value"] if one.compared_with else None
        spread = f" ({one.spread[0]:g} to {one.spread[1]:g})" if one.spread and one.spread[0] != one.spread[1] else ""
        cells = (
            TITLES.get(one.name, one.name),
            f"{one.n:,}",
            f"{one.value:g} {one.unit}{spread}",
            *("" if cell is None else f"{cell:g}" for cell in (one.budget, peer, one.ratio)),
            f"{one.details['others_cores']:.2f}" if "others_cores" in one.details else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_notes(rows)])


def _notes(rows: list[Figure]) -> list[str]:
    lines = [
        f"* {TITLES[one.name]}, {one.n:,} Connections: CPU seconds {_parts(one.details['cpu_seconds'])}."
        for one in rows
        if isinstance(one.details.get("cpu_seconds"), dict)
    ]
    for cpu in (one for one in rows if "cpu_ms_per_refresh" in one.details):
        rate = cpu.details.get("refreshes_per_second", cpu.value)
        parts = _parts(cpu.details["cpu_ms_per_refresh"])
        lines.append(f"* {TITLES[cpu.name]}, {cpu.n:,} Connections, {rate:g} refreshes a second: CPU ms {parts}.")
    peers = {one.compared_with["what"] for one in rows if one.compared_with}
    lines += [
        f"* Peer: {peer}, not in these runs. A ratio is taken to the peer where there is one, else to the budget."
        for peer in peers
    ]
    lines += [
        "* All Connections read one Secret, and each fetches its token from the OAuth server.",
        "* Lateness runs from the exact moment of a refresh, which `status.nextRefreshAt` shows cut to whole seconds, "
        "to the provider's sight of the request.",
        "* Grants are not given in a browser here: the provider issues refresh tokens by its password grant, and they "
        "are written into state Secrets as a consent would. Pages are asked for over TLS, connections kept.",
    ]
    machines = {tuple(one.machine.items()) for one in rows}
    for facts in (dict(machine) for machine in machines):
        lines.append(
            f"* Machine: {facts['cores']} cores ({facts['processor']}), {facts['memory_gib']:g} GiB, "
            f"{facts['system']}, Python {facts['python']}. `others` is what else ran on it meanwhile; a figure that "
            "stands more than once was measured as often."
        )
    return lines


def _parts(used: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(used.items(), key=lambda part: -part[1]))
