"""`docs/reference/plugin.md`: every verb of `kubectl lanyard`, from the command itself."""

from collections.abc import Iterator

import click

from docsgen.markdown import head, table
from lanyard.entry.plugin.faults import ExitCode
from lanyard.entry.plugin.main import plugin

INTRODUCTION = """
# kubectl lanyard

How to install and use it: [use the plugin](../tasks/use-the-plugin.md). Data goes to standard output, progress
and errors to standard error. There is no colour where the output is not a terminal or `NO_COLOR` is set. No verb prints
a secret, save `exchange -o token`.

"""
MEANINGS = {
    ExitCode.READY: "ready, or done",
    ExitCode.FAILED: "not ready, refused, or something is wrong; standard error says message, cause and next step",
    ExitCode.USAGE: "wrong usage: an unknown verb, option, reason or a file that cannot be read",
    ExitCode.TIMED_OUT: "not there within `--timeout`",
}


def page(_: str) -> str:
    codes = table(["Exit code", "Meaning"], ([str(int(code)), MEANINGS[code]] for code in ExitCode))
    return head("operator/lanyard/entry/plugin") + INTRODUCTION + codes + "".join(_verbs(plugin, "kubectl lanyard"))


def _verbs(group: click.Group, name: str) -> Iterator[str]:
    for verb, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _verbs(command, f"{name} {verb}")
        else:
            context = click.Context(
                command, info_name=f"{name} {verb}", terminal_width=100, help_option_names=["-h", "--help"]
            )
            yield f"\n## {name} {verb}\n\n```text\n{command.get_help(context)}\n```\n"
