"""The outbound client against servers on loopback."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network

import pytest

from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import FailureKind, Outbound, OutboundError, Request, provider_error
from lanyard.clients.proxies import ProxySettings
from lanyard.errors import SteppedBackError
from lanyard.reasons import Reason
from support.connect_proxy import ConnectProxy
from support.provider import HANG, RESET, TRUNCATED, Answer, ScriptedProvider

CANARY = "c4n4ry-in-the-wire"


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as provider:
        provider.script("/token", Answer.of_token())
        yield provider


@pytest.fixture
async def outbound(provider: ScriptedProvider) -> AsyncIterator[Outbound]:
    async with Outbound(EgressPolicy(), ca_bundle=provider.ca_pem) as outbound:
        yield outbound


def post(url: str) -> Request:
    return Request("POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, f"secret={CANARY}".encode())


async def test_an_answer_comes_with_status_headers_and_body(outbound: Outbound, provider: ScriptedProvider) -> None:
    answer = await outbound.send(post(f"{provider.url}/token?a=b"), deadline=5, guard=False)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert b"access_token" in answer.body
    request = provider.requests()[0]
    assert (request.method, request.query, request.form) == ("POST", "a=b", {"secret": CANARY})
    assert request.header("Host") == provider.url.removeprefix("https://")
    assert request.header("Accept-Encoding") == "identity"


async def test_a_redirect_is_handed_back_and_not_followed(outbound: Outbound, provider: ScriptedProvider) -> None:
    provider.script("/old", Answer.of_redirect(f"{provider.url}/token"))
    assert (await outbound.send(post(f"{provider.url}/old"), deadline=5, guard=False)).status == 302
    assert provider.requests("/token") == []


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        pytest.param(HANG, FailureKind.TIMED_OUT, Reason.PROVIDER_TIMED_OUT, id="a server that never answers"),
        pytest.param(
            Answer.of_json({}, delay=3), FailureKind.TIMED_OUT, Reason.PROVIDER_TIMED_OUT, id="one that is too slow"
        ),
        pytest.param(RESET, FailureKind.RESET_AFTER_SEND, Reason.PROVIDER_UNAVAILABLE, id="a reset after the request"),
        pytest.param(
            TRUNCATED, FailureKind.RESET_AFTER_SEND, Reason.PROVIDER_UNAVAILABLE, id="an answer that is cut short"
        ),
        pytest.param(Answer.of_size(), FailureKind.TOO_LARGE, Reason.PROVIDER_ANSWER_INVALID, id="a body of 10 MB"),
    ],
)
async def test_bad_weather_has_a_kind_and_a_reason(
    outbound: Outbound, provider: ScriptedProvider, answer: Answer, kind: FailureKind, reason: Reason
) -> None:
    provider.script("/token", answer)
    with pytest.raises(OutboundError) as caught:
        await outbound.send(post(f"{provider.url}/token"), deadline=0.5, guard=False)
    assert caught.value.kind is kind
    assert caught.value.__suppress_context__
    assert provider_error(caught.value).reason is reason
    assert CANARY not in str(caught.value)
    provider.script("/token", Answer.of_token())
    assert (await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)).status == 200


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        pytest.param(b"", b"HTTP/1.1 102 Processing\r\n\r\n", id="interim answers without an end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", id="a byte a chunk"),
    ],
)
async def test_an_answer_that_is_all_framing_is_ended_and_holds_nobody_else_up(begin: bytes, more: bytes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(begin)
        with contextlib.suppress(OSError):
            while True:
                writer.write(more * 1000)
                await writer.drain()
        writer.transport.abort()

    longest, ticking = 0.0, True

    async def tick() -> None:
        nonlocal longest
        while ticking:
            began = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)

    async with (
        await asyncio.start_server(flood, "127.0.0.1", 0) as server,
        Outbound(EgressPolicy(allow_loopback_http=True)) as outbound,
    ):
        ticks = asyncio.create_task(tick())
        with pytest.raises(OutboundError) as caught:
            await outbound.send(
                post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), deadline=20, guard=False
            )
        ticking = False
        await ticks
    assert caught.value.kind is FailureKind.TOO_LARGE
    assert longest < 0.5


async def test_nobody_listening_is_unreachable(outbound: Outbound, unused_tcp_port: int) -> None:
    with pytest.raises(OutboundError) as caught:
        await outbound.send(post(f"https://127.0.0.1:{unused_tcp_port}/"), deadline=5, guard=False)
    assert caught.value.kind is FailureKind.UNREACHABLE
    assert caught.value.host == f"127.0.0.1:{unused_tcp_port}"


async def test_a_name_that_does_not_exist_is_unreachable(outbound: Outbound) -> None:
    with pytest.raises(OutboundError) as caught:
        await outbound.send(post("https://nowhere.invalid/"), deadline=5, guard=True)
    assert caught.value.kind is FailureKind.UNREACHABLE


@pytest.mark.spec("A5", "C15")
async def test_only_trusted_certificates_for_the_right_name_are_accepted(provider: ScriptedProvider) -> None:
    async with Outbound(EgressPolicy()) as outbound:
        with pytest.raises(OutboundError) as caught:
            await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)
        assert caught.value.kind is FailureKind.TLS
        assert provider_error(caught.value).reason is Reason.PROVIDER_TLS_FAILED
        answer = await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False, ca=provider.ca_pem)
        assert answer.status == 200, "the bundle of one call is trusted"
        with pytest.raises(OutboundError):
            await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)
    with ScriptedProvider(certificate_for="elsewhere.example") as other:
        async with Outbound(EgressPolicy(), ca_bundle=other.ca_pem) as outbound:
            with pytest.raises(OutboundError) as caught:
                await outbound.send(post(f"{other.url}/token"), deadline=5, guard=False)
    assert caught.value.kind is FailureKind.TLS
    assert other.requests() == []


async def test_the_certificate_is_checked_for_the_name_and_the_checked_address_is_dialled() -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    policy = EgressPolicy(allowed_networks=(ip_network("127.0.0.0/8"),))
    with ScriptedProvider(certificate_for="login.tenant.example") as provider:
        provider.script("/token", Answer.of_token())
        async with Outbound(policy, ca_bundle=provider.ca_pem, resolver=resolver) as outbound:
            good = await outbound.send(
                post(f"https://login.tenant.example:{provider.port}/token"), deadline=5, guard=True
            )
            assert good.status == 200
            with pytest.raises(OutboundError) as caught:
                await outbound.send(post(f"https://other.example:{provider.port}/token"), deadline=5, guard=True)
    assert caught.value.kind is FailureKind.TLS
    assert asked == ["login.tenant.example", "other.example"]
    assert [request.header("Host") for request in provider.requests()] == [f"login.tenant.example:{provider.port}"]


async def test_a_name_that_rebinds_to_a_private_address_is_refused(provider: ScriptedProvider) -> None:
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    async with Outbound(EgressPolicy(), ca_bundle=provider.ca_pem, resolver=resolver) as outbound:
        assert (await outbound._resolver("rebind.example", 443)) == ["93.184.216.34"], "looks public when looked at"
        with pytest.raises(OutboundError) as caught:
            await outbound.send(post(f"https://rebind.example:{provider.port}/token"), deadline=5, guard=True)
    assert caught.value.kind is FailureKind.NOT_ALLOWED
    assert provider_error(caught.value).reason is Reason.EGRESS_NOT_ALLOWED
    assert len(asked) == 2, "each connection resolves once"
    assert provider.requests() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
async def test_no_spelling_of_loopback_passes_the_guard(outbound: Outbound, host: str) -> None:
    with pytest.raises(OutboundError) as caught:
        await outbound.send(post(f"https://{host}:1/"), deadline=5, guard=True)
    assert caught.value.kind is FailureKind.NOT_ALLOWED


async def test_an_unguarded_connection_is_never_reused_for_a_guarded_call(
    outbound: Outbound, provider: ScriptedProvider
) -> None:
    await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)
    with pytest.raises(OutboundError):
        await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=True)
    assert len(provider.requests()) == 1


@pytest.mark.spec("A5")
@pytest.mark.parametrize("allowed", [False, True], ids=["by default", "with the setting for development"])
async def test_plain_http_is_for_loopback_in_development_only(allowed: bool) -> None:
    with ScriptedProvider(tls=False) as provider:
        provider.script("/token", Answer.of_token())
        async with Outbound(EgressPolicy(allow_loopback_http=allowed)) as outbound:
            if allowed:
                assert (await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)).status == 200
            for url in ("http://192.0.2.1/token", *([] if allowed else [f"{provider.url}/token"])):
                with pytest.raises(OutboundError) as caught:
                    await outbound.send(post(url), deadline=5, guard=False)
                assert caught.value.kind is FailureKind.NOT_ALLOWED
    assert len(provider.requests()) == int(allowed)


@pytest.mark.spec("C15")
async def test_through_a_proxy_a_tenants_host_must_be_on_the_platforms_list(unused_tcp_port: int) -> None:
    proxies = ProxySettings(https=f"http://127.0.0.1:{unused_tcp_port}")
    async with Outbound(EgressPolicy(allowed_hosts=("*.example.com",)), proxies=proxies) as outbound:
        for host, kind in (("evil.example.net", FailureKind.NOT_ALLOWED), ("a.example.com", FailureKind.UNREACHABLE)):
            with pytest.raises(OutboundError) as caught:
                await outbound.send(post(f"https://{host}/token"), deadline=5, guard=True)
            assert caught.value.kind is kind


@pytest.mark.spec("C15")
async def test_the_operators_proxy_is_used_and_no_proxy_honoured(provider: ScriptedProvider) -> None:
    url = f"{provider.url}/token"
    with ConnectProxy() as proxy:
        environ = {"HTTPS_PROXY": proxy.url.replace("http://", f"http://user:{CANARY}@")}
        settings = ProxySettings.from_environment(environ)
        async with Outbound(EgressPolicy(), ca_bundle=provider.ca_pem, proxies=settings) as outbound:
            assert (await outbound.send(post(url), deadline=5, guard=False)).status == 200
        assert proxy.tunnels() == [provider.url.removeprefix("https://")]
        assert (proxy.requests()[0].header("Proxy-Authorization") or "").startswith("Basic ")
        assert provider.requests()[0].header("Proxy-Authorization") is None
        settings = ProxySettings.from_environment({**environ, "NO_PROXY": "127.0.0.0/8"})
        async with Outbound(EgressPolicy(), ca_bundle=provider.ca_pem, proxies=settings) as outbound:
            assert (await outbound.send(post(url), deadline=5, guard=False)).status == 200
        assert len(proxy.tunnels()) == 1
        proxy.refuse_with = 407
        async with Outbound(EgressPolicy(), ca_bundle=provider.ca_pem) as outbound:
            with pytest.raises(OutboundError) as caught:
                await outbound.send(post(url), deadline=5, guard=False, proxy=proxy.url)
    assert caught.value.kind is FailureKind.UNREACHABLE


async def test_connections_are_kept_and_a_closed_one_is_not_used_again(provider: ScriptedProvider) -> None:
    opened = 0

    async def resolver(host: str, port: int) -> list[str]:
        nonlocal opened
        opened += 1
        return ["127.0.0.1"]

    async with Outbound(EgressPolicy(), ca_bundle=provider.ca_pem, resolver=resolver) as outbound:
        for _ in range(3):
            await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)
        assert opened == 1
        provider.script("/close", Answer(200, {"Connection": "close"}, b"{}"))
        await outbound.send(post(f"{provider.url}/close"), deadline=5, guard=False)
        await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)
        assert opened == 2


async def test_a_cancelled_call_leaves_nothing_open(outbound: Outbound, provider: ScriptedProvider) -> None:
    provider.script("/slow", Answer.of_json({}, delay=5))
    call = asyncio.create_task(outbound.send(post(f"{provider.url}/slow"), deadline=5, guard=False))
    await asyncio.to_thread(provider.wait_for, 1, "/slow")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)).status == 200


async def test_nothing_of_a_call_is_logged_or_quoted(
    outbound: Outbound, provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await outbound.send(post(f"{provider.url}/token?code={CANARY}"), deadline=5, guard=False)
        request = Request("GET", f"{provider.url}/token", {"X-Vault-Token": f"{CANARY}\n"})
        with pytest.raises(ValueError, match="characters") as caught:
            await outbound.send(request, deadline=5, guard=False)
    assert CANARY not in caplog.text
    assert CANARY not in repr(caught.value)
    assert CANARY not in repr(post("https://a.example/"))


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://", "https://u:p@a.example/", "https://a.example:99999/", "a.example"]
)
async def test_what_is_not_a_plain_url_is_an_error_of_ours(outbound: Outbound, url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        await outbound.send(post(url), deadline=5, guard=False)


@pytest.mark.spec("K6")
@pytest.mark.parametrize("opened", ["now", "before"])
async def test_a_process_that_lost_the_lease_while_it_connected_sends_nothing(
    provider: ScriptedProvider, opened: str
) -> None:
    """Frozen between two steps, it goes on with the next one: the last look is right before the bytes are written."""
    led = True

    async def slow_resolver(host: str, port: int) -> list[str]:
        nonlocal led
        led = opened == "before"
        return ["127.0.0.1"]

    async with Outbound(
        EgressPolicy(), ca_bundle=provider.ca_pem, resolver=slow_resolver, may_send=lambda: led
    ) as outbound:
        if opened == "before":
            assert (await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)).status == 200
            provider.forget()
            led = False
        with pytest.raises(SteppedBackError):
            await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)
        assert provider.requests() == []
        led = True
        if opened == "before":
            assert (await outbound.send(post(f"{provider.url}/token"), deadline=5, guard=False)).status == 200
