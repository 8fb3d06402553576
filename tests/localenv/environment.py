"""The parts, started side by side for one run, and ended with it."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from localenv import kept, tools
from localenv.kubernetes import Kubernetes
from localenv.pki import Pki
from localenv.process import Processes
from localenv.progress import progress
from localenv.vault import Vault

if TYPE_CHECKING:
    from localenv.oauth_server import OAuthServer

CRDS = Path(__file__).parents[2] / "crds"


class Environment:
    """A context manager over the parts asked for; a part that was not asked for is no attribute.

    `run_dir` holds all they write and goes with them, also when this process is killed. With `keep` everything stays,
    in the one place that the module `kept` looks at.
    """

    kubernetes: Kubernetes
    vault: Vault
    oauth: "OAuthServer"

    def __init__(self, *, kubernetes: bool = True, vault: bool = True, oauth: bool = True, keep: bool = False) -> None:
        self._wanted = {"kubernetes": kubernetes, "vault": vault, "oauth": oauth}
        self.keep = keep
        self.run_dir = kept.claim() if keep else Path(tempfile.mkdtemp(prefix="lanyard-")).resolve()
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
            if self.keep:
                kept.started(self.exports())
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
            kept.end()
