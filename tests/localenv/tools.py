"""The programs of the environment: where they are found, and how they are built when they are not."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localenv import toolchain
from localenv.progress import progress

HERE = Path(__file__).parent
EXPLICIT = ("KUBEBUILDER_ASSETS", "LANYARD_LOCALENV_BIN")
# What a developer sets for builds of their own (-mod=vendor, another platform) would break ours.
FOREIGN = ("GOFLAGS", "GOOS", "GOARCH", "GOWORK")
KUBERNETES_VERSION = "-X k8s.io/component-base/version."


@dataclass(frozen=True, slots=True)
class Tool:
    """A main package of a Go module; `folder` below gomod/ pins the version of `module` and all it needs."""

    name: str
    folder: str
    module: str
    package: str
    tags: str = ""

    @property
    def version(self) -> str:
        found = re.search(
            rf"^\s*(?:require )?{re.escape(self.module)} v(\S+)",
            (HERE / "gomod" / self.folder / "go.mod").read_text(),
            re.MULTILINE,
        )
        assert found is not None, f"gomod/{self.folder}/go.mod does not require {self.module}"
        return found[1]

    @property
    def ldflags(self) -> str:
        if self.module != "k8s.io/kubernetes":
            return "-s -w"
        # Without a version kubectl and the API server call themselves v0.0.0 and refuse each other.
        major, minor, _ = self.version.split(".", 2)
        stamps = {"gitVersion": f"v{self.version}", "gitMajor": major, "gitMinor": minor}
        return "-s -w " + " ".join(f"{KUBERNETES_VERSION}{key}={value}" for key, value in stamps.items())


def _kubernetes(name: str) -> Tool:
    return Tool(name, "k8s", "k8s.io/kubernetes", f"k8s.io/kubernetes/cmd/{name}")


PLUGIN = "vault-plugin-auth-kubernetes"
PLUGIN_MODULE = f"github.com/hashicorp/{PLUGIN}"
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kubectl"),
        Tool("helm", "helm", "helm.sh/helm/v4", "helm.sh/helm/v4/cmd/helm"),
        Tool("vault", "vault", "github.com/hashicorp/vault", "github.com/hashicorp/vault", tags="minimal"),
        Tool(PLUGIN, "vaultkube", PLUGIN_MODULE, f"{PLUGIN_MODULE}/cmd/{PLUGIN}"),
    )
}


def find(name: str) -> Path:
    """The program: from an explicit setting, else from the cache, else built now from its Go module (minutes)."""
    return explicit(name) or cached(TOOLS[name]) or _build(TOOLS[name])


def openbao() -> Path | None:
    """`bao` of the PATH, which then takes Vault's place: it brings the Kubernetes login with it."""
    found = shutil.which("bao")
    return Path(found) if found else None


def explicit(name: str) -> Path | None:
    for variable in EXPLICIT:
        if folder := os.environ.get(variable):
            path = Path(folder) / name
            if os.access(path, os.X_OK):
                return path.absolute()
    return None


def cached(tool: Tool) -> Path | None:
    path = toolchain.cache_dir() / f"{tool.name}-{tool.version}" / tool.name
    return path if path.exists() else None


def oauth_modules() -> Path:
    """The folder that holds the `node_modules` of the OAuth server, installed by `npm ci` when it is missing."""
    return _modules("oauth", "oauth-server")


def axe() -> Path:
    """The accessibility checker: one script that is run inside a page."""
    return _modules("axe", "axe") / "node_modules" / "axe-core" / "axe.min.js"


def openid_client() -> Path:
    """The folder that holds the `node_modules` of Node's OAuth client."""
    return _modules("openid_client", "openid-client")


def _modules(folder: str, name: str) -> Path:
    source = HERE / folder
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:12]

    def install(target: Path) -> None:
        for file in ("package.json", "package-lock.json", ".npmrc"):
            if (source / file).exists():
                shutil.copy(source / file, target)
        _run([*toolchain.npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], target, {})

    return once(f"{name}-{digest}", install)


def ensure(*, kubernetes: bool = True, vault: bool = True, oauth: bool = True) -> None:
    """The programs of these parts, one after the other: a Go build takes all cores by itself."""
    of_vault = {"vault", PLUGIN}
    wanted = TOOLS.keys() - of_vault if kubernetes else set()
    if vault and not openbao():
        wanted |= of_vault
    for name in TOOLS:
        if name in wanted:
            find(name)
    if oauth:
        toolchain.node()
        oauth_modules()


def _build(tool: Tool) -> Path:
    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as module:
            for name in ("go.mod", "go.sum"):
                shutil.copy(HERE / "gomod" / tool.folder / name, module)
            command = [str(toolchain.go()), "build", "-trimpath", "-ldflags", tool.ldflags]
            command += ["-tags", tool.tags] if tool.tags else []
            # A tarball of this repository has no version control to ask.
            command += ["-buildvcs=false", "-o", str(folder / tool.name), tool.package]
            _run(command, Path(module), {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"})

    return once(f"{tool.name}-{tool.version}", build) / tool.name


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled by `make` if missing: whole or not there, and by one process at a time."""
    cache = toolchain.cache_dir()
    target = cache / name
    if target.exists():
        return target
    with _lock(cache / f".{name}.lock"):
        if target.exists():
            return target
        for left_by_a_cut_short_run in cache.glob(f".{name}.making-*"):
            shutil.rmtree(left_by_a_cut_short_run, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.making-", dir=cache))
        try:
            with progress(name):
                make(folder)
            folder.chmod(0o755)
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return target


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _run(command: list[str], cwd: Path, env: dict[str, str]) -> None:
    inherited = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    done = subprocess.run(command, cwd=cwd, env=inherited | env, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = " ".join(command[:2])
        raise RuntimeError(f"`{shown}` failed in the local environment:\n{(done.stdout + done.stderr)[-3000:]}")
