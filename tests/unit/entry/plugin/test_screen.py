"""Colour is for terminals, and for those who want it."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lanyard.entry.plugin import screen

pytestmark = pytest.mark.spec("K7")

PROGRAM = Path(sys.executable).parent / "kubectl-lanyard"


def on_a_terminal(**environment: str) -> str:
    """What `explain` prints to a terminal."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.defpath, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
    subprocess.run([PROGRAM, "explain", "ClientRejected"], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    found = b""
    try:
        while piece := os.read(ours, 65536):
            found += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return found.decode()


def test_a_terminal_is_shown_colours_and_one_without_colour_plain_text() -> None:
    assert "\x1b[" in on_a_terminal()
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")


def test_a_pipe_gets_plain_text_whatever_the_terminal_could_do() -> None:
    environment = {"PATH": os.defpath, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    done = subprocess.run([PROGRAM, "explain", "ClientRejected"], capture_output=True, env=environment, check=True)
    assert b"\x1b" not in done.stdout
    assert "►".encode() in done.stdout


def test_a_long_cell_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    screen.table(["name", "next step"], [["crm", "x" * 500]])
    assert "x" * 500 in capsys.readouterr().out
