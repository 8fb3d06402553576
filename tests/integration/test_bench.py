"""Every bench at a tiny size: that it ends on real servers, and that its counts are what it was asked for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import figures, page, refreshing, runs, sizes
from bench.figures import Figure
from bench.meters import Write
from localenv.environment import Environment

BUDGETED = (
    "writes_first_ready",
    "writes_per_refresh",
    "writes_idle_resync",
    "writes_restart",
    "provider_calls_restart",
    "writes_per_rotating_refresh",
    "writes_per_fixed_grant_refresh",
    "writes_restart_granted",
    "provider_calls_restart_granted",
    "throttled_requests_in_pauses",
)


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Figure]]:
    """On an environment of its own: what other tests leave running would be counted."""
    with Environment(vault=False) as environment:
        yield {one.name: one for one in runs.figures_of(sizes.TINY, environment=environment)}


@pytest.mark.timeout(300)
def test_every_figure_that_is_promised_is_measured(measured):
    assert measured.keys() == set(runs.NAMES)


@pytest.mark.spec("C10", "A8")
@pytest.mark.parametrize("name", BUDGETED)
def test_writes_and_provider_calls_stay_within_their_budget(measured, name):
    assert measured[name].budget is not None
    assert measured[name].value <= measured[name].budget, measured[name].details


def test_a_first_ready_writes_a_secret_a_status_and_an_event_for_each_connection(measured):
    count = sizes.TINY.connections
    assert measured["writes_first_ready"].details["writes"] == {
        "create secrets": count,
        "patch connections/status": count,
        "create events": count,
    }
    assert measured["writes_first_ready"].details["provider_calls"] == count


def test_refreshes_were_seen_by_the_provider_and_resyncs_by_the_api_server(measured):
    assert measured["refresh_cpu_ms"].details["refreshes"] >= sizes.TINY.refreshed
    assert measured["refresh_cpu_ms"].details["refused"] == 0
    assert measured["refresh_lateness_p99_seconds"].details["announced_otherwise"] == 0
    assert measured["writes_idle_resync"].details["resyncs"] >= 2
    assert measured["start_fresh_seconds"].details["left_in_queue"] == 0


def test_a_refresh_of_a_grant_writes_its_state_the_secret_and_the_status(measured):
    for name, times in {"writes_per_rotating_refresh": 2, "writes_per_fixed_grant_refresh": 1}.items():
        refreshes = measured[name].details["refreshes"]
        assert refreshes >= sizes.TINY.fixed
        assert measured[name].details["writes"] == {
            "patch secrets": (times + 1) * refreshes,
            "patch connections/status": refreshes,
        }
    assert measured["granted_cpu_ms"].details["refused"] == 0


def test_a_host_that_throttles_is_pressed_no_harder_than_it_allows(measured):
    seen = measured["throttled_recovery_seconds"].details
    assert seen["refused"] == sizes.TINY.refusals
    assert seen["requests"] == sizes.TINY.refreshed + sizes.TINY.refusals
    assert seen["at_once"] <= seen["at_once_allowed"]
    assert seen["spent_twice"] == 0


def test_every_figure_names_what_it_is_held_against_and_the_machine(measured, tmp_path):
    figures.write(tmp_path, measured.values())
    written = json.loads((tmp_path / "rss_mib.json").read_text())
    assert {"name", "value", "unit", "budget", "compared_with", "ratio", "n"} <= written.keys()
    assert {"cores", "memory_gib", "python"} <= written["machine"].keys()
    assert {one.name: asdict(one) for one in figures.read(tmp_path)}.keys() == measured.keys()


def test_the_page_gets_its_figures_between_the_markers_and_keeps_the_rest(measured, tmp_path):
    copy = tmp_path / "performance.md"
    copy.write_text(f"before\n\n{page.BEGIN}\n\nold\n\n{page.END}\n\nafter\n")
    page.write(measured.values(), copy)
    head, _, rest = copy.read_text().partition(page.BEGIN)
    inside, _, tail = rest.partition(page.END)
    assert (head, tail) == ("before\n\n", "\n\nafter\n")
    assert "old" not in inside
    assert all(page.TITLES[name] in inside for name in runs.NAMES)
    assert len({line.count("|") for line in inside.splitlines() if line.startswith("|")}) == 1, "a row has a cell more"


def test_a_refresh_is_late_by_the_time_since_its_exact_moment_not_since_the_whole_second():
    life, uid = 60.0, "a-uid"
    due = refreshing._due(1000.25, life, uid)
    window = refreshing.Window(1000.0, 2000.0, {"one": [1000.25, due + 0.2]}, 0, {}, [], 0.0)
    again = refreshing._due(due + 0.2, life, uid)
    exact, whole, other = refreshing.lateness(window, {"one": refreshing.Known(uid, int(again))}, life)
    assert exact == pytest.approx([0.2], abs=1e-3)
    assert whole == pytest.approx([due + 0.2 - int(due)], abs=1e-3)
    assert other == 0


def test_a_refresh_owns_what_is_written_from_its_request_to_the_next_one():
    secret, status = "patch secrets", "patch connections/status"
    of_refresh = [Write(at, what, name) for at in (20.1, 30.1) for what, name in ((secret, "a-token"), (status, "a"))]
    before, unfinished = Write(10.1, "create secrets", "a-token"), Write(40.1, secret, "a-token")
    event_of_first, event = Write(10.2, "create events", ""), Write(30.2, "create events", "")
    written = [before, event_of_first, *of_refresh, event, unfinished]
    window = refreshing.Window(15.0, 45.0, {"a": [10.0, 20.0, 30.0, 40.0]}, 0, {}, written, 0.0)
    assert refreshing.writes_between(window) == ({secret: 2, status: 2, "create events": 1}, 2)


def test_a_bench_that_does_not_exist_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "nothing"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "nothing" in done.stderr
