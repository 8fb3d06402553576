"""Programs are found in the promised order, and a build is whole or not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localenv import toolchain, tools

TESTS = Path(__file__).parents[1]
BUILDER = """
import sys, time
from localenv.tools import once
def make(folder):
    print("making", flush=True)
    time.sleep(float(sys.argv[1]))
    (folder / "tool").write_text("whole")
print(once("tool-1.0", make).joinpath("tool").read_text())
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for variable in tools.EXPLICIT:
        monkeypatch.delenv(variable, raising=False)
    return toolchain.cache_dir()


def builder(seconds: float) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen([sys.executable, "-c", BUILDER, str(seconds)], env=env, stdout=subprocess.PIPE, text=True)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def test_an_explicit_folder_wins_over_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_cache = program(cache / f"etcd-{tools.TOOLS['etcd'].version}" / "etcd")
    assert tools.find("etcd") == in_cache
    monkeypatch.setenv("LANYARD_LOCALENV_BIN", str(tmp_path / "mine"))
    assert tools.find("etcd") == in_cache
    mine = program(tmp_path / "mine" / "etcd")
    assert tools.find("etcd") == mine


@pytest.mark.parametrize("name", list(tools.TOOLS))
def test_every_program_has_a_version_pinned_by_its_module(name: str) -> None:
    assert tools.TOOLS[name].version[0].isdigit()


@pytest.mark.parametrize("name", ["go", "node"])
def test_the_wheels_of_the_toolchain_are_pinned_with_hashes(name: str) -> None:
    pinned, *hashes = (toolchain.WHEELS / f"{name}.txt").read_text().replace("\\\n", " ").split()
    assert "==" in pinned
    assert len(hashes) >= 4
    assert all(entry.startswith("--hash=sha256:") for entry in hashes)


def test_a_build_that_fails_leaves_nothing_and_is_tried_again(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        tools.once("tool-1.0", fail)
    assert [path.name for path in cache.iterdir()] == [".tool-1.0.lock"]
    assert tools.once("tool-1.0", lambda folder: (folder / "tool").touch()).joinpath("tool").exists()


def test_two_runs_at_once_build_once(cache: Path) -> None:
    both = [builder(1.0), builder(1.0)]
    answers = [process.communicate(timeout=30)[0] for process in both]
    assert sorted(answer.split() for answer in answers) == [["making", "whole"], ["whole"]]


def test_what_a_killed_build_leaves_is_removed_by_the_next(cache: Path) -> None:
    killed = builder(60)
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.kill()
    killed.communicate()
    assert not (cache / "tool-1.0").exists()
    assert "whole" in builder(0).communicate(timeout=30)[0]
    assert sorted(path.name for path in cache.iterdir()) == [".tool-1.0.lock", "tool-1.0"]
