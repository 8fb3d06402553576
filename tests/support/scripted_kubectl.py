"""kubectl as unit tests see it: answers in the shapes that a real one printed, by the words that it is asked with."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from click.testing import CliRunner, Result

from lanyard.entry.plugin.kubectl import Finished
from lanyard.entry.plugin.main import plugin
from lanyard.entry.plugin.options import Outside
from lanyard.entry.plugin.posting import Reply

NOW = datetime(2026, 11, 25, 9, 20, tzinfo=UTC)
# As kubectl 1.37.2 prints them.
NOT_FOUND = 'Error from server (NotFound): {kind} "{name}" not found'
FORBIDDEN = (
    'Error from server (Forbidden): {kind} "{name}" is forbidden: User "ann" cannot get resource "{kind}" in API group '
    '"" in the namespace "sales"'
)


class ScriptedKubectl:
    """`on` adds an answer; the last one added that fits is given. What was asked is in `asked`."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.pages: list[str] = []
        self.now = NOW
        self._answers: list[tuple[tuple[str, ...], list[Finished]]] = []
        self.on("config", "view", out="sales")

    def on(self, *words: str, out: Any = "", err: str = "", code: int = 0) -> None:
        self.then(*words, answers=[Finished(code or int(bool(err)), text_of(out), err)])

    def then(self, *words: str, answers: list[Finished]) -> None:
        """One answer after the other; the last one stays."""
        self._answers.insert(0, (words, answers))

    def __call__(self, arguments: Sequence[str]) -> Finished:
        self.asked.append(list(arguments))
        for words, answers in self._answers:
            if all(word in arguments for word in words):
                return answers.pop(0) if len(answers) > 1 else answers[0]
        kind, name = (*arguments[1:3], "", "")[:2]
        return Finished(1, "", NOT_FOUND.format(kind=kind, name=name))

    def lanyard(self, *arguments: str, **more: Any) -> Result:
        """`kubectl lanyard` with these arguments."""
        date_of, post = more.pop("date_of", lambda _: ""), more.pop("post", _nobody)
        outside = Outside(self, self._browse, lambda: self.now, self._sleep, date_of, post)
        runner = CliRunner()
        return runner.invoke(plugin, arguments, obj=outside, prog_name="kubectl lanyard", **more)

    def _browse(self, page: str) -> bool:
        self.pages.append(page)
        return True

    def _sleep(self, seconds: float) -> None:
        self.now = self.now.fromtimestamp(self.now.timestamp() + seconds, UTC)


def _nobody(*_: Any) -> Reply:
    raise OSError("nobody answers")


def text_of(out: Any) -> str:
    return out if isinstance(out, str) else json.dumps(out)


def forbidden(kind: str, name: str) -> str:
    return FORBIDDEN.format(kind=kind, name=name)


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-25T09:14:00Z",
    }


def connection(name: str = "crm", *conditions: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A Connection as `kubectl get -o json` gives it."""
    status = {"observedGeneration": 1, "conditions": list(conditions), **parts.pop("status", {})}
    spec = {"connector": "oauth2", "auth": {"method": "clientCredentials"}, **parts.pop("spec", {})}
    metadata = {"name": name, "namespace": "sales", "generation": 1, "uid": "5d7a", **parts}
    return {
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "Connection",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}
