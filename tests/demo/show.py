"""What the demo prints: one line a step with the time since its start, commands as one would type them."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from localenv import tools

Answer = TypeVar("Answer")

LOG_SECONDS = 5.0
COMMAND_SECONDS = 90.0


class DemoError(Exception):
    """A step did not go as promised. `look_at` is where the cause shows."""

    def __init__(self, what: str, look_at: str) -> None:
        self.look_at = look_at
        super().__init__(what)


class Show:
    """Plain lines to standard output, flushed at once, so that they are also right in a log."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def step(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:5.1f} s] {text}", flush=True)

    def detail(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            print(f"          {line}", flush=True)

    def command(self, text: str) -> None:
        print(f"          $ {text}", flush=True)

    def until(self, what: Callable[[], Answer | None], say: Callable[[], str], *, seconds: float) -> Answer | None:
        """What `what` answers once it is not None; says where things stand meanwhile. None when time is up."""
        ends = time.monotonic() + seconds
        said = time.monotonic()
        while time.monotonic() < ends:
            found = what()
            if found is not None:
                return found
            if time.monotonic() - said >= LOG_SECONDS / 2:
                said = time.monotonic()
                self.detail(say())
            time.sleep(0.1)
        return None


class Kubectl:
    """kubectl as a user has it. Every call is printed before it is made."""

    def __init__(self, show: Show, kubeconfig: Path, home: Path) -> None:
        self._show = show
        self._program = str(tools.find("kubectl"))
        self._env = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home)}

    def __call__(self, *arguments: str) -> str:
        """Prints command and output."""
        self._show.command(shlex.join(["kubectl", *arguments]))
        output = self.quiet(*arguments)
        self._show.detail(output)
        return output

    def quiet(self, *arguments: str) -> str:
        """The output alone; DemoError when kubectl fails."""
        command = [self._program, *arguments]
        try:
            done = subprocess.run(
                command, env=self._env, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise DemoError(
                f"kubectl {arguments[0]} took over {COMMAND_SECONDS:.0f} s", "the API server's log"
            ) from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise DemoError(f"kubectl {arguments[0]} failed: {said}", "the conditions and the operator's log below")
        return done.stdout


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
