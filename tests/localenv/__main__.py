"""`python -m localenv up | down | tools | exports`."""

import argparse
import shlex
import sys

from localenv import kept, tools
from localenv.environment import Environment


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m localenv", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the servers and leave them running")
    commands.add_parser("down", help="end what `up` left running")
    commands.add_parser("tools", help="find or build the programs, start nothing")
    commands.add_parser("exports", help="shell variables of the running servers, for eval")
    match parser.parse_args().command:
        case "up":
            return up()
        case "down":
            ended = kept.end()
            print("ended " + ", ".join(ended) if ended else "nothing was running", file=sys.stderr)
        case "tools":
            tools.ensure()
            print("ready   the programs of the local environment", file=sys.stderr)
        case "exports":
            return show_exports()
    return 0


def up() -> int:
    try:
        Environment(keep=True).start()
    except kept.AlreadyRunningError as error:
        print(error, file=sys.stderr)
    return show_exports()


def show_exports() -> int:
    exports = kept.exports()
    if exports is None:
        print("nothing is running: `make up` starts it", file=sys.stderr)
        return 1
    for name, value in exports.items():
        quoted = value.removesuffix("$PATH")
        print(f"export {name}={shlex.quote(quoted)}" + ("$PATH" if quoted != value else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
