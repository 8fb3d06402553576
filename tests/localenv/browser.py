"""Chromium: the one on the PATH, else Debian's package where this process may install it."""

import os
import shutil
import subprocess
from pathlib import Path

from localenv.progress import progress

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTING = "LANYARD_LOCALENV_CHROMIUM"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip


class NoBrowserError(RuntimeError):
    """There is no Chromium, and it cannot be installed from here."""


def chromium() -> Path:
    """The program; NoBrowserError says what to install."""
    if given := os.environ.get(SETTING):
        return Path(given)
    found = _on_path()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with progress("Chromium"):
            _install()
        found = _on_path()
    if found is None:
        raise NoBrowserError(
            "the browser tests need Chromium: install Debian's package (sudo apt-get install chromium), or name the "
            f"program in {SETTING}"
        )
    return found


def _on_path() -> Path | None:
    return next((Path(path) for path in map(shutil.which, NAMES) if path), None)


def _install() -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoBrowserError(f"Chromium could not be installed by apt-get:\n{done.stderr[-2000:]}")
