"""`explain REASON`: the catalogue of reasons at hand, without a cluster."""

import difflib
import re

import click

from lanyard.entry.plugin import screen
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.options import output
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason


@click.command()
@click.argument("reason", metavar="REASON")
@output("json", "yaml", "name")
def explain(reason: str, output: str | None) -> None:
    """Say what a reason of a condition means, what happens by itself, and what to do."""
    found = known(reason)
    entry = CATALOGUE[found]
    facts = {
        "reason": found.value,
        "condition": entry.condition.value,
        "message": shown(entry.message),
        "stalled": entry.stalled,
        "retry": entry.retry.value,
        "nextStep": shown(entry.hint),
        "page": f"docs/reasons.md#{found.value.lower()}",
    }
    if output == "name":
        screen.plain(found.value)
    elif output is not None:
        screen.data(facts, output)
    else:
        screen.plain(f"{found.value} (of the condition {entry.condition.value})")
        screen.fact("means", shown(entry.message))
        screen.fact("retried", entry.retry.value)
        if entry.stalled:
            screen.fact("stalled", "yes: someone has to act before it can succeed")
        screen.fact("next step", shown(entry.hint), glyph=screen.Glyph.STEP)
        screen.fact("page", str(facts["page"]))


def known(text: str) -> Reason:
    """The reason of this name, in any spelling of its case; PluginError suggests the closest ones."""
    names = {reason.value.lower(): reason for reason in Reason}
    wanted = re.sub(r"[^a-z0-9]", "", text.lower())
    if wanted in names:
        return names[wanted]
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    step = (
        f"Did you mean {', '.join(names[name].value for name in close)}?" if close else "All of them: docs/reasons.md"
    )
    raise PluginError(f"There is no reason {text}.", step=step, code=ExitCode.USAGE)


def shown(template: str) -> str:
    """A template with its fields as <field>."""
    return re.sub(r"\{(\w+)\}", r"<\1>", template)
