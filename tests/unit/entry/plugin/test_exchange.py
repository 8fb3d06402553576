"""`exchange`: whose token is asked for, what is compared, what is sent, and how each end is told; never the token."""

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from lanyard.entry.plugin.posting import LARGEST_ANSWER, Reply, post, reply
from lanyard.sensitive import Sensitive
from support.scripted_kubectl import NOW, ScriptedKubectl, connection, listed

pytestmark = pytest.mark.spec("K7", "F1", "F7", "F8")

GATEWAY = "https://lanyard.example"
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = "https://lanyard.example/sales"
HANDED_OUT = "t0ken-that-was-handed-out"
REQUEST = "c0ffee5ca1ab1e00"


def jwt(**changes: Any) -> str:
    claims = {
        "iss": ISSUER,
        "sub": "system:serviceaccount:apps:crm",
        "aud": [AUDIENCE],
        "exp": int(NOW.timestamp()) + 600,
        "kubernetes.io": {"namespace": "apps"},
        **changes,
    }
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def credential(name: str = "crm-from-apps", **spec: Any) -> dict[str, Any]:
    trusted = {"issuer": ISSUER, "audience": AUDIENCE, "subject": "system:serviceaccount:apps:crm"}
    return {
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "FederatedCredential",
        "metadata": {"name": name, "namespace": "sales"},
        "spec": {"connectionRef": {"name": "crm"}, **trusted, **spec},
    }


class Gateway:
    """Answers one thing, and keeps what was posted."""

    def __init__(self, status: int = 200, **said: Any) -> None:
        token = HANDED_OUT if status == 200 else ""
        self.answer = Reply(status, REQUEST, "5" if status == 503 else "", said, Sensitive(token))
        self.posted: list[tuple[str, Mapping[str, str], str | None]] = []

    def __call__(self, url: str, form: Mapping[str, str], authorities: str | None) -> Reply:
        self.posted.append((url, form, authorities))
        return self.answer


def fine() -> Gateway:
    return Gateway(token_type="Bearer", expires_in=3600, scope="api")


@pytest.fixture
def kubectl() -> ScriptedKubectl:
    scripted = ScriptedKubectl()
    scripted.on("get", "connections.lanyard.dev", "crm", out=connection())
    scripted.on("get", "federatedcredentials.lanyard.dev", "--field-selector=spec.connectionRef.name=crm",
                out=listed(credential()))  # fmt: skip
    scripted.on("get", "federatedcredentials.lanyard.dev", "crm-from-apps", out=credential())
    scripted.on("create", "token", out=jwt())
    return scripted


def exchange(kubectl: ScriptedKubectl, gateway: Any, *more: str, name: str = "crm") -> Any:
    arguments = ("exchange", name, "--as-serviceaccount", "apps/crm", "--gateway-url", GATEWAY, *more)
    return kubectl.lanyard(*arguments, post=gateway)


@pytest.mark.parametrize("name", ["crm", "crm-from-apps"], ids=["a Connection", "a FederatedCredential"])
def test_a_token_of_the_service_account_is_sent_for_the_connection(kubectl: ScriptedKubectl, name: str) -> None:
    gateway = fine()
    told = exchange(kubectl, gateway, name=name)
    assert told.exit_code == 0, told.stderr
    asked = next(words for words in kubectl.asked if "token" in words)
    assert asked == ["create", "token", "crm", "--namespace=apps", f"--audience={AUDIENCE}", "--duration=10m"]
    ((url, form, authorities),) = gateway.posted
    assert (url, authorities) == (f"{GATEWAY}/oauth/token", None)
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": "5d7a",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": jwt(),
    }


def test_every_step_is_shown_and_no_token(kubectl: ScriptedKubectl) -> None:
    told = exchange(kubectl, fine())
    assert told.stdout.splitlines() == [
        "✔ the API server made a token",
        f"  iss          {ISSUER}",
        "  sub          system:serviceaccount:apps:crm",
        f"  aud          {AUDIENCE}",
        "  exp          09:30 UTC (in 10 min)",
        "✔ the FederatedCredential crm-from-apps fits",
        f"✔ issuer       {ISSUER}",
        "✔ subject      system:serviceaccount:apps:crm",
        f"✔ audience     {AUDIENCE}",
        f"✔ {GATEWAY}/oauth/token handed out a token of crm: Bearer, expires in 3600 s, scope api",
        f"  request id   {REQUEST}",
    ]


