"""What a person or a script is shown: data on standard output, progress and notes on standard error.

One glyph per kind of line: ✔ fine, ✗ wrong, ◎ waiting, ► to do. Colour only on a terminal and without NO_COLOR.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDEST = 4096  # nothing is cut: a terminal wraps, and a script wants all of it


class Glyph(StrEnum):
    FINE = "✔"
    WRONG = "✗"
    WAITING = "◎"
    STEP = "►"


_STYLES = {Glyph.FINE: "green", Glyph.WRONG: "red", Glyph.WAITING: "yellow", Glyph.STEP: "cyan"}


def visible(text: str) -> str:
    """Text of others, such as an Event's, without what would move the cursor or turn the writing around."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def line(glyph: Glyph, text: str) -> None:
    """One line of data."""
    _console().print(Text.assemble((glyph.value, _STYLES[glyph]), " ", visible(text)), soft_wrap=True)


def fact(label: str, text: str, *, glyph: Glyph | None = None) -> None:
    """An indented line of data under a heading: a label, then what is to say."""
    mark = (f"{glyph.value} ", _STYLES[glyph]) if glyph else "  "
    _console().print(Text.assemble(mark, (f"{visible(label):<12} ", "bold"), visible(text)), soft_wrap=True)


def plain(text: str = "") -> None:
    """A line for scripts, or a heading."""
    click.echo(visible(text))


def note(glyph: Glyph, text: str) -> None:
    """Progress and chatter."""
    said = Text.assemble((glyph.value, _STYLES[glyph]), " ", visible(text))
    _console(stderr=True).print(said, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """As `kubectl get` prints: capitals, no frame."""
    found = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        found.add_column(column.upper(), no_wrap=True)
    for row in rows:
        found.add_row(*(Text(visible(cell)) for cell in row))
    console = _console()
    console.width = WIDEST
    with console.capture() as captured:
        console.print(found)
    for printed in captured.get().splitlines():
        click.echo(printed.rstrip())


def data(document: Mapping[str, Any] | Sequence[Any], output: str) -> None:
    """`json` or `yaml`."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, sort_keys=False))
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


def _console(*, stderr: bool = False) -> Console:
    """NO_COLOR (no-color.org) takes bold away too: who sets it wants plain text."""
    plainly = bool(os.environ.get("NO_COLOR"))
    return Console(stderr=stderr, highlight=False, color_system=None if plainly else "auto")
