"""The way to the API server: kubectl itself, which knows every login, proxy and context that its user has.

Nothing else of the plugin starts a process. What kubectl is asked is an argument list, never a shell line, and the
values of Secrets never leave kubectl: `secret_outline` prints names and metadata by a template that kubectl runs.
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from typing import Any

from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.sensitive import Sensitive

SECONDS = 60.0
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
Object = Mapping[str, Any]

_OUTLINE = (
    "type={{.type}}\n"
    "created={{.metadata.creationTimestamp}}\n"
    "version={{.metadata.resourceVersion}}\n"
    "{{range $key, $value := .metadata.labels}}label={{$key}}={{$value}}\n{{end}}"
    "{{range $key, $value := .data}}key={{$key}}\n{{end}}"
)


@dataclass(frozen=True, slots=True)
class Finished:
    """How one run of kubectl ended."""

    code: int
    out: str
    err: str = ""


Run = Callable[[Sequence[str]], Finished]
"""Runs kubectl with these arguments; PluginError when it cannot be run."""


class Refusal(Enum):
    """What kubectl's error means to a person."""

    NOT_FOUND = "it is not there"
    FORBIDDEN = "you are not allowed to"
    NO_KIND = "this cluster has no such kind"
    UNREACHABLE = "the API server does not answer"
    LOGIN = "the login is not accepted"
    CONFIGURATION = "the kubeconfig does not work"
    OTHER = "kubectl failed"


class KubectlError(PluginError):
    """kubectl ran and said no. `refusal` says in which way."""

    def __init__(self, message: str, *, refusal: Refusal, cause: str, step: str) -> None:
        super().__init__(message, cause=cause, step=step)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and namespace, in kubectl's own words; None means what the kubeconfig says."""

    namespace: str | None = None
    every_namespace: bool = False
    context: str | None = None
    kubeconfig: str | None = None


@dataclass(frozen=True, slots=True)
class SecretOutline:
    """A Secret without its values."""

    type: str
    created: str
    version: str
    labels: Mapping[str, str]
    keys: tuple[str, ...]


class Kubectl:
    """kubectl for one target."""

    def __init__(self, target: Target, run: Run) -> None:
        self.target = target
        self._run = run

    def namespace(self) -> str:
        """The namespace given, else the context's, else `default`."""
        if self.target.namespace:
            return self.target.namespace
        try:
            answer = self._ask("config", "view", "--minify", "-o", "jsonpath={..namespace}")
        except KubectlError as error:
            if _NO_CONTEXT not in error.cause:
                raise
            return "default"
        return answer.out.strip() or "default"

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        return self._object("get", kind, _plain(name), *_within(namespace), "-o", "json")

    def every(self, kind: str, namespace: str = "", *, everywhere: bool = False, fields: str = "") -> list[Object]:
        """Objects of one namespace, of all of them, or of the cluster; `fields` is a field selector."""
        scope = ["--all-namespaces"] if everywhere else _within(namespace)
        chosen = [f"--field-selector={fields}"] if fields else []
        return list(self._object("get", kind, *scope, *chosen, "-o", "json").get("items", ()))

    def secret_outline(self, name: str, namespace: str) -> SecretOutline:
        text = self._ask("get", "secret", _plain(name), *_within(namespace), "-o", f"go-template={_OUTLINE}").out
        lines = [line.partition("=")[::2] for line in text.splitlines()]
        single = dict(lines)
        return SecretOutline(
            type=single.get("type", ""),
            created=single.get("created", ""),
            version=single.get("version", ""),
            labels=dict(value.partition("=")[::2] for word, value in lines if word == "label"),
            keys=tuple(value for word, value in lines if word == "key"),
        )

    def annotate(self, kind: str, name: str, namespace: str, annotation: str, value: str) -> None:
        self._ask("annotate", "--overwrite", kind, _plain(name), *_within(namespace), f"{annotation}={value}")

    def service_account_token(self, name: str, namespace: str, audience: str) -> Sensitive:
        """A token of ten minutes, from the TokenRequest API as kubelet asks it."""
        asked = ("create", "token", _plain(name), *_within(namespace), f"--audience={audience}", "--duration=10m")
        return Sensitive(self._ask(*asked).out.strip())

    def user(self) -> str:
        """Who the API server says is calling."""
        return str(self._object("auth", "whoami", "-o", "json")["status"]["userInfo"]["username"])

    def may(self, verb: str, kind: str, namespace: str = "") -> bool:
        """`kubectl auth can-i`, which ends with 1 for no."""
        arguments = ("auth", "can-i", verb, kind, *_within(namespace))
        finished = self._run([*self._flags(), *arguments])
        answer = finished.out.strip()
        if answer.startswith(("yes", "no")):
            return answer.startswith("yes")
        raise _failed(arguments, finished)

    def version(self) -> Object:
        """Versions of client and server."""
        return self._object("version", "-o", "json")

    def headers(self, path: str) -> str:
        """What kubectl logs of one harmless request, the answer's headers among it."""
        return self._ask("get", "--raw", path, "-v=8").err

    def served(self, path: str) -> list[str]:
        """The names of a group's resources, as discovery tells everyone; none for a group that is not there."""
        try:
            found = self._object("get", "--raw", path)
        except KubectlError as error:
            if error.refusal is Refusal.NOT_FOUND:
                return []
            raise
        return [str(one["name"]) for one in found.get("resources", ())]

    def _object(self, *arguments: str) -> Object:
        text = self._ask(*arguments).out
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise PluginError(
                "kubectl did not answer with an object.",
                cause=f"`kubectl {' '.join(arguments[:3])}` printed something else",
                step="Check which program `kubectl` on your PATH is: `kubectl version`.",
            )
        return document

    def _ask(self, *arguments: str) -> Finished:
        finished = self._run([*self._flags(), *arguments])
        if finished.code != 0:
            raise _failed(arguments, finished)
        return finished

    def _flags(self) -> Sequence[str]:
        context = [f"--context={self.target.context}"] if self.target.context else []
        return [f"--kubeconfig={self.target.kubeconfig}", *context] if self.target.kubeconfig else context


