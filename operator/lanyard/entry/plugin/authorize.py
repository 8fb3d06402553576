"""`authorize`: open the start page and approve that browser, in one step (DESIGN 4, Consent).

The browser's secret stays in its cookie. The page sends the browser with the hash of it to a listener of this command
on 127.0.0.1; the command writes the approval with the person's own Kubernetes rights and sends the browser back.
"""

import secrets
from datetime import timedelta
from urllib.parse import urlsplit

import click

from lanyard.api.meta import CONSENT_ANNOTATION
from lanyard.entry.plugin import screen
from lanyard.entry.plugin.conditions import KIND, Condition, conditions, is_ready, refuse_link
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.kubectl import Kubectl, KubectlError, Object, Refusal
from lanyard.entry.plugin.listener import HASH, Listener
from lanyard.entry.plugin.options import Length, Outside, output, where
from lanyard.entry.plugin.screen import Glyph
from lanyard.entry.plugin.waiting import failed, wait_for

PENDING = frozenset({"AuthorizationRequired", "Acquiring"})


@click.command()
@click.argument("name")
@where()
@click.option("--no-browser", is_flag=True, help="Print the address and ask for the code that the page shows.")
@click.option("--timeout", type=Length(), default="10m", show_default=True, help="How long to wait at most.")
@output("json", "yaml", "name")
@click.pass_context
def authorize(
    ctx: click.Context, *, kubectl: Kubectl, name: str, no_browser: bool, timeout: float, output: str | None
) -> None:
    """Authorize the Connection NAME in a browser and wait until it is ready.

    Exit codes: 0 ready, 1 failed, 3 not within the time.
    """
    outside = ctx.ensure_object(Outside)
    namespace = kubectl.namespace()
    before = kubectl.get(KIND, name, namespace)
    refuse_link(before, "authorize")
    page = start_page(before, name)
    until = outside.now() + timedelta(seconds=timeout)
    approval = Approval(kubectl, name, namespace)
    if no_browser:
        screen.note(Glyph.STEP, f"open {page}")
        approval.take(code_of(click.prompt("Code that the page shows", err=True)))
    else:
        _through_the_browser(outside, page, approval, timeout)
    screen.note(Glyph.FINE, f"approved this browser for {name}; go on in the browser")
    authorized = conditions(before).get("Authorized")
    refreshed = before.get("status", {}).get("lastRefreshedAt")

    def judge(one: Object) -> bool:
        if is_ready(one) and one["status"].get("lastRefreshedAt") != refreshed:
            return True
        if _refused(conditions(one).get("Authorized"), authorized):
            raise failed(one, name)
        return False

    left = max(0.0, (until - outside.now()).total_seconds())
    one = wait_for(kubectl, outside, name, namespace, seconds=left, judge=judge)
    account = one["status"].get("account", "")
    if output == "name":
        screen.plain(f"connection.lanyard.dev/{name}")
    elif output is not None:
        screen.data({"name": name, "namespace": namespace, "account": account, "ready": True}, output)
    else:
        screen.line(Glyph.FINE, f"{name} is ready; connected is {account or 'an account without a name'}")


class Approval:
    """Writes `<hash>.<caller>` into the Connection's annotation, as the caller."""

    def __init__(self, kubectl: Kubectl, name: str, namespace: str) -> None:
        self._kubectl = kubectl
        self._name = name
        self._namespace = namespace

    def take(self, browser: str) -> None:
        """`browser` is the hash that the page made; PluginError when the caller may not approve."""
        user = self._kubectl.user()
        try:
            self._kubectl.annotate(KIND, self._name, self._namespace, CONSENT_ANNOTATION, f"{browser}.{user}")
        except KubectlError as error:
            if error.refusal is not Refusal.FORBIDDEN:
                raise
            raise PluginError(
                f"{user} may not authorize {self._name}.",
                cause=error.cause,
                step=f"Ask for the role: kubectl create rolebinding {self._name}-authorizer "
                f"--clusterrole=lanyard-authorizer --user={user} -n {self._namespace}",
            ) from None


def start_page(one: Object, name: str) -> str:
    """`status.authorizationURL`; PluginError when there is none, or when it is not one to open."""
    page = str(one.get("status", {}).get("authorizationURL", ""))
    if not page:
        raise PluginError(
            f"{name} has no page to authorize it on.",
            cause="status.authorizationURL is empty: its method needs no consent, or the gateway has no address",
            step=f"kubectl lanyard status {name} -n {one['metadata']['namespace']}",
        )
    parts = urlsplit(page)
    loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise PluginError(
            f"The page of {name} is not opened.",
            cause="status.authorizationURL does not begin with https",
            step="Ask the platform team to correct the gateway's address.",
        )
    return page


def code_of(typed: str) -> str:
    """The hash, also out of the whole line that the page shows."""
    piece = typed.strip().rpartition("=")[2].strip("'\"").partition(".")[0]
    if HASH.fullmatch(piece) is None:
        raise PluginError(
            "This is not the code of the page.",
            step="Copy what stands after lanyard.dev/consent= on the page.",
            code=ExitCode.USAGE,
        )
    return piece


def _through_the_browser(outside: Outside, page: str, approval: Approval, seconds: float) -> None:
    with Listener(nonce=secrets.token_urlsafe(32), back=page, take=approval.take) as listener:
        address = f"{page}?return={listener.return_value}"
        screen.note(Glyph.STEP, f"opening {page}")
        if not outside.browse(address):
            screen.note(Glyph.WAITING, f"no browser here: open {address} in one on this machine")
        if not listener.wait(seconds):
            raise PluginError(
                "No browser came back in time.",
                cause=f"nothing arrived on 127.0.0.1 within {seconds:.0f} s",
                step="Try again; from another machine use --no-browser.",
                code=ExitCode.TIMED_OUT,
            )


def _refused(now: Condition | None, before: Condition | None) -> bool:
    return now is not None and now.status == "False" and now != before and now.reason not in PENDING
