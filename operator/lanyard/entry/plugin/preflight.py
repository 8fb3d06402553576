"""`check`: is everything there that a Connection needs? Looks only, as the person who asks."""

import re
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

import click

from lanyard.api.meta import GROUP, VERSION
from lanyard.api.schema import KINDS, crd
from lanyard.entry.plugin import screen
from lanyard.entry.plugin.conditions import KIND
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.kubectl import Kubectl, KubectlError, Object, Refusal
from lanyard.entry.plugin.options import Outside, output, where
from lanyard.entry.plugin.screen import Glyph
from lanyard.entry.plugin.times import parsed, told

SKEW_BORNE = timedelta(seconds=30)
LEASE_SECONDS = 10
GATEWAY_SECONDS = 5.0
_DATE = re.compile(r"^\s*Date: (.+ GMT)\s*$", re.MULTILINE)
_RIGHTS = (
    ("get", KIND, "see Connections"),
    ("create", KIND, "make Connections"),
    ("patch", KIND, "refresh Connections"),
    ("authorize", KIND, "authorize Connections"),
    ("get", "secrets", "see whether Secrets are there"),
    ("list", "events", "see Events"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`fine` is None for what could not be looked at, or need not be there."""

    about: str
    fine: bool | None
    says: str
    step: str = ""


@click.command()
@where()
@click.option("--system-namespace", default="lanyard-system", show_default=True, help="Where the operator runs.")
@click.option("--exchange-namespace", default="lanyard-exchange", show_default=True, help="Where its Lease is.")
@click.option("--gateway-url", metavar="URL", help="Address of the gateway; default: as the Connections say.")
@output("json", "yaml")
@click.pass_context
def check(
    ctx: click.Context,
    *,
    kubectl: Kubectl,
    system_namespace: str,
    exchange_namespace: str,
    gateway_url: str | None,
    output: str | None,
) -> None:
    """Look whether the cluster has what Lanyard needs, and what you may do. Exit code 1 when something is wrong."""
    outside = ctx.ensure_object(Outside)
    found: list[Finding] = []
    for finding in _findings(kubectl, outside, system_namespace, exchange_namespace, gateway_url):
        found.append(finding)
        if output is None:
            _tell(finding)
    if output is not None:
        screen.data([asdict(finding) for finding in found], output)
    if any(finding.fine is False for finding in found):
        ctx.exit(ExitCode.FAILED)


def _tell(finding: Finding) -> None:
    glyph = {True: Glyph.FINE, False: Glyph.WRONG, None: Glyph.WAITING}[finding.fine]
    screen.line(glyph, f"{finding.about:<20} {finding.says}")
    if finding.step and finding.fine is not True:
        screen.fact("next step", finding.step, glyph=Glyph.STEP)


def _findings(
    kubectl: Kubectl, outside: Outside, system: str, exchange: str, gateway_url: str | None
) -> Iterator[Finding]:
    try:
        version = kubectl.version()
    except PluginError as error:
        yield Finding("API server", False, f"{error.message} {error.cause}", error.step)
        return
    server = version.get("serverVersion", {}).get("gitVersion", "?")
    yield Finding("kubectl", True, str(version.get("clientVersion", {}).get("gitVersion", "?")))
    yield Finding("API server", True, str(server))
    yield _clock(kubectl, outside)
    for kind in KINDS:
        yield _definition(kubectl, f"{kind.plural}.{GROUP}", crd(kind))
    yield _operator(kubectl, system)
    yield _lease(kubectl, exchange, outside)
    yield _gateway(kubectl, outside, gateway_url)
    namespace = kubectl.namespace()
    for verb, resource, what in _RIGHTS:
        allowed = kubectl.may(verb, resource, namespace)
        yield Finding("you may" if allowed else "you may not", True if allowed else None, f"{what} in {namespace}")


def _clock(kubectl: Kubectl, outside: Outside) -> Finding:
    match = _DATE.search(kubectl.headers("/version"))
    if match is None:
        return Finding("clock", None, "the API server's answer has no date")
    return _skew("clock", match[1], outside, "the API server")


def _skew(about: str, date: str, outside: Outside, whose: str) -> Finding:
    try:
        apart = abs(outside.now() - parsedate_to_datetime(date))
    except ValueError:
        return Finding(about, None, f"the date of {whose} cannot be read")
    if apart > SKEW_BORNE:
        return Finding(
            about,
            False,
            f"differs from {whose} by {apart.total_seconds():.0f} s",
            "Synchronise this machine's clock or the server's (NTP).",
        )
    return Finding(about, True, f"agrees with {whose} within {max(1, round(apart.total_seconds()))} s")


def _definition(kubectl: Kubectl, name: str, expected: Object) -> Finding:
    update = "kubectl apply --server-side -f crds/"
    try:
        found = kubectl.get("customresourcedefinitions.apiextensions.k8s.io", name)
    except KubectlError as error:
        if error.refusal is Refusal.FORBIDDEN:
            return _served(kubectl, name)
        if error.refusal is Refusal.NOT_FOUND:
            return Finding(name, False, "is not installed", update)
        raise
    established = any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in found.get("status", {}).get("conditions", ())
    )
    if not established:
        return Finding(name, False, "is not established yet", f"kubectl describe crd {name}")
    schemas = {version["name"]: version.get("schema", {}) for version in found["spec"]["versions"] if version["served"]}
    if VERSION not in schemas:
        return Finding(name, False, f"does not serve {VERSION}", update)
    if schemas[VERSION] != expected["spec"]["versions"][0]["schema"]:
        return Finding(name, None, f"serves {VERSION} with another schema than this plugin's", "Use the same release.")
    return Finding(name, True, f"serves {VERSION} with this plugin's schema")


def _served(kubectl: Kubectl, name: str) -> Finding:
    """For a person who may not read definitions: everyone may see what is served."""
    plural = name.partition(".")[0]
    names = kubectl.served(f"/apis/{GROUP}/{VERSION}")
    if plural in names:
        return Finding(name, True, f"serves {VERSION} (its schema may not be seen by you)")
    return Finding(name, False, "is not installed", "Ask the platform team to install Lanyard.")


def _operator(kubectl: Kubectl, namespace: str) -> Finding:
    step = f"kubectl get deployments,pods -n {namespace}"
    try:
        found = kubectl.every("deployments.apps", namespace)
    except KubectlError as error:
        return _unseen("operator", error)
    mine = [one for one in found if "lanyard" in one["metadata"]["name"]]
    if not mine:
        return Finding("operator", None, f"no Deployment in {namespace}; it may run elsewhere", step)
    down = [one["metadata"]["name"] for one in mine if one.get("status", {}).get("availableReplicas", 0) < 1]
    if down:
        return Finding("operator", False, f"not available: {', '.join(down)}", step)
    return Finding("operator", True, f"available: {', '.join(one['metadata']['name'] for one in mine)}")


def _lease(kubectl: Kubectl, namespace: str, outside: Outside) -> Finding:
    try:
        found = kubectl.every("leases.coordination.k8s.io", namespace)
    except KubectlError as error:
        return _unseen("lease", error)
    renewed = sorted(
        (str(one["spec"].get("renewTime", "")), str(one["spec"].get("holderIdentity", "")))
        for one in found
        if "lanyard" in one["metadata"]["name"]
    )
    if not renewed:
        return Finding("lease", None, f"no Lease in {namespace}", "kubectl logs -n lanyard-system deploy/lanyard")
    time, holder = renewed[-1]
    moment = parsed(time)
    if moment is None or outside.now() - moment > timedelta(seconds=LEASE_SECONDS) + SKEW_BORNE:
        said = told(time, outside.now()) if time else "never"
        return Finding("lease", False, f"last renewed {said}", "The operator is not running: look at its logs.")
    return Finding("lease", True, f"held by {holder}")


def _gateway(kubectl: Kubectl, outside: Outside, given: str | None) -> Finding:
    url = given or gateway_url_of(kubectl)
    if not url:
        return Finding("gateway", None, "no Connection names it; give --gateway-url to have it looked at")
    try:
        date = outside.date_of(f"{url.rstrip('/')}/healthz")
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        return Finding(
            "gateway", False, f"{url} does not answer: {str(cause)[:120]}", "Check its Ingress, DNS and certificate."
        )
    skew = _skew("gateway", date, outside, f"the gateway at {url}") if date else None
    if skew is not None and skew.fine is False:
        return skew
    return Finding("gateway", True, f"answers at {url}")


def gateway_url_of(kubectl: Kubectl) -> str:
    """As the Connections of the namespace say; empty when none does."""
    try:
        found = kubectl.every(KIND, kubectl.namespace())
    except KubectlError:
        return ""
    pages = (str(one.get("status", {}).get("authorizationURL", "")) for one in found)
    return next((page.partition("/connect/")[0] for page in pages if "/connect/" in page), "")


def _unseen(about: str, error: KubectlError) -> Finding:
    if error.refusal is Refusal.FORBIDDEN:
        return Finding(about, None, "you may not see it")
    return Finding(about, False, f"{error.message} {error.cause}", error.step)


def date_of(url: str) -> str:
    """The Date header that a web server answers with; empty without one. OSError when it does not answer, or badly."""
    if not url.startswith(("https://", "http://")):
        raise ValueError("not a web address")
    with urllib.request.urlopen(url, timeout=GATEWAY_SECONDS) as answer:  # noqa: S310 - looked at above
        return str(answer.headers.get("Date", ""))