def run_kubectl(arguments: Sequence[str]) -> Finished:
    """The real one. Standard input stays the person's: a login may ask for something."""
    try:
        done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (FileNotFoundError, PermissionError):
        raise PluginError(
            "kubectl is not there.",
            cause="there is no program of the name kubectl on your PATH",
            step="Install it (https://kubernetes.io/docs/tasks/tools/) and try again.",
        ) from None
    except subprocess.TimeoutExpired:
        raise PluginError(
            "kubectl did not answer.",
            cause=f"nothing came within {SECONDS:.0f} s",
            step="Run `kubectl get namespaces` by itself: it may be waiting for your login.",
        ) from None
    return Finished(done.returncode, done.stdout, done.stderr)


def is_name(text: str) -> bool:
    """Whether an object can have this name (RFC 1123 subdomain)."""
    return _NAME.fullmatch(text) is not None


def _plain(name: str) -> str:
    """A name that kubectl cannot take for an option or a path."""
    if not is_name(name):
        raise PluginError(
            f"{name[:80]} is not the name of an object.",
            step="Names are lower case letters, digits, dashes and dots.",
            code=ExitCode.USAGE,
        )
    return name


def _within(namespace: str) -> Sequence[str]:
    return [f"--namespace={namespace}"] if namespace else []


_NO_CONTEXT = "current-context must exist"  # neither a kubeconfig nor a pod: kubectl goes on with its defaults
_SIGNS = (
    ("cannot locate context", Refusal.CONFIGURATION),
    ("(NotFound)", Refusal.NOT_FOUND),
    ("(Forbidden)", Refusal.FORBIDDEN),
    # `kubectl create token` tells it in words of its own.
    ('" not found', Refusal.NOT_FOUND),
    ('" is forbidden: ', Refusal.FORBIDDEN),
    ("doesn't have a resource type", Refusal.NO_KIND),
    ("no matches for kind", Refusal.NO_KIND),
    ("(Unauthorized)", Refusal.LOGIN),
    ("must be logged in", Refusal.LOGIN),
    ("getting credentials", Refusal.LOGIN),
    ("error loading config", Refusal.CONFIGURATION),
    ("context was not found", Refusal.CONFIGURATION),
    (" does not exist", Refusal.CONFIGURATION),
    ("no such file", Refusal.CONFIGURATION),
    ("couldn't get version/kind", Refusal.CONFIGURATION),
    ("invalid configuration", Refusal.CONFIGURATION),
    ("connection to the server", Refusal.UNREACHABLE),
    ("Unable to connect", Refusal.UNREACHABLE),
    ("dial tcp", Refusal.UNREACHABLE),
    ("Client.Timeout", Refusal.UNREACHABLE),
    ("x509:", Refusal.UNREACHABLE),
)
_STEPS = {
    Refusal.NOT_FOUND: "Check name and namespace: kubectl get connections -A",
    Refusal.FORBIDDEN: "Ask for a role of Lanyard in this namespace: lanyard-view, lanyard-edit or lanyard-authorizer.",
    Refusal.NO_KIND: "Install Lanyard's kinds: kubectl apply --server-side -f crds/",
    Refusal.LOGIN: "Log in to the cluster, then try again: kubectl auth whoami",
    Refusal.CONFIGURATION: "Check --kubeconfig and --context: kubectl config get-contexts",
    Refusal.UNREACHABLE: "Check network and context: kubectl cluster-info",
    Refusal.OTHER: "Run the same kubectl command by itself to see all of its output.",
}


def _failed(arguments: Sequence[str], finished: Finished) -> KubectlError:
    lines = [line for line in finished.err.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(("Error", "error"))), lines[-1] if lines else "no words")
    refusal = next((refusal for sign, refusal in _SIGNS if sign in finished.err), Refusal.OTHER)
    asked = " ".join(takewhile(lambda word: not word.startswith("-"), arguments[:3]))
    return KubectlError(
        f"kubectl {asked}: {refusal.value}.", refusal=refusal, cause=said.strip()[:300], step=_STEPS[refusal]
    )
