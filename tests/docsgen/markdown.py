"""The little Markdown that the pages share."""

import re
from collections.abc import Iterable, Sequence


def head(source: str) -> str:
    """First line of a page that is generated as a whole."""
    return f"<!-- Rendered from {source} by `make docs`; do not edit. -->\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def between(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers `<!-- begin NAME -->` and `<!-- end NAME -->`."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"the page needs the markers {begin.strip()} and {end} once each")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def template(text: str) -> str:
    """Placeholders of a message, `{name}`, in italics; inside backticks as <name>."""
    parts = text.split("`")
    parts[0::2] = [re.sub(r"\{(\w+)\}", r"*\1*", part) for part in parts[0::2]]
    parts[1::2] = [re.sub(r"\{(\w+)\}", r"<\1>", part) for part in parts[1::2]]
    return "`".join(parts)
