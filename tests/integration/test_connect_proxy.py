"""The recording forward proxy tunnels, forwards and refuses as a company's proxy does."""

import httpx

from support.certificates import authority_of_tests
from support.connect_proxy import ConnectProxy
from support.provider import Answer, ScriptedProvider


def test_a_tunnel_is_recorded_by_its_target() -> None:
    context = authority_of_tests().trusting_context()
    with (
        ScriptedProvider() as provider,
        ConnectProxy() as forward,
        httpx.Client(proxy=forward.url, verify=context) as client,
    ):
        provider.script("/t", Answer(200, body=b"through"))
        assert client.get(f"{provider.url}/t", headers={"Authorization": "Bearer unseen"}).text == "through"
        assert forward.tunnels() == [f"127.0.0.1:{provider.port}"]
        assert forward.requests()[0].header("authorization") is None


def test_a_plain_request_is_forwarded_with_its_headers_recorded() -> None:
    with (
        ScriptedProvider(tls=False) as provider,
        ConnectProxy() as forward,
        httpx.Client(proxy=forward.url) as client,
    ):
        provider.script("/t", lambda request: Answer(200, body=request.body + request.query.encode()))
        assert client.post(f"{provider.url}/t?q=1", content=b"x", headers={"X-Vault-Namespace": "team"}).text == "xq=1"
        (recorded,) = forward.requests()
        assert (recorded.method, recorded.target) == ("POST", f"{provider.url}/t?q=1")
        assert recorded.header("x-vault-namespace") == "team"


def test_a_refusing_proxy_and_a_dead_target_are_told_apart() -> None:
    with ConnectProxy() as forward, httpx.Client(proxy=forward.url) as client:
        assert client.get("http://127.0.0.1:1/").status_code == 502
        forward.refuse_with = 407
        assert client.get("http://127.0.0.1:1/").status_code == 407
