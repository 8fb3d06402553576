"""`exchange`: try what the pods of a ServiceAccount would get for their token, and see why they are refused."""

from collections.abc import Mapping
from datetime import datetime

import click

from lanyard.api.federation import FEDERATED_CREDENTIAL
from lanyard.api.meta import GROUP
from lanyard.entry.plugin import screen
from lanyard.entry.plugin.attempt import Attempt, end_of
from lanyard.entry.plugin.conditions import KIND, refuse_link
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.fitting import audiences, fields, unverified_claims
from lanyard.entry.plugin.kubectl import Kubectl, KubectlError, Object, Refusal
from lanyard.entry.plugin.options import Outside, output, where
from lanyard.entry.plugin.posting import Reply
from lanyard.entry.plugin.preflight import gateway_url_of
from lanyard.entry.plugin.screen import Glyph
from lanyard.entry.plugin.times import told
from lanyard.sensitive import Sensitive

PATH = "/oauth/token"
CREDENTIALS = f"{FEDERATED_CREDENTIAL.plural}.{GROUP}"


@click.command()
@click.argument("name")
@where()
@click.option(
    "--as-serviceaccount", "account", metavar="[NAMESPACE/]NAME", required=True, help="Whose token is presented."
)
@click.option("--audience", metavar="TEXT", help="Audience to ask a token for; default: the credential's.")
@click.option("--scope", metavar="TEXT", help="Scopes to ask for, with spaces between them; default: all.")
@click.option("--gateway-url", metavar="URL", help="Address of the gateway; default: as the Connections say.")
@click.option(
    "--certificate-authority",
    type=click.Path(exists=True, dir_okay=False),
    help="PEM file that the gateway is trusted by, instead of this machine's.",
)
@output("json", "yaml", "token")
@click.pass_context
def exchange(
    ctx: click.Context,
    *,
    kubectl: Kubectl,
    name: str,
    account: str,
    audience: str | None,
    scope: str | None,
    gateway_url: str | None,
    certificate_authority: str | None,
    output: str | None,
) -> None:
    """Exchange a ServiceAccount's token as its pods would. NAME is a FederatedCredential or a Connection.

    The token is asked of the API server (kubectl create token), which takes the right to create
    serviceaccounts/token, and sent to the gateway. Nothing secret is printed, save with -o token what was handed out.

    Exit codes: 0 handed out, 1 refused or failed.
    """
    outside = ctx.ensure_object(Outside)
    namespace = kubectl.namespace()
    connection, candidates = _application(kubectl, name, namespace)
    url = (gateway_url or gateway_url_of(kubectl)).rstrip("/")
    if not url:
        raise PluginError(
            "The address of the gateway is not known.", step="Give it: --gateway-url https://lanyard.example"
        )
    place, _, short = account.rpartition("/")
    place = place or namespace
    wanted = audience or _audience(candidates, f"system:serviceaccount:{place}:{short}")
    token = _asked(kubectl, short, place, wanted)
    claims = unverified_claims(token)
    compared = {one["metadata"]["name"]: fields(one, claims, outside.now()) for one in candidates}
    form = _form(token, str(connection["metadata"]["uid"]), scope)
    reply = _posted(outside, f"{url}{PATH}", form, certificate_authority)
    tried = Attempt(connection["metadata"]["name"], namespace, claims, compared, reply)
    if output == "token":
        if reply.token:
            click.echo(reply.token.reveal())
        else:
            raise PluginError(tried.outcome(), cause=_request(reply), step=tried.step())
    elif output is not None:
        screen.data(tried.document(), output)
    else:
        _tell(tried, url, outside.now())
    if not reply.token:
        ctx.exit(ExitCode.FAILED)


def _application(kubectl: Kubectl, name: str, namespace: str) -> tuple[Object, list[Object]]:
    """The Connection, and the credentials to compare with: the one that is named, or all of the Connection."""
    try:
        named = kubectl.get(CREDENTIALS, name, namespace)
    except KubectlError as error:
        if error.refusal is not Refusal.NOT_FOUND:
            raise
        connection = kubectl.get(KIND, name, namespace)
        refuse_link(connection, "exchange")
        found = kubectl.every(CREDENTIALS, namespace, fields=f"spec.connectionRef.name={name}")
        if not found:
            raise PluginError(
                f"No FederatedCredential is there for the Connection {name}.",
                step="Create one; examples/federation/kubernetes-serviceaccount.yaml is for pods.",
            ) from None
        return connection, found
    return kubectl.get(KIND, str(named["spec"]["connectionRef"]["name"]), namespace), [named]


def _audience(candidates: list[Object], subject: str) -> str:
    """Of the credential that is meant for this subject; else of the first."""
    specs = [one["spec"] for one in candidates]
    return str(next((one for one in specs if one.get("subject") == subject), specs[0])["audience"])


def _asked(kubectl: Kubectl, account: str, namespace: str, audience: str) -> Sensitive:
    try:
        return kubectl.service_account_token(account, namespace, audience)
    except KubectlError as error:
        steps = {
            Refusal.NOT_FOUND: f"Check its name: kubectl get serviceaccounts -n {namespace}",
            Refusal.FORBIDDEN: f"Ask for the right to create serviceaccounts/token in {namespace}.",
        }
        raise PluginError(error.message, cause=error.cause, step=steps.get(error.refusal, error.step)) from None


def _form(token: Sensitive, client_id: str, scope: str | None) -> Mapping[str, str]:
    """RFC 8693 2.1."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": client_id,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": token.reveal(),
    }
    return form | ({"scope": scope} if scope else {})


def _posted(outside: Outside, url: str, form: Mapping[str, str], authorities: str | None) -> Reply:
    try:
        return outside.post(url, form, authorities)
    except (OSError, ValueError) as error:
        raise PluginError(
            f"The gateway does not answer at {url}.",
            cause=str(getattr(error, "reason", error))[:120],
            step="Check --gateway-url, and with a private CA --certificate-authority.",
        ) from None


def _tell(tried: Attempt, url: str, now: datetime) -> None:
    claims, reply = tried.claims, tried.reply
    screen.line(Glyph.FINE, "the API server made a token")
    for label, text in (("iss", claims.get("iss")), ("sub", claims.get("sub")), ("aud", " ".join(audiences(claims)))):
        screen.fact(label, str(text))
    screen.fact("exp", told(end_of(claims), now))
    for name, compared in tried.compared.items():
        fits = all(field.fits for field in compared)
        says = "fits" if fits else "does not fit"
        screen.line(Glyph.FINE if fits else Glyph.WRONG, f"the FederatedCredential {name} {says}")
        for field in compared:
            screen.fact(field.name, field.wanted, glyph=Glyph.FINE if field.fits else Glyph.WRONG)
    screen.line(Glyph.FINE if reply.token else Glyph.WRONG, f"{url}{PATH} {tried.outcome()}")
    if reply.request_id:
        screen.fact("request id", reply.request_id)
    if not reply.token:
        screen.fact("next step", tried.step(), glyph=Glyph.STEP)


def _request(reply: Reply) -> str:
    return f"request id {reply.request_id}" if reply.request_id else ""
