"""What every verb takes: kubectl's own words for where, and how to print."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import update_wrapper
from typing import Any

import click

from lanyard.api.meta import parse_duration
from lanyard.entry.plugin.kubectl import Kubectl, Run, Target
from lanyard.entry.plugin.posting import Post


@dataclass(frozen=True, slots=True)
class Outside:
    """What the plugin uses of the machine.

    kubectl, a browser (False where there is none), the clock (with a time zone), a way to wait (seconds), the Date
    header that a web address answers with (OSError where nobody does), and a way to post a form.
    """

    run: Run
    browse: Callable[[str], bool]
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    date_of: Callable[[str], str]
    post: Post


Command = Callable[..., Any]


def where(*, every: bool = False) -> Callable[[Command], Command]:
    """-n, --context, --kubeconfig and, where it makes sense, -A; the command gets them as `kubectl`."""

    def decorate(command: Command) -> Command:
        @click.pass_obj
        def with_kubectl(
            outside: Outside,
            /,
            *,
            namespace: str | None,
            context: str | None,
            kubeconfig: str | None,
            every_namespace: bool = False,
            **rest: Any,
        ) -> Any:
            target = Target(namespace, every_namespace, context, kubeconfig)
            return command(kubectl=Kubectl(target, outside.run), **rest)

        # Options that were declared below this decorator are kept on the function: they come along.
        found: Command = update_wrapper(with_kubectl, command)
        found = click.option("--kubeconfig", metavar="FILE", help="Path of the kubeconfig.")(found)
        found = click.option("--context", metavar="NAME", help="Context of the kubeconfig.")(found)
        if every:
            found = click.option("-A", "--all-namespaces", "every_namespace", is_flag=True, help="All namespaces.")(
                found
            )
        return click.option("-n", "--namespace", metavar="NAME", help="Namespace; default: the context's.")(found)

    return decorate


def output(*names: str) -> Callable[[Command], Command]:
    """-o with these choices; without it the output is for people."""
    return click.option("-o", "--output", type=click.Choice(names), help="Print for a script instead of for a person.")


class Length(click.ParamType[float]):
    """A length of time such as 90s or 10m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value)).total_seconds()
        except ValueError:
            self.fail(f"{value} is not a length of time such as 90s, 10m or 1h30m.", param, ctx)
