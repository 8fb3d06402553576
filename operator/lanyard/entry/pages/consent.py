"""The pages of a consent that goes well, and of one that the person or the provider ended."""

from lanyard.connectors.templates import host_of
from lanyard.entry.pages.layout import Page, Step
from lanyard.entry.pages.markup import Markup, element, join, paragraph, strong, text
from lanyard.entry.pages.scopes import in_words
from lanyard.flows.standing import Approved, Coded, Details, Ended, Unapproved, Underway
from lanyard.oauth.authorization import CallbackError
from lanyard.reasons import Reason
from lanyard.rules.consent import Browser, Phase

APPROVAL_SECONDS = 4
OUTCOME_SECONDS = 2
_WHO = "\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\""
_KEPT = "An access that worked before keeps working."


def command_of(owner: str, browser_hash: str) -> str:
    """The line that approves a browser. The approver's own name follows the hash; admission holds them to it."""
    namespace, _, name = owner.partition("/")
    return f"kubectl annotate connection {name} -n {namespace} --overwrite lanyard.dev/consent={browser_hash}.{_WHO}"


def unapproved_page(standing: Unapproved, *, still: bool) -> Page:
    """`still`: the reader has asked that the page does not load itself again."""
    owner = standing.browser.owner
    namespace, _, name = owner.partition("/")
    body = join(
        element(
            "p",
            join(
                text("This page connects"), strong(name), text("in the namespace"), strong(namespace),
                text("to an account of yours. First, somebody who may authorize it approves this browser:"),
            ),
        ),
        element("pre", text(command_of(owner, standing.browser.hash)), class_="command", tabindex="0",
                role="group", aria_label="Command to run in a terminal"),
        paragraph("Run it in a terminal with your own Kubernetes identity. It approves this browser only, and for "
                  "ten minutes. Never run such a line that somebody else has sent to you.", class_="quiet"),
        waiting(owner, "Waiting for the approval", still=still),
    )  # fmt: skip
    return Page(200, "Approve this browser", body, Step.APPROVE, refresh=0 if still else APPROVAL_SECONDS)


def approved_page(standing: Approved) -> Page:
    details = standing.details
    namespace, _, name = details.owner.partition("/")
    onward = f"Get a code for {details.product}" if details.by_device else f"Continue to {details.product}"
    form = element(
        "form",
        join(_token(standing.browser), element("button", text(onward), class_="button")),
        method="post",
        action=path_of(details.owner),
    )
    body = join(
        element("p", join(strong(standing.user), text("approved this browser. Please look before you go on:"))),
        _facts(
            ("Connection", f"{details.display_name} ({name})" if details.display_name else name),
            ("Namespace", namespace),
            ("Product", details.product),
            ("The code comes from" if details.by_device else "You sign in at", details.provider_host),
            ("Account expected", details.expected_account or "any; the one you sign in with is used"),
            ("Approved by", standing.user),
        ),
        _scopes(details),
        form,
        paragraph(f"Everybody who may read Secrets in {namespace} can then act in your name there. If you do not "
                  f"know {standing.user}, or did not ask for this, close this page: nothing has happened yet.",
                  class_="quiet"),
    )  # fmt: skip
    return Page(200, f"Connect {name} to {details.product}", body, Step.SIGN_IN, forms_leave=not details.by_device)


def underway_page(standing: Underway, *, still: bool) -> Page:
    owner = standing.browser.owner
    if standing.phase is Phase.STARTED:
        body = join(
            paragraph("This browser was sent to the provider and has not come back yet. Finish there, or start again."),
            again(standing.browser),
        )
        return Page(200, "Sign in at the provider", body, Step.SIGN_IN)
    if standing.phase is Phase.REQUESTED:
        body = join(
            paragraph("Lanyard is asking the product for a code that you can enter there; this takes a few seconds."),
            waiting(owner, "Waiting for the code", still=still),
        )
        return Page(200, "Getting a code", body, Step.SIGN_IN, refresh=0 if still else OUTCOME_SECONDS)
    body = join(
        paragraph("You have signed in. Lanyard is fetching the access now; this takes a few seconds."),
        waiting(owner, "Finishing", still=still),
    )
    return Page(200, "Almost there", body, Step.SIGN_IN, refresh=0 if still else OUTCOME_SECONDS)


def code_page(standing: Coded, *, still: bool) -> Page:
    host = host_of(standing.page)
    link = element("a", text(f"Open {host}"), href=standing.page, class_="button", target="_blank", rel="noreferrer")
    body = join(
        paragraph("Open the product's own page, in this browser or on any other device, sign in there and enter:"),
        element("pre", text(standing.user_code), class_="command user-code", tabindex="0",
                role="group", aria_label="Your code"),
        element("p", link),
        paragraph(f"The address is {standing.page}. The code is good until {standing.ends_at:%H:%M} UTC. It is for you "
                  "alone: whoever enters it decides which account is connected.", class_="quiet"),
        waiting(standing.browser.owner, "Waiting until you have agreed there", still=still),
    )  # fmt: skip
    return Page(200, f"Enter your code at {host}", body, Step.SIGN_IN, refresh=0 if still else APPROVAL_SECONDS)


