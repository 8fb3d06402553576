"""The command `kubectl lanyard`."""

import sys
import time
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

import click

from lanyard import __version__
from lanyard.entry.plugin.authorize import authorize
from lanyard.entry.plugin.drafting import from_openapi
from lanyard.entry.plugin.exchange import exchange
from lanyard.entry.plugin.explain import explain
from lanyard.entry.plugin.kubectl import run_kubectl
from lanyard.entry.plugin.links import links
from lanyard.entry.plugin.options import Outside
from lanyard.entry.plugin.posting import post
from lanyard.entry.plugin.preflight import check, date_of
from lanyard.entry.plugin.products import connector, connectors
from lanyard.entry.plugin.refresh import refresh
from lanyard.entry.plugin.status import status


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def plugin() -> None:
    """See, authorize and refresh Connections, and try what is exchanged for their tokens.

    Exit codes: 0 ready, 1 failed, 2 wrong usage, 3 not within the time.
    """


connector.add_command(from_openapi)
for _command in (status, authorize, refresh, exchange, connectors, connector, explain, check, links):
    plugin.add_command(_command)


def main() -> None:
    """The console script."""
    outside = Outside(run_kubectl, webbrowser.open, lambda: datetime.now(UTC), time.sleep, date_of, post)
    plugin(prog_name=name_of(sys.argv[0]), obj=outside)


def name_of(program: str) -> str:
    """What a person typed: kubectl runs `kubectl-lanyard` for `kubectl lanyard`."""
    name = Path(program).name.removesuffix(".exe")
    return name.replace("kubectl-", "kubectl ", 1) if name.startswith("kubectl-") else name


if __name__ == "__main__":
    main()
