"""Waits for the end of whoever started it, then ends the process groups it was told of and removes their directory.

Run as a script, without site-packages: it must start at once, and must not be ended with the groups it watches.
"""

import os
import shutil
import signal
import sys
import time

TRIES = 50


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    # A dying process may still write: the directory is gone only when nobody brings it back.
    for _ in range(TRIES):
        shutil.rmtree(sys.argv[1], ignore_errors=True)
        if not os.path.lexists(sys.argv[1]):
            break
        time.sleep(0.1)


if __name__ == "__main__":
    main()