@pytest.mark.parametrize("form", [(), ("-o", "json"), ("-o", "yaml")], ids=["for a person", "json", "yaml"])
@pytest.mark.parametrize("gateway", [fine(), Gateway(400, error="invalid_request")], ids=["handed out", "refused"])
def test_no_token_is_printed_unless_it_is_asked_for(
    kubectl: ScriptedKubectl, gateway: Gateway, form: tuple[str, ...]
) -> None:
    told = exchange(kubectl, gateway, *form)
    assert HANDED_OUT not in told.output
    assert jwt().split(".")[1] not in told.output


def test_the_token_alone_is_printed_when_it_is_asked_for(kubectl: ScriptedKubectl) -> None:
    assert exchange(kubectl, fine(), "-o", "token").stdout == f"{HANDED_OUT}\n"
    refused = exchange(kubectl, Gateway(400, error="invalid_request", error_description="no"), "-o", "token")
    assert (refused.stdout, refused.exit_code) == ("", 1)
    assert "refused: 400 invalid_request: no" in refused.stderr
    assert REQUEST in refused.stderr


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        pytest.param({"issuer": f"{ISSUER}/"}, "issuer", id="a slash more"),
        pytest.param({"subject": "system:serviceaccount:apps:*"}, "subject", id="a star that stands for nothing"),
        pytest.param({"audience": "https://other.example"}, "audience", id="another audience"),
        pytest.param(
            {"claims": [{"claim": "/kubernetes.io/namespace", "equals": "sales"}]},
            "claim /kubernetes.io/namespace",
            id="a rule",
        ),
        pytest.param({"suspend": True}, "suspend", id="suspended"),
        pytest.param({"expiresAt": "2026-01-01T00:00:00Z"}, "expiresAt", id="expired"),
    ],
)
def test_what_does_not_fit_is_named_with_one_next_step(
    kubectl: ScriptedKubectl, spec: dict[str, Any], wrong: str
) -> None:
    kubectl.on("get", "federatedcredentials.lanyard.dev", "crm-from-apps", out=credential(**spec))
    told = exchange(kubectl, Gateway(400, error="invalid_request"), name="crm-from-apps")
    assert told.exit_code == 1
    assert "✗ the FederatedCredential crm-from-apps does not fit" in told.stdout
    assert f"✗ {wrong}" in told.stdout
    step = f"Bring {wrong} of the FederatedCredential crm-from-apps and the token together, byte for byte."
    assert told.stdout.splitlines()[-1] == f"► next step    {step}"


def test_of_several_the_one_that_differs_least_is_named(kubectl: ScriptedKubectl) -> None:
    far = credential("far", issuer="https://other.example", subject="other")
    near = credential("near", subject="system:serviceaccount:apps:crm2")
    kubectl.on("get", "federatedcredentials.lanyard.dev", "--field-selector=spec.connectionRef.name=crm",
               out=listed(far, near))  # fmt: skip
    told = exchange(kubectl, Gateway(400, error="invalid_request"))
    assert "Bring subject of the FederatedCredential near and the token together" in told.stdout


def test_the_audience_is_that_of_the_credential_for_this_service_account(kubectl: ScriptedKubectl) -> None:
    mine = credential("mine", audience="https://mine.example")
    kubectl.on("get", "federatedcredentials.lanyard.dev", "--field-selector=spec.connectionRef.name=crm",
               out=listed(credential("other", subject="repo:acme/crm"), mine))  # fmt: skip
    exchange(kubectl, fine())
    assert any("--audience=https://mine.example" in words for words in kubectl.asked)
    exchange(kubectl, fine(), "--audience", "https://given.example")
    assert any("--audience=https://given.example" in words for words in kubectl.asked)


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        (Gateway(503, error="temporarily_unavailable"), "Try again in 5 s; kubectl describe fedcred crm-from-apps"),
        (Gateway(400, error="unauthorized_client"), "Set spec.suspend of the Connection crm to false."),
        (Gateway(400, error="invalid_scope"), "See what it was granted: kubectl lanyard status crm"),
        (Gateway(400, error="invalid_request"), f"Look for {REQUEST} in the gateway's log: kubectl logs"),
    ],
    ids=["not now", "suspended", "scopes", "what only the log knows"],
)
def test_a_refusal_of_what_fits_has_a_next_step_of_its_own(
    kubectl: ScriptedKubectl, answer: Gateway, step: str
) -> None:
    told = exchange(kubectl, answer)
    assert told.exit_code == 1
    assert f"► next step    {step}" in told.stdout


