"""Whatever is sent to the token endpoint gets the error of the standard, tells nothing, and costs no fetch.

The audit line under the request id says at which step it ended: a flaw of the shape and a client or issuer that nobody
trusts come before any signature.
"""

import json
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from lanyard.api.meta import REFETCH_ANNOTATION
from support.cluster import Cluster
from support.consenting import SECRETS
from support.federating import (
    ACCESS_TOKEN_TYPE,
    JWT_BEARER,
    OAUTH_PATH,
    REFERENCE_PATH,
    TOKEN_EXCHANGE,
    FederationTeam,
)
from support.gateway import GatewayProcess
from support.issuing import AUDIENCE, SUBJECT, Fetches, StaticIssuer
from support.jwts import IssuerKey, b64url, jws, key_pair, part, unsigned, with_secret
from support.signing import pem_of_public

pytestmark = pytest.mark.spec("F8")
LARGEST = 8192
FORM = "application/x-www-form-urlencoded"
STRANGER = "stranger-kid"
ECHOES = (SUBJECT, AUDIENCE, STRANGER)


@dataclass
class Standing:
    """One team that stands for all tests of this file, beside a neighbour that trusts the same issuer."""

    team: FederationTeam
    neighbour: FederationTeam
    issuer: StaticIssuer
    key_set: str


@pytest.fixture(scope="module")
def standing(kubernetes: Any, environment: Any, gateway: GatewayProcess) -> Iterator[Standing]:
    with kubernetes.client() as client, StaticIssuer() as issuer:
        teams = []
        for _ in range(2):
            name = f"t-{uuid.uuid4().hex[:8]}"
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            assert client.post("/api/v1/namespaces", json=namespace).status_code == 201
            teams.append(FederationTeam(Cluster(client, name), environment, gateway, issuer))
        team, neighbour = teams
        team.mint(scopes=["read", "write"])
        team.trust()
        team.trust("slash", issuer=f"{issuer.url}/", subject="slashed")
        neighbour.trust(subject="neighbour")
        key_set = team.publish_keys()
        team.until_taken(issuer.token())
        neighbour.until_taken(issuer.token(sub="neighbour"))
        yield Standing(team, neighbour, issuer, key_set)
        for one in teams:
            one.close()
            client.delete(f"/api/v1/namespaces/{one.name}")


@pytest.fixture(autouse=True)
def _nothing_is_fetched(standing: Standing) -> Iterator[None]:
    standing.issuer.forget()
    yield
    assert standing.issuer.fetches == Fetches(0, 0), "a gateway asked an issuer"


