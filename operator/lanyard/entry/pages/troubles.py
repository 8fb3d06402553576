"""A plain page for everything that can go wrong: what happened, what it means, what to do next."""

from dataclasses import dataclass

from lanyard.entry.pages.consent import path_of
from lanyard.entry.pages.layout import Page
from lanyard.entry.pages.markup import NOTHING, element, join, paragraph, text
from lanyard.flows.standing import Trouble

_KEPT = "Nothing was changed: an access that worked before keeps working."


@dataclass(frozen=True, slots=True)
class _Words:
    status: int
    title: str
    what: str
    step: str
    restart: bool = False
    """True where starting again helps."""


_TROUBLES = {
    Trouble.NOT_FOUND: _Words(
        404, "There is no such Connection",
        "It may have been deleted or renamed, or the address has a slip in it.",
        "Ask whoever gave you this address; `kubectl get connections` lists what there is.",
    ),
    Trouble.OTHER_METHOD: _Words(
        409, "Nothing to sign in to",
        "This Connection gets its access without a person's consent.",
        "If a person should sign in, its owner sets spec.auth.method to authorizationCode or deviceCode.",
    ),
    Trouble.LINK: _Words(
        409, "This Connection is a link",
        "It uses the access of another Connection and has none of its own to sign in to.",
        "Open the page of the Connection that its spec.linkTo names.",
    ),
    Trouble.SUSPENDED: _Words(
        409, "This Connection is suspended",
        "Its owner has paused it, so nobody can authorize it now.",
        "Its owner sets spec.suspend to false; then open this page again.", restart=True,
    ),
    Trouble.NOT_READY: _Words(
        409, "This Connection is not ready yet",
        "Something in its settings is missing or does not fit.",
        "Its owner sees what, and what to do, with `kubectl describe connection`.", restart=True,
    ),
    Trouble.OPERATOR_AWAY: _Words(
        503, "Lanyard is not running just now",
        "The part that would fetch your access is not there, so signing in now would be in vain.",
        "Try again in a minute. If it stays away, tell the platform team that the operator holds no Lease.",
        restart=True,
    ),
    Trouble.NOT_APPROVED: _Words(
        403, "This browser is not approved",
        "Nobody who may authorize this Connection approves this browser, or the approval was taken back.",
        "Start again, and have this browser approved with the line that the page shows.", restart=True,
    ),
    Trouble.FORGED: _Words(
        403, "This form did not come from this page",
        "The button was not pressed on a page that Lanyard gave to this browser.",
        "Start again, and press the button there.", restart=True,
    ),
    Trouble.TOO_LATE: _Words(
        403, "That took too long",
        "An approval is good for ten minutes, and they are over.",
        "Start again; the new line has to be run once more.", restart=True,
    ),
    Trouble.OTHER_BROWSER: _Words(
        403, "Another browser began this",
        "The provider sent you here, but this browser has not begun a consent. It ends where it was begun.",
        "Go back to the browser in which you began, or start again from this Connection's own page.",
    ),
    Trouble.USED_TWICE: _Words(
        400, "This link was used already",
        "Each answer of the provider, and each approval, is taken once.",
        "See how it ended, or authorize again, on this Connection's page.", restart=True,
    ),
    Trouble.UNKNOWN_STATE: _Words(
        400, "This answer belongs to nothing here",
        "It does not fit what this browser began.",
        "Start again, and use only the window that opens then.", restart=True,
    ),
    Trouble.CHANGED: _Words(
        400, "The Connection was changed meanwhile",
        "Its settings, or the product's, are not the ones that you agreed to, so the answer was not used.",
        "Start again, and look at what is asked for now.", restart=True,
    ),
    Trouble.BAD_ANSWER: _Words(
        400, "The provider's answer does not fit",
        "It came from another place than expected, or carries what it should not.",
        "Start again. If it happens again, do not sign in there, and tell the platform team.", restart=True,
    ),
}  # fmt: skip
_NO_PAGE = _Words(404, "There is no such page", "The address has a slip in it.", "Ask whoever gave it to you.")
_BAD_REQUEST = _Words(400, "This request makes no sense here", "It has a form that no page of ours sends.", "Go back.")
_BUSY = _Words(429, "Too many requests", "This browser or its network asks very often.", "Wait a little, then go on.")
_AWAY = _Words(
    503, "Lanyard cannot answer just now", "It does not see the cluster at the moment.", "Try again in a minute."
)
_FAULT = _Words(
    500, "Something broke on our side", "This should not have happened; it was logged.", "Try again in a minute."
)


def trouble_page(trouble: Trouble, owner: str) -> Page:
    return _page(_TROUBLES[trouble], owner)


def no_page() -> Page:
    return _page(_NO_PAGE)


def bad_request_page(status: int = 400) -> Page:
    page = _page(_BAD_REQUEST)
    return Page(status, page.title, page.body)


def busy_page(retry_after: int) -> Page:
    page = _page(_BUSY)
    return Page(page.status, page.title, page.body, headers={"Retry-After": str(retry_after)})


def away_page() -> Page:
    return _page(_AWAY)


def fault_page() -> Page:
    return _page(_FAULT)


def _page(words: _Words, owner: str = "") -> Page:
    restart = NOTHING
    if words.restart and owner:
        link = element("a", text("Go to the Connection's page"), href=path_of(owner), class_="button")
        restart = element("p", link)
    body = join(
        paragraph(words.what, class_="bad", role="alert"),
        paragraph(words.step),
        restart,
        paragraph(_KEPT, class_="quiet"),
    )
    headers = {"Retry-After": "60"} if words.status == 503 else {}
    return Page(words.status, words.title, body, headers=headers)
