"""The pages of a consent: requests a second that one core of a gateway bears, over TLS with keep-alive."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import httpx

from bench.figures import Figure, figure
from bench.granted import SOURCE
from bench.place import THREADS, Place, names
from bench.sizes import Size
from lanyard.api.meta import CONSENT_ANNOTATION
from localenv.process import free_ports
from support.cluster import Cluster
from support.consenting import APPROVER, MERGE, give_back_lease, hold_lease
from support.gateway import COOKIE, GatewayProcess, Visitor, query_of
from support.people import bind
from support.sown import connect_all, connector

FIGURES = ("consent_pages_per_core", "consent_callbacks_per_core")
APPROVAL_SECONDS = 20.0


def run(place: Place, size: Size) -> Iterator[Figure]:
    """Each start page is a new browser's; each callback is the first one of an approved consent, which writes a record.
    The operator's part is not in it.
    """
    hold_lease(place.client)
    with place.namespace("bench-consent") as cluster, _gateway(place) as gateway:
        connector(cluster, cluster.namespace, place.oauth.token_url, mode="rotates")
        all_names = names("bench-consent", size.consents)
        connect_all(cluster, all_names, connector=cluster.namespace, source=SOURCE)
        bind(cluster.client, namespace=cluster.namespace, user=APPROVER, roles=["lanyard-authorizer"])
        gateway.start()
        with place.browser() as client:
            pages = [(_page(gateway, cluster, all_names[0]), "")] * size.pages
            yield _measured("consent_pages_per_core", gateway, client, pages, status=200)

            def begin(name: str) -> tuple[str, str]:
                return _begun(place, gateway, cluster, name)

            with ThreadPoolExecutor(THREADS) as pool:
                callbacks = list(pool.map(begin, all_names))
            yield _measured("consent_callbacks_per_core", gateway, client, callbacks, status=303)
    give_back_lease(place.client)


def _gateway(place: Place) -> GatewayProcess:
    return GatewayProcess(
        kubeconfig=place.account("lanyard-gateway"),
        log=place.environment.run_dir / "bench-gateway.log",
        ring=Path(place.rings["keyring_token"]),
        signing=Path(place.rings["keyring_signing"]),
        certificate=place.environment.pki.server_cert("gateway"),
        port=free_ports(1)[0],
        processes=place.environment.processes,
    )


def _measured(
    name: str, gateway: GatewayProcess, client: httpx.Client, asked: list[tuple[str, str]], *, status: int
) -> Figure:
    """`asked`: addresses, and the cookie that goes with each."""
    client.get(f"{gateway.url}/healthz")
    began, before = time.monotonic(), gateway.cpu_seconds()
    for url, cookie in asked:
        client.cookies.clear()
        answer = client.get(url, headers={"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
        if answer.status_code != status:
            raise RuntimeError(f"the gateway answered {answer.status_code} instead of {status}")
    used, took = gateway.cpu_seconds() - before, time.monotonic() - began
    value = len(asked) / max(used, 0.01)
    return figure(name, value, "1/s", n=len(asked), cpu_seconds_used=used, requests_per_second=len(asked) / took)


def _page(gateway: GatewayProcess, cluster: Cluster, name: str) -> str:
    return f"{gateway.url}/connect/{cluster.namespace}/{name}"


def _begun(place: Place, gateway: GatewayProcess, cluster: Cluster, name: str) -> tuple[str, str]:
    """Up to the provider: the callback that it would send this browser to, and the browser's cookie."""
    visitor = Visitor(place.environment.pki.ca_path)
    with visitor.client:
        url, until = _page(gateway, cluster, name), time.monotonic() + APPROVAL_SECONDS
        while not re.search("lanyard.dev/consent=", (page := visitor.get(url)).text):
            _hold(until)
        approval = {"metadata": {"annotations": {CONSENT_ANNOTATION: f"{visitor.hash_on(page)}.{APPROVER}"}}}
        path, headers = cluster.path("Connection", name), MERGE | {"Impersonate-User": APPROVER}
        while cluster.client.patch(path, json=approval, headers=headers).status_code != 200:
            _hold(until)
        while "Continue to" not in (page := visitor.get(url)).text:
            _hold(until)
        state = query_of(visitor.press(page, "Continue to").headers["Location"])["state"]
        answer = urlencode({"code": f"code-of-{name}", "state": state})
        return f"{gateway.url}/oauth/callback/{cluster.namespace}?{answer}", visitor.client.cookies[COOKIE]


def _hold(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError("the gateway did not hear of a Connection or its approval")
    time.sleep(0.1)
