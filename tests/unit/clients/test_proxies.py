import pytest

from lanyard.clients.proxies import ProxySettings

PROXY = "http://proxy.example:3128"


@pytest.mark.spec("C15")
@pytest.mark.parametrize(
    ("environ", "scheme", "expected"),
    [
        pytest.param({"HTTPS_PROXY": PROXY}, "https", PROXY, id="HTTPS_PROXY is for https"),
        pytest.param({"HTTPS_PROXY": PROXY}, "http", "", id="and for nothing else"),
        pytest.param({"HTTP_PROXY": PROXY}, "http", PROXY, id="HTTP_PROXY is for http"),
        pytest.param({"ALL_PROXY": PROXY}, "https", PROXY, id="ALL_PROXY is for the rest"),
        pytest.param({"https_proxy": PROXY, "HTTPS_PROXY": "http://x"}, "https", PROXY, id="lower case wins"),
        pytest.param({"HTTPS_PROXY": "  "}, "https", "", id="blank is none"),
        pytest.param({}, "https", "", id="none is none"),
    ],
)
def test_the_conventional_variables_are_honoured(environ: dict[str, str], scheme: str, expected: str) -> None:
    assert ProxySettings.from_environment(environ).choose(scheme, "login.example.com", 443) == expected


@pytest.mark.spec("C15")
@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        pytest.param("*", "login.example.com", 443, True, id="a star excepts everything"),
        pytest.param("example.com", "login.example.com", 443, True, id="a name excepts what is below it"),
        pytest.param("example.com", "example.com", 443, True, id="and itself"),
        pytest.param(".example.com", "example.com", 443, False, id="a leading dot excepts only what is below"),
        pytest.param("*.example.com", "a.example.com", 443, True, id="a leading star is taken like a dot"),
        pytest.param("example.com", "badexample.com", 443, False, id="a name is not a suffix of letters"),
        pytest.param("10.0.0.0/8", "10.1.2.3", 443, True, id="a network excepts its addresses"),
        pytest.param("10.0.0.0/8", "11.1.2.3", 443, False, id="and no others"),
        pytest.param("10.0.0.0/8", "login.example.com", 443, False, id="a network says nothing of names"),
        pytest.param("vault.svc:8200", "vault.svc", 8200, True, id="a port narrows"),
        pytest.param("vault.svc:8200", "vault.svc", 443, False, id="to that port"),
        pytest.param("fd00::/8", "fd00::1", 443, True, id="IPv6 networks too"),
        pytest.param("::1", "::1", 443, True, id="an IPv6 address has no port"),
        pytest.param(" .svc , login.example.com ", "LOGIN.example.com", 443, True, id="spaces and case do not matter"),
    ],
)
def test_no_proxy_is_read_as_go_programs_read_it(no_proxy: str, host: str, port: int, direct: bool) -> None:
    settings = ProxySettings.from_environment({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert (settings.choose("https", host, port) == "") is direct
