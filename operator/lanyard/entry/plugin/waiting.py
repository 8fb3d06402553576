"""Waiting for a Connection: one look every two seconds, the current message as the progress."""

from collections.abc import Callable
from datetime import timedelta

from lanyard.entry.plugin import screen
from lanyard.entry.plugin.conditions import KIND, conditions, next_step
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.kubectl import Kubectl, Object
from lanyard.entry.plugin.options import Outside
from lanyard.entry.plugin.screen import Glyph

PAUSE_SECONDS = 2.0


def wait_for(
    kubectl: Kubectl, outside: Outside, name: str, namespace: str, *, seconds: float, judge: Callable[[Object], bool]
) -> Object:
    """The Connection, once `judge` says yes; its PluginError ends the waiting, and so does the time (exit code 3)."""
    until = outside.now() + timedelta(seconds=seconds)
    said = ""
    while True:
        one = kubectl.get(KIND, name, namespace)
        if judge(one):
            return one
        ready = conditions(one).get("Ready")
        message = f"{ready.reason}: {ready.message}" if ready else "the operator has not looked at it yet"
        if message != said:
            screen.note(Glyph.WAITING, message)
            said = message
        if outside.now() >= until:
            raise PluginError(
                f"{name} did not get there in time.",
                cause=message,
                step=next_step(one),
                code=ExitCode.TIMED_OUT,
            )
        outside.sleep(PAUSE_SECONDS)


def failed(one: Object, name: str) -> PluginError:
    """What to raise when it has failed for good or for now."""
    found = conditions(one)
    cause = next((found[kind] for kind in ("Authorized", "TokenFresh", "Ready") if _is_false(found, kind)), None)
    return PluginError(
        f"{name} is not ready." if cause is None or cause.type == "Ready" else f"{name}: the attempt failed.",
        cause=f"{cause.reason}: {cause.message}" if cause else "",
        step=next_step(one),
    )


def _is_false(found: object, kind: str) -> bool:
    condition = found.get(kind) if isinstance(found, dict) else None
    return condition is not None and condition.status == "False"
