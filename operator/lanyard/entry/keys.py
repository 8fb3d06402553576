"""`lanyard keys`: what a person or the chart's Job types. What is done is in keyring_commands.py, loaded late."""

import importlib
import sys
from typing import Any

import click

_ring_option = click.option(
    "--ring",
    type=click.Choice(("grant", "token", "signing", "all")),
    default="all",
    show_default=True,
    help="Which ring.",
)
_context_option = click.option("--context", help="Context of the kubeconfig; its current one when absent.")


@click.group()
def keys() -> None:
    """Make, rotate and retire the keys that grants and consents are sealed with, and tokens are signed with."""


@keys.command()
@_ring_option
@_context_option
def init(ring: str, context: str | None) -> None:
    """Make the rings that are missing. Refused when something is stored whose key is not there (KeyringLost)."""
    _commands().init(ring, context)


@keys.command()
@_ring_option
@click.option("--retire", is_flag=True, help="Take away keys that seal or sign no more and that nothing needs.")
@_context_option
def rotate(ring: str, retire: bool, context: str | None) -> None:
    """Add a key that will seal or sign once everybody has it; with --retire, take old ones away."""
    if retire:
        _commands().retire(ring, context)
    else:
        _commands().rotate(ring, context)


@keys.command()
@_ring_option
@_context_option
def status(ring: str, context: str | None) -> None:
    """Show every key: its id, since when it seals, and how many stored things need it."""
    _commands().status(ring, context)


def _commands() -> Any:
    try:
        return importlib.import_module("lanyard.entry.keyring_commands")
    except ModuleNotFoundError as error:
        click.echo(f"lanyard: {error.name} is not installed here: pip install 'lanyard[operator]'", err=True)
        sys.exit(2)
