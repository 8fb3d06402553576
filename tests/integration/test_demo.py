"""`make demo` as a newcomer runs it: what it shows, and that nothing of it is left."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localenv.toolchain import cache_dir

ROOT = Path(__file__).parents[2]
LIFE = 8  # seconds of a token; the demo's own 20 s show the same more slowly
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def place() -> Iterator[Path]:
    """Not `tmp_path`: Vault's plugin listens on a socket in here, whose path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


@pytest.fixture
def outside(place: Path) -> Iterator[dict[str, str]]:
    """An environment whose temporary files and kept servers lie in a folder of the test; the tools are shared."""
    cache = place / "cache" / "lanyard" / "localenv"
    cache.mkdir(parents=True)
    for tool in cache_dir().iterdir():
        if tool.name != "kept":
            (cache / tool.name).symlink_to(tool)
    (place / "tmp").mkdir()
    yield {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests"),
        "TMPDIR": str(place / "tmp"),
        "XDG_CACHE_HOME": str(place / "cache"),
    }
    for pid in processes_of(place):
        os.kill(pid, signal.SIGKILL)


def run(outside: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    return subprocess.run(
        command, env=outside, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def processes_of(folder: Path) -> list[int]:
    """Processes that name the folder in their command or their environment, ourselves aside."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in text:
                found.append(int(process.name))
    return found


def left_behind(place: Path) -> list[str]:
    """Processes and temporary files that are there after some seconds of grace."""
    left = ["not looked yet"]
    deadline = time.monotonic() + 5
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in processes_of(place)]
        left += [str(path) for path in (place / "tmp").iterdir()]
    return left


@pytest.mark.spec("C7", "C10", "C17", "K2")
def test_the_demo_shows_the_main_job_and_leaves_nothing_behind(outside: dict[str, str], place: Path) -> None:
    done = run(outside, "demo", "--life", str(LIFE))
    assert done.returncode == 0, done.stdout
    in_order = [
        r"\$ kubectl apply -k \S+",
        r"connection\.lanyard\.dev/crm created",
        r"\$ kubectl -n sales wait --for=condition=Ready connection/crm",
        r"condition met",
        r"crm +True +TokenPublished +oauth2",
        r"access_token: +\d+ bytes",
        r"authorization_header: +\d+ bytes",
        r'200 \{"client_id":"crm"',
        r"is published: \d+ s left",
        r"is still alive",
        r"rotate the client secret in Vault",
        r"POST /token: 401 invalid_client",
        r"POST /token: 200 token issued",
        r"was fetched with the new secret",
        r"crm +True +TokenPublished",
        r"done: nothing is left running",
    ]
    rest = done.stdout
    for expected in in_order:
        found = re.search(expected, rest)
        assert found, f"{expected} is missing in, or comes too early in:\n{done.stdout}"
        rest = rest[found.end() :]
    assert left_behind(place) == []


def test_a_kept_demo_is_there_to_go_on_with_until_make_down(outside: dict[str, str], place: Path) -> None:
    done = run(outside, "demo", "--keep", "--life", str(LIFE))
    assert done.returncode == 0, done.stdout
    exports = dict(re.findall(r"^export (\w+)=(.*)$", done.stdout, re.MULTILINE))
    shell = 'eval "$EXPORTS"; kubectl -n sales get connection crm -o jsonpath={.status.binding.name}'
    script = "".join(f"export {name}={value}\n" for name, value in exports.items())
    environment = {**outside, "EXPORTS": script}
    seen = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True, check=False)
    assert seen.stdout == "crm-token", seen.stderr
    # The operator is one of those that stay and one of those that go.
    assert re.search(r"^ended .*operator.*vault", run(outside, "localenv", "down").stdout)
    assert left_behind(place) == []


def test_a_demo_that_is_killed_leaves_nothing_behind(outside: dict[str, str], place: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "demo"]
    with subprocess.Popen(command, env=outside, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "condition met" in line:
                break
        demo.kill()
    assert left_behind(place) == []


def test_a_demo_that_fails_says_what_to_look_at_and_cleans_up(outside: dict[str, str], place: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "demo"]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=outside, cwd=ROOT, text=True, **streams) as demo:
        assert demo.stdout is not None
        said = []
        for line in demo.stdout:
            said.append(line)
            if "Lanyard replaces it" in line:
                (operator,) = [pid for pid in processes_of(place) if is_operator(pid)]
                os.kill(operator, signal.SIGKILL)
    text = "".join(said)
    assert demo.returncode == 1, text
    for expected in (
        "the operator has ended",
        "look at: ",
        "connection.lanyard.dev/crm",
        "the end of the operator's log",
    ):
        assert expected in text
    assert left_behind(place) == []


def is_operator(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0lanyard\0operator\0")
