"""JWTs that are the grant (RFC 7523 2.1) or the bearer of the request (GitHub), and certificates beside the key."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lanyard.connectors.selection import Plan, plan_for
from lanyard.errors import ProviderError, SourceError
from lanyard.oauth.grants import token_request
from lanyard.oauth.responses import parse
from lanyard.oauth.wire import WireRequest
from lanyard.sensitive import Sensitive
from support.plans import TOKEN_URL, client_plan, connection, connector, device_plan, token_method

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def certificate(key: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def plan_of(assertion: dict[str, Any], method: str = "jwtBearer", **members: Any) -> Plan:
    parameters = members.pop("parameters", {})
    given = members.pop("given", {})
    described = token_method(method, assertion=assertion, clientAuth={"methods": ["none"]}, **members)
    spec = connection("privateKey", parameters=given, clientId="app-1", method=method)
    return plan_for(spec, connector(described, parameters=parameters))


def ask(plan: Plan, key: Any = RSA, **more: str) -> WireRequest:
    credentials = {"privateKey": Sensitive(pem(key))} | {name: Sensitive(value) for name, value in more.items()}
    return token_request(plan, credentials, client_id="app-1", username=None, key_id="kid-1", now=NOW, jti="jti-1")


def form(request: WireRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def claims(token: str, key: Any = RSA) -> dict[str, Any]:
    options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
    found: dict[str, Any] = jwt.decode(token, key.public_key(), algorithms=["RS256", "PS256", "ES256"], options=options)
    return found


@pytest.mark.spec("C5", "C16")
def test_google_s_form_has_the_scope_in_the_claims_and_no_client_id() -> None:
    plan = plan_of(
        {"scopeClaim": True, "lifetime": "1h"}, scopes={"default": ["a", "b"]}, tokenRequest={"omit": ["client_id"]}
    )
    sent = form(ask(plan))
    assert sent.keys() == {"grant_type", "assertion"}
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    now = int(NOW.timestamp())
    assert claims(sent["assertion"]) == {
        "iss": "app-1", "aud": TOKEN_URL, "scope": "a b", "iat": now, "exp": now + 3600, "jti": "jti-1",
    }  # fmt: skip


@pytest.mark.spec("C16")
def test_templates_fill_subject_audience_and_claims() -> None:
    plan = plan_of(
        {
            "subject": "{user}",
            "audience": "https://login.salesforce.com",
            "claims": {"box_sub_type": "enterprise", "region": "{region}", "exp": "9", "iss": "evil"},
        },
        parameters={"user": {}, "region": {"required": False}},
        given={"user": "ada@example.com"},
    )
    found = claims(form(ask(plan))["assertion"])
    assert (found["iss"], found["sub"], found["aud"]) == ("app-1", "ada@example.com", "https://login.salesforce.com")
    assert found["exp"] == int((NOW + timedelta(minutes=5)).timestamp())
    assert (found["box_sub_type"], "region" in found) == ("enterprise", False)


@pytest.mark.parametrize(
    ("key", "algorithms", "used"),
    [(RSA, ["RS256"], "RS256"), (RSA, ["PS256", "RS256"], "PS256"), (EC, ["PS256", "ES256"], "ES256")],
)
def test_the_first_algorithm_that_the_key_can_do_is_used(key: Any, algorithms: list[str], used: str) -> None:
    token = form(ask(plan_of({"algorithms": algorithms}), key))["assertion"]
    assert jwt.get_unverified_header(token)["alg"] == used
    assert jwt.get_unverified_header(token)["kid"] == "kid-1"


def test_a_life_beyond_an_hour_is_not_written() -> None:
    found = claims(form(ask(plan_of({"lifetime": "48h"})))["assertion"])
    assert found["exp"] - found["iat"] == 3600


@pytest.mark.spec("C5", "C16")
def test_github_s_jwt_is_the_bearer_of_the_request_for_the_installation_s_token() -> None:
    plan = plan_of(
        {"algorithms": ["RS256"], "placement": "bearer", "lifetime": "9m"},
        "githubApp",
        tokenRequest={"url": "https://api.github.com/app/installations/{installation}/access_tokens", "format": "json"},
        parameters={"installation": {"type": "integer"}},
        given={"installation": "42"},
    )
    request = ask(plan)
    assert request.url == "https://api.github.com/app/installations/42/access_tokens"
    assert request.body == b"{}"
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    issued = int((NOW - timedelta(seconds=60)).timestamp())
    assert claims(token) == {"iss": "app-1", "iat": issued, "exp": issued + 540}


@pytest.mark.spec("C5")
def test_a_certificate_is_named_by_its_sha_256_thumbprint() -> None:
    mine = certificate(RSA)
    text = mine.public_bytes(Encoding.PEM).decode()
    header = jwt.get_unverified_header(form(ask(plan_of({}), certificate=text))["assertion"])
    wanted = base64.urlsafe_b64encode(mine.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    assert header["x5t#S256"] == wanted


@pytest.mark.parametrize("text", ["", "nonsense", certificate(EC).public_bytes(Encoding.PEM).decode()])
def test_a_certificate_that_is_not_the_key_s_is_named(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        ask(plan_of({}), certificate=text)
    assert caught.value.facts["field"] == "certificate"


@pytest.mark.parametrize("text", ["", "nonsense"])
def test_a_key_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        token_request(plan_of({}), {"privateKey": Sensitive(text)}, client_id="a", username=None, now=NOW, jti="j")
    assert caught.value.facts["field"] == "privateKey"


def signed_client() -> Plan:
    spec = connection("privateKey", clientId="app-1")
    return plan_for(spec, connector(token_method(clientAuth={"methods": ["private_key_jwt"]})))


def signed_by_a_known_client() -> Plan:
    spec = connection("privateKey", "clientSecret", clientId="app-1")
    return plan_for(spec, connector(token_method("jwtBearer", assertion={"algorithms": ["RS256"]})))


PROOFS = {
    "a client secret": (client_plan(), "client secret"),
    "a client assertion": (signed_client(), "private key"),
    "a signed grant": (plan_of({"algorithms": ["RS256"]}), "private key"),
    "a GitHub app": (plan_of({"placement": "bearer"}, "githubApp"), "private key"),
    "a signed grant of a client with a secret": (signed_by_a_known_client(), "client secret or the private key"),
    "a public client": (device_plan(), "lack of a secret"),
}


@pytest.mark.spec("C11")
@pytest.mark.parametrize(("plan", "proof"), PROOFS.values(), ids=PROOFS)
def test_a_refused_client_is_told_of_what_it_proves_itself_with(plan: Plan, proof: str) -> None:
    with pytest.raises(ProviderError) as caught:
        parse(plan, 401, {}, b'{"error":"invalid_client"}', host="id.example", now=NOW)
    assert caught.value.message.startswith(f"The client id or the {proof} was refused by id.example. ")
