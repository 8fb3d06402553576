"""The one error of the plugin: what happened, why, and what to do now."""

from enum import IntEnum
from typing import IO, Any

import click

from lanyard.entry.plugin.screen import visible


class ExitCode(IntEnum):
    """What a script can tell apart."""

    READY = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 3


class PluginError(click.ClickException):
    """`message` is one sentence, `cause` what was seen, `step` exactly one thing to do. None of them holds a secret."""

    def __init__(self, message: str, *, cause: str = "", step: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.cause = cause
        self.step = step
        self.exit_code = int(code)  # type: ignore[misc] # click declares it for the class, and reads it of the object

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"✗ {visible(self.message)}", file=file, err=file is None)
        for label, text in (("cause", self.cause), ("next step", self.step)):
            if text:
                click.echo(f"  {label:<12} {visible(text)}", file=file, err=file is None)
