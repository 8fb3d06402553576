"""The parts, started side by side for one run, and ended with it."""

import tempfile
from pathlib import Path
from typing import Self

from localenv.kubernetes import Kubernetes
from localenv.pki import Pki
from localenv.process import Processes
from localenv.progress import progress

CRDS = Path(__file__).parents[2] / "crds"


class Environment:
    """A context manager over the parts asked for; `run_dir` holds all they write, and goes with them."""

    kubernetes: Kubernetes

    def __init__(self, *, kubernetes: bool = True, vault: bool = True, oauth: bool = True) -> None:
        self._wanted = {"kubernetes": kubernetes, "vault": vault, "oauth": oauth}
        self.run_dir = Path(tempfile.mkdtemp(prefix="lanyard-"))
        self.processes = Processes(self.run_dir)
        self.pki = Pki(self.run_dir / "pki")

    def start(self) -> Self:
        if self._wanted["kubernetes"]:
            with progress("Kubernetes API", "starting"):
                self.kubernetes = Kubernetes(self.processes, self.pki, crds=CRDS).start()
        return self

    def stop(self) -> None:
        self.processes.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
