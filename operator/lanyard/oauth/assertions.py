"""Signed JWTs that go out: client assertions (RFC 7523 2.2, OpenID Connect Core 9) and grants (RFC 7523 2.1)."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from lanyard.api.exchange import Assertion
from lanyard.api.meta import parse_duration
from lanyard.connectors.templates import render_text
from lanyard.errors import SourceError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

Algorithm = Literal["RS256", "PS256", "ES256"]
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME = timedelta(minutes=5)  # Entra and Okta take up to 10 and 60; clocks differ by less
LONGEST = timedelta(hours=1)  # no provider takes more
BACKDATED = timedelta(
    seconds=60
)  # GitHub: "To protect against clock drift, we recommend that you set this 60 seconds in the past"
LEAST_RSA_BITS = 2048  # RFC 7518 3.3
_RSA: tuple[Algorithm, ...] = ("RS256", "PS256")
_EC: tuple[Algorithm, ...] = ("ES256",)


def client_assertion(
    private_key: Sensitive,
    *,
    client_id: str,
    audience: str,
    key_id: str | None,
    algorithms: Sequence[Algorithm],
    now: datetime,
    jti: str,
    certificate: Sensitive | None = None,
) -> str:
    """A signed JWT. SourceError CREDENTIAL_INVALID when the key is not one of those that `algorithms` need.

    `algorithms` are the connector's, in order of preference; empty means the key's usual one. With a `certificate`
    the header names it by `x5t#S256` (RFC 7515 4.1.8), as Microsoft Entra wants.
    """
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFETIME).timestamp()),
        "jti": jti,
    }
    return _signed(claims, private_key, certificate, key_id, algorithms)


def grant_assertion(
    assertion: Assertion,
    private_key: Sensitive,
    *,
    known: Mapping[str, str],
    token_url: str,
    scope: str,
    key_id: str | None,
    now: datetime,
    jti: str,
    certificate: Sensitive | None = None,
) -> str:
    """The JWT that is the grant, or the bearer of the request, from the connector's templates.

    `known` fills the placeholders; a claim of which one is missing is left out. `scope` is "" where none is wanted.
    The connector's own claims never replace those that make the JWT safe to send (`iss`, `aud`, `exp`, `jti`).
    """
    is_bearer = assertion.placement == "bearer"
    issued = now - BACKDATED if is_bearer else now
    claims: dict[str, Any] = {}
    for name, template in assertion.claims.items():
        value = render_text(template, known)
        if value is not None:
            claims[name] = value
    claims |= {
        "iss": _issuer(assertion, known),
        "iat": int(issued.timestamp()),
        "exp": int((issued + min(parse_duration(assertion.lifetime), LONGEST)).timestamp()),
    }
    subject = render_text(assertion.subject, known) if assertion.subject is not None else None
    audience = render_text(assertion.audience, known) if assertion.audience is not None else None
    if subject is not None:
        claims["sub"] = subject
    if assertion.scope_claim and scope:
        claims["scope"] = scope
    if not is_bearer or audience is not None:
        claims |= {"aud": audience or token_url, "jti": jti}
    return _signed(claims, private_key, certificate, key_id, assertion.algorithms)


def _issuer(assertion: Assertion, known: Mapping[str, str]) -> str:
    issuer = render_text(assertion.issuer, known)
    if not issuer:
        raise SourceError(Reason.CREDENTIAL_INVALID, field="clientId", expected="a value, as the issuer of the JWT")
    return issuer


def _signed(
    claims: Mapping[str, Any],
    private_key: Sensitive,
    certificate: Sensitive | None,
    key_id: str | None,
    algorithms: Sequence[Algorithm],
) -> str:
    key = _loaded(private_key)
    algorithm = _algorithm(key, algorithms) if key is not None else None
    if key is None or algorithm is None:
        wanted = " or ".join(algorithms or ("RS256", "ES256"))
        raise SourceError(
            Reason.CREDENTIAL_INVALID, field="privateKey", expected=f"a PEM private key without a password for {wanted}"
        )
    headers = {"kid": key_id} if key_id else {}
    if certificate is not None:
        headers["x5t#S256"] = _thumbprint(certificate, key)
    return jwt.encode(dict(claims), key, algorithm=algorithm, headers=headers or None)


def _thumbprint(certificate: Sensitive, key: PrivateKey) -> str:
    """SHA-256 over the DER, base64url; only of a certificate that belongs to the key."""
    try:
        parsed = load_pem_x509_certificate(certificate.reveal().encode())
        theirs = _public(parsed.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        theirs = None
    if theirs is None or theirs != _public(key.public_key()):
        raise SourceError(
            Reason.CREDENTIAL_INVALID, field="certificate", expected="the PEM certificate that belongs to privateKey"
        )
    return base64.urlsafe_b64encode(parsed.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


def _public(key: Any) -> bytes:
    raw: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


def _loaded(private_key: Sensitive) -> PrivateKey | None:
    """None for everything that is no such key; what the parser says about it could quote it."""
    try:
        key: Any = load_pem_private_key(private_key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    match key:
        case RSAPrivateKey():
            return key if key.key_size >= LEAST_RSA_BITS else None
        case EllipticCurvePrivateKey():
            return key if isinstance(key.curve, SECP256R1) else None
        case _:
            return None


def _algorithm(key: PrivateKey, algorithms: Sequence[Algorithm]) -> Algorithm | None:
    fitting = _RSA if isinstance(key, RSAPrivateKey) else _EC
    return next((algorithm for algorithm in algorithms or fitting if algorithm in fitting), None)
