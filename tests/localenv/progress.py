"""One line for each thing that takes time, with the time it has taken so far."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

TERMINAL_SECONDS = 0.5
LOG_SECONDS = 15.0


@contextlib.contextmanager
def progress(what: str, doing: str = "building", *, quiet_seconds: float = 0.0) -> Iterator[None]:
    """Says that `what` is being done, how long it has taken, and how it ended; quiet if over within `quiet_seconds`."""
    on_terminal = sys.stderr.isatty()
    done = threading.Event()
    begun = time.monotonic()

    def line(state: str) -> str:
        return f"{what:<28} {state} {time.monotonic() - begun:5.1f} s"

    def report() -> None:
        if done.wait(quiet_seconds):
            return
        while not done.wait(TERMINAL_SECONDS if on_terminal else LOG_SECONDS):
            print(("\r\033[K" if on_terminal else "") + line(doing), end="" if on_terminal else "\n", file=sys.stderr)
            sys.stderr.flush()

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    state = "failed after"
    try:
        yield
        state = "ready after"
    finally:
        done.set()
        reporter.join()
        if state != "ready after" or time.monotonic() - begun >= quiet_seconds:
            print(("\r\033[K" if on_terminal else "") + line(state), file=sys.stderr, flush=True)
