"""HTML that cannot be injected into: text becomes `Markup` only by being escaped, and mypy tells the two apart."""

import html
from typing import NewType

Markup = NewType("Markup", str)
NOTHING = Markup("")


def text(value: str) -> Markup:
    """Escaped, with control and direction marks made visible as blanks: a name must not dress up as another."""
    seen = "".join(letter if letter.isprintable() else " " for letter in value)
    return Markup(html.escape(seen, quote=True))


def join(*parts: Markup) -> Markup:
    return Markup("\n".join(part for part in parts if part))


def element(tag: str, content: Markup, **attributes: str) -> Markup:
    """`class_` gives class, `aria_live` aria-live."""
    given = "".join(f' {name.rstrip("_").replace("_", "-")}="{text(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{given}>{content}</{tag}>")


def paragraph(value: str, **attributes: str) -> Markup:
    return element("p", text(value), **attributes)


def strong(value: str) -> Markup:
    return element("strong", text(value))