def ended_page(standing: Ended) -> Page:
    browser, outcome = standing.browser, standing.outcome
    namespace, _, name = browser.owner.partition("/")
    if outcome is not None and outcome.reason == Reason.AUTHORIZED.value:
        who = join(text("It now works as"), element("strong", text(f"{outcome.account}."))) if outcome.account else (
            text("It works from now on.")
        )  # fmt: skip
        body = join(
            element("p", join(strong(name), text("in the namespace"), strong(namespace), text("is connected."), who),
                    class_="good", role="status"),
            paragraph("Lanyard keeps it alive from here. You can close this page."),
            paragraph("Was it the wrong account? Authorize again and sign in with the other one.", class_="quiet"),
            again(browser),
        )  # fmt: skip
        return Page(200, "Connected", body, Step.CONNECTED)
    title, what, step = _failure(standing, outcome.reason if outcome is not None else "")
    body = join(
        paragraph(what, class_="bad", role="alert"),
        paragraph(_KEPT),
        paragraph(step),
        again(browser),
    )
    return Page(200, title, body, Step.SIGN_IN)


def _failure(standing: Ended, reason: str) -> tuple[str, str, str]:
    """Title, what happened, next step. Nothing that the provider wrote."""
    account = standing.outcome.account if standing.outcome is not None else ""
    namespace, _, name = standing.browser.owner.partition("/")
    status = f"kubectl describe connection {name} -n {namespace}"
    if reason == Reason.CONSENT_DENIED.value or (not reason and standing.error == CallbackError.DENIED.value):
        return (
            "Access was declined",
            "You, or the provider, said no. Nothing was connected.",
            ("If that was not what you wanted, authorize again and agree at the provider."),
        )
    match reason:
        case Reason.ACCOUNT_MISMATCH.value:
            seen = f"You signed in as {account}." if account else "You signed in with another account."
            return (
                "Wrong account",
                f"{seen} This Connection expects {standing.expected_account}.",
                ("Sign out at the provider, or use a private window, and authorize again with the expected account."),
            )
        case Reason.ACCOUNT_UNKNOWN.value:
            return (
                "Nobody was named",
                f"The provider did not say who signed in. This Connection expects {standing.expected_account}.",
                "Authorize again. If it happens again, the owner of the Connection removes spec.auth.expectedAccount.",
            )
        case Reason.AUTHORIZATION_EXPIRED.value | Reason.AUTHORIZATION_LOST.value:
            return (
                "That took too long",
                "Nobody agreed in time, or the provider's answer could not be used any more.",
                ("Authorize again; it usually works at once."),
            )
        case "":
            return (
                "The provider refused",
                "The provider did not let this go on.",
                (f"Authorize again. If it happens again, look at the app's settings there and at: {status}"),
            )
        case _:
            return (
                "Not connected",
                f"The access could not be fetched ({reason}).",
                f"The next step is shown by: {status}",
            )


def waiting(owner: str, what: str, *, still: bool) -> Markup:
    """A live region, and the choice not to be interrupted by the page."""
    if still:
        return element("p", element("a", text("Check again"), href=f"{path_of(owner)}?wait=off", class_="button plain"))
    links = join(
        element("a", text("Check now"), href=path_of(owner)),
        text("·"),
        element("a", text("Do not reload by itself"), href=f"{path_of(owner)}?wait=off"),
    )
    return join(
        element("p", text(f"{what}…"), class_="wait", role="status", aria_live="polite"),
        element("p", links, class_="quiet"),
    )


def again(browser: Browser) -> Markup:
    button = element("button", text("Authorize again"), class_="button plain")
    return element("form", join(_token(browser), button), method="post", action=f"{path_of(browser.owner)}/again")


def path_of(owner: str) -> str:
    return f"/connect/{owner}"


def _token(browser: Browser) -> Markup:
    return Markup(f'<input type="hidden" name="token" value="{text(browser.csrf_token)}">')


def _facts(*facts: tuple[str, str]) -> Markup:
    rows = (
        element("div", join(element("dt", text(label)), element("dd", text(value)))) for label, value in facts if value
    )
    return element("dl", join(*rows))


def _scopes(details: Details) -> Markup:
    if not details.scopes:
        return paragraph(f"No permission is asked for by name: {details.product} decides what the access covers.")
    items = (element("li", join(text(in_words(scope)), element("code", text(scope)))) for scope in details.scopes)
    return join(
        element("h2", text("What is asked for"), id="scopes"),
        element("ul", join(*items), class_="scopes", aria_labelledby="scopes"),
    )