def why(team: FederationTeam, answer: httpx.Response, seconds: float = 5.0) -> str:
    """Where it ended, as the audit log has it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in team.gateway.lines():
            if line.get("request_id") == answer.headers["X-Request-Id"] and line.get("action") == "exchange":
                return str(line.get("why", ""))
        time.sleep(0.05)
    raise AssertionError("no audit line for this request")


def assert_refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    """RFC 6749 section 5.2, and nothing of what was sent."""
    assert (answer.status_code, answer.json().get("error")) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("application/json")
    told = answer.json().get("error_description", "")
    assert all(letter in TOLD for letter in told), told
    assert not [text for text in ECHOES if text in answer.text]


# RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E
TOLD = frozenset(chr(code) for code in range(0x20, 0x7F)) - {'"', "\\"}


# JWTs that are wrong


def padded(issuer: StaticIssuer, size: int) -> str:
    """A good JWT of exactly so many bytes, give or take what base64 cannot do."""
    short = issuer.token(pad="")
    filler = (size - len(short)) * 3 // 4
    while len(token := issuer.token(pad="x" * filler)) > size:
        filler -= 1
    return token


def signed(issuer: StaticIssuer, payload: bytes, **header: Any) -> str:
    return issuer.key.token(payload, **header)


def with_text(issuer: StaticIssuer, insert: bytes) -> bytes:
    """Good claims with something more at the end of the object."""
    return json.dumps(issuer.claims()).encode()[:-1] + insert + b"}"


def foreign(issuer: StaticIssuer, key_id: str) -> IssuerKey:
    return IssuerKey(key_id, "RS256", key_pair("RS256", 77))


def ahead(seconds: int) -> int:
    return int(time.time()) + seconds


Make = Callable[[StaticIssuer], str]
WRONG: dict[str, tuple[Make, str]] = {
    "it is empty": (lambda issuer: " ", "not_three_parts"),
    "it is a word": (lambda issuer: "secret", "not_three_parts"),
    "it has five parts": (lambda issuer: issuer.token() + ".a.b", "not_three_parts"),
    "it has thousands of parts": (lambda issuer: "." * 8000, "not_three_parts"),
    "it is a byte too long": (lambda issuer: "a" * (LARGEST + 1), "too_large"),
    "it is good and too long": (lambda issuer: issuer.token(pad="x" * LARGEST), "too_large"),
    "a part is padded": (lambda issuer: issuer.token().replace(".", "=.", 1), "not_base64url"),
    "a part is plain base64": (lambda issuer: "+/+/." + issuer.token().split(".", 1)[1], "not_base64url"),
    "the header is no JSON": (lambda issuer: f"{b64url(b'{')}.{part(issuer.claims())}.AA", "header_malformed"),
    "the header is a list": (lambda issuer: f"{b64url(b'[]')}.{part(issuer.claims())}.AA", "header_malformed"),
    "the header says a thing twice": (
        lambda issuer: jws(b'{"alg":"RS256","alg":"RS256"}', issuer.claims(), issuer.key.sign),
        "header_malformed",
    ),
    "there is a NUL in the header": (
        lambda issuer: issuer.token(header={"kid": "key\0"}),
        "header_malformed",
    ),
    "there is no signature": (
        lambda issuer: jws({"alg": "none"}, issuer.claims(), unsigned),
        "algorithm_refused",
    ),
    "there is no signature and a key": (
        lambda issuer: jws(issuer.key.header(alg="none"), issuer.claims(), unsigned),
        "algorithm_refused",
    ),
    "it is signed with the public key as a secret": (
        lambda issuer: jws(
            issuer.key.header(alg="HS256"), issuer.claims(), with_secret(pem_of_public(issuer.key.private).encode())
        ),
        "algorithm_refused",
    ),
    "its algorithm is written in lower case": (
        lambda issuer: issuer.token(header={"alg": "rs256"}),
        "algorithm_refused",
    ),
    "it has no algorithm": (lambda issuer: issuer.token(header={"alg": None}), "algorithm_refused"),
    "it asks for an extension": (
        lambda issuer: issuer.token(header={"crit": ["exp"], "exp": 1}),
        "extension_refused",
    ),
    "it is a proof of something else": (
        lambda issuer: issuer.token(header={"typ": "dpop+jwt"}),
        "type_refused",
    ),
    "the payload is no UTF-8": (lambda issuer: signed(issuer, b"\xff\xfe{}"), "payload_malformed"),
    "the payload is UTF-16": (
        lambda issuer: signed(issuer, json.dumps(issuer.claims()).encode("utf-16")),
        "payload_malformed",
    ),
    "the payload is as deep as it goes": (
        lambda issuer: signed(issuer, with_text(issuer, b',"x":' + b"[" * 2500)),
        "payload_malformed",
    ),
    "the payload is deep and well formed": (
        lambda issuer: signed(issuer, with_text(issuer, b',"x":' + b"[" * 1200 + b"]" * 1200)),
        "payload_malformed",
    ),
    "the payload names the subject twice": (
        lambda issuer: signed(issuer, with_text(issuer, b',"sub":"workload:crm"')),
        "payload_malformed",
    ),
    "there is a NUL in the subject": (lambda issuer: issuer.token(sub=f"{SUBJECT}\0"), "subject_invalid"),
    "it has no issuer": (lambda issuer: issuer.token(iss=None), "issuer_invalid"),
    "it has no subject": (lambda issuer: issuer.token(sub=None), "subject_invalid"),
    "it has no audience": (lambda issuer: issuer.token(aud=None), "audience_invalid"),
    "its audience is a number among texts": (lambda issuer: issuer.token(aud=[AUDIENCE, 7]), "audience_invalid"),
    "it never expires": (lambda issuer: issuer.token(exp=None), "expiry_invalid"),
    "its expiry is a text": (lambda issuer: issuer.token(exp=str(ahead(600))), "expiry_invalid"),
    "its expiry is true": (lambda issuer: issuer.token(exp=True), "expiry_invalid"),
    "its expiry is beyond all time": (lambda issuer: issuer.token(exp=1e300), "expiry_invalid"),
    "its issuer has one slash more": (
        lambda issuer: issuer.token(iss=f"{issuer.url}/"),
        "no credential fits",
    ),
    "its issuer has one slash less": (lambda issuer: issuer.token(sub="slashed"), "no credential fits"),
    "its issuer is somebody else": (
        lambda issuer: issuer.token(iss="https://169.254.169.254"),
        "no credential fits",
    ),
    "its subject is somebody else": (lambda issuer: issuer.token(sub="workload:crm2"), "no credential fits"),
    "it is for somebody else": (lambda issuer: issuer.token(aud="https://elsewhere"), "no credential fits"),
    "it is for others": (lambda issuer: issuer.token(aud=["https://a", "https://b"]), "no credential fits"),
    "somebody else signed it": (
        lambda issuer: foreign(issuer, issuer.key.key_id).token(issuer.claims()),
        "signature_wrong",
    ),
    "it brings a key of its own": (
        lambda issuer: foreign(issuer, issuer.key.key_id).token(
            issuer.claims(), jwk=foreign(issuer, issuer.key.key_id).jwk()
        ),
        "signature_wrong",
    ),
    "it says where its key is": (
        lambda issuer: foreign(issuer, issuer.key.key_id).token(
            issuer.claims(), jku=issuer.keys_url, x5u=issuer.keys_url
        ),
        "signature_wrong",
    ),
    "its signature is cut off": (lambda issuer: issuer.token().rpartition(".")[0] + ".", "signature_wrong"),
    "its claims were changed": (
        lambda issuer: swapped(issuer.token(), issuer.claims(admin=True)),
        "signature_wrong",
    ),
    "it is signed by another algorithm than its key's": (
        lambda issuer: IssuerKey(issuer.key.key_id, "PS256", issuer.key.private).token(issuer.claims()),
        "key_unfit",
    ),
    "it has expired": (lambda issuer: issuer.token(exp=ahead(-70), iat=ahead(-600), nbf=None), "expired"),
    "it is not valid yet": (lambda issuer: issuer.token(nbf=ahead(90)), "not_yet_valid"),
    "it was issued tomorrow": (lambda issuer: issuer.token(iat=ahead(90), nbf=None), "not_yet_valid"),
    "it lives for days": (lambda issuer: issuer.token(exp=ahead(3 * 86400)), "lives_too_long"),
}


def swapped(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{part(claims)}.{signature}"


@pytest.mark.parametrize("case", WRONG)
def test_a_jwt_is_refused_because(case: str, standing: Standing) -> None:
    make, reason = WRONG[case]
    team, token = standing.team, make(standing.issuer)
    answer = team.present(token)
    assert_refused(answer, "invalid_client")
    assert why(team, answer) == reason
    assert_refused(team.present_as_grant(token), "invalid_grant")
    assert_refused(team.present_as_subject(token), "invalid_request")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": [AUDIENCE]}, id="its audience is a list"),
        pytest.param({"aud": ["https://elsewhere", AUDIENCE]}, id="it is for others too"),
        pytest.param({"iat": None, "nbf": None, "jti": None}, id="it says no more than it must"),
        pytest.param({"exp": 2_000_000_000.5, "iat": 1_999_999_000}, id="its moments are fractions"),
    ],
)
def test_a_jwt_is_taken_although(claims: dict[str, Any], standing: Standing) -> None:
    if "exp" in claims:
        claims = {"exp": ahead(60) + 0.5, "iat": ahead(-1) + 0.25}
    assert standing.team.present(standing.issuer.token(**claims)).status_code == 200


def test_a_jwt_of_the_largest_size_is_taken(standing: Standing) -> None:
    token = padded(standing.issuer, LARGEST)
    assert LARGEST - 3 <= len(token) <= LARGEST
    assert standing.team.present(token).status_code == 200


# forms that are wrong


@dataclass(frozen=True)
class Form:
    """Changes to a good form: None leaves a field out, a list repeats it."""

    error: str = "invalid_request"
    status: int = 400
    path: str = REFERENCE_PATH
    fields: dict[str, Any] = field(default_factory=dict)


FORMS = {
    "there is no grant type": Form(fields={"grant_type": None}),
    "the grant type is unknown": Form("unsupported_grant_type", fields={"grant_type": "password"}),
    "the grant type is there twice": Form(fields={"grant_type": ["client_credentials"] * 2}),
    "there is no assertion": Form(fields={"client_assertion": None}),
    "the assertion is empty": Form(fields={"client_assertion": ""}),
    "the type of the assertion is missing": Form(fields={"client_assertion_type": None}),
    "the type of the assertion is another": Form(fields={"client_assertion_type": "urn:x:saml2-bearer"}),
    "the type of the assertion is there twice": Form(fields={"client_assertion_type": ["a", "b"]}),
    "the client is there twice": Form(fields={"client_id": ["a", "b"]}),
    "the scope is there twice": Form(fields={"scope": ["read", "write"]}),
    "there is a secret beside the assertion": Form(fields={"client_secret": "s3cret"}),
    "there is a grant beside the assertion": Form(fields={"assertion": "a.b.c"}),
    "the client is unknown": Form("invalid_client", fields={"client_id": str(uuid.uuid4())}),
    "the client is no uid": Form("invalid_client", fields={"client_id": "crm\0\n"}),
    "the client is as long as a body": Form("invalid_client", fields={"client_id": "x" * 20_000}),
    "the scope is not allowed": Form("invalid_scope", fields={"scope": "read admin"}),
    "the scope is malformed": Form("invalid_scope", fields={"scope": "read  write"}),
    "the scope has a quote": Form("invalid_scope", fields={"scope": 'rea"d'}),
    "the target is not allowed": Form("invalid_target", fields={"resource": "https://bank.example"}),
    "there are two targets": Form("invalid_target", fields={"audience": ["https://a", "https://b"]}),
    "there are too many fields": Form(fields={f"f{number}": "x" for number in range(80)}),
    "an actor comes along": Form(path=OAUTH_PATH, fields={"grant_type": TOKEN_EXCHANGE, "actor_token": "a.b.c"}),
    "another type of token is asked for": Form(
        path=OAUTH_PATH,
        fields={"grant_type": TOKEN_EXCHANGE, "requested_token_type": "urn:ietf:params:oauth:token-type:saml2"},
    ),
    "the type of the subject token is missing": Form(
        path=OAUTH_PATH, fields={"grant_type": TOKEN_EXCHANGE, "subject_token_type": None}
    ),
    "the type of the subject token is another": Form(
        path=OAUTH_PATH,
        fields={"grant_type": TOKEN_EXCHANGE, "subject_token_type": "urn:ietf:params:oauth:token-type:saml2"},
    ),
    "there is no grant": Form(path=OAUTH_PATH, fields={"grant_type": JWT_BEARER, "assertion": None}),
}


@pytest.mark.parametrize("case", FORMS)
def test_a_form_is_refused_because(case: str, standing: Standing) -> None:
    wrong, team, token = FORMS[case], standing.team, standing.issuer.token()
    match wrong.fields.get("grant_type"):
        case "urn:ietf:params:oauth:grant-type:token-exchange":
            form = team.exchange_form(token, **wrong.fields)
        case "urn:ietf:params:oauth:grant-type:jwt-bearer":
            form = team.bearer_form(token, **wrong.fields)
        case _:
            form = team.reference_form(token, **wrong.fields)
    assert_refused(team.exchange(form, path=wrong.path), wrong.error, wrong.status)


def test_another_tenants_client_is_as_unknown_as_one_that_is_not_there(standing: Standing) -> None:
    team, token = standing.team, standing.issuer.token()
    other = team.present(token, client_id=standing.neighbour.client_id())
    nobody = team.present(token, client_id=str(uuid.uuid4()))
    assert_refused(other, "invalid_client")
    assert other.json() == nobody.json()
    assert standing.neighbour.present(standing.issuer.token(sub="neighbour")).status_code == 200


def test_a_client_is_not_found_in_another_tenants_place(standing: Standing) -> None:
    team = standing.team
    form = team.reference_form(standing.issuer.token(), scope="api://lanyard/.default")
    assert team.exchange(form, path=team.entra_path).status_code == 200
    answer = team.exchange(form, path=standing.neighbour.entra_path)
    assert_refused(answer, "invalid_client")
    assert why(team, answer) == "client of another tenant"


def test_forty_fields_that_mean_nothing_are_ignored(standing: Standing) -> None:
    more = {f"x-client-{number}": "1" for number in range(40)}
    assert standing.team.present(standing.issuer.token(), **more).status_code == 200


def test_the_client_need_not_be_named_where_only_one_is_trusted(standing: Standing) -> None:
    team, token = standing.team, standing.issuer.token()
    assert team.present(token, client_id=None).status_code == 200
    named = team.present_as_subject(token, client_id=None, audience=team.client_id())
    assert named.json()["issued_token_type"] == ACCESS_TOKEN_TYPE


# requests that are wrong


def send(team: FederationTeam, body: bytes | None = None, method: str = "POST", **headers: str) -> httpx.Response:
    given = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
    return team.client.request(method, team.url(), content=body, headers=given)


def good(standing: Standing) -> bytes:
    form = standing.team.reference_form(standing.issuer.token())
    return urlencode({name: value for name, value in form.items() if value is not None}).encode()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_taken(method: str, standing: Standing) -> None:
    answer = send(standing.team, good(standing), method)
    assert_refused(answer, "invalid_request", 405)
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/json", id="JSON"),
        pytest.param("text/plain", id="text"),
        pytest.param("multipart/form-data; boundary=x", id="a form of the other kind"),
        pytest.param(f"{FORM}; charset=utf-16", id="a form in UTF-16"),
        pytest.param(f"{FORM}; charset=latin-1", id="a form in Latin-1"),
        pytest.param("", id="nothing"),
        pytest.param("\u00ff/\u00ff;;=", id="nonsense"),
    ],
)
def test_what_is_no_form_in_utf_8_is_refused(content_type: str, standing: Standing) -> None:
    answer = standing.team.client.post(
        standing.team.url(), content=good(standing), headers={"Content-Type": content_type.encode("latin-1")}
    )
    assert_refused(answer, "invalid_request")


def test_a_form_may_say_that_it_is_in_utf_8(standing: Standing) -> None:
    assert send(standing.team, good(standing), Content_Type=f"{FORM}; charset=UTF-8").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="it is empty"),
        pytest.param(b"&&&&", id="it is nothing but separators"),
        pytest.param(b"grant_type", id="a field has no value"),
        pytest.param(b"\xff\xfe=1", id="it is no UTF-8"),
        pytest.param(b"grant_type=%FF%FE", id="a value is no UTF-8"),
        pytest.param(b"grant_type=%C0%80", id="a value is an overlong NUL"),
        pytest.param(b"\0" * 1000, id="it is NULs"),
        pytest.param(b"{" * 5000, id="it is braces"),
        pytest.param(b"a=" + b"%" * 30_000, id="it is percent signs"),
    ],
)
def test_a_body_is_refused_because(body: bytes, standing: Standing) -> None:
    answer = send(standing.team, body)
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_request", "unsupported_grant_type"}


def test_a_body_of_a_megabyte_is_refused(standing: Standing) -> None:
    body = good(standing) + b"&x=" + b"x" * 1_000_000
    assert_refused(send(standing.team, body), "invalid_request", 413)


def test_a_body_of_a_megabyte_that_comes_in_pieces_is_refused(standing: Standing) -> None:
    def pieces() -> Iterator[bytes]:
        yield good(standing)
        for _ in range(100):
            yield b"&x=" + b"x" * 10_000

    try:
        answer = standing.team.client.post(standing.team.url(), content=pieces(), headers={"Content-Type": FORM})
    except httpx.WriteError:
        return  # the connection was closed while it was still being sent
    assert answer.status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(standing: Standing) -> None:
    place = urlsplit(standing.team.url())
    context = ssl.create_default_context(cafile=str(standing.team.ca_path))
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: {FORM}\r\nContent-Length: 100\r\n\r\n"
    assert place.hostname is not None
    with (
        socket.create_connection((place.hostname, place.port or 443), timeout=15) as plain,
        context.wrap_socket(plain, server_hostname=place.hostname) as connection,
    ):
        began = time.monotonic()
        connection.sendall(head.encode() + b"grant_type=client")
        answer = connection.recv(4096)
        assert time.monotonic() - began < 10
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_compressed_body_is_refused(standing: Standing) -> None:
    assert_refused(send(standing.team, good(standing), Content_Encoding="gzip"), "invalid_request")


@pytest.mark.parametrize("scheme", ["Basic Y3JtOnNlY3JldA==", "Bearer abc"])
def test_a_client_that_authenticates_by_the_header_too_is_told_by_the_header(scheme: str, standing: Standing) -> None:
    """RFC 6749 sections 2.3 and 5.2."""
    answer = send(standing.team, good(standing), Authorization=scheme)
    assert_refused(answer, "invalid_client", 401)
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


# keys that are wrong


def test_a_flood_of_unknown_key_ids_asks_for_newer_keys_once(standing: Standing) -> None:
    team, issuer = standing.team, standing.issuer
    path = f"{SECRETS}/{standing.key_set}"
    stranger = foreign(issuer, STRANGER)
    began = time.monotonic()
    for number in range(60):
        answer = team.present(stranger.token(issuer.claims(), kid=f"{STRANGER}-{number}"))
        assert_refused(answer, "invalid_client")
        assert why(team, answer) == "key_unknown"
        assert number > 0 or team.cluster.client.get(path).json()["metadata"]["annotations"][REFETCH_ANNOTATION]
        asked = team.cluster.client.get(path).json()["metadata"]
        if number == 0:
            first = asked
        assert asked["resourceVersion"] == first["resourceVersion"]
    assert time.monotonic() - began < 20
    assert team.present(issuer.token()).status_code == 200


def test_a_wrong_signature_under_a_known_key_id_asks_for_nothing(standing: Standing) -> None:
    team, issuer = standing.team, standing.issuer
    path = f"{SECRETS}/{standing.key_set}"
    before = team.cluster.client.get(path).json()["metadata"]["resourceVersion"]
    for _ in range(5):
        assert_refused(team.present(foreign(issuer, issuer.key.key_id).token(issuer.claims())), "invalid_client")
    assert team.cluster.client.get(path).json()["metadata"]["resourceVersion"] == before


def test_a_set_of_a_thousand_keys_is_not_used(standing: Standing) -> None:
    team = standing.team
    with StaticIssuer(algorithm="ES256") as crowded:
        team.trust("crowded", issuer=crowded.url, subject="crowded")
        kept = crowded.key
        for number in range(999):
            crowded.keys[f"copy-{number}"] = IssuerKey(f"copy-{number}", "ES256", kept.private)
        team.publish_keys(crowded)
        token = crowded.token(sub="crowded", key=kept)
        answer = FederationTeam.until(lambda: team.present(token), lambda seen: why(team, seen) != "no credential fits")
        assert_refused(answer, "temporarily_unavailable", 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert crowded.fetches == Fetches(0, 0)
    team.distrust("crowded")


def test_keys_that_were_never_fetched_are_waited_for(standing: Standing) -> None:
    team = standing.team
    with StaticIssuer() as silent:
        team.trust("silent", issuer=silent.url, subject="silent")
        token = silent.token(sub="silent")
        answer = FederationTeam.until(lambda: team.present(token), lambda seen: why(team, seen) != "no credential fits")
        assert_refused(answer, "temporarily_unavailable", 503)
        assert "Retry-After" in answer.headers
        assert silent.fetches == Fetches(0, 0)
    team.distrust("silent")


def test_of_two_credentials_that_match_the_older_one_is_used(standing: Standing) -> None:
    team, token = standing.team, standing.issuer.token(sub="twice")
    older = team.trust("older", subject="twice")["metadata"]["uid"]
    time.sleep(1.1)  # creation times have whole seconds
    team.trust("newer", subject="twice")
    team.until_taken(token)
    answer = team.present(token)
    request = answer.headers["X-Request-Id"]
    assert not why(team, answer)
    (line,) = [one for one in team.gateway.lines() if one.get("request_id") == request]
    assert line["credential"] == older
    for name in ("older", "newer"):
        team.distrust(name)
