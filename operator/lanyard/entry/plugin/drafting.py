"""`connector from-openapi FILE`: reads the file, prints the draft."""

import json
from pathlib import Path
from typing import Any

import click
import yaml

from lanyard.entry.plugin import screen
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.openapi import DraftError, draft
from lanyard.entry.plugin.options import output
from lanyard.entry.plugin.screen import Glyph

LARGEST = 32 * 1024 * 1024
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@click.command("from-openapi")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the Connector; default: from the document's title.")
@output("json", "yaml", "name")
def from_openapi(file: Path, name: str | None, output: str | None) -> None:
    """Draft a Connector from the OpenAPI 3.x or Swagger 2.0 document FILE (JSON or YAML). Uses no network.

    Read the draft before you apply it: the document does not say how tokens are refreshed or revoked.
    """
    try:
        made, remarks = draft(_document(file), name)
    except DraftError as error:
        raise PluginError(str(error), cause=f"in {file}", step=error.step) from None
    if output == "name":
        screen.plain(f"connector.lanyard.dev/{made['metadata']['name']}")
        return
    if output != "json":
        screen.plain("# A draft: compare it with the product's own documents before you apply it.")
        for remark in remarks:
            screen.plain(f"# {' '.join(remark.split())}")
    else:
        for remark in remarks:
            screen.note(Glyph.WAITING, remark)
    screen.data(made, output or "yaml")


def _document(file: Path) -> Any:
    try:
        if file.stat().st_size > LARGEST:
            raise PluginError(
                f"{file} is too large.",
                cause="more than 32 MiB",
                step="Give the API's description alone.",
                code=ExitCode.USAGE,
            )
        text = file.read_text("utf-8")
    except OSError as error:
        raise PluginError(
            f"{file} cannot be read.", cause=error.strerror or "", step="Check the path.", code=ExitCode.USAGE
        ) from None
    except UnicodeDecodeError:
        raise PluginError(f"{file} is not text.", step="Give a JSON or YAML file in UTF-8.") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(text, _YAML)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        cause = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "it cannot be parsed"
        raise PluginError(f"{file} is neither JSON nor YAML.", cause=cause, step="Correct the file.") from None
