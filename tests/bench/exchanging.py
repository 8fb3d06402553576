"""The exchange: how many a second one core bears, how long they take, and how soon a withdrawn trust counts.

Figures are requests ÷ CPU seconds of the gateway, over plain HTTP on kept connections, with RS256 assertions that the
gateway has not seen before, unless the name says otherwise. Issuer keys and token copies lie in their Secrets, as the
operator puts them there; the operator's own part is not in it.
"""

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import httpx

from bench.figures import Figure, figure
from bench.meters import cpu_of
from bench.place import THREADS, Place, each
from bench.pressing import Pressed, press
from bench.sizes import Size
from lanyard.api.federation import MOST_CREDENTIALS
from localenv.process import free_ports
from support.federating import ASSERTION_TYPE, OAUTH_PATH, FederationTeam
from support.gateway import GatewayProcess
from support.issuing import StaticIssuer
from support.jwts import IssuerKey

FIGURES = (
    "exchange_mint_per_core",
    "exchange_crypto_ratio",
    "exchange_p99_ms_half_load",
    "exchange_mint_cached_per_core",
    "exchange_mint_es256_per_core",
    "exchange_broker_per_core",
    "junk_per_core",
    "exchange_new_tls_per_core",
    "exchange_p99_ms_beside_junk",
    "revocation_p99_seconds",
    "exchange_crowded_per_core",
    "exchange_start_seconds",
    "exchange_index_mib",
)
MANY = str(10**9)
MINTS, BROKERS = "mints", "brokers"


