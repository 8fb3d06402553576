"""What all pages share: head, name, the three steps, and the sentence at the foot."""

from dataclasses import dataclass, field
from enum import IntEnum
from importlib.resources import files

from lanyard.entry.pages.markup import NOTHING, Markup, element, join, text

STYLE_PATH = "/assets/lanyard.css"
ICON_PATH = "/assets/lanyard.svg"
STYLE = files("lanyard.entry.pages").joinpath("lanyard.css").read_text("utf-8")

_MARK = Markup(
    '<svg class="mark" viewBox="0 0 24 24" width="28" height="28" aria-hidden="true" focusable="false">'
    '<path d="M7 2v6a5 5 0 0 0 10 0V2" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/>'
    '<path d="M12 13v3" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/>'
    '<rect x="8" y="16" width="8" height="6" rx="1.6" fill="currentColor"/></svg>'
)


class Step(IntEnum):
    """Where a person is; NONE shows no steps."""

    NONE = 0
    APPROVE = 1
    SIGN_IN = 2
    CONNECTED = 3


_STEPS = {
    Step.APPROVE: "Approve this browser",
    Step.SIGN_IN: "Sign in at the product",
    Step.CONNECTED: "Connected",
}


ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="#0b5bd3"/>'
    '<path d="M8 4v5a4 4 0 0 0 8 0V4M12 13v3" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/>'
    '<rect x="9" y="16" width="6" height="4.5" rx="1.2" fill="#fff"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer. `refresh` seconds until the browser asks again (0: never); `forms_to` may take its forms."""

    status: int
    title: str
    body: Markup
    step: Step = Step.NONE
    refresh: int = 0
    forms_leave: bool = False
    """True where the form ends at the provider: then forms may be sent on to other hosts over https."""
    headers: dict[str, str] = field(default_factory=dict)

    def html(self) -> str:
        return (
            "<!doctype html>\n"
            '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n<meta name="robots" content="noindex">\n'
            f"<title>{text(self.title)} · Lanyard</title>\n"
            f'<link rel="icon" href="{ICON_PATH}" type="image/svg+xml">\n'
            f'<link rel="stylesheet" href="{STYLE_PATH}">\n</head>\n<body>\n'
            f'<header class="top"><span class="brand">{_MARK}<span>Lanyard</span></span></header>\n'
            f'<main class="card">\n{_steps(self.step)}\n<h1>{text(self.title)}</h1>\n{self.body}\n</main>\n'
            '<footer class="foot"><p>Lanyard never sees your password. You sign in at the product itself, and you can '
            "take access back there at any time.</p></footer>\n</body>\n</html>\n"
        )


def _steps(current: Step) -> Markup:
    if current is Step.NONE:
        return NOTHING
    items = [
        element(
            "li",
            join(element("span", text(str(int(step))), class_="number", aria_hidden="true"), text(label)),
            **({"aria-current": "step"} if step is current else {"class": "done"} if step < current else {}),
        )
        for step, label in _STEPS.items()
    ]
    return element("ol", join(*items), class_="steps", aria_label="Steps")
