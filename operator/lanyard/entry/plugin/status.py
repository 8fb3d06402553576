"""`status`: one Connection as one story, or all of them as a table."""

from collections.abc import Mapping
from typing import Any

import click

from lanyard.entry.plugin import screen
from lanyard.entry.plugin.conditions import (
    KIND,
    asks_for_consent,
    conditions,
    halves,
    is_ready,
    link_of,
    next_step,
    summary,
    wrong,
)
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.kubectl import Kubectl, Object
from lanyard.entry.plugin.options import Outside, output, where
from lanyard.entry.plugin.screen import Glyph
from lanyard.entry.plugin.story import Reference, Story, story_of
from lanyard.entry.plugin.times import told


@click.command()
@click.argument("name", required=False)
@where(every=True)
@output("json", "yaml", "name")
@click.pass_context
def status(ctx: click.Context, kubectl: Kubectl, name: str | None, output: str | None) -> None:
    """Tell the state of a Connection, and what to do about it; without NAME a table of all.

    With NAME the exit code is 0 when it is ready and 1 when it is not.
    """
    if name is None:
        _all(kubectl, output)
        return
    if kubectl.target.every_namespace:
        raise PluginError("A name and -A do not go together.", step="Use -n instead of -A.", code=ExitCode.USAGE)
    story = story_of(kubectl, name, kubectl.namespace())
    if output == "name":
        screen.plain(_resource(story.connection))
    elif output is not None:
        screen.data(story.document(), output)
    else:
        _tell(story, ctx.find_object(Outside))
    if not is_ready(story.connection):
        ctx.exit(ExitCode.FAILED)


def _all(kubectl: Kubectl, output: str | None) -> None:
    every = kubectl.target.every_namespace
    namespace = "" if every else kubectl.namespace()
    found = kubectl.every(KIND, namespace, everywhere=every)
    if output == "name":
        for one in found:
            screen.plain(_resource(one))
    elif output is not None:
        screen.data([_row(one) for one in found], output)
    elif not found:
        screen.note(Glyph.WAITING, "There are no Connections" + ("." if every else f" in the namespace {namespace}."))
    else:
        rows = [_row(one) for one in found]
        columns = [*(["namespace"] if every else []), "name", "ready", "reason", "connector", "account", "expires"]
        cells = [[row[column] or "-" for column in columns] + [row["nextStep"]] for row in rows]
        screen.table([*columns, "next step"], cells)


def _row(one: Object) -> dict[str, str]:
    ready, status = conditions(one).get("Ready"), one.get("status", {})
    return {
        "namespace": one["metadata"]["namespace"],
        "name": one["metadata"]["name"],
        "ready": ready.status if ready else "Unknown",
        "reason": ready.reason if ready else "",
        "connector": one.get("spec", {}).get("connector", ""),
        "account": status.get("account", ""),
        "expires": status.get("expiresAt", ""),
        "nextStep": next_step(one),
    }


def _resource(one: Object) -> str:
    return f"connection.lanyard.dev/{one['metadata']['name']}"


def _tell(story: Story, outside: Outside | None) -> None:
    one = story.connection
    metadata = one["metadata"]
    glyph = Glyph.FINE if is_ready(one) else Glyph.WRONG if "Stalled" in conditions(one) else Glyph.WAITING
    heading = f"{metadata['name']} (Connection, {metadata['namespace']})"
    screen.line(glyph, f"{heading:<46} {summary(one)}")
    said: set[str] = set()
    for cause in wrong(one):
        what, _ = halves(cause)
        if what not in said:
            screen.fact("why" if cause.type == "Ready" else cause.type, what, glyph=Glyph.WRONG)
        said.add(what)
    for label, text in _facts(one, outside):
        screen.fact(label, text)
    for reference in story.references:
        screen.fact(reference.field, _reference(reference), glyph=_mark(reference.fine))
    screen.fact("secret", f"{story.published.name}: {story.published.says}", glyph=_mark(story.published.fine))
    for event in story.events:
        time = told(event["time"], outside.now()) if outside else event["time"]
        screen.fact("event", f"{time} {event['reason']}: {event['message']}")
    screen.fact("next step", next_step(one), glyph=Glyph.STEP)


def _facts(one: Object, outside: Outside | None) -> list[tuple[str, str]]:
    status: Mapping[str, Any] = one.get("status", {})

    def at(field: str) -> str:
        text = str(status.get(field, ""))
        return told(text, outside.now()) if outside and text else text

    found = [("connector", _connector(one))]
    if status.get("account"):
        found.append(("account", str(status["account"])))
    times = {"lastRefreshedAt": "refreshed", "expiresAt": "expires", "nextRefreshAt": "next attempt"}
    told_times = [f"{word} {at(field)}" for field, word in times.items() if status.get(field)]
    if told_times:
        found.append(("token", ", ".join(told_times)))
    verified = conditions(one).get("Verified")
    if verified is not None and verified.status != "False":
        found.append(("verified", f"{at('lastVerifiedAt')}: {halves(verified)[0]}"))
    failed = status.get("failedAttempts", 0)
    if failed:
        found.append(("attempts", f"{failed} failed in a row"))
    cause = next(wrong(one), None)
    if cause is not None and asks_for_consent(one, cause) and status.get("authorizationURL"):
        found.append(("page", str(status["authorizationURL"])))
    return found


def _connector(one: Object) -> str:
    spec, link = one.get("spec", {}), link_of(one)
    if link is not None:
        return f"a link to {'/'.join(link)}"
    method = spec.get("auth", {}).get("method")
    return f"{spec.get('connector', '')}, {method}" if method else str(spec.get("connector", ""))


def _reference(reference: Reference) -> str:
    place = f" in {reference.namespace}" if reference.namespace else ""
    return f"{reference.kind} {reference.name}{place}: {reference.says}"


def _mark(fine: bool | None) -> Glyph:
    return {True: Glyph.FINE, False: Glyph.WRONG, None: Glyph.WAITING}[fine]
