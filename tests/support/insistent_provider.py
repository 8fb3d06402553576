"""A token endpoint that takes exactly one wire format. Pure: a request in, status and body out."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import jwt

CLIENT_ID = "client:id"
CLIENT_SECRET = "s3cret&+ü"
USERNAME = "acme\\ada"
PASSWORD = "p=w d"
KEY_ID = "key-1"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class WireError(Exception):
    """What the request does differently."""


@dataclass(frozen=True)
class InsistentProvider:
    """What one product wants to read. `parameters` are all it takes besides the proof of the client."""

    url: str
    format: str
    client_auth: str
    parameters: Mapping[str, str]
    public_key: Any = None
    algorithms: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """The product's own names for standard parameters."""
    without: frozenset[str] = frozenset()
    """Parts of the proof that the product does not take."""

    def read(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """WireError unless the request is the one that is wanted."""
        _same("method", method, "POST")
        sent = self._sent(url, headers, body)
        proof = self._proof(headers, sent)
        sent = {name: value for name, value in sent.items() if name not in proof}
        _same("parameters", sent, dict(self.parameters))
        _same("answers it takes", headers.get("Accept"), "application/json")

    def _sent(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        if self.format == "query":
            address, _, query = url.partition("?")
            _same("address", address, _address(self.url))
            _same("body", body, b"")
            return _pairs(query)
        _same("address", url, _address(self.url))
        if self.format == "json":
            _same("content type", headers.get("Content-Type"), "application/json")
            return dict(json.loads(body))
        _same("content type", headers.get("Content-Type"), "application/x-www-form-urlencoded")
        return _pairs(body.decode())

    def _proof(self, headers: Mapping[str, str], sent: Mapping[str, str]) -> set[str]:
        """Names of the parameters that prove the client, each checked."""
        authorization = headers.get("Authorization")
        if self.client_auth != "client_secret_basic":
            _same("Authorization", authorization, None)
        wanted: dict[str, str] = {}
        match self.client_auth:
            case "client_secret_basic":
                client_id, _, secret = (
                    base64.b64decode((authorization or "").removeprefix("Basic ")).decode().partition(":")
                )
                _same("client", (unquote_plus(client_id), unquote_plus(secret)), (CLIENT_ID, CLIENT_SECRET))
            case "client_secret_post":
                wanted = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            case "none":
                wanted = {"client_id": CLIENT_ID}
            case "private_key_jwt":
                wanted = {"client_id": CLIENT_ID, "client_assertion_type": ASSERTION_TYPE}
                self._assertion(sent.get("client_assertion", ""))
        wanted = {self.names.get(name, name): value for name, value in wanted.items() if name not in self.without}
        for name, value in wanted.items():
            _same(name, sent.get(name), value)
        return {*wanted, "client_assertion"} if self.client_auth == "private_key_jwt" else set(wanted)

    def _assertion(self, assertion: str) -> None:
        _same("kid", jwt.get_unverified_header(assertion).get("kid"), KEY_ID)
        claims = jwt.decode(
            assertion,
            self.public_key,
            algorithms=list(self.algorithms),
            audience=self.url,
            options={"verify_exp": False, "verify_iat": False, "require": ["iat", "exp", "jti"]},
        )
        _same("assertion", (claims["iss"], claims["sub"]), (CLIENT_ID, CLIENT_ID))


def _address(url: str) -> str:
    """Host names have no case (RFC 3986 3.2.2)."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.lower()).geturl()


def _pairs(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    if len(dict(pairs)) != len(pairs):
        raise WireError("a parameter stands twice")
    return dict(pairs)


def _same(what: str, sent: object, wanted: object) -> None:
    if sent != wanted:
        raise WireError(f"{what}: {sent!r} where {wanted!r} is wanted")
