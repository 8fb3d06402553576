"""Where a bench takes place: real servers, the chart, the operator under its own ServiceAccount, and many Connections.

All Connections of a bench read one Secret; each has a client of its own at the provider, so that the provider's list of
requests says whose each request was.
"""

import base64
import itertools
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import httpx

from bench import meters
from localenv.environment import Environment
from support.cluster import GROUP, Cluster, status_of
from support.install import install_chart
from support.keys import write_rings
from support.operator import OperatorProcess

THREADS = 8
SECRET = "bench-client"
PAGE = 500


class Place:
    """A context manager. With an environment that runs already, that one is used and left running."""

    def __init__(self, environment: Environment | None = None) -> None:
        self._own = Environment(vault=False) if environment is None else None
        self.environment = environment or self._own
        self._names = itertools.count(1)

    def __enter__(self) -> Self:
        if self._own is not None:
            self._own.start()
        try:
            self._account = install_chart(self.environment.kubernetes)
            self.client = self.environment.kubernetes.client()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "client"):
            self.client.close()
        if self._own is not None:
            self._own.stop()

    @property
    def is_shared(self) -> bool:
        """Others go on in it afterwards."""
        return self._own is None

    @property
    def kubernetes(self) -> Any:
        return self.environment.kubernetes

    @property
    def oauth(self) -> Any:
        return self.environment.oauth

    def browser(self) -> httpx.Client:
        """Trusts the certificates of this place."""
        context = ssl.create_default_context(cafile=str(self.environment.pki.ca_path))
        return httpx.Client(verify=context, trust_env=False, timeout=30)

    @cached_property
    def rings(self) -> Mapping[str, str]:
        """The keyrings of this install, as settings."""
        return write_rings(Path(tempfile.mkdtemp(dir=self.environment.run_dir)))

    def account(self, name: str) -> Path:
        """The kubeconfig of one of the chart's ServiceAccounts."""
        found: Path = self.kubernetes.service_account_kubeconfig("lanyard-system", name)
        return found

    def cpu(self) -> meters.Cpu:
        return meters.cpu(self.environment.run_dir)

    def settle(self, operator: OperatorProcess, *, quiet: float, longest: float) -> tuple[float, meters.Cpu]:
        return meters.settle(self.environment.run_dir, operator.pid, quiet=quiet, longest=longest)

    def operator(self, *, kubeconfig: Any = None, **settings: str) -> OperatorProcess:
        """Not started yet; settings are the defaults but for what loopback needs."""
        account = kubeconfig or self.kubernetes.service_account_kubeconfig("lanyard-system", self._account)
        return OperatorProcess(
            kubeconfig=account,
            log=self.environment.run_dir / f"bench-{next(self._names)}.log",
            settings={
                "ca_bundle": str(self.environment.pki.ca_path),
                "egress_allowed_networks": "127.0.0.0/8",
                **settings,
            },
            processes=self.environment.processes,
        )

    @contextmanager
    def namespace(self, name: str) -> Iterator[Cluster]:
        """With the Secret that all Connections of a bench read. No Connection stays for the next bench to count."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        _checked(self.client.post("/api/v1/namespaces", json=body))
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "labels": {"lanyard.dev/readable": "true"}},
            "data": {"secret": base64.b64encode(SECRET.encode()).decode()},
        }
        _checked(self.client.post(f"/api/v1/namespaces/{name}/secrets", json=secret))
        yield Cluster(self.client, name)
        # An environment of our own ends with the bench anyway, and 10,000 objects would take a while.
        if self._own is None:
            for kind in ("connections", "federatedcredentials"):
                _checked(self.client.delete(f"{GROUP}/namespaces/{name}/{kind}"))

    def register(self, names: list[str], *, life: int, **more: Any) -> None:
        """A client each at the provider, whose tokens live `life` seconds."""
        for name in names:
            self.oauth.add_client(name, secret=SECRET, scopes=["api"], ttl=life, **more)

    def create(self, namespace: str, names: list[str], *, over_seconds: float = 0.0) -> None:
        """Create Connections as fast as the API server takes them, or spread over a time."""
        began, pause = time.monotonic(), over_seconds / max(len(names), 1)

        def one(numbered: tuple[int, str]) -> None:
            number, name = numbered
            time.sleep(max(began + number * pause - time.monotonic(), 0.0))
            body = {
                "apiVersion": "lanyard.dev/v1alpha1",
                "kind": "Connection",
                "metadata": {"name": name},
                "spec": {
                    "connector": "oauth2",
                    "parameters": {"token_url": self.oauth.token_url},
                    "auth": {"method": "clientCredentials", "clientId": name, "scopes": ["api"]},
                    "credentials": {"clientSecret": {"secretRef": {"name": SECRET, "key": "secret"}}},
                },
            }
            _checked(self.client.post(f"{GROUP}/namespaces/{namespace}/connections", json=body))

        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(one, enumerate(names)):
                pass

    def connections(self, namespace: str) -> Iterator[dict[str, Any]]:
        """All, a page at a time."""
        params = {"limit": str(PAGE)}
        while True:
            body = _checked(self.client.get(f"{GROUP}/namespaces/{namespace}/connections", params=params))
            yield from body["items"]
            if not body["metadata"].get("continue"):
                return
            params["continue"] = body["metadata"]["continue"]

    def wait_all_ready(self, namespace: str, count: int, *, since: int, longest: float) -> None:
        """TimeoutError else. Asks the provider until all tokens were fetched, and only then the API server."""
        deadline = time.monotonic() + longest

        def fetched() -> bool:
            return bool(self.oauth.marker() - since >= count)

        def ready() -> bool:
            return sum(status_of(one, "Ready") == "True" for one in self.connections(namespace)) == count

        for holds in (fetched, ready):
            while not holds():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{count} Connections were not Ready within {longest:.0f} s")
                time.sleep(0.3)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:05}" for number in range(count)]


def each(holds: Callable[[], bool], *, longest: float, pause: float = 0.2) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(pause)
    return False


def per(used: dict[str, float], count: int, parts: Iterable[str] = ()) -> dict[str, float]:
    """CPU milliseconds per object or refresh, by part."""
    return {
        name: round(1000 * seconds / max(count, 1), 2) for name, seconds in used.items() if not parts or name in parts
    }


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise RuntimeError(f"{answer.request.method} {answer.request.url.path}: {answer.text[:300]}")
    body: dict[str, Any] = answer.json()
    return body
