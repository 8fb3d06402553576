"""How to reach the API server.

In a pod from the mounted ServiceAccount, elsewhere from a kubeconfig file, or through a person's own kubectl.
"""

import base64
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from lanyard.sensitive import Sensitive

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_SECONDS = 60.0  # kubelet replaces a projected token at 80 % of its life, which is at least 10 minutes


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """Address, trust and identity. `token_file` wins over `token` and is read again every minute.

    `socket` is a Unix socket behind which requests are authenticated (`kubectl proxy`).
    """

    server: str
    ca_file: str | None = None
    ca_data: str | None = None
    token_file: str | None = None
    token: Sensitive | None = None
    socket: str | None = None

    def ssl_context(self) -> ssl.SSLContext | bool:
        if self.server.startswith("http://"):
            return False
        return ssl.create_default_context(cafile=self.ca_file, cadata=self.ca_data)


def in_cluster(environment: Mapping[str, str]) -> KubeConfig:
    """The mounted ServiceAccount of a pod. KeyError outside of one."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    return KubeConfig(
        server=f"https://{host}:{port}",
        ca_file=str(SERVICE_ACCOUNT / "ca.crt"),
        token_file=str(SERVICE_ACCOUNT / "token"),
    )


def from_file(path: Path) -> KubeConfig:
    """The current context of a kubeconfig with a token or a token file. ValueError says what is missing."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError:
        # The cause would quote the line, which may be that of the token.
        raise ValueError("the kubeconfig is not YAML") from None
    if not isinstance(document, dict):
        raise ValueError("the kubeconfig is not a mapping")  # noqa: TRY004 - for callers it is one kind of wrong
    context = _named(document, "contexts", "context", document.get("current-context"))
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    if not user.get("token") and not user.get("tokenFile"):
        raise ValueError("the kubeconfig's user has no token: give Lanyard a ServiceAccount of its own")
    if not cluster.get("server"):
        raise ValueError("the kubeconfig's cluster has no server")
    data = cluster.get("certificate-authority-data")
    return KubeConfig(
        server=cluster["server"].rstrip("/"),
        ca_file=_beside(path, cluster.get("certificate-authority")),
        ca_data=base64.b64decode("".join(data.split()), validate=True).decode() if data else None,
        token_file=_beside(path, user.get("tokenFile")),
        token=Sensitive(user["token"]) if user.get("token") else None,
    )


def _beside(kubeconfig: Path, file: str | None) -> str | None:
    """Relative paths are meant from where the kubeconfig lies, as kubectl reads them."""
    return str(kubeconfig.parent / file) if file else None


def _named(document: dict[str, Any], section: str, member: str, name: str | None) -> dict[str, Any]:
    for entry in document.get(section) or ():
        if entry.get("name") == name and isinstance(entry.get(member), dict):
            found: dict[str, Any] = entry[member]
            return found
    raise ValueError(f"the kubeconfig has no entry {name!r} in {section}")


@dataclass(slots=True)
class BearerToken:
    """The Authorization header of our identity; the file behind it is read again once a minute, or when refused."""

    config: KubeConfig
    _value: Sensitive = field(default_factory=lambda: Sensitive(""))
    _read_at: float = float("-inf")

    def header(self) -> str:
        """Empty where somebody else authenticates: kubectl adds a login only to what has none."""
        if time.monotonic() - self._read_at > TOKEN_REREAD_SECONDS:
            if self.config.token_file is not None:
                self._value = Sensitive(Path(self.config.token_file).read_text().strip())
            else:
                self._value = self.config.token or Sensitive("")
            self._read_at = time.monotonic()
        return f"Bearer {self._value.reveal()}" if self._value else ""

    def forget(self) -> None:
        self._read_at = float("-inf")


def open_session(
    config: KubeConfig,
    *,
    connections: int,
    bearer: BearerToken | None = None,
    before: Callable[[Mapping[str, str]], None] | None = None,
) -> aiohttp.ClientSession:
    """A session that authenticates every request. To be opened and closed in the loop that uses it.

    Sessions that share a `bearer` learn of a refused token from each other. `before` gets the headers of each request
    when there is a connection for it, right before its bytes are written; after an error of it nothing is.
    """
    bearer = bearer or BearerToken(config)

    async def authenticate(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if header := bearer.header():
            request.headers["Authorization"] = header
        response = await handler(request)
        if response.status == 401:
            bearer.forget()
        return response

    connector: aiohttp.BaseConnector
    if config.socket is not None:
        connector = aiohttp.UnixConnector(config.socket, limit=connections)
    else:
        connector = aiohttp.TCPConnector(limit=connections, ssl=config.ssl_context(), keepalive_timeout=60)
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=(authenticate,),
        trace_configs=[_asking(before)] if before is not None else [],
        headers={"User-Agent": "lanyard"},
        skip_auto_headers=("Accept-Encoding",),
        auto_decompress=True,
    )


def _asking(before: Callable[[Mapping[str, str]], None]) -> aiohttp.TraceConfig:
    async def look(_session: object, _context: object, request: aiohttp.TraceRequestHeadersSentParams) -> None:
        before(request.headers)

    trace = aiohttp.TraceConfig()
    # The library's name for it; it is sent when the headers are complete, before they are written.
    trace.on_request_headers_sent.append(look)
    return trace
