"""The command: `lanyard operator`, `lanyard gateway`, `lanyard keys`, `lanyard finalizers`."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import NoReturn, Protocol

import click

from lanyard import __version__
from lanyard.entry.finalizers import finalizers
from lanyard.entry.keys import keys
from lanyard.entry.settings import Settings, SettingsError, read


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Connections as code for Kubernetes."""


main.add_command(keys)
main.add_command(finalizers)


@main.command()
def operator() -> None:
    """Run the operator. Settings come from the environment: see docs/reference/settings.md."""
    try:
        from lanyard.entry.wiring import Operator
    except ModuleNotFoundError as error:
        _end_for_want_of(error)
    asyncio.run(_serve(Operator))


@main.command()
def gateway() -> None:
    """Run the gateway: consent pages and callbacks. Settings as for the operator."""
    try:
        from lanyard.entry.gateway import Gateway
    except ModuleNotFoundError as error:
        _end_for_want_of(error)
    asyncio.run(_serve(Gateway))


class _Role(Protocol):
    """What this command can be: it runs until it is stopped, and knows whether a part of it has failed."""

    @property
    def failed(self) -> bool: ...

    async def run(self) -> None: ...


async def _serve(role: Callable[[Settings], _Role]) -> None:
    from lanyard.entry.telemetry import configure_logging

    try:
        settings = read(os.environ)
        configure_logging(settings.log_level)
        running = role(settings)
    except SettingsError as error:
        click.echo(f"lanyard: {error}", err=True)
        sys.exit(2)
    await running.run()
    if running.failed:
        sys.exit(1)


def _end_for_want_of(error: ModuleNotFoundError) -> NoReturn:
    click.echo(f"lanyard: {error.name} is not installed here: pip install 'lanyard[operator]'", err=True)
    sys.exit(2)
