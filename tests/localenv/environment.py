"""The parts, started side by side for one run, and ended with it."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from localenv import toolchain, tools
from localenv.kubernetes import Kubernetes
from localenv.pki import Pki
from localenv.process import Processes, end_kept
from localenv.progress import progress
from localenv.vault import Vault

if TYPE_CHECKING:
    from localenv.oauth_server import OAuthServer

CRDS = Path(__file__).parents[2] / "crds"


class AlreadyRunningError(RuntimeError):
    """There is one kept environment at a time."""


class Environment:
    """A context manager over the parts asked for; a part that was not asked for is no attribute.

    `run_dir` holds all they write and goes with them, also when this process is killed. With `keep` everything stays,
    in the one place that `end_kept_environment` looks at.
    """

    kubernetes: Kubernetes
    vault: Vault
    oauth: "OAuthServer"

    def __init__(self, *, kubernetes: bool = True, vault: bool = True, oauth: bool = True, keep: bool = False) -> None:
        self._wanted = {"kubernetes": kubernetes, "vault": vault, "oauth": oauth}
        self.keep = keep
        self.run_dir = _kept_run_dir() if keep else Path(tempfile.mkdtemp(prefix="lanyard-")).resolve()
        self.processes = Processes(self.run_dir, keep=keep)
        self.pki = Pki(self.run_dir / "pki")

    def start(self) -> Self:
        """Start all parts at the same time; whatever fails, nothing of it is left."""
        try:
            tools.ensure(**self._wanted)
            starters: dict[str, Callable[[], Any]] = {
                "kubernetes": self._start_kubernetes,
                "vault": self._start_vault,
                "oauth": self._start_oauth,
            }
            with ThreadPoolExecutor() as pool:
                for started in [pool.submit(starters[name]) for name, wanted in self._wanted.items() if wanted]:
                    started.result()
            if self._wanted["kubernetes"] and self._wanted["vault"]:
                self.vault.trust(self.kubernetes)
            (self.run_dir / "exports.json").write_text(json.dumps(self.exports(), indent=1))
        except BaseException:
            self._end()
            raise
        return self

    def stop(self) -> None:
        """End all; nothing where they are to be kept."""
        if not self.keep:
            self._end()

    def exports(self) -> dict[str, str]:
        """Shell variables with which kubectl and vault speak to these servers."""
        found = {"LANYARD_LOCALENV_CA": str(self.pki.ca_path)}
        folders = []
        if self._wanted["kubernetes"]:
            found["KUBECONFIG"] = str(self.kubernetes.kubeconfig)
            folders.append(str(tools.find("kubectl").parent))
        if self._wanted["vault"]:
            found["VAULT_ADDR"] = self.vault.url
            found["VAULT_CACERT"] = str(self.pki.ca_path)
            found["VAULT_TOKEN"] = self.vault.root_token
            folders += [] if tools.openbao() else [str(tools.find("vault").parent)]
        if self._wanted["oauth"]:
            found["LANYARD_LOCALENV_OAUTH"] = self.oauth.issuer
            found["LANYARD_LOCALENV_OAUTH_ADMIN"] = self.oauth.admin_url
        return found | {"PATH": os.pathsep.join([*folders, "$PATH"])}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_kubernetes(self) -> None:
        with progress("Kubernetes API"):
            self.kubernetes = Kubernetes(self.processes, self.pki, crds=CRDS).start()

    def _start_vault(self) -> None:
        with progress("OpenBao" if tools.openbao() else "Vault"):
            self.vault = Vault(self.processes, self.pki).start()

    def _start_oauth(self) -> None:
        from localenv.oauth_server import OAuthServer

        with progress("OAuth server"):
            self.oauth = OAuthServer(self.processes, self.pki).start()

    def _end(self) -> None:
        if hasattr(self, "oauth"):
            self.oauth.close()
        self.processes.close()
        if self.keep:
            end_kept(self.run_dir)


def kept_exports() -> dict[str, str] | None:
    """What the kept environment said of itself; None where there is none."""
    with contextlib.suppress(FileNotFoundError):
        content: dict[str, str] = json.loads((_kept() / "exports.json").read_text())
        return content
    return None


def end_kept_environment() -> list[str]:
    """The names of what was ended."""
    return end_kept(_kept())


def _kept() -> Path:
    return toolchain.cache_dir() / "kept"


def _kept_run_dir() -> Path:
    path = _kept()
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise AlreadyRunningError("an environment is kept already: `make down` ends it") from None
    return path
