"""The certified OAuth server of the environment: start, stop, and say who may ask it for what."""

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from localenv import toolchain, tools
from localenv.pki import Pki
from localenv.process import PortLostError, Process, Processes, free_ports

SERVER = Path(__file__).parent / "oauth" / "server.mjs"
START_SECONDS = 20.0
PORT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server answered it: `at` in epoch seconds, `error` the OAuth error code or empty."""

    marker: int
    at: float
    endpoint: str
    client_id: str
    grant_type: str
    status: int
    error: str
    scope: str
    user_agent: str


class OAuthServer:
    """`oidc-provider` over TLS on loopback, with its admin API beside it.

    A server that was stopped starts again on the same ports with the same clients and users; tokens do not survive.
    """

    def __init__(self, processes: Processes, pki: Pki) -> None:
        self.ca_path: Path = pki.ca_path
        self._processes = processes
        self._ready = processes.run_dir / "oauth.ready.json"
        certificate, key = pki.server_cert("oauth")
        self._environment = {
            "LANYARD_OAUTH_CERT": str(certificate),
            "LANYARD_OAUTH_KEY": str(key),
            "LANYARD_OAUTH_READY": str(self._ready),
        }
        self._process: Process | None = None
        self._clients: dict[str, dict[str, Any]] = {}
        self._users: dict[str, str] = {}
        self._admin = httpx.Client(trust_env=False, timeout=10)
        self._http = httpx.Client(
            trust_env=False, timeout=10, verify=ssl.create_default_context(cafile=str(self.ca_path))
        )
        self.issuer = ""
        self.admin_url = ""

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    @property
    def authorization_url(self) -> str:
        return f"{self.issuer}/auth"

    @property
    def device_url(self) -> str:
        return f"{self.issuer}/device/auth"

    @property
    def me_url(self) -> str:
        return f"{self.issuer}/api/me"

    @property
    def introspection_url(self) -> str:
        return f"{self.issuer}/token/introspection"

    @property
    def revocation_url(self) -> str:
        return f"{self.issuer}/token/revocation"

    def start(self) -> Self:
        if self._process is None:
            self._process = self._first_start()
        else:
            self._start(self._process)
        answer = json.loads(self._ready.read_text())
        self.issuer, self.admin_url = answer["issuer"], answer["admin"]
        for client_id, metadata in self._clients.items():
            self._admin_call("PUT", f"/clients/{quote(client_id, safe='')}", metadata)
        for name, password in self._users.items():
            self._admin_call("PUT", f"/users/{quote(name, safe='')}", {"password": password})
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def close(self) -> None:
        self.stop()
        self._admin.close()
        self._http.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_client(
        self,
        client_id: str,
        *,
        secret: str | None = None,
        jwks: Mapping[str, Any] | None = None,
        auth_method: str = "client_secret_basic",
        scopes: Sequence[str] = (),
        withheld_scopes: Sequence[str] = (),
        ttl: int = 3600,
        grant_types: Sequence[str] = ("client_credentials",),
        token_format: str = "opaque",
        redirect_uris: Sequence[str] = (),
        pkce_required: bool = True,
        rotate_refresh_tokens: bool = True,
    ) -> None:
        """Create or replace a client.

        `ttl` seconds of an access token; a scope outside `scopes` is refused, one in `withheld_scopes` is accepted and
        left out of the grant; `token_format` is `opaque` or `jwt` (ES256). With `redirect_uris` people can sign in and
        agree on the server's own pages (`authorizationCode`); a rotated refresh token that comes again ends its grant.
        """
        metadata: dict[str, Any] = {
            "token_endpoint_auth_method": auth_method,
            "allowed_scopes": list(scopes),
            "withheld_scopes": list(withheld_scopes),
            "token_ttl": ttl,
            "grant_types": list(grant_types),
            "token_format": token_format,
            "redirect_uris": list(redirect_uris),
            "response_types": ["code"] if redirect_uris else [],
            "pkce_required": pkce_required,
            "rotate_refresh_tokens": rotate_refresh_tokens,
        }
        if secret is not None:
            metadata["client_secret"] = secret
        if jwks is not None:
            metadata["jwks"] = dict(jwks)
        self._admin_call("PUT", f"/clients/{quote(client_id, safe='')}", metadata)
        self._clients[client_id] = metadata

    def change_client(self, client_id: str, **metadata: Any) -> None:
        """Change single fields by their names on the wire (`token_ttl`, `allowed_scopes`, `jwks`, ...), at once."""
        self._admin_call("PATCH", f"/clients/{quote(client_id, safe='')}", metadata)
        self._clients.setdefault(client_id, {}).update(metadata)

    def rotate_secret(self, client_id: str, secret: str) -> None:
        """From the next request on only `secret` is taken; tokens already issued stay alive."""
        self.change_client(client_id, client_secret=secret)

    def remove_client(self, client_id: str) -> None:
        self._admin_call("DELETE", f"/clients/{quote(client_id, safe='')}")
        self._clients.pop(client_id, None)

    def end_grants(self, client_id: str, *, tokens: bool = False) -> int:
        """The provider ends what people granted to a client, live access `tokens` too; returns how many tokens went."""
        query = "?tokens" if tokens else ""
        return int(self._admin_call("DELETE", f"/grants/{quote(client_id, safe='')}{query}")["ended"])

    def add_user(self, name: str, password: str) -> None:
        """Create a person who signs in on the server's pages or by the password grant, or change the password."""
        self._admin_call("PUT", f"/users/{quote(name, safe='')}", {"password": password})
        self._users[name] = password

    def remove_user(self, name: str) -> None:
        self._admin_call("DELETE", f"/users/{quote(name, safe='')}")
        self._users.pop(name, None)

    def marker(self) -> int:
        """A point in the list of requests, to be given as `since`."""
        return int(self._admin_call("GET", "/healthz")["marker"])

    def requests(
        self,
        *,
        since: int = 0,
        endpoint: str = "/token",
        client_id: str | None = None,
        grant_type: str | None = None,
        status: int | None = None,
    ) -> list[Seen]:
        """The requests to one endpoint, oldest first; the server keeps at least the last 250,000."""
        answer = self._admin_call("GET", f"/requests?since={since}&detail=1")
        return [
            seen
            for seen in (Seen(**fields) for fields in answer["requests"])
            if seen.endpoint == endpoint
            and client_id in (None, seen.client_id)
            and grant_type in (None, seen.grant_type)
            and status in (None, seen.status)
        ]

    def count(
        self,
        *,
        since: int = 0,
        endpoint: str = "/token",
        client_id: str | None = None,
        grant_type: str | None = None,
        status: int | None = None,
    ) -> int:
        """As `requests`, counted in the server: for benches."""
        return sum(
            group["count"]
            for group in self._admin_call("GET", f"/requests?since={since}")["counts"]
            if group["endpoint"] == endpoint
            and client_id in (None, group["client_id"])
            and grant_type in (None, group["grant_type"])
            and status in (None, group["status"])
        )

    def forget_requests(self) -> None:
        self._admin_call("DELETE", "/requests")

    def me(self, token: str) -> httpx.Response:
        """Call the protected resource: 200 with client_id, scope, sub and expires_at for a live token, else 401."""
        return self._http.get(self.me_url, headers={"Authorization": f"Bearer {token}"})

    def _first_start(self) -> Process:
        environment = self._environment | {"LANYARD_OAUTH_MODULES": str(tools.oauth_modules())}
        for tries_left in reversed(range(PORT_TRIES)):
            port, admin_port = free_ports(2)
            ports = {"LANYARD_OAUTH_PORT": str(port), "LANYARD_OAUTH_ADMIN_PORT": str(admin_port)}
            process = self._processes.add("oauth", [str(toolchain.node()), str(SERVER)], env=environment | ports)
            try:
                self._start(process)
            except PortLostError:
                if not tries_left:
                    raise
            else:
                return process
        raise AssertionError

    def _start(self, process: Process) -> None:
        self._ready.unlink(missing_ok=True)
        process.start(self._ready.exists, seconds=START_SECONDS)

    def _admin_call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        response = self._admin.request(method, self.admin_url + path, json=body)
        answer = response.json()
        if response.is_error:
            raise ValueError(f"{method} {path}: {answer['error']}")
        return answer
