"""`python -m bench`: measure, write one JSON object a figure, print a table. A slow machine makes nothing fail."""

import argparse
import sys
from pathlib import Path

from bench import figures, page, sizes
from bench.runs import BENCHES, NAMES, figures_of

OUT = Path(__file__).parents[2] / "build" / "bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000, metavar="N")
    parser.add_argument("--only", nargs="+", default=[], choices=[*BENCHES, *NAMES], metavar="NAME")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--write-docs", action="store_true", help="put what --out holds into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.write_docs:
        page.write(figures.read(arguments.out))
        return 0
    size, found = sizes.of(arguments.connections), []
    try:
        for one in figures_of(size, only=frozenset(arguments.only), say=_say):
            found.append(one)
            figures.write(arguments.out, [one])
            _say(f"  {one.name}: {one.value:g} {one.unit}")
    except KeyboardInterrupt:
        _say("interrupted: everything that was started is ended")
        return 130
    print(figures.table(found))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
