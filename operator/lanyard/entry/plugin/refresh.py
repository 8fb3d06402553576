"""`refresh`: ask the operator for a new token now."""

import click

from lanyard.api.meta import REFRESH_ANNOTATION
from lanyard.entry.plugin import screen
from lanyard.entry.plugin.conditions import KIND, is_ready, refuse_link
from lanyard.entry.plugin.kubectl import Kubectl, Object
from lanyard.entry.plugin.options import Length, Outside, output, where
from lanyard.entry.plugin.screen import Glyph
from lanyard.entry.plugin.times import parsed, stamp
from lanyard.entry.plugin.waiting import failed, wait_for


@click.command()
@click.argument("name")
@where()
@click.option("--wait", is_flag=True, help="Wait until the new token is published.")
@click.option("--timeout", type=Length(), default="2m", show_default=True, help="How long to wait at most.")
@output("json", "yaml", "name")
@click.pass_context
def refresh(ctx: click.Context, *, kubectl: Kubectl, name: str, wait: bool, timeout: float, output: str | None) -> None:
    """Have the token of the Connection NAME refreshed now.

    Exit codes: 0 asked for (with --wait: ready), 1 failed, 3 not within the time.
    """
    outside = ctx.ensure_object(Outside)
    namespace = kubectl.namespace()
    before = kubectl.get(KIND, name, namespace)
    refuse_link(before, "refresh")
    asked = outside.now().replace(microsecond=0)
    kubectl.annotate(KIND, name, namespace, REFRESH_ANNOTATION, stamp(asked))
    screen.note(Glyph.STEP, f"asked for a refresh of {name} at {stamp(asked)}")
    one = before
    if wait:
        failures = _failures(before)

        def judge(found: Object) -> bool:
            refreshed = parsed(str(found.get("status", {}).get("lastRefreshedAt", "")))
            if refreshed is not None and refreshed >= asked and is_ready(found):
                return True
            if _failures(found) > failures:
                raise failed(found, name)
            return False

        one = wait_for(kubectl, outside, name, namespace, seconds=timeout, judge=judge)
    if output == "name":
        screen.plain(f"connection.lanyard.dev/{name}")
    elif output is not None:
        screen.data({"name": name, "namespace": namespace, "askedAt": stamp(asked), "waited": wait}, output)
    elif wait:
        screen.line(Glyph.FINE, f"{name} is ready; its token expires {one['status'].get('expiresAt', 'never')}")


def _failures(one: Object) -> int:
    return int(one.get("status", {}).get("failedAttempts", 0))
