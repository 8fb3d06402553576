"""A keyring as a process has it: a mounted file that is read again when it changes."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lanyard.errors import LanyardError
from lanyard.reasons import Reason
from lanyard.stores.keyring import Keyring, KeyringError

MOST_FILE_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class KeyringFile:
    """The last usable ring of a file. One that cannot be used is told, and the ring from before it goes on.

    `ring` names it in the log and in metrics; `check` raises KeyringError for keys that do not fit its purpose. Kubelet
    replaces a mounted Secret by turning a symbolic link, so the file behind the path is another one then; looking costs
    a stat.
    """

    def __init__(
        self,
        path: Path,
        ring: str = "",
        *,
        clock: Callable[[], datetime] = _now,
        check: Callable[[Keyring], None] | None = None,
    ) -> None:
        self.path = path
        self.ring = ring or path.stem
        self._clock = clock
        self._check = check
        self._seen: tuple[int, ...] = ()
        self._keyring: Keyring | None = None
        self.problem = ""
        """Why the file as it is now cannot be used; empty when it can."""

    def current(self) -> Keyring:
        """LanyardError with KEYRING_LOST when the file has never been usable in the life of this process."""
        self.look()
        if self._keyring is None:
            raise LanyardError(Reason.KEYRING_LOST)
        return self._keyring

    def look(self) -> None:
        """Read the file if it changed; what is wrong with it is told in the log and in `problem`."""
        try:
            status = self.path.stat()
            seen = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            # One that had a problem is read anew: it may be the very file from before, back in its place.
            if seen == self._seen and not self.problem:
                return
            self._keyring = self._read(status.st_size)
        except OSError as error:
            self._tell(f"it cannot be read ({type(error).__name__})")
        except KeyringError as error:
            self._tell(str(error))
        else:
            self._seen = seen
            if self.problem:
                _log.info("keyring usable again", extra={"ring": self.ring})
            self.problem = ""

    def _read(self, size: int) -> Keyring:
        if size > MOST_FILE_BYTES:
            raise KeyringError(f"it is larger than {MOST_FILE_BYTES} bytes")
        try:
            keyring = Keyring.parse(self.path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise KeyringError("it is not UTF-8") from None
        keyring.sealing_key(self._clock())
        if self._check is not None:
            self._check(keyring)
        return keyring

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            kept = self._keyring is not None
            _log.error("keyring not usable", extra={"ring": self.ring, "problem": problem, "last_good_kept": kept})
