"""The plugin without the operator's packages: what `pip install lanyard` alone must be able to do."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
OPERATOR_ONLY = ("kopf", "aiohttp", "jwt", "cryptography", "httpcore", "httpx", "sniffio", "prometheus_client")
# A finder in front of all others: who asks for one of these is told that it is not installed.
PROGRAM = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPERATOR_ONLY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from lanyard.entry.plugin.main import plugin
plugin(sys.argv[1:], prog_name="kubectl lanyard", obj=None, standalone_mode=False)
assert not set({OPERATOR_ONLY!r}) & sys.modules.keys()
assert not [name for name in sys.modules if name.startswith(("lanyard.clients", "lanyard.flows", "lanyard.stores"))]
"""


@pytest.mark.spec("K7")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["status", "--help"], ["explain", "ClientRejected"]], ids=lambda words: words[0]
)
def test_the_plugin_runs_where_none_of_the_operators_packages_is_installed(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_operator_says_which_extra_it_needs() -> None:
    program = PROGRAM.replace("entry.plugin.main import plugin", "entry.cli import main as plugin")
    done = subprocess.run([sys.executable, "-c", program, "operator"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("is not installed here: pip install 'lanyard[operator]'\n")
    assert "Traceback" not in done.stderr


@pytest.mark.spec("K7")
def test_the_base_dependencies_are_what_the_plugin_needs_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.partition(">")[0] for line in project["dependencies"]}
    assert names == {"click", "pydantic", "pyyaml", "rich"}
    assert project["scripts"]["kubectl-lanyard"] == "lanyard.entry.plugin.main:main"