def test_a_script_gets_what_a_person_sees(kubectl: ScriptedKubectl) -> None:
    kubectl.on("get", "federatedcredentials.lanyard.dev", "crm-from-apps", out=credential(audience="https://o.example"))
    told = exchange(kubectl, Gateway(400, error="invalid_request"), "-o", "json", name="crm-from-apps")
    assert told.exit_code == 1
    assert json.loads(told.stdout) == {
        "namespace": "sales",
        "connection": "crm",
        "token": {
            "iss": ISSUER,
            "sub": "system:serviceaccount:apps:crm",
            "aud": [AUDIENCE],
            "exp": "2026-11-25T09:30:00Z",
        },
        "credentials": [{"name": "crm-from-apps", "fits": False, "differs": ["audience"]}],
        "handedOut": False,
        "answer": {"status": 400, "requestId": REQUEST, "error": "invalid_request"},
    }


def test_the_address_is_that_of_the_connections_or_has_to_be_given(kubectl: ScriptedKubectl) -> None:
    page = {"authorizationURL": "https://gateway.example/connect/sales/other"}
    kubectl.on("get", "connections.lanyard.dev", "--namespace=sales", out=listed(connection("other", status=page)))
    kubectl.on("get", "connections.lanyard.dev", "crm", out=connection())
    gateway = fine()
    assert kubectl.lanyard("exchange", "crm", "--as-serviceaccount", "crm", post=gateway).exit_code == 0
    assert gateway.posted[0][0] == "https://gateway.example/oauth/token"
    assert any("--namespace=sales" in words for words in kubectl.asked if "token" in words)
    kubectl.on("get", "connections.lanyard.dev", "--namespace=sales", out=listed())
    kubectl.on("get", "connections.lanyard.dev", "crm", out=connection())
    told = kubectl.lanyard("exchange", "crm", "--as-serviceaccount", "crm", post=gateway)
    assert told.exit_code == 1
    assert "Give it: --gateway-url" in told.stderr


def test_what_stands_in_the_way_is_told_with_one_next_step(kubectl: ScriptedKubectl) -> None:
    silent = kubectl.lanyard("exchange", "crm", "--as-serviceaccount", "crm", "--gateway-url", GATEWAY)
    assert "The gateway does not answer at https://lanyard.example/oauth/token." in silent.stderr
    # As kubectl 1.37.2 prints it.
    kubectl.on("create", "token", err='error: failed to create token: serviceaccounts "crm" is forbidden: User "ann"')
    refused = exchange(kubectl, fine())
    assert "you are not allowed to" in refused.stderr
    assert "Ask for the right to create serviceaccounts/token in apps." in refused.stderr
    kubectl.on("create", "token", out="not a jwt")
    assert "What kubectl printed is no JWT." in exchange(kubectl, fine()).stderr
    kubectl.on("get", "federatedcredentials.lanyard.dev", "--field-selector=spec.connectionRef.name=crm", out=listed())
    nobody = exchange(kubectl, fine())
    assert "No FederatedCredential is there for the Connection crm." in nobody.stderr
    assert nobody.exit_code == 1


def read(status: int, body: bytes, **headers: str) -> Reply:
    return reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, io.BytesIO(body))


def test_an_answer_is_read_without_its_token() -> None:
    body = b'{"access_token": "secret", "token_type": "Bearer", "expires_in": 60}'
    found = read(200, body, x_request_id=REQUEST)
    assert found.token.reveal() == "secret"
    assert found.said == {"token_type": "Bearer", "expires_in": 60}
    assert found.request_id == REQUEST
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b'"text"', b"\xff", b'{"a": "' + b"x" * LARGEST_ANSWER],
    ids=["nothing", "a page", "a list", "a text", "no UTF-8", "too much"],
)
def test_what_is_no_answer_of_a_token_endpoint_says_nothing(body: bytes) -> None:
    found = read(502, body)
    assert (dict(found.said), bool(found.token)) == ({}, False)


@pytest.mark.parametrize("url", ["http://lanyard.example/oauth/token", "file:///etc/passwd", "lanyard.example"])
def test_a_jwt_is_sent_over_tls_only(url: str) -> None:
    with pytest.raises(ValueError, match="not an https address"):
        post(url, {"subject_token": "x"}, None)