def run(place: Place, size: Size) -> Iterator[Figure]:
    with place.namespace("bench-exchange") as cluster, StaticIssuer() as issuer:
        team = FederationTeam(cluster, place.environment, None, issuer, connect=False)
        es256, rs256 = issuer.add_key("ES256", "es"), next(iter(issuer.keys.values()))
        team.publish_keys()
        mints, brokers = team.connect(MINTS), team.connect(BROKERS, connector="github")
        for name in (MINTS, BROKERS):
            team.trust(name, connection=name)
        team.publish_copy(Path(place.rings["keyring_token"]), "t" * 600, name=BROKERS, scopes=("repo",))
        n = size.exchanges
        with _gateway(place, tls=False) as gateway:
            url = gateway.base + OAUTH_PATH
            _until_taken(place, url, [_form(client, issuer.token()) for client in (mints, brokers)])
            first = _forms(issuer, rs256, mints, n)
            yield _measured("exchange_mint_per_core", gateway, url, first)
            yield _against_the_bare(gateway, url, [_forms(issuer, rs256, mints, max(n // 4, 4)) for _ in range(4)])
            yield _half_load(url, [_forms(issuer, rs256, mints, n) for _ in range(2)])
            yield _measured("exchange_mint_cached_per_core", gateway, url, first)
            yield _measured("exchange_mint_es256_per_core", gateway, url, _forms(issuer, es256, mints, n))
            yield _measured("exchange_broker_per_core", gateway, url, _forms(issuer, rs256, brokers, n))
            junk = _forms(issuer, rs256, mints, n, sub="nobody")
            yield _measured("junk_per_core", gateway, url, junk, status=400)
            yield _beside_junk(url, _forms(issuer, rs256, mints, max(n // 4, 4)), junk)
            yield _revoked(team, rs256, mints, url, size)
        with _gateway(place, tls=True) as gateway:
            forms, url = _forms(issuer, rs256, mints, max(n // 8, 4)), gateway.base + OAUTH_PATH
            _until_taken(place, url, forms[:1])
            context = ssl.create_default_context(cafile=str(place.environment.pki.ca_path))
            yield _measured("exchange_new_tls_per_core", gateway, url, forms, tls=context, keep=False)
        yield from _crowded(place, team, mints, _forms(issuer, rs256, mints, n), size)
        team.close()


def _crowded(place: Place, team: FederationTeam, client: str, bodies: list[bytes], size: Size) -> Iterator[Figure]:
    """Beside many credentials that others have: what a start takes, what they weigh, what a look among them costs."""
    few = _started(place, bodies[0])
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(0, size.credentials, MOST_CREDENTIALS):
            team.connect(f"crowd-{number}")
        list(pool.map(lambda number: _trusted_by_many(team, number), range(size.credentials)))
    with _gateway(place, tls=False) as gateway:
        url = gateway.base + OAUTH_PATH
        _until_taken(place, url, bodies[:1])
        yield _measured("exchange_crowded_per_core", gateway, url, bodies)
    many = _started(place, bodies[0])
    yield figure("exchange_start_seconds", many[0], "s", n=size.credentials, with_two_credentials=few[0])
    yield figure("exchange_index_mib", many[1] - few[1], "MiB", n=size.credentials, gateway_mib=many[1])


def _trusted_by_many(team: FederationTeam, number: int) -> None:
    application = f"crowd-{number - number % MOST_CREDENTIALS}"
    team.trust(f"crowd-{number}", connection=application, subject=f"workload:crowd-{number}")


def _started(place: Place, body: bytes) -> tuple[float, float]:
    """Seconds from the start of a gateway to its first exchange, and its memory then in MiB."""
    began = time.monotonic()
    with _gateway(place, tls=False) as gateway:
        _until_taken(place, gateway.base + OAUTH_PATH, [body])
        return time.monotonic() - began, gateway.memory_mib()


def _beside_junk(url: str, bodies: list[bytes], junk: list[bytes]) -> Figure:
    """Valid requests at a quarter of what is borne, while junk comes as fast as it is refused."""
    pace = press(url, bodies).a_second / 4
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(press, url, junk)
        valid = press(url, bodies, a_second=pace)
        refused = flood.result()
    return figure(
        "exchange_p99_ms_beside_junk",
        1000 * valid.quantile(0.99),
        "ms",
        n=len(bodies),
        p50_ms=1000 * valid.quantile(0.5),
        requests_per_second=valid.a_second,
        junk_per_second=refused.a_second,
    )


def _gateway(place: Place, *, tls: bool) -> GatewayProcess:
    """Ready; for a context."""
    return GatewayProcess(
        kubeconfig=place.account("lanyard-gateway"),
        log=place.environment.run_dir / f"bench-exchange-{'tls' if tls else 'plain'}.log",
        ring=Path(place.rings["keyring_token"]),
        signing=Path(place.rings["keyring_signing"]),
        certificate=place.environment.pki.server_cert("gateway") if tls else None,
        port=free_ports(1)[0],
        settings={
            "exchange_client_requests_per_minute": MANY,
            "exchange_namespace_requests_per_minute": MANY,
            "exchange_address_requests_per_minute": MANY,
        },
        processes=place.environment.processes,
    ).start()


def _until_taken(place: Place, url: str, bodies: list[bytes]) -> None:
    """The gateway has heard of everything."""
    with place.browser() as browser:
        for body in bodies:
            if not each(lambda body=body: _post(browser, url, body) == 200, longest=20.0):
                raise RuntimeError(f"the gateway answers {_post(browser, url, body)}")


def _forms(issuer: StaticIssuer, key: IssuerKey, client: str, count: int, **claims: str) -> list[bytes]:
    return [_form(client, issuer.token(key=key, **claims)) for _ in range(count)]


def _form(client: str, token: str) -> bytes:
    fields = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": token,
    }
    return urlencode(fields).encode()


def _post(browser: httpx.Client, url: str, body: bytes) -> int:
    return browser.post(url, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code


def _measured(
    name: str, gateway: GatewayProcess, url: str, bodies: Sequence[bytes], *, status: int = 200, **how: object
) -> Figure:
    before = gateway.cpu_seconds()
    pressed: Pressed = press(url, bodies, **how)  # type: ignore[arg-type]
    used = gateway.cpu_seconds() - before
    if set(pressed.statuses) != {status}:
        raise RuntimeError(f"{name}: the gateway answered {dict(pressed.statuses)} instead of {status}")
    return figure(
        name,
        len(bodies) / max(used, 0.01),
        "1/s",
        n=len(bodies),
        cpu_microseconds=1e6 * used / len(bodies),
        requests_per_second=pressed.a_second,
        p50_ms=1000 * pressed.quantile(0.5),
        p99_ms=1000 * pressed.quantile(0.99),
    )


def _against_the_bare(gateway: GatewayProcess, url: str, rounds: Sequence[Sequence[bytes]]) -> Figure:
    """Beside a server that does nothing but the cryptography and the answer of a form; taken in turn, as one machine is
    not the same from one minute to the next.
    """
    port = free_ports(1)[0]
    command = [sys.executable, "-W", "ignore", "-m", "bench.empty_handler", str(port)]
    ratios, bare, empty = [], [], []
    with subprocess.Popen(command, start_new_session=True) as handler:
        try:
            place = f"http://127.0.0.1:{port}"
            each(lambda: _answers(f"{place}/healthz"), longest=20.0)
            for bodies in rounds:
                ours = _spent(gateway.pid, url, bodies)
                bare.append(_spent(handler.pid, f"{place}/crypto", bodies))
                empty.append(_spent(handler.pid, f"{place}/token", bodies))
                ratios.append(ours / max(bare[-1], 1e-9))
        finally:
            handler.kill()
    return figure(
        "exchange_crypto_ratio",
        median(ratios),
        "",
        n=sum(len(bodies) for bodies in rounds),
        spread=(min(ratios), max(ratios)),
        handler_with_cryptography_microseconds=1e6 * median(bare),
        handler_microseconds=1e6 * median(empty),
    )


def _spent(pid: int, url: str, bodies: Sequence[bytes]) -> float:
    """CPU seconds of a process for each request."""
    before = cpu_of(pid)
    press(url, bodies)
    return (cpu_of(pid) - before) / len(bodies)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _half_load(url: str, bodies: list[list[bytes]]) -> Figure:
    """At half of what it bore on this machine a moment ago, client and all."""
    pressed = press(url, bodies[0])
    half = press(url, bodies[1], a_second=pressed.a_second / 2)
    return figure(
        "exchange_p99_ms_half_load",
        1000 * half.quantile(0.99),
        "ms",
        n=len(bodies[1]),
        p50_ms=1000 * half.quantile(0.5),
        requests_per_second=half.a_second,
    )


def _revoked(team: FederationTeam, key: IssuerKey, client: str, url: str, size: Size) -> Figure:
    """From the API server's answer to a deletion to the last exchange that was still taken."""
    took: list[float] = []
    with httpx.Client() as browser:
        for number in range(size.revocations):
            name, subject = f"gone-{number}", f"workload:gone-{number}"
            team.trust(name, connection=MINTS, subject=subject)
            body = _form(client, team.issuer.token(key=key, sub=subject))
            each(lambda body=body: _post(browser, url, body) == 200, longest=20.0, pause=0.01)
            team.distrust(name)
            deleted = last = time.perf_counter()
            while time.perf_counter() - last < size.revocation_quiet:
                asked = time.perf_counter()
                if _post(browser, url, body) == 200:
                    last = asked
                time.sleep(0.002)
            took.append(last - deleted)
    took.sort()
    value = took[int(0.99 * (len(took) - 1))]
    return figure("revocation_p99_seconds", value, "s", n=len(took), p50_seconds=took[len(took) // 2])
