"""What takes time says so: a line that lives on a terminal, a line every few seconds elsewhere, one line at its end."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 15.0
CLEAR = "\r\033[K"

_lock = threading.Lock()
_active: dict[str, float] = {}
_more_or_less = threading.Condition(_lock)


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Reports on standard error; several at a time share one line of a terminal."""
    begun = time.monotonic()
    with _lock:
        _active[what] = begun
        if len(_active) == 1:
            threading.Thread(target=_report, daemon=True).start()
    ended = "failed"
    try:
        yield
        ended = "ready"
    finally:
        with _lock:
            del _active[what]
            _more_or_less.notify_all()
            _say(f"{ended:<8}{what} ({time.monotonic() - begun:.1f} s)")


def _report() -> None:
    on_terminal = sys.stderr.isatty()
    said_at = time.monotonic()
    with _lock:
        while _active:
            _more_or_less.wait(TERMINAL_SECONDS)
            now = time.monotonic()
            line = ", ".join(f"{what} {now - begun:.0f} s" for what, begun in _active.items())
            if on_terminal and line:
                print(f"{CLEAR}        {line}", end="", file=sys.stderr, flush=True)
            elif line and now - said_at >= LOG_SECONDS:
                said_at = now
                _say(f"        {line}")


def _say(line: str) -> None:
    print((CLEAR if sys.stderr.isatty() else "") + line, file=sys.stderr, flush=True)
